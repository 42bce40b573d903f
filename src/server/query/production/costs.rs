//! What products cost: what is below one is copied in one look, and rolled up outside of it.

use crate::core::Ledger;
use crate::core::production::{CostInquiry, CostRefusal, RolledUpCost};
use crate::core::rejection::Rejection;
use crate::core::types::{AssetId, Day};
use crate::machine;
use crate::proto::v1 as pb;
use crate::server::convert::request;
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
        let gather = move |ledger: &Ledger| -> Result<(AssetId, CostInquiry), CostRefusal> {
            let currency = ledger.item(product).map_or(AssetId(0), |item| item.currency);
            Ok((currency, ledger.inquire_cost(product, day)?))
        };
        let seen = self.reads.look(consistency, gather).await?;
        let (currency, inquiry) = seen.value.map_err(|refusal| self::refusal(product, refusal))?;
        let calculated = machine::blocking(move || {
            let _place = place;
            inquiry.calculate()
        });
        let costs = calculated.await.map_err(|_| Refusal::ShuttingDown)?;
        let costs = costs.map_err(|refusal| self::refusal(product, refusal))?;
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

fn refusal(product: AssetId, refusal: CostRefusal) -> Refusal {
    match refusal {
        CostRefusal::Rejected(Rejection::UnknownItem) => Refusal::NotFound { what: "item", key: product.to_string() },
        refusal => Refusal::Incalculable(refusal.to_string()),
    }
}
