//! `counterfoil recover`: the last resort when a majority is gone for ever.

use std::io::Write as _;

use serde_json::json;

use super::CliError;
use super::args::{ConfigSource, Output};
use crate::config::Config;
use crate::node::cluster_id;
use crate::replication::Node;
use crate::replication::recover::Survivor;
use crate::store::identity::ClusterId;

/// The last resort when a majority of the voters is gone for ever: makes the folder of one node that
/// is left the whole of a new cluster. What other nodes acknowledged and this one never received is
/// lost. Run it on the node whose log goes furthest (`--dry-run` says how far), with a configuration
/// that has a new `cluster.name`; then start the node with it, and add others anew.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    source: ConfigSource,
    /// Only say what the folder has and what may be lost
    #[arg(long)]
    dry_run: bool,
    /// Do it, knowing that acknowledged commands may be lost
    #[arg(long, conflicts_with = "dry_run", required_unless_present = "dry_run")]
    i_accept_data_loss: bool,
    /// How the findings are printed
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

pub fn run(args: &Args) -> Result<(), CliError> {
    let config = args.source.load()?;
    let node = this_node(&config)?;
    let fault = |fault: crate::replication::Fault| CliError::Check(fault.to_string());
    let survivor = Survivor::open(&config.node.data_dir, config.store.log_segment_mib << 20).map_err(fault)?;
    let new = cluster_id(&config);
    check(&config, &survivor, new)?;
    let mut out = std::io::stdout().lock();
    match args.output {
        Output::Table => writeln!(out, "{}", words(&config, &survivor))?,
        Output::Json => writeln!(out, "{:#}", facts(&survivor, new, args.i_accept_data_loss))?,
    }
    out.flush()?;
    if !args.i_accept_data_loss {
        return Ok(());
    }
    survivor.found(new, node).map_err(fault)?;
    if args.output == Output::Table {
        writeln!(
            out,
            "\ndone: node {} is the only voter of cluster \"{}\". Start it with this configuration, look at its books, \
             then add nodes with new ids and empty folders (`counterfoil ctl cluster add`). Never start an old node's \
             folder under the new name.",
            config.node.id, config.cluster.name
        )?;
    }
    Ok(())
}

/// Where this node will be reached, by its own entry among the members.
fn this_node(config: &Config) -> Result<Node, CliError> {
    let member = config.this_member().ok_or(CliError::Usage {
        option: "cluster.members",
        reason: format!("this node, {}, is not among them: it needs its own addresses", config.node.id),
    })?;
    Ok(Node::at(&member.raft_endpoint, &member.client_endpoint))
}

fn check(config: &Config, survivor: &Survivor, new: ClusterId) -> Result<(), CliError> {
    let identity = &survivor.identity;
    if identity.node.0 != config.node.id {
        let reason = format!("the folder is node {}'s, the configuration is node {}'s", identity.node, config.node.id);
        return Err(CliError::Usage { option: "node.data_dir", reason });
    }
    // Under the old name the old nodes would take this one back, with what it acknowledged since.
    if identity.cluster == new && survivor.broken_off != Some(new) {
        let reason = "the folder is of this cluster already; a recovery needs a new name".to_owned();
        return Err(CliError::Usage { option: "cluster.name", reason });
    }
    Ok(())
}

fn words(config: &Config, survivor: &Survivor) -> String {
    let Survivor { voters, last, committed, identity, under_repair, .. } = survivor;
    let lacks = under_repair.as_ref().map_or_else(String::new, |damage| {
        format!(
            "This folder was being repaired: its log lacks what it had acknowledged before ({damage}). Any other folder \
             is to be preferred.\n"
        )
    });
    let voters: Vec<String> = voters.iter().map(u64::to_string).collect();
    let appears = if last > committed {
        format!(
            "What may appear: commands behind entry {committed} are carried out, although their clients may never have \
             been told; sent again, they get their first answer.\n"
        )
    } else {
        String::new()
    };
    format!(
        "WARNING: this makes node {node} alone the cluster \"{name}\". It cannot be undone.\n\
         \n\
         folder     {dir}\n\
         voters     {voters}: only when a majority of these is gone for ever is this the way\n\
         log        ends at entry {last}, of which entry {committed} is the last known to be committed\n\
         \n\
         What may be lost: every command that the other nodes acknowledged behind entry {last}, if there was any. \
         Whoever was told of it holds a promise that this cluster will not keep: compare with what clients recorded.\n\
         {lacks}{appears}\
         If another folder is left whose log goes further, recover that one instead.",
        node = identity.node,
        name = config.cluster.name,
        dir = config.node.data_dir.display(),
        voters = voters.join(", "),
    )
}

fn facts(survivor: &Survivor, new: ClusterId, done: bool) -> serde_json::Value {
    let position = |position: crate::store::Position| json!({ "term": position.term.0, "index": position.index.0 });
    json!({
        "node": survivor.identity.node.0,
        "old_cluster_id": format!("{:032x}", survivor.identity.cluster.0),
        "new_cluster_id": format!("{:032x}", new.0),
        "voters": survivor.voters,
        "under_repair": survivor.under_repair,
        "last": position(survivor.last),
        "committed": position(survivor.committed),
        "recovered": done,
    })
}
