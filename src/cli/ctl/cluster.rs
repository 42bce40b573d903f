//! `ctl cluster`.

use super::{Context, print, words};
use crate::cli::CliError;
use crate::cli::table::{Column, list, table, time};
use crate::client::api;

#[derive(Debug, clap::Subcommand)]
pub enum Verb {
    /// How the first node that answers sees the cluster
    Status,
    /// Move leadership to another node
    TransferLeadership {
        /// To this one [default: the one that is furthest]
        #[arg(default_value_t = 0, hide_default_value = true)]
        node: u64,
    },
}

pub async fn run(context: &mut Context, verb: Verb) -> Result<(), CliError> {
    match verb {
        Verb::Status => {
            let answer = context.client.get_status(api::GetStatusRequest {}).await?;
            if context.printed_json(&answer)? { Ok(()) } else { print_status(&answer) }
        }
        Verb::TransferLeadership { node } => {
            let request = api::TransferLeadershipRequest { node_id: node };
            let answer = context.client.transfer_leadership(request).await?;
            if context.printed_json(&answer)? {
                return Ok(());
            }
            print(&format!("node {} leads", answer.leader_id))
        }
    }
}

fn print_status(status: &api::GetStatusResponse) -> Result<(), CliError> {
    let leader = match status.leader_id {
        0 => "none".to_owned(),
        id => format!("node {id}, {}", status.leader_endpoint),
    };
    print(&list([
        ("cluster", status.cluster_id.clone()),
        ("leader", leader),
        ("asked", format!("node {}, {}, version {}", status.node_id, words::node_role(status.role), status.version)),
        ("term", status.term.to_string()),
        ("sequence", status.sequence.to_string()),
        ("time", time(status.time)),
        (
            "log",
            format!(
                "applied {} of {} committed, last {}, snapshot {}, purged {}",
                status.applied_index,
                status.committed_index,
                status.last_log_index,
                status.snapshot_index,
                status.purged_index
            ),
        ),
        ("digest", status.state_digest.clone()),
    ]))?;
    let rows = status.members.iter().map(|member| {
        vec![
            member.node_id.to_string(),
            if member.voter { "voter" } else { "learner" }.to_owned(),
            member.client_endpoint.clone(),
            member.raft_endpoint.clone(),
            if member.matched_index == 0 { String::new() } else { member.matched_index.to_string() },
        ]
    });
    let columns = [
        Column::Number("node"),
        Column::Text("vote"),
        Column::Text("clients"),
        Column::Text("nodes"),
        Column::Number("matched"),
    ];
    print(&table(&columns, rows))
}
