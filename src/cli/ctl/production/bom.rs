//! `ctl production bom`.

use super::super::pages::{PageArgs, pages};
use super::super::{Context, Fresh, Key, print};
use super::day;
use super::settings::{number, settings, split, unknown};
use crate::cli::names::{parse, positive};
use crate::cli::table::{Column, amount, table};
use crate::cli::{CliError, dates};
use crate::client::api;
use crate::core::types::Attrition;

/// The most decimal places that an asset has.
const SCALE_MAX: u32 = 12;
/// Decimal places of a loss in percent, of which the API takes millionths.
const PERCENT_SCALE: u32 = 4;

#[derive(Debug, clap::Subcommand)]
pub enum Verb {
    /// Add a version of a product's bill of materials
    Define(Define),
    /// Show a version, by its number or by a day on which it is in effect
    #[command(group = clap::ArgGroup::new("which").required(true))]
    Get {
        /// What it makes: code or id
        product: String,
        /// The version
        #[arg(long, group = "which")]
        bom_version: Option<u32>,
        /// The one in effect on this day
        #[arg(long, group = "which", value_parser = day, value_name = "DATE")]
        on: Option<i32>,
        #[command(flatten)]
        fresh: Fresh,
    },
    /// List the versions of a product
    List {
        /// What they make: code or id
        product: String,
        #[command(flatten)]
        page: PageArgs,
        #[command(flatten)]
        fresh: Fresh,
    },
    /// List all that goes into a quantity of a product, level by level, and what it costs
    Explode {
        /// Code or id
        product: String,
        /// How much of it
        #[arg(long, default_value = "1")]
        quantity: String,
        /// By the bills in effect on this day
        #[arg(long, value_parser = day, value_name = "DATE")]
        on: i32,
        #[command(flatten)]
        fresh: Fresh,
    },
    /// List what an item goes into
    WhereUsed {
        /// Code or id
        component: String,
        #[command(flatten)]
        page: PageArgs,
        #[command(flatten)]
        fresh: Fresh,
    },
}

#[derive(Debug, clap::Args)]
pub struct Define {
    /// What it makes: code or id
    #[arg(long)]
    product: String,
    /// A number of your choice
    #[arg(long, default_value_t = 1)]
    bom_version: u32,
    /// The first day on which it is in effect
    #[arg(long, value_parser = day, value_name = "DATE", default_value = "1970-01-01")]
    from: i32,
    /// What one run makes
    #[arg(long, default_value = "1")]
    makes: String,
    /// What one run needs, again for each: WHEEL=4, or GLUE=0.5,loss=10,setup=1,multiple=0.5,optional, with
    /// the loss in percent
    #[arg(long = "line", value_name = "ITEM=QUANTITY[,…]", required = true)]
    lines: Vec<String>,
    /// What one run yields besides, again for each
    #[arg(long = "by-product", value_name = "ITEM=QUANTITY")]
    by_products: Vec<String>,
    /// What is done, in order, again for each: SAW, or PAINT,setup=600,run=30,days=1,cost=45.00, with seconds,
    /// working days and the cost of an hour
    #[arg(long = "operation", value_name = "WORK-CENTRE[,…]")]
    operations: Vec<String>,
    #[command(flatten)]
    key: Key,
}

pub async fn run(context: &mut Context, verb: Verb) -> Result<(), CliError> {
    match verb {
        Verb::Define(define) => {
            let bom = read(context, &define).await?;
            context.execute(define.key, api::command::Body::DefineBom(bom)).await
        }
        Verb::Get { product, bom_version, on, fresh } => {
            use api::get_bom_request::Key as Which;
            let product_id = context.names.asset(&product).await?.asset_id;
            let key = bom_version.map(Which::Version).or(on.map(Which::OnDay));
            let request = api::GetBomRequest { product_id, key, consistency: fresh.consistency() };
            let answer = context.client.get_bom(request).await?;
            if context.printed_json(&answer)? { Ok(()) } else { print_boms(context, answer.bom.as_slice()).await }
        }
        Verb::List { product, page, fresh } => {
            let product_id = context.names.asset(&product).await?.asset_id;
            let (client, consistency) = (context.client.clone(), fresh.consistency());
            let answer = pages(&page, async |page| {
                client.list_boms(api::ListBomsRequest { product_id, page: Some(page), consistency }).await
            });
            let answer = answer.await?;
            if context.printed_json(&answer)? { Ok(()) } else { print_boms(context, &answer.boms).await }
        }
        Verb::Explode { product, quantity, on, fresh } => {
            let product = context.names.asset(&product).await?;
            let quantity = positive("--quantity", &quantity, product.scale)?;
            let (product_id, on_day, consistency) = (product.asset_id, on, fresh.consistency());
            let request = api::ExplodeBomRequest { product_id, quantity, on_day, consistency };
            let answer = context.client.explode_bom(request).await?;
            if context.printed_json(&answer)? { Ok(()) } else { print_needs(context, &answer).await }
        }
        Verb::WhereUsed { component, page, fresh } => {
            let component = context.names.asset(&component).await?;
            let (client, consistency) = (context.client.clone(), fresh.consistency());
            let component_id = component.asset_id;
            let answer = pages(&page, async |page| {
                client.list_where_used(api::ListWhereUsedRequest { component_id, page: Some(page), consistency }).await
            });
            let answer = answer.await?;
            if context.printed_json(&answer)? {
                return Ok(());
            }
            print_uses(context, &component, &answer.uses).await
        }
    }
}

async fn read(context: &mut Context, define: &Define) -> Result<api::DefineBom, CliError> {
    let product = context.names.asset(&define.product).await?;
    let mut lines = Vec::new();
    for text in &define.lines {
        let (name, quantity, settings) = split("--line", text)?;
        let component = context.names.asset(name).await?;
        lines.push(line(&component, quantity, &settings)?);
    }
    let mut by_products = Vec::new();
    for text in &define.by_products {
        let (name, quantity, settings) = split("--by-product", text)?;
        if let Some((name, _)) = settings.first() {
            return Err(unknown("--by-product", name));
        }
        let asset = context.names.asset(name).await?;
        let quantity = positive("--by-product", quantity, asset.scale)?;
        by_products.push(api::ByProduct { asset_id: asset.asset_id, quantity });
    }
    let mut operations = Vec::new();
    let currency_scale = match define.operations.is_empty() {
        true => 0,
        false => {
            let request = api::GetItemRequest { asset_id: product.asset_id, consistency: None };
            let item = context.client.get_item(request).await?.item.unwrap_or_default();
            context.names.asset_by_id(item.currency_asset_id).await?.scale
        }
    };
    for text in &define.operations {
        operations.push(operation(text, currency_scale)?);
    }
    Ok(api::DefineBom {
        product_id: product.asset_id,
        version: define.bom_version,
        from_day: define.from,
        output: positive("--makes", &define.makes, product.scale)?,
        lines,
        by_products,
        operations,
    })
}

fn line(component: &api::Asset, quantity: &str, settings: &[(&str, &str)]) -> Result<api::BomLine, CliError> {
    let component_id = component.asset_id;
    let quantity = positive("--line", quantity, component.scale)?;
    let mut line = api::BomLine { component_id, quantity, ..api::BomLine::default() };
    for &(name, value) in settings {
        match name {
            "loss" => {
                let loss = parse("--line", value, PERCENT_SCALE)?;
                line.attrition = u32::try_from(loss).unwrap_or(u32::MAX);
            }
            "setup" => line.setup = positive("--line", value, component.scale)?,
            "multiple" => line.multiple = positive("--line", value, component.scale)?,
            "optional" if value.is_empty() => line.optional = true,
            _ => return Err(unknown("--line", name)),
        }
    }
    Ok(line)
}

fn operation(text: &str, currency_scale: u32) -> Result<api::Operation, CliError> {
    let (work_centre, rest) = text.split_once(',').map_or((text, None), |(head, rest)| (head, Some(rest)));
    let mut operation = api::Operation { work_centre: work_centre.to_owned(), ..api::Operation::default() };
    for (name, value) in settings(rest) {
        match name {
            "setup" => operation.setup_seconds = number("--operation", value)?,
            "run" => operation.run_seconds = number("--operation", value)?,
            "days" => operation.lead_days = number("--operation", value)?,
            "cost" => operation.hourly_cost = parse("--operation", value, currency_scale)?,
            _ => return Err(unknown("--operation", name)),
        }
    }
    Ok(operation)
}

async fn print_boms(context: &mut Context, boms: &[api::Bom]) -> Result<(), CliError> {
    for bom in boms {
        let product = context.names.asset_by_id(bom.product_id).await?;
        let (output, from) = (amount(bom.output, product.scale), dates::format(bom.from_day));
        print(&format!("{} version {}, from {from}: one run makes {output}", product.code, bom.version))?;
        let mut rows = Vec::new();
        for line in &bom.lines {
            rows.push(line_row(context, line).await?);
        }
        let columns = [
            Column::Text("needs"),
            Column::Number("quantity"),
            Column::Number("loss"),
            Column::Number("set-up"),
            Column::Number("multiple"),
            Column::Text("optional"),
        ];
        print(&table(&columns, rows))?;
        if !bom.by_products.is_empty() {
            let mut rows = Vec::new();
            for by_product in &bom.by_products {
                let asset = context.names.asset_by_id(by_product.asset_id).await?;
                rows.push(vec![asset.code, amount(by_product.quantity, asset.scale)]);
            }
            print(&table(&[Column::Text("yields besides"), Column::Number("quantity")], rows))?;
        }
        if !bom.operations.is_empty() {
            print_operations(context, bom).await?;
        }
    }
    Ok(())
}

async fn line_row(context: &mut Context, line: &api::BomLine) -> Result<Vec<String>, CliError> {
    let asset = context.names.asset_by_id(line.component_id).await?;
    let shown = |number: u64| if number == 0 { String::new() } else { amount(number, asset.scale) };
    let loss = match line.attrition {
        0 => String::new(),
        loss => format!("{} %", amount(loss, PERCENT_SCALE).trim_end_matches('0').trim_end_matches('.')),
    };
    let optional = if line.optional { "yes".to_owned() } else { String::new() };
    Ok(vec![asset.code.clone(), shown(line.quantity), loss, shown(line.setup), shown(line.multiple), optional])
}

async fn print_operations(context: &mut Context, bom: &api::Bom) -> Result<(), CliError> {
    let request = api::GetItemRequest { asset_id: bom.product_id, consistency: None };
    let item = context.client.get_item(request).await?.item.unwrap_or_default();
    let currency = context.names.asset_by_id(item.currency_asset_id).await?;
    let rows = bom.operations.iter().enumerate().map(|(place, operation)| {
        vec![
            place.to_string(),
            operation.work_centre.clone(),
            operation.setup_seconds.to_string(),
            operation.run_seconds.to_string(),
            operation.lead_days.to_string(),
            format!("{} {}", amount(operation.hourly_cost, currency.scale), currency.code),
        ]
    });
    let columns = [
        Column::Number("operation"),
        Column::Text("work centre"),
        Column::Number("set-up s"),
        Column::Number("run s"),
        Column::Number("lead days"),
        Column::Number("cost of an hour"),
    ];
    print(&table(&columns, rows))
}

async fn print_needs(context: &mut Context, answer: &api::ExplodeBomResponse) -> Result<(), CliError> {
    let currency = context.names.asset_by_id(answer.currency_asset_id).await?;
    let (mut rows, mut leaves, mut units) = (Vec::new(), 0_u32, 0_i128);
    for need in &answer.needs {
        let asset = context.names.asset_by_id(need.asset_id).await?;
        let cost = if need.leaf { amount(need.cost, currency.scale) } else { String::new() };
        if need.leaf {
            leaves += 1;
            // Of parts of every scale.
            units += i128::from(need.quantity) * 10_i128.pow(SCALE_MAX.saturating_sub(asset.scale));
        }
        rows.push(vec![asset.code, amount(need.quantity, asset.scale), cost]);
    }
    print(&table(&[Column::Text("needs"), Column::Number("quantity"), Column::Number("cost")], rows))?;
    let units = amount(units, SCALE_MAX);
    let units = units.trim_end_matches('0').trim_end_matches('.');
    let cost = amount(answer.cost, currency.scale);
    print(&format!("{leaves} parts that are bought, {units} units, {cost} {}", currency.code))
}

async fn print_uses(context: &mut Context, component: &api::Asset, uses: &[api::WhereUsed]) -> Result<(), CliError> {
    let mut rows = Vec::new();
    for used in uses {
        let product = context.names.asset_by_id(used.product_id).await?;
        let line = used.line.unwrap_or_default();
        rows.push(vec![
            product.code,
            used.version.to_string(),
            dates::format(used.from_day),
            amount(line.quantity, component.scale),
            amount(used.output, product.scale),
        ]);
    }
    let columns = [
        Column::Text("goes into"),
        Column::Number("version"),
        Column::Text("from"),
        Column::Number("quantity"),
        Column::Number("for"),
    ];
    print(&table(&columns, rows))
}

/// The most that can be lost, in the unit of [`PERCENT_SCALE`]: all that is needed once more.
const _: () = assert!(Attrition::UNIT == 100 * 10_u32.pow(PERCENT_SCALE), "100 % are all of it");

#[cfg(test)]
mod tests {
    use super::*;

    fn glue() -> api::Asset {
        api::Asset { asset_id: 7, code: "GLUE".to_owned(), scale: 1, kind: 0 }
    }

    fn read_line(text: &str) -> Result<api::BomLine, CliError> {
        let (_, quantity, settings) = split("--line", text)?;
        line(&glue(), quantity, &settings)
    }

    #[test]
    fn a_line_is_written_in_one_word() {
        let line = read_line("GLUE=0.5,loss=2.5,setup=1,multiple=0.5,optional").expect("a line");
        let expected =
            api::BomLine { component_id: 7, quantity: 5, attrition: 25_000, setup: 10, multiple: 5, optional: true };
        assert_eq!(line, expected);
        for bad in ["GLUE", "GLUE=", "GLUE=0", "GLUE=1,loss=x", "GLUE=1,colour=red", "GLUE=1,optional=no", "GLUE=0.05"]
        {
            assert_eq!(read_line(bad).expect_err(bad).exit_code(), 2, "{bad}");
        }
    }

    #[test]
    fn an_operation_is_written_in_one_word() {
        let operation = operation("PAINT,setup=600,run=30,days=1,cost=45.00", 2).expect("an operation");
        let expected = api::Operation {
            work_centre: "PAINT".to_owned(),
            setup_seconds: 600,
            run_seconds: 30,
            lead_days: 1,
            hourly_cost: 4_500,
        };
        assert_eq!(operation, expected);
        assert!(super::operation("PAINT,run=", 2).is_err() && super::operation("PAINT,x=1", 2).is_err());
    }
}
