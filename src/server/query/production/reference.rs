//! Plants, items and bills of materials.

use super::{known_item, known_plant, name_of, too_large};
use crate::core::Ledger;
use crate::core::production::GrossNeed;
use crate::core::production::records::Plant;
use crate::core::types::{AssetId, BomVersion, Day};
use crate::proto::v1 as pb;
use crate::server::convert::{Invalid, Reason, production_state, request};
use crate::server::errors::Refusal;
use crate::server::query::Queries;
use crate::server::query::paging::PageQuery;

impl Queries {
    pub(in crate::server::query) async fn get_plant(
        &self,
        asked: pb::GetPlantRequest,
    ) -> Result<pb::GetPlantResponse, Refusal> {
        let consistency = request::consistency(asked.consistency.as_ref())?;
        let id = request::plant_id(asked.plant_id)?;
        let find = move |ledger: &Ledger| Ok(plant(ledger, known_plant(ledger, id)?));
        let seen = self.reads.look(consistency, find).await?;
        let plant: Result<pb::Plant, Refusal> = seen.value;
        Ok(pb::GetPlantResponse { plant: Some(plant?), position: Some(seen.position) })
    }

    pub(in crate::server::query) async fn list_plants(
        &self,
        asked: pb::ListPlantsRequest,
    ) -> Result<pb::ListPlantsResponse, Refusal> {
        let consistency = request::consistency(asked.consistency.as_ref())?;
        let page = PageQuery::of(asked.page.as_ref(), "plants", &[])?;
        let list = move |ledger: &Ledger| {
            let (plants, token) = page.slice(ledger.plants());
            (plants.into_iter().map(|found| plant(ledger, found)).collect(), token)
        };
        let seen = self.reads.look(consistency, list).await?;
        let (plants, next_page_token) = seen.value;
        Ok(pb::ListPlantsResponse { plants, next_page_token, position: Some(seen.position) })
    }

    pub(in crate::server::query) async fn get_item(
        &self,
        asked: pb::GetItemRequest,
    ) -> Result<pb::GetItemResponse, Refusal> {
        let consistency = request::consistency(asked.consistency.as_ref())?;
        let asset = request::asset_id(asked.asset_id, "asset_id")?;
        let find = move |ledger: &Ledger| -> Result<_, Refusal> {
            known_item(ledger, asset)?;
            Ok(ledger.item(asset).map(production_state::item))
        };
        let seen = self.reads.look(consistency, find).await?;
        Ok(pb::GetItemResponse { item: seen.value?, position: Some(seen.position) })
    }

    pub(in crate::server::query) async fn list_items(
        &self,
        asked: pb::ListItemsRequest,
    ) -> Result<pb::ListItemsResponse, Refusal> {
        let consistency = request::consistency(asked.consistency.as_ref())?;
        let page = PageQuery::of(asked.page.as_ref(), "items", &[])?;
        let list = move |ledger: &Ledger| {
            let (items, token) = page.slice(ledger.items());
            (items.into_iter().map(production_state::item).collect(), token)
        };
        let seen = self.reads.look(consistency, list).await?;
        let (items, next_page_token) = seen.value;
        Ok(pb::ListItemsResponse { items, next_page_token, position: Some(seen.position) })
    }

    pub(in crate::server::query) async fn get_bom(
        &self,
        asked: pb::GetBomRequest,
    ) -> Result<pb::GetBomResponse, Refusal> {
        use pb::get_bom_request::Key;
        let consistency = request::consistency(asked.consistency.as_ref())?;
        let product = request::asset_id(asked.product_id, "product_id")?;
        let key = asked.key.ok_or_else(|| Invalid::missing("key"))?;
        let find = move |ledger: &Ledger| {
            let found = match key {
                Key::Version(version) => ledger.bom(product, BomVersion(version)),
                Key::OnDay(day) => ledger.bom_on(product, Day(day)),
            };
            found.map(production_state::bom)
        };
        let seen = self.reads.look(consistency, find).await?;
        let bom = seen.value.ok_or_else(|| no_bom(product, &key))?;
        Ok(pb::GetBomResponse { bom: Some(bom), position: Some(seen.position) })
    }

    pub(in crate::server::query) async fn list_boms(
        &self,
        asked: pb::ListBomsRequest,
    ) -> Result<pb::ListBomsResponse, Refusal> {
        let consistency = request::consistency(asked.consistency.as_ref())?;
        let product = request::asset_id(asked.product_id, "product_id")?;
        let page = PageQuery::of(asked.page.as_ref(), "boms", &[u64::from(product.0)])?;
        let list = move |ledger: &Ledger| -> Result<_, Refusal> {
            known_item(ledger, product)?;
            let versions: Vec<_> = ledger.boms(product).collect();
            let (boms, token) = page.slice(versions.into_iter());
            Ok((boms.into_iter().map(production_state::bom).collect(), token))
        };
        let seen = self.reads.look(consistency, list).await?;
        let (boms, next_page_token) = seen.value?;
        Ok(pb::ListBomsResponse { boms, next_page_token, position: Some(seen.position) })
    }

    pub(in crate::server::query) async fn explode_bom(
        &self,
        asked: pb::ExplodeBomRequest,
    ) -> Result<pb::ExplodeBomResponse, Refusal> {
        let consistency = request::consistency(asked.consistency.as_ref())?;
        let product = request::asset_id(asked.product_id, "product_id")?;
        let quantity = request::quantity(asked.quantity, "quantity")?;
        let day = Day(asked.on_day);
        let find = move |ledger: &Ledger| -> Result<_, Refusal> {
            known_item(ledger, product)?;
            let too_much = |item| {
                let message = format!("needs more of {} than can be counted", name_of(ledger, item));
                Invalid::new("quantity", Reason::OutOfRange, message)
            };
            let needs = ledger.gross_needs(product, quantity, day).map_err(too_much)?;
            let cost = |need: &GrossNeed| match (need.leaf, need.item.asset) {
                (true, item) => ledger.cost_at_standard(item, need.quantity).ok_or_else(|| too_much(item)),
                (false, _) => Ok(0),
            };
            let priced = needs.into_iter().map(|need| Ok((need, cost(&need)?))).collect::<Result<Vec<_>, Invalid>>()?;
            let currency = ledger.item(product).map_or(AssetId(0), |item| item.currency);
            let exploded = production_state::explosion(product, priced, currency);
            exploded.map_err(|error| too_large(ledger, error))
        };
        let seen = self.reads.look(consistency, find).await?;
        Ok(pb::ExplodeBomResponse { position: Some(seen.position), ..seen.value? })
    }

    pub(in crate::server::query) async fn list_where_used(
        &self,
        asked: pb::ListWhereUsedRequest,
    ) -> Result<pb::ListWhereUsedResponse, Refusal> {
        let consistency = request::consistency(asked.consistency.as_ref())?;
        let component = request::asset_id(asked.component_id, "component_id")?;
        let page = PageQuery::of(asked.page.as_ref(), "where used", &[u64::from(component.0)])?;
        let list = move |ledger: &Ledger| -> Result<_, Refusal> {
            known_item(ledger, component)?;
            let uses: Vec<_> = ledger.where_used(component).collect();
            let (uses, token) = page.slice(uses.into_iter());
            Ok((uses.into_iter().map(|(bom, line)| production_state::where_used(bom, line)).collect(), token))
        };
        let seen = self.reads.look(consistency, list).await?;
        let (uses, next_page_token) = seen.value?;
        Ok(pb::ListWhereUsedResponse { uses, next_page_token, position: Some(seen.position) })
    }
}

/// A plant for the answer.
pub(super) fn plant(ledger: &Ledger, plant: &Plant) -> pb::Plant {
    ledger.calendar(plant.id).map(|calendar| production_state::plant(plant, calendar)).unwrap_or_default()
}

fn no_bom(product: AssetId, key: &pb::get_bom_request::Key) -> Refusal {
    use pb::get_bom_request::Key;
    let key = match key {
        Key::Version(version) => format!("product {product}, version {version}"),
        Key::OnDay(day) => format!("product {product}, day {day}"),
    };
    Refusal::NotFound { what: "bill of materials", key }
}
