//! Which lots a work order was issued.
//!
//! A production account is an issuer and keeps no lots, so that what is in stock bounds the state. But what
//! was issued can come back, and must come back as what it was: a unit that went out as one lot and came in
//! as another would be missed by a recall. So an order that is open remembers the lots that it was issued,
//! less what came back of them. Nothing else is taken off: what of it went into products nobody books, unit
//! by unit, and an order that is done may still give back what it did not use.
//!
//! Lots that nobody names come back in the reverse order of their last issue, of one issue the youngest
//! first: who has material left over has it of what was fetched last. Storekeepers' systems ask for the lot,
//! or take it from the issue that is reversed; the last issue is the one whose reversal was meant.

use std::cmp::Reverse;

use super::lots::{GivenBack, LOTS_MAX};
use super::records::{IssuedLot, WorkOrder};
use crate::ledger::Ledger;
use crate::rejection::Rejection;
use crate::state::Table;
use crate::table::Slot;
use crate::types::{AccountId, AssetId, Code, Quantity};

impl Ledger {
    /// Remembers which lots of a component have just gone into production. An order keeps as many of one
    /// component apart as a balance does; what comes beyond is counted to the one issued last.
    pub(super) fn remember_lots(&mut self, order: &WorkOrder, production: AccountId, component: AssetId) {
        let moved: Vec<GivenBack> = self.production.lots.moved(component, order.location, production).collect();
        if moved.is_empty() {
            return;
        }
        let issued = self.next_sequence();
        let orders = &mut self.production.work_orders;
        let slot = orders.by_id[&order.id];
        let mut count = orders.entries[slot].lots.range(all_of(component)).count();
        let mut last = None;
        for GivenBack { number, since, quantity } in moved {
            let known = orders.entries[slot].lots.get(&(component, number)).copied();
            if count >= LOTS_MAX as usize && last.is_none() {
                last = orders.last_issued(slot, component).next();
            }
            let at = known.or(last);
            let at = match at {
                Some(at) => {
                    let lot = &mut orders.lots[at];
                    lot.quantity.0 += quantity;
                    lot.issued = issued;
                    at
                }
                None => {
                    let (work_order, quantity) = (order.id, Quantity(quantity));
                    let at = orders.lots.insert(IssuedLot { work_order, component, number, since, issued, quantity });
                    orders.entries[slot].lots.insert((component, number), at);
                    count += 1;
                    at
                }
            };
            self.changes.mark(Table::IssuedLot, at);
        }
    }

    /// The lots of which so much comes back: the one that is named, or those issued last. None of a component
    /// whose lots are not tracked.
    ///
    /// # Errors
    /// [`Rejection::NotLotTracked`] for a lot number of such a component; [`Rejection::LotNotIssued`] and
    /// [`Rejection::ReturnAboveIssued`] for a lot of which this order has none, or less.
    pub(super) fn lots_to_return(
        &self,
        slot: Slot,
        component: AssetId,
        number: Option<Code>,
        quantity: Quantity,
    ) -> Result<Vec<(Slot, u64)>, Rejection> {
        self.check_tracked(component, number)?;
        let orders = &self.production.work_orders;
        if let Some(number) = number {
            let at = orders.entries[slot].lots.get(&(component, number));
            let &at = at.ok_or(Rejection::LotNotIssued)?;
            let there = orders.lots[at].quantity;
            return if quantity > there { Err(Rejection::ReturnAboveIssued) } else { Ok(vec![(at, quantity.0)]) };
        }
        let mut left = quantity.0;
        let mut parts = Vec::new();
        for at in orders.last_issued(slot, component) {
            let part = left.min(orders.lots[at].quantity.0);
            left -= part;
            parts.push((at, part));
            if left == 0 {
                break;
            }
        }
        Ok(parts)
    }

    /// Takes what comes back off the lots that an order was issued, and says what is given back.
    pub(super) fn give_back_lots(&mut self, slot: Slot, parts: &[(Slot, u64)]) {
        for &(at, quantity) in parts {
            let orders = &mut self.production.work_orders;
            let lot = &mut orders.lots[at];
            lot.quantity.0 -= quantity;
            let IssuedLot { component, number, since, quantity: left, .. } = *lot;
            if left == Quantity(0) {
                orders.lots.remove(at);
                orders.entries[slot].lots.remove(&(component, number));
            }
            self.production.lots.give_back(component, GivenBack { number, since, quantity });
            self.changes.mark(Table::IssuedLot, at);
        }
    }
}

impl super::work_orders::WorkOrders {
    /// The lots of a component that an order was issued, the last issue first, of one issue the youngest lot.
    fn last_issued(&self, slot: Slot, component: AssetId) -> impl Iterator<Item = Slot> {
        let mut lots: Vec<Slot> = self.entries[slot].lots.range(all_of(component)).map(|(_, &at)| at).collect();
        lots.sort_unstable_by_key(|&at| Reverse((self.lots[at].issued, self.lots[at].since, self.lots[at].number)));
        lots.into_iter()
    }
}

/// Every lot of a component.
fn all_of(component: AssetId) -> std::ops::RangeInclusive<(AssetId, Code)> {
    (component, Code::FIRST)..=(component, Code::LAST)
}
