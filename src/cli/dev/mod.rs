//! `counterfoil dev`: a cluster on this machine in one command, no configuration.
//!
//! Each node is a process of its own, of this same binary, so that any of them can be killed to see
//! what happens: it is started again after a moment. `nodes` keeps the processes, `demo` fills the
//! ledger.

mod demo;
pub(super) mod nodes;

use std::io::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::process::Ending;
use super::{CliError, block_on};
use crate::client::{Client, ClientError, ClientOptions, api};
use nodes::{Layout, Nodes};

/// Raft's ports come this far above the clients'.
const RAFT_PORT_OFFSET: u16 = 100;
/// How long a cluster may take to be ready.
const READY_TIMEOUT: Duration = Duration::from_secs(60);
/// How often it is asked whether it is.
const READY_POLL: Duration = Duration::from_millis(100);

#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Where the data is kept; picked up again when it is there
    #[arg(long, value_name = "DIR", default_value = "counterfoil-dev")]
    dir: PathBuf,
    /// How many nodes
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=9))]
    nodes: u16,
    /// The first node's client port; the others follow, and Raft's ports are 100 above
    #[arg(long, value_name = "PORT", default_value_t = 7401, value_parser = clap::value_parser!(u16).range(1..=65_000))]
    port: u16,
    /// Leave the ledger empty
    #[arg(long)]
    bare: bool,
}

pub fn run(args: Args) -> Result<(), CliError> {
    block_on(dev(args))
}

async fn dev(args: Args) -> Result<(), CliError> {
    let mut ending = Ending::listen()?;
    let layout =
        Layout { dir: args.dir.clone(), nodes: args.nodes, client_port: args.port, raft_offset: RAFT_PORT_OFFSET };
    layout.prepare()?;
    let mut nodes = Nodes::start(layout, |message| println!("{message}"))?;
    let endpoints = nodes.endpoints();
    let told = tokio::select! {
        // The nodes are watched all the while, so that one that dies on the way is seen.
        gone = nodes.supervise() => gone,
        ready = prepare_and_wait(&args, &endpoints) => ready,
        () = ending.told() => Ok(()),
    };
    nodes.stop().await;
    told
}

/// Makes the cluster ready, says so, and then never ends.
async fn prepare_and_wait(args: &Args, endpoints: &[String]) -> Result<(), CliError> {
    let client = Client::new(endpoints, ClientOptions { deadline: READY_TIMEOUT, ..ClientOptions::default() })?;
    let leader = wait_until_ready(&client, endpoints).await?;
    if !args.bare {
        demo::fill(&client).await?;
    }
    let mut out = std::io::stdout().lock();
    writeln!(out, "data:  {}", args.dir.display())?;
    writeln!(out, "leader: node {leader}")?;
    if !args.bare {
        writeln!(out, "demo:  {}", demo::SUMMARY)?;
    }
    writeln!(out, "try:   counterfoil ctl --endpoint {} book AAPL/USD", endpoints[0])?;
    writeln!(out, "ready: {}", endpoints.join(","))?;
    out.flush()?;
    drop(out);
    std::future::pending().await
}

/// Waits until every node answers and they agree on a leader. Returns the leader's id.
pub(super) async fn wait_until_ready(client: &Client, endpoints: &[String]) -> Result<u64, CliError> {
    let started = Instant::now();
    let patience = ClientOptions { deadline: Duration::from_secs(1), attempt: Duration::from_secs(1) };
    for endpoint in endpoints {
        let node = Client::new(&[endpoint], patience)?;
        loop {
            let answer = node.get_status(api::GetStatusRequest {}).await;
            match answer {
                Ok(status) if status.leader_id != 0 => break,
                Err(ClientError::Refused(refusal)) => return Err(ClientError::Refused(refusal).into()),
                _ if started.elapsed() > READY_TIMEOUT => {
                    return Err(CliError::Check(format!("{endpoint} was not ready within {READY_TIMEOUT:?}")));
                }
                _ => tokio::time::sleep(READY_POLL).await,
            }
        }
    }
    Ok(client.get_status(api::GetStatusRequest {}).await?.leader_id)
}
