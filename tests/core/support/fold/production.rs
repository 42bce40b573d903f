//! Production and inventory in the auditor's books: what every work order, lot and movement of stock
//! must be, by the records alone.

use std::collections::BTreeMap;

use counterfoil_core::command::{ByProduct, DefineBom, DefineItem, DefinePlant, SetCalendar};
use counterfoil_core::event::{
    EventBody, LotsMoved, MaterialMoved, OperationReported, Posting, StockMoved, WorkOrderChanged, WorkOrderCompleted,
};
use counterfoil_core::production::records::{OrderYield, Requirement, WorkOrder};
use counterfoil_core::types::{
    AccountId, AssetId, BomVersion, Code, Day, OverIssue, PlantId, Quantity, Sequence, StockMoveKind, WorkOrderChange,
    WorkOrderId, WorkOrderState,
};

use super::{Fold, Held, expect};

/// Changes of balances: whose, of what, of `posted`, of `reserved`.
type Changes = Vec<(AccountId, AssetId, i64, i64)>;

/// Production in the auditor's books.
#[derive(Debug, Clone, Default)]
pub struct Production {
    /// Plants, as they were defined last.
    pub plants: BTreeMap<PlantId, DefinePlant>,
    /// Their calendars, where one was set.
    pub calendars: BTreeMap<PlantId, SetCalendar>,
    /// Items, as they were defined last.
    pub items: BTreeMap<AssetId, DefineItem>,
    /// Every version.
    pub boms: BTreeMap<(AssetId, BomVersion), DefineBom>,
    /// Lots, of accounts that are no issuers.
    pub lots: BTreeMap<(AccountId, AssetId, Code), u64>,
    /// Work orders that have not ended.
    pub orders: BTreeMap<WorkOrderId, OpenOrder>,
    /// How many work orders have ended.
    pub ended: u64,
    /// What the event before posted, where its lots have not been told.
    untold: Vec<Posting>,
    /// The order whose materials the event before moved, and whether they came back.
    moving: Option<(WorkOrderId, bool)>,
}

/// A work order that has not ended.
#[derive(Debug, Clone)]
pub struct OpenOrder {
    /// What it is.
    pub order: WorkOrder,
    /// What it requires.
    pub lines: Vec<Requirement>,
    /// What it yields besides.
    pub yields: Yields,
    /// Good and spoilt units of each operation.
    pub operations: Vec<(u64, u64)>,
    /// What it was issued of each lot and has not given back.
    pub lots: BTreeMap<(AssetId, Code), u64>,
}

/// By-products, each with how much of it so many units yield.
type Yields = Vec<(AssetId, u64, u64)>;

impl Fold {
    /// Whether an asset's lots are tracked.
    fn is_tracked(&self, asset: AssetId) -> bool {
        self.production.items.get(&asset).is_some_and(|item| item.lot_tracked)
    }

    /// Demands that an event's lots are told in the event behind it, and at no other time.
    pub(super) fn expect_lots(&mut self, body: &EventBody, postings: &[Posting]) {
        let untold = std::mem::take(&mut self.production.untold);
        let moving = self.production.moving.take();
        if let (EventBody::LotsMoved(lots), Some((order, back))) = (body, moving) {
            self.lots_of_order(order, back, lots);
        }
        self.production.moving = match body {
            EventBody::MaterialsIssued(issued) => Some((issued.order.id, false)),
            EventBody::OperationReported(reported) => Some((reported.order.id, false)),
            EventBody::WorkOrderCompleted(completed) => Some((completed.order.id, false)),
            EventBody::MaterialsReturned(returned) => Some((returned.order.id, true)),
            _ => None,
        };
        match body {
            EventBody::LotsMoved(lots) => self.lots_moved(lots, &untold),
            _ => assert!(untold.is_empty(), "the lots of {untold:?} are not told"),
        }
        let moved = postings.iter().filter(|posting| posting.amount.0 != 0);
        self.production.untold = moved.filter(|posting| self.is_tracked(posting.asset)).copied().collect();
    }

    /// What comes back of a work order's materials is of lots that it was issued.
    fn lots_of_order(&mut self, order: WorkOrderId, back: bool, lots: &LotsMoved) {
        let open = self.production.orders.get_mut(&order).expect("open");
        let works = self.production.plants[&open.order.plant].production;
        let (from, to) = if back { (works, open.order.location) } else { (open.order.location, works) };
        for part in lots.moves.iter().filter(|part| (part.from, part.to) == (from, to)) {
            let own = open.lots.entry((part.asset, part.lot)).or_default();
            *own = match back {
                true => own.checked_sub(part.quantity.0).expect("no more of a lot comes back than was issued"),
                false => *own + part.quantity.0,
            };
        }
        open.lots.retain(|_, quantity| *quantity > 0);
    }

    /// Demands that no event's lots are untold.
    pub(super) fn expect_all_told(&self) {
        assert!(self.production.untold.is_empty(), "the lots of {:?} are not told", self.production.untold);
    }

    fn lots_moved(&mut self, lots: &LotsMoved, postings: &[Posting]) {
        let is_issuer = |account: &AccountId| self.accounts[account].issuer;
        let mut given: BTreeMap<(AccountId, AssetId), i64> = BTreeMap::new();
        let mut moves = lots.moves.iter();
        for posting in postings.iter().filter(|posting| posting.amount.0 > 0) {
            // What a balance lacks is paid before it keeps a lot.
            let mut lacking = (posting.amount.0 - posting.posted.0).max(0).unsigned_abs();
            let mut left = posting.amount.0.unsigned_abs();
            while left > 0 {
                let part = moves.next().expect("every unit received is of a lot");
                assert_eq!((part.to, part.asset), (posting.account, posting.asset), "{lots:?}");
                assert!(part.quantity.0 > 0);
                left = left.checked_sub(part.quantity.0).expect("no more is of lots than is received");
                *given.entry((part.from, part.asset)).or_default() += part.quantity.0 as i64;
                let kept = part.quantity.0 - part.quantity.0.min(lacking);
                lacking -= part.quantity.0 - kept;
                let held = self.production.lots.get_mut(&(part.from, part.asset, part.lot));
                if let Some(held) = held {
                    *held = held.checked_sub(part.quantity.0).expect("a lot gives no more than it is");
                }
                self.production.lots.retain(|_, quantity| *quantity > 0);
                if kept > 0 && !is_issuer(&part.to) {
                    let number = part.counted_to.unwrap_or(part.lot);
                    *self.production.lots.entry((part.to, part.asset, number)).or_default() += kept;
                }
            }
        }
        assert_eq!(moves.next(), None, "more lots than units: {lots:?}");
        for posting in postings.iter().filter(|posting| posting.amount.0 < 0) {
            *given.entry((posting.account, posting.asset)).or_default() += posting.amount.0;
        }
        assert!(given.values().all(|sum| *sum == 0), "every unit given is of a lot: {lots:?}, {postings:?}");
    }

    /// The lots of a balance add up to what it has above zero.
    pub(super) fn check_lots(&self) {
        let mut sums: BTreeMap<(AccountId, AssetId), u64> = BTreeMap::new();
        for ((account, asset, _), quantity) in &self.production.lots {
            *sums.entry((*account, *asset)).or_default() += quantity;
        }
        for (key @ (account, asset), held) in &self.balances {
            let keeps = self.is_tracked(*asset) && !self.accounts[account].issuer;
            let expected = if keeps { held.posted.max(0).unsigned_abs() } else { 0 };
            assert_eq!(sums.remove(key).unwrap_or(0), expected, "the lots of account {account} asset {asset}");
        }
        assert!(sums.is_empty(), "lots without a balance: {sums:?}");
    }

    /// What work orders hold, per balance.
    pub(super) fn work_order_holds(&self, holds: &mut BTreeMap<(AccountId, AssetId), i64>) {
        for OpenOrder { order, lines, .. } in self.production.orders.values() {
            for line in lines {
                *holds.entry((order.location, line.component)).or_default() += line.reserved.0 as i64;
            }
        }
    }

    pub(super) fn production_event(&mut self, sequence: Sequence, body: &EventBody, postings: &[Posting]) {
        let changes = match body {
            EventBody::PlantDefined(_)
            | EventBody::CalendarSet(_)
            | EventBody::ItemDefined(_)
            | EventBody::BomDefined(_) => {
                self.definition(body);
                if !matches!(body, EventBody::PlantDefined(_)) {
                    self.rules_changed(sequence);
                }
                Vec::new()
            }
            EventBody::StockMoved(moved) => self.stock_moved(moved),
            EventBody::LotsMoved(_) => Vec::new(),
            EventBody::WorkOrderCreated(created) => {
                self.created(sequence, created.order);
                self.ordered(sequence, created.order.plan);
                Vec::new()
            }
            EventBody::WorkOrderReleased(released) => self.released(released.order, &released.lines, &released.yields),
            EventBody::WorkOrderChanged(changed) => self.changed(changed),
            EventBody::MaterialsIssued(issued) => {
                let open = self.at_work(issued.order.id);
                assert!(!issued.materials.is_empty() || open.lines.iter().all(|line| line.outstanding() == 0));
                let mut changes = Vec::new();
                self.consume(issued.order.id, &issued.materials, &mut changes);
                self.expect_order(issued.order);
                changes
            }
            EventBody::MaterialsReturned(returned) => self.returned(returned.order, returned.material),
            EventBody::OperationReported(reported) => self.reported(reported),
            EventBody::WorkOrderCompleted(completed) => self.completed(completed),
            other => unreachable!("{other:?} is not of production"),
        };
        expect(postings, &changes);
    }

    fn definition(&mut self, body: &EventBody) {
        let production = &mut self.production;
        match body {
            EventBody::PlantDefined(new) => {
                for issuer in [new.production, new.scrap, new.adjustment] {
                    assert!(self.accounts[&issuer].issuer);
                }
                assert!(new.locations.iter().all(|location| !self.accounts[location].issuer));
                let mut others = production.plants.values().filter(|plant| plant.plant != new.plant);
                assert!(others.clone().all(|plant| plant.name != new.name), "no two plants have one name");
                assert!(!others.any(|plant| plant.locations.iter().any(|own| new.locations.contains(own))));
                production.plants.insert(new.plant, new.clone());
            }
            EventBody::CalendarSet(set) => {
                assert!(production.plants.contains_key(&set.plant));
                production.calendars.insert(set.plant, set.clone());
            }
            EventBody::ItemDefined(new) => {
                if let Some(old) = production.items.insert(new.asset, new.clone()) {
                    assert_eq!((old.currency, old.lot_tracked), (new.currency, new.lot_tracked));
                } else if new.lot_tracked {
                    let had = self.balances.iter().any(|((_, asset), held)| *asset == new.asset && held.posted != 0);
                    assert!(!had, "lots are tracked from the first unit");
                }
            }
            EventBody::BomDefined(new) => {
                assert!(production.boms.insert((new.product, new.version), DefineBom::clone(new)).is_none());
                assert!(!production.reaches(new.product, new.product), "{new:?} makes a cycle");
            }
            other => unreachable!("{other:?} defines nothing"),
        }
    }

    fn stock_moved(&self, moved: &StockMoved) -> Changes {
        let StockMoved { kind, location, from, to, asset, quantity, counted, lot, .. } = *moved;
        let plant_of = |account: AccountId| {
            let mut plants = self.production.plants.values();
            plants
                .find(|plant| plant.locations.contains(&account))
                .unwrap_or_else(|| panic!("{account} is no location"))
        };
        match kind {
            StockMoveKind::Receipt => drop(plant_of(to)),
            StockMoveKind::Issue => drop(plant_of(from)),
            StockMoveKind::Scrap => assert_eq!(to, plant_of(from).scrap),
            StockMoveKind::Move => drop((plant_of(from), plant_of(to))),
            StockMoveKind::Adjustment | StockMoveKind::Count => {
                let other = if from == location { to } else { from };
                assert_eq!(other, plant_of(location).adjustment);
                let before = self.held(location, asset).posted;
                let there = counted.filter(|_| lot.is_none()).map(|counted| counted.0 as i64);
                assert!(there.is_none_or(|there| there == before), "a count sets what there is: {moved:?}");
            }
        }
        assert!([from, to].contains(&location) && counted.is_some() == (kind == StockMoveKind::Count));
        assert!(quantity.0 > 0 || kind == StockMoveKind::Count);
        if quantity.0 == 0 {
            return Vec::new();
        }
        self.check_allowed(to, asset);
        let amount = quantity.0 as i64;
        vec![(from, asset, -amount, 0), (to, asset, amount, 0)]
    }

    fn created(&mut self, sequence: Sequence, order: WorkOrder) {
        assert_eq!(order.id.0, sequence.0, "a work order's id is the sequence of its creation");
        assert_eq!((order.state, order.held, order.parts), (WorkOrderState::Planned, false, 0));
        assert_eq!((order.done(), order.cost), (0, 0));
        let bom = &self.production.boms[&(order.product, order.version)];
        assert_eq!(bom.product, order.product);
        let plant = &self.production.plants[&order.plant];
        assert!(plant.locations.contains(&order.location) && plant.locations.contains(&order.output));
        let open =
            OpenOrder { order, lines: Vec::new(), yields: Vec::new(), operations: Vec::new(), lots: BTreeMap::new() };
        assert!(self.production.orders.insert(order.id, open).is_none());
    }

    fn released(&mut self, order: WorkOrder, lines: &[Requirement], yields: &[OrderYield]) -> Changes {
        let mut open = self.production.orders[&order.id].clone();
        assert!(!open.order.held);
        if open.order.state == WorkOrderState::Planned {
            let bom = &self.production.boms[&(order.product, order.version)];
            let (required, yields) = self.production.explode(bom, &order);
            open.yields = yields;
            let nothing = Quantity(0);
            open.lines = required
                .iter()
                .map(|&(component, quantity)| Requirement {
                    component,
                    required: Quantity(quantity),
                    reserved: nothing,
                    issued: nothing,
                    cost: 0,
                })
                .collect();
            open.operations = vec![(0, 0); bom.operations.len()];
            open.order.state = WorkOrderState::Released;
            open.order.parts = (open.lines.len() + open.yields.len() + open.operations.len()) as u32;
        }
        let mut yields: Vec<_> = yields.iter().map(|it| (it.asset, it.quantity.0, it.per.0)).collect();
        yields.sort_unstable();
        assert_eq!(yields, open.yields, "it yields what its bill and those of its phantoms do");
        assert_eq!(lines.len(), open.lines.len());
        // The order of the lines is the ledger's.
        let place = |line: &Requirement| lines.iter().position(|new| new.component == line.component);
        open.lines.sort_by_key(place);
        let mut changes = Vec::new();
        for (old, new) in open.lines.iter_mut().zip(lines) {
            let held = new.reserved.0.checked_sub(old.reserved.0).expect("a release takes nothing away");
            assert!(held <= old.short(), "{new:?} holds more than is needed");
            changes.push((order.location, old.component, 0, held as i64));
            old.reserved = new.reserved;
            assert_eq!(old, new);
        }
        self.production.orders.insert(order.id, open);
        self.expect_order(order);
        changes
    }

    fn changed(&mut self, changed: &WorkOrderChanged) -> Changes {
        let WorkOrderChanged { order, change } = *changed;
        let mut changes = Vec::new();
        let open = self.production.orders.get_mut(&order.id).expect("open");
        let state = open.order.state;
        match change {
            WorkOrderChange::Start => {
                assert_eq!((state, open.order.held), (WorkOrderState::Released, false));
                open.order.state = WorkOrderState::InProgress;
            }
            WorkOrderChange::Hold => assert!(!std::mem::replace(&mut open.order.held, true)),
            WorkOrderChange::Resume => assert!(std::mem::replace(&mut open.order.held, false)),
            WorkOrderChange::Close => {
                assert!(matches!(state, WorkOrderState::InProgress | WorkOrderState::Completed));
                open.order.state = WorkOrderState::Closed;
            }
            WorkOrderChange::Cancel => {
                assert_ne!(state, WorkOrderState::Completed);
                open.order.state = WorkOrderState::Cancelled;
            }
        }
        if matches!(change, WorkOrderChange::Close | WorkOrderChange::Cancel) {
            open.give_back(&mut changes);
            assert_eq!(open.order, order);
            self.production.orders.remove(&order.id);
            self.production.ended += 1;
        } else {
            self.expect_order(order);
        }
        changes
    }

    /// The order, which must be one that can be worked on. It is in progress from now on.
    fn at_work(&mut self, id: WorkOrderId) -> &mut OpenOrder {
        let open = self.production.orders.get_mut(&id).expect("open");
        assert!(!open.order.held, "nobody works on an order that is held up");
        assert!(matches!(open.order.state, WorkOrderState::Released | WorkOrderState::InProgress), "{open:?}");
        open.order.state = WorkOrderState::InProgress;
        open
    }

    /// Materials go from stock into production: what the order holds of them first.
    fn consume(&mut self, id: WorkOrderId, materials: &[MaterialMoved], changes: &mut Changes) {
        let costs: Vec<i128> = materials.iter().map(|moved| self.cost(moved)).collect();
        let open = self.production.orders.get_mut(&id).expect("open");
        let order = &mut open.order;
        let production = self.production.plants[&order.plant].production;
        for (moved, cost) in materials.iter().zip(costs) {
            let quantity = moved.quantity.0;
            let line = open.lines.iter_mut().find(|line| line.component == moved.component).expect("required");
            assert_eq!(moved.over.0, quantity.saturating_sub(line.outstanding()));
            assert!(moved.over.0 == 0 || order.over_issue == OverIssue::Warn);
            let held = quantity.min(line.reserved.0);
            line.reserved.0 -= held;
            line.issued.0 += quantity;
            assert_eq!(moved.cost, cost);
            line.cost += cost;
            order.cost += cost;
            changes.push((order.location, moved.component, -(quantity as i64), -(held as i64)));
            changes.push((production, moved.component, quantity as i64, 0));
        }
    }

    fn cost(&self, moved: &MaterialMoved) -> i128 {
        let price = i128::from(self.production.items[&moved.component].standard_cost.0);
        let scale = u32::from(self.assets[&moved.component].scale);
        i128::from(moved.quantity.0) * price * (WorkOrder::COST_UNIT / 10_i128.pow(scale))
    }

    fn returned(&mut self, order: WorkOrder, moved: MaterialMoved) -> Changes {
        self.check_allowed(order.location, moved.component);
        let production = self.production.plants[&order.plant].production;
        let open = self.production.orders.get_mut(&order.id).expect("open");
        assert!(matches!(open.order.state, WorkOrderState::InProgress | WorkOrderState::Completed));
        let line = open.lines.iter_mut().find(|line| line.component == moved.component).expect("required");
        let kept = line.issued.0.checked_sub(moved.quantity.0).expect("no more comes back than was issued");
        // What stays costs its share, rounded down; what comes back the rest.
        let (kept_of, issued) = (i128::from(kept), i128::from(line.issued.0));
        let cost = line.cost / issued * kept_of + line.cost % issued * kept_of / issued;
        assert_eq!((moved.cost, moved.over.0), (line.cost - cost, 0));
        (line.issued, line.cost) = (Quantity(kept), cost);
        open.order.cost -= moved.cost;
        self.expect_order(order);
        let amount = moved.quantity.0 as i64;
        vec![(production, moved.component, -amount, 0), (order.location, moved.component, amount, 0)]
    }

    fn reported(&mut self, reported: &OperationReported) -> Changes {
        let OperationReported { order, operation, good, scrap, materials, by_products } = reported;
        let production = self.production.plants[&order.plant].production;
        let place = *operation as usize;
        let open = self.at_work(order.id);
        let reached = if place == 0 { open.order.quantity.0 } else { open.operations[place - 1].0 };
        let done = &mut open.operations[place];
        (done.0, done.1) = (done.0 + good.0, done.1 + scrap.0);
        assert!(done.0 + done.1 <= reached && good.0 + scrap.0 > 0, "operations are reported in order");
        let mut changes = Vec::new();
        for (asset, quantity) in open.yielded(scrap.0, by_products) {
            changes.push((production, asset, -(quantity as i64), 0));
            changes.push((order.output, asset, quantity as i64, 0));
        }
        open.order.lost.0 += scrap.0;
        self.consume(order.id, materials, &mut changes);
        self.finish(*order, &mut changes);
        changes
    }

    fn completed(&mut self, completed: &WorkOrderCompleted) -> Changes {
        let WorkOrderCompleted { order, good, scrap, loss, materials, by_products, .. } = completed;
        let plant = self.production.plants[&order.plant].clone();
        self.check_allowed(order.output, order.product);
        let open = self.at_work(order.id);
        let before = open.came_through();
        let units = good.0 + scrap.0 + loss.0;
        assert!(units > 0);
        if let Some((through, _)) = open.operations.last() {
            assert!(before + units <= *through, "no more is completed than came through the operations");
        }
        let yielded = open.yielded(units, by_products);
        open.order.completed.0 += good.0;
        open.order.scrapped.0 += scrap.0;
        open.order.lost.0 += loss.0;
        let (good, scrap) = (good.0 as i64, scrap.0 as i64);
        let mut changes = vec![
            (plant.production, order.product, -good - scrap, 0),
            (order.output, order.product, good, 0),
            (plant.scrap, order.product, scrap, 0),
        ];
        for (asset, quantity) in yielded {
            changes.push((plant.production, asset, -(quantity as i64), 0));
            changes.push((order.output, asset, quantity as i64, 0));
        }
        self.consume(order.id, materials, &mut changes);
        self.finish(*order, &mut changes);
        changes
    }

    /// A backflush has consumed the materials of all units done; an order with nothing left to make gives
    /// back what it holds.
    fn finish(&mut self, order: WorkOrder, changes: &mut Changes) {
        let open = self.production.orders.get_mut(&order.id).expect("open");
        let (done, quantity) = (open.order.done(), open.order.quantity.0);
        assert!(done <= quantity);
        if open.order.backflush {
            let due = |line: &Requirement| (u128::from(line.required.0) * u128::from(done)).div_ceil(quantity.into());
            assert!(open.order.lost.0 == done || open.lines.iter().all(|line| u128::from(line.issued.0) >= due(line)));
        }
        if done == quantity {
            open.order.state = WorkOrderState::Completed;
            open.give_back(changes);
        }
        self.expect_order(order);
    }

    fn expect_order(&self, order: WorkOrder) {
        assert_eq!(self.production.orders[&order.id].order, order, "an event says what the order is after it");
    }

    /// The numbers of an account's lots of an asset.
    pub fn lots_of(&self, account: AccountId, asset: AssetId) -> Vec<Code> {
        let lots = self.production.lots.keys().filter(|(owner, of, _)| (*owner, *of) == (account, asset));
        lots.map(|(_, _, number)| *number).collect()
    }

    /// What an account has of an asset.
    pub fn held(&self, account: AccountId, asset: AssetId) -> Held {
        self.balances.get(&(account, asset)).copied().unwrap_or_default()
    }
}

impl OpenOrder {
    fn give_back(&mut self, changes: &mut Changes) {
        for line in &mut self.lines {
            let reserved = std::mem::take(&mut line.reserved);
            changes.push((self.order.location, line.component, 0, -(reserved.0 as i64)));
        }
    }

    /// What more units yield besides, which must be what is said: it comes with every unit, whatever becomes of
    /// it, in whole units of all that was done.
    fn yielded(&self, units: u64, by_products: &[ByProduct]) -> Vec<(AssetId, u64)> {
        let before = self.order.done();
        let mut expected: BTreeMap<AssetId, u64> = BTreeMap::new();
        for &(asset, quantity, per) in &self.yields {
            let share = |units: u64| (u128::from(quantity) * u128::from(units) / u128::from(per)) as u64;
            *expected.entry(asset).or_default() += share(before + units) - share(before);
        }
        expected.retain(|_, quantity| *quantity > 0);
        let yielded: Vec<_> = by_products.iter().map(|by| (by.asset, by.quantity.0)).collect();
        let each_once: BTreeMap<AssetId, u64> = yielded.iter().copied().collect();
        assert_eq!(each_once, expected, "by-products come in whole units of all that was done");
        assert_eq!(each_once.len(), yielded.len());
        yielded
    }

    fn came_through(&self) -> u64 {
        self.order.done() - self.operations.iter().map(|(_, scrap)| scrap).sum::<u64>()
    }
}

impl Production {
    /// Whether `product` is somewhere below `from`, by any version.
    fn reaches(&self, from: AssetId, product: AssetId) -> bool {
        let of_item = self.boms.values().filter(|bom| bom.product == from);
        let mut below = of_item.flat_map(|bom| bom.lines.iter().map(|line| line.component));
        below.any(|component| component == product || self.reaches(component, product))
    }

    /// The version in effect on a day: the last that has begun, or the first of all.
    fn in_effect(&self, product: AssetId, day: Day) -> &DefineBom {
        let mut versions: Vec<&DefineBom> = self.boms.values().filter(|bom| bom.product == product).collect();
        versions.sort_by_key(|bom| bom.from);
        let begun = versions.iter().rev().find(|bom| bom.from <= day);
        begun.unwrap_or_else(|| versions.first().expect("there is one"))
    }

    /// How deep an item is, counted from the raw materials.
    fn height(&self, item: AssetId) -> u32 {
        let of_item = self.boms.values().filter(|bom| bom.product == item);
        let below = of_item.flat_map(|bom| bom.lines.iter().map(|line| self.height(line.component) + 1));
        below.max().unwrap_or(0)
    }

    /// What an order requires of each component, and what it yields besides, in order of their numbers. Phantoms
    /// are put off until nothing else can need them; what they yield is the order's.
    fn explode(&self, bom: &DefineBom, order: &WorkOrder) -> (Vec<(AssetId, u64)>, Yields) {
        let mut required: Vec<(AssetId, u64)> = Vec::new();
        let own = bom.by_products.iter().map(|by| ((by.asset, bom.output.0), by.quantity.0));
        let mut yields: BTreeMap<(AssetId, u64), u64> = own.collect();
        self.explode_one(bom, order.quantity.0, order, &mut required);
        loop {
            let phantom = |(_, (item, _)): &(usize, &(AssetId, u64))| self.items[item].phantom;
            let deepest = required.iter().enumerate().filter(phantom).max_by_key(|(_, (item, _))| self.height(*item));
            let Some((place, _)) = deepest else {
                yields.retain(|_, quantity| *quantity > 0);
                let yields = yields.into_iter().map(|((asset, per), quantity)| (asset, quantity, per));
                let mut yields: Vec<_> = yields.collect();
                yields.sort_unstable();
                return (required, yields);
            };
            let (item, quantity) = required.remove(place);
            let phantom = self.in_effect(item, order.due);
            for by in &phantom.by_products {
                let all = u128::from(by.quantity.0) * u128::from(quantity) / u128::from(phantom.output.0);
                *yields.entry((by.asset, order.quantity.0)).or_default() += all as u64;
            }
            self.explode_one(phantom, quantity, order, &mut required);
        }
    }

    fn explode_one(&self, bom: &DefineBom, quantity: u64, order: &WorkOrder, required: &mut Vec<(AssetId, u64)>) {
        for line in bom.lines.iter().filter(|line| order.optional || !line.optional) {
            let loss = 1_000_000 + u128::from(line.attrition.0);
            let exact = u128::from(line.quantity.0) * u128::from(quantity) * loss;
            let mut needed = exact.div_ceil(u128::from(bom.output.0) * 1_000_000) + u128::from(line.setup.0);
            if line.multiple.0 > 0 {
                needed = needed.div_ceil(line.multiple.0.into()) * u128::from(line.multiple.0);
            }
            let needed = u64::try_from(needed).expect("fits");
            match required.iter_mut().find(|(component, _)| *component == line.component) {
                Some((_, sum)) => *sum += needed,
                None => required.push((line.component, needed)),
            }
        }
    }
}
