//! What holds of every plan, whatever rules bind. Everything is computed anew, from the items and the
//! situation alone, in the plainest way.

use std::collections::{BTreeMap, BTreeSet};

use counterfoil_core::production::mrp::{
    Buckets, Cause, Day, Item, LotRule, Need, Network, OrderIndex, Origin, Plan, PlannedOrder, Requirement,
    RequirementIndex, Share, Situation, Source, SupplyIndex,
};
use counterfoil_core::types::{AssetId, Quantity};

use crate::generate::Case;
use crate::reference::{bom_on, components, counted_by_products, walk_back, walk_on};

pub struct Checker<'a> {
    items: &'a [Item],
    counted: BTreeSet<(AssetId, AssetId)>,
    situation: &'a Situation,
    network: &'a Network,
    plan: &'a Plan,
}

type Amounts<K> = BTreeMap<K, u128>;

impl<'a> Checker<'a> {
    pub fn new(case: &'a Case, network: &'a Network, plan: &'a Plan) -> Self {
        Self {
            items: &case.items,
            counted: counted_by_products(&case.items),
            situation: &case.situation,
            network,
            plan,
        }
    }

    /// All of it.
    pub fn check(&self) {
        self.levels_are_longest_paths();
        self.supplies_are_what_was_given_and_ordered();
        self.requirements_are_demand_materials_and_safety_stock();
        self.orders_keep_their_rules();
        self.pegs_add_up();
        for item in self.items {
            self.every_need_is_covered_by_its_day(item);
            self.what_is_needed_first_is_served_first(item);
            self.the_record_adds_up(item);
        }
        self.orders_are_ready_when_they_can_be();
        self.promises_follow_from_the_pegs();
        self.traces_agree_both_ways();
        self.pegging_agrees_within_bounds();
    }

    fn item(&self, id: AssetId) -> &Item {
        self.items.iter().find(|item| item.id == id).expect("an item of the network")
    }

    fn not_past(&self, day: Day) -> Day {
        day.max(self.situation.planning_date)
    }

    fn level(&self, id: AssetId, known: &mut BTreeMap<AssetId, u32>) -> u32 {
        if let Some(level) = known.get(&id) {
            return *level;
        }
        let goes_into = |parent: &&Item| components(parent).contains(&id) || self.counted.contains(&(parent.id, id));
        let parents: Vec<AssetId> = self.items.iter().filter(goes_into).map(|parent| parent.id).collect();
        let above = parents.into_iter().map(|parent| self.level(parent, known) + 1);
        let level = above.max().unwrap_or_default();
        known.insert(id, level);
        level
    }

    fn levels_are_longest_paths(&self) {
        let mut known = BTreeMap::new();
        let levels: BTreeMap<AssetId, u32> = self.plan.items().collect();
        assert_eq!(levels.len(), self.items.len());
        for item in self.items {
            assert_eq!(levels[&item.id], self.level(item.id, &mut known), "level of {}", item.id);
            assert_eq!(self.network.level(item.id), Some(levels[&item.id]));
        }
        let uncounted: BTreeSet<_> = self.network.uncounted_by_products().collect();
        let all = self.items.iter().flat_map(|item| {
            let boms = match &item.source {
                Source::Buy { .. } => &[],
                Source::Make(boms) => boms.as_slice(),
            };
            let of_boms = boms.iter().flat_map(|bom| &bom.by_products);
            of_boms.map(|by_product| (item.id, by_product.item))
        });
        let expected: BTreeSet<_> = all.filter(|pair| !self.counted.contains(pair)).collect();
        assert_eq!(uncounted, expected);
    }

    fn supplies_are_what_was_given_and_ordered(&self) {
        let mut expected: Amounts<(AssetId, Origin)> = Amounts::new();
        for stock in &self.situation.available {
            *expected.entry((stock.item, Origin::Stock)).or_default() += u128::from(stock.quantity.0);
        }
        for (index, receipt) in (0..).zip(&self.situation.receipts) {
            *expected.entry((receipt.item, Origin::Receipt(index))).or_default() += u128::from(receipt.quantity.0);
        }
        for (index, order) in self.plan.orders() {
            *expected.entry((order.item, Origin::Order(index))).or_default() += u128::from(order.quantity.0);
            for (item, quantity) in self.content(&order).1 {
                *expected.entry((item, Origin::ByProduct(index))).or_default() += quantity;
            }
        }
        expected.retain(|_, quantity| *quantity > 0);
        let mut found: Amounts<(AssetId, Origin)> = Amounts::new();
        for item in self.items {
            for (index, supply) in self.plan.supplies_of(item.id) {
                assert_eq!(self.plan.supply(index), Some(supply));
                assert_eq!(supply.item, item.id);
                *found.entry((supply.item, supply.origin)).or_default() += u128::from(supply.quantity.0);
                let day = match supply.origin {
                    Origin::Stock => self.situation.planning_date,
                    Origin::Receipt(index) => self.not_past(self.situation.receipts[index as usize].due),
                    Origin::ByProduct(order) => self.not_past(self.order(order).due),
                    Origin::Order(order) => {
                        assert_eq!(self.plan.supply_of_order(order), Some(index));
                        self.order(order).due
                    }
                };
                assert_eq!(supply.day, day);
            }
        }
        assert_eq!(found, expected);
    }

    fn order(&self, index: OrderIndex) -> PlannedOrder {
        self.plan.order(index).expect("an order of the plan")
    }

    /// What an order takes and gives: by the item's bill, and by those of phantoms, each summed first.
    fn content(&self, order: &PlannedOrder) -> (Amounts<AssetId>, Amounts<AssetId>) {
        let (mut takes, mut gives) = (Amounts::new(), Amounts::new());
        let mut open = BTreeMap::from([((self.network.level(order.item), order.item), u128::from(order.quantity.0))]);
        while let Some(((_, id), size)) = open.pop_first() {
            let Some(bom) = bom_on(self.item(id), order.due) else {
                continue;
            };
            for line in bom.lines.iter().filter(|line| line.presence.counts()) {
                let with_losses = size * u128::from(line.quantity.0) * (1_000_000 + u128::from(line.attrition));
                let mut needed = with_losses.div_ceil(u128::from(bom.output.0) * 1_000_000) + u128::from(line.setup.0);
                needed = needed.next_multiple_of(u128::from(line.multiple.0.max(1)));
                if self.item(line.component).phantom {
                    *open.entry((self.network.level(line.component), line.component)).or_default() += needed;
                } else {
                    *takes.entry(line.component).or_default() += needed;
                }
            }
            let counted = |item| self.counted.contains(&(id, item));
            for by_product in bom.by_products.iter().filter(|by_product| counted(by_product.item)) {
                *gives.entry(by_product.item).or_default() +=
                    size * u128::from(by_product.quantity.0) / u128::from(bom.output.0);
            }
        }
        (takes, gives)
    }

    fn requirements_are_demand_materials_and_safety_stock(&self) {
        let mut expected: Amounts<(AssetId, Need, Day)> = Amounts::new();
        for (index, demand) in (0..).zip(&self.situation.demands) {
            let key = (demand.item, Need::Demand(index), self.not_past(demand.due));
            *expected.entry(key).or_default() += u128::from(demand.quantity.0);
        }
        for (index, order) in self.plan.orders() {
            for (item, quantity) in self.content(&order).0 {
                *expected.entry((item, Need::Order(index), self.not_past(order.release))).or_default() += quantity;
            }
        }
        for item in self.items {
            let lot = self.lot_of(item, u128::from(item.safety_stock.0));
            let lead_days = self.lead_days(item, lot, self.situation.planning_date);
            let day = walk_on(&self.situation.calendar, self.situation.planning_date, lead_days);
            *expected.entry((item.id, Need::SafetyStock, day)).or_default() += u128::from(item.safety_stock.0);
        }
        expected.retain(|_, quantity| *quantity > 0);
        let mut found: Amounts<(AssetId, Need, Day)> = Amounts::new();
        for item in self.items {
            for (index, requirement) in self.plan.requirements_of(item.id) {
                assert_eq!(self.plan.requirement(index), Some(requirement));
                let key = (requirement.item, requirement.need, requirement.day);
                *found.entry(key).or_default() += u128::from(requirement.quantity.0);
            }
        }
        assert_eq!(found, expected);
    }

    /// The size of one order that is asked to cover `need`.
    fn lot_of(&self, item: &Item, need: u128) -> u128 {
        match item.lot {
            LotRule::LotForLot => need,
            LotRule::Fixed(size) => u128::from(size.0),
            LotRule::Multiple { minimum, multiple } => {
                need.max(u128::from(minimum.0)).next_multiple_of(u128::from(multiple.0))
            }
        }
    }

    fn lead_days(&self, item: &Item, size: u128, due: Day) -> u32 {
        let bom = match &item.source {
            Source::Buy { lead_days } => return *lead_days,
            Source::Make(_) => bom_on(item, due).expect("what is made has a bill"),
        };
        let set_up: u128 = bom.operations.iter().map(|operation| u128::from(operation.setup_seconds)).sum();
        let run: u128 = bom.operations.iter().map(|operation| u128::from(operation.run_seconds)).sum();
        let seconds = set_up + (run * size).div_ceil(u128::from(bom.output.0));
        let days: u32 = bom.operations.iter().map(|operation| operation.lead_days).sum();
        seconds.div_ceil(u128::from(self.situation.calendar.seconds_per_day())) as u32 + days
    }

    /// Sizes are legal and no larger than the rule makes them, days follow from the lead time, and each
    /// order was needed: without it, something would not be covered by its due day.
    fn orders_keep_their_rules(&self) {
        let calendar = &self.situation.calendar;
        let mut last: Option<(u32, AssetId, Day)> = None;
        for (_, order) in self.plan.orders() {
            let item = self.item(order.item);
            let (size, net) = (u128::from(order.quantity.0), u128::from(order.net.0));
            assert!(net > 0 && net <= size, "{order:?} is not asked for");
            assert_eq!(size, self.lot_of(item, net), "{order:?} breaks {:?}", item.lot);
            assert_eq!(order.version, bom_on(item, order.due).map(|bom| bom.version));
            assert_eq!(order.lead_days, self.lead_days(item, size, order.due));
            assert!(calendar.is_working(order.due) && calendar.is_working(order.release));
            assert_eq!(order.release, walk_back(calendar, order.due, order.lead_days));
            let key = (self.network.level(order.item).expect("an item"), order.item, order.due);
            assert!(last.is_none_or(|last| last <= key), "orders come by level, item and day");
            last = Some(key);
        }
    }

    fn pegs_add_up(&self) {
        let mut from_requirements = BTreeMap::new();
        let mut from_supplies = BTreeMap::new();
        for item in self.items {
            for (index, requirement) in self.plan.requirements_of(item.id) {
                let mut sum = 0;
                for peg in self.plan.pegs_of_requirement(index) {
                    assert!(peg.requirement == index && peg.quantity.0 > 0);
                    assert_eq!(self.plan.supply(peg.supply).map(|supply| supply.item), Some(item.id));
                    sum += u128::from(peg.quantity.0);
                    assert!(from_requirements.insert((index, peg.supply), peg.quantity).is_none());
                }
                assert_eq!(sum, u128::from(requirement.quantity.0), "{requirement:?} is not covered");
            }
            for (index, supply) in self.plan.supplies_of(item.id) {
                let mut sum = 0;
                for peg in self.plan.pegs_of_supply(index) {
                    assert!(peg.supply == index && peg.quantity.0 > 0);
                    sum += u128::from(peg.quantity.0);
                    assert!(from_supplies.insert((peg.requirement, index), peg.quantity).is_none());
                }
                assert!(sum <= u128::from(supply.quantity.0), "{supply:?} is used twice");
            }
        }
        assert_eq!(from_requirements, from_supplies);
    }

    /// As planned, supplies up to a day cover requirements up to it, and the orders are those that one
    /// finds by walking through the days and ordering what is missing.
    fn every_need_is_covered_by_its_day(&self, item: &Item) {
        let up_to = |of: &Amounts<Day>, day: Day| of.range(..=day).map(|(_, quantity)| quantity).sum::<u128>();
        let (mut needed, mut given, mut there) = (Amounts::new(), Amounts::new(), Amounts::new());
        for (_, row) in self.plan.requirements_of(item.id) {
            *needed.entry(row.day).or_default() += u128::from(row.quantity.0);
        }
        for (_, supply) in self.plan.supplies_of(item.id) {
            *there.entry(supply.day).or_default() += u128::from(supply.quantity.0);
            if !matches!(supply.origin, Origin::Order(_)) {
                *given.entry(supply.day).or_default() += u128::from(supply.quantity.0);
            }
        }
        let mut expected: Vec<(Day, u128, u128)> = Vec::new();
        for day in needed.keys() {
            assert!(up_to(&there, *day) >= up_to(&needed, *day), "{} is not covered on day {day}", item.id);
            let ordered: u128 = expected.iter().map(|(_, size, _)| size).sum();
            let mut missing = up_to(&needed, *day).saturating_sub(up_to(&given, *day) + ordered);
            while missing > 0 {
                let size = self.lot_of(item, missing);
                let net = missing.min(size);
                expected.push((walk_back(&self.situation.calendar, *day, 0), size, net));
                missing -= net;
            }
        }
        let orders = self.plan.orders_of(item.id);
        let found: Vec<(Day, u128, u128)> =
            orders.map(|(_, order)| (order.due, u128::from(order.quantity.0), u128::from(order.net.0))).collect();
        assert_eq!(found, expected, "orders of {}", item.id);
    }

    /// Where all can be in time, supplies serve requirements by day, the safety stock in its turn. Where
    /// something cannot, nobody waits for what someone of less urgency got.
    fn what_is_needed_first_is_served_first(&self, item: &Item) {
        let rows: Vec<_> = self.plan.requirements_of(item.id).collect();
        let mut pegs = Vec::new();
        for (index, row) in &rows {
            let mut ready = row.day;
            for peg in self.plan.pegs_of_requirement(*index) {
                let supply = self.plan.supply(peg.supply).expect("a peg names a supply");
                ready = ready.max(supply.ready);
                pegs.push((*row, supply));
            }
            assert_eq!(row.ready, ready);
        }
        let urgency = |row: &Requirement| (row.day, row.need == Need::SafetyStock);
        if rows.iter().any(|(_, row)| row.ready > row.day && row.need != Need::SafetyStock) {
            let key = |row: &Requirement| (row.need == Need::SafetyStock, row.day);
            assert!(rows.is_sorted_by_key(|(_, row)| key(row)), "{} is served in another order", item.id);
            assert!(pegs.is_sorted_by_key(|(_, supply)| supply.ready), "{} is used in another order", item.id);
        } else if rows.is_sorted_by_key(|(_, row)| urgency(row)) {
            // By day; or by when they are there, if by day something would be late, such as for a by-product
            // of an order that is late itself.
            let by_day = pegs.is_sorted_by_key(|(_, supply)| supply.day);
            let by_ready = pegs.is_sorted_by_key(|(_, supply)| supply.ready);
            assert!(by_day || by_ready, "{} is used in another order", item.id);
            assert!(pegs.iter().all(|(row, supply)| supply.day <= row.day), "{} comes too late", item.id);
        } else {
            // Something would be late, and is not, since it was served first.
            assert!(rows.last().is_some_and(|(_, row)| row.need == Need::SafetyStock), "{item:?} has another order");
            assert!(pegs.is_sorted_by_key(|(_, supply)| supply.ready), "{} is used in another order", item.id);
        }
        let demands = rows.iter().filter_map(|(_, row)| match row.need {
            Need::Demand(demand) => Some(&self.situation.demands[demand as usize]),
            _ => None,
        });
        assert!(demands.is_sorted_by_key(|demand| (
            demand.due.max(self.situation.planning_date),
            demand.due,
            demand.id
        )));
    }

    fn orders_are_ready_when_they_can_be(&self) {
        let downward = self.plan.downward();
        let mut materials = 0;
        for (index, order) in self.plan.orders() {
            let mut begin = self.not_past(order.release);
            for row in downward.materials(index) {
                let row = self.plan.requirement(row).expect("a requirement of the plan");
                assert_eq!(row.need, Need::Order(index));
                // What is there before it is needed delays nothing.
                begin = begin.max(row.ready);
                materials += 1;
            }
            let ready = walk_on(&self.situation.calendar, begin, order.lead_days);
            assert_eq!(order.ready, ready, "{order:?}");
        }
        let all = self.items.iter().flat_map(|item| self.plan.requirements_of(item.id));
        assert_eq!(materials, all.filter(|(_, row)| matches!(row.need, Need::Order(_))).count());
        for item in self.items {
            for (_, supply) in self.plan.supplies_of(item.id) {
                let ready = match supply.origin {
                    Origin::Stock | Origin::Receipt(_) => supply.day,
                    Origin::ByProduct(order) | Origin::Order(order) => supply.day.max(self.order(order).ready),
                };
                assert_eq!(supply.ready, ready);
            }
        }
    }

    fn promises_follow_from_the_pegs(&self) {
        let promises: Vec<_> = self.plan.promises().collect();
        assert_eq!(promises.len(), self.situation.demands.len());
        let mut short = Vec::new();
        for (place, promise) in promises.iter().enumerate() {
            assert_eq!(promise.demand, self.situation.demands[place]);
            let (mut on_time, mut feasible) = (0, promise.demand.due);
            if let Some(row) = self.plan.requirement_of_demand(place) {
                assert_eq!(self.plan.requirement(row).map(|row| row.need), Some(Need::Demand(place as u32)));
                for peg in self.plan.pegs_of_requirement(row) {
                    let ready = self.plan.supply(peg.supply).expect("a peg names a supply").ready;
                    feasible = feasible.max(ready);
                    on_time += if ready <= promise.demand.due { peg.quantity.0 } else { 0 };
                }
            } else {
                assert_eq!(promise.demand.quantity, Quantity(0));
            }
            assert_eq!((promise.on_time, promise.feasible), (Quantity(on_time), feasible));
            assert_eq!(promise.short().0 > 0, feasible > promise.demand.due);
            if promise.short().0 > 0 {
                short.push(*promise);
            }
        }
        let today = self.situation.planning_date;
        let overdue = self.situation.demands.iter().any(|demand| demand.due < today);
        assert!(short.is_empty() || overdue || self.plan.past_due_orders().count() > 0, "a shortage has a cause");
        assert_eq!(self.plan.shortages().collect::<Vec<_>>(), short);
        let past_due: Vec<_> = self.plan.orders().filter(|(_, order)| order.release < today).collect();
        assert_eq!(self.plan.past_due_orders().collect::<Vec<_>>(), past_due);
    }

    /// What each cause has of a requirement or an order adds up to it, and is what one finds from the
    /// other end.
    fn traces_agree_both_ways(&self) {
        let downward = self.plan.downward();
        let (mut of_requirements, mut of_orders) = (Amounts::new(), Amounts::new());
        for demand in 0..self.situation.demands.len() {
            let cause = Cause::Demand(demand as u32);
            let mut pegs: Amounts<(RequirementIndex, SupplyIndex)> = Amounts::new();
            for part in downward.contributions(demand) {
                assert!(part.quantity.0 > 0);
                *pegs.entry((part.requirement, part.supply)).or_default() += u128::from(part.quantity.0);
                *of_requirements.entry((part.requirement, cause)).or_default() += u128::from(part.quantity.0);
                let supply = self.plan.supply(part.supply).expect("a supply of the plan");
                if let Origin::Order(order) = supply.origin {
                    *of_orders.entry((order, cause)).or_default() += u128::from(part.quantity.0);
                }
            }
            for ((requirement, supply), quantity) in pegs {
                let mut pegs = self.plan.pegs_of_requirement(requirement);
                let peg = pegs.find(|peg| peg.supply == supply).expect("what is taken is pegged");
                assert!(quantity <= u128::from(peg.quantity.0), "more is taken than is pegged");
            }
            let path = downward.critical_path(demand);
            let last = path.first().and_then(|supply| self.plan.supply(*supply));
            let feasible = self.plan.promises().nth(demand).map(|promise| promise.feasible);
            assert_eq!(last.map(|last| last.ready).max(Some(self.situation.demands[demand].due)), feasible);
        }
        let sum = |shares: &[Share]| shares.iter().map(|share| u128::from(share.quantity.0)).sum::<u128>();
        let is_demand = |share: &&Share| matches!(share.cause, Cause::Demand(_));
        let mut expected = Amounts::new();
        for (index, order) in self.plan.orders() {
            let shares = self.plan.causes_of_order(index);
            assert_eq!(sum(&shares), u128::from(order.quantity.0), "causes of {order:?}");
            expected.extend(
                shares.iter().filter(is_demand).map(|share| ((index, share.cause), u128::from(share.quantity.0))),
            );
        }
        assert_eq!(of_orders, expected, "what demands take of orders is what orders are for");
        let mut expected = Amounts::new();
        for (index, row) in self.items.iter().flat_map(|item| self.plan.requirements_of(item.id)) {
            let shares = self.plan.causes_of_requirement(index);
            assert_eq!(sum(&shares), u128::from(row.quantity.0), "causes of {row:?}");
            expected.extend(
                shares.iter().filter(is_demand).map(|share| ((index, share.cause), u128::from(share.quantity.0))),
            );
        }
        assert_eq!(of_requirements, expected, "what demands take of requirements is what these are for");
    }

    /// Pegging of everything at once says what is said of each alone; within bounds it tells fewer causes apart,
    /// never more of one than it has, and what is for the others adds up all the same.
    fn pegging_agrees_within_bounds(&self) {
        let agrees = |told: Vec<Share>, all: Vec<Share>, causes_max: usize| {
            let sum = |shares: &[Share]| shares.iter().map(|share| u128::from(share.quantity.0)).sum::<u128>();
            assert_eq!(sum(&told), sum(&all), "{told:?} of {all:?}");
            let apart: Vec<&Share> = told.iter().filter(|share| share.cause != Cause::Others).collect();
            assert!(apart.len() <= causes_max, "{told:?}");
            for share in apart {
                let whole = all.iter().find(|whole| whole.cause == share.cause).expect("a cause is one of all");
                assert!(share.quantity <= whole.quantity, "{told:?} of {all:?}");
            }
        };
        let (whole, bounded) = (self.plan.pegging(usize::MAX), self.plan.pegging(2));
        for (index, _) in self.plan.orders() {
            let all = self.plan.causes_of_order(index);
            assert_eq!(whole.causes_of_order(index), all);
            agrees(bounded.causes_of_order(index), all, 2);
        }
        for (index, _) in self.items.iter().flat_map(|item| self.plan.requirements_of(item.id)) {
            let all = self.plan.causes_of_requirement(index);
            assert_eq!(whole.causes_of_requirement(index), all);
            agrees(bounded.causes_of_requirement(index), all, 2);
        }
    }

    fn the_record_adds_up(&self, item: &Item) {
        let first = Day(self.situation.planning_date.0 - 40);
        for buckets in [Buckets::regular(first, 1, 150), Buckets::regular(first, 7, 3)] {
            let buckets = buckets.expect("some days");
            let record = self.plan.record(item.id, &buckets).expect("an item of the network");
            let sum_of = |supplies: &dyn Fn(&Origin) -> bool| -> u64 {
                let all = self.plan.supplies_of(item.id).filter(|(_, supply)| supplies(&supply.origin));
                all.map(|(_, supply)| supply.quantity.0).sum()
            };
            let rows = self.plan.requirements_of(item.id).filter(|(_, row)| row.need != Need::SafetyStock);
            let gross: u64 = rows.map(|(_, row)| row.quantity.0).sum();
            let planned: u64 = self.plan.orders_of(item.id).map(|(_, order)| order.quantity.0).sum();
            let net: u64 = self.plan.orders_of(item.id).map(|(_, order)| order.net.0).sum();
            assert_eq!(record.iter().map(|bucket| bucket.gross.0).sum::<u64>(), gross);
            assert_eq!(record.iter().map(|bucket| bucket.net.0).sum::<u64>(), net);
            assert_eq!(record.iter().map(|bucket| bucket.planned_receipts.0).sum::<u64>(), planned);
            assert_eq!(record.iter().map(|bucket| bucket.planned_releases.0).sum::<u64>(), planned);
            let scheduled = sum_of(&|origin| matches!(origin, Origin::Receipt(_) | Origin::ByProduct(_)));
            assert_eq!(record.iter().map(|bucket| bucket.scheduled.0).sum::<u64>(), scheduled);
            let last = record.last().map(|bucket| bucket.projected.0);
            assert_eq!(last, Some(sum_of(&|_| true) - gross));
        }
    }
}
