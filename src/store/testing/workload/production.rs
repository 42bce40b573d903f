//! A plant that makes carts of wheels and glue, in the midst of the trading.

use super::{ISSUER, MONEY, account, asset, code, planning};
use crate::core::command::{
    AdjustStock, Body, BomLine, ByProduct, CompleteWorkOrder, CountStock, CreateWorkOrder, DefineBom, DefineItem,
    DefinePlant, IssueMaterials, IssueStock, Material, MoveStock, Operation, ReceiveStock, ReleaseWorkOrder,
    ReportOperation, ReturnMaterials, ScrapStock, SetCalendar, SetWorkOrder,
};
use crate::core::types::{
    AccountId, Amount, AssetId, Attrition, BomVersion, Day, LotRule, OverIssue, PlantId, Price, Quantity, Source,
    WorkOrderChange, WorkOrderId,
};
use crate::store::testing::Random;

pub(super) const PLANT: PlantId = PlantId(1);
pub(super) const SHELF: AccountId = AccountId(101);
pub(super) const YARD: AccountId = AccountId(102);
pub(super) const CART: AssetId = AssetId(3);
pub(super) const WHEEL: AssetId = AssetId(4);
/// Its lots are tracked.
pub(super) const GLUE: AssetId = AssetId(5);
const DUST: AssetId = AssetId(6);

/// Work orders that exist from the beginning.
const WORK_ORDERS: u64 = 24;

/// What every entry builds on: money, an issuer, and the plant with its plans, orders and materials. The
/// commands before the firming make one event each, so that the id of a plan or an order is its place.
pub(super) fn setup() -> Vec<Body> {
    let mut bodies = definitions();
    bodies.extend(planning::setup(plans_before()));
    bodies.extend((0..WORK_ORDERS).map(|number| create_work_order(number % 3 == 0)));
    bodies.extend(planning::firm(plans_before(), firms_before()));
    for asset in [WHEEL, GLUE] {
        bodies.push(receive(asset, 100_000));
    }
    bodies
}

fn plans_before() -> u64 {
    definitions().len() as u64
}

fn work_orders_before() -> u64 {
    plans_before() + planning::setup(plans_before()).len() as u64
}

fn firms_before() -> u64 {
    work_orders_before() + WORK_ORDERS
}

fn definitions() -> Vec<Body> {
    let item = |asset| {
        Body::DefineItem(DefineItem {
            asset,
            source: if asset == CART { Source::Make } else { Source::Buy },
            lead_days: 2,
            lot_rule: LotRule::Multiple { minimum: Quantity(2), multiple: Quantity(1) },
            safety_stock: Quantity(1),
            reorder_point: Quantity(0),
            standard_cost: Price(3),
            currency: MONEY,
            phantom: false,
            lot_tracked: asset == GLUE,
        })
    };
    let mut bodies = vec![asset(MONEY, "USD"), account(ISSUER), account(SHELF), account(YARD)];
    for (id, name) in [(CART, "CART"), (WHEEL, "WHEEL"), (GLUE, "GLUE"), (DUST, "DUST")] {
        bodies.extend([asset(id, name), item(id)]);
    }
    bodies.push(Body::DefinePlant(DefinePlant {
        plant: PLANT,
        name: code("WEST"),
        production: ISSUER,
        scrap: ISSUER,
        adjustment: ISSUER,
        locations: vec![SHELF, YARD],
    }));
    bodies.push(Body::DefineBom(bom()));
    bodies
}

fn bom() -> DefineBom {
    let line = |component, quantity, attrition| BomLine {
        component,
        quantity: Quantity(quantity),
        attrition: Attrition(attrition),
        setup: Quantity(0),
        multiple: Quantity(0),
        optional: false,
    };
    let operation = Operation {
        work_centre: code("BENCH"),
        setup_seconds: 60,
        run_seconds: 10,
        lead_days: 1,
        hourly_cost: Amount(600),
    };
    DefineBom {
        product: CART,
        version: BomVersion(1),
        from: Day(1),
        output: Quantity(1),
        lines: vec![line(WHEEL, 4, 0), line(GLUE, 1, 100_000)],
        by_products: vec![ByProduct { asset: DUST, quantity: Quantity(1) }],
        operations: vec![operation],
    }
}

fn create_work_order(backflush: bool) -> Body {
    Body::CreateWorkOrder(CreateWorkOrder {
        plant: PLANT,
        product: CART,
        quantity: Quantity(40),
        version: None,
        location: SHELF,
        output: YARD,
        start: Day(1),
        due: Day(3),
        backflush,
        optional: false,
        over_issue: OverIssue::Warn,
    })
}

fn receive(asset: AssetId, quantity: u64) -> Body {
    Body::ReceiveStock(ReceiveStock { location: SHELF, asset, quantity: Quantity(quantity), from: ISSUER, lot: None })
}

/// One command.
pub(super) fn body(numbers: &mut Random) -> Body {
    match numbers.below(7) {
        0 | 1 => goods(numbers),
        2 => planning::body(numbers, plans_before(), firms_before()),
        _ => work(numbers),
    }
}

fn goods(numbers: &mut Random) -> Body {
    let asset = if numbers.below(2) == 0 { WHEEL } else { GLUE };
    let (location, reason, lot) = (SHELF, code("STOCKTAKING"), None);
    let few = 1 + numbers.below(50);
    let quantity = Quantity(few);
    match numbers.below(6) {
        0 => receive(asset, few),
        1 => Body::IssueStock(IssueStock { location, asset, quantity, to: ISSUER, lot }),
        2 => {
            let difference = Amount(few as i64 - 60);
            Body::AdjustStock(AdjustStock { location, asset, difference, lot, reason })
        }
        3 => {
            let counted = Quantity(90_000 + 100 * few);
            Body::CountStock(CountStock { location, asset, counted, lot, reason })
        }
        4 => Body::ScrapStock(ScrapStock { location, asset, quantity, lot, reason }),
        _ => Body::MoveStock(MoveStock { from: SHELF, to: YARD, asset, quantity, lot }),
    }
}

fn work(numbers: &mut Random) -> Body {
    let work_order = WorkOrderId(work_orders_before() + 1 + numbers.below(WORK_ORDERS));
    let units = Quantity(1 + numbers.below(4));
    match numbers.below(16) {
        0..=3 => Body::ReleaseWorkOrder(ReleaseWorkOrder { work_order, partial: numbers.below(2) == 0 }),
        4..=5 => Body::IssueMaterials(IssueMaterials { work_order, materials: materials(numbers) }),
        6 => {
            let material = Material { component: WHEEL, quantity: Quantity(1), lot: None };
            Body::ReturnMaterials(ReturnMaterials { work_order, material })
        }
        7..=9 => {
            let (operation, scrap) = (0, Quantity(numbers.below(2)));
            Body::ReportOperation(ReportOperation { work_order, operation, good: units, scrap })
        }
        10..=12 => {
            let (scrap, loss) = (Quantity(0), Quantity(numbers.below(2)));
            Body::CompleteWorkOrder(CompleteWorkOrder { work_order, good: Quantity(1), scrap, loss, lot: None })
        }
        13 => {
            let change = match numbers.below(12) {
                0 => WorkOrderChange::Cancel,
                1 => WorkOrderChange::Close,
                2 | 3 => WorkOrderChange::Hold,
                4..=7 => WorkOrderChange::Resume,
                _ => WorkOrderChange::Start,
            };
            Body::SetWorkOrder(SetWorkOrder { work_order, change })
        }
        14 => {
            let holidays = vec![Day(numbers.below(300) as i32), Day(400)];
            Body::SetCalendar(SetCalendar { plant: PLANT, weekdays: 31, holidays, seconds_per_day: 28_800 })
        }
        _ => create_work_order(numbers.below(2) == 0),
    }
}

/// All that is required, or a little of one component.
fn materials(numbers: &mut Random) -> Vec<Material> {
    let some = Material { component: GLUE, quantity: Quantity(1 + numbers.below(60)), lot: None };
    if numbers.below(2) == 0 { Vec::new() } else { vec![some] }
}
