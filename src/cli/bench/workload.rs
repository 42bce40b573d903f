//! What the load driver asks for.

use std::collections::VecDeque;
use std::sync::Arc;

use super::Workload;
use super::accounts::Accounts;
use super::ids::Ids;
use crate::cli::random::Random;
use crate::cli::works::Works;
use crate::cli::{CliError, ground};
use crate::client::{Client, api, id_to_bytes};

/// The money of every load.
pub const MONEY_ASSET: u32 = 900_001;
/// What the first market trades; the others trade what follows.
const SHARE_ASSET: u32 = 930_001;
const MARKET: u32 = 900_001;
/// What the production workload has.
const WORKS: Works = Works {
    purpose: "bench",
    plant: 900_001,
    money: MONEY_ASSET,
    tracked: 900_011,
    plain: 900_012,
    product: 900_013,
    issuer: 899_900,
    supplier: 899_901,
    shelf: 899_902,
    yard: 899_903,
    parts: FUNDS,
};
const ISSUER: u64 = 900_000;
/// The first account of a load.
const FIRST_ACCOUNT: u64 = 1_000_000;
/// What every account has, in its smallest unit. Of as many accounts as there may be the sum fits an amount.
const FUNDS: u64 = 100_000_000_000;
/// The price that orders are placed around.
const PRICE: u64 = 10_000;
/// How far from it orders rest.
const DEPTH: u64 = 50;
/// How far beyond it an order goes that is to trade.
const REACH: u64 = 2;
/// Open orders that one client keeps; beyond it, it cancels instead of entering.
const OPEN_ORDERS_MAX: usize = 20_000;
/// Postings that are read at once.
const POSTINGS: u32 = 100;
/// What one work order makes.
const WORK_ORDER_UNITS: u64 = 4;

/// The accounts, assets and markets that a load needs.
#[derive(Debug)]
pub struct Ground {
    workload: Workload,
    markets: u32,
    accounts: Arc<Accounts>,
}

impl Ground {
    /// Makes them, or finds them made.
    pub async fn prepare(
        client: &Client,
        workload: Workload,
        markets: u32,
        accounts: Accounts,
    ) -> Result<Self, CliError> {
        let ground = ground::Ground {
            purpose: "bench",
            money: MONEY_ASSET,
            share: SHARE_ASSET,
            market: MARKET,
            markets: if workload.trades() { markets } else { 1 },
            issuer: ISSUER,
            fees: ISSUER,
            maker_fee: 0,
            taker_fee: 0,
            funds: FUNDS,
        };
        ground.prepare(client, FIRST_ACCOUNT..FIRST_ACCOUNT + accounts.count()).await?;
        if workload == Workload::Production {
            WORKS.prepare(client).await?;
        }
        Ok(Self { workload, markets, accounts: Arc::new(accounts) })
    }

    /// The traffic of one client.
    pub fn traffic(&self) -> Traffic {
        Traffic {
            workload: self.workload,
            markets: u64::from(self.markets),
            accounts: Arc::clone(&self.accounts),
            random: Random::fresh(),
            ids: Ids::fresh(),
            asked: VecDeque::new(),
            open: Vec::new(),
            works: VecDeque::new(),
        }
    }
}

/// One client's endless commands.
#[derive(Debug)]
pub struct Traffic {
    workload: Workload,
    markets: u64,
    accounts: Arc<Accounts>,
    random: Random,
    ids: Ids,
    /// The commands under way, in order: of each that enters an order that may rest, its account.
    asked: VecDeque<Option<u64>>,
    /// Orders that were left open: account, order id.
    open: Vec<(u64, u64)>,
    /// Work orders that have not ended, and what they are by their last answer.
    works: VecDeque<(u64, api::WorkOrderState)>,
}

impl Traffic {
    /// The next commands.
    pub fn batch(&mut self, size: u32) -> Vec<api::Command> {
        (0..size).map(|_| self.command()).collect()
    }

    fn command(&mut self) -> api::Command {
        let body = match self.workload {
            Workload::Orders => self.order(),
            Workload::Production => self.work(),
            Workload::Mixed if self.random.below(2) == 0 => self.order(),
            Workload::Transfers | Workload::Mixed | Workload::Reads | Workload::Postings => self.transfer(),
        };
        self.asked.push_back(match &body {
            api::command::Body::NewOrder(new) => Some(new.account_id),
            _ => None,
        });
        api::Command { id: id_to_bytes(self.ids.next(&mut self.random)), linked: false, body: Some(body) }
    }

    fn transfer(&mut self) -> api::command::Body {
        let (from, to) = self.accounts.two(&mut self.random);
        api::command::Body::Transfer(api::Transfer {
            debit_account_id: FIRST_ACCOUNT + from,
            credit_account_id: FIRST_ACCOUNT + to,
            asset_id: MONEY_ASSET,
            amount: 1 + self.random.below(100),
            ..api::Transfer::default()
        })
    }

    /// Of a hundred, 45 enter an order that rests, 30 cancel one, 15 replace one, 10 trade.
    fn order(&mut self) -> api::command::Body {
        match self.random.below(100) {
            0..45 if self.open.len() < OPEN_ORDERS_MAX => self.enter(false),
            0..75 if !self.open.is_empty() => self.cancel(),
            75..90 if !self.open.is_empty() => self.replace(),
            90.. => self.enter(true),
            _ => self.enter(false),
        }
    }

    fn enter(&mut self, trades: bool) -> api::command::Body {
        let side = if self.random.below(2) == 0 { api::Side::Buy } else { api::Side::Sell };
        // Most orders rest near the price.
        let away = 1 + self.random.below(DEPTH).min(self.random.below(DEPTH));
        let price = match (side, trades) {
            (api::Side::Buy, false) => PRICE - away,
            (api::Side::Buy, true) => PRICE + REACH,
            (_, false) => PRICE + away,
            (_, true) => PRICE - REACH,
        };
        let time_in_force = if trades { api::TimeInForce::ImmediateOrCancel } else { api::TimeInForce::GoodTillCancel };
        api::command::Body::NewOrder(api::NewOrder {
            account_id: FIRST_ACCOUNT + self.accounts.one(&mut self.random),
            market_id: MARKET + self.random.below(self.markets) as u32,
            side: side.into(),
            quantity: 1 + self.random.below(100),
            pricing: Some(api::new_order::Pricing::LimitPrice(price)),
            time_in_force: time_in_force.into(),
            self_trade_prevention: api::SelfTradePrevention::CancelOldest.into(),
            ..api::NewOrder::default()
        })
    }

    fn cancel(&mut self) -> api::command::Body {
        let place = self.random.below(self.open.len() as u64) as usize;
        let (account_id, order_id) = self.open.swap_remove(place);
        let order = Some(reference(order_id));
        api::command::Body::CancelOrder(api::CancelOrder { account_id, order })
    }

    fn replace(&mut self) -> api::command::Body {
        let place = self.random.below(self.open.len() as u64) as usize;
        let (account_id, order_id) = self.open[place];
        let order = Some(reference(order_id));
        let quantity = 1 + self.random.below(100);
        api::command::Body::ReplaceOrder(api::ReplaceOrder { account_id, order, quantity, limit_price: 0 })
    }

    /// The next step of the oldest work order, or a new one.
    fn work(&mut self) -> api::command::Body {
        use api::WorkOrderState as State;
        use api::command::Body;
        match self.works.pop_front() {
            None => WORKS.create(WORK_ORDER_UNITS, true),
            Some((work_order_id, State::Planned)) => {
                Body::ReleaseWorkOrder(api::ReleaseWorkOrder { work_order_id, partial: false })
            }
            Some((work_order_id, State::Released)) => Works::complete(work_order_id, WORK_ORDER_UNITS),
            Some((work_order_id, _)) => Works::set(work_order_id, api::WorkOrderChange::Close),
        }
    }

    /// Takes in the answers, in order: keeps the orders that were left open, so that they are cancelled one
    /// day, and the work orders that have not ended, for their next step. Returns how many were refused otherwise than by what such a load must meet,
    /// the cancel or replacement of an order that was filled meanwhile.
    pub fn learn(&mut self, results: &[api::CommandResult]) -> u64 {
        let mut refused = 0;
        for result in results {
            if let Some(order) = result.work_order.as_ref().filter(|order| order.state() != api::WorkOrderState::Closed)
            {
                self.works.push_back((order.work_order_id, order.state()));
            }
            let entered = self.asked.pop_front().flatten();
            match (result.rejection(), &result.order) {
                (api::Rejection::Unspecified, Some(order)) if order.open > 0 => {
                    self.open.extend(entered.map(|account| (account, order.order_id)));
                }
                (api::Rejection::Unspecified | api::Rejection::OrderNotOpen, _) => {}
                _ => refused += 1,
            }
        }
        refused
    }

    /// The balances of some account.
    pub fn balances(&mut self) -> api::ListBalancesRequest {
        let account_id = FIRST_ACCOUNT + self.accounts.one(&mut self.random);
        api::ListBalancesRequest { account_id, ..api::ListBalancesRequest::default() }
    }

    /// The last postings of some account.
    pub fn postings(&mut self) -> api::ListPostingsRequest {
        let account_id = FIRST_ACCOUNT + self.accounts.one(&mut self.random);
        let page = Some(api::Page { size: POSTINGS, descending: true, ..api::Page::default() });
        api::ListPostingsRequest { account_id, page, ..api::ListPostingsRequest::default() }
    }
}

fn reference(order_id: u64) -> api::OrderReference {
    api::OrderReference { reference: Some(api::order_reference::Reference::OrderId(order_id)) }
}
