//! `ctl production state`.

use super::super::inventory::print_stock;
use super::super::{Context, Fresh, print, words};
use super::purchase::print_purchases;
use super::work_order::print_orders;
use crate::cli::table::{Column, amount, table};
use crate::cli::{CliError, dates};
use crate::client::api;

pub async fn run(context: &mut Context, plant: &str, fresh: Fresh) -> Result<(), CliError> {
    let plant_id = context.names.plant(plant).await?.plant_id;
    let request = api::GetProductionStateRequest { plant_id, consistency: fresh.consistency() };
    let state = context.client.get_production_state(request).await?;
    if context.printed_json(&state)? {
        return Ok(());
    }
    let name = state.plant.as_ref().map(|plant| plant.name.as_str()).unwrap_or_default();
    let sequence = state.position.map_or(0, |position| position.sequence);
    print(&format!(
        "{name} at sequence {sequence}: {} planned, {} released, {} in progress, {} completed, {} on hold",
        state.planned_count, state.released_count, state.in_progress_count, state.completed_count, state.held_count
    ))?;
    print_plans(context, &state.plans).await?;
    more(state.plans_truncated)?;
    print_orders(context, state.work_orders.iter().filter_map(|detail| detail.work_order.as_ref())).await?;
    more(state.work_orders_truncated)?;
    print_operations(context, &state.work_orders).await?;
    if !state.purchases.is_empty() {
        print_purchases(context, &state.purchases).await?;
    }
    more(state.purchases_truncated)?;
    print_shortages(context, &state.shortages).await?;
    more(state.shortages_truncated)?;
    print_making(context, &state.work_in_progress).await?;
    more(state.work_in_progress_truncated)?;
    print_stock(context, &state.stock).await?;
    more(state.stock_truncated)
}

fn more(truncated: bool) -> Result<(), CliError> {
    if truncated { print("… and more") } else { Ok(()) }
}

async fn print_plans(context: &mut Context, plans: &[api::OpenPlan]) -> Result<(), CliError> {
    let (mut rows, mut lines) = (Vec::new(), Vec::new());
    let mut truncated = false;
    for open in plans {
        let plan = open.plan.clone().unwrap_or_default();
        let mut row = vec![plan.plan_id.to_string(), plan.name.clone(), words::plan_state(&plan)];
        let counts = [u64::from(plan.line_count), open.work_order_count, open.purchase_count];
        row.extend(counts.map(|count| count.to_string()));
        rows.push(row);
        for line in &open.lines {
            let product = context.names.asset_by_id(line.product_id).await?;
            let quantity = amount(line.quantity, product.scale);
            let of = vec![plan.name.clone(), line.line_id.to_string(), product.code];
            lines.push([of, vec![quantity, dates::format(line.due_day)]].concat());
        }
        truncated |= open.lines_truncated;
    }
    if rows.is_empty() {
        return Ok(());
    }
    let columns = [
        Column::Number("plan"),
        Column::Text("name"),
        Column::Text("state"),
        Column::Number("lines"),
        Column::Number("work orders"),
        Column::Number("purchases"),
    ];
    print(&table(&columns, rows))?;
    if lines.is_empty() {
        return Ok(());
    }
    let columns = [
        Column::Text("for plan"),
        Column::Number("line"),
        Column::Text("product"),
        Column::Number("quantity"),
        Column::Text("due"),
    ];
    print(&table(&columns, lines))?;
    more(truncated)
}

/// How far the operations of orders at work are.
async fn print_operations(context: &mut Context, orders: &[api::WorkOrderDetail]) -> Result<(), CliError> {
    let mut rows = Vec::new();
    for detail in orders {
        let order = detail.work_order.clone().unwrap_or_default();
        for (place, operation) in detail.operations.iter().enumerate() {
            let scale = context.names.asset_by_id(order.product_id).await?.scale;
            let mut row = vec![order.work_order_id.to_string(), place.to_string(), operation.work_centre.clone()];
            row.extend([operation.good, operation.scrap, operation.waiting].map(|units| amount(units, scale)));
            rows.push(row);
        }
    }
    if rows.is_empty() {
        return Ok(());
    }
    let columns = [
        Column::Number("work order"),
        Column::Number("operation"),
        Column::Text("work centre"),
        Column::Number("good"),
        Column::Number("scrap"),
        Column::Number("waiting"),
    ];
    print(&table(&columns, rows))
}

async fn print_shortages(context: &mut Context, shortages: &[api::MaterialShortage]) -> Result<(), CliError> {
    let mut rows = Vec::new();
    for shortage in shortages {
        let component = context.names.asset_by_id(shortage.component_id).await?;
        let short = amount(shortage.short, component.scale);
        rows.push(vec![shortage.work_order_id.to_string(), component.code, short]);
    }
    if rows.is_empty() {
        return Ok(());
    }
    print(&table(&[Column::Number("work order"), Column::Text("lacks"), Column::Number("quantity")], rows))
}

async fn print_making(context: &mut Context, making: &[api::WorkInProgress]) -> Result<(), CliError> {
    let mut rows = Vec::new();
    for made in making {
        let product = context.names.asset_by_id(made.product_id).await?;
        let currency = context.names.asset_by_id(made.currency_asset_id).await?;
        rows.push(vec![
            product.code,
            amount(made.quantity, product.scale),
            made.work_order_count.to_string(),
            format!("{} {}", amount(made.cost, currency.scale), currency.code),
        ]);
    }
    if rows.is_empty() {
        return Ok(());
    }
    let columns = [
        Column::Text("being made"),
        Column::Number("quantity"),
        Column::Number("work orders"),
        Column::Number("materials so far"),
    ];
    print(&table(&columns, rows))
}
