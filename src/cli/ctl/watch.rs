//! `ctl watch`: every event as it happens.

use std::io::Write as _;

use serde_json::Value;

use super::Context;
use crate::cli::CliError;
use crate::cli::args::Output;
use crate::cli::json::to_json;
use crate::cli::table::time;
use crate::client::{api, id_to_hex};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The first event wanted [default: the next one to happen]
    #[arg(long, default_value_t = 0, hide_default_value = true, value_name = "SEQUENCE")]
    from: u64,
    /// End after this event, instead of going on
    #[arg(long, value_name = "SEQUENCE")]
    to: Option<u64>,
    /// Of these accounts alone
    #[arg(long, value_delimiter = ',')]
    account: Vec<u64>,
    /// Of these markets alone: symbols or ids
    #[arg(long, value_delimiter = ',')]
    market: Vec<String>,
    /// Of these assets alone: codes or ids
    #[arg(long, value_delimiter = ',')]
    asset: Vec<String>,
}

pub async fn run(context: &mut Context, args: Args) -> Result<(), CliError> {
    let mut filter = api::EventFilter { account_ids: args.account, ..api::EventFilter::default() };
    for market in &args.market {
        filter.market_ids.push(context.names.market(market).await?.market.market_id);
    }
    for asset in &args.asset {
        filter.asset_ids.push(context.names.asset(asset).await?.asset_id);
    }
    let mut watch = context.client.watch(args.from, Some(filter));
    loop {
        let response = watch.next().await?;
        let mut out = std::io::stdout().lock();
        for record in &response.records {
            let sequence = record.position.map_or(0, |position| position.sequence);
            if args.to.is_some_and(|to| sequence > to) {
                return Ok(());
            }
            match context.output {
                // One line a record, so that programs can read it as it comes.
                Output::Json => writeln!(out, "{}", to_json(record))?,
                Output::Table => print_record(&mut out, record)?,
            }
        }
        out.flush()?;
        if args.to.is_some_and(|to| response.through_sequence >= to) {
            return Ok(());
        }
    }
}

fn print_record(out: &mut impl std::io::Write, record: &api::Record) -> Result<(), CliError> {
    let command = if record.command_id.is_empty() { "time".to_owned() } else { id_to_hex(&record.command_id) };
    writeln!(out, "{}  {command}", time(record.time))?;
    for event in &record.events {
        let json = to_json(event);
        let body =
            json.as_object().into_iter().flatten().find(|(key, _)| !["sequence", "postings"].contains(&key.as_str()));
        let (name, body) = body.map_or(("", &Value::Null), |(name, body)| (name.as_str(), body));
        writeln!(out, "  {:>8}  {:<18} {}", event.sequence, name.replace('_', " "), words(body))?;
    }
    Ok(())
}

/// A body as `key value` pairs, without what says nothing.
fn words(body: &Value) -> String {
    match body {
        Value::Object(fields) => {
            let said = fields.iter().filter(|(_, value)| !matches!(value, Value::Null | Value::Bool(false)));
            let said =
                said.filter(|(_, value)| !matches!(value.as_u64(), Some(0)) && !matches!(value.as_str(), Some("")));
            said.map(|(key, value)| format!("{key} {}", words(value))).collect::<Vec<_>>().join(", ")
        }
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
