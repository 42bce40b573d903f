//! What a read shows is the ledger as it was at the read's sequence.

use super::history::{History, Read, ReadKind};
use super::replay::Replay;
use super::report::{Report, Violation};
use crate::client::api;
use crate::core::Ledger;
use crate::core::types::{AccountId, MarketId, Sequence, Side};
use crate::server::convert::state;

/// Reads in the order of what they saw, until the replay has come so far.
#[derive(Debug)]
pub(super) struct PendingReads {
    /// The latest first, so that the next one is at the end.
    rest: Vec<Read>,
}

impl PendingReads {
    pub(super) fn of(history: &History) -> Self {
        let mut rest = history.reads().to_vec();
        rest.sort_by_key(|read| std::cmp::Reverse(read.position().sequence));
        Self { rest }
    }

    /// Compares the reads that saw less than `next`, the first event that the replay has not done.
    pub(super) fn compare_before(&mut self, next: Sequence, replay: &Replay, report: &mut Report) {
        while let Some(read) = self.rest.pop_if(|read| read.position().sequence < next.0) {
            let Some(ledger) = replay.ledger() else { continue };
            let saw = Sequence(read.position().sequence);
            if saw != ledger.sequence() {
                // Between two proposals there is a state to be read; within one there is none.
                report.add(Violation::WrongRead { saw, what: "half of a log entry".to_owned() });
            } else if let Some(what) = difference(&read.saw, ledger) {
                report.add(Violation::WrongRead { saw, what });
            }
        }
    }

    /// What is left saw more than there is.
    pub(super) fn refuse_rest(&mut self, end: Sequence, report: &mut Report) {
        for read in self.rest.drain(..) {
            let saw = Sequence(read.position().sequence);
            report.add(Violation::FutureRead { saw, sent_later: end.plus(1) });
        }
    }
}

/// What the read shows otherwise than the ledger has it.
fn difference(saw: &ReadKind, ledger: &Ledger) -> Option<String> {
    match saw {
        ReadKind::Account(saw) => account_difference(saw, ledger),
        ReadKind::Book { market, depth, book } => book_difference(MarketId(*market), *depth as usize, book, ledger),
    }
}

fn account_difference(saw: &api::GetAccountResponse, ledger: &Ledger) -> Option<String> {
    let shown = saw.account.as_ref()?;
    let id = AccountId(shown.account_id);
    if ledger.account(id).map(state::account).as_ref() != Some(shown) {
        return Some(format!("account {id} otherwise than it is"));
    }
    let balances: Vec<_> = ledger.balances(id).map(state::balance).collect();
    if balances != saw.balances {
        return Some(format!("balances of account {id} {:?} instead of {balances:?}", saw.balances));
    }
    let count = if saw.holds_truncated { saw.holds.len() } else { usize::MAX };
    let holds: Vec<_> =
        ledger.holds(id).take(count).map(|(hold, asset, held)| state::hold(hold, asset, held)).collect();
    (holds != saw.holds).then(|| format!("holds of account {id} {:?} instead of {holds:?}", saw.holds))
}

fn book_difference(market: MarketId, depth: usize, saw: &api::GetBookResponse, ledger: &Ledger) -> Option<String> {
    let Some(book) = ledger.book(market) else { return Some(format!("market {market}, which is not there")) };
    for (side, shown) in [(Side::Buy, &saw.bids), (Side::Sell, &saw.asks)] {
        let levels = book.levels(side).take(depth);
        let levels: Vec<_> = levels
            .map(|level| api::BookLevel { price: level.price.0, quantity: level.quantity.0, order_count: level.orders })
            .collect();
        if levels != *shown {
            return Some(format!("{side:?} levels of market {market} {shown:?} instead of {levels:?}"));
        }
    }
    None
}
