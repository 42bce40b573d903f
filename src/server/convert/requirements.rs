//! Questions about requirements from the wire, and what was calculated to it, within the bounds of an answer.

use std::cell::OnceCell;
use std::collections::BTreeMap;

use super::planning::{demand_line, plan};
use super::production::{list, plant};
use super::shape::asset;
use super::{Invalid, request};
use crate::core::production::mrp::{
    Bucket, Buckets, Cause, Downward, Need, OrderIndex, Origin, Pegging, Share, SupplyIndex,
};
use crate::core::production::{Asker, Question, Requirements};
use crate::core::types::{AssetId, BomVersion, Day, PlanId, PlantId};
use crate::proto::v1 as pb;
use crate::server::limits::{
    BUCKET_DAYS_DEFAULT, BUCKET_DAYS_MAX, BUCKETS_DEFAULT, BUCKETS_MAX, FILTER_IDS_MAX, PEGS_DEFAULT, PEGS_MAX,
    REQUIREMENT_ORDERS_MAX, REQUIREMENT_PEGS_MAX, REQUIREMENT_ROWS_MAX, REQUIREMENT_SHORTAGES_MAX, WHAT_IF_MAX,
};

type Checked<T> = Result<T, Invalid>;

/// What is asked about requirements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The plant; that of the draft when there is none.
    pub plant: Option<PlantId>,
    /// What is to be calculated, for whatever plant.
    question: Question,
    /// What the answer is to show.
    pub view: View,
}

/// What an answer about requirements shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    buckets: Buckets,
    /// These items alone, in order; all, when there are none.
    items: Vec<AssetId>,
    pegs_max: usize,
    parts: Vec<pb::RequirementsPart>,
}

impl Asked {
    /// The draft whose demand is to be met too.
    #[must_use]
    pub const fn draft(&self) -> Option<PlanId> {
        self.question.draft
    }

    /// What is to be calculated for a plant.
    #[must_use]
    pub fn question(&self, plant: PlantId) -> Question {
        Question { plant, ..self.question.clone() }
    }
}

/// A question about requirements.
///
/// # Errors
/// The first field that has no meaning.
pub fn asked(wire: &pb::GetRequirementsRequest) -> Checked<Asked> {
    let draft = if wire.plan_id == 0 { None } else { Some(plan(wire.plan_id)?) };
    let of_plant = if wire.plant_id == 0 && draft.is_some() { None } else { Some(plant(wire.plant_id)?) };
    let days = request::size(wire.bucket_days, "bucket_days", BUCKET_DAYS_DEFAULT, BUCKET_DAYS_MAX)?;
    let count = request::size(wire.bucket_count, "bucket_count", BUCKETS_DEFAULT, BUCKETS_MAX)?;
    let planning_date = Day(wire.planning_day);
    let no_days = || Invalid::new("planning_day", super::Reason::OutOfRange, "leaves no days for the horizon");
    let mut items = list(&wire.item_ids, FILTER_IDS_MAX, "item_ids", |item| asset(*item, "item_ids"))?;
    items.sort_unstable();
    let part = |part: &i32| {
        let known = pb::RequirementsPart::try_from(*part).ok();
        let unknown = || Invalid::new("parts", super::Reason::UnknownValue, format!("has no value {part}"));
        known.filter(|part| *part != pb::RequirementsPart::Unspecified).ok_or_else(unknown)
    };
    let version = |wire: &pb::ChosenVersion| Ok((asset(wire.product_id, "product_id")?, BomVersion(wire.version)));
    let question = Question {
        draft,
        what_if: list(&wire.what_if, WHAT_IF_MAX, "what_if", demand_line)?,
        versions: list(&wire.versions, WHAT_IF_MAX, "versions", version)?,
        ..Question::new(of_plant.unwrap_or(PlantId(0)), planning_date)
    };
    let view = View {
        buckets: Buckets::regular(planning_date, days as u32, count as u32).ok_or_else(no_days)?,
        items,
        pegs_max: request::size(wire.pegs_max, "pegs_max", PEGS_DEFAULT, PEGS_MAX)?,
        parts: wire.parts.iter().map(part).collect::<Checked<_>>()?,
    };
    Ok(Asked { plant: of_plant, question, view })
}

/// What was calculated, as it is to be shown. It can take long.
#[must_use]
pub fn answer(found: &Requirements, plant: PlantId, view: &View) -> pb::GetRequirementsResponse {
    let mut answer = pb::GetRequirementsResponse {
        plant_id: plant.0,
        planning_day: found.plan.planning_date().0,
        computed_at: found.computed_at.0,
        ..Default::default()
    };
    let mut shown = Shown { found, view, pegging: OnceCell::new(), pegs_left: REQUIREMENT_PEGS_MAX };
    if view.has(pb::RequirementsPart::Items) {
        shown.add_items(&mut answer);
    }
    if view.has(pb::RequirementsPart::Orders) {
        shown.add_orders(&mut answer);
    }
    if view.has(pb::RequirementsPart::Shortages) {
        shown.add_shortages(&mut answer);
    }
    answer
}

impl View {
    fn has(&self, part: pb::RequirementsPart) -> bool {
        self.parts.is_empty() || self.parts.contains(&part)
    }

    fn shows(&self, item: AssetId) -> bool {
        self.items.is_empty() || self.items.binary_search(&item).is_ok()
    }
}

/// What was found, on its way into an answer.
struct Shown<'a> {
    found: &'a Requirements,
    view: &'a View,
    /// Made when it is needed: it takes longer than the calculation.
    pegging: OnceCell<Pegging<'a>>,
    pegs_left: usize,
}

impl<'a> Shown<'a> {
    fn pegging(&self) -> &Pegging<'a> {
        self.pegging.get_or_init(|| self.found.plan.pegging(self.view.pegs_max))
    }

    fn add_items(&mut self, answer: &mut pb::GetRequirementsResponse) {
        let (found, view) = (self.found, self.view);
        let mut rows_left = REQUIREMENT_ROWS_MAX;
        for (id, level) in found.plan.items().filter(|(id, _)| view.shows(*id)) {
            let item = self.item(id, level);
            if item.buckets.is_empty() && item.available == 0 && view.items.is_empty() {
                continue;
            }
            if item.buckets.len() > rows_left {
                answer.items_truncated = true;
                return;
            }
            rows_left -= item.buckets.len();
            answer.items.push(item);
        }
    }

    fn item(&mut self, id: AssetId, level: u32) -> pb::ItemRequirements {
        let (plan, view) = (&self.found.plan, self.view);
        let starts = view.buckets.starts();
        let mut for_safety = vec![0; starts.len()];
        let mut causes: Vec<BTreeMap<Cause, u64>> = vec![BTreeMap::new(); starts.len()];
        for (index, requirement) in plan.requirements_of(id) {
            let bucket = starts.partition_point(|start| *start <= requirement.day).saturating_sub(1);
            if requirement.need == Need::SafetyStock {
                for_safety[bucket] += requirement.quantity.0;
                continue;
            }
            for Share { cause, quantity } in self.pegging().causes_of_requirement(index) {
                *causes[bucket].entry(cause).or_default() += quantity.0;
            }
        }
        let is_stock = |origin: Origin| origin == Origin::Stock;
        let stock = plan.supplies_of(id).filter(|(_, supply)| is_stock(supply.origin));
        let record = plan.record(id, &view.buckets).unwrap_or_default();
        let rows = record.into_iter().zip(for_safety.iter().zip(causes));
        let rows = rows.filter(|(bucket, (safety, _))| **safety > 0 || is_any(bucket));
        pb::ItemRequirements {
            item_id: id.0,
            level,
            available: stock.map(|(_, supply)| supply.quantity.0).sum(),
            safety_stock: for_safety.iter().sum(),
            buckets: rows.map(|(bucket, (safety, causes))| self.bucket(&bucket, *safety, causes)).collect(),
        }
    }

    fn bucket(&mut self, bucket: &Bucket, safety_stock: u64, causes: BTreeMap<Cause, u64>) -> pb::RequirementBucket {
        let (pegs, unpegged) = self.pegs(causes);
        pb::RequirementBucket {
            start_day: bucket.start.0,
            gross: bucket.gross.0,
            scheduled: bucket.scheduled.0,
            safety_stock,
            net: bucket.net.0,
            planned_receipts: bucket.planned_receipts.0,
            planned_releases: bucket.planned_releases.0,
            projected: bucket.projected.0,
            pegs,
            unpegged,
        }
    }

    fn add_orders(&mut self, answer: &mut pb::GetRequirementsResponse) {
        let (found, view) = (self.found, self.view);
        for (index, order) in found.plan.orders().filter(|(_, order)| view.shows(order.item)) {
            if answer.orders.len() == REQUIREMENT_ORDERS_MAX {
                answer.orders_truncated = true;
                return;
            }
            let (pegs, unpegged) = self.pegs_of_order(index);
            answer.orders.push(pb::PlannedOrder {
                item_id: order.item.0,
                version: order.version,
                quantity: order.quantity.0,
                net: order.net.0,
                release_day: order.release.0,
                due_day: order.due.0,
                ready_day: order.ready.0,
                lead_days: order.lead_days,
                pegs,
                unpegged,
            });
        }
    }

    fn pegs_of_order(&mut self, order: OrderIndex) -> (Vec<pb::RequirementPeg>, u64) {
        let shares = self.pegging().causes_of_order(order);
        self.pegs(shares.into_iter().map(|share| (share.cause, share.quantity.0)).collect())
    }

    /// The largest causes, and what is left of the others.
    fn pegs(&mut self, causes: BTreeMap<Cause, u64>) -> (Vec<pb::RequirementPeg>, u64) {
        let mut told: Vec<(Cause, u64)> = causes.iter().map(|(cause, quantity)| (*cause, *quantity)).collect();
        told.retain(|(cause, _)| *cause != Cause::Others);
        told.sort_by_key(|(_, quantity)| std::cmp::Reverse(*quantity));
        told.truncate(self.view.pegs_max.min(self.pegs_left));
        self.pegs_left -= told.len();
        let pegged: u64 = told.iter().map(|(_, quantity)| quantity).sum();
        let all: u64 = causes.values().sum();
        (told.into_iter().map(|(cause, quantity)| self.peg(cause, quantity)).collect(), all - pegged)
    }

    fn peg(&self, cause: Cause, quantity: u64) -> pb::RequirementPeg {
        use pb::requirement_peg::Cause as Wire;
        let cause = match cause {
            Cause::Demand(demand) => self.found.askers.get(demand as usize).map(|asker| match *asker {
                Asker::WorkOrder(order) => Wire::WorkOrderId(order.0),
                Asker::Line(plan, line) => Wire::PlanLine(pb::PlanLine { plan_id: plan.0, line_id: line.0 }),
                Asker::WhatIf(line) => Wire::WhatIfLineId(line.0),
            }),
            Cause::SafetyStock(item) => Some(Wire::SafetyStockItemId(item.0)),
            Cause::LotRule(item) => Some(Wire::LotRuleItemId(item.0)),
            Cause::Others => None,
        };
        pb::RequirementPeg { cause, quantity }
    }

    fn add_shortages(&mut self, answer: &mut pb::GetRequirementsResponse) {
        let plan = &self.found.plan;
        let downward = plan.downward();
        for (demand, promise) in plan.promises().enumerate().filter(|(_, promise)| promise.short().0 > 0) {
            if answer.shortages.len() == REQUIREMENT_SHORTAGES_MAX {
                answer.shortages_truncated = true;
                return;
            }
            let asked = promise.demand;
            answer.shortages.push(pb::DemandShortage {
                demand: Some(self.peg(Cause::Demand(demand as u32), asked.quantity.0)),
                item_id: asked.item.0,
                due_day: asked.due.0,
                short: promise.short().0,
                feasible_day: promise.feasible.0,
                waits_for_item_ids: self.waits_for(&downward, demand),
            });
        }
    }

    fn waits_for(&self, downward: &Downward<'_>, demand: usize) -> Vec<u32> {
        let item = |supply: SupplyIndex| self.found.plan.supply(supply).map(|supply| supply.item.0);
        downward.critical_path(demand).into_iter().filter_map(item).collect()
    }
}

fn is_any(bucket: &Bucket) -> bool {
    let Bucket { gross, scheduled, net, planned_receipts, planned_releases, .. } = bucket;
    [gross, scheduled, net, planned_receipts, planned_releases].iter().any(|quantity| quantity.0 > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::convert::Reason;

    #[test]
    fn a_question_names_the_field_that_is_wrong() {
        let good = pb::GetRequirementsRequest { plant_id: 1, ..Default::default() };
        let line = |quantity| pb::DemandLine { line_id: 1, product_id: 2, quantity, due_day: 3 };
        let cases = [
            (pb::GetRequirementsRequest { plant_id: 0, ..good.clone() }, "plant_id", Reason::Missing),
            (
                pb::GetRequirementsRequest { what_if: vec![line(1), line(0)], ..good.clone() },
                "what_if[1].quantity",
                Reason::OutOfRange,
            ),
            (pb::GetRequirementsRequest { what_if: vec![line(1); 1_001], ..good.clone() }, "what_if", Reason::TooMany),
            (pb::GetRequirementsRequest { bucket_days: 367, ..good.clone() }, "bucket_days", Reason::OutOfRange),
            (pb::GetRequirementsRequest { bucket_count: 367, ..good.clone() }, "bucket_count", Reason::OutOfRange),
            (pb::GetRequirementsRequest { planning_day: i32::MAX, ..good.clone() }, "planning_day", Reason::OutOfRange),
            (pb::GetRequirementsRequest { pegs_max: 1_001, ..good.clone() }, "pegs_max", Reason::OutOfRange),
            (pb::GetRequirementsRequest { parts: vec![9], ..good.clone() }, "parts", Reason::UnknownValue),
            (pb::GetRequirementsRequest { parts: vec![0], ..good.clone() }, "parts", Reason::UnknownValue),
        ];
        for (wire, field, reason) in cases {
            let invalid = asked(&wire).expect_err(field);
            assert_eq!((invalid.field.as_str(), invalid.reason), (field, reason), "{invalid}");
        }
    }

    #[test]
    fn a_plan_knows_its_plant() {
        let wire = pb::GetRequirementsRequest { plan_id: 7, planning_day: 3, ..Default::default() };
        let found = asked(&wire).expect("a good question");
        assert_eq!((found.plant, found.draft()), (None, Some(PlanId(7))));
        let question = found.question(PlantId(4));
        assert_eq!(question, Question { draft: Some(PlanId(7)), ..Question::new(PlantId(4), Day(3)) });
    }
}
