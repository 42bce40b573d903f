//! `ctl production work-order`.

use super::super::pages::{PageArgs, pages};
use super::super::words::{self, WorkOrderState};
use super::super::{Context, Fresh, Key, print};
use super::day;
use crate::cli::names::{parse, positive};
use crate::cli::table::{Column, amount, list, table};
use crate::cli::{CliError, dates};
use crate::client::{ClientError, api};
use api::WorkOrderState as State;
use api::command::Body;

#[derive(Debug, clap::Subcommand)]
pub enum Verb {
    /// Add one; it holds nothing until it is released
    Create(Create),
    /// Reserve its materials, or what it still lacks of them
    Release {
        /// Its id
        work_order: u64,
        /// Reserve what there is, instead of all or nothing
        #[arg(long)]
        partial: bool,
        #[command(flatten)]
        key: Key,
    },
    /// Begin work on it
    Start(Change),
    /// Issue materials to it: all that is still required, or what is named
    Issue {
        /// Its id
        work_order: u64,
        /// A component, again for each: WHEEL=4, or GLUE=0.5,lot=G-1
        #[arg(long = "material", value_name = "ITEM=QUANTITY[,lot=LOT]")]
        materials: Vec<String>,
        #[command(flatten)]
        key: Key,
    },
    /// Bring issued material back into stock
    Return {
        /// Its id
        work_order: u64,
        /// What: WHEEL=4, or GLUE=0.5,lot=G-1, a lot that it was issued [default of the lot: those issued last]
        #[arg(long, value_name = "ITEM=QUANTITY[,lot=LOT]")]
        material: String,
        #[command(flatten)]
        key: Key,
    },
    /// Report work on an operation
    Report {
        /// Its id
        work_order: u64,
        /// The operation's place in the bill of materials, from 0
        #[arg(long)]
        operation: u32,
        #[command(flatten)]
        units: Units,
        #[command(flatten)]
        key: Key,
    },
    /// Complete products: from production into stock
    Complete {
        /// Its id
        work_order: u64,
        #[command(flatten)]
        units: Units,
        /// Units that never came to be
        #[arg(long, default_value = "0")]
        loss: String,
        /// The good units' lot number; a tracked product gets one without
        #[arg(long, default_value = "", hide_default_value = true)]
        lot: String,
        #[command(flatten)]
        key: Key,
    },
    /// Stop work on it; it keeps what it holds
    Hold(Change),
    /// Go on with it
    Resume(Change),
    /// End it with what was made of it
    Close(Change),
    /// End it before it is completed
    Cancel(Change),
    /// Show one, open or ended
    Get {
        /// Its id
        work_order: u64,
        #[command(flatten)]
        fresh: Fresh,
    },
    /// List a plant's work orders
    List {
        /// Name or id of the plant
        plant: String,
        /// In this state alone [default: all that have not ended]
        #[arg(long, value_enum)]
        state: Option<WorkOrderState>,
        /// Ended ones too
        #[arg(long)]
        all: bool,
        /// For this product alone: code or id
        #[arg(long)]
        product: Option<String>,
        #[command(flatten)]
        page: PageArgs,
        #[command(flatten)]
        fresh: Fresh,
    },
}

#[derive(Debug, clap::Args)]
pub struct Create {
    /// Where it is made: name or id
    #[arg(long)]
    plant: String,
    /// What is made: code or id
    #[arg(long)]
    product: String,
    /// How much
    #[arg(long)]
    quantity: String,
    /// By this version of the bill of materials [default: the one in effect on the due day]
    #[arg(long)]
    bom_version: Option<u32>,
    /// Materials are taken from this location
    #[arg(long)]
    location: u64,
    /// Products are put into this one [default: the same]
    #[arg(long, default_value_t = 0, hide_default_value = true)]
    output_location: u64,
    /// The first day of work
    #[arg(long, value_parser = day, value_name = "DATE")]
    start: i32,
    /// The day on which it is to be ready
    #[arg(long, value_parser = day, value_name = "DATE")]
    due: i32,
    /// Completing products consumes the materials they took
    #[arg(long)]
    backflush: bool,
    /// The optional lines are needed
    #[arg(long)]
    optional: bool,
    /// More can be issued than it requires; the event says so
    #[arg(long)]
    allow_over_issue: bool,
    #[command(flatten)]
    key: Key,
}

/// Which, and nothing more.
#[derive(Debug, clap::Args)]
pub struct Change {
    /// Its id
    work_order: u64,
    #[command(flatten)]
    key: Key,
}

#[derive(Debug, clap::Args)]
pub struct Units {
    /// Good units
    #[arg(long, default_value = "0")]
    good: String,
    /// Spoilt units
    #[arg(long, default_value = "0")]
    scrap: String,
}

impl Units {
    fn read(&self, scale: u32) -> Result<(u64, u64), CliError> {
        Ok((parse("--good", &self.good, scale)?, parse("--scrap", &self.scrap, scale)?))
    }
}

pub async fn run(context: &mut Context, verb: Verb) -> Result<(), CliError> {
    match verb {
        Verb::Create(create) => self::create(context, create).await,
        Verb::Release { work_order: work_order_id, partial, key } => {
            let release = api::ReleaseWorkOrder { work_order_id, partial };
            context.execute(key, Body::ReleaseWorkOrder(release)).await
        }
        Verb::Start(change) => set(context, change, api::WorkOrderChange::Start).await,
        Verb::Hold(change) => set(context, change, api::WorkOrderChange::Hold).await,
        Verb::Resume(change) => set(context, change, api::WorkOrderChange::Resume).await,
        Verb::Close(change) => set(context, change, api::WorkOrderChange::Close).await,
        Verb::Cancel(change) => set(context, change, api::WorkOrderChange::Cancel).await,
        Verb::Issue { work_order: work_order_id, materials: named, key } => {
            let mut materials = Vec::new();
            for text in &named {
                materials.push(material(context, text).await?);
            }
            context.execute(key, Body::IssueMaterials(api::IssueMaterials { work_order_id, materials })).await
        }
        Verb::Return { work_order: work_order_id, material: text, key } => {
            let material = Some(material(context, &text).await?);
            context.execute(key, Body::ReturnMaterials(api::ReturnMaterials { work_order_id, material })).await
        }
        Verb::Report { work_order: work_order_id, operation, units, key } => {
            let (good, scrap) = units.read(product_of(context, work_order_id).await?.scale)?;
            let report = api::ReportOperation { work_order_id, operation, good, scrap };
            context.execute(key, Body::ReportOperation(report)).await
        }
        Verb::Complete { work_order: work_order_id, units, loss, lot, key } => {
            let scale = product_of(context, work_order_id).await?.scale;
            let (good, scrap) = units.read(scale)?;
            let loss = parse("--loss", &loss, scale)?;
            let complete = api::CompleteWorkOrder { work_order_id, good, scrap, loss, lot };
            context.execute(key, Body::CompleteWorkOrder(complete)).await
        }
        Verb::Get { work_order: work_order_id, fresh } => {
            let request = api::GetWorkOrderRequest { work_order_id, consistency: fresh.consistency() };
            let answer = context.client.get_work_order(request).await?;
            if context.printed_json(&answer)? {
                return Ok(());
            }
            match &answer.work_order {
                Some(detail) => print_detail(context, detail).await,
                None => Ok(()),
            }
        }
        Verb::List { plant, state, all, product, page, fresh } => {
            let plant_id = context.names.plant(&plant).await?.plant_id;
            let product_id = match product {
                Some(product) => context.names.asset(&product).await?.asset_id,
                None => 0,
            };
            let state = state.map_or(0, i32::from);
            let (client, consistency) = (context.client.clone(), fresh.consistency());
            let answer = pages(&page, async |page| {
                let (page, include_ended) = (Some(page), all);
                let request =
                    api::ListWorkOrdersRequest { plant_id, state, product_id, page, consistency, include_ended };
                client.list_work_orders(request).await
            });
            let answer = answer.await?;
            if context.printed_json(&answer)? {
                return Ok(());
            }
            print_orders(context, answer.work_orders.iter()).await
        }
    }
}

async fn create(context: &mut Context, create: Create) -> Result<(), CliError> {
    let product = context.names.asset(&create.product).await?;
    let over_issue = if create.allow_over_issue { api::OverIssue::Warn } else { api::OverIssue::Refuse };
    let order = api::CreateWorkOrder {
        plant_id: context.names.plant(&create.plant).await?.plant_id,
        product_id: product.asset_id,
        quantity: positive("--quantity", &create.quantity, product.scale)?,
        version: create.bom_version,
        location_id: create.location,
        output_id: create.output_location,
        start_day: create.start,
        due_day: create.due,
        backflush: create.backflush,
        optional: create.optional,
        over_issue: over_issue.into(),
    };
    context.execute(create.key, Body::CreateWorkOrder(order)).await
}

async fn set(context: &mut Context, change: Change, to: api::WorkOrderChange) -> Result<(), CliError> {
    let set = api::SetWorkOrder { work_order_id: change.work_order, change: to.into() };
    context.execute(change.key, Body::SetWorkOrder(set)).await
}

/// A component with its quantity and lot: `GLUE=0.5,lot=G-1`.
async fn material(context: &mut Context, text: &str) -> Result<api::Material, CliError> {
    const OPTION: &str = "--material";
    let wrong = || CliError::Usage {
        option: OPTION,
        reason: format!("{text:?} is not written as ITEM=QUANTITY or ITEM=QUANTITY,lot=LOT"),
    };
    let (name, rest) = text.split_once('=').ok_or_else(wrong)?;
    let (quantity, lot) = rest.split_once(',').map_or((rest, None), |(quantity, lot)| (quantity, Some(lot)));
    let lot = lot.map(|lot| lot.strip_prefix("lot=").ok_or_else(wrong)).transpose()?;
    let component = context.names.asset(name).await?;
    let quantity = positive(OPTION, quantity, component.scale)?;
    Ok(api::Material { component_id: component.asset_id, quantity, lot: lot.unwrap_or_default().to_owned() })
}

/// What a work order makes.
async fn product_of(context: &mut Context, work_order_id: u64) -> Result<api::Asset, CliError> {
    let request = api::GetWorkOrderRequest { work_order_id, consistency: None };
    let detail = context.client.get_work_order(request).await?.work_order;
    let order = detail.and_then(|detail| detail.work_order);
    let order = order.ok_or_else(|| ClientError::Protocol("an answer without the work order".to_owned()))?;
    context.names.asset_by_id(order.product_id).await
}

/// The currency that a product's costs are counted in.
async fn currency_of(context: &mut Context, asset_id: u32) -> Result<api::Asset, CliError> {
    let item = context.client.get_item(api::GetItemRequest { asset_id, consistency: None }).await?.item;
    context.names.asset_by_id(item.unwrap_or_default().currency_asset_id).await
}

async fn print_detail(context: &mut Context, detail: &api::WorkOrderDetail) -> Result<(), CliError> {
    let order = detail.work_order.clone().unwrap_or_default();
    let product = context.names.asset_by_id(order.product_id).await?;
    let currency = currency_of(context, order.product_id).await?;
    let quantity = |number: u64| amount(number, product.scale);
    let rows = [
        ("work order", order.work_order_id.to_string()),
        ("product", format!("{} {}, version {}", quantity(order.quantity), product.code, order.version)),
        ("state", words::work_order_state(&order)),
        ("days", format!("{} to {}", dates::format(order.start_day), dates::format(order.due_day))),
        ("from, into", format!("{}, {}", order.location_id, order.output_id)),
        ("completed", quantity(order.completed)),
        ("scrapped", quantity(order.scrapped)),
        ("lost", quantity(order.lost)),
        ("materials", format!("{} {}", amount(order.cost, currency.scale), currency.code)),
    ];
    print(&list(rows))?;
    let state = order.state();
    let ended = [State::Completed, State::Closed, State::Cancelled].contains(&state);
    let mut rows = Vec::new();
    for line in &detail.lines {
        let asset = context.names.asset_by_id(line.component_id).await?;
        let mut row = vec![asset.code.clone()];
        // An order with nothing left to make lacks nothing, whatever was issued to it.
        let short = if ended { 0 } else { line.required.saturating_sub(line.issued).saturating_sub(line.reserved) };
        row.extend([line.required, line.reserved, line.issued, short].map(|number| amount(number, asset.scale)));
        row.push(amount(line.cost, currency.scale));
        rows.push(row);
    }
    if !rows.is_empty() {
        let columns = [
            Column::Text("component"),
            Column::Number("required"),
            Column::Number("reserved"),
            Column::Number("issued"),
            Column::Number("short"),
            Column::Number("cost"),
        ];
        print(&table(&columns, rows))?;
    }
    let mut rows = Vec::new();
    for order_yield in &detail.yields {
        let asset = context.names.asset_by_id(order_yield.asset_id).await?;
        let besides = amount(order_yield.quantity, asset.scale);
        rows.push(vec![asset.code, besides, quantity(order_yield.per)]);
    }
    if !rows.is_empty() {
        print(&table(&[Column::Text("yields besides"), Column::Number("quantity"), Column::Number("for")], rows))?;
    }
    if detail.operations.is_empty() {
        return Ok(());
    }
    let rows = detail.operations.iter().enumerate().map(|(place, operation)| {
        let mut row = vec![place.to_string(), operation.work_centre.clone()];
        row.extend([operation.good, operation.scrap, operation.waiting].map(quantity));
        row
    });
    let columns = [
        Column::Number("operation"),
        Column::Text("work centre"),
        Column::Number("good"),
        Column::Number("scrap"),
        Column::Number("waiting"),
    ];
    print(&table(&columns, rows))
}

/// Prints work orders as a table.
pub async fn print_orders(
    context: &mut Context,
    orders: impl Iterator<Item = &api::WorkOrder>,
) -> Result<(), CliError> {
    let mut rows = Vec::new();
    for order in orders {
        let product = context.names.asset_by_id(order.product_id).await?;
        let mut row = vec![order.work_order_id.to_string(), product.code.clone(), words::work_order_state(order)];
        let (quantity, done) = (order.quantity, order.completed);
        row.extend([quantity, done, order.scrapped, order.lost].map(|number| amount(number, product.scale)));
        row.extend([order.start_day, order.due_day].map(dates::format));
        rows.push(row);
    }
    let columns = [
        Column::Number("work order"),
        Column::Text("product"),
        Column::Text("state"),
        Column::Number("quantity"),
        Column::Number("completed"),
        Column::Number("scrapped"),
        Column::Number("lost"),
        Column::Text("start"),
        Column::Text("due"),
    ];
    print(&table(&columns, rows))
}
