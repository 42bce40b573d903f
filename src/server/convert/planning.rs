//! Commands, events and state of plans and planned purchases: from the wire, with every check of their
//! shape, and to it.

use super::production::{list, lot, plant};
use super::shape::{account, asset, choice, code, command_id, quantity};
use super::{Invalid, id_bytes, wire_number};
use crate::core::command::{
    ClosePlan, ClosePurchase, CreatePlan, DemandLine, DemandPeg, FirmPlan, LinkPurchase, OrderToFirm, PurchaseReceipt,
    ReceivePurchase, SetPlanLines,
};
use crate::core::event::{
    OrderPeg, PlanClosed, PlanCreated, PlanFirmed, PurchaseClosed, PurchaseLinked, PurchasePlanned, PurchaseReceived,
};
use crate::core::production::records::{ProductionPlan, Purchase};
use crate::core::types::{BomVersion, Day, OverIssue, PlanId, PlanLineId, PurchaseId, Sequence};
use crate::proto::v1 as pb;

type Checked<T> = Result<T, Invalid>;

/// A plan's id.
///
/// # Errors
/// When there is none.
pub fn plan(number: u64) -> Checked<PlanId> {
    if number == 0 { Err(Invalid::missing("plan_id")) } else { Ok(PlanId(number)) }
}

/// A planned purchase's id.
///
/// # Errors
/// When there is none.
pub fn purchase(number: u64) -> Checked<PurchaseId> {
    if number == 0 { Err(Invalid::missing("purchase_id")) } else { Ok(PurchaseId(number)) }
}

/// A new plan.
pub(super) fn create_plan(wire: &pb::CreatePlan) -> Checked<CreatePlan> {
    Ok(CreatePlan { plant: plant(wire.plant_id)?, name: code(&wire.name, "name")? })
}

/// Lines set and removed.
pub(super) fn set_plan_lines(wire: &pb::SetPlanLines) -> Checked<SetPlanLines> {
    Ok(SetPlanLines {
        plan: plan(wire.plan_id)?,
        set: list(&wire.set, SetPlanLines::LINES_MAX, "set", demand_line)?,
        remove: list(&wire.remove_line_ids, SetPlanLines::LINES_MAX, "remove_line_ids", |line| Ok(PlanLineId(*line)))?,
    })
}

/// A line of demand.
///
/// # Errors
/// The first field that has no meaning.
pub fn demand_line(wire: &pb::DemandLine) -> Checked<DemandLine> {
    Ok(DemandLine {
        line: PlanLineId(wire.line_id),
        product: asset(wire.product_id, "product_id")?,
        quantity: quantity(wire.quantity, "quantity")?,
        due: Day(wire.due_day),
    })
}

/// Orders to make of what was calculated.
pub(super) fn firm_plan(wire: &pb::FirmPlan) -> Checked<FirmPlan> {
    let location = account(wire.location_id, "location_id")?;
    Ok(FirmPlan {
        plan: plan(wire.plan_id)?,
        computed_at: match wire.computed_at {
            0 => return Err(Invalid::missing("computed_at")),
            sequence => Sequence(sequence),
        },
        location,
        output: if wire.output_id == 0 { location } else { account(wire.output_id, "output_id")? },
        backflush: wire.backflush,
        over_issue: choice(wire.over_issue, OverIssue::from_number, "over_issue")?.unwrap_or(OverIssue::Refuse),
        orders: list(&wire.orders, FirmPlan::ORDERS_MAX, "orders", order_to_firm)?,
        more: wire.more,
    })
}

fn order_to_firm(wire: &pb::OrderToFirm) -> Checked<OrderToFirm> {
    Ok(OrderToFirm {
        item: asset(wire.item_id, "item_id")?,
        version: wire.version.map(BomVersion),
        quantity: quantity(wire.quantity, "quantity")?,
        release: Day(wire.release_day),
        due: Day(wire.due_day),
        pegs: list(&wire.pegs, FirmPlan::PEGS_MAX, "pegs", demand_peg)?,
    })
}

fn demand_peg(wire: &pb::DemandPeg) -> Checked<DemandPeg> {
    let quantity = quantity(wire.quantity, "quantity")?;
    Ok(DemandPeg { plan: plan(wire.plan_id)?, line: PlanLineId(wire.line_id), quantity })
}

/// The end of a plan.
pub(super) fn close_plan(wire: &pb::ClosePlan) -> Checked<ClosePlan> {
    Ok(ClosePlan { plan: plan(wire.plan_id)? })
}

/// Goods of a purchase.
pub(super) fn receive_purchase(wire: &pb::ReceivePurchase) -> Checked<ReceivePurchase> {
    Ok(ReceivePurchase {
        purchase: purchase(wire.purchase_id)?,
        quantity: quantity(wire.quantity, "quantity")?,
        receipt: wire.receipt.as_ref().map(receipt).transpose().map_err(|e| e.within("receipt"))?,
    })
}

fn receipt(wire: &pb::PurchaseReceipt) -> Checked<PurchaseReceipt> {
    Ok(PurchaseReceipt { from: account(wire.from_account_id, "from_account_id")?, lot: lot(&wire.lot, "lot")? })
}

/// The order that buys a purchase.
pub(super) fn link_purchase(wire: &pb::LinkPurchase) -> Checked<LinkPurchase> {
    let named = (!wire.client_order_id.is_empty()).then(|| command_id(&wire.client_order_id, "client_order_id"));
    Ok(LinkPurchase { purchase: purchase(wire.purchase_id)?, order: named.transpose()? })
}

/// The end of a purchase.
pub(super) fn close_purchase(wire: &pb::ClosePurchase) -> Checked<ClosePurchase> {
    Ok(ClosePurchase { purchase: purchase(wire.purchase_id)? })
}

/// A plan to the wire.
#[must_use]
pub fn production_plan(plan: &ProductionPlan) -> pb::ProductionPlan {
    pb::ProductionPlan {
        plan_id: plan.id.0,
        plant_id: plan.plant.0,
        name: plan.name.to_string(),
        state: wire_number!(plan.state),
        line_count: plan.lines,
        changed_sequence: plan.changed.0,
        firming_computed_at: plan.firming.map_or(0, |firming| firming.computed_at.0),
    }
}

/// A line of demand to the wire.
#[must_use]
pub fn line(line: &DemandLine) -> pb::DemandLine {
    pb::DemandLine { line_id: line.line.0, product_id: line.product.0, quantity: line.quantity.0, due_day: line.due.0 }
}

/// A planned purchase to the wire.
#[must_use]
pub fn planned_purchase(purchase: &Purchase) -> pb::Purchase {
    pb::Purchase {
        purchase_id: purchase.id.0,
        plan_id: purchase.plan.0,
        plant_id: purchase.plant.0,
        location_id: purchase.location.0,
        item_id: purchase.item.0,
        quantity: purchase.quantity.0,
        received: purchase.received.0,
        release_day: purchase.release.0,
        due_day: purchase.due.0,
        client_order_id: purchase.order.map(id_bytes).unwrap_or_default(),
    }
}

/// A new plan's event.
pub(super) fn created(created: &PlanCreated) -> pb::PlanCreated {
    pb::PlanCreated { plan: Some(production_plan(&created.plan)) }
}

/// The event of lines that were set.
pub(super) fn lines_set(set: &SetPlanLines) -> pb::SetPlanLines {
    pb::SetPlanLines {
        plan_id: set.plan.0,
        set: set.set.iter().map(line).collect(),
        remove_line_ids: set.remove.iter().map(|line| line.0).collect(),
    }
}

/// The event of a firming.
pub(super) fn firmed(firmed: &PlanFirmed) -> pb::PlanFirmed {
    pb::PlanFirmed {
        plan: Some(production_plan(&firmed.plan)),
        computed_at: firmed.computed_at.0,
        location_id: firmed.location.0,
        output_id: firmed.output.0,
        order_count: firmed.orders,
        pegs: firmed.pegs.iter().map(peg).collect(),
    }
}

fn peg(peg: &OrderPeg) -> pb::OrderPeg {
    pb::OrderPeg { order_id: peg.order.0, plan_id: peg.plan.0, line_id: peg.line.0, quantity: peg.quantity.0 }
}

/// The event of a plan's end.
pub(super) fn closed(closed: &PlanClosed) -> pb::PlanClosed {
    pb::PlanClosed { plan: Some(production_plan(&closed.plan)) }
}

/// A new purchase's event.
pub(super) fn purchase_planned(planned: &PurchasePlanned) -> pb::PurchasePlanned {
    pb::PurchasePlanned { purchase: Some(planned_purchase(&planned.purchase)) }
}

/// The event of goods that came.
pub(super) fn purchase_received(received: &PurchaseReceived) -> pb::PurchaseReceived {
    pb::PurchaseReceived { purchase: Some(planned_purchase(&received.purchase)), quantity: received.quantity.0 }
}

/// A purchase of which it was said which order buys it.
pub(super) fn purchase_linked(linked: &PurchaseLinked) -> pb::PurchaseLinked {
    pb::PurchaseLinked { purchase: Some(planned_purchase(&linked.purchase)) }
}

/// The event of a purchase's end.
pub(super) fn purchase_closed(closed: &PurchaseClosed) -> pb::PurchaseClosed {
    pb::PurchaseClosed { purchase: Some(planned_purchase(&closed.purchase)) }
}
