//! What products cost: what is below one is copied in one look, and rolled up outside of it.

use super::name_of;
use crate::core::Ledger;
use crate::core::production::{CostInquiry, CostRefusal, RolledUpCost};
use crate::core::rejection::Rejection;
use crate::core::types::{AssetId, Day};
use crate::machine;
use crate::proto::v1 as pb;
use crate::server::convert::request::{self, Consistency};
use crate::server::errors::Refusal;
use crate::server::query::Queries;

impl Queries {
    pub(in crate::server::query) async fn roll_up_cost(
        &self,
        asked: pb::RollUpCostRequest,
    ) -> Result<pb::RollUpCostResponse, Refusal> {
        let consistency = request::consistency(asked.consistency.as_ref())?;
        let product = request::asset_id(asked.product_id, "product_id")?;
        let day = Day(asked.on_day);
        let place = self.calculations.clone().acquire_owned().await.map_err(|_| Refusal::ShuttingDown)?;
        let gather = move |ledger: &Ledger| -> Result<(AssetId, CostInquiry), Refusal> {
            let currency = ledger.item(product).map_or(AssetId(0), |item| item.currency);
            let inquiry = ledger.inquire_cost(product, day);
            Ok((currency, inquiry.map_err(|refusal| self::refusal(ledger, product, &refusal))?))
        };
        let seen = self.reads.look(consistency, gather).await?;
        let (currency, inquiry) = seen.value?;
        let calculated = machine::blocking(move || {
            let _place = place;
            inquiry.calculate()
        });
        let costs = match calculated.await.map_err(|_| Refusal::ShuttingDown)? {
            Ok(costs) => costs,
            // What the items are called is the ledger's to say.
            Err(error) => {
                let told = move |ledger: &Ledger| refusal(ledger, product, &error);
                return Err(self.reads.look(Consistency::Stale, told).await?.value);
            }
        };
        let costs = costs.iter().map(cost).collect();
        Ok(pb::RollUpCostResponse { costs, currency_asset_id: currency.0, position: Some(seen.position) })
    }
}

fn cost(cost: &RolledUpCost) -> pb::RolledUpCost {
    pb::RolledUpCost {
        asset_id: cost.item.0,
        level: cost.level,
        lot: cost.lot.0,
        materials: cost.materials.0,
        operations: cost.operations.0,
        total: cost.total.0,
    }
}

fn refusal(ledger: &Ledger, product: AssetId, refusal: &CostRefusal) -> Refusal {
    let name = |item| name_of(ledger, item);
    match refusal {
        CostRefusal::Rejected(Rejection::UnknownItem) => Refusal::NotFound { what: "item", key: name(product) },
        refusal => Refusal::Incalculable(refusal.told(&name)),
    }
}
