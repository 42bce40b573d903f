//! Runs the transcripts of tests/core/golden: each is a story of commands and the events they must cause.
//!
//! `UPDATE_GOLDEN=1` rewrites the files with what the ledger says now. Read every changed line.

// Outside of test functions clippy does not see that this is a test.
#![allow(clippy::unwrap_used)]

#[path = "golden/names.rs"]
mod names;
#[path = "golden/parse.rs"]
mod parse;
#[path = "golden/parse_planning.rs"]
mod parse_planning;
#[path = "golden/parse_production.rs"]
mod parse_production;
#[path = "golden/print.rs"]
mod print;
#[path = "golden/print_planning.rs"]
mod print_planning;
#[path = "golden/print_production.rs"]
mod print_production;
mod support;

use std::fmt::Write;
use std::path::PathBuf;

use counterfoil_core::RecordKey;
use counterfoil_core::command::Command;
use counterfoil_core::event::{EventBody, Outcome};
use counterfoil_core::types::{Timestamp, WorkOrderId};

use names::Names;
use support::bench::Bench;
use support::fold::Fold;

/// 2012-06-21 09:30:00 in New York; any time would do.
const START: Timestamp = Timestamp(1_340_285_400_000_000_000);

struct Transcript {
    names: Names,
    bench: Bench,
    fold: Fold,
    orders: print::Orders,
    now: Timestamp,
    chain: Vec<Command>,
    last: Vec<Command>,
    out: String,
}

impl Transcript {
    fn new() -> Self {
        Self {
            names: Names::default(),
            bench: Bench::new(),
            fold: Fold::default(),
            orders: print::Orders::new(),
            now: START,
            chain: Vec::new(),
            last: Vec::new(),
            out: String::new(),
        }
    }

    /// Carries out one line and writes it with its answer. Lines that are answers are left out.
    fn line(&mut self, line: &str) -> Result<(), String> {
        if line.starts_with("  ") {
            return Ok(());
        }
        let _ = writeln!(self.out, "{line}");
        match line.split_once(' ') {
            Some((".", rest)) => rest.split(';').try_for_each(|command| self.given(command.trim())),
            Some((">", rest)) => self.command(rest),
            Some(("?", rest)) => self.question(rest),
            _ if line.is_empty() || line.starts_with('#') => Ok(()),
            _ => Err("a line starts with '#', '.', '>' or '?'".to_owned()),
        }
    }

    /// A command of the scene: it must succeed, and its events are not shown.
    fn given(&mut self, line: &str) -> Result<(), String> {
        let shown = self.out.len();
        self.command(line)?;
        let refused = matches!(self.bench.records.last(), Some(record) if matches!(record.events[0].body, EventBody::Rejected(_)));
        if refused {
            return Err(format!("refused: {}", &self.out[shown..]));
        }
        self.out.truncate(shown);
        Ok(())
    }

    fn command(&mut self, line: &str) -> Result<(), String> {
        let commands = match line.split_once(' ') {
            _ if line == "again" => self.last.clone(),
            Some(("wait", time)) => {
                self.now.0 += parse::seconds(time)?;
                Vec::new()
            }
            _ => {
                self.chain.push(parse::command(line, &mut self.names, START)?);
                if self.chain.last().is_some_and(|command| command.linked) {
                    return Ok(());
                }
                std::mem::take(&mut self.chain)
            }
        };
        if !commands.is_empty() {
            self.last.clone_from(&commands);
        }
        let (outcomes, first) = self.bench.propose(self.now, commands.clone());
        let mut answered = first;
        let by_time = self.bench.records[first..].iter().take_while(|record| record.origin.is_none()).count();
        for place in first..first + by_time {
            self.show(place, None);
            answered += 1;
        }
        for (command, outcome) in commands.iter().zip(&outcomes) {
            match outcome {
                Outcome::Applied { .. } => {
                    self.show(answered, Some(command));
                    answered += 1;
                }
                Outcome::Duplicate { sequence } => writeln!(self.out, "  answered before, at #{sequence}").unwrap(),
                Outcome::IdReused { sequence } => {
                    writeln!(self.out, "  refused: the id is taken, at #{sequence}").unwrap()
                }
            }
        }
        if answered == first && outcomes.is_empty() {
            let _ = writeln!(self.out, "  nothing is due");
        }
        assert_eq!(answered, self.bench.records.len(), "every record answers a command");
        self.check(&outcomes, first);
        Ok(())
    }

    fn show(&mut self, place: usize, command: Option<&Command>) {
        let record = self.bench.records[place].clone();
        self.fold.add(&record, command);
        self.fold.check_limits();
        for event in &record.events {
            match &event.body {
                EventBody::WorkOrderCreated(created) => match created.order.plan {
                    Some(plan) => self.names.add_ordered(plan, created.order.id.0, created.order.product),
                    None => self.names.add_work_order(created.order.command, created.order.id),
                },
                EventBody::PurchasePlanned(planned) => {
                    let purchase = &planned.purchase;
                    self.names.add_ordered(purchase.plan, purchase.id.0, purchase.item);
                }
                EventBody::PlanCreated(created) => {
                    let command = command.expect("a plan is created by a command");
                    self.names.add_plan(command.id, created.plan.id);
                }
                _ => {}
            }
        }
        print::record(&record, &self.names, &mut self.orders, &mut self.out);
    }

    /// What holds after every line, whatever the transcript says.
    fn check(&self, outcomes: &[Outcome], first: usize) {
        self.fold.check_books();
        let rejected = |place: usize| matches!(self.bench.records[place].events[0].body, EventBody::Rejected(_));
        let nothing_done = (first..self.bench.records.len()).all(rejected);
        if nothing_done && !outcomes.is_empty() {
            let header = |key: &RecordKey| key.table == counterfoil_core::Table::Header;
            assert!(self.bench.changed().iter().all(header), "a refused command changes nothing but its own record");
        }
    }

    fn question(&mut self, line: &str) -> Result<(), String> {
        match line.split_once(' ') {
            Some(("book", symbol)) => print::book(&self.bench, symbol, &self.names, &mut self.out),
            Some(("last", symbol)) => print::last(&self.bench, symbol, &self.names, &mut self.out),
            Some(("balance", account)) => print::balances(&self.bench, account, &self.names, &mut self.out),
            Some((what, name)) => return self.question_of_production(what, name),
            None => return Err(format!("what of it: {line}")),
        }
        Ok(())
    }

    fn question_of_production(&mut self, what: &str, name: &str) -> Result<(), String> {
        let (ledger, names, out) = (&self.bench.ledger, &mut self.names, &mut self.out);
        match what {
            "work-order" => {
                let id = match names.ordered(name) {
                    Some((id, _)) => WorkOrderId(id),
                    None => {
                        let command = names.label(name);
                        names.work_order(command)
                    }
                };
                print_production::work_order(ledger, id, names, out);
            }
            "requirements" => {
                let question = parse_planning::question(name, names)?;
                print_planning::requirements(ledger, &question, names, out);
            }
            "lots" => print_production::lots(ledger, names.account(name), names, out),
            "reorder" => print_production::reorder(ledger, name, names, out),
            "where-used" => print_production::where_used(ledger, names.asset(name).id, names, out),
            _ => return Err("? book MARKET, last MARKET, balance ACCOUNT, work-order ORDER …".to_owned()),
        }
        Ok(())
    }
}

fn run(text: &str) -> Result<String, String> {
    let mut transcript = Transcript::new();
    for (number, line) in text.lines().enumerate() {
        transcript.line(line).map_err(|error| format!("line {}: {line}\n{error}", number + 1))?;
    }
    assert!(transcript.chain.is_empty(), "the last command of a chain is not linked");
    transcript.bench.check_every_change_was_marked();
    Ok(transcript.out)
}

fn difference(wanted: &str, got: &str) -> String {
    let (wanted, got): (Vec<_>, Vec<_>) = (wanted.lines().collect(), got.lines().collect());
    let same = wanted.iter().zip(&got).take_while(|(one, other)| one == other).count();
    let from = same.saturating_sub(6);
    let part = |lines: &[&str]| lines[from.min(lines.len())..(same + 8).min(lines.len())].join("\n");
    format!("from line {}:\n--- expected\n{}\n--- got\n{}", same + 1, part(&wanted), part(&got))
}

#[test]
fn every_transcript_comes_true() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/core/golden");
    let mut files: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "txt"));
    files.sort();
    assert!(files.len() >= 20, "the transcripts are in {}", folder.display());
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let mut failures = String::new();
    for file in files {
        let wanted = std::fs::read_to_string(&file).unwrap();
        let name = file.file_stem().unwrap().to_string_lossy().into_owned();
        match std::panic::catch_unwind(|| run(&wanted)) {
            Ok(Ok(got)) if got == wanted => {}
            Ok(Ok(got)) if update => std::fs::write(&file, got).unwrap(),
            Ok(Ok(got)) => writeln!(failures, "== {name}, {}", difference(&wanted, &got)).unwrap(),
            Ok(Err(error)) => writeln!(failures, "== {name}, {error}").unwrap(),
            Err(_) => writeln!(failures, "== {name} panicked, see above").unwrap(),
        }
    }
    assert!(failures.is_empty(), "\n{failures}");
}

#[test]
fn a_wrong_transcript_does_not_pass() {
    let text = "> asset USD 2\n  #1 asset USD\n> account bob\n  #2 account bob\n";
    assert_eq!(run(text).as_deref(), Ok(text));
    let wrong = text.replace("#2 account bob", "#2 account eve");
    assert_ne!(run(&wrong), Ok(wrong));
    assert!(run("> order nobody dances").is_err());
}
