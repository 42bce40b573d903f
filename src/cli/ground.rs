//! What commands that drive a cluster need in it: money, something to trade for it, accounts that have
//! enough of all, and markets. The ids are fixed, so that a later run finds what an earlier one made.

use super::CliError;
use crate::client::{Client, api, derived_id, id_to_bytes};

/// Commands of one request.
const BATCH: usize = 1_000;

/// Everything but the accounts.
#[derive(Debug)]
pub struct Ground {
    /// What it is for; names and command ids are made of it.
    pub purpose: &'static str,
    /// The asset that is paid with.
    pub money: u32,
    /// The asset that is traded in the first market; those of the others follow.
    pub share: u32,
    /// The first market; the others follow.
    pub market: u32,
    /// How many markets.
    pub markets: u32,
    /// The account that all assets come from.
    pub issuer: u64,
    /// The account that fees go to; it may be the issuer.
    pub fees: u64,
    /// In hundredths of a basis point.
    pub maker_fee: i32,
    /// In hundredths of a basis point.
    pub taker_fee: i32,
    /// What every account gets of each asset, in the smallest unit.
    pub funds: u64,
}

impl Ground {
    /// Makes it, with these accounts, or finds it made.
    pub async fn prepare(&self, client: &Client, accounts: impl Iterator<Item = u64>) -> Result<(), CliError> {
        let command = |(name, body): (String, api::command::Body)| {
            let id = id_to_bytes(derived_id(&[self.purpose.as_bytes(), name.as_bytes()]));
            api::Command { id, linked: false, body: Some(body) }
        };
        let commands: Vec<api::Command> = self.bodies(accounts).into_iter().map(command).collect();
        for commands in commands.chunks(BATCH) {
            let answer = client.submit(api::SubmitRequest { commands: commands.to_vec() }).await?;
            if let Some(result) = answer.results.iter().find(|result| result.rejection != 0) {
                return Err(CliError::Rejected(format!("preparing: {}", result.rejection().as_str_name())));
            }
        }
        Ok(())
    }

    fn bodies(&self, accounts: impl Iterator<Item = u64>) -> Vec<(String, api::command::Body)> {
        use api::command::Body;
        let symbol = self.purpose.to_uppercase();
        let asset = |asset_id, code: &str, kind: api::AssetKind| {
            let asset = api::CreateAsset { asset_id, code: code.to_owned(), scale: 0, kind: kind.into() };
            (format!("asset {code}"), Body::CreateAsset(asset))
        };
        let account = |account_id| {
            let issuer = account_id == self.issuer;
            let account = api::CreateAccount { account_id, issuer, ..api::CreateAccount::default() };
            (format!("account {account_id}"), Body::CreateAccount(account))
        };
        // The first market's names have no number: they are those of a cluster that has but one.
        let numbered = |name: &str, place: u32| if place == 0 { name.to_owned() } else { format!("{name}-{place}") };
        let mut bodies = vec![asset(self.money, &format!("{symbol}-MONEY"), api::AssetKind::Currency)];
        for place in 0..self.markets {
            let code = numbered(&format!("{symbol}-SHARE"), place);
            bodies.push(asset(self.share + place, &code, api::AssetKind::Security));
        }
        bodies.push(account(self.issuer));
        if self.fees != self.issuer {
            bodies.push(account(self.fees));
        }
        for account_id in accounts {
            bodies.push(account(account_id));
            for asset_id in std::iter::once(self.money).chain(self.share..self.share + self.markets) {
                let transfer = api::Transfer {
                    debit_account_id: self.issuer,
                    credit_account_id: account_id,
                    asset_id,
                    amount: self.funds,
                    ..api::Transfer::default()
                };
                bodies.push((format!("funds {account_id} {asset_id}"), Body::Transfer(transfer)));
            }
        }
        bodies.extend((0..self.markets).map(|place| {
            let market = api::CreateMarket {
                market_id: self.market + place,
                symbol: numbered(&symbol, place),
                base_asset_id: self.share + place,
                quote_asset_id: self.money,
                tick: 1,
                lot: 1,
                maker_fee: self.maker_fee,
                taker_fee: self.taker_fee,
                fee_account_id: self.fees,
                quantity_max: 1_000_000,
                notional_max: self.funds,
                ..api::CreateMarket::default()
            };
            (numbered("market", place), Body::CreateMarket(market))
        }));
        bodies
    }
}
