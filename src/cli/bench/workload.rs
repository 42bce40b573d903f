//! What the load driver asks for.

use std::collections::VecDeque;

use super::Workload;
use crate::cli::random::Random;
use crate::cli::works::Works;
use crate::cli::{CliError, ground};
use crate::client::{Client, api, id_to_bytes};
use crate::core::types::CommandId;

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

const MONEY_ASSET: u32 = 900_001;
const SHARE_ASSET: u32 = 900_002;
const MARKET: u32 = 900_001;
const ISSUER: u64 = 900_000;
/// The first client's account; each client has [`ACCOUNTS_PER_CLIENT`].
const FIRST_ACCOUNT: u64 = 900_001;
/// Accounts that a client uses.
const ACCOUNTS_PER_CLIENT: u64 = 16;
/// What every account has, in its smallest unit.
const FUNDS: u64 = 1_000_000_000_000;
/// The price that orders are placed around.
const PRICE: u64 = 10_000;
/// How far from it.
const SPREAD: u64 = 20;
/// What one work order makes.
const WORK_ORDER_UNITS: u64 = 4;
/// Orders of one client that stay open; older ones are cancelled.
const OPEN_ORDERS: usize = 500;

/// The accounts, assets and market that a load needs.
#[derive(Debug)]
pub struct Ground {
    workload: Workload,
}

impl Ground {
    /// Makes them, or finds them made.
    pub async fn prepare(client: &Client, workload: Workload, clients: u32) -> Result<Self, CliError> {
        let ground = ground::Ground {
            purpose: "bench",
            money: MONEY_ASSET,
            share: SHARE_ASSET,
            market: MARKET,
            issuer: ISSUER,
            fees: ISSUER,
            maker_fee: 0,
            taker_fee: 0,
            funds: FUNDS,
        };
        let accounts = FIRST_ACCOUNT..FIRST_ACCOUNT + u64::from(clients) * ACCOUNTS_PER_CLIENT;
        ground.prepare(client, accounts).await?;
        if workload == Workload::Production {
            WORKS.prepare(client).await?;
        }
        Ok(Self { workload })
    }

    /// The traffic of one client.
    pub fn traffic(&self, client: u32) -> Traffic {
        Traffic {
            workload: self.workload,
            client: u64::from(client),
            random: Random::fresh(),
            asked: VecDeque::new(),
            open: VecDeque::new(),
            works: VecDeque::new(),
        }
    }
}

/// One client's endless commands.
#[derive(Debug)]
pub struct Traffic {
    workload: Workload,
    client: u64,
    random: Random,
    /// The accounts of the commands under way, in order.
    asked: VecDeque<u64>,
    /// Orders that were left open, oldest first: account and order id.
    open: VecDeque<(u64, u64)>,
    /// Work orders that have not ended, and what they are by their last answer.
    works: VecDeque<(u64, api::WorkOrderState)>,
}

impl Traffic {
    /// The next commands.
    pub fn batch(&mut self, size: u32) -> Vec<api::Command> {
        (0..size).map(|_| self.command()).collect()
    }

    fn command(&mut self) -> api::Command {
        let (account, body) = match self.workload {
            Workload::Transfers => self.transfer(),
            Workload::Orders => self.order(),
            Workload::Production => (WORKS.shelf, self.work()),
        };
        self.asked.push_back(account);
        api::Command { id: id_to_bytes(CommandId(self.random.id())), linked: false, body: Some(body) }
    }

    fn transfer(&mut self) -> (u64, api::command::Body) {
        let from = self.random.below(ACCOUNTS_PER_CLIENT);
        let to = (from + 1 + self.random.below(ACCOUNTS_PER_CLIENT - 1)) % ACCOUNTS_PER_CLIENT;
        let body = api::command::Body::Transfer(api::Transfer {
            debit_account_id: self.account(from),
            credit_account_id: self.account(to),
            asset_id: MONEY_ASSET,
            amount: 1 + self.random.below(100),
            ..api::Transfer::default()
        });
        (self.account(from), body)
    }

    fn order(&mut self) -> (u64, api::command::Body) {
        if self.open.len() > OPEN_ORDERS
            && let Some((account_id, order_id)) = self.open.pop_front()
        {
            let reference = api::order_reference::Reference::OrderId(order_id);
            let order = Some(api::OrderReference { reference: Some(reference) });
            return (account_id, api::command::Body::CancelOrder(api::CancelOrder { account_id, order }));
        }
        let side = if self.random.below(2) == 0 { api::Side::Buy } else { api::Side::Sell };
        let place = self.random.below(ACCOUNTS_PER_CLIENT);
        let account_id = self.account(place);
        let body = api::command::Body::NewOrder(api::NewOrder {
            account_id,
            market_id: MARKET,
            side: side.into(),
            quantity: 1 + self.random.below(100),
            pricing: Some(api::new_order::Pricing::LimitPrice(PRICE - SPREAD + self.random.below(2 * SPREAD + 1))),
            self_trade_prevention: api::SelfTradePrevention::CancelOldest.into(),
            ..api::NewOrder::default()
        });
        (account_id, body)
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

    /// Takes in the answers, in order: keeps the orders that were left open, so that they are
    /// cancelled one day, and the work orders that have not ended, for their next step. Returns how many were refused otherwise than by what such a load must meet,
    /// the cancel of an order that was filled meanwhile.
    pub fn learn(&mut self, results: &[api::CommandResult]) -> u64 {
        let mut refused = 0;
        for result in results {
            let account = self.asked.pop_front().unwrap_or_default();
            if let Some(order) = result.work_order.as_ref().filter(|order| order.state() != api::WorkOrderState::Closed)
            {
                self.works.push_back((order.work_order_id, order.state()));
            }
            match (result.rejection(), &result.order) {
                (api::Rejection::Unspecified, Some(order)) if order.open > 0 => {
                    self.open.push_back((account, order.order_id));
                }
                (api::Rejection::Unspecified | api::Rejection::OrderNotOpen, _) => {}
                _ => refused += 1,
            }
        }
        refused
    }

    fn account(&self, place: u64) -> u64 {
        FIRST_ACCOUNT + self.client * ACCOUNTS_PER_CLIENT + place
    }
}
