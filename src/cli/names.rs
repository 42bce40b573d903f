//! Assets, markets and plants by the names that people use, and numbers by their scale.

use std::collections::HashMap;

use super::CliError;
use super::table::amount;
use crate::client::{Client, ClientError, api};
use crate::core::decimal;

/// What is known of the cluster's assets, markets and plants; asks for what it does not know.
#[derive(Debug)]
pub struct Names {
    client: Client,
    assets: HashMap<u32, api::Asset>,
    markets: HashMap<u32, api::Market>,
    plants: Vec<api::Plant>,
}

impl Names {
    /// Knows nothing yet.
    pub fn new(client: Client) -> Self {
        Self { client, assets: HashMap::new(), markets: HashMap::new(), plants: Vec::new() }
    }

    /// The asset that `key` names, by id or by code.
    pub async fn asset(&mut self, key: &str) -> Result<api::Asset, CliError> {
        use api::get_asset_request::Key;
        let key = key.parse().map_or_else(|_| Key::Code(key.to_owned()), Key::AssetId);
        if let Key::AssetId(id) = key
            && let Some(asset) = self.assets.get(&id)
        {
            return Ok(asset.clone());
        }
        let answer = self.client.get_asset(api::GetAssetRequest { key: Some(key), consistency: None }).await?;
        let asset = answer.asset.ok_or_else(|| missing("asset"))?;
        self.assets.insert(asset.asset_id, asset.clone());
        Ok(asset)
    }

    /// The asset with this id.
    pub async fn asset_by_id(&mut self, id: u32) -> Result<api::Asset, CliError> {
        self.asset(&id.to_string()).await
    }

    /// The market that `key` names, by id or by symbol.
    pub async fn market(&mut self, key: &str) -> Result<Market, CliError> {
        use api::get_market_request::Key;
        let key = key.parse().map_or_else(|_| Key::Symbol(key.to_owned()), Key::MarketId);
        let known = match key {
            Key::MarketId(id) => self.markets.get(&id).cloned(),
            Key::Symbol(_) => None,
        };
        let market = match known {
            Some(market) => market,
            None => {
                let request = api::GetMarketRequest { key: Some(key), consistency: None };
                self.client.get_market(request).await?.market.ok_or_else(|| missing("market"))?
            }
        };
        self.markets.insert(market.market_id, market.clone());
        self.described(market).await
    }

    /// The market with this id.
    pub async fn market_by_id(&mut self, id: u32) -> Result<Market, CliError> {
        self.market(&id.to_string()).await
    }

    /// The plant that `key` names, by id or by name.
    pub async fn plant(&mut self, key: &str) -> Result<api::Plant, CliError> {
        let id: Option<u32> = key.parse().ok();
        let named = |plant: &&api::Plant| id.map_or(plant.name == key, |id| plant.plant_id == id);
        if self.plants.iter().find(named).is_none() {
            self.plants = self.all_plants().await?;
        }
        let found = self.plants.iter().find(named).cloned();
        found.ok_or_else(|| CliError::Check(format!("there is no plant {key}")))
    }

    async fn all_plants(&self) -> Result<Vec<api::Plant>, CliError> {
        let mut plants = Vec::new();
        let mut token = String::new();
        loop {
            let page = Some(api::Page { token, ..api::Page::default() });
            let mut answer = self.client.list_plants(api::ListPlantsRequest { page, consistency: None }).await?;
            plants.append(&mut answer.plants);
            token = answer.next_page_token;
            if token.is_empty() {
                return Ok(plants);
            }
        }
    }

    /// The plan that `key` names, by id, or by name where no other open one has it.
    pub async fn plan(&mut self, key: &str) -> Result<api::ProductionPlan, CliError> {
        if let Ok(plan_id) = key.parse() {
            let answer = self.client.get_plan(api::GetPlanRequest { plan_id, consistency: None }).await?;
            return answer.plan.ok_or_else(|| missing("plan"));
        }
        let mut named = self.plans(0).await?;
        named.retain(|plan| plan.name == key);
        match named.pop() {
            None => Err(CliError::Check(format!("there is no open plan {key}"))),
            Some(plan) if named.is_empty() => Ok(plan),
            Some(plan) => {
                let ids: Vec<String> = named.iter().chain([&plan]).map(|plan| plan.plan_id.to_string()).collect();
                Err(CliError::Check(format!("several plans are named {key}: say which, of {}", ids.join(", "))))
            }
        }
    }

    /// The plans of a plant that are not closed; of every plant for 0.
    pub async fn plans(&self, plant_id: u32) -> Result<Vec<api::ProductionPlan>, CliError> {
        let mut plans = Vec::new();
        let mut token = String::new();
        loop {
            let page = Some(api::Page { token, ..api::Page::default() });
            let request = api::ListPlansRequest { plant_id, page, consistency: None };
            let mut answer = self.client.list_plans(request).await?;
            plans.append(&mut answer.plans);
            token = answer.next_page_token;
            if token.is_empty() {
                return Ok(plans);
            }
        }
    }

    /// A market with its two assets.
    pub async fn described(&mut self, market: api::Market) -> Result<Market, CliError> {
        let base = self.asset_by_id(market.base_asset_id).await?;
        let quote = self.asset_by_id(market.quote_asset_id).await?;
        Ok(Market { market, base, quote })
    }
}

fn missing(what: &str) -> CliError {
    ClientError::Protocol(format!("an answer without the {what}")).into()
}

/// A market with its two assets: enough to read and write its numbers.
#[derive(Debug, Clone)]
pub struct Market {
    /// The market.
    pub market: api::Market,
    /// What is traded.
    pub base: api::Asset,
    /// What it is traded for.
    pub quote: api::Asset,
}

impl Market {
    /// A price, which is in quote units for one whole base unit.
    pub fn price(&self, price: u64) -> String {
        amount(price, self.quote.scale)
    }

    /// A quantity of the base asset.
    pub fn quantity(&self, quantity: u64) -> String {
        amount(quantity, self.base.scale)
    }

    /// Money: a notional, a fee.
    pub fn money(&self, number: impl Into<i128>) -> String {
        amount(number, self.quote.scale)
    }

    /// A price from the command line.
    pub fn parse_price(&self, option: &'static str, text: &str) -> Result<u64, CliError> {
        positive(option, text, self.quote.scale)
    }

    /// A quantity from the command line.
    pub fn parse_quantity(&self, option: &'static str, text: &str) -> Result<u64, CliError> {
        positive(option, text, self.base.scale)
    }
}

/// A decimal from the command line, in the smallest unit of its scale.
pub fn parse(option: &'static str, text: &str, scale: u32) -> Result<u64, CliError> {
    let scale = u8::try_from(scale).unwrap_or(u8::MAX);
    decimal::parse(text, scale).map_err(|source| CliError::Decimal { option, text: text.to_owned(), source })
}

/// As [`parse`], of what cannot be nothing. On the wire zero often means "all" or "as it is", which nobody
/// means who writes a 0.
pub fn positive(option: &'static str, text: &str, scale: u32) -> Result<u64, CliError> {
    match parse(option, text, scale)? {
        0 => Err(CliError::Usage { option, reason: "must be above 0".to_owned() }),
        number => Ok(number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zero_is_refused_by_the_name_of_its_option() {
        assert_eq!(positive("--amount", "1.20", 2).expect("a number"), 120);
        for zero in ["0", "0.00"] {
            let refused = positive("--amount", zero, 2).expect_err("nothing");
            assert_eq!((refused.to_string().as_str(), refused.exit_code()), ("--amount: must be above 0", 2));
        }
    }
}
