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
use crate::server::convert::production_state::TooLarge;
use crate::server::errors::Refusal;

/// The plant, or the refusal for one that there is not.
fn known_plant(ledger: &Ledger, id: PlantId) -> Result<&Plant, Refusal> {
    ledger.plant(id).ok_or_else(|| Refusal::NotFound { what: "plant", key: id.to_string() })
}

/// An asset as people name it: its code, or its id where there is no such asset.
fn name_of(ledger: &Ledger, asset: AssetId) -> String {
    ledger.asset(asset).map_or_else(|| asset.to_string(), |asset| asset.code.to_string())
}

/// The refusal of an answer that cannot hold a number of the item.
fn too_large(ledger: &Ledger, TooLarge(item): TooLarge) -> Refusal {
    Refusal::Incalculable(format!("a quantity or cost of item {} does not fit 63 bits", name_of(ledger, item)))
}

/// Refuses an asset that is no item.
fn known_item(ledger: &Ledger, asset: AssetId) -> Result<(), Refusal> {
    let missing = || Refusal::NotFound { what: "item", key: name_of(ledger, asset) };
    ledger.item(asset).map(drop).ok_or_else(missing)
}
