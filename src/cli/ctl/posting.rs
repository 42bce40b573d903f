//! `ctl posting`.

use super::pages::{PageArgs, pages};
use super::{Context, Fresh, print};
use crate::cli::CliError;
use crate::cli::table::{Column, amount, table, time};
use crate::client::{api, id_to_hex};

#[derive(Debug, clap::Subcommand)]
pub enum Verb {
    /// List an account's postings
    List {
        /// Whose
        #[arg(long)]
        account: u64,
        /// In this asset alone: code or id
        #[arg(long)]
        asset: Option<String>,
        #[command(flatten)]
        page: PageArgs,
        #[command(flatten)]
        fresh: Fresh,
    },
}

pub async fn run(context: &mut Context, verb: Verb) -> Result<(), CliError> {
    let Verb::List { account, asset, page, fresh } = verb;
    let asset_id = match asset {
        Some(asset) => context.names.asset(&asset).await?.asset_id,
        None => 0,
    };
    let (client, consistency) = (context.client.clone(), fresh.consistency());
    let answer = pages(&page, async |page| {
        let request = api::ListPostingsRequest { account_id: account, asset_id, page: Some(page), consistency };
        client.list_postings(request).await
    });
    let answer = answer.await?;
    if context.printed_json(&answer)? {
        return Ok(());
    }
    let mut rows = Vec::new();
    for (entry, posting) in answer.postings.iter().filter_map(|entry| Some((entry, entry.posting?))) {
        let asset = context.names.asset_by_id(posting.asset_id).await?;
        let number = |number: i64| amount(number, asset.scale);
        rows.push(vec![
            entry.sequence.to_string(),
            time(entry.time),
            asset.code.clone(),
            number(posting.amount),
            number(posting.hold),
            number(posting.posted),
            number(posting.reserved),
            id_to_hex(&entry.command_id),
        ]);
    }
    let columns = [
        Column::Number("sequence"),
        Column::Text("time"),
        Column::Text("asset"),
        Column::Number("amount"),
        Column::Number("hold"),
        Column::Number("posted"),
        Column::Number("reserved"),
        Column::Text("command"),
    ];
    print(&table(&columns, rows))
}
