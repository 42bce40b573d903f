//! Plans and planned purchases.

use counterfoil_core::Rejection;
use counterfoil_core::command::{
    Body, BuyPurchase, CreateWorkOrder, DemandLine, FirmPlan, OrderRef, OrderToFirm, ReceivePurchase, ReceiveStock,
    SetPlanLines,
};
use counterfoil_core::event::{
    EventBody, OrderPeg, PlanClosed, PlanCreated, PlanFirmed, PurchaseClosed, PurchaseLinked, PurchasePlanned,
    PurchaseReceived, WorkOrderCreated,
};
use counterfoil_core::production::records::{Firming, ProductionPlan, Purchase};
use counterfoil_core::types::{
    AccountId, AssetId, CommandId, Day, MarketId, PlanId, PlanState, PlantId, PurchaseId, Quantity, Sequence, Side,
    Source,
};

use super::Model;

/// A plan that is not closed.
#[derive(Debug, Clone)]
pub struct OpenPlan {
    pub plan: ProductionPlan,
    pub lines: Vec<DemandLine>,
}

/// Whether an order, a planned purchase or a line of demand can be for so much.
fn can_be_ordered(quantity: Quantity) -> bool {
    0 < quantity.0 && quantity <= CreateWorkOrder::QUANTITY_MAX
}

impl Model {
    fn open_plan(&self, id: PlanId) -> Option<&OpenPlan> {
        self.plans.iter().find(|open| open.plan.id == id)
    }

    fn open_plan_mut(&mut self, id: PlanId) -> &mut OpenPlan {
        self.plans.iter_mut().find(|open| open.plan.id == id).expect("checked")
    }

    fn purchase(&self, id: PurchaseId) -> Option<&Purchase> {
        self.purchases.iter().find(|purchase| purchase.id == id)
    }

    /// Whether a plant works on a day. Day 0 was a Thursday.
    fn works_on(&self, plant: PlantId, day: Day) -> bool {
        let Some(calendar) = self.calendars.iter().find(|calendar| calendar.plant == plant) else {
            return true;
        };
        let weekday = (day.0 + 3).rem_euclid(7);
        calendar.weekdays & 1 << weekday != 0 && !calendar.holidays.contains(&day)
    }

    pub(super) fn check_planning(&self, body: &Body, no: &mut Vec<Rejection>) {
        match body {
            Body::CreatePlan(new) => no.extend(self.plant(new.plant).is_none().then_some(Rejection::UnknownPlant)),
            Body::SetPlanLines(set) => self.check_lines(set, no),
            Body::FirmPlan(firm) => self.check_firm(firm, no),
            Body::ClosePlan(close) => {
                no.extend(self.open_plan(close.plan).is_none().then_some(Rejection::UnknownPlan));
            }
            Body::ReceivePurchase(receive) => self.check_receive(receive, no),
            Body::ClosePurchase(close) => {
                no.extend(self.purchase(close.purchase).is_none().then_some(Rejection::UnknownPurchase));
            }
            Body::LinkPurchase(link) => match self.purchase(link.purchase) {
                None => no.push(Rejection::UnknownPurchase),
                Some(purchase) => {
                    if let Some(id) = link.order {
                        let order = self.find_order(purchase.location, OrderRef::ClientOrderId(id));
                        match order.map(|order| (order.new.account, order.new.market, order.new.side)) {
                            None => no.extend([Rejection::UnknownOrder, Rejection::OrderNotOpen]),
                            Some(terms) => self.check_buys(purchase, terms, no),
                        }
                    }
                    let others = self.purchases.iter().filter(|other| other.id != purchase.id);
                    let taken = others.filter(|other| other.location == purchase.location && other.order.is_some());
                    let taken = taken.map(|other| other.order).any(|order| order == link.order);
                    no.extend(taken.then_some(Rejection::OrderLinked));
                }
            },
            other => unreachable!("{other:?} is not of planning"),
        }
    }

    pub(super) fn plan(&mut self, id: CommandId, body: &Body) -> Vec<EventBody> {
        match body {
            Body::CreatePlan(new) => {
                let changed = Sequence(self.sequence + 1);
                let (plant, name, state) = (new.plant, new.name, PlanState::Draft);
                let id = PlanId(changed.0);
                let plan = ProductionPlan { id, plant, name, state, lines: 0, changed, firming: None };
                self.plans.push(OpenPlan { plan, lines: Vec::new() });
                vec![EventBody::PlanCreated(Box::new(PlanCreated { plan }))]
            }
            Body::SetPlanLines(set) => vec![self.set_lines(set)],
            Body::FirmPlan(firm) => self.firm(id, firm),
            Body::ClosePlan(close) => {
                let plan = self.open_plan(close.plan).expect("checked").plan;
                self.plans.retain(|open| open.plan.id != plan.id);
                if plan.state == PlanState::Firmed {
                    self.planning_changed = self.sequence + 1;
                }
                vec![EventBody::PlanClosed(Box::new(PlanClosed { plan }))]
            }
            Body::ReceivePurchase(receive) => self.receive_purchase(receive),
            Body::ClosePurchase(close) => {
                let purchase = *self.purchase(close.purchase).expect("checked");
                self.purchases.retain(|other| other.id != purchase.id);
                vec![EventBody::PurchaseClosed(Box::new(PurchaseClosed { purchase }))]
            }
            Body::LinkPurchase(link) => vec![self.link(link.purchase, link.order)],
            other => unreachable!("{other:?} is not of planning"),
        }
    }

    pub(super) fn link(&mut self, id: PurchaseId, order: Option<CommandId>) -> EventBody {
        let purchase = self.purchases.iter_mut().find(|purchase| purchase.id == id).expect("checked");
        purchase.order = order;
        EventBody::PurchaseLinked(Box::new(PurchaseLinked { purchase: *purchase }))
    }

    /// An order that buys a purchase buys its item for its location, and no other open order does.
    pub(super) fn check_buy(&self, buy: &BuyPurchase, no: &mut Vec<Rejection>) {
        match self.purchase(buy.purchase) {
            None => no.push(Rejection::UnknownPurchase),
            Some(purchase) => {
                self.check_buys(purchase, (buy.order.account, buy.order.market, buy.order.side), no);
                let bought = purchase.order.map(OrderRef::ClientOrderId);
                let bought = bought.and_then(|order| self.find_order(purchase.location, order)).is_some();
                no.extend(bought.then_some(Rejection::PurchaseLinked));
            }
        }
    }

    fn check_buys(
        &self,
        purchase: &Purchase,
        (account, market, side): (AccountId, MarketId, Side),
        no: &mut Vec<Rejection>,
    ) {
        let Some((market, _)) = self.market(market) else { return no.push(Rejection::UnknownMarket) };
        let buys = side == Side::Buy && account == purchase.location && market.base == purchase.item;
        no.extend((!buys).then_some(Rejection::NotThePurchase));
    }

    fn check_lines(&self, set: &SetPlanLines, no: &mut Vec<Rejection>) {
        let Some(open) = self.open_plan(set.plan) else {
            return no.push(Rejection::UnknownPlan);
        };
        let named: Vec<_> = set.set.iter().map(|line| line.line).chain(set.remove.iter().copied()).collect();
        let twice = named.iter().any(|line| named.iter().filter(|other| *other == line).count() > 1);
        no.extend(twice.then_some(Rejection::PlanLineTwice));
        for line in &set.remove {
            let known = open.lines.iter().any(|other| other.line == *line);
            no.extend((!known).then_some(Rejection::UnknownPlanLine));
        }
        for line in &set.set {
            let source = self.item(line.product).map(|item| item.source);
            no.extend(source.is_none().then_some(Rejection::UnknownItem));
            let unmade = source == Some(Source::Make) && self.boms_of(line.product).next().is_none();
            no.extend(unmade.then_some(Rejection::UnknownBom));
            no.extend((!can_be_ordered(line.quantity)).then_some(Rejection::Overflow));
            no.extend((!self.works_on(open.plan.plant, line.due)).then_some(Rejection::NotAWorkingDay));
        }
    }

    fn set_lines(&mut self, set: &SetPlanLines) -> EventBody {
        let changed = self.sequence + 1;
        let open = self.open_plan_mut(set.plan);
        let named =
            |line: &DemandLine| set.remove.contains(&line.line) || set.set.iter().any(|other| other.line == line.line);
        open.lines.retain(|line| !named(line));
        open.lines.extend(&set.set);
        open.plan.lines = open.lines.len() as u32;
        open.plan.changed = Sequence(changed);
        if open.plan.state == PlanState::Firmed {
            self.planning_changed = changed;
        }
        EventBody::PlanLinesSet(Box::new(set.clone()))
    }

    fn check_firm(&self, firm: &FirmPlan, no: &mut Vec<Rejection>) {
        let Some(OpenPlan { plan, .. }) = self.open_plan(firm.plan) else {
            return no.push(Rejection::UnknownPlan);
        };
        // Either nothing has changed since the calculation, or nothing but by the part of it before.
        let changed = self.planning_changed.max(plan.changed.0);
        let fresh = (changed..=self.sequence).contains(&firm.computed_at.0);
        let next = plan.firming == Some(Firming { computed_at: firm.computed_at, last: Sequence(changed) });
        no.extend((!fresh && !next).then_some(Rejection::PlanOutdated));
        for location in [firm.location, firm.output] {
            self.check_known(location, no);
            let own = self.plant_of(location).is_some_and(|of| of.plant == plan.plant);
            no.extend((!own).then_some(Rejection::NotALocation));
        }
        for order in &firm.orders {
            self.check_pegs(plan, order, no);
            match work_order(plan, firm, order) {
                Some(new) => self.check_new(&new, no),
                None => {
                    no.extend(self.item(order.item).is_none().then_some(Rejection::UnknownItem));
                    no.extend((!can_be_ordered(order.quantity)).then_some(Rejection::Overflow));
                    no.extend((order.due < order.release).then_some(Rejection::DatesReversed));
                }
            }
        }
    }

    fn check_pegs(&self, plan: &ProductionPlan, order: &OrderToFirm, no: &mut Vec<Rejection>) {
        for peg in &order.pegs {
            match self.open_plan(peg.plan) {
                None => no.push(Rejection::UnknownPlan),
                Some(open) => {
                    let known = open.lines.iter().any(|line| line.line == peg.line);
                    let elsewhere = open.plan.plant != plan.plant;
                    no.extend((!known || elsewhere).then_some(Rejection::UnknownPlanLine));
                }
            }
            no.extend((peg.quantity.0 == 0).then_some(Rejection::Overflow));
        }
        let pegged: u64 = order.pegs.iter().map(|peg| peg.quantity.0).sum();
        no.extend((pegged > order.quantity.0).then_some(Rejection::Overflow));
    }

    fn firm(&mut self, command: CommandId, firm: &FirmPlan) -> Vec<EventBody> {
        let mut plan = self.open_plan(firm.plan).expect("checked").plan;
        let (mut events, mut pegs) = (Vec::new(), Vec::new());
        for order in &firm.orders {
            let id = self.sequence + events.len() as u64 + 1;
            for peg in &order.pegs {
                let (plan, line, quantity) = (peg.plan, peg.line, peg.quantity);
                pegs.push(OrderPeg { order: Sequence(id), plan, line, quantity });
            }
            events.push(match work_order(&plan, firm, order) {
                Some(new) => {
                    let order = self.add_work_order(command, id, &new, Some(plan.id));
                    EventBody::WorkOrderCreated(Box::new(WorkOrderCreated { order }))
                }
                None => {
                    let purchase = Purchase {
                        id: PurchaseId(id),
                        plan: plan.id,
                        plant: plan.plant,
                        location: firm.location,
                        item: order.item,
                        quantity: order.quantity,
                        received: Quantity(0),
                        release: order.release,
                        due: order.due,
                        order: None,
                    };
                    self.purchases.push(purchase);
                    EventBody::PurchasePlanned(Box::new(PurchasePlanned { purchase }))
                }
            });
        }
        let last = self.sequence + events.len() as u64 + 1;
        let FirmPlan { computed_at, location, output, .. } = *firm;
        plan.state = PlanState::Firmed;
        plan.firming = if firm.more { Some(Firming { computed_at, last: Sequence(last) }) } else { None };
        self.planning_changed = last;
        self.open_plan_mut(plan.id).plan = plan;
        let orders = firm.orders.len() as u32;
        events.push(EventBody::PlanFirmed(Box::new(PlanFirmed { plan, computed_at, location, output, orders, pegs })));
        events
    }

    /// The receipt that comes with goods of a purchase.
    fn receipt(purchase: &Purchase, receive: &ReceivePurchase) -> Option<Body> {
        let receipt = receive.receipt?;
        let (location, asset, quantity) = (purchase.location, purchase.item, receive.quantity);
        Some(Body::ReceiveStock(ReceiveStock { location, asset, quantity, from: receipt.from, lot: receipt.lot }))
    }

    fn check_receive(&self, receive: &ReceivePurchase, no: &mut Vec<Rejection>) {
        let Some(purchase) = self.purchase(receive.purchase) else {
            return no.push(Rejection::UnknownPurchase);
        };
        no.extend((receive.quantity.0 == 0).then_some(Rejection::Overflow));
        if let Some(body) = Self::receipt(purchase, receive) {
            self.check_stock(&body, no);
        }
    }

    fn receive_purchase(&mut self, receive: &ReceivePurchase) -> Vec<EventBody> {
        let mut purchase = *self.purchase(receive.purchase).expect("checked");
        let mut events = Vec::new();
        if let Some(body) = Self::receipt(&purchase, receive) {
            let moved = self.move_stock(&body);
            self.tell(&mut events, moved);
        }
        events.push(self.came(&mut purchase, receive.quantity));
        events
    }

    fn came(&mut self, purchase: &mut Purchase, quantity: Quantity) -> EventBody {
        purchase.received.0 += quantity.0;
        self.purchases.retain(|other| other.id != purchase.id);
        if purchase.received < purchase.quantity {
            self.purchases.push(*purchase);
        }
        EventBody::PurchaseReceived(Box::new(PurchaseReceived { purchase: *purchase, quantity }))
    }

    /// What a trade brought, when the buyer's order buys a purchase of it.
    pub(super) fn bought(
        &mut self,
        buyer: AccountId,
        order: CommandId,
        asset: AssetId,
        quantity: Quantity,
    ) -> Option<EventBody> {
        let buys = |it: &&Purchase| (it.location, it.order, it.item) == (buyer, Some(order), asset);
        let mut purchase = *self.purchases.iter().find(buys)?;
        Some(self.came(&mut purchase, quantity))
    }
}

/// The work order that a calculated order becomes; nothing when it is bought.
fn work_order(plan: &ProductionPlan, firm: &FirmPlan, order: &OrderToFirm) -> Option<CreateWorkOrder> {
    let version = Some(order.version?);
    Some(CreateWorkOrder {
        plant: plan.plant,
        product: order.item,
        quantity: order.quantity,
        version,
        location: firm.location,
        output: firm.output,
        start: order.release,
        due: order.due,
        backflush: firm.backflush,
        optional: false,
        over_issue: firm.over_issue,
    })
}
