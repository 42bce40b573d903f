//! What has to be made and bought: the state is copied in one look, and calculated with outside of it, so
//! that nobody who trades waits for a plan.

use super::plans::known_plan;
use super::{known_plant, name_of};
use crate::core::Ledger;
use crate::core::production::mrp::PlanError;
use crate::core::production::{Inquiry, RequirementsError};
use crate::core::types::PlantId;
use crate::machine;
use crate::proto::v1 as pb;
use crate::server::convert::request::{self, Consistency};
use crate::server::convert::requirements::{Asked, answer, asked};
use crate::server::errors::Refusal;
use crate::server::query::Queries;

impl Queries {
    pub(in crate::server::query) async fn get_requirements(
        &self,
        wire: pb::GetRequirementsRequest,
    ) -> Result<pb::GetRequirementsResponse, Refusal> {
        let consistency = request::consistency(wire.consistency.as_ref())?;
        let asked = asked(&wire)?;
        // A place first: a copy of the state that waits for one takes room.
        let place = self.calculations.clone().acquire_owned().await.map_err(|_| Refusal::ShuttingDown)?;
        let view = asked.view.clone();
        let seen = self.reads.look(consistency, move |ledger| inquire(ledger, &asked)).await?;
        let (plant, inquiry) = seen.value?;
        let calculated = machine::blocking(move || {
            let _place = place;
            inquiry.calculate().map(|found| answer(&found, plant, &view))
        });
        match calculated.await.map_err(|_| Refusal::ShuttingDown)? {
            Ok(answer) => Ok(pb::GetRequirementsResponse { position: Some(seen.position), ..answer }),
            // What the items are called is the ledger's to say.
            Err(error) => Err(self.reads.look(Consistency::Stale, move |ledger| refusal(ledger, &error)).await?.value),
        }
    }
}

fn inquire(ledger: &Ledger, asked: &Asked) -> Result<(PlantId, Inquiry), Refusal> {
    let of_draft = asked.draft().map(|draft| known_plan(ledger, draft)).transpose()?.map(|plan| plan.plant);
    let plant = asked.plant.or(of_draft).unwrap_or(PlantId(0));
    known_plant(ledger, plant)?;
    Ok((plant, ledger.inquire(&asked.question(plant)).map_err(|error| refusal(ledger, &error))?))
}

fn refusal(ledger: &Ledger, error: &RequirementsError) -> Refusal {
    let name = |item| name_of(ledger, item);
    match error {
        RequirementsError::Plan(PlanError::UnknownItem(item)) => Refusal::NotFound { what: "item", key: name(*item) },
        error => Refusal::Incalculable(error.told(&name)),
    }
}
