//! `counterfoil verify`: the offline check of a data folder, or of a folder of backups.

use std::io::Write as _;
use std::path::PathBuf;

use super::CliError;
use super::args::Output;
use super::backup;
use super::table::{Column, list, table};
use crate::store::verify::{StateFacts, VerifyReport};
use crate::store::{Disk, verify};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The data folder of a node that is not running, or a folder that `backup.target` names; for backups
    /// elsewhere there is `backup verify`
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// How the report is printed
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

pub fn run(args: &Args) -> Result<(), CliError> {
    if !args.folder.is_dir() {
        let source = std::io::Error::from(std::io::ErrorKind::NotADirectory);
        return Err(CliError::File { path: args.folder.clone(), source });
    }
    if backup::holds_backups(&args.folder) {
        return backup::verify_in(&args.folder, args.output);
    }
    let report = verify::verify_folder(&Disk::real(), &args.folder)
        .map_err(|error| CliError::Check(format!("{}: {error}", args.folder.display())))?;
    let mut out = std::io::stdout().lock();
    if args.output == Output::Json {
        writeln!(out, "{:#}", serde_json::to_value(&report).unwrap_or_default())?;
    } else {
        writeln!(out, "{}", list(facts(&report)))?;
        if !report.problems.is_empty() {
            writeln!(out, "{}", problems(&report))?;
        }
    }
    match report.problems.len() {
        0 => {
            if args.output == Output::Table {
                writeln!(out, "{}: all is well", args.folder.display())?;
            }
            Ok(())
        }
        count => Err(CliError::Check(format!("{}: {count} problem(s)", args.folder.display()))),
    }
}

fn problems(report: &VerifyReport) -> String {
    let rows = report.problems.iter().map(|problem| {
        let offset = problem.offset.map(|offset| offset.to_string()).unwrap_or_default();
        vec![problem.file.display().to_string(), offset, problem.reason.clone()]
    });
    table(&[Column::Text("file"), Column::Number("byte"), Column::Text("problem")], rows)
}

/// What was found, part by part.
fn facts(report: &VerifyReport) -> Vec<(&'static str, String)> {
    let none = || "none".to_owned();
    let state = |state: &StateFacts| {
        let at = state.position.clone().unwrap_or_else(none);
        let StateFacts { sequence, records, digest, .. } = state;
        format!("{records} records after log entry {at}, sequence {sequence}, digest {digest}")
    };
    let mut facts = vec![
        ("cluster", report.cluster.clone().unwrap_or_else(none)),
        ("node", report.node.map_or_else(none, |node| node.to_string())),
    ];
    if let Some(log) = &report.log {
        let (last, purged) = (log.last.clone().unwrap_or_else(none), log.purged.clone().unwrap_or_else(none));
        facts.push(("log", format!("{} entries, last {last}, purged {purged}", log.entries)));
    }
    if let Some(journal) = &report.journal {
        let (records, blocks, last) = (journal.records, journal.blocks, journal.last_sequence);
        facts.push(("journal", format!("{records} records in {blocks} blocks and a tail, sequence {last}")));
        facts.push(("journal digest", journal.digest.clone()));
    }
    if let Some(index) = &report.index {
        facts.push(("index", format!("{} entries in {} runs, {} used ids", index.entries, index.runs, index.commands)));
    }
    if let Some(found) = &report.state {
        facts.push(("state", state(found)));
        facts.push(("balances", format!("{} equal the sum of their postings", report.balances_compared)));
    }
    facts.extend(report.snapshots.iter().map(|snapshot| ("snapshot", state(snapshot))));
    facts
}
