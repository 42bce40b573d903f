//! The books as the records alone tell them: balances as the fold of postings, orders as the fold of
//! their events.

use std::collections::BTreeMap;

use crate::core::Ledger;
use crate::core::event::{EventBody, Posting, RecordView};
use crate::core::types::{AccountId, AssetId, OrderId, Quantity, Sequence};

/// What was ordered, and what became of it.
#[derive(Debug, Clone, Copy, Default)]
struct Ordered {
    quantity: u64,
    filled: u64,
    open: u64,
    cancelled: u64,
}

/// Balances and open orders.
#[derive(Debug, Default)]
pub(super) struct Books {
    /// Posted and reserved.
    balances: BTreeMap<(AccountId, AssetId), (i64, i64)>,
    open: BTreeMap<OrderId, Ordered>,
}

impl Books {
    /// Adds a record, or says what does not add up.
    pub(super) fn add(&mut self, record: RecordView<'_>) -> Result<(), String> {
        for (sequence, body, postings) in record.events() {
            self.post(postings).map_err(|what| format!("event {sequence}: {what}"))?;
            self.event(sequence, body).map_err(|what| format!("event {sequence}: {what}"))?;
        }
        Ok(())
    }

    fn post(&mut self, postings: &[Posting]) -> Result<(), String> {
        let mut sums: BTreeMap<AssetId, i128> = BTreeMap::new();
        for posting in postings {
            *sums.entry(posting.asset).or_default() += i128::from(posting.amount.0);
            let (posted, reserved) = self.balances.entry((posting.account, posting.asset)).or_default();
            *posted = posted.saturating_add(posting.amount.0);
            *reserved = reserved.saturating_add(posting.hold.0);
            if (*posted, *reserved) != (posting.posted.0, posting.reserved.0) {
                return Err(format!("{posting:?} tells another balance than posted {posted}, reserved {reserved}"));
            }
        }
        match sums.iter().find(|(_, sum)| **sum != 0) {
            Some((asset, sum)) => Err(format!("its postings of asset {asset} sum to {sum}")),
            None => Ok(()),
        }
    }

    fn event(&mut self, sequence: Sequence, body: &EventBody) -> Result<(), String> {
        match body {
            EventBody::OrderAccepted(accepted) => {
                let quantity = accepted.order.quantity.0;
                let ordered = Ordered { quantity, open: quantity, ..Ordered::default() };
                self.open.insert(OrderId(sequence.0), ordered);
                Ok(())
            }
            EventBody::Trade(trade) => {
                self.fill(trade.maker, trade.quantity, trade.maker_open)?;
                self.fill(trade.taker, trade.quantity, trade.taker_open)
            }
            EventBody::OrderReplaced(replaced) => self.change(replaced.order, |order| {
                // The new total counts what is filled, and no longer what self-trade prevention took.
                *order = Ordered {
                    quantity: replaced.quantity.0,
                    open: replaced.open.0,
                    cancelled: 0,
                    filled: order.filled,
                };
                replaced.open.0
            }),
            EventBody::OrderReduced(reduced) => self.change(reduced.order, |order| {
                order.cancelled += reduced.reduced.0;
                order.open = order.open.saturating_sub(reduced.reduced.0);
                reduced.open.0
            }),
            EventBody::OrderCancelled(cancelled) => self.change(cancelled.order, |order| {
                order.cancelled += cancelled.open.0;
                order.open = order.open.saturating_sub(cancelled.open.0);
                0
            }),
            _ => Ok(()),
        }
    }

    fn fill(&mut self, id: OrderId, quantity: Quantity, open: Quantity) -> Result<(), String> {
        self.change(id, |order| {
            order.filled += quantity.0;
            order.open = order.open.saturating_sub(quantity.0);
            open.0
        })
    }

    /// Changes an order; `change` answers what the event says is open.
    fn change(&mut self, id: OrderId, change: impl FnOnce(&mut Ordered) -> u64) -> Result<(), String> {
        let order = self.open.get_mut(&id).ok_or_else(|| format!("order {id} is not open"))?;
        let open = change(order);
        if order.open != open {
            return Err(format!("order {id} has {} open, the event says {open}", order.open));
        }
        let all = u128::from(order.filled) + u128::from(order.open) + u128::from(order.cancelled);
        if all != u128::from(order.quantity) {
            return Err(format!("order {id}: filled, open and cancelled are not what was ordered: {order:?}"));
        }
        if open == 0 {
            self.open.remove(&id);
        }
        Ok(())
    }

    /// Compares with the state that the ledger keeps.
    pub(super) fn compare(&self, ledger: &Ledger) -> Result<(), String> {
        for (&(account, asset), &(posted, reserved)) in &self.balances {
            let kept = ledger.balance(account, asset).map(|balance| (balance.posted.0, balance.reserved.0));
            if kept.unwrap_or_default() != (posted, reserved) {
                let fold = (posted, reserved);
                return Err(format!(
                    "account {account}, asset {asset}: {kept:?} is not the fold of postings, {fold:?}"
                ));
            }
        }
        for (&id, folded) in &self.open {
            let kept = ledger.order(id).map(|order| (order.filled.0, order.open.0));
            if kept != Some((folded.filled, folded.open)) {
                return Err(format!("order {id}: {kept:?} is not the fold of its events, {folded:?}"));
            }
        }
        Ok(())
    }
}
