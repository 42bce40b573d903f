//! What the production service answers: what is defined, what is in stock, how work orders stand, where
//! lots came from and went to, plans and what they require, and the state of a plant in one look.

mod costs;
mod plans;
mod reference;
mod requirements;
mod state;
mod stock;
mod trace;
mod work_orders;

use crate::core::Ledger;
use crate::core::production::records::Plant;
use crate::core::types::{AssetId, PlantId};
use crate::server::errors::Refusal;

/// The plant, or the refusal for one that there is not.
fn known_plant(ledger: &Ledger, id: PlantId) -> Result<&Plant, Refusal> {
    ledger.plant(id).ok_or_else(|| Refusal::NotFound { what: "plant", key: id.to_string() })
}

/// Refuses an asset that is no item.
fn known_item(ledger: &Ledger, asset: AssetId) -> Result<(), Refusal> {
    let missing = || Refusal::NotFound { what: "item", key: asset.to_string() };
    ledger.item(asset).map(drop).ok_or_else(missing)
}
