//! Work orders: one list, each with what it requires and how far its operations are.

use counterfoil_core::Rejection;
use counterfoil_core::command::{
    Body, ByProduct, CompleteWorkOrder, CreateWorkOrder, DefineBom, IssueMaterials, Material, ReleaseWorkOrder,
    ReportOperation, ReturnMaterials, SetWorkOrder,
};
use counterfoil_core::event::{
    EventBody, MaterialMoved, MaterialsIssued, MaterialsReturned, OperationReported, WorkOrderChanged,
    WorkOrderCompleted, WorkOrderCreated, WorkOrderReleased,
};
use counterfoil_core::production::records::{OrderYield, Requirement, WorkOrder};
use counterfoil_core::types::{
    AccountId, AssetId, Code, CommandId, OverIssue, PlanId, PlantId, Quantity, WorkOrderChange, WorkOrderId,
    WorkOrderState,
};

use super::Model;
use super::lots::IssuedLot;

/// A work order that has not ended.
#[derive(Debug, Clone)]
pub struct OpenOrder {
    pub order: WorkOrder,
    pub lines: Vec<Requirement>,
    /// What it yields besides.
    pub yields: Vec<OrderYield>,
    /// Good and spoilt units of each operation.
    pub operations: Vec<(u64, u64)>,
    /// The lots it was issued and has not given back.
    pub lots: Vec<IssuedLot>,
}

const AT_WORK: [WorkOrderState; 2] = [WorkOrderState::Released, WorkOrderState::InProgress];

/// A part of a whole, rounded up.
fn share_up(whole: u64, part: u64, of: u64) -> u64 {
    (u128::from(whole) * u128::from(part)).div_ceil(of.into()) as u64
}

impl OpenOrder {
    /// Units that were completed, scrapped or lost behind the last operation.
    fn came_through(&self) -> u64 {
        self.order.done() - self.operations.iter().map(|(_, spoilt)| spoilt).sum::<u64>()
    }

    /// What a backflush of `done` units issues: what they should have taken and have not.
    fn backflush(&self, done: u64) -> Vec<Material> {
        let due = |line: &Requirement| share_up(line.required.0, done, self.order.quantity.0);
        let late = self.lines.iter().filter(|line| self.order.backflush && due(line) > line.issued.0);
        let material = |line: &Requirement| Material {
            component: line.component,
            quantity: Quantity(due(line) - line.issued.0),
            lot: None,
        };
        late.map(material).collect()
    }
}

impl Model {
    fn open(&self, id: WorkOrderId) -> Option<&OpenOrder> {
        self.work_orders.iter().find(|open| open.order.id == id)
    }

    pub(super) fn open_mut(&mut self, id: WorkOrderId) -> &mut OpenOrder {
        self.work_orders.iter_mut().find(|open| open.order.id == id).expect("checked")
    }

    /// The order, if it can be worked on in one of these states.
    fn workable(&self, id: WorkOrderId, states: &[WorkOrderState], no: &mut Vec<Rejection>) -> Option<&OpenOrder> {
        let open = self.open(id);
        match open {
            // The core cannot tell for every id whether there was such an order once.
            None => no.extend([Rejection::UnknownWorkOrder, Rejection::WorkOrderNotOpen]),
            Some(open) => {
                no.extend(open.order.held.then_some(Rejection::WorkOrderOnHold));
                no.extend((!states.contains(&open.order.state)).then_some(Rejection::WorkOrderInOtherState));
            }
        }
        open.filter(|_| no.is_empty())
    }

    pub(super) fn check_work(&self, body: &Body, no: &mut Vec<Rejection>) {
        match body {
            Body::CreateWorkOrder(new) => self.check_new(new, no),
            Body::ReleaseWorkOrder(release) => self.check_release(release, no),
            Body::SetWorkOrder(set) => self.check_set(set, no),
            Body::IssueMaterials(issue) => {
                if let Some(open) = self.workable(issue.work_order, &AT_WORK, no) {
                    self.check_issues(open, &asked(open, issue), no);
                }
            }
            Body::ReturnMaterials(give) => self.check_return(give, no),
            Body::ReportOperation(report) => self.check_report(report, no),
            Body::CompleteWorkOrder(complete) => self.check_complete(complete, no),
            other => unreachable!("{other:?} is no work"),
        }
    }

    pub(super) fn work(&mut self, id: CommandId, body: &Body) -> EventBody {
        match body {
            Body::CreateWorkOrder(new) => {
                let order = self.add_work_order(id, self.sequence + 1, new, None);
                EventBody::WorkOrderCreated(Box::new(WorkOrderCreated { order }))
            }
            Body::ReleaseWorkOrder(release) => self.release(release),
            Body::SetWorkOrder(set) => self.set(set),
            Body::IssueMaterials(issue) => {
                let asked = asked(self.open(issue.work_order).expect("checked"), issue);
                let materials = self.issue(issue.work_order, &asked);
                self.receive_materials(issue.work_order, &materials);
                let order = self.open_mut(issue.work_order).order;
                EventBody::MaterialsIssued(Box::new(MaterialsIssued { order, materials }))
            }
            Body::ReturnMaterials(give) => self.take_back(give),
            Body::ReportOperation(report) => self.report(report),
            Body::CompleteWorkOrder(complete) => self.complete(complete),
            other => unreachable!("{other:?} is no work"),
        }
    }

    pub(super) fn check_new(&self, new: &CreateWorkOrder, no: &mut Vec<Rejection>) {
        no.extend(self.plant(new.plant).is_none().then_some(Rejection::UnknownPlant));
        for location in [new.location, new.output] {
            self.check_known(location, no);
            let own = self.plant_of(location).is_some_and(|plant| plant.plant == new.plant);
            no.extend((!own).then_some(Rejection::NotALocation));
        }
        no.extend(self.item(new.product).is_none().then_some(Rejection::UnknownItem));
        no.extend(self.bom_for(new).is_none().then_some(Rejection::UnknownBom));
        let can_be = 0 < new.quantity.0 && new.quantity <= CreateWorkOrder::QUANTITY_MAX;
        no.extend((!can_be).then_some(Rejection::Overflow));
        no.extend((new.due < new.start).then_some(Rejection::DatesReversed));
    }

    fn bom_for(&self, new: &CreateWorkOrder) -> Option<&DefineBom> {
        match new.version {
            Some(version) => self.boms_of(new.product).find(|bom| bom.version == version),
            None => self.bom_on(new.product, new.due),
        }
    }

    pub(super) fn add_work_order(
        &mut self,
        command: CommandId,
        id: u64,
        new: &CreateWorkOrder,
        plan: Option<PlanId>,
    ) -> WorkOrder {
        let order = WorkOrder {
            id: WorkOrderId(id),
            command,
            plant: new.plant,
            product: new.product,
            version: self.bom_for(new).expect("checked").version,
            location: new.location,
            output: new.output,
            quantity: new.quantity,
            completed: Quantity(0),
            scrapped: Quantity(0),
            lost: Quantity(0),
            start: new.start,
            due: new.due,
            backflush: new.backflush,
            optional: new.optional,
            over_issue: new.over_issue,
            state: WorkOrderState::Planned,
            held: false,
            cost: 0,
            parts: 0,
            plan,
        };
        self.work_orders.push(OpenOrder {
            order,
            lines: Vec::new(),
            yields: Vec::new(),
            operations: Vec::new(),
            lots: Vec::new(),
        });
        order
    }

    fn bom_of(&self, order: &WorkOrder) -> &DefineBom {
        self.boms_of(order.product).find(|bom| bom.version == order.version).expect("a version stays")
    }

    /// What an order requires of each component, and what it yields besides. A phantom is opened when nothing
    /// else can need it; its lines come behind those that are there, and its by-products come in proportion
    /// to the order's units. `None` when a phantom has no bill of materials.
    fn required(&self, order: &WorkOrder) -> Option<(Vec<Requirement>, Vec<OrderYield>)> {
        let mut lines: Vec<(AssetId, u64)> = Vec::new();
        let mut yields: Vec<OrderYield> = Vec::new();
        let mut phantoms: Vec<(AssetId, u64)> = Vec::new();
        let mut next = Some((self.bom_of(order), order.quantity.0));
        while let Some((bom, quantity)) = next {
            let own = bom.product == order.product;
            for by_product in &bom.by_products {
                let asset = by_product.asset;
                let more = if own { by_product.quantity.0 } else { by_product.quantity.0 * quantity / bom.output.0 };
                let per = if own { bom.output } else { order.quantity };
                match yields.iter_mut().find(|known| (known.asset, known.per) == (asset, per)) {
                    Some(known) => known.quantity.0 += more,
                    None if more == 0 => {}
                    None => yields.push(OrderYield { asset, quantity: Quantity(more), per }),
                }
            }
            for line in bom.lines.iter().filter(|line| order.optional || !line.optional) {
                let exact = u128::from(line.quantity.0) * u128::from(quantity);
                let lossy = exact * u128::from(1_000_000 + line.attrition.0);
                let mut needed = lossy.div_ceil(u128::from(bom.output.0) * 1_000_000) as u64 + line.setup.0;
                if line.multiple.0 > 0 {
                    needed = needed.div_ceil(line.multiple.0) * line.multiple.0;
                }
                let is_phantom = self.item(line.component).expect("components are items").phantom;
                let list = if is_phantom { &mut phantoms } else { &mut lines };
                match list.iter_mut().find(|(component, _)| *component == line.component) {
                    Some((_, sum)) => *sum += needed,
                    None => list.push((line.component, needed)),
                }
            }
            // The highest one; of two the one that was defined first.
            let place = |item: AssetId| self.items.iter().position(|known| known.asset == item);
            let rank = |item: AssetId| (std::cmp::Reverse(self.height(item)), place(item));
            let first = (0..phantoms.len()).min_by_key(|at| rank(phantoms[*at].0));
            next = match first {
                None => None,
                Some(at) => {
                    let (phantom, quantity) = phantoms.remove(at);
                    Some((self.bom_on(phantom, order.due)?, quantity))
                }
            };
        }
        let nothing = Quantity(0);
        let line = |(component, quantity)| Requirement {
            component,
            required: Quantity(quantity),
            reserved: nothing,
            issued: nothing,
            cost: 0,
        };
        Some((lines.into_iter().map(line).collect(), yields))
    }

    /// What an order requires, released or not.
    fn lines_of(&self, open: &OpenOrder) -> Option<Vec<Requirement>> {
        if open.order.state == WorkOrderState::Planned {
            self.required(&open.order).map(|(lines, _)| lines)
        } else {
            Some(open.lines.clone())
        }
    }

    fn check_release(&self, release: &ReleaseWorkOrder, no: &mut Vec<Rejection>) {
        let states = [WorkOrderState::Planned, AT_WORK[0], AT_WORK[1]];
        let Some(open) = self.workable(release.work_order, &states, no) else {
            return;
        };
        let location = open.order.location;
        self.check_active(location, no);
        let Some(lines) = self.lines_of(open) else {
            return no.push(Rejection::UnknownBom);
        };
        for line in lines.iter().filter(|_| !release.partial) {
            self.check_spend(location, line.component, line.short().into(), no);
        }
    }

    fn release(&mut self, release: &ReleaseWorkOrder) -> EventBody {
        let open = self.open(release.work_order).expect("checked");
        let (mut order, mut lines) = (open.order, self.lines_of(open).expect("checked"));
        let operations = self.bom_of(&order).operations.len();
        let yields = match order.state {
            WorkOrderState::Planned => self.required(&order).expect("checked").1,
            _ => open.yields.clone(),
        };
        for line in &mut lines {
            let balance = self.balance(order.location, line.component);
            let available = (balance.posted - balance.reserved).max(0);
            let short = i128::from(line.short());
            let held = if release.partial { short.min(available) } else { short };
            self.change(order.location, line.component, 0, held);
            line.reserved.0 += held as u64;
        }
        let open = self.open_mut(release.work_order);
        if order.state == WorkOrderState::Planned {
            order.state = WorkOrderState::Released;
            order.parts = (lines.len() + yields.len() + operations) as u32;
            open.operations = vec![(0, 0); operations];
        }
        open.order = order;
        open.lines.clone_from(&lines);
        open.yields.clone_from(&yields);
        EventBody::WorkOrderReleased(Box::new(WorkOrderReleased { order, lines, yields }))
    }

    fn check_set(&self, set: &SetWorkOrder, no: &mut Vec<Rejection>) {
        let Some(OpenOrder { order, .. }) = self.open(set.work_order) else {
            return no.extend([Rejection::UnknownWorkOrder, Rejection::WorkOrderNotOpen]);
        };
        let other = match set.change {
            WorkOrderChange::Start => {
                no.extend(order.held.then_some(Rejection::WorkOrderOnHold));
                order.state != WorkOrderState::Released
            }
            WorkOrderChange::Hold => {
                no.extend(order.held.then_some(Rejection::WorkOrderOnHold));
                false
            }
            WorkOrderChange::Resume => !order.held,
            WorkOrderChange::Close => !matches!(order.state, WorkOrderState::InProgress | WorkOrderState::Completed),
            WorkOrderChange::Cancel => order.state == WorkOrderState::Completed,
        };
        no.extend(other.then_some(Rejection::WorkOrderInOtherState));
    }

    fn set(&mut self, set: &SetWorkOrder) -> EventBody {
        let order = &mut self.open_mut(set.work_order).order;
        match set.change {
            WorkOrderChange::Start => order.state = WorkOrderState::InProgress,
            WorkOrderChange::Hold => order.held = true,
            WorkOrderChange::Resume => order.held = false,
            WorkOrderChange::Close => order.state = WorkOrderState::Closed,
            WorkOrderChange::Cancel => order.state = WorkOrderState::Cancelled,
        }
        let (order, change) = (*order, set.change);
        if matches!(change, WorkOrderChange::Close | WorkOrderChange::Cancel) {
            self.give_back(order.id);
            self.work_orders.retain(|open| open.order.id != order.id);
        }
        EventBody::WorkOrderChanged(Box::new(WorkOrderChanged { order, change }))
    }

    /// Gives back all that an order holds.
    fn give_back(&mut self, id: WorkOrderId) {
        let open = self.open_mut(id);
        let location = open.order.location;
        let take = |line: &mut Requirement| (line.component, std::mem::take(&mut line.reserved.0));
        let held: Vec<(AssetId, u64)> = open.lines.iter_mut().map(take).collect();
        for (component, reserved) in held {
            self.change(location, component, 0, -i128::from(reserved));
        }
    }

    pub(super) fn works_of(&self, plant: PlantId) -> AccountId {
        self.plant(plant).expect("plants stay").production
    }

    fn check_issues(&self, open: &OpenOrder, asked: &[Material], no: &mut Vec<Rejection>) {
        let OpenOrder { order, lines, .. } = open;
        let works = self.works_of(order.plant);
        for (place, Material { component, quantity, lot }) in asked.iter().enumerate() {
            let twice = asked[..place].iter().any(|other| other.component == *component);
            no.extend(twice.then_some(Rejection::ComponentTwice));
            let Some(line) = lines.iter().find(|line| line.component == *component) else {
                no.push(Rejection::UnknownComponent);
                continue;
            };
            no.extend((quantity.0 == 0).then_some(Rejection::Overflow));
            let over = quantity.0 > line.outstanding() && order.over_issue == OverIssue::Refuse;
            no.extend(over.then_some(Rejection::OverIssue));
            self.check_active(order.location, no);
            self.check_active(works, no);
            self.check_allowed(works, *component, no);
            let unheld = quantity.0.saturating_sub(line.reserved.0);
            self.check_spend(order.location, *component, unheld.into(), no);
            self.check_lot(order.location, *component, *lot, quantity.0.into(), no);
        }
    }

    fn cost_of(&self, component: AssetId, quantity: u64) -> i128 {
        let price = self.item(component).expect("components are items").standard_cost;
        let per_unit = WorkOrder::COST_UNIT / 10_i128.pow(self.scale(component).into());
        i128::from(price.0) * i128::from(quantity) * per_unit
    }

    /// Takes materials out of stock, what the order holds of them first. The order is in progress then.
    fn issue(&mut self, id: WorkOrderId, asked: &[Material]) -> Vec<MaterialMoved> {
        let mut materials = Vec::new();
        for Material { component, quantity, lot } in asked {
            let cost = self.cost_of(*component, quantity.0);
            let open = self.open_mut(id);
            let line = open.lines.iter_mut().find(|line| line.component == *component).expect("checked");
            let over = Quantity(quantity.0.saturating_sub(line.outstanding()));
            let held = quantity.0.min(line.reserved.0);
            line.reserved.0 -= held;
            line.issued.0 += quantity.0;
            line.cost += cost;
            open.order.cost += cost;
            let location = open.order.location;
            self.name_lot(*component, *lot);
            self.change(location, *component, -i128::from(quantity.0), -i128::from(held));
            materials.push(MaterialMoved { component: *component, quantity: *quantity, over, lot: *lot, cost });
        }
        self.open_mut(id).order.state = WorkOrderState::InProgress;
        materials
    }

    /// Puts what was taken out of stock into production.
    fn receive_materials(&mut self, id: WorkOrderId, materials: &[MaterialMoved]) {
        let works = self.works_of(self.open(id).expect("checked").order.plant);
        for moved in materials {
            self.change(works, moved.component, moved.quantity.0.into(), 0);
        }
    }

    fn check_return(&self, give: &ReturnMaterials, no: &mut Vec<Rejection>) {
        let Material { component, quantity, lot } = give.material;
        let states = [WorkOrderState::InProgress, WorkOrderState::Completed];
        let Some(open) = self.workable(give.work_order, &states, no) else {
            return;
        };
        let Some(line) = open.lines.iter().find(|line| line.component == component) else {
            return no.push(Rejection::UnknownComponent);
        };
        no.extend((quantity.0 == 0).then_some(Rejection::Overflow));
        no.extend((quantity > line.issued).then_some(Rejection::ReturnAboveIssued));
        self.check_active(self.works_of(open.order.plant), no);
        self.check_active(open.order.location, no);
        self.check_allowed(open.order.location, component, no);
        self.check_tracked(component, lot, no);
        open.check_lot_back(component, lot, quantity.0.into(), no);
    }

    fn take_back(&mut self, give: &ReturnMaterials) -> EventBody {
        let Material { component, quantity, lot } = give.material;
        let open = self.open_mut(give.work_order);
        let line = open.lines.iter_mut().find(|line| line.component == component).expect("checked");
        // What stays keeps its share of the cost, rounded down.
        let stays = i128::from(line.issued.0 - quantity.0) * line.cost / i128::from(line.issued.0);
        let cost = line.cost - stays;
        line.issued.0 -= quantity.0;
        line.cost = stays;
        open.order.cost -= cost;
        let order = open.order;
        self.coming_back = open.give_lots_back(component, lot, quantity.0);
        self.change(self.works_of(order.plant), component, -i128::from(quantity.0), 0);
        self.change(order.location, component, quantity.0.into(), 0);
        let material = MaterialMoved { component, quantity, over: Quantity(0), lot, cost };
        EventBody::MaterialsReturned(Box::new(MaterialsReturned { order, material }))
    }

    fn check_report(&self, report: &ReportOperation, no: &mut Vec<Rejection>) {
        let Some(open) = self.workable(report.work_order, &AT_WORK, no) else {
            return;
        };
        let place = report.operation as usize;
        let Some((good, spoilt)) = open.operations.get(place) else {
            return no.push(Rejection::UnknownOperation);
        };
        let units = report.good.0 + report.scrap.0;
        no.extend((units == 0).then_some(Rejection::Overflow));
        let reached = if place == 0 { open.order.quantity.0 } else { open.operations[place - 1].0 };
        if good + spoilt + units > reached {
            return no.push(Rejection::OperationOutOfOrder);
        }
        self.check_issues(open, &open.backflush(open.order.done() + report.scrap.0), no);
        for by_product in self.yielded(open, report.scrap.0) {
            self.check_active(self.works_of(open.order.plant), no);
            self.check_active(open.order.output, no);
            self.check_allowed(open.order.output, by_product.asset, no);
        }
    }

    fn report(&mut self, report: &ReportOperation) -> EventBody {
        let ReportOperation { work_order, operation, good, scrap } = *report;
        let by_products = self.yielded(self.open(work_order).expect("checked"), scrap.0);
        let open = self.open_mut(work_order);
        let asked = open.backflush(open.order.done() + scrap.0);
        let WorkOrder { plant, output, product, .. } = open.order;
        let progress = &mut open.operations[operation as usize];
        (progress.0, progress.1) = (progress.0 + good.0, progress.1 + scrap.0);
        open.order.lost.0 += scrap.0;
        let materials = self.issue(work_order, &asked);
        let works = self.works_of(plant);
        self.make(works, output, works, (product, 0, 0, None), &by_products, &materials);
        let order = self.finish(work_order);
        let reported = OperationReported { order, operation, good, scrap, materials, by_products };
        EventBody::OperationReported(Box::new(reported))
    }

    /// An order with nothing left to make is completed, and gives back what it holds.
    fn finish(&mut self, id: WorkOrderId) -> WorkOrder {
        let order = &mut self.open_mut(id).order;
        if order.done() == order.quantity.0 {
            order.state = WorkOrderState::Completed;
            self.give_back(id);
        }
        self.open(id).expect("it is open").order
    }

    fn check_complete(&self, complete: &CompleteWorkOrder, no: &mut Vec<Rejection>) {
        let Some(open) = self.workable(complete.work_order, &AT_WORK, no) else {
            return;
        };
        let order = &open.order;
        let units = complete.good.0 + complete.scrap.0 + complete.loss.0;
        no.extend((units == 0).then_some(Rejection::Overflow));
        if order.done() + units > order.quantity.0 {
            return no.push(Rejection::QuantityAboveOrder);
        }
        if open.operations.last().is_some_and(|(good, _)| open.came_through() + units > *good) {
            return no.push(Rejection::OperationOutOfOrder);
        }
        self.check_issues(open, &open.backflush(order.done() + units), no);
        let scrap = self.plant(order.plant).expect("plants stay").scrap;
        self.check_active(self.works_of(order.plant), no);
        self.check_active(order.output, no);
        self.check_active(scrap, no);
        self.check_allowed(order.output, order.product, no);
        if complete.scrap.0 > 0 {
            self.check_allowed(scrap, order.product, no);
        }
        self.check_tracked(order.product, complete.lot, no);
        for by_product in self.yielded(open, units) {
            self.check_allowed(order.output, by_product.asset, no);
        }
    }

    /// By-products come with every unit, spoilt ones too, in whole units of what all units so far yield.
    fn yielded(&self, open: &OpenOrder, units: u64) -> Vec<ByProduct> {
        let before = open.order.done();
        let mut all: Vec<ByProduct> = Vec::new();
        for OrderYield { asset, quantity, per } in open.yields.iter().copied() {
            let of = |units: u64| quantity.0 * units / per.0;
            let more = of(before + units) - of(before);
            match all.iter_mut().find(|known| known.asset == asset) {
                Some(known) => known.quantity.0 += more,
                None if more == 0 => {}
                None => all.push(ByProduct { asset, quantity: Quantity(more) }),
            }
        }
        all
    }

    fn complete(&mut self, complete: &CompleteWorkOrder) -> EventBody {
        let CompleteWorkOrder { work_order, good, scrap, loss, lot } = *complete;
        let units = good.0 + scrap.0 + loss.0;
        let open = self.open(work_order).expect("checked");
        let (asked, by_products) = (open.backflush(open.order.done() + units), self.yielded(open, units));
        let WorkOrder { plant, product, output, .. } = open.order;
        let (works, dump) = (self.works_of(plant), self.plant(plant).expect("plants stay").scrap);
        // What is given is given before anything is received.
        let materials = self.issue(work_order, &asked);
        self.make(works, output, dump, (product, good.0, scrap.0, lot), &by_products, &materials);
        let order = &mut self.open_mut(work_order).order;
        (order.completed.0, order.scrapped.0) = (order.completed.0 + good.0, order.scrapped.0 + scrap.0);
        order.lost.0 += loss.0;
        let order = self.finish(work_order);
        EventBody::WorkOrderCompleted(Box::new(WorkOrderCompleted {
            order,
            good,
            scrap,
            loss,
            lot,
            materials,
            by_products,
        }))
    }

    fn make(
        &mut self,
        works: AccountId,
        output: AccountId,
        dump: AccountId,
        (product, good, scrap, lot): (AssetId, u64, u64, Option<Code>),
        by_products: &[ByProduct],
        materials: &[MaterialMoved],
    ) {
        if good + scrap > 0 {
            self.name_lot(product, lot);
            self.change(works, product, -i128::from(good + scrap), 0);
        }
        for by_product in by_products {
            self.change(works, by_product.asset, -i128::from(by_product.quantity.0), 0);
        }
        for moved in materials {
            self.change(works, moved.component, moved.quantity.0.into(), 0);
        }
        if good + scrap > 0 {
            self.change(output, product, good.into(), 0);
            self.change(dump, product, scrap.into(), 0);
        }
        for by_product in by_products {
            self.change(output, by_product.asset, by_product.quantity.0.into(), 0);
        }
    }
}

/// What an issue asks for: all that is outstanding, when it names nothing.
fn asked(open: &OpenOrder, issue: &IssueMaterials) -> Vec<Material> {
    if !issue.materials.is_empty() {
        return issue.materials.clone();
    }
    let outstanding = open.lines.iter().filter(|line| line.outstanding() > 0);
    let all =
        |line: &Requirement| Material { component: line.component, quantity: Quantity(line.outstanding()), lot: None };
    outstanding.map(all).collect()
}
