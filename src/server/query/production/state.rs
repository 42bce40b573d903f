//! The state of a plant's production in one look.

use std::collections::BTreeMap;

use super::stock::{Levels, is_any};
use super::work_orders::detail;
use super::{known_plant, reference, too_large};
use crate::core::Ledger;
use crate::core::production::records::WorkOrder;
use crate::core::types::{AssetId, PlanId, PlantId, WorkOrderState};
use crate::proto::v1 as pb;
use crate::server::convert::production_state::TooLarge;
use crate::server::convert::{planning, production_state, request};
use crate::server::errors::Refusal;
use crate::server::limits::STATE_ITEMS_MAX;
use crate::server::query::Queries;

impl Queries {
    pub(in crate::server::query) async fn get_production_state(
        &self,
        asked: pb::GetProductionStateRequest,
    ) -> Result<pb::GetProductionStateResponse, Refusal> {
        let consistency = request::consistency(asked.consistency.as_ref())?;
        let plant = request::plant_id(asked.plant_id)?;
        let seen = self.reads.look(consistency, move |ledger| state(ledger, plant)).await?;
        Ok(pb::GetProductionStateResponse { position: Some(seen.position), ..seen.value? })
    }
}

fn state(ledger: &Ledger, id: PlantId) -> Result<pb::GetProductionStateResponse, Refusal> {
    let plant = known_plant(ledger, id)?;
    let mut answer =
        pb::GetProductionStateResponse { plant: Some(reference::plant(ledger, plant)), ..Default::default() };
    let mut making: BTreeMap<AssetId, Making> = BTreeMap::new();
    let mut under_way: BTreeMap<PlanId, UnderWay> = BTreeMap::new();
    for view in ledger.work_orders(id) {
        let order = view.order;
        match order.state {
            WorkOrderState::Planned => answer.planned_count += 1,
            WorkOrderState::Released => answer.released_count += 1,
            WorkOrderState::InProgress => {
                answer.in_progress_count += 1;
                let too_large = |error| too_large(ledger, error);
                making.entry(order.product).or_default().add(order).map_err(too_large)?;
            }
            WorkOrderState::Completed => answer.completed_count += 1,
            // One that has ended is in no table.
            WorkOrderState::Closed | WorkOrderState::Cancelled => {}
        }
        answer.held_count += u64::from(order.held);
        if let Some(plan) = order.plan {
            under_way.entry(plan).or_default().work_order_count += 1;
        }
        push(&mut answer.work_orders, &mut answer.work_orders_truncated, || detail(ledger, &view));
    }
    for purchase in ledger.purchases(id) {
        under_way.entry(purchase.plan).or_default().purchase_count += 1;
        push(&mut answer.purchases, &mut answer.purchases_truncated, || planning::planned_purchase(purchase));
    }
    add_plans(ledger, id, &under_way, &mut answer);
    for shortage in ledger.shortages(id).take(STATE_ITEMS_MAX + 1) {
        push(&mut answer.shortages, &mut answer.shortages_truncated, || production_state::shortage(shortage));
    }
    for (product, made) in making {
        let currency = ledger.item(product).map_or(AssetId(0), |item| item.currency);
        let Making { quantity, cost, count } = made;
        let made = production_state::work_in_progress(product, currency, quantity, cost, count);
        let made = made.map_err(|error| too_large(ledger, error))?;
        push(&mut answer.work_in_progress, &mut answer.work_in_progress_truncated, || made);
    }
    let levels = Levels { ledger, locations: &plant.locations, on_order: ledger.on_order(id, None) };
    for item in ledger.items() {
        let level = levels.of(item)?;
        if is_any(&level) {
            push(&mut answer.stock, &mut answer.stock_truncated, || level);
        }
        if answer.stock_truncated {
            break;
        }
    }
    Ok(answer)
}

/// The plans that are not closed, with as many lines of their demand as one answer has room for.
fn add_plans(
    ledger: &Ledger,
    id: PlantId,
    under_way: &BTreeMap<PlanId, UnderWay>,
    answer: &mut pb::GetProductionStateResponse,
) {
    let mut room = STATE_ITEMS_MAX;
    for plan in ledger.plans().filter(|plan| plan.plant == id).take(STATE_ITEMS_MAX + 1) {
        push(&mut answer.plans, &mut answer.plans_truncated, || {
            let lines: Vec<_> = ledger.plan_lines(plan.id).take(room).map(planning::line).collect();
            room -= lines.len();
            let UnderWay { work_order_count, purchase_count } = under_way.get(&plan.id).copied().unwrap_or_default();
            pb::OpenPlan {
                plan: Some(planning::production_plan(plan)),
                lines_truncated: lines.len() < plan.lines as usize,
                lines,
                work_order_count,
                purchase_count,
            }
        });
    }
}

/// How much of what was ordered for a plan has not ended.
#[derive(Default, Clone, Copy)]
struct UnderWay {
    work_order_count: u64,
    purchase_count: u64,
}

/// What orders in progress make of a product.
#[derive(Default)]
struct Making {
    quantity: u128,
    cost: i128,
    count: u64,
}

impl Making {
    fn add(&mut self, order: &WorkOrder) -> Result<(), TooLarge> {
        self.quantity += u128::from(order.quantity.0 - order.done());
        self.cost = self.cost.checked_add(order.cost).ok_or(TooLarge(order.product))?;
        self.count += 1;
        Ok(())
    }
}

/// Adds to a list that has an end.
fn push<T>(list: &mut Vec<T>, truncated: &mut bool, item: impl FnOnce() -> T) {
    if list.len() < STATE_ITEMS_MAX {
        list.push(item());
    } else {
        *truncated = true;
    }
}
