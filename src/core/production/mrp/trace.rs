//! Pegging through all levels: which lines of demand an order is for, and what a line of demand takes
//! of everything, exactly.
//!
//! An order's product is divided among those who take it, and what goes into the order is divided in
//! the same proportion: where the product is cut at `p` of `q`, a material of `r` is cut at ⌊r·p/q⌋.
//! Cuts made from the top down through all levels partition every requirement and every order among
//! the causes, whichever way one asks: what a demand is said to take of an order is what the order is
//! said to do for that demand, and nothing is counted twice or lost to rounding.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::plan::{NO_ROW, Need, OrderIndex, Origin, Plan, RequirementIndex, SupplyIndex};
use crate::types::{AssetId, Quantity};

/// Why something is needed in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// A line of demand, by its place in [`Plan::demands`].
    Demand(u32),
    /// An item's safety stock.
    SafetyStock(AssetId),
    /// An item's lot rule, which made more than is needed.
    LotRule(AssetId),
    /// What is not told apart, see [`Plan::pegging`].
    Others,
}

/// What a cause has of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// The cause.
    pub cause: Cause,
    /// How much it has. Never zero.
    pub quantity: Quantity,
}

/// What a line of demand takes of a supply, at whatever level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Contribution {
    /// The requirement that it serves: the demand's own, or one of an order made for it.
    pub requirement: RequirementIndex,
    /// What it is taken from.
    pub supply: SupplyIndex,
    /// How much. Never zero.
    pub quantity: Quantity,
}

/// A division of something among causes: each from the end of the one before to its own.
pub(super) type Cuts = Vec<(u64, Cause)>;
/// The cuts of the orders above, by number.
type Above<'a> = dyn Fn(u32) -> Option<&'a Cuts> + 'a;

impl Plan {
    /// What an order is for: shares that add up to its quantity, each cause once. Nothing when there
    /// is no such order.
    #[must_use]
    pub fn causes_of_order(&self, order: OrderIndex) -> Vec<Share> {
        if order.0 as usize >= self.orders.len() {
            return Vec::new();
        }
        let mut cuts = self.cuts_of_orders([order.0].into());
        shares(&cuts.remove(&order.0).unwrap_or_default())
    }

    /// What a requirement is for: shares that add up to its quantity, each cause once. Nothing when
    /// there is no such requirement.
    #[must_use]
    pub fn causes_of_requirement(&self, requirement: RequirementIndex) -> Vec<Share> {
        let Some(row) = self.rows.get(requirement.0 as usize) else {
            return Vec::new();
        };
        let above = match row.need {
            Need::Order(order) => self.cuts_of_orders([order.0].into()),
            Need::Demand(_) | Need::SafetyStock => BTreeMap::new(),
        };
        shares(&self.cuts_of_row(requirement.0 as usize, &|order| above.get(&order)))
    }

    /// The cuts of these orders, and of all that they go into.
    fn cuts_of_orders(&self, mut open: BTreeSet<u32>) -> BTreeMap<u32, Cuts> {
        let mut all = BTreeSet::new();
        // What an order goes into has a lower number.
        while let Some(order) = open.pop_last() {
            all.insert(order);
            open.extend(self.rows_over(self.orders[order as usize].lot as usize).filter_map(|(row, _)| {
                match self.rows[row as usize].need {
                    Need::Order(parent) => Some(parent.0),
                    Need::Demand(_) | Need::SafetyStock => None,
                }
            }));
        }
        let mut cuts = BTreeMap::new();
        for order in all {
            let of_order = self.cuts_of_order(order, &|above| cuts.get(&above));
            cuts.insert(order, of_order);
        }
        cuts
    }

    pub(super) fn cuts_of_order(&self, order: u32, above: &Above<'_>) -> Cuts {
        let order = &self.orders[order as usize];
        let whole = self.span_of_lot(order.lot as usize);
        let mut cuts = Cuts::new();
        let mut covered = whole.start;
        for (row, part) in self.rows_over(order.lot as usize) {
            let row = row as usize;
            let row_start = self.rows[row].start;
            for (end, cause) in self.cuts_of_row(row, above) {
                let end = (row_start + end).min(part.end);
                if end > covered {
                    push(&mut cuts, end - whole.start, cause);
                    covered = end;
                }
            }
        }
        if covered < whole.end {
            push(&mut cuts, whole.end - whole.start, Cause::LotRule(self.sections[order.item as usize].id));
        }
        cuts
    }

    pub(super) fn cuts_of_row(&self, row: usize, above: &Above<'_>) -> Cuts {
        let span = self.span_of_row(row);
        let quantity = span.end - span.start;
        let of_order = match self.rows[row].need {
            Need::Demand(demand) => return vec![(quantity, Cause::Demand(demand))],
            Need::SafetyStock => {
                return vec![(quantity, Cause::SafetyStock(self.sections[self.rows[row].item as usize].id))];
            }
            Need::Order(order) => order.0,
        };
        let ordered = self.orders[of_order as usize].quantity;
        let mut cuts = Cuts::new();
        let mut covered = 0;
        for (end, cause) in above(of_order).into_iter().flatten() {
            let end = cut(quantity, *end, ordered);
            if end > covered {
                push(&mut cuts, end, *cause);
                covered = end;
            }
        }
        cuts
    }

    /// A view of the plan from the top down. It takes a pass over the plan to make; keep it for all
    /// that is asked.
    #[must_use]
    pub fn downward(&self) -> Downward<'_> {
        let mut starts = vec![0_u32; self.orders.len() + 1];
        let order_of = |need: Need| match need {
            Need::Order(order) => Some(order.0 as usize),
            Need::Demand(_) | Need::SafetyStock => None,
        };
        for order in self.rows.iter().filter_map(|row| order_of(row.need)) {
            starts[order + 1] += 1;
        }
        for order in 1..starts.len() {
            starts[order] += starts[order - 1];
        }
        let mut next = starts.clone();
        let mut rows = vec![0; starts.last().map_or(0, |end| *end as usize)];
        for (row, order) in (0..).zip(&self.rows).filter_map(|(row, of)| Some((row, order_of(of.need)?))) {
            rows[next[order] as usize] = row;
            next[order] += 1;
        }
        Downward { plan: self, starts, rows }
    }
}

/// A plan from the top down: what goes into each order.
#[derive(Debug, Clone)]
pub struct Downward<'a> {
    plan: &'a Plan,
    /// For each order where its requirements begin in `rows`; one more at the end.
    starts: Vec<u32>,
    rows: Vec<u32>,
}

impl Downward<'_> {
    /// What goes into an order. Nothing when there is no such order.
    pub fn materials(&self, order: OrderIndex) -> impl Iterator<Item = RequirementIndex> {
        self.rows_of(order.0).iter().map(|row| RequirementIndex(*row))
    }

    /// All that a line of demand takes, through all levels, by its place in [`Plan::demands`]. At each
    /// level what it takes for one requirement adds up to its share of that requirement.
    #[must_use]
    pub fn contributions(&self, demand: usize) -> Vec<Contribution> {
        let plan = self.plan;
        let mut taken = Taken { plan, contributions: Vec::new(), orders: BTreeMap::new() };
        let Some(row) = plan.demand_rows.get(demand).filter(|row| **row != NO_ROW) else {
            return Vec::new();
        };
        taken.take(*row, plan.span_of_row(*row as usize));
        // What goes into an order comes from orders of higher numbers.
        while let Some((order, parts)) = taken.orders.pop_first() {
            let ordered = plan.orders[order as usize].quantity;
            for row in self.rows_of(order) {
                let span = plan.span_of_row(*row as usize);
                let quantity = span.end - span.start;
                for part in &parts {
                    let from = span.start + cut(quantity, part.start, ordered);
                    let to = span.start + cut(quantity, part.end, ordered);
                    taken.take(*row, from..to);
                }
            }
        }
        taken.contributions
    }

    /// Why a line of demand waits as long as it does: of what it takes the supply that is there last,
    /// of what that order takes again the last, down to what nothing of the plan delays. Empty when
    /// there is no such line.
    #[must_use]
    pub fn critical_path(&self, demand: usize) -> Vec<SupplyIndex> {
        let plan = self.plan;
        let mut path = Vec::new();
        let mut row = plan.demand_rows.get(demand).copied().filter(|row| *row != NO_ROW);
        while let Some(at) = row.take() {
            let lots = plan.lots_over(at as usize, plan.span_of_row(at as usize));
            let Some((last, _)) = lots.max_by_key(|(lot, _)| plan.lots[*lot as usize].ready) else {
                break;
            };
            path.push(SupplyIndex(last));
            if let Origin::Order(order) = plan.lots[last as usize].origin {
                let begin = plan.orders[order.0 as usize].release.max(plan.planning_date);
                let ready = |row: &u32| plan.ready_of_row(*row as usize);
                row = self.rows_of(order.0).iter().copied().max_by_key(ready).filter(|row| ready(row) > begin);
            }
        }
        path
    }

    fn rows_of(&self, order: u32) -> &[u32] {
        let order = order as usize;
        if order + 1 >= self.starts.len() {
            return &[];
        }
        &self.rows[self.starts[order] as usize..self.starts[order + 1] as usize]
    }
}

/// What one demand was found to take.
struct Taken<'a> {
    plan: &'a Plan,
    contributions: Vec<Contribution>,
    /// The parts that it takes of orders whose materials were not looked at yet.
    orders: BTreeMap<u32, Vec<Range<u64>>>,
}

impl Taken<'_> {
    /// Takes a part of the line of the row's item.
    fn take(&mut self, row: u32, part: Range<u64>) {
        for (lot, span) in self.plan.lots_over(row as usize, part) {
            let (requirement, supply) = (RequirementIndex(row), SupplyIndex(lot));
            let quantity = span.end - span.start;
            let same = |last: &&mut Contribution| (last.requirement, last.supply) == (requirement, supply);
            match self.contributions.last_mut().filter(same) {
                Some(last) => last.quantity.0 += quantity,
                None => self.contributions.push(Contribution { requirement, supply, quantity: Quantity(quantity) }),
            }
            let supply = &self.plan.lots[lot as usize];
            if let Origin::Order(order) = supply.origin {
                let part = span.start - supply.start..span.end - supply.start;
                let parts = self.orders.entry(order.0).or_default();
                match parts.last_mut().filter(|last| last.end == part.start) {
                    Some(last) => last.end = part.end,
                    None => parts.push(part),
                }
            }
        }
    }
}

/// Where a material of `quantity` is cut when the product is cut at `at` of `whole`.
fn cut(quantity: u64, at: u64, whole: u64) -> u64 {
    // Not above `quantity`, since `at` is not above `whole`; two factors of 64 bits fit 128.
    (u128::from(quantity) * u128::from(at) / u128::from(whole)) as u64
}

pub(super) fn push(cuts: &mut Cuts, end: u64, cause: Cause) {
    match cuts.last_mut().filter(|last| last.1 == cause) {
        Some(last) => last.0 = end,
        None => cuts.push((end, cause)),
    }
}

/// What each cause has in all.
pub(super) fn shares(cuts: &Cuts) -> Vec<Share> {
    let mut sums = BTreeMap::new();
    let mut start = 0;
    for (end, cause) in cuts {
        *sums.entry(*cause).or_insert(0) += end - start;
        start = *end;
    }
    sums.into_iter().map(|(cause, quantity)| Share { cause, quantity: Quantity(quantity) }).collect()
}
