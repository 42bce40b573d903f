//! Work orders: open ones from the state, ended ones rebuilt from their events.

use std::ops::Bound;

use super::known_plant;
use crate::core::Ledger;
use crate::core::event::{EventBody, MaterialMoved};
use crate::core::production::WorkOrderView;
use crate::core::production::records::{OperationProgress, OrderYield, Requirement, WorkOrder};
use crate::core::reply::work_order_of;
use crate::core::types::{AssetId, PlantId, Quantity, Sequence, WorkOrderId, WorkOrderState};
use crate::proto::v1 as pb;
use crate::server::convert::{production_event, production_state, request};
use crate::server::errors::Refusal;
use crate::server::history::{EventReader, ReadFault, Reading};
use crate::server::limits::LIST_EVENTS_MAX;
use crate::server::query::Queries;
use crate::server::query::paging::{Cursor, PageQuery};
use crate::server::query::trades::Walk;
use crate::store::index::{Direction, HistoryKey};

/// Events of one work order read in one step.
const EVENTS_STEP: usize = 1_000;

impl Queries {
    pub(in crate::server::query) async fn get_work_order(
        &self,
        asked: pb::GetWorkOrderRequest,
    ) -> Result<pb::GetWorkOrderResponse, Refusal> {
        let consistency = request::consistency(asked.consistency.as_ref())?;
        let id = request::work_order_id(asked.work_order_id)?;
        let find = move |ledger: &Ledger| ledger.work_order(id).map(|view| detail(ledger, &view));
        let seen = self.reads.look(consistency, find).await?;
        let (last, position) = (seen.sequence, seen.position);
        if let Some(open) = seen.value {
            return Ok(pb::GetWorkOrderResponse { work_order: Some(open), position: Some(position) });
        }
        let missing = || Refusal::NotFound { what: "work order", key: id.to_string() };
        let past = self.history.read(move |reading| rebuild(reading, id, last)).await?.ok_or_else(missing)?;
        // A version of a bill of materials never changes, so that any state since knows it.
        let show = move |ledger: &Ledger| {
            let centres = work_centres(ledger, &past.order);
            production_state::work_order_detail(&past.order, &past.lines, &past.yields, &past.operations, &centres)
        };
        let shown = self.reads.look(request::Consistency::AtLeast(last), show).await?;
        Ok(pb::GetWorkOrderResponse { work_order: Some(shown.value), position: Some(position) })
    }

    pub(in crate::server::query) async fn list_work_orders(
        &self,
        asked: pb::ListWorkOrdersRequest,
    ) -> Result<pb::ListWorkOrdersResponse, Refusal> {
        let consistency = request::consistency(asked.consistency.as_ref())?;
        let plant = request::plant_id(asked.plant_id)?;
        let state = request::work_order_state_or_all(asked.state, "state")?;
        let product = request::asset_id_or_all(asked.product_id);
        let ended = asked.include_ended || state.is_some_and(is_end);
        let filters = [u64::from(asked.plant_id), asked.state as u64, u64::from(asked.product_id), u64::from(ended)];
        let page = PageQuery::of(asked.page.as_ref(), "work orders", &filters)?;
        let shows = move |order: &WorkOrder| {
            order.plant == plant
                && state.is_none_or(|state| state == order.state)
                && product.is_none_or(|product| product == order.product)
        };
        let list = move |ledger: &Ledger| -> Result<_, Refusal> {
            known_plant(ledger, plant)?;
            if ended { Ok(None) } else { page_of(ledger, &page, shows).map(Some) }
        };
        let seen = self.reads.look(consistency, list).await?;
        let last = seen.sequence;
        let (work_orders, next_page_token) = match seen.value? {
            Some(open) => open,
            None => self.history.read(move |reading| past_page(reading, plant, shows, &page, last)).await?,
        };
        Ok(pb::ListWorkOrdersResponse { work_orders, next_page_token, position: Some(seen.position) })
    }
}

/// Whether a work order in this state is in the index alone.
const fn is_end(state: WorkOrderState) -> bool {
    matches!(state, WorkOrderState::Closed | WorkOrderState::Cancelled)
}

/// A page of all work orders that a plant ever had, as they were at the event `last`. What an order is, its
/// last event says, be it open or ended. The page can be short, and still have a next one.
fn past_page(
    reading: &Reading,
    plant: PlantId,
    shows: impl Fn(&WorkOrder) -> bool,
    page: &PageQuery,
    last: Sequence,
) -> Result<(Vec<pb::WorkOrder>, String), ReadFault> {
    let mut events = EventReader::new(reading);
    let mut found = Vec::new();
    let mut walk = Walk::new(page, last)?;
    while let Some(ids) = walk.next(reading, HistoryKey::WorkOrdersOf(plant), page.size + 1)? {
        for id in ids {
            let key = HistoryKey::WorkOrder(WorkOrderId(id.0));
            let newest = reading.index().scan(key, last, Direction::Backward, 1)?;
            let (_, body, _) = events.event(newest.first().copied().unwrap_or(id))?;
            let order = work_order_of(body).filter(|order| shows(order));
            found.extend(order.map(production_event::work_order));
            if found.len() > page.size {
                let token = page.cut(&mut found, |order: &pb::WorkOrder| Cursor::at(order.work_order_id));
                return Ok((found, token));
            }
            if events.events_read() >= LIST_EVENTS_MAX {
                return Ok((found, page.token(Cursor::at(id.0))));
            }
        }
    }
    Ok((found, String::new()))
}

/// A page of open work orders.
fn page_of(
    ledger: &Ledger,
    page: &PageQuery,
    shows: impl Fn(&WorkOrder) -> bool,
) -> Result<(Vec<pb::WorkOrder>, String), Refusal> {
    let from = |after: Bound<u64>| -> Box<dyn Iterator<Item = WorkOrder>> {
        let after = after.map(WorkOrderId);
        if page.descending {
            Box::new(ledger.work_orders_in((Bound::Unbounded, after)).rev().map(|view| *view.order))
        } else {
            Box::new(ledger.work_orders_in((after, Bound::Unbounded)).map(|view| *view.order))
        }
    };
    let (orders, token) = page.look_through(ledger.sequence(), from, |order| order.id.0, shows)?;
    Ok((orders.iter().map(production_event::work_order).collect(), token))
}

/// A work order with its parts for the answer.
pub(super) fn detail(ledger: &Ledger, view: &WorkOrderView<'_>) -> pb::WorkOrderDetail {
    let (lines, yields) = (view.lines.iter().copied(), view.yields.iter().copied());
    let (operations, centres) = (view.operations.iter().copied(), work_centres(ledger, view.order));
    production_state::work_order_detail(view.order, lines, yields, operations, &centres)
}

fn work_centres(ledger: &Ledger, order: &WorkOrder) -> Vec<String> {
    let bom = ledger.bom(order.product, order.version);
    let operations = bom.map_or(&[][..], |bom| bom.operations);
    operations.iter().map(|operation| operation.work_centre.to_string()).collect()
}

/// A work order as its events tell it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct PastWorkOrder {
    order: WorkOrder,
    lines: Vec<Requirement>,
    yields: Vec<OrderYield>,
    operations: Vec<OperationProgress>,
}

impl PastWorkOrder {
    /// As it is created.
    const fn new(order: WorkOrder) -> Self {
        Self { order, lines: Vec::new(), yields: Vec::new(), operations: Vec::new() }
    }

    /// Takes in one event of the order.
    fn take(&mut self, body: &EventBody) {
        match body {
            EventBody::WorkOrderReleased(released) => {
                self.lines.clone_from(&released.lines);
                self.yields.clone_from(&released.yields);
            }
            EventBody::MaterialsIssued(issued) => self.issue(&issued.materials),
            EventBody::MaterialsReturned(returned) => {
                let material = returned.material;
                if let Some(line) = self.line(material.component) {
                    line.issued.0 -= material.quantity.0;
                    line.cost -= material.cost;
                }
            }
            EventBody::OperationReported(reported) => {
                self.issue(&reported.materials);
                let fresh = OperationProgress { good: Quantity(0), scrap: Quantity(0) };
                let place = reported.operation as usize;
                if self.operations.len() <= place {
                    self.operations.resize(place + 1, fresh);
                }
                if let Some(operation) = self.operations.get_mut(place) {
                    operation.good.0 += reported.good.0;
                    operation.scrap.0 += reported.scrap.0;
                }
            }
            EventBody::WorkOrderCompleted(completed) => self.issue(&completed.materials),
            _ => {}
        }
        if let Some(order) = work_order_of(body) {
            self.order = *order;
        }
    }

    fn line(&mut self, component: AssetId) -> Option<&mut Requirement> {
        self.lines.iter_mut().find(|line| line.component == component)
    }

    fn issue(&mut self, materials: &[MaterialMoved]) {
        for material in materials {
            if let Some(line) = self.line(material.component) {
                line.issued.0 += material.quantity.0;
                line.cost += material.cost;
            }
        }
    }
}

/// The order as its events up to `last` tell it; `None` when there was no such order. It has ended: it
/// holds nothing any more.
fn rebuild(reading: &Reading, id: WorkOrderId, last: Sequence) -> Result<Option<PastWorkOrder>, ReadFault> {
    let mut events = EventReader::new(reading);
    let mut past: Option<PastWorkOrder> = None;
    let mut from = Sequence(0);
    loop {
        let step = reading.index().scan(HistoryKey::WorkOrder(id), from, Direction::Forward, EVENTS_STEP)?;
        for sequence in step.iter().copied().take_while(|sequence| *sequence <= last) {
            let (_, body, _) = events.event(sequence)?;
            match (body, &mut past) {
                (EventBody::WorkOrderCreated(created), _) => {
                    past = Some(PastWorkOrder::new(created.order));
                }
                (body, Some(order)) => order.take(body),
                (_, None) => {}
            }
        }
        match step.last() {
            Some(end) if step.len() == EVENTS_STEP && *end < last => from = end.plus(1),
            _ => break,
        }
    }
    if let Some(past) = &mut past {
        past.lines.iter_mut().for_each(|line| line.reserved = Quantity(0));
    }
    Ok(past)
}
