//! The names that a transcript gives to assets, accounts, markets and commands.

use std::collections::BTreeMap;

use counterfoil_core::command::OrderToFirm;
use counterfoil_core::types::{AccountId, AssetId, CommandId, MarketId, PlanId, PlantId, Sequence, WorkOrderId};

/// An asset's id and decimal places.
#[derive(Debug, Clone, Copy)]
pub struct Asset {
    pub id: AssetId,
    pub scale: u8,
}

/// A market's id and its assets.
#[derive(Debug, Clone, Copy)]
pub struct Market {
    pub id: MarketId,
    pub base: Asset,
    pub quote: Asset,
}

/// Every name so far.
#[derive(Debug, Default)]
pub struct Names {
    assets: BTreeMap<String, Asset>,
    accounts: BTreeMap<String, AccountId>,
    markets: BTreeMap<String, Market>,
    plants: BTreeMap<String, PlantId>,
    labels: BTreeMap<String, CommandId>,
    work_orders: BTreeMap<CommandId, WorkOrderId>,
    plans: BTreeMap<CommandId, PlanId>,
    /// Orders that plans made, `p1.3` being the third of p1, with the decimal places of what they bring.
    ordered: BTreeMap<String, (u64, u8)>,
    /// What the last question about requirements found, and of which state.
    pub calculated: Option<(Sequence, Vec<OrderToFirm>)>,
    next_command: u128,
}

/// What a name that was never given stands for: an id that nothing has.
const NOTHING: Asset = Asset { id: AssetId(999), scale: 0 };

impl Names {
    pub fn asset(&self, code: &str) -> Asset {
        self.assets.get(code).copied().unwrap_or(NOTHING)
    }

    pub fn add_asset(&mut self, code: &str, scale: u8) -> AssetId {
        let id = AssetId(self.assets.len() as u32 + 1);
        self.assets.entry(code.to_owned()).or_insert(Asset { id, scale }).id
    }

    pub fn account(&self, name: &str) -> AccountId {
        self.accounts.get(name).copied().unwrap_or(AccountId(999))
    }

    pub fn add_account(&mut self, name: &str) -> AccountId {
        let id = AccountId(self.accounts.len() as u64 + 1);
        *self.accounts.entry(name.to_owned()).or_insert(id)
    }

    pub fn market(&self, symbol: &str) -> Market {
        let unknown = Market { id: MarketId(999), base: NOTHING, quote: NOTHING };
        self.markets.get(symbol).copied().unwrap_or(unknown)
    }

    /// A market is named after its assets; a word behind them tells two of one pair apart: `A/B#2`.
    pub fn add_market(&mut self, symbol: &str) -> Result<Market, String> {
        let (base, quote) = symbol.split_once('/').ok_or("a symbol is BASE/QUOTE")?;
        let quote = quote.split('#').next().unwrap_or(quote);
        let id = MarketId(self.markets.len() as u32 + 1);
        let market = Market { id, base: self.asset(base), quote: self.asset(quote) };
        Ok(*self.markets.entry(symbol.to_owned()).or_insert(market))
    }

    pub fn plant(&self, name: &str) -> PlantId {
        self.plants.get(name).copied().unwrap_or(PlantId(999))
    }

    pub fn add_plant(&mut self, name: &str) -> PlantId {
        let id = PlantId(self.plants.len() as u32 + 1);
        *self.plants.entry(name.to_owned()).or_insert(id)
    }

    pub fn plant_name(&self, id: PlantId) -> String {
        let found = self.plants.iter().find(|(_, plant)| **plant == id);
        found.map_or(format!("plant-{id}"), |(name, _)| name.clone())
    }

    /// The work order that the command of this id created.
    pub fn work_order(&self, command: CommandId) -> WorkOrderId {
        self.work_orders.get(&command).copied().unwrap_or(WorkOrderId(u64::MAX))
    }

    pub fn add_work_order(&mut self, command: CommandId, id: WorkOrderId) {
        self.work_orders.insert(command, id);
    }

    /// The plan that the command of this label created.
    pub fn plan(&self, label: CommandId) -> PlanId {
        self.plans.get(&label).copied().unwrap_or(PlanId(u64::MAX))
    }

    pub fn add_plan(&mut self, command: CommandId, id: PlanId) {
        self.plans.insert(command, id);
    }

    pub fn plan_label(&self, id: PlanId) -> String {
        let command = self.plans.iter().find(|(_, plan)| **plan == id).map(|(command, _)| *command);
        command.and_then(|command| self.command_label(command)).unwrap_or_else(|| format!("plan {id}"))
    }

    /// Names an order that a plan made.
    pub fn add_ordered(&mut self, plan: PlanId, id: u64, item: AssetId) {
        let prefix = format!("{}.", self.plan_label(plan));
        let number = self.ordered.keys().filter(|label| label.starts_with(&prefix)).count() + 1;
        self.ordered.insert(format!("{prefix}{number}"), (id, self.asset_code(item).1));
    }

    /// The id of an order that a plan made, and the decimal places of what it brings.
    pub fn ordered(&self, label: &str) -> Option<(u64, u8)> {
        self.ordered.get(label).copied()
    }

    pub fn ordered_label(&self, id: u64) -> Option<String> {
        self.ordered.iter().find(|(_, (ordered, _))| *ordered == id).map(|(label, _)| label.clone())
    }

    /// The id behind a label: a new one when the label is new.
    pub fn label(&mut self, label: &str) -> CommandId {
        if let Some(id) = self.labels.get(label) {
            return *id;
        }
        let id = self.fresh();
        self.labels.insert(label.to_owned(), id);
        id
    }

    /// An id without a label.
    pub fn fresh(&mut self) -> CommandId {
        self.next_command += 1;
        CommandId(self.next_command)
    }

    pub fn asset_code(&self, id: AssetId) -> (String, u8) {
        let found = self.assets.iter().find(|(_, asset)| asset.id == id);
        found.map_or((format!("asset-{id}"), 0), |(code, asset)| (code.clone(), asset.scale))
    }

    pub fn account_name(&self, id: AccountId) -> String {
        let found = self.accounts.iter().find(|(_, account)| **account == id);
        found.map_or(format!("account-{id}"), |(name, _)| name.clone())
    }

    pub fn market_symbol(&self, id: MarketId) -> (String, Market) {
        let found = self.markets.iter().find(|(_, market)| market.id == id).expect("an event names a known market");
        (found.0.clone(), *found.1)
    }

    pub fn command_label(&self, id: CommandId) -> Option<String> {
        self.labels.iter().find(|(_, label)| **label == id).map(|(label, _)| label.clone())
    }
}
