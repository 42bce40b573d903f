//! The accounts, assets and market that the clients of a drill use. Their ids are fixed, so that a
//! drill on the same cluster finds those of the one before.

use crate::cli::CliError;
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

/// Every account of the drill.
pub fn accounts() -> Vec<u64> {
    let bank = (0..BANK_ACCOUNTS).map(bank_account);
    [ISSUER, FEES].into_iter().chain(bank).chain((0..TRADERS_MAX).map(trader)).collect()
}

/// Makes all of it, or finds it made.
pub async fn prepare(client: &Client) -> Result<(), CliError> {
    let command = |(name, body): (String, api::command::Body)| {
        let id = id_to_bytes(derived_id(&[b"chaos", name.as_bytes()]));
        api::Command { id, linked: false, body: Some(body) }
    };
    let commands = bodies().into_iter().map(command).collect();
    let answer = client.submit(api::SubmitRequest { commands }).await?;
    match answer.results.iter().find(|result| result.rejection != 0) {
        Some(result) => Err(CliError::Rejected(format!("preparing: {}", result.rejection().as_str_name()))),
        None => Ok(()),
    }
}

fn bodies() -> Vec<(String, api::command::Body)> {
    use api::command::Body;
    let asset = |asset_id, code: &str, kind: api::AssetKind| {
        let asset = api::CreateAsset { asset_id, code: code.to_owned(), scale: 0, kind: kind.into() };
        (format!("asset {code}"), Body::CreateAsset(asset))
    };
    let mut bodies = vec![
        asset(MONEY, "CHAOS-MONEY", api::AssetKind::Currency),
        asset(SHARE, "CHAOS-SHARE", api::AssetKind::Security),
    ];
    for account_id in accounts() {
        let issuer = account_id == ISSUER;
        let account = api::CreateAccount { account_id, issuer, ..api::CreateAccount::default() };
        bodies.push((format!("account {account_id}"), Body::CreateAccount(account)));
        for asset_id in [MONEY, SHARE].into_iter().filter(|_| account_id != ISSUER && account_id != FEES) {
            let transfer = api::Transfer {
                debit_account_id: ISSUER,
                credit_account_id: account_id,
                asset_id,
                amount: FUNDS,
                ..api::Transfer::default()
            };
            bodies.push((format!("funds {account_id} {asset_id}"), Body::Transfer(transfer)));
        }
    }
    let market = api::CreateMarket {
        market_id: MARKET,
        symbol: "CHAOS".to_owned(),
        base_asset_id: SHARE,
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
    bodies.push(("market".to_owned(), Body::CreateMarket(market)));
    bodies
}
