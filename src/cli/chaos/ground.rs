//! The accounts, assets and market that the clients of a drill use. Their ids are fixed, so that a
//! drill on the same cluster finds those of the one before.

use crate::cli::CliError;
use crate::cli::ground::Ground;
use crate::client::Client;

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
    [ISSUER, FEES].into_iter().chain(holders()).collect()
}

/// Makes all of it, or finds it made.
pub async fn prepare(client: &Client) -> Result<(), CliError> {
    let ground = Ground {
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
    ground.prepare(client, holders()).await
}
