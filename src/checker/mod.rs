//! The checker: whether what clients were told is what one ledger did, in an order that they could
//! have seen.
//!
//! One implementation for simulation, process and container tests and for `counterfoil chaos`. A
//! [`History`] says what clients sent, read and were told, and when. A [`Checker`] takes that and
//! every record of the journal from the first one on, replays the records in the order of the log
//! through the core, and gives a [`Report`]:
//!
//! - the records are what the commands make, without a gap, and every result is what the client was
//!   told;
//! - what was answered before something else was sent stands before it in the log; with the replay
//!   this proves linearizability in near-linear time (RELIABILITY.md, section 1);
//! - every acknowledged command is there once, one without an answer at most once, a refused one not
//!   at all;
//! - a read shows the ledger as it was at the read's sequence; a linearizable one sees everything
//!   that was answered before, and no read sees what was sent later;
//! - in the end the invariants hold, the balances are the fold of the postings, filled, open and
//!   cancelled make up what was ordered, and all nodes have one digest.
//!
//! A run that was too quiet to prove anything is void; [`Demands`] says what is expected of it.
//!
//! Knows no clock: a [`Moment`] comes from whoever records. May call the core, the conversion between
//! core and wire, and the client's types.

mod books;
mod demands;
mod foreign;
mod history;
mod order;
mod reads;
mod replay;
mod report;
#[cfg(test)]
mod tests;

pub use demands::{Demands, Seen};
pub use history::{History, Moment, OperationId, Read, ReadKind, ReadLevel};
pub use report::{NodeState, Report, Verdict, Violation};

use history::Operation;
use order::Placed;
use reads::PendingReads;
use replay::Replay;

use crate::client::api;
use crate::core::types::{LogIndex, Sequence};

/// Checks one history against one journal.
#[derive(Debug)]
pub struct Checker {
    history: History,
    /// Where each operation stands in the journal.
    placed: Vec<Option<Placed>>,
    reads: PendingReads,
    replay: Replay,
    /// The records of the log entry that is being read.
    group: Vec<api::Record>,
    last: api::Position,
    last_time: u64,
    report: Report,
}

impl Checker {
    /// A checker of this history, before the first record.
    #[must_use]
    pub fn new(history: History) -> Self {
        let placed = vec![None; history.operations().len()];
        let reads = PendingReads::of(&history);
        Self {
            history,
            placed,
            reads,
            replay: Replay::default(),
            group: Vec::new(),
            last: api::Position::default(),
            last_time: 0,
            report: Report::default(),
        }
    }

    /// Takes the next record of the journal; the first one is that of sequence 1.
    pub fn record(&mut self, record: api::Record) {
        let position = record.position.unwrap_or_default();
        self.check_place(&record, position);
        if position.index != self.last.index {
            self.end_group();
        }
        let events = record.events.len() as u64;
        self.last = api::Position { sequence: position.sequence + events.saturating_sub(1), ..position };
        self.last_time = record.time;
        self.report.records += 1;
        self.report.events += events;
        if let Some(operation) = self.history.find(&record.command_id) {
            self.place(operation, position);
        } else if !record.command_id.is_empty() {
            self.report.foreign += 1;
        }
        self.group.push(record);
    }

    /// Numbers without gaps, positions and times that never go back.
    fn check_place(&mut self, record: &api::Record, position: api::Position) {
        let (expected, found) = (Sequence(self.last.sequence + 1), Sequence(position.sequence));
        let numbers = record.events.iter().map(|event| event.sequence);
        let in_order = !record.events.is_empty() && numbers.eq((found.0..).take(record.events.len()));
        if !in_order || found != expected {
            self.report.add(Violation::Gap { expected, found });
            self.replay.give_up();
        }
        let backwards =
            position.index < self.last.index || position.term < self.last.term || record.time < self.last_time;
        if backwards {
            self.report.add(Violation::Backwards { sequence: found });
        }
    }

    fn place(&mut self, operation: OperationId, position: api::Position) {
        let here = Placed { index: LogIndex(position.index), sequence: Sequence(position.sequence) };
        let recorded = &self.history.operations()[operation.0];
        if recorded.refused {
            self.report.add(Violation::RefusedButDone { id: recorded.id(), sequence: here.sequence });
        }
        match self.placed[operation.0] {
            Some(first) => {
                let violation = Violation::Doubled { id: recorded.id(), first: first.sequence, second: here.sequence };
                self.report.add(violation);
                self.replay.give_up();
            }
            None => self.placed[operation.0] = Some(here),
        }
    }

    /// A log entry is complete: replays it, compares, and looks at what was read behind it.
    fn end_group(&mut self) {
        let group = std::mem::take(&mut self.group);
        let Some(position) = group.first().and_then(|record| record.position) else { return };
        self.reads.compare_before(Sequence(position.sequence), &self.replay, &mut self.report);
        self.replay.apply(&group, &self.history, &mut self.report);
    }

    /// The journal has been read to its end; `nodes` is what each node says of itself there.
    #[must_use]
    pub fn finish(mut self, nodes: &[NodeState]) -> Report {
        self.end_group();
        let end = Sequence(self.last.sequence);
        self.reads.compare_before(end.plus(1), &self.replay, &mut self.report);
        self.reads.refuse_rest(end, &mut self.report);
        self.report.reads = self.history.reads().len() as u64;
        self.count_operations();
        order::check_commands(&self.history, &self.placed, &mut self.report);
        order::check_reads(&self.history, &self.placed, &mut self.report);
        self.replay.check_end(&mut self.report);
        check_nodes(nodes, end, &mut self.report);
        self.report
    }

    fn count_operations(&mut self) {
        for (operation, placed) in self.history.operations().iter().zip(&self.placed) {
            let Operation { answered, refused, .. } = operation;
            match answered {
                Some(_) => {
                    self.report.acknowledged += 1;
                    if placed.is_none() {
                        self.report.add(Violation::Lost { id: operation.id() });
                    }
                }
                None if *refused => self.report.refused += 1,
                None => {
                    self.report.unknown += 1;
                    self.report.unknown_done += u64::from(placed.is_some());
                }
            }
        }
        for (operation, told) in self.history.contradictions() {
            let id = self.history.operations()[operation.0].id();
            self.report.add(Violation::ToldOtherwise { id, told: told.clone(), is: "its first answer".to_owned() });
        }
    }
}

/// Every node that was looked at in quiet has all of the journal and the same state.
fn check_nodes(nodes: &[NodeState], end: Sequence, report: &mut Report) {
    let mut first: Option<&NodeState> = None;
    for node in nodes {
        if node.sequence != end {
            report.add(Violation::NodeBehind { node: node.node, sequence: node.sequence, end });
        }
        match first {
            None => first = Some(node),
            Some(first) if first.digest != node.digest || first.applied != node.applied => {
                report.add(Violation::NodesDiffer { one: first.clone(), other: node.clone() });
            }
            Some(_) => {}
        }
    }
}
