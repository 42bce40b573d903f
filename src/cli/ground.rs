//! What commands that drive a cluster need in it: money, something to trade for it, accounts that have
//! enough of both, and a market. The ids are fixed, so that a later run finds what an earlier one made.

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
    /// The asset that is traded.
    pub share: u32,
    /// Where.
    pub market: u32,
    /// The account that both assets come from.
    pub issuer: u64,
    /// The account that fees go to; it may be the issuer.
    pub fees: u64,
    /// In hundredths of a basis point.
    pub maker_fee: i32,
    /// In hundredths of a basis point.
    pub taker_fee: i32,
    /// What every account gets of both assets, in the smallest unit.
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
        let mut bodies = vec![
            asset(self.money, &format!("{symbol}-MONEY"), api::AssetKind::Currency),
            asset(self.share, &format!("{symbol}-SHARE"), api::AssetKind::Security),
            account(self.issuer),
        ];
        if self.fees != self.issuer {
            bodies.push(account(self.fees));
        }
        for account_id in accounts {
            bodies.push(account(account_id));
            for asset_id in [self.money, self.share] {
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
        let market = api::CreateMarket {
            market_id: self.market,
            symbol,
            base_asset_id: self.share,
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
        bodies.push(("market".to_owned(), Body::CreateMarket(market)));
        bodies
    }
}
