//! `ctl production plan`.

use super::super::pages::{PageArgs, pages};
use super::super::words;
use super::super::{Context, Fresh, Key, print};
use super::firm::{self, Firm};
use super::requirements::{self, Ask};
use super::settings::{number, split, unknown};
use crate::cli::names::positive;
use crate::cli::table::{Column, amount, table};
use crate::cli::{CliError, dates};
use crate::client::api;
use api::command::Body;

#[derive(Debug, clap::Subcommand)]
pub enum Verb {
    /// Add one: a draft without demand, which concerns nobody yet
    Create {
        /// Where it is made: name or id
        #[arg(long)]
        plant: String,
        /// A short name, by which the plan can be named afterwards
        #[arg(long)]
        name: String,
        #[command(flatten)]
        key: Key,
    },
    /// Add lines of demand, or say them anew
    Add {
        /// Name or id
        plan: String,
        /// What is to be there and when, again for each: LAMP=10,due=2027-02-01. With line=7 it has this number,
        /// and takes the place of the line that has it; without, the next one behind the last
        #[arg(long, value_name = "ITEM=QUANTITY,due=DATE[,line=NUMBER]", required = true)]
        demand: Vec<String>,
        #[command(flatten)]
        key: Key,
    },
    /// Remove lines of demand
    Remove {
        /// Name or id
        plan: String,
        /// The line's number, again for each
        #[arg(long = "line", value_name = "NUMBER", required = true)]
        lines: Vec<u32>,
        #[command(flatten)]
        key: Key,
    },
    /// Show one with its lines
    Show {
        /// Name or id
        plan: String,
        #[command(flatten)]
        fresh: Fresh,
    },
    /// List those that are not closed
    List {
        /// Of this plant alone: name or id
        #[arg(long)]
        plant: Option<String>,
        #[command(flatten)]
        page: PageArgs,
        #[command(flatten)]
        fresh: Fresh,
    },
    /// Calculate what has to be made and bought, when and for which line; nothing is changed
    Requirements(Ask),
    /// Calculate which lines cannot be met on their day, what they wait for, and when they can be
    Shortages(Ask),
    /// Calculate, and make planned work orders and planned purchases of it
    Firm(Firm),
    /// End it; what was ordered for it stays
    Close {
        /// Name or id
        plan: String,
        #[command(flatten)]
        key: Key,
    },
}

pub async fn run(context: &mut Context, verb: Verb) -> Result<(), CliError> {
    match verb {
        Verb::Create { plant, name, key } => {
            let plant_id = context.names.plant(&plant).await?.plant_id;
            let result = context.carry_out(key, Body::CreatePlan(api::CreatePlan { plant_id, name })).await?;
            // The sequence of its event is the plan's id.
            let plan_id = result.position.map_or(0, |position| position.sequence);
            if context.prints_json() { Ok(()) } else { print(&format!("plan {plan_id}")) }
        }
        Verb::Add { plan, demand, key } => add(context, &plan, &demand, key).await,
        Verb::Remove { plan, lines: remove_line_ids, key } => {
            let plan_id = context.names.plan(&plan).await?.plan_id;
            let remove = api::SetPlanLines { plan_id, set: Vec::new(), remove_line_ids };
            context.execute(key, Body::SetPlanLines(remove)).await
        }
        Verb::Show { plan, fresh } => {
            let plan_id = context.names.plan(&plan).await?.plan_id;
            let request = api::GetPlanRequest { plan_id, consistency: fresh.consistency() };
            let answer = context.client.get_plan(request).await?;
            if context.printed_json(&answer)? { Ok(()) } else { print_plan(context, &answer).await }
        }
        Verb::List { plant, page, fresh } => {
            let plant_id = match plant {
                Some(plant) => context.names.plant(&plant).await?.plant_id,
                None => 0,
            };
            let (client, consistency) = (context.client.clone(), fresh.consistency());
            let answer = pages(&page, async |page| {
                client.list_plans(api::ListPlansRequest { plant_id, page: Some(page), consistency }).await
            });
            let answer = answer.await?;
            if context.printed_json(&answer)? { Ok(()) } else { print_plans(context, &answer.plans).await }
        }
        Verb::Requirements(ask) => requirements::show(context, ask).await,
        Verb::Shortages(ask) => requirements::show_shortages(context, ask).await,
        Verb::Firm(firm) => firm::run(context, firm).await,
        Verb::Close { plan, key } => {
            let plan_id = context.names.plan(&plan).await?.plan_id;
            context.execute(key, Body::ClosePlan(api::ClosePlan { plan_id })).await
        }
    }
}

async fn add(context: &mut Context, plan: &str, demand: &[String], key: Key) -> Result<(), CliError> {
    let mut set = demand_lines(context, "--demand", demand).await?;
    let plan_id = context.names.plan(plan).await?.plan_id;
    if set.iter().any(|line| line.line_id == 0) {
        if key.id.is_some() {
            let reason = "needs line= with --id: sent again it has to say the same".to_owned();
            return Err(CliError::Usage { option: "--demand", reason });
        }
        let lines = context.client.get_plan(api::GetPlanRequest { plan_id, consistency: None }).await?.lines;
        let last = lines.iter().chain(&set).map(|line| line.line_id).max().unwrap_or_default();
        for (line, after) in set.iter_mut().filter(|line| line.line_id == 0).zip(1..) {
            line.line_id = last.saturating_add(after);
        }
    }
    let add = api::SetPlanLines { plan_id, set, remove_line_ids: Vec::new() };
    context.execute(key, Body::SetPlanLines(add)).await
}

/// Lines of demand of the command line; one that does not say its number has 0.
pub async fn demand_lines(
    context: &mut Context,
    option: &'static str,
    texts: &[String],
) -> Result<Vec<api::DemandLine>, CliError> {
    let mut lines = Vec::new();
    for text in texts {
        let (product, quantity, settings) = split(option, text)?;
        let (mut due_day, mut line_id) = (None, 0);
        for (name, value) in settings {
            let usage = |reason| CliError::Usage { option, reason };
            match name {
                "due" => due_day = Some(dates::parse(value).map_err(usage)?),
                "line" => match number(option, value)? {
                    0 => return Err(usage("lines are numbered from 1 on".to_owned())),
                    number => line_id = number,
                },
                _ => return Err(unknown(option, name)),
            }
        }
        let missing = || CliError::Usage { option, reason: format!("{text:?} does not say when: due=DATE") };
        let due_day = due_day.ok_or_else(missing)?;
        let product = context.names.asset(product).await?;
        let quantity = positive(option, quantity, product.scale)?;
        lines.push(api::DemandLine { line_id, product_id: product.asset_id, quantity, due_day });
    }
    Ok(lines)
}

async fn print_plan(context: &mut Context, answer: &api::GetPlanResponse) -> Result<(), CliError> {
    print_plans(context, answer.plan.as_slice()).await?;
    if answer.lines.is_empty() {
        return Ok(());
    }
    let mut rows = Vec::new();
    for line in &answer.lines {
        let product = context.names.asset_by_id(line.product_id).await?;
        let quantity = amount(line.quantity, product.scale);
        rows.push(vec![line.line_id.to_string(), product.code, quantity, dates::format(line.due_day)]);
    }
    let columns = [Column::Number("line"), Column::Text("product"), Column::Number("quantity"), Column::Text("due")];
    print(&table(&columns, rows))
}

async fn print_plans(context: &mut Context, plans: &[api::ProductionPlan]) -> Result<(), CliError> {
    let mut rows = Vec::new();
    for plan in plans {
        let plant = context.names.plant(&plan.plant_id.to_string()).await?.name;
        let state = words::plan_state(plan);
        rows.push(vec![plan.plan_id.to_string(), plan.name.clone(), plant, state, plan.line_count.to_string()]);
    }
    let columns = [
        Column::Number("plan"),
        Column::Text("name"),
        Column::Text("plant"),
        Column::Text("state"),
        Column::Number("lines"),
    ];
    print(&table(&columns, rows))
}
