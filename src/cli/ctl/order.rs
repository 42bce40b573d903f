//! `ctl order`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::pages::{PageArgs, pages};
use super::words::{self, SelfTradePrevention, Side, TimeInForce};
use super::{Context, Fresh, Key, print, trade};
use crate::cli::CliError;
use crate::cli::names::{parse, positive};
use crate::cli::table::{Column, table};
use crate::client::{api, id_from_hex, id_to_bytes, id_to_hex};
use api::command::Body;

#[derive(Debug, clap::Subcommand)]
pub enum Verb {
    /// Enter an order; `--id` is the client order id
    Place(Box<Place>),
    /// Change an open order's price or quantity
    Replace {
        #[command(flatten)]
        order: Reference,
        /// The new total quantity, what is filled already included
        #[arg(long)]
        quantity: String,
        /// The new limit price [default: as it is]
        #[arg(long)]
        limit: Option<String>,
        #[command(flatten)]
        key: Key,
    },
    /// Cancel an open order
    Cancel {
        #[command(flatten)]
        order: Reference,
        #[command(flatten)]
        key: Key,
    },
    /// Cancel every open order of an account
    CancelAll {
        /// Whose
        #[arg(long)]
        account: u64,
        /// Of this market alone: symbol or id
        #[arg(long)]
        market: Option<String>,
        /// Of this side alone
        #[arg(long, value_enum)]
        side: Option<Side>,
        #[command(flatten)]
        key: Key,
    },
    /// Show one, with its fills
    Get {
        /// The ledger's order id, or the client order id after `c:`
        order: String,
        /// Whose; needed with a client order id
        #[arg(long, default_value_t = 0, hide_default_value = true)]
        account: u64,
        #[command(flatten)]
        fresh: Fresh,
    },
    /// List orders of an account or a market
    List {
        /// Whose [default: everyone's, with --market]
        #[arg(long, default_value_t = 0, hide_default_value = true)]
        account: u64,
        /// Of this market alone: symbol or id
        #[arg(long)]
        market: Option<String>,
        /// Of this side alone
        #[arg(long, value_enum)]
        side: Option<Side>,
        /// Ended ones too; needs --account
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        page: PageArgs,
        #[command(flatten)]
        fresh: Fresh,
    },
}

#[derive(Debug, clap::Args)]
pub struct Place {
    /// Who trades
    #[arg(long)]
    account: u64,
    /// Where: symbol or id
    #[arg(long)]
    market: String,
    /// Which way
    #[arg(long, value_enum)]
    side: Side,
    /// How much; with --budget the most it buys
    #[arg(long)]
    quantity: String,
    /// A limit order: trades at this price or better, and rests at it
    #[arg(long, group = "pricing")]
    limit: Option<String>,
    /// A market order: trades at this price or better, the rest is cancelled
    #[arg(long, group = "pricing")]
    worst: Option<String>,
    /// A market order that buys for at most this much, fees included
    #[arg(long, group = "pricing")]
    budget: Option<String>,
    /// How long it stays in force
    #[arg(long, value_enum)]
    tif: Option<TimeInForce>,
    #[command(flatten)]
    expiry: Expiry,
    /// Refuse it when it would trade on entry
    #[arg(long)]
    post_only: bool,
    /// What happens before it would trade with its own account
    #[arg(long, value_enum)]
    stp: Option<SelfTradePrevention>,
    /// The planned purchase that it buys, on a market of its item: its trades are receipts of that
    #[arg(long)]
    purchase: Option<u64>,
    #[command(flatten)]
    key: Key,
}

/// When something ends.
#[derive(Debug, Clone, clap::Args)]
pub struct Expiry {
    /// When it ends, in seconds since the Unix epoch
    #[arg(long, value_name = "SECONDS")]
    expires_at: Option<String>,
    /// When it ends, in seconds from now; with `--id`, the same command cannot be sent twice so
    #[arg(long, value_name = "SECONDS", conflicts_with = "expires_at")]
    expires_in: Option<u64>,
}

/// Decimal places of a time that is kept in nanoseconds.
const NANOSECOND_SCALE: u32 = 9;

impl Expiry {
    /// In nanoseconds since the Unix epoch; 0 for never.
    pub fn nanoseconds(&self) -> Result<u64, CliError> {
        match (&self.expires_at, self.expires_in) {
            (Some(text), _) => parse("--expires-at", text, NANOSECOND_SCALE),
            (None, Some(seconds)) => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                let then = now.saturating_add(Duration::from_secs(seconds));
                Ok(u64::try_from(then.as_nanos()).unwrap_or(u64::MAX))
            }
            (None, None) => Ok(0),
        }
    }
}

/// An account's order.
#[derive(Debug, Clone, clap::Args)]
pub struct Reference {
    /// The ledger's order id, or the client order id after `c:`
    order: String,
    /// Whose
    #[arg(long)]
    account: u64,
}

/// Reads `123` or `c:1f`.
fn reference(text: &str) -> Result<api::OrderReference, CliError> {
    use api::order_reference::Reference;
    let reference = match text.strip_prefix("c:") {
        Some(hex) => id_from_hex(hex).map(|id| Reference::ClientOrderId(id_to_bytes(id))),
        None => text.parse().ok().map(Reference::OrderId),
    };
    let reason = || format!("{text:?} is neither an order id nor c: and a client order id in hexadecimal");
    match reference {
        Some(reference) => Ok(api::OrderReference { reference: Some(reference) }),
        None => Err(CliError::Usage { option: "ORDER", reason: reason() }),
    }
}

pub async fn run(context: &mut Context, verb: Verb) -> Result<(), CliError> {
    match verb {
        Verb::Place(place) => place_order(context, *place).await,
        Verb::Replace { order, quantity, limit, key } => {
            replace(context, key, &order, &quantity, limit.as_deref()).await
        }
        Verb::Cancel { order, key } => {
            let cancel = api::CancelOrder { account_id: order.account, order: Some(reference(&order.order)?) };
            context.execute(key, Body::CancelOrder(cancel)).await
        }
        Verb::CancelAll { account, market, side, key } => {
            let market_id = market_id(context, market.as_deref()).await?;
            let side = side.map_or(0, Into::into);
            let cancel = api::MassCancel { account_id: account, market_id, side };
            context.execute(key, Body::MassCancel(cancel)).await
        }
        Verb::Get { order, account, fresh } => get(context, account, reference(&order)?, fresh).await,
        Verb::List { account, market, side, all, page, fresh } => {
            let market_id = market_id(context, market.as_deref()).await?;
            let (client, consistency) = (context.client.clone(), fresh.consistency());
            let request = api::ListOrdersRequest {
                account_id: account,
                market_id,
                side: side.map_or(0, Into::into),
                include_ended: all,
                page: None,
                consistency,
            };
            let answer = pages(&page, async |page| {
                client.list_orders(api::ListOrdersRequest { page: Some(page), ..request.clone() }).await
            });
            let answer = answer.await?;
            if context.printed_json(&answer)? { Ok(()) } else { print_orders(context, &answer.orders).await }
        }
    }
}

/// The id of a market that may be left out; 0 is all.
pub async fn market_id(context: &mut Context, market: Option<&str>) -> Result<u32, CliError> {
    match market {
        Some(market) => Ok(context.names.market(market).await?.market.market_id),
        None => Ok(0),
    }
}

async fn place_order(context: &mut Context, place: Place) -> Result<(), CliError> {
    use api::new_order::Pricing;
    let market = context.names.market(&place.market).await?;
    let pricing = match (&place.limit, &place.worst, &place.budget) {
        (Some(limit), _, _) => Pricing::LimitPrice(market.parse_price("--limit", limit)?),
        (_, Some(worst), _) => Pricing::WorstPrice(market.parse_price("--worst", worst)?),
        (_, _, Some(budget)) => Pricing::QuoteBudget(positive("--budget", budget, market.quote.scale)?),
        (None, None, None) => {
            return Err(CliError::Usage {
                option: "--limit",
                reason: "an order needs a price: --limit, --worst or --budget".to_owned(),
            });
        }
    };
    let order = api::NewOrder {
        account_id: place.account,
        market_id: market.market.market_id,
        side: place.side.into(),
        quantity: market.parse_quantity("--quantity", &place.quantity)?,
        pricing: Some(pricing),
        time_in_force: place.tif.map_or(0, Into::into),
        expires_at: place.expiry.nanoseconds()?,
        post_only: place.post_only,
        self_trade_prevention: place.stp.map_or(0, Into::into),
    };
    let body = match place.purchase {
        Some(purchase_id) => Body::BuyPurchase(api::BuyPurchase { purchase_id, order: Some(order) }),
        None => Body::NewOrder(order),
    };
    context.execute(place.key, body).await
}

async fn replace(
    context: &mut Context,
    key: Key,
    order: &Reference,
    quantity: &str,
    limit: Option<&str>,
) -> Result<(), CliError> {
    let named = reference(&order.order)?;
    let request = api::GetOrderRequest { account_id: order.account, order: Some(named.clone()), consistency: None };
    let market_id = context.client.get_order(request).await?.order.map(|order| order.market_id);
    let market = context.names.market_by_id(market_id.unwrap_or_default()).await?;
    let replace = api::ReplaceOrder {
        account_id: order.account,
        order: Some(named),
        quantity: market.parse_quantity("--quantity", quantity)?,
        limit_price: limit.map(|limit| market.parse_price("--limit", limit)).transpose()?.unwrap_or(0),
    };
    context.execute(key, Body::ReplaceOrder(replace)).await
}

async fn get(context: &mut Context, account_id: u64, order: api::OrderReference, fresh: Fresh) -> Result<(), CliError> {
    let request = api::GetOrderRequest { account_id, order: Some(order), consistency: fresh.consistency() };
    let answer = context.client.get_order(request).await?;
    if context.printed_json(&answer)? {
        return Ok(());
    }
    print_orders(context, answer.order.as_slice()).await?;
    if answer.fills.is_empty() { Ok(()) } else { trade::print_trades(context, &answer.fills).await }
}

async fn print_orders(context: &mut Context, orders: &[api::Order]) -> Result<(), CliError> {
    use api::order::Pricing;
    let mut rows = Vec::new();
    for order in orders {
        let market = context.names.market_by_id(order.market_id).await?;
        let price = match order.pricing {
            Some(Pricing::LimitPrice(price)) => market.price(price),
            Some(Pricing::WorstPrice(price)) => format!("market to {}", market.price(price)),
            Some(Pricing::QuoteBudget(budget)) => format!("market for {}", market.money(budget)),
            None => String::new(),
        };
        rows.push(vec![
            order.order_id.to_string(),
            order.account_id.to_string(),
            market.market.symbol.clone(),
            words::side(order.side),
            price,
            market.quantity(order.quantity),
            market.quantity(order.filled),
            market.quantity(order.open),
            words::status(order.status),
            words::time_in_force(order.time_in_force),
            id_to_hex(&order.client_order_id),
        ]);
    }
    let columns = [
        Column::Number("order"),
        Column::Number("account"),
        Column::Text("market"),
        Column::Text("side"),
        Column::Number("price"),
        Column::Number("quantity"),
        Column::Number("filled"),
        Column::Number("open"),
        Column::Text("status"),
        Column::Text("tif"),
        Column::Text("client order id"),
    ];
    print(&table(&columns, rows))
}
