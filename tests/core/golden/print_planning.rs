//! Events of plans and purchases as a transcript shows them, and what plans require, as a planner reads it.

use std::fmt::Write;

use counterfoil_core::Ledger;
use counterfoil_core::command::{DemandLine, FirmPlan};
use counterfoil_core::decimal::format as decimal;
use counterfoil_core::event::{EventBody, OrderPeg};
use counterfoil_core::production::mrp::{Cause, Need, Origin, Pegging, PlannedOrder, Share, SupplyIndex};
use counterfoil_core::production::{Asker, Coming, Inquiry, Question, Requirements};
use counterfoil_core::types::{AssetId, PlanId, PlanLineId, Quantity, WorkOrderId};

use crate::names::Names;
use crate::print_production::{goods, label_of};

/// An event of planning in one line.
pub fn event(body: &EventBody, names: &Names) -> String {
    match body {
        EventBody::PlanCreated(created) => {
            let plan = &created.plan;
            format!("{} created: {} of {}", names.plan_label(plan.id), plan.name, names.plant_name(plan.plant))
        }
        EventBody::PlanLinesSet(set) => {
            let mut parts: Vec<String> = set.set.iter().map(|line| demand(line, names)).collect();
            parts.extend(set.remove.iter().map(|line| format!("no line {line}")));
            format!("{} asks for {}", names.plan_label(set.plan), parts.join("; "))
        }
        EventBody::PurchasePlanned(planned) => {
            let purchase = &planned.purchase;
            let (label, what) = (label_of(purchase.id.0, names), goods(purchase.quantity, purchase.item, names));
            let (release, due) = (purchase.release, purchase.due);
            format!("{label} planned: buy {what}, order on day {release}, due on day {due}")
        }
        EventBody::PlanFirmed(firmed) => {
            let pegs: Vec<String> = firmed.pegs.iter().map(|peg| self::peg(peg, names)).collect();
            let pegs = if pegs.is_empty() { String::new() } else { format!(" | {}", pegs.join("; ")) };
            let (label, orders, at) = (names.plan_label(firmed.plan.id), firmed.orders, firmed.computed_at);
            format!("{label} firmed as of #{at}: {orders} orders{pegs}")
        }
        EventBody::PlanClosed(closed) => format!("{} closed", names.plan_label(closed.plan.id)),
        EventBody::PurchaseReceived(received) => {
            let purchase = &received.purchase;
            let (label, what) = (label_of(purchase.id.0, names), goods(received.quantity, purchase.item, names));
            let left = goods(Quantity(purchase.outstanding()), purchase.item, names);
            format!("{label} brought {what}, {left} to come")
        }
        EventBody::PurchaseLinked(linked) => {
            let label = label_of(linked.purchase.id.0, names);
            let order = linked.purchase.order.and_then(|order| names.command_label(order));
            format!("{label} is bought by {}", order.as_deref().unwrap_or("no order"))
        }
        EventBody::PurchaseClosed(closed) => {
            let purchase = &closed.purchase;
            let left = goods(Quantity(purchase.outstanding()), purchase.item, names);
            format!("{} given up, {left} will not come", label_of(purchase.id.0, names))
        }
        other => unreachable!("{other:?} is not of planning"),
    }
}

fn demand(line: &DemandLine, names: &Names) -> String {
    format!("line {}: {} by day {}", line.line, goods(line.quantity, line.product, names), line.due)
}

fn line_of(plan: PlanId, line: PlanLineId, names: &Names) -> String {
    format!("{} line {line}", names.plan_label(plan))
}

fn peg(peg: &OrderPeg, names: &Names) -> String {
    let label = label_of(peg.order.0, names);
    let scale = names.ordered(&label).map_or(0, |(_, scale)| scale);
    format!("{label}: {} for {}", decimal(peg.quantity.0.into(), scale), line_of(peg.plan, peg.line, names))
}

/// Calculates, shows what has to be made and bought, and keeps it to be firmed.
pub fn requirements(ledger: &Ledger, question: &Question, names: &mut Names, out: &mut String) {
    let found = match ledger.inquire(question).and_then(Inquiry::calculate) {
        Ok(found) => found,
        Err(error) => {
            let _ = writeln!(out, "  {error}");
            return;
        }
    };
    let printer = Printer { ledger, found: &found, names, pegging: found.plan.pegging(FirmPlan::ORDER_PEGS) };
    for line in printer.items().into_iter().chain(printer.orders()).chain(printer.shortages()) {
        let _ = writeln!(out, "  {line}");
    }
    let orders = found.orders_to_firm(FirmPlan::ORDER_PEGS).collect();
    names.calculated = Some((found.computed_at, orders));
}

struct Printer<'a> {
    ledger: &'a Ledger,
    found: &'a Requirements,
    names: &'a Names,
    pegging: Pegging<'a>,
}

impl Printer<'_> {
    /// What is needed of each item in all, and where it comes from.
    fn items(&self) -> Vec<String> {
        let plan = &self.found.plan;
        let mut lines = Vec::new();
        for (item, level) in plan.items() {
            let rows: Vec<_> = plan.requirements_of(item).collect();
            let sum = |safety: bool| -> u64 {
                let of_kind = rows.iter().filter(|(_, row)| (row.need == Need::SafetyStock) == safety);
                of_kind.map(|(_, row)| row.quantity.0).sum()
            };
            if rows.is_empty() {
                continue;
            }
            let mut line = format!("{}, level {level}: needed {}", self.code(item), self.amount(item, sum(false)));
            if sum(true) > 0 {
                let _ = write!(line, ", to keep {}", self.amount(item, sum(true)));
            }
            let shares = rows.iter().flat_map(|(index, _)| self.pegging.causes_of_requirement(*index));
            let _ = write!(line, " ({})", self.causes(item, shares.collect()));
            let from: Vec<String> = plan.supplies_of(item).map(|(index, _)| self.supply(index)).collect();
            lines.push(format!("{line} | {}", from.join(", ")));
        }
        lines
    }

    fn supply(&self, index: SupplyIndex) -> String {
        let supply = self.found.plan.supply(index).expect("a supply of the plan");
        let quantity = self.amount(supply.item, supply.quantity.0);
        let from = match supply.origin {
            Origin::Stock => return format!("{quantity} available"),
            Origin::Receipt(receipt) => match self.found.coming[receipt as usize] {
                Coming::WorkOrder(order) => self.work_order(order),
                Coming::Purchase(purchase) => label_of(purchase.0, self.names),
            },
            Origin::ByProduct(order) => {
                let order = self.found.plan.order(order).expect("an order of the plan");
                format!("beside {}", self.code(order.item))
            }
            Origin::Order(_) => "to order".to_owned(),
        };
        format!("{quantity} {from} by day {}", supply.day)
    }

    fn orders(&self) -> Vec<String> {
        let order = |(index, order): (_, PlannedOrder)| {
            let what = goods(order.quantity, order.item, self.names);
            let (act, begin) = match order.version {
                Some(version) => (format!("make {what} by version {version}"), "begin"),
                None => (format!("buy {what}"), "order"),
            };
            let late =
                if order.ready > order.due { format!(", not before day {}", order.ready) } else { String::new() };
            let causes = self.causes(order.item, self.pegging.causes_of_order(index));
            format!("{act}: {begin} on day {}, due on day {}{late} ({causes})", order.release, order.due)
        };
        self.found.plan.orders().map(order).collect()
    }

    fn shortages(&self) -> Vec<String> {
        let plan = &self.found.plan;
        let downward = plan.downward();
        let short = plan.promises().enumerate().filter(|(_, promise)| promise.short().0 > 0);
        let line = |(place, promise): (usize, counterfoil_core::production::mrp::Promise)| {
            let item = |supply: SupplyIndex| plan.supply(supply).map(|supply| self.code(supply.item));
            let path: Vec<String> = downward.critical_path(place).into_iter().filter_map(item).collect();
            format!(
                "short: {} lacks {} of {} on day {}, has all on day {}, waits for {}",
                self.asker(place),
                self.amount(promise.demand.item, promise.short().0),
                goods(promise.demand.quantity, promise.demand.item, self.names),
                promise.demand.due,
                promise.feasible,
                path.join(" for ")
            )
        };
        short.map(line).collect()
    }

    fn causes(&self, of: AssetId, shares: Vec<Share>) -> String {
        let mut sums = std::collections::BTreeMap::<Cause, u64>::new();
        shares.iter().for_each(|share| *sums.entry(share.cause).or_default() += share.quantity.0);
        let cause = |(cause, quantity): (Cause, u64)| {
            let for_what = match cause {
                Cause::Demand(demand) => format!("for {}", self.asker(demand as usize)),
                Cause::SafetyStock(item) => format!("to keep of {}", self.code(item)),
                Cause::LotRule(item) => format!("by the lot rule of {}", self.code(item)),
                Cause::Others => "for others".to_owned(),
            };
            format!("{} {for_what}", self.amount(of, quantity))
        };
        sums.into_iter().map(cause).collect::<Vec<_>>().join(", ")
    }

    fn asker(&self, demand: usize) -> String {
        match self.found.askers[demand] {
            Asker::WorkOrder(order) => self.work_order(order),
            Asker::Line(plan, line) => line_of(plan, line, self.names),
            Asker::WhatIf(line) => format!("what-if line {line}"),
        }
    }

    fn work_order(&self, id: WorkOrderId) -> String {
        let view = self.ledger.work_order(id).expect("it is open");
        crate::print_production::order(view.order, self.names)
    }

    fn amount(&self, item: AssetId, quantity: u64) -> String {
        decimal(quantity.into(), self.names.asset_code(item).1)
    }

    fn code(&self, item: AssetId) -> String {
        self.names.asset_code(item).0
    }
}
