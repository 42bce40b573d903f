//! `ctl trade`.

use super::order::market_id;
use super::pages::{PageArgs, pages};
use super::{Context, Fresh, print, words};
use crate::cli::CliError;
use crate::cli::table::{Column, table, time};
use crate::client::api;

#[derive(Debug, clap::Subcommand)]
pub enum Verb {
    /// List trades of an account, of a market, or of an account in a market
    List {
        /// Whose
        #[arg(long, default_value_t = 0, hide_default_value = true)]
        account: u64,
        /// Where: symbol or id
        #[arg(long)]
        market: Option<String>,
        #[command(flatten)]
        page: PageArgs,
        #[command(flatten)]
        fresh: Fresh,
    },
}

pub async fn run(context: &mut Context, verb: Verb) -> Result<(), CliError> {
    let Verb::List { account, market, page, fresh } = verb;
    let market_id = market_id(context, market.as_deref()).await?;
    let (client, consistency) = (context.client.clone(), fresh.consistency());
    let answer = pages(&page, async |page| {
        let request = api::ListTradesRequest { account_id: account, market_id, page: Some(page), consistency };
        client.list_trades(request).await
    });
    let answer = answer.await?;
    if context.printed_json(&answer)? { Ok(()) } else { print_trades(context, &answer.trades).await }
}

/// Prints trades as a table.
pub async fn print_trades(context: &mut Context, trades: &[api::Trade]) -> Result<(), CliError> {
    let mut rows = Vec::new();
    for trade in trades {
        let market = context.names.market_by_id(trade.market_id).await?;
        rows.push(vec![
            trade.trade_id.to_string(),
            time(trade.time),
            market.market.symbol.clone(),
            words::side(trade.taker_side),
            market.price(trade.price),
            market.quantity(trade.quantity),
            format!("{} ({})", trade.maker_order_id, trade.maker_account_id),
            format!("{} ({})", trade.taker_order_id, trade.taker_account_id),
            format!("{} / {}", market.money(trade.maker_fee), market.money(trade.taker_fee)),
        ]);
    }
    let columns = [
        Column::Number("trade"),
        Column::Text("time"),
        Column::Text("market"),
        Column::Text("taker"),
        Column::Number("price"),
        Column::Number("quantity"),
        Column::Text("maker order (account)"),
        Column::Text("taker order (account)"),
        Column::Text("maker / taker fee"),
    ];
    print(&table(&columns, rows))
}
