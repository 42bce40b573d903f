//! `counterfoil replay`: plays a recorded day into a market, through a pipelined session.
//!
//! `lobster` reads the file, `plan` decides which commands it takes, `stage` makes them the
//! ledger's, `run` sends them, `check` and `book` compare what the cluster did with the record.

pub mod book;
pub mod check;
mod foresight;
pub mod lobster;
pub mod plan;
mod run;
mod shadow;
pub mod stage;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::Instant;

use clap::ValueEnum;
use serde::Serialize;

use super::args::{Connection, Output};
use super::table::list;
use super::{CliError, block_on};
use crate::client::{Client, api};
use check::{Checker, Tally};
use lobster::Day;
use stage::Stage;

/// The most orders of a side that the book is asked for at the end.
const BOOK_ORDERS_MAX: u32 = 10_000;
/// Entries of a page of accounts.
const PAGE_SIZE: u32 = 1_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A zip of LOBSTER's message and order book files
    Lobster,
}

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    connection: Connection,
    /// What the file is
    #[arg(long, value_enum)]
    format: Format,
    /// Compare the book after each event, and the maker of each execution, with the record
    #[arg(long)]
    check: bool,
    /// The symbol of the market to create and play into [default: TICKER.LOBSTER]
    #[arg(long, value_name = "SYMBOL")]
    market: Option<String>,
    /// How many times faster than the market was, or max
    #[arg(long, default_value = "max", value_parser = speed)]
    speed: Speed,
    /// How the result is printed
    #[arg(long, value_enum, default_value_t)]
    output: Output,
    /// The recorded day
    file: PathBuf,
}

#[derive(Debug, Clone, Copy)]
struct Speed(Option<u32>);

fn speed(text: &str) -> Result<Speed, String> {
    match text {
        "max" => Ok(Speed(None)),
        _ => match text.parse() {
            Ok(times @ 1..) => Ok(Speed(Some(times))),
            _ => Err("neither max nor a whole number above 0".to_owned()),
        },
    }
}

/// What a replay came to.
#[derive(Debug, Serialize)]
struct Report {
    ticker: String,
    market: String,
    checked: bool,
    #[serde(flatten)]
    tally: Tally,
    seconds: f64,
    commands_per_second: f64,
    /// Whether the book that a query shows is the one that the records make.
    book_equal: Option<bool>,
    open_orders: Option<usize>,
    /// Whether every asset sums to zero over all accounts.
    assets_sum_to_zero: bool,
}

pub(super) fn run(args: &Args) -> Result<(), CliError> {
    let Format::Lobster = args.format;
    let day = Day::open(&args.file).map_err(|source| CliError::Recording { path: args.file.clone(), source })?;
    let report = block_on(replay(args, &day))?;
    print(args, &report)?;
    judge(&report)
}

async fn replay(args: &Args, day: &Day) -> Result<Report, CliError> {
    let client = args.connection.client()?;
    let stage = Stage::new(day, args.market.as_deref());
    let created = stage.set(&client).await?;
    let bar = run::progress(day);
    let options = run::Options { check: args.check, speed: args.speed.0 };
    let started = Instant::now();
    let checker = run::play(&client, day, &stage, created, options, &bar).await;
    let seconds = started.elapsed().as_secs_f64();
    bar.finish_and_clear();
    let checker = checker?;
    let book_equal = if args.check { Some(book_equal(&client, &stage, &checker).await?) } else { None };
    Ok(Report {
        ticker: day.ticker.clone(),
        market: stage.symbol.clone(),
        checked: args.check,
        open_orders: args.check.then(|| checker.book.order_count()),
        book_equal,
        assets_sum_to_zero: assets_sum_to_zero(&client).await?,
        commands_per_second: checker.tally.commands as f64 / seconds.max(f64::EPSILON),
        seconds,
        tally: checker.tally,
    })
}

/// Whether the cluster's answer to a query shows the book that its records make.
async fn book_equal(client: &Client, stage: &Stage, checker: &Checker<'_>) -> Result<bool, CliError> {
    let request = api::GetOrderBookRequest { market_id: stage.market_id(), limit: BOOK_ORDERS_MAX, consistency: None };
    let mut answer = client.get_order_book(request).await?;
    answer.bids.append(&mut answer.asks);
    Ok(checker.book.holds(&answer.bids))
}

/// Whether every asset sums to zero over all accounts, at a quiet moment.
async fn assets_sum_to_zero(client: &Client) -> Result<bool, CliError> {
    let mut sums = BTreeMap::<u32, i128>::new();
    let mut page = api::Page { size: PAGE_SIZE, ..api::Page::default() };
    loop {
        let request = api::ListAccountsRequest { page: Some(page.clone()), consistency: None };
        let accounts = client.list_accounts(request).await?;
        for account in &accounts.accounts {
            let request = api::ListBalancesRequest { account_id: account.account_id, ..Default::default() };
            for balance in client.list_balances(request).await?.balances {
                *sums.entry(balance.asset_id).or_default() += i128::from(balance.posted);
            }
        }
        if accounts.next_page_token.is_empty() {
            return Ok(sums.values().all(|&sum| sum == 0));
        }
        page.token = accounts.next_page_token;
    }
}

fn print(args: &Args, report: &Report) -> Result<(), CliError> {
    let mut out = std::io::stdout().lock();
    if args.output == Output::Json {
        writeln!(out, "{:#}", serde_json::to_value(report).unwrap_or_default())?;
        return Ok(());
    }
    let Tally { events, commands, duplicates, rejected, seeds, .. } = report.tally;
    let mut rows = vec![
        ("market", report.market.clone()),
        ("events", events.to_string()),
        ("commands", format!("{commands}, of these answered before {duplicates}, refused {rejected}")),
        ("seeds", seeds.to_string()),
        ("time", format!("{:.1} s, {:.0} commands/s", report.seconds, report.commands_per_second)),
    ];
    if report.checked {
        let tally = &report.tally;
        rows.push(("sides equal", share(tally.sides_equal, tally.sides_total)));
        rows.push(("makers equal", share(tally.makers_equal, tally.executions_known)));
        rows.push(("makers differ", share(tally.makers_differ, tally.executions_known)));
        rows.push(("executions of unknown orders", tally.executions_unknown.to_string()));
        rows.push(("foreign records", tally.foreign_records.to_string()));
        rows.push(("book as queried", word(report.book_equal.unwrap_or_default())));
    }
    rows.push(("assets sum to zero", word(report.assets_sum_to_zero)));
    writeln!(out, "{}", list(rows))?;
    Ok(())
}

fn word(good: bool) -> String {
    if good { "yes" } else { "NO" }.to_owned()
}

fn share(part: u64, whole: u64) -> String {
    format!("{part} of {whole} ({:.3} %)", part as f64 * 100.0 / whole.max(1) as f64)
}

/// What no drift of the record explains is a failure of the cluster.
fn judge(report: &Report) -> Result<(), CliError> {
    if !report.assets_sum_to_zero {
        return Err(CliError::Check("an asset does not sum to zero".to_owned()));
    }
    if report.book_equal == Some(false) && report.tally.foreign_records == 0 {
        return Err(CliError::Check("the book that a query shows is not the one that the records make".to_owned()));
    }
    Ok(())
}
