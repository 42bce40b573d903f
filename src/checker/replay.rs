//! The journal, done again: the same commands at the same stamps must make the same records.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::books::Books;
use super::foreign;
use super::history::History;
use super::report::{Report, Violation};
use crate::client::{api, id_to_hex};
use crate::core::command::{Command, CommandKey, Proposal};
use crate::core::event::{Effects, RecordView};
use crate::core::reply::Summary;
use crate::core::types::{LogIndex, Sequence, Stamp, Term, Timestamp};
use crate::core::{Ledger, Used};
use crate::server::convert;

/// The ids that were used so far.
#[derive(Debug, Default)]
struct UsedIds(BTreeMap<CommandKey, Used>);

impl crate::core::History for UsedIds {
    fn find(&self, key: &CommandKey) -> Option<Used> {
        self.0.get(key).copied()
    }

    fn remember(&mut self, key: CommandKey, used: Used) {
        self.0.insert(key, used);
    }
}

/// The ledger that the journal makes.
#[derive(Debug, Default)]
pub(super) struct Replay {
    ledger: Ledger,
    used: UsedIds,
    effects: Effects,
    books: Books,
    /// The journal is not what the commands make, or has holes: from there on nothing can be
    /// compared.
    given_up: bool,
}

impl Replay {
    /// The ledger as it is now; `None` when it no longer says anything.
    pub(super) fn ledger(&self) -> Option<&Ledger> {
        (!self.given_up).then_some(&self.ledger)
    }

    /// Stops replaying, for a reason that is reported already.
    pub(super) fn give_up(&mut self) {
        self.given_up = true;
    }

    /// Does the commands of one log entry again, and compares records and answers.
    pub(super) fn apply(&mut self, group: &[api::Record], history: &History, report: &mut Report) {
        if self.given_up {
            return;
        }
        if let Err(what) = self.compare(group, history, report) {
            let sequence = group.first().and_then(|record| record.position).unwrap_or_default().sequence;
            report.add(Violation::Diverged { sequence: Sequence(sequence), what });
            self.given_up = true;
        }
    }

    fn compare(&mut self, group: &[api::Record], history: &History, report: &mut Report) -> Result<(), String> {
        let Some(first) = group.first() else { return Ok(()) };
        let position = first.position.unwrap_or_default();
        let time = Timestamp(first.time);
        let stamp = Stamp { term: Term(position.term), index: LogIndex(position.index), time };
        let commands = group.iter().filter_map(|record| command(record, history).transpose());
        let proposal = Proposal::new(time, commands.collect::<Result<_, _>>()?);
        self.effects.clear();
        self.ledger.apply(stamp, &proposal, &mut self.used, &mut self.effects);
        if self.effects.record_count() != group.len() {
            let made = self.effects.record_count();
            return Err(format!("log entry {} has {} records, its commands make {made}", position.index, group.len()));
        }
        for (replayed, recorded) in self.effects.records().zip(group) {
            let made = convert::event::record(replayed);
            let own = history.find(&recorded.command_id);
            let stands_in = own.is_none() && foreign::is_refusal(recorded) && foreign::is_refusal(&made);
            if made != *recorded && !stands_in {
                return Err(format!("the journal has {recorded:?}, its command makes {made:?}"));
            }
            if let Some(operation) = own
                && let Some(told) = history.operations()[operation.0].told()
            {
                compare_answer(&told, &recorded.command_id, replayed, report);
            }
            self.books.add(replayed)?;
            report.count(replayed);
        }
        Ok(())
    }

    /// What must hold of the last state.
    pub(super) fn check_end(&self, report: &mut Report) {
        report.complete = !self.given_up;
        let Some(ledger) = self.ledger() else { return };
        if let Err(broken) = ledger.check_invariants() {
            report.add(Violation::Invariant { what: broken.to_string() });
        }
        if let Err(what) = self.books.compare(ledger) {
            report.add(Violation::Invariant { what });
        }
    }
}

/// The command that the record answers: as it was sent, or made up from what it did.
fn command(record: &api::Record, history: &History) -> Result<Option<Command>, String> {
    let wire = match history.find(&record.command_id) {
        Some(operation) => Some(history.operations()[operation.0].command()),
        None => foreign::command_of(record),
    };
    let Some(wire) = wire else { return Ok(None) };
    let checked = convert::command::command(&wire);
    checked.map(Some).map_err(|invalid| format!("{wire:?} was carried out, and has no meaning: {invalid:?}"))
}

fn compare_answer(told: &api::CommandResult, id: &Bytes, replayed: RecordView<'_>, report: &mut Report) {
    let is = convert::result::result(id.clone(), &Summary::of(replayed), false);
    if *told != is {
        let id = id_to_hex(id);
        report.add(Violation::ToldOtherwise { id, told: format!("{told:?}"), is: format!("{is:?}") });
    }
}
