//! Events and state of production and inventory as a transcript shows them.

use std::fmt::Write;

use counterfoil_core::Ledger;
use counterfoil_core::command::ByProduct;
use counterfoil_core::decimal::format as decimal;
use counterfoil_core::event::{EventBody, LotMove, MaterialMoved, StockMoved};
use counterfoil_core::production::records::WorkOrder;
use counterfoil_core::types::{AccountId, AssetId, Code, Quantity, StockMoveKind, WorkOrderId};

use crate::names::Names;
use crate::print::word;

/// An event of production in one line.
pub fn event(body: &EventBody, names: &Names) -> String {
    match body {
        EventBody::PlantDefined(plant) => format!("plant {}", plant.name),
        EventBody::CalendarSet(set) => format!("calendar of {}", names.plant_name(set.plant)),
        EventBody::ItemDefined(item) => format!("item {}", names.asset_code(item.asset).0),
        EventBody::BomDefined(bom) => format!("bom {} {}", names.asset_code(bom.product).0, bom.version),
        EventBody::StockMoved(moved) => stock_moved(moved, names),
        EventBody::LotsMoved(lots) => {
            let moves: Vec<String> = lots.moves.iter().map(|moved| lot_move(moved, names)).collect();
            format!("lots: {}", moves.join("; "))
        }
        EventBody::WorkOrderCreated(created) => {
            let WorkOrder { product, version, quantity, .. } = created.order;
            let what = goods(quantity, product, names);
            let days = match created.order.plan {
                Some(_) => format!(", begin on day {}, due on day {}", created.order.start, created.order.due),
                None => String::new(),
            };
            format!("{} planned: {what} by version {version}{days}", order(&created.order, names))
        }
        EventBody::WorkOrderReleased(released) => {
            let short = released.lines.iter().filter(|line| line.short() > 0);
            let short: Vec<String> = short.map(|line| goods(Quantity(line.short()), line.component, names)).collect();
            let short = if short.is_empty() { String::new() } else { format!(", short of {}", short.join(", ")) };
            format!("{} released{short}", order(&released.order, names))
        }
        EventBody::WorkOrderChanged(changed) => {
            let held = if changed.order.held { ", on hold" } else { "" };
            format!(
                "{} {}: {}{held}",
                order(&changed.order, names),
                word(&changed.change),
                state(&changed.order, names)
            )
        }
        EventBody::MaterialsIssued(issued) => {
            let moved = materials(&issued.materials, names);
            format!("{} issued {moved} | cost {}", order(&issued.order, names), cost(&issued.order, names))
        }
        EventBody::MaterialsReturned(returned) => {
            let moved = materials(&[returned.material], names);
            format!("{} returned {moved} | cost {}", order(&returned.order, names), cost(&returned.order, names))
        }
        EventBody::OperationReported(reported) => format!(
            "{} operation {}: {} good, {} spoilt{}{} | {}",
            order(&reported.order, names),
            reported.operation,
            reported.good,
            reported.scrap,
            besides(&reported.by_products, names),
            consumed(&reported.materials, names),
            state(&reported.order, names),
        ),
        EventBody::WorkOrderCompleted(completed) => {
            let unit = |quantity| goods(quantity, completed.order.product, names);
            let by = besides(&completed.by_products, names);
            format!(
                "{} completed {}, scrapped {}, lost {}{by}{} | {}",
                order(&completed.order, names),
                unit(completed.good),
                completed.scrap,
                completed.loss,
                consumed(&completed.materials, names),
                state(&completed.order, names),
            )
        }
        other => crate::print_planning::event(other, names),
    }
}

/// A quantity of something.
pub fn goods(quantity: Quantity, asset: AssetId, names: &Names) -> String {
    let (code, scale) = names.asset_code(asset);
    format!("{} {code}", decimal(quantity.0.into(), scale))
}

fn of_lot(lot: Option<Code>) -> String {
    lot.map_or(String::new(), |lot| format!(" of lot {lot}"))
}

/// The name of a work order.
pub fn order(order: &WorkOrder, names: &Names) -> String {
    let by_plan = names.ordered_label(order.id.0);
    by_plan.or_else(|| names.command_label(order.command)).unwrap_or_else(|| format!("order {}", order.id))
}

/// The name of an order that a plan made.
pub fn label_of(id: u64, names: &Names) -> String {
    names.ordered_label(id).unwrap_or_else(|| format!("order {id}"))
}

/// What an order cost, in whole units of money.
fn cost(order: &WorkOrder, names: &Names) -> String {
    decimal(order.cost_rounded(), names.asset("USD").scale)
}

fn state(order: &WorkOrder, names: &Names) -> String {
    let left = order.quantity.0 - order.done();
    format!("{}, {left} to make, cost {}", word(&order.state), cost(order, names))
}

fn stock_moved(moved: &StockMoved, names: &Names) -> String {
    let StockMoved { kind, from, to, asset, quantity, lot, reason, .. } = *moved;
    let what = format!("{}{}", goods(quantity, asset, names), of_lot(lot));
    let name = |account: AccountId| names.account_name(account);
    let why = reason.map_or(String::new(), |reason| format!(", {reason}"));
    match kind {
        StockMoveKind::Count if quantity == Quantity(0) => format!("counted, no difference{why}"),
        kind => format!("{} {what} from {} to {}{why}", word(&kind), name(from), name(to)),
    }
}

fn lot_move(moved: &LotMove, names: &Names) -> String {
    let LotMove { asset, lot, from, to, quantity, .. } = *moved;
    format!("{} {lot} {} → {}", goods(quantity, asset, names), names.account_name(from), names.account_name(to))
}

fn materials(moved: &[MaterialMoved], names: &Names) -> String {
    let one = |moved: &MaterialMoved| {
        let over = if moved.over.0 > 0 { format!(" ({} too much)", moved.over) } else { String::new() };
        format!("{}{over}", goods(moved.quantity, moved.component, names))
    };
    moved.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// What was yielded besides.
fn besides(by_products: &[ByProduct], names: &Names) -> String {
    let by: Vec<String> = by_products.iter().map(|by| goods(by.quantity, by.asset, names)).collect();
    if by.is_empty() { String::new() } else { format!(", and {}", by.join(", ")) }
}

fn consumed(moved: &[MaterialMoved], names: &Names) -> String {
    if moved.is_empty() { String::new() } else { format!(", consumed {}", materials(moved, names)) }
}

/// What a work order requires, holds and was issued.
pub fn work_order(ledger: &Ledger, id: WorkOrderId, names: &Names, out: &mut String) {
    let Some(view) = ledger.work_order(id) else {
        let _ = writeln!(out, "  not open");
        return;
    };
    let held = if view.order.held { ", on hold" } else { "" };
    let _ = writeln!(out, "  {}{held}", state(view.order, names));
    for line in view.lines {
        let (code, scale) = names.asset_code(line.component);
        let number = |quantity: u64| decimal(quantity.into(), scale);
        let (required, reserved, issued) = (number(line.required.0), number(line.reserved.0), number(line.issued.0));
        let _ = writeln!(out, "  {code} required {required} reserved {reserved} issued {issued}");
    }
    for order_yield in view.yields {
        let what = goods(order_yield.quantity, order_yield.asset, names);
        let per = goods(order_yield.per, view.order.product, names);
        let _ = writeln!(out, "  yields {what} for {per}");
    }
    for (place, operation) in view.operations.into_iter().enumerate() {
        let _ = writeln!(out, "  operation {place} good {} spoilt {}", operation.good, operation.scrap);
    }
}

/// An account's lots, oldest first, of every asset.
pub fn lots(ledger: &Ledger, account: AccountId, names: &Names, out: &mut String) {
    let mut none = true;
    for balance in ledger.balances(account) {
        for lot in ledger.lots(account, balance.asset) {
            let _ = writeln!(out, "  {} of {}", goods(lot.quantity, lot.asset, names), lot.number);
            none = false;
        }
    }
    if none {
        let _ = writeln!(out, "  none");
    }
}

/// What a plant should reorder, and what its work orders lack.
pub fn reorder(ledger: &Ledger, plant: &str, names: &Names, out: &mut String) {
    for (item, stock) in ledger.to_reorder(names.plant(plant)) {
        let (code, scale) = names.asset_code(item.asset);
        let (available, on_order) = (decimal(stock.available(), scale), decimal(stock.on_order, scale));
        let point = decimal(item.reorder_point.0.into(), scale);
        let _ = writeln!(out, "  {code} available {available} on order {on_order}, reorder at {point}");
    }
    for shortage in ledger.shortages(names.plant(plant)) {
        let view = ledger.work_order(shortage.work_order).expect("it is open");
        let _ = writeln!(
            out,
            "  {} lacks {}",
            order(view.order, names),
            goods(Quantity(shortage.short), shortage.component, names)
        );
    }
}

/// The lines that have an item as a component.
pub fn where_used(ledger: &Ledger, asset: AssetId, names: &Names, out: &mut String) {
    for (bom, line) in ledger.where_used(asset) {
        let product = names.asset_code(bom.product).0;
        let _ = writeln!(out, "  {product} version {}: {}", bom.version, goods(line.quantity, asset, names));
    }
}
