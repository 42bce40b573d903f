//! The accounts, assets and market that the clients of a drill use. Their ids are fixed, so that a
//! drill on the same cluster finds those of the one before.

use crate::cli::CliError;
use crate::cli::ground::Ground;
use crate::cli::works::Works;
use crate::client::{Client, api, derived_id, id_to_bytes};

/// Money.
pub const MONEY: u32 = 910_001;
/// What is traded for it.
pub const SHARE: u32 = 910_002;
/// Where.
pub const MARKET: u32 = 910_001;
/// How many accounts the bank has.
pub const BANK_ACCOUNTS: u64 = 32;
/// How many traders there can be.
pub const TRADERS_MAX: u64 = 8;

/// Where products are sold.
pub const PRODUCT_MARKET: u32 = 910_002;
/// What the makers have.
pub const WORKS: Works = Works {
    purpose: "chaos",
    plant: 910_001,
    money: MONEY,
    tracked: 910_011,
    plain: 910_012,
    product: 910_013,
    issuer: 910_300,
    supplier: 910_301,
    shelf: 910_302,
    yard: 910_303,
    parts: 20_000,
};

const ISSUER: u64 = 910_000;
const FEES: u64 = 910_001;
const FIRST_BANK_ACCOUNT: u64 = 910_100;
const FIRST_TRADER: u64 = 910_200;
/// What everybody has of both assets.
const FUNDS: u64 = 1_000_000_000;
/// One and two basis points.
const MAKER_FEE: i32 = 100;
const TAKER_FEE: i32 = 200;

/// An account of the bank.
pub const fn bank_account(number: u64) -> u64 {
    FIRST_BANK_ACCOUNT + number % BANK_ACCOUNTS
}

/// A trader's account.
pub const fn trader(number: u64) -> u64 {
    FIRST_TRADER + number % TRADERS_MAX
}

/// The accounts that have something from the beginning.
fn holders() -> impl Iterator<Item = u64> {
    (0..BANK_ACCOUNTS).map(bank_account).chain((0..TRADERS_MAX).map(trader))
}

/// Every account of the drill.
pub fn accounts() -> Vec<u64> {
    let works = [WORKS.issuer, WORKS.supplier, WORKS.shelf, WORKS.yard];
    [ISSUER, FEES].into_iter().chain(works).chain(holders()).collect()
}

/// Makes all of it, or finds it made.
pub async fn prepare(client: &Client) -> Result<(), CliError> {
    let ground = Ground {
        markets: 1,
        purpose: "chaos",
        money: MONEY,
        share: SHARE,
        market: MARKET,
        issuer: ISSUER,
        fees: FEES,
        maker_fee: MAKER_FEE,
        taker_fee: TAKER_FEE,
        funds: FUNDS,
    };
    ground.prepare(client, holders()).await?;
    WORKS.prepare(client).await?;
    let market = api::CreateMarket {
        market_id: PRODUCT_MARKET,
        symbol: "CHAOS-PRODUCT".to_owned(),
        base_asset_id: WORKS.product,
        quote_asset_id: MONEY,
        tick: 1,
        lot: 1,
        maker_fee: MAKER_FEE,
        taker_fee: TAKER_FEE,
        fee_account_id: FEES,
        quantity_max: 1_000_000,
        notional_max: FUNDS,
        ..api::CreateMarket::default()
    };
    let id = id_to_bytes(derived_id(&[b"chaos", b"market of products"]));
    let body = Some(api::command::Body::CreateMarket(market));
    let made = client.execute(api::Command { id, linked: false, body }).await?;
    match made.rejection {
        0 => Ok(()),
        _ => Err(CliError::Rejected(format!("preparing: {}", made.rejection().as_str_name()))),
    }
}
