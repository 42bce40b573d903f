//! Production plans and planned purchases.

use std::ops::Bound;

use super::known_plant;
use crate::core::Ledger;
use crate::core::production::records::{ProductionPlan, Purchase};
use crate::core::types::{AssetId, PlanId, PurchaseId};
use crate::proto::v1 as pb;
use crate::server::convert::{planning, request};
use crate::server::errors::Refusal;
use crate::server::query::Queries;
use crate::server::query::paging::PageQuery;

impl Queries {
    pub(in crate::server::query) async fn get_plan(
        &self,
        asked: pb::GetPlanRequest,
    ) -> Result<pb::GetPlanResponse, Refusal> {
        let consistency = request::consistency(asked.consistency.as_ref())?;
        let id = planning::plan(asked.plan_id)?;
        let find = move |ledger: &Ledger| -> Result<_, Refusal> {
            let plan = known_plan(ledger, id)?;
            Ok((planning::production_plan(plan), ledger.plan_lines(id).map(planning::line).collect()))
        };
        let seen = self.reads.look(consistency, find).await?;
        let (plan, lines) = seen.value?;
        Ok(pb::GetPlanResponse { plan: Some(plan), lines, position: Some(seen.position) })
    }

    pub(in crate::server::query) async fn list_plans(
        &self,
        asked: pb::ListPlansRequest,
    ) -> Result<pb::ListPlansResponse, Refusal> {
        let consistency = request::consistency(asked.consistency.as_ref())?;
        let plant = if asked.plant_id == 0 { None } else { Some(request::plant_id(asked.plant_id)?) };
        let page = PageQuery::of(asked.page.as_ref(), "plans", &[u64::from(asked.plant_id)])?;
        let list = move |ledger: &Ledger| -> Result<_, Refusal> {
            plant.map_or(Ok(()), |plant| known_plant(ledger, plant).map(drop))?;
            let from = |after: Bound<u64>| -> Box<dyn Iterator<Item = &ProductionPlan>> {
                let after = after.map(PlanId);
                if page.descending {
                    Box::new(ledger.plans_in((Bound::Unbounded, after)).rev())
                } else {
                    Box::new(ledger.plans_in((after, Bound::Unbounded)))
                }
            };
            let shows = |plan: &&ProductionPlan| plant.is_none_or(|plant| plant == plan.plant);
            let (plans, token) = page.look_through(ledger.sequence(), from, |plan| plan.id.0, shows)?;
            Ok((plans.into_iter().map(planning::production_plan).collect(), token))
        };
        let seen = self.reads.look(consistency, list).await?;
        let (plans, next_page_token) = seen.value?;
        Ok(pb::ListPlansResponse { plans, next_page_token, position: Some(seen.position) })
    }

    pub(in crate::server::query) async fn get_purchase(
        &self,
        asked: pb::GetPurchaseRequest,
    ) -> Result<pb::GetPurchaseResponse, Refusal> {
        let consistency = request::consistency(asked.consistency.as_ref())?;
        let id = planning::purchase(asked.purchase_id)?;
        let find = move |ledger: &Ledger| ledger.purchase(id).map(planning::planned_purchase);
        let seen = self.reads.look(consistency, find).await?;
        let missing = || Refusal::NotFound { what: "purchase", key: id.to_string() };
        let purchase = Some(seen.value.ok_or_else(missing)?);
        Ok(pb::GetPurchaseResponse { purchase, position: Some(seen.position) })
    }

    pub(in crate::server::query) async fn list_purchases(
        &self,
        asked: pb::ListPurchasesRequest,
    ) -> Result<pb::ListPurchasesResponse, Refusal> {
        let consistency = request::consistency(asked.consistency.as_ref())?;
        let plant = request::plant_id(asked.plant_id)?;
        let (plan, item) = (PlanId(asked.plan_id), AssetId(asked.item_id));
        let filters = [u64::from(asked.plant_id), asked.plan_id, u64::from(asked.item_id)];
        let page = PageQuery::of(asked.page.as_ref(), "purchases", &filters)?;
        let shows = move |purchase: &&Purchase| {
            purchase.plant == plant
                && (plan == PlanId(0) || purchase.plan == plan)
                && (item == AssetId(0) || purchase.item == item)
        };
        let list = move |ledger: &Ledger| -> Result<_, Refusal> {
            known_plant(ledger, plant)?;
            let from = |after: Bound<u64>| -> Box<dyn Iterator<Item = &Purchase>> {
                let after = after.map(PurchaseId);
                if page.descending {
                    Box::new(ledger.purchases_in((Bound::Unbounded, after)).rev())
                } else {
                    Box::new(ledger.purchases_in((after, Bound::Unbounded)))
                }
            };
            let (purchases, token) = page.look_through(ledger.sequence(), from, |purchase| purchase.id.0, shows)?;
            Ok((purchases.into_iter().map(planning::planned_purchase).collect(), token))
        };
        let seen = self.reads.look(consistency, list).await?;
        let (purchases, next_page_token) = seen.value?;
        Ok(pb::ListPurchasesResponse { purchases, next_page_token, position: Some(seen.position) })
    }
}

/// The plan, or the refusal for one that there is not.
pub(super) fn known_plan(ledger: &Ledger, id: PlanId) -> Result<&ProductionPlan, Refusal> {
    ledger.plan(id).ok_or_else(|| Refusal::NotFound { what: "plan", key: id.to_string() })
}
