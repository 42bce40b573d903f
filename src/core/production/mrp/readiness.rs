//! The way up: when planned orders can really be done, given that nothing begins before the planning
//! date, and so when each requirement can be met.
//!
//! An item whose every requirement can be met in time keeps its pegs as they were netted, which are
//! the easiest to explain. Where one cannot, what is there first goes to what is needed first, and the
//! safety stock takes what is left: it is kept for this. No other assignment makes an earlier need
//! wait less.
//!
//! The way up meets an item behind all that it waits for: what goes into it, and what yields it besides.

use std::ops::Range;

use super::calendar::{Calendar, Day};
use super::network::Network;
use super::plan::{Lot, Need, Order, Origin, Plan, Row};
use super::situation::{PlanError, Situation};

/// Fills in when supplies and orders can be ready, and moves what is used by whom where it helps.
pub(super) fn settle(network: &Network, situation: &Situation, plan: &mut Plan) -> Result<(), PlanError> {
    // For each order, when the last of what it needs is there.
    let mut materials = vec![plan.planning_date; plan.orders.len()];
    for &item in &network.upwards {
        settle_item(item as usize, &situation.calendar, plan, &mut materials)?;
    }
    for (place, row) in (0..).zip(&plan.rows) {
        if let Need::Demand(demand) = row.need {
            plan.demand_rows[demand as usize] = place;
        }
    }
    Ok(())
}

/// When an order is done whose materials are there on `materials`.
fn ready(plan: &Plan, calendar: &Calendar, order: &Order, materials: Day) -> Result<Day, PlanError> {
    let begin = materials.max(order.release);
    let id = plan.sections[order.item as usize].id;
    calendar.forward(begin, order.lead_days).ok_or(PlanError::NoSuchDay(id))
}

fn settle_item(item: usize, calendar: &Calendar, plan: &mut Plan, materials: &mut [Day]) -> Result<(), PlanError> {
    let section = plan.sections[item].clone();
    for order in range(&section.orders) {
        plan.orders[order].ready = ready(plan, calendar, &plan.orders[order], materials[order])?;
    }
    let (rows, lots) = (&mut plan.rows[range(&section.rows)], &mut plan.lots[range(&section.lots)]);
    for lot in lots.iter_mut() {
        lot.ready = match lot.origin {
            Origin::Stock | Origin::Receipt(_) => lot.day,
            Origin::Order(order) | Origin::ByProduct(order) => plan.orders[order.0 as usize].ready.max(lot.day),
        };
    }
    let late = |(row, ready): (&Row, Day)| ready > row.day && row.need != Need::SafetyStock;
    if each_ready(rows, section.needed, lots).any(late) {
        lay_anew(rows, section.needed, |row| &mut row.start, |row| (row.need == Need::SafetyStock, row.day));
        lay_anew(lots, section.supplied, |lot| &mut lot.start, |lot| (lot.ready, lot.day, lot.origin));
    }
    for (row, ready) in each_ready(rows, section.needed, lots) {
        if let Need::Order(order) = row.need {
            let materials = &mut materials[order.0 as usize];
            *materials = ready.max(*materials);
        }
    }
    for (place, lot) in (section.lots.start..).zip(lots) {
        if let Origin::Order(order) = lot.origin {
            plan.orders[order.0 as usize].lot = place;
        }
    }
    Ok(())
}

/// Each requirement with the day on which the last of what it is pegged to is there.
fn each_ready<'a>(rows: &'a [Row], needed: u64, lots: &'a [Lot]) -> impl Iterator<Item = (&'a Row, Day)> {
    // The lots that begin before the row that is looked at, so the last of them reaches into it.
    let mut begun = 0;
    rows.iter().enumerate().map(move |(index, row)| {
        while lots.get(begun).is_some_and(|lot| lot.start <= row.start) {
            begun += 1;
        }
        let mut ready = lots[begun - 1].ready;
        let end = rows.get(index + 1).map_or(needed, |next| next.start);
        while let Some(lot) = lots.get(begun).filter(|lot| lot.start < end) {
            ready = ready.max(lot.ready);
            begun += 1;
        }
        (row, ready)
    })
}

/// Lays what lies end to end, up to `end`, in the order of a key; what is equal stays as it is.
fn lay_anew<T, K: Ord>(items: &mut [T], end: u64, start: impl Fn(&mut T) -> &mut u64, key: impl Fn(&T) -> K) {
    let mut end = end;
    for item in items.iter_mut().rev() {
        let start = start(item);
        let length = end - *start;
        end = *start;
        *start = length;
    }
    items.sort_by_key(key);
    let mut next = 0;
    for item in items {
        let start = start(item);
        let length = *start;
        *start = next;
        next += length;
    }
}

fn range(range: &Range<u32>) -> Range<usize> {
    range.start as usize..range.end as usize
}
