//! Pegging of a whole plan in one pass, within bounds: of everything the causes that come first on its
//! item's line, exactly, and what is for others as one rest.
//!
//! An order for thousands of lines has thousands of causes, and so has each order for what goes into it:
//! all of them for all orders outgrow any memory. What is cut off stays a part of the division, so that the
//! shares of every order and of every requirement still add up to it. [`Plan::causes_of_order`] knows all
//! causes of one.

use std::collections::BTreeSet;

use super::plan::{OrderIndex, Plan, RequirementIndex};
use super::trace::{Cause, Cuts, Share, push, shares};

/// Parts of an order that are kept apart, for each cause that is: it may come several times on the line.
const PARTS_PER_CAUSE: usize = 4;
/// Parts that are kept in all: some 300 megabytes.
const PARTS_MAX: usize = 20_000_000;

/// What everything in a plan is for.
#[derive(Debug, Clone)]
pub struct Pegging<'a> {
    plan: &'a Plan,
    orders: Vec<Cuts>,
}

impl Plan {
    /// What everything in the plan is for, at most `causes_max` causes of an order told apart.
    #[must_use]
    pub fn pegging(&self, causes_max: usize) -> Pegging<'_> {
        let mut orders: Vec<Cuts> = Vec::with_capacity(self.order_count());
        let mut room = PARTS_MAX;
        // What an order goes into has a lower number.
        for order in 0..self.order_count() as u32 {
            let mut cuts = self.cuts_of_order(order, &|above| orders.get(above as usize));
            bound(&mut cuts, causes_max, room.min(PARTS_PER_CAUSE.saturating_mul(causes_max)));
            room = room.saturating_sub(cuts.len());
            orders.push(cuts);
        }
        Pegging { plan: self, orders }
    }
}

impl Pegging<'_> {
    /// What an order is for: shares that add up to its quantity, each cause once. Nothing when there is no
    /// such order.
    #[must_use]
    pub fn causes_of_order(&self, order: OrderIndex) -> Vec<Share> {
        self.orders.get(order.0 as usize).map(shares).unwrap_or_default()
    }

    /// What a requirement is for: shares that add up to its quantity, each cause once. Nothing when there is
    /// no such requirement.
    #[must_use]
    pub fn causes_of_requirement(&self, requirement: RequirementIndex) -> Vec<Share> {
        let row = requirement.0 as usize;
        if row >= self.plan.requirement_count() {
            return Vec::new();
        }
        shares(&self.plan.cuts_of_row(row, &|above| self.orders.get(above as usize)))
    }
}

/// Makes a rest of what lies behind the first `parts_max` parts, or behind those of the first `causes_max`
/// causes.
fn bound(cuts: &mut Cuts, causes_max: usize, parts_max: usize) {
    let Some(&(end, _)) = cuts.last() else { return };
    let mut seen = BTreeSet::new();
    let mut is_told_apart = |cause: Cause| {
        cause == Cause::Others || seen.contains(&cause) || (seen.len() < causes_max && seen.insert(cause))
    };
    let kept = cuts.iter().take(parts_max).take_while(|(_, cause)| is_told_apart(*cause)).count();
    if kept < cuts.len() {
        cuts.truncate(kept);
        push(cuts, end, Cause::Others);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_cut_off_stays_a_part() {
        let [one, two, three] = [0, 1, 2].map(Cause::Demand);
        let whole = vec![(3, one), (5, two), (6, one), (9, three), (12, two)];
        let bounded = |causes, parts| {
            let mut cuts = whole.clone();
            bound(&mut cuts, causes, parts);
            cuts
        };
        assert_eq!(bounded(3, 9), whole);
        assert_eq!(bounded(2, 9), [(3, one), (5, two), (6, one), (12, Cause::Others)]);
        assert_eq!(bounded(2, 1), [(3, one), (12, Cause::Others)]);
        assert_eq!(bounded(0, 0), [(12, Cause::Others)]);
    }
}
