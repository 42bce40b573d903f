//! Compares what the cluster did with what the file recorded.
//!
//! Two independent checks: after each event the top levels of the cluster's book, rebuilt from its
//! records, equal the recorded row; and at an execution the maker that the cluster matched is the
//! order that Nasdaq executed, where the file showed how that order was entered.

use std::collections::HashMap;

use serde::Serialize;

use super::book::Book;
use super::lobster::Day;
use super::plan::{Action, Planned, Step};
use crate::client::api;
use crate::core::types::Side;

/// What was counted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Rows of the file that were played.
    pub events: u64,
    /// Commands that were answered.
    pub commands: u64,
    /// Of these, those that had been answered before this run.
    pub duplicates: u64,
    /// Of these, those that the ledger refused.
    pub rejected: u64,
    /// Orders that stand for what the file does not show.
    pub seeds: u64,
    /// Sides of the book that were compared: two an event.
    pub sides_total: u64,
    /// Of these, those with the recorded prices and sizes.
    pub sides_equal: u64,
    /// Executions of orders that the file showed entering.
    pub executions_known: u64,
    /// Executions of other orders.
    pub executions_unknown: u64,
    /// Known executions in which the cluster matched the order that Nasdaq executed, and no other.
    pub makers_equal: u64,
    /// The other known executions.
    pub makers_differ: u64,
    /// Records of the market that this replay did not cause.
    pub foreign_records: u64,
}

/// The comparison, event by event.
#[derive(Debug)]
pub struct Checker<'a> {
    day: &'a Day,
    /// The book that the cluster's records make.
    pub book: Book,
    orders: HashMap<Step, u64>,
    /// What was counted so far.
    pub tally: Tally,
}

impl<'a> Checker<'a> {
    /// Starts before the first event.
    #[must_use]
    pub fn new(day: &'a Day) -> Self {
        Self { day, book: Book::default(), orders: HashMap::new(), tally: Tally::default() }
    }

    /// Counts an answer.
    pub fn answer(&mut self, planned: &Planned, result: &api::CommandResult) {
        self.tally.commands += 1;
        self.tally.duplicates += u64::from(result.duplicate);
        self.tally.rejected += u64::from(result.rejection != 0);
        self.tally.seeds += u64::from(matches!(planned.action, Action::Enter { seed: true, .. }));
    }

    /// Takes in the record of a command that was carried out.
    pub fn record(&mut self, planned: &Planned, record: &api::Record) {
        self.book.apply(record);
        match planned.action {
            Action::Enter { .. } => {
                let accepted =
                    record.events.iter().find(|event| matches!(event.body, Some(api::event::Body::OrderAccepted(_))));
                if let Some(accepted) = accepted {
                    self.orders.insert(planned.step, accepted.sequence);
                }
            }
            Action::Take { maker, .. } => self.execution(maker, record),
            Action::Reduce { .. } | Action::Cancel { .. } => {}
        }
    }

    fn execution(&mut self, maker: Option<Step>, record: &api::Record) {
        let Some(maker) = maker else {
            self.tally.executions_unknown += 1;
            return;
        };
        let expected = self.orders.get(&maker);
        let mut makers = record.events.iter().filter_map(|event| match &event.body {
            Some(api::event::Body::Trade(trade)) => Some(trade.maker_order_id),
            _ => None,
        });
        let first = makers.next();
        let equal = first.is_some() && first.as_ref() == expected && makers.all(|other| Some(&other) == expected);
        self.tally.executions_known += 1;
        self.tally.makers_equal += u64::from(equal);
        self.tally.makers_differ += u64::from(!equal);
    }

    /// Takes in a record that this replay did not cause.
    pub fn foreign(&mut self, record: &api::Record) {
        let refused = |event: &api::Event| matches!(event.body, Some(api::event::Body::Rejected(_)));
        if !record.events.iter().all(refused) {
            self.tally.foreign_records += 1;
        }
        self.book.apply(record);
    }

    /// Compares the book after the commands of an event with the recorded one.
    pub fn end_of_event(&mut self, event: u32) {
        let row = &self.day.rows[event as usize];
        for side in [Side::Buy, Side::Sell] {
            self.tally.sides_total += 1;
            self.tally.sides_equal += u64::from(self.book.equals(side, row, self.day.depth));
        }
    }
}
