//! Commands of production that collide with trading: a plant whose locations are traders, and whose
//! materials are what they trade.

use counterfoil_core::command::{
    AdjustStock, Body, BomLine, ByProduct, CompleteWorkOrder, CountStock, CreateAccount, CreateAsset, CreateWorkOrder,
    DefineBom, DefineItem, DefinePlant, IssueMaterials, IssueStock, Material, MoveStock, Operation, ReceiveStock,
    ReleaseWorkOrder, ReportOperation, ReturnMaterials, ScrapStock, SetCalendar, SetWorkOrder,
};
use counterfoil_core::production::records::WorkOrder;
use counterfoil_core::types::{
    AccountId, Amount, AssetId, AssetKind, Attrition, BomVersion, Code, Day, LotRule, OverIssue, PlantId, Price,
    Quantity, Source, WorkOrderChange, WorkOrderId, WorkOrderState,
};

use super::super::fold::{Fold, OpenOrder};
use super::super::rng::Rng;
use super::super::swarm::{AAPL, BANK, BTC, FIRST_TRADER, RESTRICTED, Swarm, USD};
use super::Generator;

/// A product of two levels, which is also sold.
pub const KIT: AssetId = AssetId(20);
/// A product, and a component of the kit.
pub const GADGET: AssetId = AssetId(21);
/// A by-product.
pub const DUST: AssetId = AssetId(22);
/// What is consumed goes there.
pub const WORKS: AccountId = AccountId(30);
/// What is thrown away goes there.
pub const DUMP: AccountId = AccountId(31);
/// The states in which work is done on an order.
const AT_WORK: [WorkOrderState; 2] = [WorkOrderState::Released, WorkOrderState::InProgress];
/// The one plant.
pub const PLANT: PlantId = PlantId(1);

impl Swarm {
    /// The commands that set up production: assets, items, accounts, bills of materials. Before anybody
    /// has any of what is tracked.
    pub fn production_items(&self, rng: &mut Rng) -> Vec<Body> {
        let asset = |asset, code, kind| {
            Body::CreateAsset(CreateAsset { asset, code: Code::new(code).expect("a code"), scale: 1, kind })
        };
        let account =
            |account| Body::CreateAccount(CreateAccount { account, issuer: true, restricted: false, user_data: 0 });
        let mut bodies = vec![
            asset(KIT, "KIT", AssetKind::Product),
            asset(GADGET, "GADGET", AssetKind::Product),
            asset(DUST, "DUST", AssetKind::Material),
            account(WORKS),
            account(DUMP),
        ];
        for asset in [AAPL, BTC, KIT, GADGET, DUST] {
            let lot_tracked = rng.chance(50);
            let phantom = asset == GADGET && rng.chance(50);
            bodies.push(Body::DefineItem(DefineItem { lot_tracked, phantom, ..item(asset) }));
        }
        bodies
    }

    /// The commands that need the traders: they are the plant's locations.
    pub fn production_plant(&self, rng: &mut Rng) -> Vec<Body> {
        let line = |component, quantity, attrition| BomLine {
            component,
            quantity: Quantity(quantity),
            attrition: Attrition(attrition),
            setup: Quantity(0),
            multiple: Quantity(0),
            optional: false,
        };
        let operations = |count: u64| {
            let work_centre = Code::new("BENCH").expect("a code");
            let hourly_cost = Amount(90);
            vec![
                Operation { work_centre, setup_seconds: 60, run_seconds: 1, lead_days: 1, hourly_cost };
                count as usize
            ]
        };
        let bom = |product, output, lines, by_products, operations| {
            let (version, output) = (BomVersion(1), Quantity(output));
            let from = Day(5);
            Body::DefineBom(DefineBom { product, version, from, output, lines, by_products, operations })
        };
        let gadget = vec![line(AAPL, rng.between(1, 3), 0), line(BTC, rng.between(1, 9), 50_000)];
        let setup = BomLine { setup: Quantity(2), multiple: Quantity(5), ..line(BTC, 3, 0) };
        let optional = BomLine { optional: true, ..line(DUST, 1, 0) };
        let (inner, again) = (line(GADGET, rng.between(1, 2), 0), line(GADGET, 1, 0));
        // Sometimes there is none, and sometimes it is one of the materials.
        let by_product = ByProduct { asset: *rng.pick(&[DUST, BTC]), quantity: Quantity(3) };
        let by_products = vec![by_product; usize::from(rng.chance(60))];
        let order = |product, quantity, backflush| {
            let (plant, quantity, version) = (PLANT, Quantity(quantity), None);
            let (location, output) = (AccountId(FIRST_TRADER), AccountId(FIRST_TRADER + 1));
            let (start, due, optional, over_issue) = (Day(3), Day(7), false, OverIssue::Warn);
            Body::CreateWorkOrder(CreateWorkOrder {
                plant,
                product,
                quantity,
                version,
                location,
                output,
                start,
                due,
                backflush,
                optional,
                over_issue,
            })
        };
        vec![
            self.plant(FIRST_TRADER),
            bom(GADGET, rng.between(1, 3), gadget, by_products, operations(rng.below(3))),
            bom(KIT, 1, vec![inner, setup, optional, again], Vec::new(), operations(rng.below(2))),
            order(GADGET, rng.between(1, 9), true),
            order(GADGET, rng.between(1, 9), rng.chance(50)),
            order(KIT, rng.between(1, 3), rng.chance(50)),
        ]
    }

    fn plant(&self, first: u64) -> Body {
        let name = Code::new("PLANT").expect("a code");
        let locations = vec![AccountId(first), AccountId(first + 1)];
        let (production, scrap, adjustment) = (WORKS, DUMP, WORKS);
        Body::DefinePlant(DefinePlant { plant: PLANT, name, production, scrap, adjustment, locations })
    }
}

fn item(asset: AssetId) -> DefineItem {
    DefineItem {
        asset,
        source: if asset == KIT || asset == GADGET { Source::Make } else { Source::Buy },
        lead_days: 1,
        lot_rule: LotRule::LotForLot,
        safety_stock: Quantity(0),
        reorder_point: Quantity(10),
        standard_cost: Price(7),
        currency: USD,
        phantom: false,
        lot_tracked: false,
    }
}

impl Generator {
    pub(super) fn stocked_asset(&self, rng: &mut Rng) -> AssetId {
        if rng.chance(self.swarm.typos) { AssetId(99) } else { *rng.pick(&[AAPL, BTC, AAPL, BTC, GADGET, KIT, DUST]) }
    }

    pub(super) fn location(&self, rng: &mut Rng) -> AccountId {
        if rng.chance(self.swarm.typos + 1) { self.account(rng) } else { AccountId(FIRST_TRADER + rng.below(2)) }
    }

    pub(super) fn units(&self, rng: &mut Rng) -> Quantity {
        if self.swarm.huge && rng.chance(40) {
            return Quantity(*rng.pick(&super::EXTREMES));
        }
        let least = u64::from(!rng.chance(self.swarm.typos));
        Quantity(rng.between(least, 12))
    }

    fn lot(&self, rng: &mut Rng, fold: &Fold, account: AccountId, asset: AssetId) -> Option<Code> {
        let named: Vec<Code> = fold.lots_of(account, asset);
        match rng.below(10) {
            0..6 => None,
            6 => Code::new(&format!("LOT-{}", rng.below(4))),
            _ if named.is_empty() => None,
            _ => Some(*rng.pick(&named)),
        }
    }

    pub(super) fn stock(&self, rng: &mut Rng, fold: &Fold) -> Body {
        let (location, asset, quantity) = (self.location(rng), self.stocked_asset(rng), self.units(rng));
        let lot = self.lot(rng, fold, location, asset);
        let reason = Code::new("BROKEN").expect("a code");
        match rng.below(8) {
            0 | 1 => {
                let from = if rng.chance(80) { BANK } else { self.account(rng) };
                Body::ReceiveStock(ReceiveStock { location, asset, quantity, from, lot })
            }
            2 => Body::IssueStock(IssueStock { location, asset, quantity, to: self.account(rng), lot }),
            3 => {
                let amount = quantity.0.min(i64::MAX as u64) as i64;
                let difference = Amount(if rng.chance(50) { amount } else { -amount });
                Body::AdjustStock(AdjustStock { location, asset, difference, lot, reason })
            }
            4 | 5 => {
                let there = fold.held(location, asset).posted.max(0).unsigned_abs();
                let counted =
                    Quantity(if rng.chance(80) { (there + rng.below(5)).saturating_sub(2) } else { quantity.0 });
                Body::CountStock(CountStock { location, asset, counted, lot, reason })
            }
            6 => Body::ScrapStock(ScrapStock { location, asset, quantity, lot, reason }),
            _ => Body::MoveStock(MoveStock { from: location, to: self.location(rng), asset, quantity, lot }),
        }
    }

    pub(super) fn new_work_order(&self, rng: &mut Rng) -> Body {
        let product = if rng.chance(self.swarm.typos) { self.stocked_asset(rng) } else { *rng.pick(&[GADGET, KIT]) };
        let start = Day(rng.below(30) as i32);
        Body::CreateWorkOrder(CreateWorkOrder {
            plant: if rng.chance(self.swarm.typos) { PlantId(9) } else { PLANT },
            product,
            quantity: self.units(rng),
            version: rng.chance(10).then(|| BomVersion(rng.between(1, 2) as u32)),
            location: self.location(rng),
            output: self.location(rng),
            start,
            due: Day(if rng.chance(self.swarm.typos) { -1 } else { start.0 + rng.below(5) as i32 }),
            backflush: rng.chance(50),
            optional: rng.chance(30),
            over_issue: *rng.pick(OverIssue::ALL),
        })
    }

    /// A work order to name, mostly one that has not ended, and is in one of these states.
    fn work_order<'a>(
        &self,
        rng: &mut Rng,
        fold: &'a Fold,
        states: &[WorkOrderState],
    ) -> (WorkOrderId, Option<&'a OpenOrder>) {
        let mut open: Vec<&OpenOrder> = fold.production.orders.values().collect();
        if rng.chance(95) {
            open.retain(|open| states.contains(&open.order.state));
        }
        if open.is_empty() || rng.chance(self.swarm.typos + 1) {
            let id = if rng.chance(50) { rng.below(fold.sequence + 1) } else { u64::MAX };
            return (WorkOrderId(id), None);
        }
        let open = *rng.pick(&open);
        (open.order.id, Some(open))
    }

    pub(super) fn release(&self, rng: &mut Rng, fold: &Fold) -> Body {
        let (work_order, _) = self.work_order(rng, fold, &[WorkOrderState::Planned, WorkOrderState::Released]);
        Body::ReleaseWorkOrder(ReleaseWorkOrder { work_order, partial: rng.chance(50) })
    }

    pub(super) fn set_work_order(&self, rng: &mut Rng, fold: &Fold) -> Body {
        let (work_order, open) = self.work_order(rng, fold, WorkOrderState::ALL);
        let held = open.is_some_and(|open| open.order.held);
        let change = match open.map(|open| open.order.state) {
            _ if held && rng.chance(60) => WorkOrderChange::Resume,
            Some(WorkOrderState::Released) if rng.chance(50) => WorkOrderChange::Start,
            Some(WorkOrderState::Completed) if rng.chance(70) => WorkOrderChange::Close,
            _ => *rng.pick(WorkOrderChange::ALL),
        };
        Body::SetWorkOrder(SetWorkOrder { work_order, change })
    }

    fn material(&self, rng: &mut Rng, fold: &Fold, open: Option<&OpenOrder>) -> Material {
        let lines = open.map_or(&[][..], |open| &open.lines);
        let component = match lines {
            [] => self.stocked_asset(rng),
            _ if rng.chance(self.swarm.typos) => self.stocked_asset(rng),
            _ => rng.pick(lines).component,
        };
        let location = open.map_or(AccountId(FIRST_TRADER), |open| open.order.location);
        Material { component, quantity: self.units(rng), lot: self.lot(rng, fold, location, component) }
    }

    pub(super) fn issue_materials(&self, rng: &mut Rng, fold: &Fold) -> Body {
        let (work_order, open) = self.work_order(rng, fold, &AT_WORK);
        let count = *rng.pick(&[0, 1, 1, 2]);
        let materials = (0..count).map(|_| self.material(rng, fold, open)).collect();
        Body::IssueMaterials(IssueMaterials { work_order, materials })
    }

    pub(super) fn return_materials(&self, rng: &mut Rng, fold: &Fold) -> Body {
        let (work_order, open) = self.work_order(rng, fold, &[WorkOrderState::InProgress, WorkOrderState::Completed]);
        let mut material = self.material(rng, fold, open);
        material.quantity = Quantity(material.quantity.0.min(rng.between(1, 8)));
        let lots = open.map_or(Vec::new(), |open| open.lots.keys().copied().collect());
        if !lots.is_empty() && rng.chance(50) {
            let (component, number) = *rng.pick(&lots);
            (material.component, material.lot) = (component, Some(number));
        }
        Body::ReturnMaterials(ReturnMaterials { work_order, material })
    }

    pub(super) fn report_operation(&self, rng: &mut Rng, fold: &Fold) -> Body {
        let (work_order, open) = self.work_order(rng, fold, &AT_WORK);
        let operations = open.map_or(0, |open| open.operations.len() as u64);
        let beyond = operations == 0 || rng.chance(self.swarm.typos);
        let operation = rng.below(operations + u64::from(beyond)) as u32;
        let (good, scrap) = (Quantity(rng.below(8)), Quantity(rng.below(8) / 5));
        Body::ReportOperation(ReportOperation { work_order, operation, good, scrap })
    }

    pub(super) fn complete(&self, rng: &mut Rng, fold: &Fold) -> Body {
        let (work_order, open) = self.work_order(rng, fold, &AT_WORK);
        let left = |order: &WorkOrder| order.quantity.0 - order.done();
        let mut left = open.map_or(1, |open| left(&open.order));
        if let Some(open) = open.filter(|open| !open.operations.is_empty()) {
            // What came through the operations.
            left = open.operations.last().map_or(left, |(good, _)| *good).min(left);
        }
        let good = Quantity(if rng.chance(30) { left } else { rng.below(left.clamp(1, 8) + 1) });
        let (scrap, loss) = (Quantity(rng.below(6) / 5), Quantity(rng.below(6) / 5));
        let lot = rng.chance(20).then(|| Code::new(&format!("RUN-{}", rng.below(5))).expect("a code"));
        Body::CompleteWorkOrder(CompleteWorkOrder { work_order, good, scrap, loss, lot })
    }

    /// Something defined anew, or what cannot be.
    pub(super) fn define(&self, rng: &mut Rng) -> Body {
        match rng.below(8) {
            0 => self.swarm.plant(FIRST_TRADER + rng.below(2)),
            1 => {
                let production = if rng.chance(50) { self.account(rng) } else { WORKS };
                let (scrap, adjustment) = (DUMP, WORKS);
                let locations = vec![*rng.pick(&[RESTRICTED, BANK, AccountId(FIRST_TRADER)])];
                let name = if rng.chance(80) { "OTHER" } else { "PLANT" };
                let (plant, name) = (PlantId(2), Code::new(name).expect("a code"));
                Body::DefinePlant(DefinePlant { plant, name, production, scrap, adjustment, locations })
            }
            2 => Body::SetCalendar(SetCalendar {
                plant: PlantId(rng.between(1, 3) as u32),
                weekdays: rng.between(0, 127) as u8,
                holidays: vec![Day(3), Day(9)],
                seconds_per_day: 28_800,
            }),
            3..6 => {
                let asset = if rng.chance(70) { self.stocked_asset(rng) } else { USD };
                // Money is counted in shares, so that it is no component of what is counted in money.
                let currency = if (asset == USD) != rng.chance(10) { AAPL } else { USD };
                let standard_cost = Price(rng.below(20));
                let lot_tracked = rng.chance(50);
                let phantom = rng.chance(20);
                Body::DefineItem(DefineItem { standard_cost, currency, lot_tracked, phantom, ..item(asset) })
            }
            _ => {
                let quantity = Quantity(rng.between(1, 3));
                let line = BomLine {
                    component: if rng.chance(60) { *rng.pick(&[AAPL, BTC, DUST, GADGET]) } else { USD },
                    quantity,
                    attrition: Attrition(0),
                    setup: Quantity(0),
                    multiple: Quantity(0),
                    optional: false,
                };
                let from = Day(rng.below(8) as i32);
                Body::DefineBom(DefineBom {
                    product: if rng.chance(60) { *rng.pick(&[KIT, GADGET]) } else { self.stocked_asset(rng) },
                    version: BomVersion(rng.between(1, 9) as u32),
                    from,
                    output: quantity,
                    lines: vec![line; rng.between(1, 2) as usize],
                    by_products: vec![ByProduct { asset: self.stocked_asset(rng), quantity }; rng.below(2) as usize],
                    operations: Vec::new(),
                })
            }
        }
    }
}
