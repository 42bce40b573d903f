//! Work orders in memory; their beginning, their holding up and their end.

use std::collections::{BTreeMap, BTreeSet};

use super::records::{IssuedLot, OperationProgress, OrderYield, Progress, Requirement, WorkOrder, WorkOrderPart};
use crate::command::{BomLine, ByProduct, CreateWorkOrder, SetWorkOrder};
use crate::event::{Effects, EventBody, WorkOrderChanged, WorkOrderCreated};
use crate::ledger::Ledger;
use crate::ledger::slots::Slab;
use crate::planted::{self, Mistake};
use crate::rejection::Rejection;
use crate::state::Table;
use crate::table::Slot;
use crate::types::{
    AccountId, AssetId, Code, CommandId, PlanId, PlantId, Quantity, WorkOrderChange, WorkOrderId, WorkOrderState,
};

/// A work order in memory.
#[derive(Debug)]
pub struct WorkOrderEntry {
    /// The record.
    pub order: WorkOrder,
    /// Its version's slot.
    pub bom: Slot,
    /// The slots of what it requires, in order.
    pub lines: Vec<Slot>,
    /// The slots of what it yields besides, in order.
    pub yields: Vec<Slot>,
    /// The slots of its operations, in order.
    pub operations: Vec<Slot>,
    /// The slots of the lots that were issued to it, by component and number.
    pub lots: BTreeMap<(AssetId, Code), Slot>,
}

impl WorkOrderEntry {
    /// An order without parts.
    pub fn new(order: WorkOrder, bom: Slot) -> Self {
        let (lines, yields, operations) = (Vec::new(), Vec::new(), Vec::new());
        Self { order, bom, lines, yields, operations, lots: BTreeMap::new() }
    }

    /// The slots of all its parts, in order.
    pub fn parts(&self) -> impl Iterator<Item = Slot> {
        [&self.lines, &self.yields, &self.operations].into_iter().flatten().copied()
    }
}

/// Every work order that has not ended.
#[derive(Debug, Default)]
pub struct WorkOrders {
    /// The orders.
    pub entries: Slab<WorkOrderEntry>,
    /// Their parts.
    pub parts: Slab<WorkOrderPart>,
    /// The lots that were issued to them.
    pub lots: Slab<IssuedLot>,
    /// By id.
    pub by_id: BTreeMap<WorkOrderId, Slot>,
    /// By the location whose stock they hold.
    pub by_location: BTreeSet<(AccountId, WorkOrderId)>,
}

impl WorkOrders {
    /// Adds an order without parts.
    pub fn insert(&mut self, entry: WorkOrderEntry) -> Slot {
        let (id, location) = (entry.order.id, entry.order.location);
        let slot = self.entries.insert(entry);
        self.by_id.insert(id, slot);
        self.by_location.insert((location, id));
        slot
    }

    /// What the order requires in the part of this slot.
    ///
    /// # Panics
    /// When the part is not a line: the state is broken.
    pub fn line(&self, part: Slot) -> &Requirement {
        match &self.parts[part].part {
            Progress::Line(line) => line,
            other => panic!("a line's slot holds {other:?}"),
        }
    }

    /// The same, to change.
    pub fn line_mut(&mut self, part: Slot) -> &mut Requirement {
        match &mut self.parts[part].part {
            Progress::Line(line) => line,
            other => panic!("a line's slot holds {other:?}"),
        }
    }

    /// What the order yields besides by the part of this slot.
    ///
    /// # Panics
    /// When the part is not a yield: the state is broken.
    pub fn order_yield(&self, part: Slot) -> &OrderYield {
        match &self.parts[part].part {
            Progress::Yield(order_yield) => order_yield,
            other => panic!("a yield's slot holds {other:?}"),
        }
    }

    /// How far the operation in the part of this slot is.
    ///
    /// # Panics
    /// When the part is not an operation: the state is broken.
    pub fn operation(&self, part: Slot) -> &OperationProgress {
        match &self.parts[part].part {
            Progress::Operation(operation) => operation,
            other => panic!("an operation's slot holds {other:?}"),
        }
    }

    /// The same, to change.
    pub fn operation_mut(&mut self, part: Slot) -> &mut OperationProgress {
        match &mut self.parts[part].part {
            Progress::Operation(operation) => operation,
            other => panic!("an operation's slot holds {other:?}"),
        }
    }
}

impl Ledger {
    /// An order keeps the version of its bill of materials that it is created with.
    pub(crate) fn create_work_order(
        &mut self,
        command: CommandId,
        new: &CreateWorkOrder,
        effects: &mut Effects,
    ) -> Result<(), Rejection> {
        let bom = self.check_work_order(new)?;
        let order = self.draft_work_order(command, new, bom, None);
        self.add_work_order(order, bom, effects);
        Ok(())
    }

    /// The version that a new order is made by, if the order is one that can be.
    pub(super) fn check_work_order(&self, new: &CreateWorkOrder) -> Result<Slot, Rejection> {
        self.known_plant(new.plant)?;
        for location in [new.location, new.output] {
            self.check_location(new.plant, location)?;
        }
        let item = self.known_item(new.product)?;
        let bom = match new.version {
            Some(version) => self.production.boms.slot((new.product, version)),
            None => self.bom_in_effect(item, new.due),
        };
        if !can_be_ordered(new.quantity) {
            return Err(Rejection::Overflow);
        }
        if new.due < new.start {
            return Err(Rejection::DatesReversed);
        }
        let bom = bom.ok_or(Rejection::UnknownBom)?;
        self.check_size(new, bom)?;
        Ok(bom)
    }

    /// Refuses an order that takes or yields more of something than can be planned: it would stop every
    /// calculation of its plant. What it takes of all components together is bounded first, at the cost of one
    /// look at each line; what is beyond is looked at component by component, phantoms included.
    fn check_size(&self, new: &CreateWorkOrder, bom: Slot) -> Result<(), Rejection> {
        let entry = &self.production.boms[bom];
        let is_phantom = |line: &BomLine| self.item(line.component).is_some_and(|item| item.phantom);
        let (quantity, output) = (new.quantity.0, entry.bom.output);
        let mut sum = Some(0_u128);
        for line in &entry.lines {
            let needed = line.needed(quantity, output.0).filter(|_| !is_phantom(line));
            sum = sum.zip(needed).map(|(sum, needed)| sum + u128::from(needed));
        }
        for &ByProduct { asset, quantity } in &entry.by_products {
            let more = OrderYield { asset, quantity, per: output }.of(new.quantity.0);
            sum = sum.zip(more).map(|(sum, more)| sum + u128::from(more));
        }
        if sum.is_some_and(|sum| sum <= u128::from(CreateWorkOrder::QUANTITY_MAX.0)) {
            return Ok(());
        }
        let draft = self.draft_work_order(CommandId(0), new, bom, None);
        // What else is wrong with it is told when it is released.
        let parts = match self.requirements(&draft) {
            Err(Rejection::Overflow) => return Err(Rejection::Overflow),
            Err(_) => return Ok(()),
            Ok(parts) => parts,
        };
        let taken = parts.lines.iter().map(|line| Some(line.required.0));
        let yielded = parts.yields.iter().map(|of| of.of(quantity));
        let fit = taken.chain(yielded).all(|units| units.is_some_and(|it| it <= CreateWorkOrder::QUANTITY_MAX.0));
        if fit { Ok(()) } else { Err(Rejection::Overflow) }
    }

    pub(super) fn draft_work_order(
        &self,
        command: CommandId,
        new: &CreateWorkOrder,
        bom: Slot,
        plan: Option<PlanId>,
    ) -> WorkOrder {
        WorkOrder {
            id: WorkOrderId(self.next_sequence().0),
            command,
            plant: new.plant,
            product: new.product,
            version: self.production.boms[bom].bom.version,
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
        }
    }

    pub(super) fn add_work_order(&mut self, order: WorkOrder, bom: Slot, effects: &mut Effects) {
        let entry = WorkOrderEntry::new(order, bom);
        let slot = self.production.work_orders.insert(entry);
        self.changes.mark(Table::WorkOrder, slot);
        self.emit(EventBody::WorkOrderCreated(Box::new(WorkOrderCreated { order })), effects);
    }

    pub(super) fn check_location(&self, plant: PlantId, location: AccountId) -> Result<(), Rejection> {
        let of = self.plant_of(location)?;
        if of.id == plant { Ok(()) } else { Err(Rejection::NotALocation) }
    }

    /// Goes on for frozen accounts too, as nothing but a release of what is held is done.
    pub(crate) fn set_work_order(&mut self, set: &SetWorkOrder, effects: &mut Effects) -> Result<(), Rejection> {
        let slot = self.find_work_order(set.work_order)?;
        let order = &self.production.work_orders.entries[slot].order;
        let (state, held) = (order.state, order.held);
        let (possible, next) = match set.change {
            WorkOrderChange::Start => {
                self.workable(slot, &[WorkOrderState::Released])?;
                (true, WorkOrderState::InProgress)
            }
            WorkOrderChange::Hold if held => return Err(Rejection::WorkOrderOnHold),
            WorkOrderChange::Hold => (true, state),
            WorkOrderChange::Resume => (held, state),
            WorkOrderChange::Close => {
                let worked_on = matches!(state, WorkOrderState::InProgress | WorkOrderState::Completed);
                (worked_on, WorkOrderState::Closed)
            }
            WorkOrderChange::Cancel => (state != WorkOrderState::Completed, WorkOrderState::Cancelled),
        };
        if !possible {
            return Err(Rejection::WorkOrderInOtherState);
        }

        let ends = matches!(next, WorkOrderState::Closed | WorkOrderState::Cancelled);
        if ends {
            self.release_materials(slot, effects);
        }
        let order = &mut self.production.work_orders.entries[slot].order;
        order.state = next;
        order.held = match set.change {
            WorkOrderChange::Hold => true,
            WorkOrderChange::Resume => false,
            _ => held,
        };
        let (order, change) = (*order, set.change);
        self.changes.mark(Table::WorkOrder, slot);
        if ends {
            self.forget_work_order(slot);
        }
        self.emit(EventBody::WorkOrderChanged(Box::new(WorkOrderChanged { order, change })), effects);
        Ok(())
    }

    /// Gives back all that an order holds.
    pub(super) fn release_materials(&mut self, slot: Slot, effects: &mut Effects) {
        let location = self.production.work_orders.entries[slot].order.location;
        for place in 0..self.production.work_orders.entries[slot].lines.len() {
            let part = self.production.work_orders.entries[slot].lines[place];
            let line = self.production.work_orders.line_mut(part);
            let reserved = std::mem::take(&mut line.reserved);
            if reserved == Quantity(0) {
                continue;
            }
            let key = (location, line.component);
            self.changes.mark(Table::WorkOrderPart, part);
            if planted::is(Mistake::ReservationKept) {
                continue;
            }
            let balance = self.balances.entries.slot(key).expect("what is reserved has a balance");
            self.post(balance, 0, -(reserved.0 as i64), effects);
        }
    }

    fn forget_work_order(&mut self, slot: Slot) {
        let orders = &mut self.production.work_orders;
        let entry = orders.entries.remove(slot);
        orders.by_id.remove(&entry.order.id);
        orders.by_location.remove(&(entry.order.location, entry.order.id));
        for part in entry.parts() {
            orders.parts.remove(part);
            self.changes.mark(Table::WorkOrderPart, part);
        }
        for lot in entry.lots.into_values() {
            orders.lots.remove(lot);
            self.changes.mark(Table::IssuedLot, lot);
        }
    }

    /// The slot of a work order that has not ended.
    ///
    /// # Errors
    /// [`Rejection::WorkOrderNotOpen`] for what was there once: the ledger keeps no ended orders, so any
    /// event's number up to now counts as one. [`Rejection::UnknownWorkOrder`] otherwise.
    pub(super) fn find_work_order(&self, id: WorkOrderId) -> Result<Slot, Rejection> {
        let past = id > WorkOrderId(0) && id.0 <= self.sequence().0;
        let missing = if past { Rejection::WorkOrderNotOpen } else { Rejection::UnknownWorkOrder };
        self.production.work_orders.by_id.get(&id).copied().ok_or(missing)
    }

    /// Refuses work on an order that is held, or in none of these states.
    pub(super) fn workable(&self, slot: Slot, states: &[WorkOrderState]) -> Result<WorkOrder, Rejection> {
        let order = self.production.work_orders.entries[slot].order;
        if order.held {
            return Err(Rejection::WorkOrderOnHold);
        }
        if states.contains(&order.state) { Ok(order) } else { Err(Rejection::WorkOrderInOtherState) }
    }
}

/// Whether an order, a planned purchase or a line of demand can be for so much.
pub fn can_be_ordered(quantity: Quantity) -> bool {
    quantity > Quantity(0) && quantity <= CreateWorkOrder::QUANTITY_MAX
}

/// The states in which work is done on an order.
pub const AT_WORK: [WorkOrderState; 2] = [WorkOrderState::Released, WorkOrderState::InProgress];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::{Body, SetAccountState};
    use crate::fixture::ANN;
    use crate::shop::{CART, PLANT, SHELF, Shop, WHEEL, cart};
    use crate::types::{AccountState, BomVersion, Day};

    fn set(work_order: WorkOrderId, change: WorkOrderChange) -> Body {
        Body::SetWorkOrder(SetWorkOrder { work_order, change })
    }

    #[test]
    fn every_refusal_of_a_new_order_has_its_reason() {
        let mut shop = Shop::new();
        for (new, reason) in [
            (CreateWorkOrder { plant: PlantId(9), ..cart(1) }, Rejection::UnknownPlant),
            (CreateWorkOrder { location: ANN, ..cart(1) }, Rejection::NotALocation),
            (CreateWorkOrder { output: AccountId(99), ..cart(1) }, Rejection::UnknownAccount),
            (CreateWorkOrder { product: AssetId(99), ..cart(1) }, Rejection::UnknownItem),
            (CreateWorkOrder { product: WHEEL, ..cart(1) }, Rejection::UnknownBom),
            (CreateWorkOrder { version: Some(BomVersion(5)), ..cart(1) }, Rejection::UnknownBom),
            (CreateWorkOrder { start: Day(5), due: Day(4), ..cart(1) }, Rejection::DatesReversed),
            (cart(0), Rejection::Overflow),
            (cart(1 << 63), Rejection::Overflow),
            (cart(CreateWorkOrder::QUANTITY_MAX.0 + 1), Rejection::Overflow),
            // So many carts can be, but not their wheels.
            (cart(CreateWorkOrder::QUANTITY_MAX.0 / 4 + 1), Rejection::Overflow),
        ] {
            assert_eq!(shop.refuse(Body::CreateWorkOrder(new)), reason);
        }
        assert_eq!(shop.ledger.work_orders(PLANT).count(), 0);
        shop.accept(Body::CreateWorkOrder(cart(CreateWorkOrder::QUANTITY_MAX.0 / 4)));
    }

    #[test]
    fn an_order_that_is_cancelled_gives_back_exactly_what_it_holds() {
        let mut shop = Shop::stocked();
        let before = shop.content();
        let id = shop.release(cart(2));
        assert_eq!((shop.balance(SHELF, WHEEL).1, shop.ledger.holds(SHELF).count()), (8, 3));
        shop.accept(Body::SetAccountState(SetAccountState { account: SHELF, state: AccountState::Frozen }));
        shop.accept(set(id, WorkOrderChange::Hold));
        shop.accept(set(id, WorkOrderChange::Cancel));
        shop.accept(Body::SetAccountState(SetAccountState { account: SHELF, state: AccountState::Active }));
        assert_eq!(shop.content(), before);
        assert_eq!(shop.refuse(set(id, WorkOrderChange::Cancel)), Rejection::WorkOrderNotOpen);
        assert_eq!(shop.refuse(set(WorkOrderId(u64::MAX), WorkOrderChange::Cancel)), Rejection::UnknownWorkOrder);
    }

    #[test]
    fn an_order_goes_through_its_states_and_no_other_way() {
        let mut shop = Shop::stocked();
        let other = Rejection::WorkOrderInOtherState;
        let id = shop.create(cart(1));
        for change in [WorkOrderChange::Start, WorkOrderChange::Close, WorkOrderChange::Resume] {
            assert_eq!(shop.refuse(set(id, change)), other, "{change:?} of a planned one");
        }
        let id = shop.release(cart(1));
        shop.accept(set(id, WorkOrderChange::Hold));
        for change in [WorkOrderChange::Start, WorkOrderChange::Hold] {
            assert_eq!(shop.refuse(set(id, change)), Rejection::WorkOrderOnHold);
        }
        shop.accept(set(id, WorkOrderChange::Resume));
        shop.accept(set(id, WorkOrderChange::Start));
        assert_eq!(shop.refuse(set(id, WorkOrderChange::Start)), other);
        assert_eq!(shop.ledger.work_order(id).map(|view| view.order.state), Some(WorkOrderState::InProgress));
        shop.accept(set(id, WorkOrderChange::Close));
        assert_eq!(shop.balance(SHELF, WHEEL).1, 0);
        assert_eq!(shop.ledger.work_orders(PLANT).map(|view| view.order.product).collect::<Vec<_>>(), [CART]);
    }
}
