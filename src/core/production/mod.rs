//! Production and inventory: plants, items, bills of materials, stock, work orders.
//!
//! Materials and products are assets, stock is the balances of the accounts that are a plant's
//! locations, and what a work order reserves is reserved on those balances: there is no second
//! inventory. Value that is made into something else goes through a plant's issuer accounts, so that
//! every asset sums to zero here as everywhere. What is consumed goes from a location to the
//! production account, what is yielded comes from it; its balances say what was consumed and yielded
//! in all. Goods that are bought, sold and produced are thus the same units, and whoever reserves them
//! first has them. A trade knows of production by one thing: whether the buyer's order buys a planned purchase.

mod boms;
mod complete;
mod costs;
mod firming;
mod invariants;
mod issued;
mod items;
pub(crate) mod lots;
mod materials;
pub mod mrp;
mod persist;
mod plans;
mod plants;
mod purchases;
mod query;
pub mod records;
mod release;
mod requirements;
mod stock;
mod work_orders;

use std::collections::BTreeMap;

use crate::ledger::slots::Directory;
use crate::table::{HashSeed, Slot};
use crate::types::{AccountId, Code};

use boms::BomEntry;
use items::ItemEntry;
use lots::Lots;
use plans::Plans;
use plants::PlantEntry;
use purchases::Purchases;
use work_orders::WorkOrders;

pub use costs::{CostInquiry, CostRefusal, RolledUpCost};
pub(crate) use persist::Rows;
pub use query::{BomView, GrossNeed, ItemStock, Shortage, WorkOrderView};
pub use release::EXPLOSION_MAX;
pub use requirements::{Asker, Coming, Inquiry, Question, Requirements, RequirementsError};

/// What production knows besides the balances.
#[derive(Debug)]
pub(crate) struct Production {
    plants: Directory<PlantEntry>,
    /// The plant of each name.
    plant_names: BTreeMap<Code, Slot>,
    /// The plant of each location.
    locations: BTreeMap<AccountId, Slot>,
    items: Directory<ItemEntry>,
    boms: Directory<BomEntry>,
    /// Per place in the table of parts: the version and the place among its parts.
    bom_parts: Vec<(Slot, u32)>,
    pub(crate) lots: Lots,
    work_orders: WorkOrders,
    plans: Plans,
    pub(crate) purchases: Purchases,
}

impl Production {
    /// Nothing.
    pub(crate) fn new(seed: HashSeed) -> Self {
        Self {
            plants: Directory::new(seed),
            plant_names: BTreeMap::new(),
            locations: BTreeMap::new(),
            items: Directory::new(seed),
            boms: Directory::new(seed),
            bom_parts: Vec::new(),
            lots: Lots::default(),
            work_orders: WorkOrders::default(),
            plans: Plans::default(),
            purchases: Purchases::default(),
        }
    }
}
