//! `counterfoil serve`: one node, until it is told to stop or stops on a fault.

use std::time::Duration;

use super::CliError;
use super::args::ConfigSource;
use super::process::Ending;
use crate::config::Config;
use crate::node::Node;
use crate::telemetry;

/// How long a call that blocks, such as one to a backup target, may keep a node that has stopped from ending.
const LEAVE_AFTER: Duration = Duration::from_secs(5);

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    source: ConfigSource,
}

pub fn run(args: &Args) -> Result<(), CliError> {
    let config = args.source.load()?;
    telemetry::start(&config.telemetry)?;
    end_on_panic();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(config.node.runtime_threads)
        .enable_all()
        .build()
        .map_err(CliError::Start)?;
    let served = runtime.block_on(serve(config));
    runtime.shutdown_timeout(LEAVE_AFTER);
    served
}

/// A panic is a broken invariant: it must end the node, not the one task that found it. sled panics on
/// some damaged files; that is caught where it is opened, and told as damage.
fn end_on_panic() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        report(panic);
        if !panic.location().is_some_and(|place| place.file().contains("/sled-")) {
            std::process::abort();
        }
    }));
}

async fn serve(config: Config) -> Result<(), CliError> {
    let mut ending = Ending::listen()?;
    let node = Node::start(config).await.map_err(|error| CliError::Node(error.to_string()))?;
    tokio::select! {
        stopped = node.stopped() => return stopped.map_err(|error| CliError::Node(error.to_string())),
        () = ending.told() => {}
    }
    tracing::info!("told to stop");
    node.shutdown().await;
    Ok(())
}
