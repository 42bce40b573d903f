//! `ctl cluster`: how the nodes are doing, who belongs to the cluster, and who leads it.

use std::time::{Duration, Instant};

use super::{Context, print, words};
use crate::cli::CliError;
use crate::cli::table::{Column, list, table, time};
use crate::client::{ClientError, api};

/// Between two looks at whether a new node has caught up.
const SYNC_POLL: Duration = Duration::from_millis(500);

/// Nanoseconds of a millisecond.
const NANOS: u64 = 1_000_000;

/// The reason of the refusal of a node that has not.
const NOT_IN_SYNC: &str = "NOT_IN_SYNC";

/// Where a node is.
#[derive(Debug, Clone, clap::Args)]
pub struct Addresses {
    /// Where clients reach it
    #[arg(long = "client", value_name = "HOST:PORT")]
    client_endpoint: String,
    /// Where the other nodes reach it
    #[arg(long = "raft", value_name = "HOST:PORT")]
    raft_endpoint: String,
}

/// How long a new node may take to catch up.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct CatchUp {
    /// How long the new node may take to catch up, in seconds
    #[arg(long = "catch-up", value_name = "SECONDS", default_value_t = 600)]
    seconds: u64,
}

#[derive(Debug, clap::Subcommand)]
pub enum Verb {
    /// How the first node that answers sees the cluster
    Status,
    /// Add a node that runs with an empty folder and `cluster.join = true`; it follows without a vote
    Add {
        /// Its id, never used before
        node: u64,
        #[command(flatten)]
        at: Addresses,
        /// Give it a vote as soon as it has caught up
        #[arg(long)]
        promote: bool,
        #[command(flatten)]
        catch_up: CatchUp,
    },
    /// Give a node a vote, as soon as it has caught up
    Promote {
        /// Which
        node: u64,
        #[command(flatten)]
        catch_up: CatchUp,
    },
    /// Remove a node; its id is never used again
    Remove {
        /// Which
        node: u64,
    },
    /// Put a new node in the place of one that is dead or lost its disk
    Replace {
        /// The one that goes
        old: u64,
        /// The id of the new one, never used before
        new: u64,
        #[command(flatten)]
        at: Addresses,
        #[command(flatten)]
        catch_up: CatchUp,
    },
    /// Change where a node is reached; it runs there already
    SetAddress {
        /// Which
        node: u64,
        #[command(flatten)]
        at: Addresses,
    },
    /// Move leadership to another node
    #[command(alias = "transfer-leadership")]
    Transfer {
        /// To this one [default: the one that is furthest]
        #[arg(default_value_t = 0, hide_default_value = true)]
        node: u64,
    },
}

pub async fn run(context: &mut Context, verb: Verb) -> Result<(), CliError> {
    let client = context.client.clone();
    match verb {
        Verb::Status => {
            let answer = client.get_status(api::GetStatusRequest {}).await?;
            if context.printed_json(&answer)? { Ok(()) } else { print_status(&answer) }
        }
        Verb::Add { node, at, promote, catch_up } => {
            let added = client.add_member(add(node, at)).await?;
            if !promote {
                return if context.printed_json(&added)? { Ok(()) } else { print_members(&added.members) };
            }
            promoted(context, node, catch_up).await
        }
        Verb::Promote { node, catch_up } => promoted(context, node, catch_up).await,
        Verb::Remove { node } => {
            let answer = client.remove_member(api::RemoveMemberRequest { node_id: node }).await?;
            if context.printed_json(&answer)? { Ok(()) } else { print_members(&answer.members) }
        }
        Verb::Replace { old, new, at, catch_up } => {
            client.add_member(add(new, at)).await?;
            let request = api::ReplaceMemberRequest { old_node_id: old, new_node_id: new };
            let answer = when_in_sync(catch_up, async || client.replace_member(request).await).await?;
            if context.printed_json(&answer)? { Ok(()) } else { print_members(&answer.members) }
        }
        Verb::SetAddress { node, at } => {
            let Addresses { client_endpoint, raft_endpoint } = at;
            let request = api::SetMemberAddressRequest { node_id: node, client_endpoint, raft_endpoint };
            let answer = client.set_member_address(request).await?;
            if context.printed_json(&answer)? { Ok(()) } else { print_members(&answer.members) }
        }
        Verb::Transfer { node } => {
            let request = api::TransferLeadershipRequest { node_id: node };
            let answer = client.transfer_leadership(request).await?;
            if context.printed_json(&answer)? {
                return Ok(());
            }
            print(&format!("node {} leads", answer.leader_id))
        }
    }
}

fn add(node_id: u64, at: Addresses) -> api::AddMemberRequest {
    let Addresses { client_endpoint, raft_endpoint } = at;
    api::AddMemberRequest { node_id, client_endpoint, raft_endpoint }
}

async fn promoted(context: &Context, node: u64, catch_up: CatchUp) -> Result<(), CliError> {
    let client = context.client.clone();
    let request = api::PromoteMemberRequest { node_id: node };
    let answer = when_in_sync(catch_up, async || client.promote_member(request).await).await?;
    if context.printed_json(&answer)? { Ok(()) } else { print_members(&answer.members) }
}

/// Asks again as long as the answer is that the node has not caught up; says how far it is.
async fn when_in_sync<T>(catch_up: CatchUp, ask: impl AsyncFn() -> Result<T, ClientError>) -> Result<T, CliError> {
    let deadline = Instant::now() + Duration::from_secs(catch_up.seconds);
    loop {
        match ask().await {
            Err(ClientError::Refused(refusal)) if refusal.reason == NOT_IN_SYNC && Instant::now() < deadline => {
                eprintln!("{}", refusal.message);
                tokio::time::sleep(SYNC_POLL).await;
            }
            answer => return Ok(answer?),
        }
    }
}

fn print_status(status: &api::GetStatusResponse) -> Result<(), CliError> {
    let leader = match status.leader_id {
        0 => "none".to_owned(),
        id => format!("node {id}, {}", status.leader_endpoint),
    };
    let mut rows = vec![
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
        ("without a leader", status.figures.as_ref().map(leaderless).unwrap_or_default()),
        ("copies in sync", status.figures.as_ref().map(copies).unwrap_or_default()),
    ];
    rows.extend(missing_votes(&status.members).map(|missing| ("votes", missing)));
    rows.extend(status.repair.as_ref().map(|repair| ("repair", repaired(repair))));
    print(&list(rows))?;
    print_members(&status.members)
}

/// Who has no vote for now, and what that means for an election.
fn missing_votes(members: &[api::Member]) -> Option<String> {
    let voters: Vec<_> = members.iter().filter(|member| member.voter).collect();
    let without: Vec<_> =
        voters.iter().filter(|member| member.under_repair).map(|member| format!("node {}", member.node_id)).collect();
    if without.is_empty() {
        return None;
    }
    let (have, needed) = (voters.len() - without.len(), voters.len() / 2 + 1);
    let then = if have < needed {
        format!("an election needs {needed} votes, so that a leader that is lost cannot be replaced until then")
    } else {
        format!("an election needs {needed} of the {have} other votes")
    };
    let verb = if without.len() == 1 { "is" } else { "are" };
    Some(format!(
        "{} {verb} under repair, without a vote until a leader has brought it up; {then}",
        without.join(" and ")
    ))
}

fn repaired(repair: &api::Repair) -> String {
    let api::Repair { count, damage, aside, begun_ms, ended_ms, goal_index, matched_index, .. } = repair;
    if repair.under_way {
        let goal = match goal_index {
            0 => "until a leader has brought it up; it has heard of none yet".to_owned(),
            goal => format!("until its log has entry {goal}; it has entry {matched_index}"),
        };
        return format!("under way since {}: no vote {goal}; {damage}; set aside in {aside}", time(begun_ms * NANOS));
    }
    format!(
        "{count} in all, the last at {}: {} log entries and {} KiB from node {} in {} ms; {damage}; set aside in {aside}",
        time(ended_ms * NANOS),
        repair.entries,
        repair.bytes.div_ceil(1 << 10),
        repair.from_node_id,
        ended_ms.saturating_sub(*begun_ms),
    )
}

fn leaderless(figures: &api::Figures) -> String {
    let api::Figures { leaderless_count: count, leaderless_last_ms: last, leaderless_total_ms: total, .. } = figures;
    let before = format!("{count} times since the node's start, last {last} ms, together {total} ms");
    match figures.leaderless_now_ms {
        0 => before,
        now => format!("for {now} ms now; before, {before}"),
    }
}

fn copies(figures: &api::Figures) -> String {
    if figures.copies_in_sync == 0 {
        return "the leader knows".to_owned();
    }
    let back = match figures.resync_count {
        0 => String::new(),
        count => format!("; {count} returns, the last in sync after {} ms", figures.resync_last_ms),
    };
    format!("{} of {}{back}", figures.copies_in_sync, figures.copies_wanted)
}

fn print_members(members: &[api::Member]) -> Result<(), CliError> {
    let rows = members.iter().map(|member| {
        vec![
            member.node_id.to_string(),
            match (member.voter, member.under_repair) {
                (true, true) => "under repair",
                (true, false) => "voter",
                (false, _) => "learner",
            }
            .to_owned(),
            member.client_endpoint.clone(),
            member.raft_endpoint.clone(),
            if member.matched_index == 0 { String::new() } else { member.matched_index.to_string() },
            member.silence_ms.map(|silence| format!("{silence} ms")).unwrap_or_default(),
            member.phi.map(|phi| format!("{phi:.1}")).unwrap_or_default(),
        ]
    });
    let columns = [
        Column::Number("node"),
        Column::Text("vote"),
        Column::Text("clients"),
        Column::Text("nodes"),
        Column::Number("matched"),
        Column::Number("silent"),
        Column::Number("φ"),
    ];
    print(&table(&columns, rows))
}
