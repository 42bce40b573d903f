//! `ctl market`.

use super::pages::{PageArgs, pages};
use super::words::{self, Phase};
use super::{Context, Fresh, Key, print};
use crate::cli::CliError;
use crate::cli::names::positive;
use crate::cli::table::{Column, table};
use crate::client::api;

#[derive(Debug, clap::Subcommand)]
pub enum Verb {
    /// Add a market
    Create(Box<Create>),
    /// Show one
    Get {
        /// Symbol or id
        market: String,
        #[command(flatten)]
        fresh: Fresh,
    },
    /// List them
    List {
        #[command(flatten)]
        page: PageArgs,
        #[command(flatten)]
        fresh: Fresh,
    },
    /// Move it to another trading phase
    Phase {
        /// Symbol or id
        market: String,
        /// The new phase
        #[arg(value_enum)]
        phase: Phase,
        #[command(flatten)]
        key: Key,
    },
}

#[derive(Debug, clap::Args)]
pub struct Create {
    /// A number of your choice, above 0
    #[arg(long)]
    market_id: u32,
    /// Its unique symbol: "AAPL/USD"
    #[arg(long)]
    symbol: String,
    /// What is traded: code or id
    #[arg(long)]
    base: String,
    /// What it is traded for: code or id
    #[arg(long)]
    quote: String,
    /// Prices are multiples of this
    #[arg(long)]
    tick: String,
    /// Quantities are multiples of this
    #[arg(long)]
    lot: String,
    /// What the resting side pays, in hundredths of a basis point; negative is a rebate
    #[arg(long, default_value_t = 0, allow_negative_numbers = true)]
    maker_fee: i32,
    /// What the incoming side pays, in hundredths of a basis point
    #[arg(long, default_value_t = 0, allow_negative_numbers = true)]
    taker_fee: i32,
    /// Where fees go
    #[arg(long)]
    fee_account: u64,
    /// The largest quantity of one order
    #[arg(long)]
    quantity_max: String,
    /// The largest price × quantity of one order
    #[arg(long)]
    notional_max: String,
    /// The phase it opens in
    #[arg(long, value_enum, default_value_t = Phase::Continuous)]
    phase: Phase,
    #[command(flatten)]
    key: Key,
}

pub async fn run(context: &mut Context, verb: Verb) -> Result<(), CliError> {
    match verb {
        Verb::Create(create) => create_market(context, *create).await,
        Verb::Get { market, fresh } => {
            use api::get_market_request::Key as Name;
            let key = market.parse().map_or(Name::Symbol(market), Name::MarketId);
            let request = api::GetMarketRequest { key: Some(key), consistency: fresh.consistency() };
            let answer = context.client.get_market(request).await?;
            if context.printed_json(&answer)? { Ok(()) } else { print_markets(context, answer.market).await }
        }
        Verb::List { page, fresh } => {
            let (client, consistency) = (context.client.clone(), fresh.consistency());
            let answer = pages(&page, async |page| {
                client.list_markets(api::ListMarketsRequest { page: Some(page), consistency }).await
            });
            let answer = answer.await?;
            if context.printed_json(&answer)? { Ok(()) } else { print_markets(context, answer.markets).await }
        }
        Verb::Phase { market, phase, key } => {
            let market_id = context.names.market(&market).await?.market.market_id;
            let phase = api::SetMarketPhase { market_id, phase: phase.into() };
            context.execute(key, api::command::Body::SetMarketPhase(phase)).await
        }
    }
}

async fn create_market(context: &mut Context, create: Create) -> Result<(), CliError> {
    let base = context.names.asset(&create.base).await?;
    let quote = context.names.asset(&create.quote).await?;
    let market = api::CreateMarket {
        market_id: create.market_id,
        symbol: create.symbol,
        base_asset_id: base.asset_id,
        quote_asset_id: quote.asset_id,
        tick: positive("--tick", &create.tick, quote.scale)?,
        lot: positive("--lot", &create.lot, base.scale)?,
        maker_fee: create.maker_fee,
        taker_fee: create.taker_fee,
        fee_account_id: create.fee_account,
        quantity_max: positive("--quantity-max", &create.quantity_max, base.scale)?,
        notional_max: positive("--notional-max", &create.notional_max, quote.scale)?,
        phase: create.phase.into(),
    };
    context.execute(create.key, api::command::Body::CreateMarket(market)).await
}

async fn print_markets(context: &mut Context, markets: impl IntoIterator<Item = api::Market>) -> Result<(), CliError> {
    let mut rows = Vec::new();
    for market in markets {
        let named = context.names.described(market).await?;
        let market = &named.market;
        rows.push(vec![
            market.market_id.to_string(),
            market.symbol.clone(),
            named.base.code.clone(),
            named.quote.code.clone(),
            named.price(market.tick),
            named.quantity(market.lot),
            format!("{} / {}", market.maker_fee, market.taker_fee),
            market.fee_account_id.to_string(),
            words::phase(market.phase),
            if market.last_price == 0 { String::new() } else { named.price(market.last_price) },
        ]);
    }
    let columns = [
        Column::Number("id"),
        Column::Text("symbol"),
        Column::Text("base"),
        Column::Text("quote"),
        Column::Number("tick"),
        Column::Number("lot"),
        Column::Text("maker / taker fee"),
        Column::Number("fees to"),
        Column::Text("phase"),
        Column::Number("last"),
    ];
    print(&table(&columns, rows))
}
