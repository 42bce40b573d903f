//! Traces of lots: from a lot to what it went into, or to what it was made of.
//!
//! The journal tells where units of a lot went, and the event before each such move tells why. A work
//! order is where one lot ends and another begins: what it consumed goes to its plant's production
//! account, and what it yielded comes from there.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::known_item;
use crate::core::Ledger;
use crate::core::event::{EventBody, LotMove};
use crate::core::reply::work_order_of;
use crate::core::types::{AccountId, AssetId, Code, PlantId, Sequence, WorkOrderId};
use crate::proto::v1 as pb;
use crate::server::convert::{Invalid, production_event, request};
use crate::server::errors::Refusal;
use crate::server::history::{EventReader, ReadFault, Reading};
use crate::server::limits::{LIST_EVENTS_MAX, TRACE_LOTS_MAX, TRACE_MOVES_MAX};
use crate::server::query::Queries;
use crate::store::index::{Direction, HistoryKey};

/// Events of one lot or work order read in one step.
const EVENTS_STEP: usize = 1_000;

impl Queries {
    pub(in crate::server::query) async fn trace_lot(
        &self,
        asked: pb::TraceLotRequest,
    ) -> Result<pb::TraceLotResponse, Refusal> {
        let consistency = request::consistency(asked.consistency.as_ref())?;
        let asset = request::asset_id(asked.asset_id, "asset_id")?;
        let number = request::lot_number(&asked.lot, "lot")?;
        let direction = match asked.direction() {
            pb::TraceDirection::Unspecified => return Err(Invalid::missing("direction").into()),
            direction => direction,
        };
        let find = move |ledger: &Ledger| -> Result<_, Refusal> {
            known_item(ledger, asset)?;
            Ok(ledger.plants().map(|plant| (plant.id, plant.production)).collect::<BTreeMap<_, _>>())
        };
        let seen = self.reads.look(consistency, find).await?;
        let (plants, last) = (seen.value?, seen.sequence);
        let read = move |reading: &Reading| {
            let mut trace = Trace::new(reading, plants, last, direction);
            trace.follow(asset, number)?;
            Ok((trace.lots, trace.truncated))
        };
        let (lots, truncated) = self.history.read(read).await?;
        if lots.first().is_none_or(|lot| lot.moves.is_empty()) {
            return Err(Refusal::NotFound { what: "lot", key: format!("{number} of asset {asset}") });
        }
        Ok(pb::TraceLotResponse { lots, truncated, position: Some(seen.position) })
    }
}

/// A trace under way.
struct Trace<'a> {
    reading: &'a Reading,
    events: EventReader<'a>,
    /// The production account of each plant.
    plants: BTreeMap<PlantId, AccountId>,
    last: Sequence,
    direction: pb::TraceDirection,
    lots: Vec<pb::TracedLot>,
    moves: usize,
    truncated: bool,
}

/// A lot that is to be followed.
#[derive(Debug, Clone, Copy)]
struct Found {
    asset: AssetId,
    number: Code,
    depth: u32,
    by: Option<WorkOrderId>,
}

/// Where the trace of a lot goes on.
#[derive(Debug, Default)]
struct Onward {
    /// The work orders that consumed it, or yielded it.
    orders: BTreeSet<(WorkOrderId, PlantId)>,
    /// The lots that receivers counted it to.
    counted_to: BTreeSet<Code>,
}

/// What a move of a lot was for a work order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Passage {
    /// The order took it.
    Consumed(WorkOrderId, PlantId),
    /// The order made it.
    Yielded(WorkOrderId, PlantId),
    /// It is the same lot still, elsewhere.
    Moved,
}

impl<'a> Trace<'a> {
    fn new(
        reading: &'a Reading,
        plants: BTreeMap<PlantId, AccountId>,
        last: Sequence,
        direction: pb::TraceDirection,
    ) -> Self {
        let events = EventReader::new(reading);
        Self { reading, events, plants, last, direction, lots: Vec::new(), moves: 0, truncated: false }
    }

    /// Follows a lot and all that are found from it, the nearest first.
    fn follow(&mut self, asset: AssetId, number: Code) -> Result<(), ReadFault> {
        let mut known = BTreeSet::from([(asset, number)]);
        let mut waiting = VecDeque::from([Found { asset, number, depth: 0, by: None }]);
        let mut orders = BTreeSet::new();
        while let Some(found) = waiting.pop_front() {
            if self.lots.len() >= TRACE_LOTS_MAX || self.is_long() {
                self.truncated = true;
                return Ok(());
            }
            let onward = self.lot(&found)?;
            for number in onward.counted_to.into_iter().filter(|_| self.direction == pb::TraceDirection::Forward) {
                if known.insert((found.asset, number)) {
                    waiting.push_back(Found { number, ..found });
                }
            }
            for (order, plant) in onward.orders.into_iter().filter(|(order, _)| orders.insert(*order)) {
                for (asset, number) in self.other_side(order, plant)? {
                    if known.insert((asset, number)) {
                        waiting.push_back(Found { asset, number, depth: found.depth + 1, by: Some(order) });
                    }
                }
            }
        }
        Ok(())
    }

    fn is_long(&self) -> bool {
        self.moves >= TRACE_MOVES_MAX || self.events.events_read() >= LIST_EVENTS_MAX
    }

    /// Notes the movements of a lot; answers where to go on.
    fn lot(&mut self, found: &Found) -> Result<Onward, ReadFault> {
        let mut traced = pb::TracedLot {
            asset_id: found.asset.0,
            lot: found.number.to_string(),
            depth: found.depth,
            by_work_order_id: found.by.map_or(0, |order| order.0),
            moves: Vec::new(),
        };
        let mut onward = Onward::default();
        let key = HistoryKey::Lot(found.asset, found.number.into());
        for sequence in self.sequences(key)? {
            if self.is_long() {
                self.truncated = true;
                break;
            }
            let (record, body, _) = self.events.event(sequence)?;
            let time = record.stamp.time.0;
            let EventBody::LotsMoved(lots) = body else { continue };
            let mine = |moved: &&LotMove| (moved.asset, moved.lot) == (found.asset, found.number);
            let mine: Vec<LotMove> = lots.moves.iter().filter(mine).copied().collect();
            // The event before is what moved them.
            let before = Sequence(sequence.0 - 1);
            let (_, cause, _) = self.events.event(before)?;
            for moved in mine {
                let passage = passage(&self.plants, cause, &moved);
                match (passage, self.direction) {
                    (Passage::Consumed(order, plant), pb::TraceDirection::Forward)
                    | (Passage::Yielded(order, plant), pb::TraceDirection::Backward) => {
                        onward.orders.insert((order, plant));
                    }
                    _ => {}
                }
                onward.counted_to.extend(moved.counted_to);
                traced.moves.push(production_event::traced_move(sequence, time, &moved, before, cause));
                self.moves += 1;
            }
        }
        self.lots.push(traced);
        Ok(onward)
    }

    /// The lots on the other side of a work order: what it yielded, of a trace forward, what it consumed
    /// of one backward.
    fn other_side(&mut self, order: WorkOrderId, plant: PlantId) -> Result<Vec<(AssetId, Code)>, ReadFault> {
        let forward = self.direction == pb::TraceDirection::Forward;
        let mut found = Vec::new();
        for sequence in self.sequences(HistoryKey::WorkOrder(order))? {
            let (record, cause, _) = self.events.event(sequence)?;
            let Some((EventBody::LotsMoved(lots), _)) = record.view().event(sequence.plus(1)) else { continue };
            for moved in &lots.moves {
                let wanted = match passage(&self.plants, cause, moved) {
                    Passage::Consumed(by, at) => !forward && (by, at) == (order, plant),
                    Passage::Yielded(by, at) => forward && (by, at) == (order, plant),
                    Passage::Moved => false,
                };
                if wanted && !found.contains(&(moved.asset, moved.lot)) {
                    found.push((moved.asset, moved.lot));
                }
            }
        }
        Ok(found)
    }

    /// The events of a history up to the last that the answer sees.
    fn sequences(&self, key: HistoryKey) -> Result<Vec<Sequence>, ReadFault> {
        let mut all = Vec::new();
        let mut from = Sequence(0);
        loop {
            self.reading.check()?;
            let step = self.reading.index().scan(key, from, Direction::Forward, EVENTS_STEP)?;
            all.extend(step.iter().copied().filter(|sequence| *sequence <= self.last));
            match step.last() {
                Some(end) if step.len() == EVENTS_STEP && *end < self.last && all.len() < TRACE_MOVES_MAX => {
                    from = end.plus(1);
                }
                _ => return Ok(all),
            }
        }
    }
}

/// What a move was for the work order that caused it, if one did.
fn passage(plants: &BTreeMap<PlantId, AccountId>, cause: &EventBody, moved: &LotMove) -> Passage {
    let Some(order) = work_order_of(cause) else { return Passage::Moved };
    let production = plants.get(&order.plant).copied();
    let returned = matches!(cause, EventBody::MaterialsReturned(_));
    if Some(moved.to) == production {
        Passage::Consumed(order.id, order.plant)
    } else if Some(moved.from) == production && !returned {
        Passage::Yielded(order.id, order.plant)
    } else {
        Passage::Moved
    }
}
