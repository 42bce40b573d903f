//! Stock by item, location and lot.

use std::collections::BTreeMap;

use super::{known_item, known_plant, too_large};
use crate::core::Ledger;
use crate::core::production::records::{Item, Lot};
use crate::core::types::{AccountId, AssetId};
use crate::proto::v1 as pb;
use crate::server::convert::{Invalid, production_state, request};
use crate::server::errors::Refusal;
use crate::server::query::Queries;
use crate::server::query::paging::PageQuery;

impl Queries {
    pub(in crate::server::query) async fn list_stock(
        &self,
        asked: pb::ListStockRequest,
    ) -> Result<pb::ListStockResponse, Refusal> {
        let consistency = request::consistency(asked.consistency.as_ref())?;
        let plant = request::plant_id(asked.plant_id)?;
        let asset = request::asset_id_or_all(asked.asset_id);
        let location = request::account_id_or_all(asked.location_id);
        let filters = [u64::from(asked.plant_id), u64::from(asked.asset_id), asked.location_id];
        let page = PageQuery::of(asked.page.as_ref(), "stock", &filters)?;
        let list = move |ledger: &Ledger| -> Result<_, Refusal> {
            let locations = &known_plant(ledger, plant)?.locations;
            let locations = match location {
                None => locations.clone(),
                Some(location) if locations.contains(&location) => vec![location],
                Some(location) => {
                    return Err(Refusal::NotFound { what: "location of the plant", key: location.to_string() });
                }
            };
            let levels = Levels { ledger, locations: &locations, on_order: ledger.on_order(plant, location) };
            if let Some(asset) = asset {
                known_item(ledger, asset)?;
                let level = ledger.item(asset).map(|item| levels.of(item)).transpose()?;
                return Ok((level.into_iter().collect(), String::new()));
            }
            let (items, token) = page.slice(ledger.items());
            let levels = items.into_iter().map(|item| levels.of(item)).collect::<Result<Vec<_>, _>>()?;
            Ok((levels.into_iter().filter(is_any).collect(), token))
        };
        let seen = self.reads.look(consistency, list).await?;
        let (stock, next_page_token) = seen.value?;
        Ok(pb::ListStockResponse { stock, next_page_token, position: Some(seen.position) })
    }

    pub(in crate::server::query) async fn list_reorder(
        &self,
        asked: pb::ListReorderRequest,
    ) -> Result<pb::ListReorderResponse, Refusal> {
        let consistency = request::consistency(asked.consistency.as_ref())?;
        let plant = request::plant_id(asked.plant_id)?;
        let page = PageQuery::of(asked.page.as_ref(), "reorder", &[u64::from(plant.0)])?;
        let list = move |ledger: &Ledger| -> Result<_, Refusal> {
            let locations = &known_plant(ledger, plant)?.locations;
            let low: Vec<_> = ledger.to_reorder(plant).map(|(item, _)| item).collect();
            let levels = Levels { ledger, locations, on_order: ledger.on_order(plant, None) };
            let (items, token) = page.slice(low.into_iter());
            Ok((items.into_iter().map(|item| levels.of(item)).collect::<Result<Vec<_>, _>>()?, token))
        };
        let seen = self.reads.look(consistency, list).await?;
        let (stock, next_page_token) = seen.value?;
        Ok(pb::ListReorderResponse { stock, next_page_token, position: Some(seen.position) })
    }

    pub(in crate::server::query) async fn list_lots(
        &self,
        asked: pb::ListLotsRequest,
    ) -> Result<pb::ListLotsResponse, Refusal> {
        use pb::list_lots_request::Of;
        let consistency = request::consistency(asked.consistency.as_ref())?;
        let asset = request::asset_id(asked.asset_id, "asset_id")?;
        let of = asked.of.ok_or_else(|| Invalid::missing("of"))?;
        let (account, lot) = match &of {
            Of::AccountId(account) => (Some(request::account_id(*account, "account_id")?), None),
            Of::Lot(lot) => (None, Some(request::lot_number(lot, "lot")?)),
        };
        let lot_digest = lot.map_or(0, |lot| crate::core::digest::hash64(lot.as_str().as_bytes()));
        let filters = [u64::from(asset.0), account.map_or(0, |account| account.0), lot_digest];
        let page = PageQuery::of(asked.page.as_ref(), "lots", &filters)?;
        let list = move |ledger: &Ledger| -> Result<_, Refusal> {
            known_item(ledger, asset)?;
            if let Some(account) = account.filter(|account| ledger.account(*account).is_none()) {
                return Err(crate::server::query::reference::no_account(account));
            }
            let lots: Vec<&Lot> = match (account, lot) {
                (Some(account), _) => ledger.lots(account, asset).collect(),
                (None, Some(lot)) => ledger.lot_holders(asset, lot).collect(),
                (None, None) => Vec::new(),
            };
            let (lots, token) = page.slice(lots.into_iter());
            Ok((lots.into_iter().map(production_state::lot).collect(), token))
        };
        let seen = self.reads.look(consistency, list).await?;
        let (lots, next_page_token) = seen.value?;
        Ok(pb::ListLotsResponse { lots, next_page_token, position: Some(seen.position) })
    }
}

/// What some locations have of items.
pub(super) struct Levels<'a> {
    pub(super) ledger: &'a Ledger,
    pub(super) locations: &'a [AccountId],
    pub(super) on_order: BTreeMap<AssetId, i128>,
}

impl Levels<'_> {
    /// Of one item.
    pub(super) fn of(&self, item: &Item) -> Result<pb::StockLevel, Refusal> {
        let stock = self.ledger.stock_in(self.locations, item.asset, &self.on_order);
        let balances = self.locations.iter().filter_map(|location| self.ledger.balance(*location, item.asset));
        let level = production_state::stock_level(item, stock, &balances.collect::<Vec<_>>());
        level.map_err(|error| too_large(self.ledger, error))
    }
}

/// Whether there is or was any, or any is coming.
pub(super) fn is_any(level: &pb::StockLevel) -> bool {
    !level.locations.is_empty() || level.on_order != 0
}
