//! Events and state of production and inventory to the wire.

use super::{id_bytes, wire_number};
use crate::core::command::{BomLine, ByProduct, DefineBom, DefineItem, DefinePlant, Operation, SetCalendar};
use crate::core::event::{
    EventBody, LotMove, LotsMoved, MaterialMoved, MaterialsIssued, MaterialsReturned, OperationReported, StockMoved,
    WorkOrderChanged, WorkOrderCompleted, WorkOrderCreated, WorkOrderReleased,
};
use crate::core::production::records::{OrderYield, Requirement, WorkOrder, cost_rounded};
use crate::core::reply::work_order_of;
use crate::core::types::{Code, LotRule, Sequence};
use crate::proto::v1 as pb;

/// A cost of the core in the currency's smallest unit, rounded up; the end of the range where it is beyond.
pub(super) fn cost(exact: i128) -> i64 {
    i64::try_from(cost_rounded(exact)).unwrap_or(i64::MAX)
}

fn text(code: Option<Code>) -> String {
    code.map_or_else(String::new, |code| code.to_string())
}

/// A plant.
pub(super) fn define_plant(plant: &DefinePlant) -> pb::DefinePlant {
    pb::DefinePlant {
        plant_id: plant.plant.0,
        name: plant.name.to_string(),
        production_account_id: plant.production.0,
        scrap_account_id: plant.scrap.0,
        adjustment_account_id: plant.adjustment.0,
        location_ids: plant.locations.iter().map(|location| location.0).collect(),
    }
}

/// A calendar.
pub(super) fn set_calendar(set: &SetCalendar) -> pb::SetCalendar {
    pb::SetCalendar {
        plant_id: set.plant.0,
        weekdays: set.weekdays.into(),
        holidays: set.holidays.iter().map(|day| day.0).collect(),
        seconds_per_day: set.seconds_per_day,
    }
}

/// An item.
pub(super) fn define_item(item: &DefineItem) -> pb::DefineItem {
    pb::DefineItem {
        asset_id: item.asset.0,
        source: wire_number!(item.source),
        lead_days: item.lead_days,
        lot_rule: lot_rule(item.lot_rule),
        safety_stock: item.safety_stock.0,
        reorder_point: item.reorder_point.0,
        standard_cost: item.standard_cost.0,
        currency_asset_id: item.currency.0,
        phantom: item.phantom,
        lot_tracked: item.lot_tracked,
    }
}

/// How much is ordered at once; nothing for what is needed, no more.
pub(super) fn lot_rule(rule: LotRule) -> Option<pb::LotRule> {
    use pb::lot_rule::Rule;
    let rule = match rule {
        LotRule::LotForLot => return None,
        LotRule::Fixed(fixed) => Rule::Fixed(fixed.0),
        LotRule::Multiple { minimum, multiple } => {
            Rule::Multiple(pb::MultipleLot { minimum: minimum.0, multiple: multiple.0 })
        }
    };
    Some(pb::LotRule { rule: Some(rule) })
}

/// A version of a bill of materials.
pub(super) fn define_bom(bom: &DefineBom) -> pb::DefineBom {
    pb::DefineBom {
        product_id: bom.product.0,
        version: bom.version.0,
        from_day: bom.from.0,
        output: bom.output.0,
        lines: bom.lines.iter().map(bom_line).collect(),
        by_products: bom.by_products.iter().map(by_product).collect(),
        operations: bom.operations.iter().map(operation).collect(),
    }
}

pub(super) fn bom_line(line: &BomLine) -> pb::BomLine {
    pb::BomLine {
        component_id: line.component.0,
        quantity: line.quantity.0,
        attrition: line.attrition.0,
        setup: line.setup.0,
        multiple: line.multiple.0,
        optional: line.optional,
    }
}

pub(super) fn by_product(by_product: &ByProduct) -> pb::ByProduct {
    pb::ByProduct { asset_id: by_product.asset.0, quantity: by_product.quantity.0 }
}

pub(super) fn operation(operation: &Operation) -> pb::Operation {
    pb::Operation {
        work_centre: operation.work_centre.to_string(),
        setup_seconds: operation.setup_seconds,
        run_seconds: operation.run_seconds,
        lead_days: operation.lead_days,
        hourly_cost: operation.hourly_cost.0.unsigned_abs(),
    }
}

/// A movement of stock.
pub(super) fn stock_moved(moved: &StockMoved) -> pb::StockMoved {
    pb::StockMoved {
        kind: wire_number!(moved.kind),
        location_id: moved.location.0,
        from_account_id: moved.from.0,
        to_account_id: moved.to.0,
        asset_id: moved.asset.0,
        quantity: moved.quantity.0,
        counted: moved.counted.map_or(0, |counted| counted.0),
        lot: text(moved.lot),
        reason: text(moved.reason),
    }
}

/// The lots of the event before.
pub(super) fn lots_moved(lots: &LotsMoved) -> pb::LotsMoved {
    pb::LotsMoved { moves: lots.moves.iter().map(lot_move).collect() }
}

fn lot_move(moved: &LotMove) -> pb::LotMove {
    pb::LotMove {
        asset_id: moved.asset.0,
        lot: moved.lot.to_string(),
        from_account_id: moved.from.0,
        to_account_id: moved.to.0,
        quantity: moved.quantity.0,
        counted_to: text(moved.counted_to),
    }
}

/// A move of a part of a lot, and the event `before` it, which is its cause.
#[must_use]
pub fn traced_move(
    sequence: Sequence,
    time: u64,
    moved: &LotMove,
    before: Sequence,
    cause: &EventBody,
) -> pb::TracedMove {
    use pb::traced_move::Cause;
    let cause = match cause {
        EventBody::StockMoved(stock) => Some(Cause::StockMove(wire_number!(stock.kind))),
        EventBody::Trade(_) => Some(Cause::TradeId(before.0)),
        EventBody::Transferred(transferred) => Some(Cause::TransferId(id_bytes(transferred.id))),
        EventBody::PendingPosted(posted) => Some(Cause::TransferId(id_bytes(posted.transfer))),
        other => work_order_of(other).map(|order| Cause::WorkOrderId(order.id.0)),
    };
    pb::TracedMove {
        sequence: sequence.0,
        time,
        from_account_id: moved.from.0,
        to_account_id: moved.to.0,
        quantity: moved.quantity.0,
        counted_to: text(moved.counted_to),
        cause,
    }
}

/// A work order.
#[must_use]
pub fn work_order(order: &WorkOrder) -> pb::WorkOrder {
    pb::WorkOrder {
        work_order_id: order.id.0,
        command_id: id_bytes(order.command),
        plant_id: order.plant.0,
        product_id: order.product.0,
        version: order.version.0,
        location_id: order.location.0,
        output_id: order.output.0,
        quantity: order.quantity.0,
        completed: order.completed.0,
        scrapped: order.scrapped.0,
        lost: order.lost.0,
        start_day: order.start.0,
        due_day: order.due.0,
        backflush: order.backflush,
        optional: order.optional,
        over_issue: wire_number!(order.over_issue),
        state: wire_number!(order.state),
        held: order.held,
        cost: cost(order.cost),
        plan_id: order.plan.map_or(0, |plan| plan.0),
    }
}

/// What a work order requires of one component.
#[must_use]
pub fn requirement(line: &Requirement) -> pb::Requirement {
    pb::Requirement {
        component_id: line.component.0,
        required: line.required.0,
        reserved: line.reserved.0,
        issued: line.issued.0,
        cost: cost(line.cost),
    }
}

/// What a work order yields besides.
pub(super) fn order_yield(order_yield: &OrderYield) -> pb::OrderYield {
    let OrderYield { asset, quantity, per } = order_yield;
    pb::OrderYield { asset_id: asset.0, quantity: quantity.0, per: per.0 }
}

/// A new work order.
pub(super) fn created(created: &WorkOrderCreated) -> pb::WorkOrderCreated {
    pb::WorkOrderCreated { work_order: Some(work_order(&created.order)) }
}

/// A released one.
pub(super) fn released(released: &WorkOrderReleased) -> pb::WorkOrderReleased {
    let lines = released.lines.iter().map(requirement).collect();
    let yields = released.yields.iter().map(order_yield).collect();
    pb::WorkOrderReleased { work_order: Some(work_order(&released.order)), lines, yields }
}

/// One that changed by itself.
pub(super) fn changed(changed: &WorkOrderChanged) -> pb::WorkOrderChanged {
    pb::WorkOrderChanged { work_order: Some(work_order(&changed.order)), change: wire_number!(changed.change) }
}

fn material(moved: &MaterialMoved) -> pb::MaterialMoved {
    pb::MaterialMoved {
        component_id: moved.component.0,
        quantity: moved.quantity.0,
        over: moved.over.0,
        cost: cost(moved.cost),
        lot: text(moved.lot),
    }
}

/// An issue of materials.
pub(super) fn issued(issued: &MaterialsIssued) -> pb::MaterialsIssued {
    let materials = issued.materials.iter().map(material).collect();
    pb::MaterialsIssued { work_order: Some(work_order(&issued.order)), materials }
}

/// A return of material.
pub(super) fn returned(returned: &MaterialsReturned) -> pb::MaterialsReturned {
    pb::MaterialsReturned {
        work_order: Some(work_order(&returned.order)),
        material: Some(material(&returned.material)),
    }
}

/// A report of work.
pub(super) fn reported(reported: &OperationReported) -> pb::OperationReported {
    pb::OperationReported {
        work_order: Some(work_order(&reported.order)),
        operation: reported.operation,
        good: reported.good.0,
        scrap: reported.scrap.0,
        materials: reported.materials.iter().map(material).collect(),
        by_products: reported.by_products.iter().map(by_product).collect(),
    }
}

/// A completion.
pub(super) fn completed(completed: &WorkOrderCompleted) -> pb::WorkOrderCompleted {
    pb::WorkOrderCompleted {
        work_order: Some(work_order(&completed.order)),
        good: completed.good.0,
        scrap: completed.scrap.0,
        loss: completed.loss.0,
        materials: completed.materials.iter().map(material).collect(),
        by_products: completed.by_products.iter().map(by_product).collect(),
        lot: text(completed.lot),
    }
}
