//! `ctl book`.

use super::{Context, Fresh, print};
use crate::cli::CliError;
use crate::cli::names::Market;
use crate::cli::table::{Column, table};
use crate::client::api;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Symbol or id
    market: String,
    /// Levels (or orders) per side
    #[arg(long, default_value_t = 10)]
    depth: u32,
    /// Every order instead of every price
    #[arg(long)]
    by_order: bool,
    /// Print it again after every change, until interrupted
    #[arg(long)]
    watch: bool,
    #[command(flatten)]
    fresh: Fresh,
}

pub async fn run(context: &mut Context, args: Args) -> Result<(), CliError> {
    let market = context.names.market(&args.market).await?;
    if !args.watch {
        return show(context, &market, &args, args.fresh.consistency()).await;
    }
    let filter = api::EventFilter { market_ids: vec![market.market.market_id], ..api::EventFilter::default() };
    let mut changes = context.client.watch(0, Some(filter));
    show(context, &market, &args, args.fresh.consistency()).await?;
    loop {
        let change = changes.next().await?;
        if !change.records.is_empty() {
            let level = api::consistency::Level::AtLeastSequence(change.through_sequence);
            show(context, &market, &args, Some(api::Consistency { level: Some(level) })).await?;
        }
    }
}

async fn show(
    context: &Context,
    market: &Market,
    args: &Args,
    consistency: Option<api::Consistency>,
) -> Result<(), CliError> {
    let market_id = market.market.market_id;
    if args.by_order {
        let request = api::GetOrderBookRequest { market_id, limit: args.depth, consistency };
        let answer = context.client.get_order_book(request).await?;
        return if context.printed_json(&answer)? { Ok(()) } else { print(&by_order(market, &answer)) };
    }
    let request = api::GetBookRequest { market_id, depth: args.depth, consistency };
    let answer = context.client.get_book(request).await?;
    if context.printed_json(&answer)? { Ok(()) } else { print(&by_price(market, &answer)) }
}

/// Bids to the left, asks to the right, best on top.
fn by_price(market: &Market, book: &api::GetBookResponse) -> String {
    let level = |level: Option<&api::BookLevel>| match level {
        Some(level) => [level.order_count.to_string(), market.quantity(level.quantity), market.price(level.price)],
        None => Default::default(),
    };
    let rows = (0..book.bids.len().max(book.asks.len())).map(|place| {
        let [bid_orders, bid_quantity, bid_price] = level(book.bids.get(place));
        let [ask_orders, ask_quantity, ask_price] = level(book.asks.get(place));
        vec![bid_orders, bid_quantity, bid_price, ask_price, ask_quantity, ask_orders]
    });
    let columns = [
        Column::Number("orders"),
        Column::Number("quantity"),
        Column::Number("bid"),
        Column::Number("ask"),
        Column::Number("quantity"),
        Column::Number("orders"),
    ];
    let last = if book.last_price == 0 { "no trade yet".to_owned() } else { market.price(book.last_price) };
    let sequence = book.position.map_or(0, |position| position.sequence);
    format!("{} at sequence {sequence}, last {last}\n{}", market.market.symbol, table(&columns, rows))
}

/// Asks from the worst down to the best, then bids from the best down.
fn by_order(market: &Market, book: &api::GetOrderBookResponse) -> String {
    let row = |side: &str, order: &api::BookOrder| {
        vec![
            side.to_owned(),
            market.price(order.price),
            market.quantity(order.open),
            order.order_id.to_string(),
            order.account_id.to_string(),
        ]
    };
    let asks = book.asks.iter().rev().map(|order| row("ask", order));
    let bids = book.bids.iter().map(|order| row("bid", order));
    let columns = [
        Column::Text("side"),
        Column::Number("price"),
        Column::Number("open"),
        Column::Number("order"),
        Column::Number("account"),
    ];
    let sequence = book.position.map_or(0, |position| position.sequence);
    format!("{} at sequence {sequence}\n{}", market.market.symbol, table(&columns, asks.chain(bids)))
}
