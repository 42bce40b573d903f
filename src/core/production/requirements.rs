//! From the ledger to a calculation of requirements: the network of what is made and bought, and the
//! situation of a plant.
//!
//! What is asked for: the demand of every firmed plan, of a draft where it is named, and of a what-if;
//! what released work orders lack; what planned ones will take. What is there: what the plant's locations
//! have available, which is without what orders, pending transfers and work orders hold. What will come:
//! the rest of work orders, with their by-products, and of planned purchases. Nothing is changed.

use super::boms::BomEntry;
use super::items::ItemEntry;
use super::mrp::{self, Cause, Network, NetworkError, PlanError, Presence, Receipt, Situation, Stock};
use super::query::WorkOrderView;
use super::records::WorkOrder;
use crate::command::{DemandLine, DemandPeg, OrderToFirm};
use crate::ledger::Ledger;
use crate::rejection::Rejection;
use crate::types::{
    AssetId, BomVersion, Day, PlanId, PlanLineId, PlanState, PlantId, PurchaseId, Quantity, Sequence, Source,
    WorkOrderId, WorkOrderState,
};

/// What is to be calculated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// For which plant.
    pub plant: PlantId,
    /// The first day that anything can be done on.
    pub planning_date: Day,
    /// A draft whose demand is to be met too. Firmed plans always are.
    pub draft: Option<PlanId>,
    /// Demand that is in no plan.
    pub what_if: Vec<DemandLine>,
    /// Versions that items are made by instead of those in effect.
    pub versions: Vec<(AssetId, BomVersion)>,
}

impl Question {
    /// What has to be made and bought for the plans of a plant.
    #[must_use]
    pub const fn new(plant: PlantId, planning_date: Day) -> Self {
        Self { plant, planning_date, draft: None, what_if: Vec::new(), versions: Vec::new() }
    }
}

/// Who asks for something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asker {
    /// A work order that takes it.
    WorkOrder(WorkOrderId),
    /// A line of a plan.
    Line(PlanId, PlanLineId),
    /// A line that is in no plan.
    WhatIf(PlanLineId),
}

/// What brings something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coming {
    /// A work order, as its product or besides.
    WorkOrder(WorkOrderId),
    /// A planned purchase.
    Purchase(PurchaseId),
}

/// Why requirements cannot be calculated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequirementsError {
    /// The question names what is not there.
    Rejected(Rejection),
    /// What a work order takes or makes cannot be said.
    WorkOrder {
        /// The order.
        id: WorkOrderId,
        /// What it makes.
        product: AssetId,
        /// Why.
        reason: Rejection,
    },
    /// The items do not make a network.
    Network(NetworkError),
    /// The plan cannot be made.
    Plan(PlanError),
}

impl RequirementsError {
    /// In words, with items by the names that `name` has for them.
    #[must_use]
    pub fn told(&self, name: &dyn Fn(AssetId) -> String) -> String {
        match self {
            Self::Rejected(reason) => reason.to_string(),
            Self::WorkOrder { id, product, reason } => {
                format!("work order {id} of item {}: {reason}", name(*product))
            }
            Self::Network(error) => error.told(name),
            Self::Plan(error) => error.told(name),
        }
    }
}

impl std::fmt::Display for RequirementsError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&self.told(&|id| id.to_string()))
    }
}

impl std::error::Error for RequirementsError {}

impl From<Rejection> for RequirementsError {
    fn from(reason: Rejection) -> Self {
        Self::Rejected(reason)
    }
}

/// All that a calculation is made from, copied out of the ledger, which can go on meanwhile.
#[derive(Debug, Clone)]
pub struct Inquiry {
    /// The last event of the state.
    pub computed_at: Sequence,
    items: Vec<mrp::Item>,
    situation: Situation,
    askers: Vec<Asker>,
    coming: Vec<Coming>,
}

/// What has to be made and bought.
#[derive(Debug, Clone)]
pub struct Requirements {
    /// The last event of the state that it was calculated from, as
    /// [`FirmPlan`](crate::command::FirmPlan) has to name it.
    pub computed_at: Sequence,
    /// What the items are made of.
    pub network: Network,
    /// The outcome. Its demands are those of `askers`, its receipts those of `coming`, place by place.
    pub plan: mrp::Plan,
    /// Who asks for each line of demand.
    pub askers: Vec<Asker>,
    /// What brings each scheduled receipt.
    pub coming: Vec<Coming>,
}

impl Inquiry {
    /// Calculates. It can take seconds, and needs the ledger no more.
    ///
    /// # Errors
    /// When the items are no network, or the plan cannot be made.
    pub fn calculate(self) -> Result<Requirements, RequirementsError> {
        let network = Network::new(self.items).map_err(RequirementsError::Network)?;
        let plan = mrp::calculate(&network, &self.situation).map_err(RequirementsError::Plan)?;
        let Self { computed_at, askers, coming, .. } = self;
        Ok(Requirements { computed_at, network, plan, askers, coming })
    }
}

impl Requirements {
    /// The planned orders as they are firmed, each with its pegs to lines of plans: at most `pegs_max` lines
    /// are told apart, of what is for further ones nothing is said.
    pub fn orders_to_firm(&self, pegs_max: usize) -> impl Iterator<Item = OrderToFirm> {
        let pegging = self.plan.pegging(pegs_max);
        self.plan.orders().map(move |(index, order)| {
            let mut pegs: Vec<DemandPeg> = Vec::new();
            for share in pegging.causes_of_order(index) {
                let Cause::Demand(demand) = share.cause else { continue };
                if let Some(Asker::Line(plan, line)) = self.askers.get(demand as usize) {
                    pegs.push(DemandPeg { plan: *plan, line: *line, quantity: share.quantity });
                }
            }
            let mrp::PlannedOrder { item, quantity, release, due, .. } = order;
            OrderToFirm { item, version: order.version.map(BomVersion), quantity, release, due, pegs }
        })
    }
}

impl Ledger {
    /// Gathers what a calculation is made from. It takes time in proportion to items, lines of demand and
    /// open orders; the calculation itself is done without the ledger.
    ///
    /// # Errors
    /// When the question names what is not there.
    pub fn inquire(&self, question: &Question) -> Result<Inquiry, RequirementsError> {
        self.known_plant(question.plant)?;
        let mut inquiry = Inquiry {
            computed_at: self.sequence(),
            items: self.items_to_plan(question)?,
            situation: Situation {
                calendar: self.calendar_to_plan(question.plant),
                planning_date: question.planning_date,
                available: self.available_to_plan(question.plant)?,
                receipts: Vec::new(),
                demands: Vec::new(),
            },
            askers: Vec::new(),
            coming: Vec::new(),
        };
        for view in self.work_orders(question.plant) {
            let WorkOrder { id, product, .. } = *view.order;
            let of_order = |reason| RequirementsError::WorkOrder { id, product, reason };
            self.add_open_order(&view, &mut inquiry).map_err(of_order)?;
        }
        for purchase in self.purchases(question.plant) {
            let quantity = Quantity(purchase.outstanding());
            inquiry.add_receipt(Coming::Purchase(purchase.id), purchase.item, quantity, purchase.due);
        }
        if let Some(draft) = question.draft {
            let of_plant = self.plan(draft).is_some_and(|plan| plan.plant == question.plant);
            of_plant.then_some(()).ok_or(Rejection::UnknownPlan)?;
        }
        let plans = self.plans().filter(|plan| plan.plant == question.plant);
        for plan in plans.filter(|plan| plan.state == PlanState::Firmed || Some(plan.id) == question.draft) {
            for line in self.plan_lines(plan.id) {
                inquiry.add_demand(Asker::Line(plan.id, line.line), line.product, line.quantity, line.due);
            }
        }
        for line in &question.what_if {
            inquiry.add_demand(Asker::WhatIf(line.line), line.product, line.quantity, line.due);
        }
        self.check_phantoms(&inquiry)?;
        Ok(inquiry)
    }

    /// Refuses demand that needs a phantom made of nothing: no order for it could be released, or say what
    /// it needs.
    fn check_phantoms(&self, inquiry: &Inquiry) -> Result<(), Rejection> {
        let items = &self.production.items;
        let mut seen = vec![false; items.len() as usize];
        let mut open: Vec<_> = inquiry.situation.demands.iter().filter_map(|demand| items.slot(demand.item)).collect();
        while let Some(slot) = open.pop() {
            if std::mem::replace(&mut seen[slot as usize], true) {
                continue;
            }
            let boms = items[slot].boms.iter().map(|&bom| &self.production.boms[bom]);
            for line in boms.flat_map(|bom| &bom.lines).filter(|line| !line.optional) {
                let component = self.known_item(line.component)?;
                if items[component].item.phantom && items[component].boms.is_empty() {
                    return Err(Rejection::UnknownBom);
                }
                open.push(component);
            }
        }
        Ok(())
    }

    fn calendar_to_plan(&self, plant: PlantId) -> mrp::Calendar {
        let calendar = self.calendar(plant).expect("every plant has a calendar");
        let week = std::array::from_fn(|day| calendar.weekdays >> day & 1 == 1);
        let planned = mrp::Calendar::new(week, &calendar.holidays, calendar.seconds_per_day);
        planned.expect("a calendar of the ledger works on some day")
    }

    fn available_to_plan(&self, plant: PlantId) -> Result<Vec<Stock>, RequirementsError> {
        let locations = self.plant(plant).map_or(&[][..], |plant| &plant.locations);
        let none = std::collections::BTreeMap::new();
        let stocks = self.items().map(|item| self.stock_in(locations, item.asset, &none));
        let available = stocks.filter(|stock| stock.available() > 0).map(|stock| {
            let quantity = i64::try_from(stock.available()).map(|it| Quantity(it.unsigned_abs()));
            let overflow = |_| RequirementsError::Plan(PlanError::Overflow(stock.asset));
            Ok(Stock { item: stock.asset, quantity: quantity.map_err(overflow)? })
        });
        available.collect()
    }

    fn items_to_plan(&self, question: &Question) -> Result<Vec<mrp::Item>, Rejection> {
        let mut chosen = std::collections::BTreeMap::new();
        for &(product, version) in &question.versions {
            let bom = self.production.boms.slot((product, version)).ok_or(Rejection::UnknownBom)?;
            chosen.insert(product, bom);
        }
        let planned = |entry: &ItemEntry| {
            let boms = match chosen.get(&entry.item.asset) {
                Some(&bom) => vec![bom],
                None => entry.boms.clone(),
            };
            self.item_to_plan(entry, &boms)
        };
        Ok(self.production.items.iter().map(planned).collect())
    }

    /// What has no bill of materials yet cannot be planned to be made, so it is planned to be bought.
    pub(super) fn item_to_plan(&self, entry: &ItemEntry, boms: &[crate::table::Slot]) -> mrp::Item {
        let item = &entry.item;
        let is_made = !boms.is_empty() && (item.source == Source::Make || item.phantom);
        let source = if is_made {
            mrp::Source::Make(boms.iter().map(|&bom| bom_to_plan(&self.production.boms[bom])).collect())
        } else {
            mrp::Source::Buy { lead_days: item.lead_days }
        };
        let (lot, safety_stock) = (item.lot_rule, item.safety_stock);
        mrp::Item { id: item.asset, source, lot, safety_stock, phantom: item.phantom && is_made }
    }

    /// What a released order lacks, and what a planned one will take; what an order still makes, and what it
    /// yields besides: that comes with every unit, whatever becomes of it.
    fn add_open_order(&self, view: &WorkOrderView<'_>, inquiry: &mut Inquiry) -> Result<(), Rejection> {
        let order = view.order;
        let planned = if order.state == WorkOrderState::Planned { Some(self.requirements(order)?) } else { None };
        let (asker, coming) = (Asker::WorkOrder(order.id), Coming::WorkOrder(order.id));
        let left = order.quantity.0 - order.done();
        let needs: Vec<_> = match &planned {
            Some(planned) => planned.lines.iter().map(|line| (line.component, line.required)).collect(),
            None => view.lines.iter().map(|line| (line.component, Quantity(order.lacks(line)))).collect(),
        };
        for (component, quantity) in needs {
            inquiry.add_demand(asker, component, quantity, order.start);
        }
        inquiry.add_receipt(coming, order.product, Quantity(left), order.due);
        let yields = planned.iter().flat_map(|planned| &planned.yields).chain(view.yields.iter().copied());
        for order_yield in yields {
            // In whole units of all, as it will be posted: parts of a unit add up over completions.
            let by = |units: u64| order_yield.of(units).ok_or(Rejection::Overflow);
            let quantity = by(order.quantity.0)? - by(order.done())?;
            inquiry.add_receipt(coming, order_yield.asset, Quantity(quantity), order.due);
        }
        Ok(())
    }
}

impl Inquiry {
    /// Of what is due on one day, what was added first is served first: orders that are under way, then
    /// plans, then what is in none.
    fn add_demand(&mut self, asker: Asker, item: AssetId, quantity: Quantity, due: Day) {
        if quantity > Quantity(0) {
            let id = self.askers.len() as u64;
            self.situation.demands.push(mrp::Demand { id, item, quantity, due });
            self.askers.push(asker);
        }
    }

    fn add_receipt(&mut self, coming: Coming, item: AssetId, quantity: Quantity, due: Day) {
        if quantity > Quantity(0) {
            self.situation.receipts.push(Receipt { item, quantity, due });
            self.coming.push(coming);
        }
    }
}

fn bom_to_plan(entry: &BomEntry) -> mrp::Bom {
    let lines = entry.lines.iter().map(|line| mrp::Line {
        component: line.component,
        quantity: line.quantity,
        attrition: line.attrition.0,
        setup: line.setup,
        multiple: line.multiple,
        presence: if line.optional { Presence::LeftOut } else { Presence::Required },
    });
    let by_products = entry.by_products.iter().map(|by| mrp::ByProduct { item: by.asset, quantity: by.quantity });
    let operations = entry.operations.iter().map(|operation| mrp::Operation {
        setup_seconds: operation.setup_seconds,
        run_seconds: operation.run_seconds,
        lead_days: operation.lead_days,
        cost_per_hour: operation.hourly_cost,
    });
    mrp::Bom {
        version: entry.bom.version.0,
        effective_from: entry.bom.from,
        output: entry.bom.output,
        lines: lines.collect(),
        by_products: by_products.collect(),
        operations: operations.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::{Body, CreatePlan, FirmPlan, ReleaseWorkOrder, SetPlanLines};
    use crate::shop::{AXLE, CART, GLUE, PLANT, SHELF, Shop, WHEEL, cart, code};
    use crate::types::OverIssue;

    fn planned(shop: &mut Shop, quantity: u64) -> PlanId {
        let record = shop.send(Body::CreatePlan(CreatePlan { plant: PLANT, name: code("SPRING") }));
        let plan = PlanId(record.sequence.0);
        let line = DemandLine { line: PlanLineId(1), product: CART, quantity: Quantity(quantity), due: Day(30) };
        shop.accept(Body::SetPlanLines(SetPlanLines { plan, set: vec![line], remove: Vec::new() }));
        plan
    }

    fn ask(shop: &Shop, draft: Option<PlanId>) -> Requirements {
        let question = Question { draft, ..Question::new(PLANT, Day(10)) };
        shop.ledger.inquire(&question).and_then(Inquiry::calculate).expect("it can be calculated")
    }

    fn orders(requirements: &Requirements) -> Vec<(AssetId, u64)> {
        let mut orders: Vec<_> = requirements.plan.orders().map(|(_, order)| (order.item, order.quantity.0)).collect();
        orders.sort_unstable();
        orders
    }

    fn firm(shop: &mut Shop, plan: PlanId) {
        let requirements = ask(shop, Some(plan));
        let orders = requirements.orders_to_firm(FirmPlan::ORDER_PEGS).collect();
        shop.accept(Body::FirmPlan(FirmPlan {
            plan,
            computed_at: requirements.computed_at,
            location: SHELF,
            output: SHELF,
            backflush: false,
            over_issue: OverIssue::Refuse,
            orders,
            more: false,
        }));
    }

    #[test]
    fn what_is_firmed_is_not_planned_again() {
        let mut shop = Shop::stocked();
        let plan = planned(&mut shop, 8);
        assert_eq!(orders(&ask(&shop, None)), [], "a draft concerns nobody");
        // 32 wheels, 16 axles and 9 of glue, of which there are 20, 12 and 9.
        assert_eq!(orders(&ask(&shop, Some(plan))), [(CART, 8), (WHEEL, 12), (AXLE, 4)]);
        firm(&mut shop, plan);
        assert_eq!(orders(&ask(&shop, None)), []);
        let line = DemandLine { line: PlanLineId(2), product: CART, quantity: Quantity(2), due: Day(31) };
        shop.accept(Body::SetPlanLines(SetPlanLines { plan, set: vec![line], remove: Vec::new() }));
        assert_eq!(orders(&ask(&shop, None)), [(CART, 2), (WHEEL, 8), (AXLE, 4), (GLUE, 3)]);
    }

    #[test]
    fn every_order_says_which_line_it_is_for() {
        let mut shop = Shop::stocked();
        let plan = planned(&mut shop, 8);
        let requirements = ask(&shop, Some(plan));
        for ((_, order), to_firm) in requirements.plan.orders().zip(requirements.orders_to_firm(1)) {
            let line = PlanLineId(1);
            assert_eq!(to_firm.pegs, [DemandPeg { plan, line, quantity: order.quantity }]);
            assert_eq!(to_firm.version.is_some(), order.item == CART);
        }
    }

    #[test]
    fn what_an_order_holds_is_not_available_and_what_it_lacks_is_needed() {
        let mut shop = Shop::stocked();
        let work_order = shop.create(cart(6));
        // 24 wheels are needed, 20 are there, be it planned or released.
        assert_eq!(orders(&ask(&shop, None)), [(WHEEL, 4)]);
        shop.accept(Body::ReleaseWorkOrder(ReleaseWorkOrder { work_order, partial: true }));
        assert_eq!(orders(&ask(&shop, None)), [(WHEEL, 4)]);
        let requirements = ask(&shop, None);
        assert_eq!(requirements.askers, [Asker::WorkOrder(work_order)]);
        assert_eq!(requirements.coming, [Coming::WorkOrder(work_order)]);
        // What it makes is under way.
        let plan = planned(&mut shop, 6);
        assert_eq!(orders(&ask(&shop, Some(plan))), [(WHEEL, 4)]);
    }

    #[test]
    fn a_what_if_changes_nothing() {
        let shop = Shop::stocked();
        let before = shop.content();
        let line = DemandLine { line: PlanLineId(1), product: CART, quantity: Quantity(10), due: Day(30) };
        let question = Question { what_if: vec![line], ..Question::new(PLANT, Day(10)) };
        let found = shop.ledger.inquire(&question).and_then(Inquiry::calculate).expect("it can be calculated");
        assert_eq!(orders(&found), [(CART, 10), (WHEEL, 20), (AXLE, 8), (GLUE, 2)]);
        assert_eq!(found.askers, [Asker::WhatIf(PlanLineId(1))]);
        assert_eq!(shop.content(), before);
        let missing = Question { versions: vec![(CART, BomVersion(9))], ..question };
        let refused = shop.ledger.inquire(&missing).map(|_| ());
        assert_eq!(refused, Err(RequirementsError::Rejected(Rejection::UnknownBom)));
        let nowhere = shop.ledger.inquire(&Question::new(PlantId(9), Day(1))).map(|_| ());
        assert_eq!(nowhere, Err(RequirementsError::Rejected(Rejection::UnknownPlant)));
    }
}
