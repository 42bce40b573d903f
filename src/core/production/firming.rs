//! Firming: what was calculated for a plan becomes planned work orders and planned purchases.
//!
//! The calculation itself is not done here, since it may take seconds, and nobody trades while a command
//! is applied. The command brings its outcome, and says which state it was made from. It is refused when
//! what such a calculation stands on has changed since: an item, a bill of materials or a calendar of
//! whatever plant; the plan's own lines; the lines, the orders or the end of a plan that is firmed. Then
//! two firmings never order for the same demand, and no order is made by rules that were taken back.
//!
//! Stock is not among it. It changes with every trade, a plan holds none of it, and what went meanwhile
//! is short in the next calculation, as it would be if it had gone afterwards.

use super::records::{Firming, ProductionPlan, Purchase};
use super::work_orders::can_be_ordered;
use crate::command::{CreateWorkOrder, FirmPlan, OrderToFirm};
use crate::event::{Effects, EventBody, OrderPeg, PlanFirmed};
use crate::ledger::Ledger;
use crate::rejection::Rejection;
use crate::state::Table;
use crate::table::Slot;
use crate::types::{CommandId, PlanState, PurchaseId, Quantity};

/// An order that can be made.
enum Checked {
    /// By this version of the bill of materials.
    Make(CreateWorkOrder, Slot),
    /// Bought.
    Buy,
}

impl Ledger {
    pub(crate) fn firm_plan(
        &mut self,
        command: CommandId,
        firm: &FirmPlan,
        effects: &mut Effects,
    ) -> Result<(), Rejection> {
        let slot = self.known_plan(firm.plan)?;
        let mut plan = self.production.plans.entries[slot].plan;
        self.check_up_to_date(&plan, firm)?;
        self.check_location(plan.plant, firm.location)?;
        self.check_location(plan.plant, firm.output)?;
        let peg_count = firm.orders.iter().map(|order| order.pegs.len()).sum::<usize>();
        if firm.orders.len() > FirmPlan::ORDERS_MAX || peg_count > FirmPlan::PEGS_MAX {
            return Err(Rejection::PlanTooLarge);
        }
        let mut checked = Vec::with_capacity(firm.orders.len());
        for order in &firm.orders {
            checked.push(self.check_to_firm(&plan, firm, order)?);
        }

        let mut pegs = Vec::with_capacity(peg_count);
        for (order, checked) in firm.orders.iter().zip(checked) {
            let id = self.next_sequence();
            let to_order = |peg: &crate::command::DemandPeg| {
                let (plan, line, quantity) = (peg.plan, peg.line, peg.quantity);
                OrderPeg { order: id, plan, line, quantity }
            };
            pegs.extend(order.pegs.iter().map(to_order));
            match checked {
                Checked::Make(new, bom) => {
                    let order = self.draft_work_order(command, &new, bom, Some(plan.id));
                    self.add_work_order(order, bom, effects);
                }
                Checked::Buy => self.plan_purchase(to_buy(PurchaseId(id.0), &plan, firm, order), effects),
            }
        }
        let last = self.next_sequence();
        plan.state = PlanState::Firmed;
        plan.firming = firm.more.then_some(Firming { computed_at: firm.computed_at, last });
        self.header.planning_changed = last;
        self.production.plans.entries[slot].plan = plan;
        self.changes.mark(Table::Plan, slot);
        let (computed_at, location, output) = (firm.computed_at, firm.location, firm.output);
        let orders = firm.orders.len() as u32;
        let firmed = PlanFirmed { plan, computed_at, location, output, orders, pegs };
        self.emit(EventBody::PlanFirmed(Box::new(firmed)), effects);
        Ok(())
    }

    /// Refuses a calculation of another state than there is, as far as it matters. What the commands
    /// before of the same calculation did is no change.
    fn check_up_to_date(&self, plan: &ProductionPlan, firm: &FirmPlan) -> Result<(), Rejection> {
        let changed = self.header.planning_changed;
        let going_on = plan.firming.is_some_and(|firming| {
            (firming.computed_at, firming.last) == (firm.computed_at, changed) && plan.changed <= firming.last
        });
        let unchanged = changed.max(plan.changed) <= firm.computed_at && firm.computed_at <= self.sequence();
        if going_on || unchanged { Ok(()) } else { Err(Rejection::PlanOutdated) }
    }

    fn check_to_firm(&self, plan: &ProductionPlan, firm: &FirmPlan, order: &OrderToFirm) -> Result<Checked, Rejection> {
        let mut pegged = 0_u64;
        for peg in &order.pegs {
            let of = &self.production.plans.entries[self.known_plan(peg.plan)?];
            if of.plan.plant != plan.plant || !of.lines.contains_key(&peg.line) {
                return Err(Rejection::UnknownPlanLine);
            }
            if peg.quantity == Quantity(0) {
                return Err(Rejection::Overflow);
            }
            pegged = pegged.checked_add(peg.quantity.0).ok_or(Rejection::Overflow)?;
        }
        if pegged > order.quantity.0 {
            return Err(Rejection::Overflow);
        }
        let Some(version) = order.version else {
            self.known_item(order.item)?;
            if !can_be_ordered(order.quantity) {
                return Err(Rejection::Overflow);
            }
            return if order.due < order.release { Err(Rejection::DatesReversed) } else { Ok(Checked::Buy) };
        };
        let new = CreateWorkOrder {
            plant: plan.plant,
            product: order.item,
            quantity: order.quantity,
            version: Some(version),
            location: firm.location,
            output: firm.output,
            start: order.release,
            due: order.due,
            backflush: firm.backflush,
            optional: false,
            over_issue: firm.over_issue,
        };
        let bom = self.check_work_order(&new)?;
        Ok(Checked::Make(new, bom))
    }
}

fn to_buy(id: PurchaseId, plan: &ProductionPlan, firm: &FirmPlan, order: &OrderToFirm) -> Purchase {
    Purchase {
        id,
        plan: plan.id,
        plant: plan.plant,
        location: firm.location,
        item: order.item,
        quantity: order.quantity,
        received: Quantity(0),
        release: order.release,
        due: order.due,
        order: None,
    }
}
