//! The verdict, for people and for programs.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::time::Duration;

use serde::Serialize;

use super::drill::Inflicted;
use super::{Args, Told};
use crate::checker::Verdict;
use crate::cli::CliError;
use crate::cli::args::Output;
use crate::cli::table::{Column, list, table};

/// How long something took, over several times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
struct Spread {
    median: u64,
    max: u64,
}

impl Spread {
    fn of(values: impl Iterator<Item = u64>) -> Self {
        let mut values: Vec<u64> = values.collect();
        values.sort_unstable();
        let median = values.get(values.len() / 2).copied().unwrap_or_default();
        Self { median, max: values.last().copied().unwrap_or_default() }
    }
}

/// All that a run showed.
#[derive(Debug, Serialize)]
pub struct Outcome {
    scenario: String,
    target: &'static str,
    nodes: usize,
    seconds: f64,
    /// Commands that clients were given an answer to.
    acknowledged: u64,
    /// Commands whose answer is not known, and those of them that took effect.
    unknown: u64,
    unknown_done: u64,
    reads: u64,
    lost: u64,
    duplicated: u64,
    misread: u64,
    linearizable: bool,
    /// How often each kind of fault was inflicted.
    faults: BTreeMap<String, u64>,
    leader_changes: u64,
    /// The longest time without an answer to a steady writer, per fault.
    gap_ms: Spread,
    /// The same from the mending on.
    mend_gap_ms: Spread,
    /// From the mending until in sync.
    rejoin_ms: Spread,
    /// Calls that a client gave up, by reason.
    failed_calls: BTreeMap<String, u64>,
    /// How often each kind of event is in the journal.
    events: BTreeMap<&'static str, u64>,
    inflicted: Vec<Inflicted>,
    /// What must not be; the first of them.
    violations: Vec<String>,
    /// What was too quiet.
    void: Vec<String>,
    verdict: String,
}

impl Outcome {
    /// Puts together what was told.
    pub(super) fn new(args: &Args, target: &'static str, nodes: usize, elapsed: Duration, told: Told) -> Self {
        let Told { closing, inflicted, counts, leader_changes, failures, too_quiet } = told;
        let report = closing.report;
        let mut violations: Vec<String> = report.kept.iter().map(ToString::to_string).collect();
        violations.extend(closing.journals_differ.iter().map(|node| format!("node {node} has another journal")));
        let verdict = match violations.is_empty() {
            true => report.verdict(&too_quiet),
            false => Verdict::Failed,
        };
        Self {
            scenario: args.scenario.name(),
            target,
            nodes,
            seconds: (elapsed.as_secs_f64() * 10.0).round() / 10.0,
            acknowledged: report.acknowledged,
            unknown: report.unknown,
            unknown_done: report.unknown_done,
            reads: report.reads,
            lost: report.lost,
            duplicated: report.doubled,
            misread: report.misread,
            linearizable: report.holds() && report.complete,
            faults: counts,
            leader_changes,
            gap_ms: Spread::of(inflicted.iter().map(|one| one.gap_ms)),
            mend_gap_ms: Spread::of(inflicted.iter().map(|one| one.mend_gap_ms)),
            rejoin_ms: Spread::of(inflicted.iter().map(|one| one.rejoin_ms)),
            failed_calls: failures,
            events: report.seen,
            inflicted,
            violations,
            void: too_quiet,
            verdict: verdict.to_string(),
        }
    }

    /// Prints it.
    pub fn print(&self, output: Output) -> Result<(), CliError> {
        let mut out = std::io::stdout().lock();
        if output == Output::Json {
            writeln!(out, "{:#}", serde_json::to_value(self).unwrap_or_default())?;
            return Ok(());
        }
        writeln!(out, "{}\n", self.by_fault())?;
        let spread = |spread: Spread| format!("median {} ms, longest {} ms", spread.median, spread.max);
        let unknown = format!("{}, of which {} took effect", self.unknown, self.unknown_done);
        let failed: u64 = self.failed_calls.values().sum();
        let rows = [
            ("scenario", format!("{}, {} nodes ({}), {:.0} s", self.scenario, self.nodes, self.target, self.seconds)),
            ("acknowledged", self.acknowledged.to_string()),
            ("unknown", unknown),
            ("reads", self.reads.to_string()),
            ("lost", self.lost.to_string()),
            ("duplicated", self.duplicated.to_string()),
            ("misread", self.misread.to_string()),
            ("linearizable", if self.linearizable { "yes".to_owned() } else { "no".to_owned() }),
            ("leader changes", self.leader_changes.to_string()),
            ("pause", spread(self.gap_ms)),
            ("back in sync", spread(self.rejoin_ms)),
            ("failed calls", failed.to_string()),
        ];
        writeln!(out, "{}", list(rows))?;
        for violation in &self.violations {
            writeln!(out, "  {violation}")?;
        }
        for quiet in &self.void {
            writeln!(out, "  too quiet: {quiet}")?;
        }
        writeln!(out, "verdict: {}", self.verdict)?;
        Ok(())
    }

    /// A row per kind of fault.
    fn by_fault(&self) -> String {
        let columns = [
            Column::Text("fault"),
            Column::Number("times"),
            Column::Number("pause median ms"),
            Column::Number("longest ms"),
            Column::Number("in sync median ms"),
            Column::Number("longest ms"),
        ];
        let rows = self.faults.iter().map(|(fault, times)| {
            let of = |pick: fn(&Inflicted) -> u64| {
                Spread::of(self.inflicted.iter().filter(|one| one.fault == fault).map(pick))
            };
            let (gap, rejoin) = (of(|one| one.gap_ms), of(|one| one.rejoin_ms));
            let numbers = [*times, gap.median, gap.max, rejoin.median, rejoin.max];
            std::iter::once(fault.clone()).chain(numbers.map(|number| number.to_string())).collect()
        });
        table(&columns, rows)
    }

    /// Success only when all held and enough happened.
    pub fn judge(&self) -> Result<(), CliError> {
        match self.verdict.as_str() {
            "ok" => Ok(()),
            "void" => Err(CliError::Check(format!("the run was too quiet to count: {}", self.void.join("; ")))),
            _ => Err(CliError::Check("the cluster did not keep its promises".to_owned())),
        }
    }
}
