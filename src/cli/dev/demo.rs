//! What a development cluster begins with. The command ids are fixed, so that a cluster that is
//! picked up again answers as the first time.

use crate::cli::CliError;
use crate::client::{Client, api, derived_id, id_to_bytes};

/// One line about it, for people.
pub const SUMMARY: &str = "USD, AAPL, AMZN; accounts 1001 and 1002 with money and shares; AAPL/USD (1), AMZN/USD (2)";

const USD: u32 = 1;
const AAPL: u32 = 2;
const AMZN: u32 = 3;

const ISSUER: u64 = 1;
const FEES: u64 = 2;
const TRADERS: [u64; 2] = [1001, 1002];

/// A million dollars in cents.
const MONEY: u64 = 100_000_000;
const SHARES: u64 = 10_000;
const QUANTITY_MAX: u64 = 1_000_000;
/// A hundred million dollars in cents.
const NOTIONAL_MAX: u64 = 10_000_000_000;
/// One and two basis points.
const MAKER_FEE: i32 = 100;
const TAKER_FEE: i32 = 200;

fn bodies() -> Vec<api::command::Body> {
    use api::command::Body;
    let asset = |asset_id, code: &str, scale, kind: api::AssetKind| {
        Body::CreateAsset(api::CreateAsset { asset_id, code: code.to_owned(), scale, kind: kind.into() })
    };
    let account = |account_id| {
        let issuer = account_id == ISSUER;
        Body::CreateAccount(api::CreateAccount { account_id, issuer, ..api::CreateAccount::default() })
    };
    let market = |market_id, symbol: &str, base_asset_id| {
        Body::CreateMarket(api::CreateMarket {
            market_id,
            symbol: symbol.to_owned(),
            base_asset_id,
            quote_asset_id: USD,
            tick: 1,
            lot: 1,
            maker_fee: MAKER_FEE,
            taker_fee: TAKER_FEE,
            fee_account_id: FEES,
            quantity_max: QUANTITY_MAX,
            notional_max: NOTIONAL_MAX,
            ..api::CreateMarket::default()
        })
    };
    let mut bodies = vec![
        asset(USD, "USD", 2, api::AssetKind::Currency),
        asset(AAPL, "AAPL", 0, api::AssetKind::Security),
        asset(AMZN, "AMZN", 0, api::AssetKind::Security),
        account(ISSUER),
        account(FEES),
    ];
    for trader in TRADERS {
        bodies.push(account(trader));
        for (asset_id, amount) in [(USD, MONEY), (AAPL, SHARES), (AMZN, SHARES)] {
            bodies.push(Body::Transfer(api::Transfer {
                debit_account_id: ISSUER,
                credit_account_id: trader,
                asset_id,
                amount,
                ..api::Transfer::default()
            }));
        }
    }
    bodies.push(market(1, "AAPL/USD", AAPL));
    bodies.push(market(2, "AMZN/USD", AMZN));
    bodies
}

/// Fills the ledger, or finds it filled.
pub async fn fill(client: &Client) -> Result<(), CliError> {
    let command = |(place, body): (usize, api::command::Body)| {
        let id = id_to_bytes(derived_id(&[b"development cluster", &place.to_le_bytes()]));
        api::Command { id, linked: false, body: Some(body) }
    };
    let commands = bodies().into_iter().enumerate().map(command).collect();
    let answer = client.submit(api::SubmitRequest { commands }).await?;
    for (place, result) in answer.results.iter().enumerate() {
        if result.rejection != 0 {
            let reason = result.rejection().as_str_name();
            return Err(CliError::Rejected(format!("step {place} of the demo: {reason}")));
        }
    }
    Ok(())
}
