//! What a replay needs on the ledger, and the commands that it sends: all ids follow from the file,
//! so that a second run, or one that goes on after a failure, repeats the same commands.

use bytes::Bytes;

use super::lobster::{Day, PRICE_SCALE};
use super::plan::{Action, Planned, Step};
use crate::cli::CliError;
use crate::client::{Client, api, derived_id, id_to_bytes};
use crate::core::types::Side;

/// What an account has to begin with, in its smallest unit: more than a day can use.
const MONEY: u64 = 100_000_000_000_000_000;
/// See [`MONEY`].
const SHARES: u64 = 1_000_000_000_000;
/// The largest order.
const QUANTITY_MAX: u64 = 1_000_000_000;
/// The largest price × quantity of an order.
const NOTIONAL_MAX: u64 = 10_000_000_000_000_000;

/// The accounts of a replay, by what they do; none can trade with itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Issuer = 1,
    RestingBuyer = 2,
    RestingSeller = 3,
    TakingBuyer = 4,
    TakingSeller = 5,
}

const TRADERS: [Role; 4] = [Role::RestingBuyer, Role::RestingSeller, Role::TakingBuyer, Role::TakingSeller];

/// The market that a day is played into.
#[derive(Debug, Clone)]
pub struct Stage {
    /// The market's symbol.
    pub symbol: String,
    ticker: String,
    digest: [u8; 32],
    /// Numbers accounts, assets and the market.
    tag: u32,
}

impl Stage {
    /// The stage for `day`, with a symbol of its own unless one is given.
    #[must_use]
    pub fn new(day: &Day, symbol: Option<&str>) -> Self {
        let symbol = symbol.map_or_else(|| format!("{}.LOBSTER", day.ticker), str::to_owned);
        let tag = derived_id(&[b"stage", symbol.as_bytes(), &day.digest]);
        // The high bit keeps clear of the small numbers that people give.
        let tag = 0x8000_0000 | ((tag.0 as u32) & 0x7FFF_FFF0);
        Self { symbol, ticker: day.ticker.clone(), digest: day.digest, tag }
    }

    /// The market's id.
    #[must_use]
    pub fn market_id(&self) -> u32 {
        self.tag
    }

    fn base_asset_id(&self) -> u32 {
        self.tag
    }

    fn quote_asset_id(&self) -> u32 {
        self.tag + 1
    }

    fn account_id(&self, role: Role) -> u64 {
        u64::from(self.tag) * 16 + role as u64
    }

    fn setup_id(&self, name: &str) -> Bytes {
        id_to_bytes(derived_id(&[b"setup", self.symbol.as_bytes(), &self.digest, name.as_bytes()]))
    }

    /// The id of a step's command.
    #[must_use]
    pub fn step_id(&self, step: Step) -> Bytes {
        let Step { event, number } = step;
        let place = [event.to_le_bytes(), number.to_le_bytes()].concat();
        id_to_bytes(derived_id(&[b"step", self.symbol.as_bytes(), &self.digest, &place]))
    }

    /// Assets, accounts, money and the market, each with its name.
    #[must_use]
    pub fn setup(&self) -> Vec<(String, api::Command)> {
        use api::command::Body;
        let mut commands = Vec::new();
        let mut add = |name: String, body: Body| {
            let id = self.setup_id(&name);
            commands.push((name, api::Command { id, linked: false, body: Some(body) }));
        };
        let asset = |asset_id, code: String, scale, kind: api::AssetKind| {
            Body::CreateAsset(api::CreateAsset { asset_id, code, scale, kind: kind.into() })
        };
        let money = format!("USD:{}", self.symbol);
        add(
            format!("asset {}", self.symbol),
            asset(self.base_asset_id(), self.symbol.clone(), 0, api::AssetKind::Security),
        );
        add(format!("asset {money}"), asset(self.quote_asset_id(), money, PRICE_SCALE, api::AssetKind::Currency));
        for role in [Role::Issuer].into_iter().chain(TRADERS) {
            let account_id = self.account_id(role);
            let account =
                api::CreateAccount { account_id, issuer: role == Role::Issuer, ..api::CreateAccount::default() };
            add(format!("account {account_id}"), Body::CreateAccount(account));
        }
        for role in TRADERS {
            for (asset_id, amount) in [(self.base_asset_id(), SHARES), (self.quote_asset_id(), MONEY)] {
                let credit_account_id = self.account_id(role);
                let transfer = api::Transfer {
                    debit_account_id: self.account_id(Role::Issuer),
                    credit_account_id,
                    asset_id,
                    amount,
                    ..api::Transfer::default()
                };
                add(format!("funding of {credit_account_id} with {asset_id}"), Body::Transfer(transfer));
            }
        }
        let market = api::CreateMarket {
            market_id: self.market_id(),
            symbol: self.symbol.clone(),
            base_asset_id: self.base_asset_id(),
            quote_asset_id: self.quote_asset_id(),
            tick: 1,
            lot: 1,
            fee_account_id: self.account_id(Role::Issuer),
            quantity_max: QUANTITY_MAX,
            notional_max: NOTIONAL_MAX,
            ..api::CreateMarket::default()
        };
        add(format!("market {}", self.symbol), Body::CreateMarket(market));
        commands
    }

    /// Sets the stage, or finds it set. Returns the sequence of the market's creation: everything
    /// that happens in the market comes after it.
    ///
    /// # Errors
    /// When the cluster does not answer, or the symbol is taken by another market.
    pub async fn set(&self, client: &Client) -> Result<u64, CliError> {
        let (names, commands): (Vec<_>, Vec<_>) = self.setup().into_iter().unzip();
        let answer = client.submit(api::SubmitRequest { commands }).await?;
        for (name, result) in names.iter().zip(&answer.results) {
            if result.rejection != 0 {
                let reason = result.rejection().as_str_name();
                return Err(CliError::Rejected(format!(
                    "{name} of the replay of {}: {reason}; name another market with --market",
                    self.ticker
                )));
            }
        }
        let market = answer.results.last().and_then(|result| result.position);
        Ok(market.map_or(1, |position| position.sequence))
    }

    /// The command of a step.
    #[must_use]
    pub fn command(&self, planned: &Planned) -> api::Command {
        use api::command::Body;
        let body = match planned.action {
            Action::Enter { side, price, quantity, .. } => Body::NewOrder(self.order(
                self.resting(side),
                side,
                quantity.0,
                price.0,
                api::TimeInForce::GoodTillCancel,
            )),
            Action::Take { side, price, quantity, .. } => {
                let account = self.account_id(match side {
                    Side::Buy => Role::TakingBuyer,
                    Side::Sell => Role::TakingSeller,
                });
                Body::NewOrder(self.order(account, side, quantity.0, price.0, api::TimeInForce::ImmediateOrCancel))
            }
            Action::Reduce { order, side, total } => Body::ReplaceOrder(api::ReplaceOrder {
                account_id: self.resting(side),
                order: Some(self.reference(order)),
                quantity: total.0,
                limit_price: 0,
            }),
            Action::Cancel { order, side } => Body::CancelOrder(api::CancelOrder {
                account_id: self.resting(side),
                order: Some(self.reference(order)),
            }),
        };
        api::Command { id: self.step_id(planned.step), linked: false, body: Some(body) }
    }

    fn resting(&self, side: Side) -> u64 {
        self.account_id(match side {
            Side::Buy => Role::RestingBuyer,
            Side::Sell => Role::RestingSeller,
        })
    }

    fn reference(&self, order: Step) -> api::OrderReference {
        let reference = api::order_reference::Reference::ClientOrderId(self.step_id(order));
        api::OrderReference { reference: Some(reference) }
    }

    fn order(
        &self,
        account_id: u64,
        side: Side,
        quantity: u64,
        price: u64,
        time_in_force: api::TimeInForce,
    ) -> api::NewOrder {
        api::NewOrder {
            account_id,
            market_id: self.market_id(),
            side: match side {
                Side::Buy => api::Side::Buy,
                Side::Sell => api::Side::Sell,
            }
            .into(),
            quantity,
            pricing: Some(api::new_order::Pricing::LimitPrice(price)),
            time_in_force: time_in_force.into(),
            ..api::NewOrder::default()
        }
    }
}
