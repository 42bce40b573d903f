//! `ctl production plan requirements` and `shortages`: what was calculated, as a planner reads it.

use std::collections::BTreeMap;

use super::super::{Context, Fresh, print};
use super::day;
use super::plan::demand_lines;
use super::settings::{number, split};
use crate::cli::table::{Column, amount, table};
use crate::cli::{CliError, dates};
use crate::client::api;
use api::RequirementsPart as Part;

/// What is to be calculated.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("whose").required(true))]
pub struct Ask {
    /// For this plan, a draft or not, beside all that are firmed: name or id
    #[arg(group = "whose")]
    plan: Option<String>,
    /// For the firmed plans of this plant alone: name or id
    #[arg(long, group = "whose")]
    plant: Option<String>,
    /// The first day on which anything can be done
    #[arg(long, value_parser = day, value_name = "DATE")]
    on: i32,
    #[command(flatten)]
    trial: Trial,
    /// Demand that is in no plan, again for each: LAMP=10,due=2027-02-01
    #[arg(long, value_name = "ITEM=QUANTITY,due=DATE")]
    what_if: Vec<String>,
    /// Show what is needed and ordered of this item alone, again for each: code or id
    #[arg(long = "item")]
    items: Vec<String>,
    /// Days of a bucket
    #[arg(long, default_value_t = 7)]
    bucket_days: u32,
    /// Buckets; the last one has what is due later, too
    #[arg(long, default_value_t = 26)]
    buckets: u32,
    /// How many causes of one thing are told apart
    #[arg(long, default_value_t = 10)]
    pegs: u32,
    #[command(flatten)]
    fresh: Fresh,
}

/// What is tried.
#[derive(Debug, clap::Args)]
pub struct Trial {
    /// Make an item by this version of its bill of materials, again for each
    #[arg(long = "by-version", value_name = "ITEM=VERSION")]
    versions: Vec<String>,
}

impl Trial {
    /// The versions that were chosen.
    pub async fn read(&self, context: &mut Context) -> Result<Vec<api::ChosenVersion>, CliError> {
        const OPTION: &str = "--by-version";
        let mut versions = Vec::new();
        for text in &self.versions {
            let (product, version, settings) = split(OPTION, text)?;
            if let Some((name, _)) = settings.first() {
                return Err(super::settings::unknown(OPTION, name));
            }
            let product_id = context.names.asset(product).await?.asset_id;
            versions.push(api::ChosenVersion { product_id, version: number(OPTION, version)? });
        }
        Ok(versions)
    }
}

pub async fn show(context: &mut Context, ask: Ask) -> Result<(), CliError> {
    let answer = calculate(context, ask, Vec::new()).await?;
    if context.printed_json(&answer)? {
        return Ok(());
    }
    let plans = Plans::of(context, answer.plant_id).await?;
    print_heading(context, &answer).await?;
    print_orders(context, &plans, &answer).await?;
    more(answer.orders_truncated)?;
    print_shortages(context, &plans, &answer.shortages).await?;
    more(answer.shortages_truncated)?;
    print_items(context, &plans, &answer.items).await?;
    more(answer.items_truncated)
}

pub async fn show_shortages(context: &mut Context, ask: Ask) -> Result<(), CliError> {
    let answer = calculate(context, ask, vec![Part::Shortages.into()]).await?;
    if context.printed_json(&answer)? {
        return Ok(());
    }
    let plans = Plans::of(context, answer.plant_id).await?;
    print_heading(context, &answer).await?;
    if answer.shortages.is_empty() {
        return print("everything can be there when it is due");
    }
    print_shortages(context, &plans, &answer.shortages).await?;
    more(answer.shortages_truncated)
}

async fn calculate(context: &mut Context, ask: Ask, parts: Vec<i32>) -> Result<api::GetRequirementsResponse, CliError> {
    let plan_id = match ask.plan {
        Some(plan) => context.names.plan(&plan).await?.plan_id,
        None => 0,
    };
    let plant_id = match ask.plant {
        Some(plant) => context.names.plant(&plant).await?.plant_id,
        None => 0,
    };
    let mut what_if = demand_lines(context, "--what-if", &ask.what_if).await?;
    let last = what_if.iter().map(|line| line.line_id).max().unwrap_or_default();
    for (line, after) in what_if.iter_mut().filter(|line| line.line_id == 0).zip(1..) {
        line.line_id = last.saturating_add(after);
    }
    let mut item_ids = Vec::new();
    for item in &ask.items {
        item_ids.push(context.names.asset(item).await?.asset_id);
    }
    let request = api::GetRequirementsRequest {
        plant_id,
        plan_id,
        what_if,
        versions: ask.trial.read(context).await?,
        planning_day: ask.on,
        bucket_days: ask.bucket_days,
        bucket_count: ask.buckets,
        item_ids,
        pegs_max: ask.pegs,
        parts,
        consistency: ask.fresh.consistency(),
    };
    Ok(context.client.get_requirements(request).await?)
}

/// The names of a plant's plans, where no two have the same.
struct Plans(BTreeMap<u64, String>);

impl Plans {
    async fn of(context: &Context, plant_id: u32) -> Result<Self, CliError> {
        let plans = context.names.plans(plant_id).await?;
        let mut named = BTreeMap::<&str, u32>::new();
        plans.iter().for_each(|plan| *named.entry(&plan.name).or_default() += 1);
        let unique = plans.iter().filter(|plan| named[plan.name.as_str()] == 1);
        Ok(Self(unique.map(|plan| (plan.plan_id, plan.name.clone())).collect()))
    }

    /// `SPRING line 2`, or `plan 84 line 2`.
    fn line(&self, line: api::PlanLine) -> String {
        match self.0.get(&line.plan_id) {
            Some(name) => format!("{name} line {}", line.line_id),
            None => format!("plan {} line {}", line.plan_id, line.line_id),
        }
    }

    /// What something is for, in words.
    async fn cause(&self, context: &mut Context, peg: &api::RequirementPeg) -> Result<String, CliError> {
        use api::requirement_peg::Cause;
        Ok(match peg.cause {
            Some(Cause::PlanLine(line)) => self.line(line),
            Some(Cause::WhatIfLineId(line)) => format!("what-if line {line}"),
            Some(Cause::WorkOrderId(order)) => format!("work order {order}"),
            Some(Cause::SafetyStockItemId(item)) => {
                format!("safety stock of {}", context.names.asset_by_id(item).await?.code)
            }
            Some(Cause::LotRuleItemId(item)) => format!("lot size of {}", context.names.asset_by_id(item).await?.code),
            None => "others".to_owned(),
        })
    }

    /// `SPRING line 2: 20, work order 62: 4`, in units of an asset.
    async fn causes(
        &self,
        context: &mut Context,
        pegs: &[api::RequirementPeg],
        unpegged: u64,
        scale: u32,
    ) -> Result<String, CliError> {
        let others = api::RequirementPeg { cause: None, quantity: unpegged };
        let mut causes = Vec::new();
        for peg in pegs.iter().chain((unpegged > 0).then_some(&others)) {
            causes.push(format!("{}: {}", self.cause(context, peg).await?, amount(peg.quantity, scale)));
        }
        Ok(causes.join(", "))
    }
}

fn more(truncated: bool) -> Result<(), CliError> {
    if truncated { print("… and more") } else { Ok(()) }
}

async fn print_heading(context: &mut Context, answer: &api::GetRequirementsResponse) -> Result<(), CliError> {
    let plant = context.names.plant(&answer.plant_id.to_string()).await?.name;
    print(&format!("{plant} from {} on, at sequence {}", dates::format(answer.planning_day), answer.computed_at))
}

/// What is to be made, then what is to be bought.
async fn print_orders(
    context: &mut Context,
    plans: &Plans,
    answer: &api::GetRequirementsResponse,
) -> Result<(), CliError> {
    for made in [true, false] {
        let mut rows = Vec::new();
        for order in answer.orders.iter().filter(|order| order.version.is_some() == made) {
            let item = context.names.asset_by_id(order.item_id).await?;
            let mut row = vec![item.code, amount(order.quantity, item.scale)];
            row.extend(order.version.map(|version| version.to_string()));
            row.extend([order.release_day, order.due_day].map(dates::format));
            let is_late = order.ready_day > order.due_day;
            row.push(if is_late { dates::format(order.ready_day) } else { String::new() });
            row.push(plans.causes(context, &order.pegs, order.unpegged, item.scale).await?);
            rows.push(row);
        }
        if rows.is_empty() {
            continue;
        }
        let mut columns = vec![Column::Text(if made { "make" } else { "buy" }), Column::Number("quantity")];
        columns.extend(made.then_some(Column::Number("version")));
        columns.push(Column::Text(if made { "begin" } else { "order on" }));
        columns.extend([Column::Text("due"), Column::Text("not before"), Column::Text("for")]);
        print(&table(&columns, rows))?;
    }
    if answer.orders.is_empty() { print("nothing has to be made or bought") } else { Ok(()) }
}

async fn print_shortages(
    context: &mut Context,
    plans: &Plans,
    shortages: &[api::DemandShortage],
) -> Result<(), CliError> {
    let mut rows = Vec::new();
    for shortage in shortages {
        let item = context.names.asset_by_id(shortage.item_id).await?;
        let asked = shortage.demand.unwrap_or_default();
        let mut waits_for = Vec::new();
        for id in &shortage.waits_for_item_ids {
            waits_for.push(context.names.asset_by_id(*id).await?.code);
        }
        rows.push(vec![
            plans.cause(context, &asked).await?,
            item.code,
            amount(asked.quantity, item.scale),
            dates::format(shortage.due_day),
            amount(shortage.short, item.scale),
            dates::format(shortage.feasible_day),
            waits_for.join(" ← "),
        ]);
    }
    if rows.is_empty() {
        return Ok(());
    }
    let columns = [
        Column::Text("short"),
        Column::Text("item"),
        Column::Number("quantity"),
        Column::Text("due"),
        Column::Number("missing then"),
        Column::Text("feasible"),
        Column::Text("waits for"),
    ];
    print(&table(&columns, rows))
}

/// The time-phased record of each item: a row for what is there, and one for each bucket in which anything is.
async fn print_items(context: &mut Context, plans: &Plans, items: &[api::ItemRequirements]) -> Result<(), CliError> {
    let mut rows = Vec::new();
    // What something goes into stands above it.
    let mut items: Vec<&api::ItemRequirements> = items.iter().collect();
    items.sort_by_key(|item| (item.level, item.item_id));
    for item in items {
        let asset = context.names.asset_by_id(item.item_id).await?;
        let number = |number: u64| if number == 0 { String::new() } else { amount(number, asset.scale) };
        let mut row = vec![asset.code.clone(), item.level.to_string(), "available".to_owned()];
        row.resize(8, String::new());
        row.extend([amount(item.available, asset.scale), String::new()]);
        rows.push(row);
        for bucket in &item.buckets {
            let mut row = vec![String::new(), String::new(), dates::format(bucket.start_day)];
            row.extend([bucket.gross, bucket.scheduled, bucket.net].map(number));
            row.extend([bucket.planned_receipts, bucket.planned_releases].map(number));
            row.push(amount(bucket.projected, asset.scale));
            let mut causes = plans.causes(context, &bucket.pegs, bucket.unpegged, asset.scale).await?;
            if bucket.safety_stock > 0 {
                let keep = format!("keep {}", amount(bucket.safety_stock, asset.scale));
                causes = if causes.is_empty() { keep } else { format!("{causes}; {keep}") };
            }
            row.push(causes);
            rows.push(row);
        }
    }
    if rows.is_empty() {
        return Ok(());
    }
    let columns = [
        Column::Text("item"),
        Column::Number("level"),
        Column::Text("from"),
        Column::Number("gross"),
        Column::Number("scheduled"),
        Column::Number("net"),
        Column::Number("to come"),
        Column::Number("to begin"),
        Column::Number("left"),
        Column::Text("for"),
    ];
    print(&table(&columns, rows))
}
