//! Assets, markets and accounts.

use super::Queries;
use super::paging::{Cursor, PageQuery};
use crate::core::Ledger;
use crate::core::types::AccountId;
use crate::proto::v1 as pb;
use crate::server::convert::{Invalid, request, state};
use crate::server::errors::Refusal;
use crate::server::limits::HOLDS_MAX;

impl Queries {
    pub(super) async fn get_asset(&self, asked: pb::GetAssetRequest) -> Result<pb::GetAssetResponse, Refusal> {
        use pb::get_asset_request::Key;
        let consistency = request::consistency(asked.consistency.as_ref())?;
        let key = asked.key.ok_or_else(|| Invalid::missing("key"))?;
        let name = match &key {
            Key::AssetId(id) => request::asset_id(*id, "asset_id")?.to_string(),
            Key::Code(code) => code.clone(),
        };
        let find = move |ledger: &Ledger| match key {
            Key::AssetId(id) => ledger.asset(crate::core::types::AssetId(id)).map(state::asset),
            Key::Code(code) => ledger.assets().find(|asset| asset.code.as_str() == code).map(state::asset),
        };
        let seen = self.reads.look(consistency, find).await?;
        let asset = seen.value.ok_or(Refusal::NotFound { what: "asset", key: name })?;
        Ok(pb::GetAssetResponse { asset: Some(asset), position: Some(seen.position) })
    }

    pub(super) async fn list_assets(&self, asked: pb::ListAssetsRequest) -> Result<pb::ListAssetsResponse, Refusal> {
        let consistency = request::consistency(asked.consistency.as_ref())?;
        let page = PageQuery::of(asked.page.as_ref(), "assets", &[])?;
        let list = move |ledger: &Ledger| {
            let (assets, token) = page.slice(ledger.assets());
            (assets.into_iter().map(state::asset).collect(), token)
        };
        let seen = self.reads.look(consistency, list).await?;
        let (assets, next_page_token) = seen.value;
        Ok(pb::ListAssetsResponse { assets, next_page_token, position: Some(seen.position) })
    }

    pub(super) async fn get_market(&self, asked: pb::GetMarketRequest) -> Result<pb::GetMarketResponse, Refusal> {
        use pb::get_market_request::Key;
        let consistency = request::consistency(asked.consistency.as_ref())?;
        let key = asked.key.ok_or_else(|| Invalid::missing("key"))?;
        let name = match &key {
            Key::MarketId(id) => request::market_id(*id, "market_id")?.to_string(),
            Key::Symbol(symbol) => symbol.clone(),
        };
        let find = move |ledger: &Ledger| match key {
            Key::MarketId(id) => ledger.market(crate::core::types::MarketId(id)).map(state::market),
            Key::Symbol(symbol) => ledger.markets().find(|market| market.symbol.as_str() == symbol).map(state::market),
        };
        let seen = self.reads.look(consistency, find).await?;
        let market = seen.value.ok_or(Refusal::NotFound { what: "market", key: name })?;
        Ok(pb::GetMarketResponse { market: Some(market), position: Some(seen.position) })
    }

    pub(super) async fn list_markets(&self, asked: pb::ListMarketsRequest) -> Result<pb::ListMarketsResponse, Refusal> {
        let consistency = request::consistency(asked.consistency.as_ref())?;
        let page = PageQuery::of(asked.page.as_ref(), "markets", &[])?;
        let list = move |ledger: &Ledger| {
            let (markets, token) = page.slice(ledger.markets());
            (markets.into_iter().map(state::market).collect(), token)
        };
        let seen = self.reads.look(consistency, list).await?;
        let (markets, next_page_token) = seen.value;
        Ok(pb::ListMarketsResponse { markets, next_page_token, position: Some(seen.position) })
    }

    pub(super) async fn get_account(&self, asked: pb::GetAccountRequest) -> Result<pb::GetAccountResponse, Refusal> {
        let consistency = request::consistency(asked.consistency.as_ref())?;
        let id = request::account_id(asked.account_id, "account_id")?;
        let find = move |ledger: &Ledger| {
            let account = state::account(ledger.account(id)?);
            let balances = ledger.balances(id).map(state::balance).collect();
            let holds = ledger.holds(id).take(HOLDS_MAX + 1);
            let mut holds: Vec<_> = holds.map(|(hold, asset, amount)| state::hold(hold, asset, amount)).collect();
            let holds_truncated = holds.len() > HOLDS_MAX;
            holds.truncate(HOLDS_MAX);
            let account = Some(account);
            Some(pb::GetAccountResponse { account, balances, holds, holds_truncated, position: None })
        };
        let seen = self.reads.look(consistency, find).await?;
        let answer = seen.value.ok_or_else(|| no_account(id))?;
        Ok(pb::GetAccountResponse { position: Some(seen.position), ..answer })
    }

    pub(super) async fn list_accounts(
        &self,
        asked: pb::ListAccountsRequest,
    ) -> Result<pb::ListAccountsResponse, Refusal> {
        let consistency = request::consistency(asked.consistency.as_ref())?;
        let page = PageQuery::of(asked.page.as_ref(), "accounts", &[])?;
        let seen = self.reads.look(consistency, move |ledger| accounts(ledger, &page)).await?;
        let (accounts, next_page_token) = seen.value;
        Ok(pb::ListAccountsResponse { accounts, next_page_token, position: Some(seen.position) })
    }
}

/// A page of accounts in the order of creation.
fn accounts(ledger: &Ledger, page: &PageQuery) -> (Vec<pb::Account>, String) {
    let (after, limit) = (page.after.map(|after| AccountId(after.key)), page.size + 1);
    let mut accounts: Vec<_> = if page.descending {
        ledger.accounts_newest_first(after, limit).map(state::account).collect()
    } else {
        ledger.accounts(after, limit).map(state::account).collect()
    };
    let token = page.cut(&mut accounts, |account| Cursor::at(account.account_id));
    (accounts, token)
}

/// The refusal for an account that there is not.
pub(super) fn no_account(id: AccountId) -> Refusal {
    Refusal::NotFound { what: "account", key: id.to_string() }
}
