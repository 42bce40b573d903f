//! Material requirements planning: what has to be made and bought, how much and when, so that demand
//! is met.
//!
//! A [`Network`] holds items and their bills of materials, a [`Situation`] what is asked for and what
//! is there. [`calculate`] makes a [`Plan`] of the two and changes nothing, so that a what-if is
//! another call. It knows nothing of the ledger's records: who calls it builds its input from them.
//!
//! - `calendar`: working days; `item`: what is planned and the arithmetic of lines, lots and orders;
//!   `network`: all of it, checked and laid out; `levels`: the order of netting, cycles.
//! - `netting`: the way down, from demand to planned orders; `order`: what one order takes and gives;
//!   `readiness`: the way up, from what is there to when demand can be met.
//! - `plan`: the outcome; `trace`: pegging through all levels; `pegging`: of everything at once, within
//!   bounds; `buckets`: the time-phased record.
//! - `explosion`, `cost`: bills alone: indented, where-used, standard cost.
//!
//! Nothing here calls itself, so that no network is too deep, and all lists are flat: 100,000 lines
//! of demand over 5,000 items are planned in about a second.

mod buckets;
mod calendar;
mod cost;
mod explosion;
mod item;
mod levels;
mod netting;
mod network;
mod order;
mod pegging;
mod plan;
mod readiness;
mod situation;
mod trace;

pub use buckets::{Bucket, Buckets};
pub use calendar::{Calendar, CalendarError, Day, Week};
pub use cost::{Cost, CostError, PurchaseCost, StandardCost};
pub use explosion::{GrossNeed, IndentedLine, Use};
pub use item::{Bom, ByProduct, Item, Line, LotRule, Operation, Overflow, Presence, Source};
pub use network::{Network, NetworkError};
pub use order::OrderContent;
pub use pegging::Pegging;
pub use plan::{
    Need, OrderIndex, Origin, Peg, Plan, PlannedOrder, Promise, Requirement, RequirementIndex, Supply, SupplyIndex,
};
pub use situation::{Demand, ORDERS_MAX, PlanError, REQUIREMENTS_MAX, Receipt, Situation, Stock};
pub use trace::{Cause, Contribution, Downward, Share};

/// Plans what has to be made and bought.
///
/// # Errors
/// When the situation names what is no item, or a quantity, a day or the plan itself outgrows its
/// bounds, see [`PlanError`].
pub fn calculate(network: &Network, situation: &Situation) -> Result<Plan, PlanError> {
    let mut plan = netting::net(network, situation)?;
    readiness::settle(network, situation, &mut plan)?;
    Ok(plan)
}
