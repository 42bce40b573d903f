//! `ctl production purchase`.

use super::super::pages::{PageArgs, pages};
use super::super::{Context, Fresh, Key, print};
use crate::cli::names::positive;
use crate::cli::table::{Column, amount, table};
use crate::cli::{CliError, dates};
use crate::client::{api, id_to_bytes};
use crate::core::types::CommandId;
use api::command::Body;

#[derive(Debug, clap::Subcommand)]
pub enum Verb {
    /// Show one of which something is still to come
    Get {
        /// Its id
        purchase: u64,
        #[command(flatten)]
        fresh: Fresh,
    },
    /// List those of which something is still to come
    List {
        /// Name or id of the plant
        plant: String,
        /// Of this plan alone: name or id
        #[arg(long)]
        plan: Option<String>,
        /// Of this item alone: code or id
        #[arg(long)]
        item: Option<String>,
        #[command(flatten)]
        page: PageArgs,
        #[command(flatten)]
        fresh: Fresh,
    },
    /// Say that goods of it came. When all have, it ends
    Receive {
        /// Its id
        purchase: u64,
        /// How much came
        #[arg(long)]
        quantity: String,
        /// Take the goods in from this account, such as a supplier's. Without it they are in the books already:
        /// received by themselves, or bought on a market by an order that was not linked
        #[arg(long)]
        from: Option<u64>,
        /// Their lot number; a tracked item gets one without
        #[arg(long, requires = "from", default_value = "", hide_default_value = true)]
        lot: String,
        #[command(flatten)]
        key: Key,
    },
    /// Say which open buy order of its location and item buys it: from then on the order's trades are receipts.
    /// `order place --purchase` enters one that does
    Link {
        /// Its id
        purchase: u64,
        /// The client order id [default: none any more]
        #[arg(long, value_parser = super::super::command_id)]
        order: Option<CommandId>,
        #[command(flatten)]
        key: Key,
    },
    /// End one of which no more will come
    Close {
        /// Its id
        purchase: u64,
        #[command(flatten)]
        key: Key,
    },
}

pub async fn run(context: &mut Context, verb: Verb) -> Result<(), CliError> {
    match verb {
        Verb::Get { purchase: purchase_id, fresh } => {
            let request = api::GetPurchaseRequest { purchase_id, consistency: fresh.consistency() };
            let answer = context.client.get_purchase(request).await?;
            if context.printed_json(&answer)? {
                Ok(())
            } else {
                print_purchases(context, answer.purchase.as_slice()).await
            }
        }
        Verb::List { plant, plan, item, page, fresh } => {
            let plant_id = context.names.plant(&plant).await?.plant_id;
            let plan_id = match plan {
                // A plan that is closed is found by its id alone.
                Some(plan) => match plan.parse() {
                    Ok(id) => id,
                    Err(_) => context.names.plan(&plan).await?.plan_id,
                },
                None => 0,
            };
            let item_id = match item {
                Some(item) => context.names.asset(&item).await?.asset_id,
                None => 0,
            };
            let (client, consistency) = (context.client.clone(), fresh.consistency());
            let answer = pages(&page, async |page| {
                let page = Some(page);
                let request = api::ListPurchasesRequest { plant_id, plan_id, item_id, page, consistency };
                client.list_purchases(request).await
            });
            let answer = answer.await?;
            if context.printed_json(&answer)? { Ok(()) } else { print_purchases(context, &answer.purchases).await }
        }
        Verb::Receive { purchase: purchase_id, quantity, from, lot, key } => {
            let request = api::GetPurchaseRequest { purchase_id, consistency: None };
            let item_id = match context.client.get_purchase(request).await {
                Ok(answer) => answer.purchase.unwrap_or_default().item_id,
                // It has ended. Maybe by this very command, of which the answer got lost: sent again it is answered.
                Err(error) => planned_item(context, key, purchase_id).await?.ok_or(error)?,
            };
            let scale = context.names.asset_by_id(item_id).await?.scale;
            let quantity = positive("--quantity", &quantity, scale)?;
            let receipt = from.map(|from_account_id| api::PurchaseReceipt { from_account_id, lot });
            let receive = api::ReceivePurchase { purchase_id, quantity, receipt };
            context.execute(key, Body::ReceivePurchase(receive)).await
        }
        Verb::Link { purchase: purchase_id, order, key } => {
            let client_order_id = order.map(id_to_bytes).unwrap_or_default();
            context.execute(key, Body::LinkPurchase(api::LinkPurchase { purchase_id, client_order_id })).await
        }
        Verb::Close { purchase: purchase_id, key } => {
            context.execute(key, Body::ClosePurchase(api::ClosePurchase { purchase_id })).await
        }
    }
}

/// The item of a purchase that has ended, by the event that planned it, where a command with the key was answered
/// since.
async fn planned_item(context: &Context, key: Key, purchase_id: u64) -> Result<Option<u32>, CliError> {
    let answered = context.answered_before(key).await?.and_then(|result| result.position);
    if answered.is_none_or(|position| position.sequence <= purchase_id) || purchase_id == 0 {
        return Ok(None);
    }
    let event = context.events_from(purchase_id).await?.into_iter().next();
    Ok(match event.and_then(|event| event.body) {
        Some(api::event::Body::PurchasePlanned(planned)) => planned.purchase.map(|purchase| purchase.item_id),
        _ => None,
    })
}

/// Prints planned purchases as a table.
pub async fn print_purchases(context: &mut Context, purchases: &[api::Purchase]) -> Result<(), CliError> {
    let mut rows = Vec::new();
    for purchase in purchases {
        let item = context.names.asset_by_id(purchase.item_id).await?;
        let mut row = vec![purchase.purchase_id.to_string(), purchase.plan_id.to_string(), item.code.clone()];
        row.extend([purchase.quantity, purchase.received].map(|number| amount(number, item.scale)));
        row.push(purchase.location_id.to_string());
        row.extend([purchase.release_day, purchase.due_day].map(dates::format));
        rows.push(row);
    }
    let columns = [
        Column::Number("purchase"),
        Column::Number("plan"),
        Column::Text("item"),
        Column::Number("quantity"),
        Column::Number("received"),
        Column::Number("into"),
        Column::Text("order on"),
        Column::Text("due"),
    ];
    print(&table(&columns, rows))
}
