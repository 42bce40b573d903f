//! `ctl backup`: the backups of a cluster that runs.

use std::time::Duration;

use super::{Context, print};
use crate::cli::CliError;
use crate::cli::table::{Column, list, table, time};
use crate::client::api;

/// Between two looks at whether a backup is complete.
const POLL: Duration = Duration::from_millis(500);

const NANOS_PER_MS: u64 = 1_000_000;

/// What is backed up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// Everything
    Full,
    /// What came since the last full one
    Differential,
    /// What came since the last one of any kind
    Incremental,
}

impl Kind {
    fn to_wire(self) -> i32 {
        i32::from(match self {
            Self::Full => api::BackupKind::Full,
            Self::Differential => api::BackupKind::Differential,
            Self::Incremental => api::BackupKind::Incremental,
        })
    }
}

#[derive(Debug, clap::Subcommand)]
pub enum Verb {
    /// How the backups are doing, as the first node that answers sees it
    Status,
    /// Make one now, on a follower if there is one
    Run {
        /// What is backed up
        #[arg(value_enum)]
        kind: Kind,
        /// Wait until it is complete and checked, as long as this many seconds
        #[arg(long, value_name = "SECONDS")]
        wait: Option<u64>,
    },
    /// The complete ones
    List,
    /// Check one now
    Verify {
        /// Which
        backup: String,
        /// Restore it on trial, too
        #[arg(long)]
        trial: bool,
        /// Wait until it is checked, as long as this many seconds
        #[arg(long, value_name = "SECONDS")]
        wait: Option<u64>,
    },
}

pub async fn run(context: &mut Context, verb: Verb) -> Result<(), CliError> {
    let client = context.client.clone();
    match verb {
        Verb::Status => {
            let answer = client.get_backup_status(api::GetBackupStatusRequest {}).await?;
            if context.printed_json(&answer)? { Ok(()) } else { print_status(&answer) }
        }
        Verb::List => {
            let answer = client.list_backups(api::ListBackupsRequest {}).await?;
            if context.printed_json(&answer)? { Ok(()) } else { print_list(&answer) }
        }
        Verb::Run { kind, wait } => {
            let answer = client.run_backup(api::RunBackupRequest { kind: kind.to_wire() }).await?;
            let Some(seconds) = wait else {
                let done = context.printed_json(&answer)?;
                return if done {
                    Ok(())
                } else {
                    print(&format!("node {} makes {}", answer.node_id, answer.backup_id))
                };
            };
            let made = wait_for(context, seconds, |backups| {
                find(backups, &answer.backup_id).filter(|backup| backup.check.is_some())
            });
            finish(context, made.await?)
        }
        Verb::Verify { backup, trial, wait } => {
            let old = find(&client.list_backups(api::ListBackupsRequest {}).await?.backups, &backup);
            let checked_before = old.and_then(|old| old.check).map_or(0, |check| check.at_ms);
            let request = api::CheckBackupRequest { backup_id: backup.clone(), trial };
            let answer = client.check_backup(request).await?;
            let Some(seconds) = wait else {
                let done = context.printed_json(&answer)?;
                return if done { Ok(()) } else { print(&format!("node {} checks it", answer.node_id)) };
            };
            let checked = wait_for(context, seconds, |backups| {
                let found = find(backups, &backup)?;
                found.check.as_ref().is_some_and(|check| check.at_ms > checked_before).then_some(found)
            });
            finish(context, checked.await?)
        }
    }
}

fn find(backups: &[api::Backup], id: &str) -> Option<api::Backup> {
    backups.iter().find(|backup| backup.backup_id == id).cloned()
}

/// Looks at the list until it has what is waited for.
async fn wait_for(
    context: &Context,
    seconds: u64,
    wanted: impl Fn(&[api::Backup]) -> Option<api::Backup>,
) -> Result<api::Backup, CliError> {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(seconds);
    loop {
        let answer = context.client.list_backups(api::ListBackupsRequest {}).await?;
        if let Some(backup) = wanted(&answer.backups) {
            return Ok(backup);
        }
        if tokio::time::Instant::now() > deadline {
            let status = context.client.get_backup_status(api::GetBackupStatusRequest {}).await?;
            let why = if status.last_problem.is_empty() { String::new() } else { format!(": {}", status.last_problem) };
            return Err(CliError::Check(format!("not done within {seconds} s{why}")));
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Prints a backup that was checked; one that is not good is a failure.
fn finish(context: &Context, backup: api::Backup) -> Result<(), CliError> {
    let problem = backup.check.as_ref().map(|check| check.problem.clone()).unwrap_or_default();
    if !context.printed_json(&backup)? {
        print(&backups(std::slice::from_ref(&backup)))?;
    }
    if problem.is_empty() { Ok(()) } else { Err(CliError::Check(format!("{}: {problem}", backup.backup_id))) }
}

fn print_list(answer: &api::ListBackupsResponse) -> Result<(), CliError> {
    print(&backups(&answer.backups))?;
    answer.problems.iter().try_for_each(|problem| print(problem))
}

fn backups(backups: &[api::Backup]) -> String {
    let columns = [
        Column::Text("backup"),
        Column::Number("node"),
        Column::Text("complete at"),
        Column::Number("bytes"),
        Column::Number("from event"),
        Column::Number("to event"),
        Column::Text("of the time"),
        Column::Text("checked"),
    ];
    let checked = |check: Option<&api::BackupCheck>| match check {
        None => "no".to_owned(),
        Some(check) if !check.problem.is_empty() => check.problem.clone(),
        Some(check) if check.trial => {
            let but = if check.log_applied { "" } else { " but for applying the log" };
            format!("good, restored on trial{but}, {} recovered", check.recovery_rate)
        }
        Some(_) => "good".to_owned(),
    };
    let rows = backups.iter().map(|backup| {
        vec![
            backup.backup_id.clone(),
            backup.node_id.to_string(),
            time(backup.ended_ms.saturating_mul(NANOS_PER_MS)),
            backup.bytes.to_string(),
            backup.first_sequence.to_string(),
            backup.last_sequence.to_string(),
            time(backup.last_time),
            checked(backup.check.as_ref()),
        ]
    });
    table(&columns, rows)
}

fn print_status(answer: &api::GetBackupStatusResponse) -> Result<(), CliError> {
    if answer.target.is_empty() {
        return print("this node has no backup target");
    }
    let none = |text: &str| if text.is_empty() { "none".to_owned() } else { text.to_owned() };
    let mut facts = vec![
        ("target", answer.target.clone()),
        ("backups", answer.backups.to_string()),
        ("newest good", none(&answer.newest_good_id)),
    ];
    if !answer.newest_good_id.is_empty() {
        facts.push(("begun", format!("{:?} ago", Duration::from_millis(answer.newest_good_age_ms))));
    }
    facts.push(("alarm", none(&answer.alarm)));
    facts.push((
        "at work",
        if answer.work.is_empty() { "no".to_owned() } else { format!("{}, {} bytes", answer.work, answer.work_bytes) },
    ));
    facts.push(("last problem", none(&answer.last_problem)));
    print(&list(facts))
}
