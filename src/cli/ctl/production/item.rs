//! `ctl production item`.

use super::super::pages::{PageArgs, pages};
use super::super::words::{self, Source};
use super::super::{Context, Fresh, Key, print};
use super::day;
use crate::cli::CliError;
use crate::cli::names::{parse, positive};
use crate::cli::table::{Column, amount, table};
use crate::client::api;
use api::lot_rule::Rule;

#[derive(Debug, clap::Subcommand)]
pub enum Verb {
    /// Say how an asset is planned, or say it anew
    Define(Define),
    /// Show one
    Get {
        /// Code or id
        asset: String,
        #[command(flatten)]
        fresh: Fresh,
    },
    /// Show what one costs, and all that goes into it: what is bought, and what is done
    Cost {
        /// Code or id
        asset: String,
        /// By the bills of materials in effect on this day
        #[arg(long, value_parser = day, value_name = "DATE")]
        on: i32,
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
}

#[derive(Debug, clap::Args)]
pub struct Define {
    /// Code or id
    #[arg(long)]
    asset: String,
    /// Where it comes from
    #[arg(long, value_enum)]
    source: Source,
    /// Working days from order to receipt of what is bought
    #[arg(long, default_value_t = 0)]
    lead_days: u32,
    /// What one whole unit costs
    #[arg(long, default_value = "0")]
    cost: String,
    /// The currency of the cost: code or id; stays as it was first defined
    #[arg(long)]
    currency: String,
    /// Order so many times this quantity, instead of what is needed
    #[arg(long, conflicts_with_all = ["lot_minimum", "lot_multiple"])]
    lot_fixed: Option<String>,
    /// Order at least this
    #[arg(long)]
    lot_minimum: Option<String>,
    /// Order in multiples of this
    #[arg(long)]
    lot_multiple: Option<String>,
    /// Stock that plans leave untouched
    #[arg(long, default_value = "0")]
    safety_stock: String,
    /// At or below this it is to be reordered; 0 is never
    #[arg(long, default_value = "0")]
    reorder_point: String,
    /// Follow its units by lot number; stays as it was first defined
    #[arg(long)]
    lot_tracked: bool,
    /// Never stocked as such: where it is a component, what it is made of goes in instead
    #[arg(long)]
    phantom: bool,
    #[command(flatten)]
    key: Key,
}

impl Define {
    fn lot_rule(&self, scale: u32) -> Result<Option<api::LotRule>, CliError> {
        let quantity =
            |option, text: &Option<String>| text.as_deref().map(|text| positive(option, text, scale)).transpose();
        let fixed = quantity("--lot-fixed", &self.lot_fixed)?;
        let minimum = quantity("--lot-minimum", &self.lot_minimum)?;
        let multiple = quantity("--lot-multiple", &self.lot_multiple)?;
        let rule = match (fixed, minimum, multiple) {
            (Some(fixed), ..) => Rule::Fixed(fixed),
            (None, None, None) => return Ok(None),
            (None, minimum, multiple) => {
                Rule::Multiple(api::MultipleLot { minimum: minimum.unwrap_or(0), multiple: multiple.unwrap_or(1) })
            }
        };
        Ok(Some(api::LotRule { rule: Some(rule) }))
    }
}

pub async fn run(context: &mut Context, verb: Verb) -> Result<(), CliError> {
    match verb {
        Verb::Define(define) => {
            let asset = context.names.asset(&define.asset).await?;
            let currency = context.names.asset(&define.currency).await?;
            let item = api::DefineItem {
                asset_id: asset.asset_id,
                source: define.source.into(),
                lead_days: define.lead_days,
                lot_rule: define.lot_rule(asset.scale)?,
                safety_stock: parse("--safety-stock", &define.safety_stock, asset.scale)?,
                reorder_point: parse("--reorder-point", &define.reorder_point, asset.scale)?,
                standard_cost: parse("--cost", &define.cost, currency.scale)?,
                currency_asset_id: currency.asset_id,
                lot_tracked: define.lot_tracked,
                phantom: define.phantom,
            };
            context.execute(define.key, api::command::Body::DefineItem(item)).await
        }
        Verb::Get { asset, fresh } => {
            let asset_id = context.names.asset(&asset).await?.asset_id;
            let request = api::GetItemRequest { asset_id, consistency: fresh.consistency() };
            let answer = context.client.get_item(request).await?;
            if context.printed_json(&answer)? { Ok(()) } else { print_items(context, answer.item.as_slice()).await }
        }
        Verb::Cost { asset, on: on_day, fresh } => {
            let product_id = context.names.asset(&asset).await?.asset_id;
            let request = api::RollUpCostRequest { product_id, on_day, consistency: fresh.consistency() };
            let answer = context.client.roll_up_cost(request).await?;
            if context.printed_json(&answer)? { Ok(()) } else { print_costs(context, &answer).await }
        }
        Verb::List { page, fresh } => {
            let (client, consistency) = (context.client.clone(), fresh.consistency());
            let answer = pages(&page, async |page| {
                client.list_items(api::ListItemsRequest { page: Some(page), consistency }).await
            });
            let answer = answer.await?;
            if context.printed_json(&answer)? { Ok(()) } else { print_items(context, &answer.items).await }
        }
    }
}

async fn print_costs(context: &mut Context, answer: &api::RollUpCostResponse) -> Result<(), CliError> {
    let currency = context.names.asset_by_id(answer.currency_asset_id).await?;
    let mut rows = Vec::new();
    for cost in &answer.costs {
        let asset = context.names.asset_by_id(cost.asset_id).await?;
        let mut row = vec![asset.code, cost.level.to_string(), amount(cost.lot, asset.scale)];
        row.extend([cost.materials, cost.operations].map(|money| amount(money, currency.scale)));
        row.push(format!("{} {}", amount(cost.total, currency.scale), currency.code));
        rows.push(row);
    }
    let columns = [
        Column::Text("item"),
        Column::Number("level"),
        Column::Number("in lots of"),
        Column::Number("materials"),
        Column::Number("operations"),
        Column::Number("one costs"),
    ];
    print(&table(&columns, rows))
}

async fn print_items(context: &mut Context, items: &[api::Item]) -> Result<(), CliError> {
    let mut rows = Vec::new();
    for item in items {
        let asset = context.names.asset_by_id(item.asset_id).await?;
        let currency = context.names.asset_by_id(item.currency_asset_id).await?;
        let number = |number: u64| if number == 0 { String::new() } else { amount(number, asset.scale) };
        let lots = match item.lot_rule.as_ref().and_then(|rule| rule.rule) {
            None => "as needed".to_owned(),
            Some(Rule::Fixed(fixed)) => format!("of {}", number(fixed)),
            Some(Rule::Multiple(rule)) => {
                format!("from {} by {}", amount(rule.minimum, asset.scale), amount(rule.multiple, asset.scale))
            }
        };
        let traits = [(item.lot_tracked, "lots"), (item.phantom, "phantom")];
        let traits: Vec<&str> = traits.into_iter().filter(|(has, _)| *has).map(|(_, name)| name).collect();
        rows.push(vec![
            item.asset_id.to_string(),
            asset.code,
            words::source(item.source),
            item.lead_days.to_string(),
            lots,
            number(item.safety_stock),
            number(item.reorder_point),
            format!("{} {}", amount(item.standard_cost, currency.scale), currency.code),
            traits.join(", "),
        ]);
    }
    let columns = [
        Column::Number("id"),
        Column::Text("item"),
        Column::Text("source"),
        Column::Number("lead days"),
        Column::Text("ordered"),
        Column::Number("safety stock"),
        Column::Number("reorder at"),
        Column::Number("standard cost"),
        Column::Text("traits"),
    ];
    print(&table(&columns, rows))
}
