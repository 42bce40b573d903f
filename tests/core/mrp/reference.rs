//! A slow and obvious planner: it explodes each line of demand alone, down to the last screw and as if
//! nothing were there, and then takes away what need not be made because something is. It knows
//! quantities that are in proportion only: no lot rule, loss, set-up or rounding.

use std::collections::{BTreeMap, BTreeSet};

use counterfoil_core::production::mrp::{Bom, Calendar, Day, Item, Situation, Source};
use counterfoil_core::types::AssetId;

/// What is planned of an item for a day: orders by item, release and due day.
pub type Orders = BTreeMap<(AssetId, Day, Day), i128>;

struct Reference<'a> {
    items: &'a [Item],
    counted: BTreeSet<(AssetId, AssetId)>,
    situation: &'a Situation,
    /// What is needed of each item on each day, above zero or not.
    needs: BTreeMap<(AssetId, Day), i128>,
    /// What comes out besides.
    yields: BTreeMap<(AssetId, Day), i128>,
}

/// The orders for a situation without rules that bind.
pub fn orders(items: &[Item], situation: &Situation) -> Orders {
    let mut reference = Reference {
        items,
        counted: counted_by_products(items),
        situation,
        needs: BTreeMap::new(),
        yields: BTreeMap::new(),
    };
    for demand in &situation.demands {
        reference.explode(demand.item, i128::from(demand.quantity.0), demand.due);
    }
    reference.net()
}

impl Reference<'_> {
    fn item(&self, id: AssetId) -> &Item {
        self.items.iter().find(|item| item.id == id).expect("an item of the network")
    }

    fn not_past(&self, day: Day) -> Day {
        day.max(self.situation.planning_date)
    }

    /// Adds what `quantity` of an item, and all that is made for it, needs; takes it away below zero.
    fn explode(&mut self, id: AssetId, quantity: i128, day: Day) {
        let day = self.not_past(day);
        *self.needs.entry((id, day)).or_default() += quantity;
        self.explode_below(id, quantity, day);
    }

    fn explode_below(&mut self, id: AssetId, quantity: i128, day: Day) {
        let due = walk_back(&self.situation.calendar, day, 0);
        let item = self.item(id).clone();
        if let Some(bom) = bom_on(&item, due) {
            let release = walk_back(&self.situation.calendar, due, lead_days(&item, due, &self.situation.calendar));
            self.explode_bom(id, bom, quantity, release, due);
        }
    }

    fn explode_bom(&mut self, id: AssetId, bom: &Bom, quantity: i128, release: Day, due: Day) {
        for line in bom.lines.iter().filter(|line| line.presence.counts()) {
            let component = self.item(line.component).clone();
            let quantity = quantity * i128::from(line.quantity.0);
            if component.phantom {
                let bom = bom_on(&component, due).expect("a phantom is made");
                self.explode_bom(component.id, bom, quantity, release, due);
            } else {
                self.explode(line.component, quantity, release);
            }
        }
        for by_product in bom.by_products.iter().filter(|by_product| self.counted.contains(&(id, by_product.item))) {
            let day = self.not_past(due);
            *self.yields.entry((by_product.item, day)).or_default() += quantity * i128::from(by_product.quantity.0);
        }
    }

    fn net(mut self) -> Orders {
        let mut orders = Orders::new();
        for id in by_level(self.items, &self.counted) {
            let mut free = self.free(id);
            let mut days: Vec<Day> = self.needs.keys().filter(|(item, _)| *item == id).map(|(_, day)| *day).collect();
            let safety_stock = i128::from(self.item(id).safety_stock.0);
            let safety_day = self.safety_day(id);
            days.push(safety_day);
            days.sort();
            days.dedup();
            for day in days {
                let asked = self.needs.get(&(id, day)).copied().unwrap_or_default();
                let mut missing = asked + if day == safety_day { safety_stock } else { 0 };
                assert!(missing >= 0, "more of {id} was taken away than was needed");
                for (_, there) in free.iter_mut().filter(|(from, _)| *from <= day) {
                    let taken = missing.min(*there);
                    *there -= taken;
                    missing -= taken;
                }
                // What goes into it was counted as if all that is asked for, and only that, were made.
                self.explode_below(id, missing - asked, day);
                if missing > 0 {
                    let calendar = &self.situation.calendar;
                    let due = walk_back(calendar, day, 0);
                    let release = walk_back(calendar, due, lead_days(self.item(id), due, calendar));
                    *orders.entry((id, release, due)).or_default() += missing;
                }
            }
        }
        orders
    }

    /// What comes without an order for it, by day.
    fn free(&self, id: AssetId) -> Vec<(Day, i128)> {
        let (today, situation) = (self.situation.planning_date, self.situation);
        let stock = situation.available.iter().filter(|stock| stock.item == id).map(|stock| (today, stock.quantity));
        let receipts = situation.receipts.iter().filter(|receipt| receipt.item == id);
        let given = stock.chain(receipts.map(|receipt| (self.not_past(receipt.due), receipt.quantity)));
        let mut free: Vec<(Day, i128)> = given.map(|(day, quantity)| (day, i128::from(quantity.0))).collect();
        free.extend(self.yields.iter().filter(|((item, _), _)| *item == id).map(|((_, day), more)| (*day, *more)));
        free.sort();
        free
    }

    fn safety_day(&self, id: AssetId) -> Day {
        let (today, calendar) = (self.situation.planning_date, &self.situation.calendar);
        let mut day = today;
        let mut left = lead_days(self.item(id), today, calendar);
        while !calendar.is_working(day) || left > 0 {
            left -= u32::from(calendar.is_working(day));
            day.0 += 1;
        }
        day
    }
}

/// Items so that each stands behind all that it goes into, or comes out of.
fn by_level(items: &[Item], counted: &BTreeSet<(AssetId, AssetId)>) -> Vec<AssetId> {
    let goes_into = |id: AssetId, parent: &Item| components(parent).contains(&id) || counted.contains(&(parent.id, id));
    let mut order: Vec<AssetId> = Vec::new();
    while order.len() < items.len() {
        let next = items.iter().find(|item| {
            let mut parents = items.iter().filter(|parent| goes_into(item.id, parent));
            !order.contains(&item.id) && parents.all(|parent| order.contains(&parent.id))
        });
        order.push(next.expect("no cycle").id);
    }
    order
}

/// What goes into an item, by any version and line.
pub fn components(item: &Item) -> Vec<AssetId> {
    let lines = boms(item).iter().flat_map(|bom| bom.lines.iter());
    lines.map(|line| line.component).collect()
}

/// What comes out besides, by any version.
fn by_products(item: &Item) -> Vec<AssetId> {
    let yielded = boms(item).iter().flat_map(|bom| bom.by_products.iter());
    yielded.map(|by_product| by_product.item).collect()
}

fn boms(item: &Item) -> &[Bom] {
    match &item.source {
        Source::Buy { .. } => &[],
        Source::Make(boms) => boms,
    }
}

/// The by-products that count, behind what yields them: those that do not go round in a circle, neither
/// when one goes from what is made to all that goes in and comes out, nor when one goes from what is
/// made to what goes in, and from what comes out to what yields it. What a phantom yields, its parents do.
pub fn counted_by_products(items: &[Item]) -> BTreeSet<(AssetId, AssetId)> {
    let yielders = |of: &Item| -> Vec<AssetId> {
        let mut found = vec![of.id];
        let mut next = 0;
        while let Some(id) = found.get(next).copied() {
            next += 1;
            if items.iter().any(|item| item.id == id && item.phantom) {
                let parents = items.iter().filter(|parent| components(parent).contains(&id));
                let new: Vec<AssetId> = parents.map(|parent| parent.id).filter(|id| !found.contains(id)).collect();
                found.extend(new);
            }
        }
        found
    };
    let down = |item: &Item| [components(item), by_products(item)].concat();
    let up = |item: &Item| {
        let bearers = items.iter().filter(|other| by_products(other).contains(&item.id));
        bearers.flat_map(yielders).chain(components(item)).collect()
    };
    let mut counted = BTreeSet::new();
    for bearer in items {
        for by_product in by_products(bearer) {
            let round = |yielder: &AssetId| {
                leads(items, by_product, *yielder, &down) || leads(items, *yielder, by_product, &up)
            };
            if !yielders(bearer).iter().any(round) {
                counted.insert((bearer.id, by_product));
            }
        }
    }
    counted
}

/// Whether steps lead from one item to the other.
fn leads(items: &[Item], from: AssetId, to: AssetId, steps: &dyn Fn(&Item) -> Vec<AssetId>) -> bool {
    let mut seen = BTreeSet::new();
    let mut open = vec![from];
    while let Some(id) = open.pop() {
        if id == to {
            return true;
        }
        if seen.insert(id) {
            let item = items.iter().find(|item| item.id == id).expect("an item of the network");
            open.extend(steps(item));
        }
    }
    false
}

/// The bill in effect on this day, of what is made.
pub fn bom_on(item: &Item, day: Day) -> Option<&Bom> {
    let Source::Make(boms) = &item.source else {
        return None;
    };
    let begun = boms.iter().filter(|bom| bom.effective_from <= day).max_by_key(|bom| bom.effective_from);
    begun.or_else(|| boms.iter().min_by_key(|bom| bom.effective_from))
}

/// Working days of an order whose size does not matter.
fn lead_days(item: &Item, due: Day, calendar: &Calendar) -> u32 {
    match &item.source {
        Source::Buy { lead_days } => *lead_days,
        Source::Make(_) => {
            let operations = bom_on(item, due).map(|bom| bom.operations.as_slice()).unwrap_or_default();
            let seconds: u32 = operations.iter().map(|operation| operation.setup_seconds).sum();
            seconds.div_ceil(calendar.seconds_per_day()) + operations.iter().map(|op| op.lead_days).sum::<u32>()
        }
    }
}

/// `days` working days back from the last on or before `day`, day by day.
pub fn walk_back(calendar: &Calendar, day: Day, days: u32) -> Day {
    let (mut day, mut left) = (day, days);
    while !calendar.is_working(day) || left > 0 {
        left -= u32::from(calendar.is_working(day));
        day.0 -= 1;
    }
    day
}

/// `days` working days on from the first on or after `day`, day by day.
pub fn walk_on(calendar: &Calendar, day: Day, days: u32) -> Day {
    let (mut day, mut left) = (day, days);
    while !calendar.is_working(day) || left > 0 {
        left -= u32::from(calendar.is_working(day));
        day.0 += 1;
    }
    day
}
