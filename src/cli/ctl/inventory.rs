//! `ctl inventory`.

use super::pages::{PageArgs, pages};
use super::{Context, Fresh, Key, print, words};
use crate::cli::CliError;
use crate::cli::names::{parse, positive};
use crate::cli::table::{Column, amount, table, time};
use crate::client::{api, id_to_hex};
use api::command::Body;

#[derive(Debug, clap::Subcommand)]
pub enum Verb {
    /// Take goods in
    Receive {
        #[command(flatten)]
        goods: Goods,
        /// The account that gives them, such as a supplier's
        #[arg(long)]
        from: u64,
        /// Their lot number; a tracked item gets one without
        #[arg(long, default_value = "", hide_default_value = true)]
        lot: String,
        #[command(flatten)]
        key: Key,
    },
    /// Give goods out
    Issue {
        #[command(flatten)]
        goods: Goods,
        /// The account that gets them
        #[arg(long)]
        to: u64,
        #[command(flatten)]
        lot: Lot,
        #[command(flatten)]
        key: Key,
    },
    /// Book a known difference
    Adjust {
        #[command(flatten)]
        place: Place,
        /// How much more there is, or less: -2.5
        #[arg(long, allow_negative_numbers = true)]
        by: String,
        #[command(flatten)]
        lot: Lot,
        #[command(flatten)]
        reason: Reason,
        #[command(flatten)]
        key: Key,
    },
    /// Say how much was counted; the difference is booked
    Count {
        #[command(flatten)]
        place: Place,
        /// How much was counted, of the lot if one is named
        #[arg(long)]
        counted: String,
        #[command(flatten)]
        lot: Lot,
        #[command(flatten)]
        reason: Reason,
        #[command(flatten)]
        key: Key,
    },
    /// Throw goods away
    Scrap {
        #[command(flatten)]
        goods: Goods,
        #[command(flatten)]
        lot: Lot,
        #[command(flatten)]
        reason: Reason,
        #[command(flatten)]
        key: Key,
    },
    /// Move goods to another location
    Move {
        #[command(flatten)]
        goods: Goods,
        /// The location that gets them
        #[arg(long)]
        to: u64,
        #[command(flatten)]
        lot: Lot,
        #[command(flatten)]
        key: Key,
    },
    /// List what a plant has, in all and by location
    OnHand {
        /// Name or id
        plant: String,
        /// Of this item alone: code or id
        #[arg(long)]
        asset: Option<String>,
        /// Of this location alone
        #[arg(long, default_value_t = 0, hide_default_value = true)]
        location: u64,
        #[command(flatten)]
        page: PageArgs,
        #[command(flatten)]
        fresh: Fresh,
    },
    /// List the items that are at or below their reorder point
    Reorder {
        /// Name or id of the plant
        plant: String,
        #[command(flatten)]
        page: PageArgs,
        #[command(flatten)]
        fresh: Fresh,
    },
    /// List the lots of an item at a location, or who has units of a lot
    #[command(group = clap::ArgGroup::new("of").required(true))]
    Lots {
        /// Code or id
        #[arg(long)]
        asset: String,
        /// What this account has, oldest first
        #[arg(long, group = "of")]
        location: Option<u64>,
        /// Where units of this lot are
        #[arg(long, group = "of")]
        lot: Option<String>,
        #[command(flatten)]
        page: PageArgs,
        #[command(flatten)]
        fresh: Fresh,
    },
    /// Follow a lot to what it went into, through work orders, transfers and trades
    Trace {
        /// Code or id
        #[arg(long)]
        asset: String,
        /// The lot number
        #[arg(long)]
        lot: String,
        /// To what it was made of instead
        #[arg(long)]
        backward: bool,
        #[command(flatten)]
        fresh: Fresh,
    },
}

/// Some quantity of an item at a location.
#[derive(Debug, clap::Args)]
pub struct Goods {
    #[command(flatten)]
    place: Place,
    /// How much
    #[arg(long)]
    quantity: String,
}

/// An item at a location.
#[derive(Debug, clap::Args)]
pub struct Place {
    /// The location: the account that has them
    #[arg(long)]
    location: u64,
    /// Code or id
    #[arg(long)]
    asset: String,
}

/// Which units.
#[derive(Debug, clap::Args)]
pub struct Lot {
    /// Of this lot; of the oldest ones without
    #[arg(long, default_value = "", hide_default_value = true)]
    lot: String,
}

/// Why.
#[derive(Debug, clap::Args)]
pub struct Reason {
    /// Why: 1 to 24 characters, no spaces
    #[arg(long)]
    reason: String,
}

impl Place {
    async fn asset(&self, context: &mut Context) -> Result<api::Asset, CliError> {
        context.names.asset(&self.asset).await
    }
}

impl Goods {
    /// Location, item and quantity.
    async fn read(&self, context: &mut Context) -> Result<(u64, u32, u64), CliError> {
        let asset = self.place.asset(context).await?;
        Ok((self.place.location, asset.asset_id, positive("--quantity", &self.quantity, asset.scale)?))
    }
}

pub async fn run(context: &mut Context, verb: Verb) -> Result<(), CliError> {
    match verb {
        Verb::Receive { goods, from, lot, key } => {
            let (location_id, asset_id, quantity) = goods.read(context).await?;
            let from_account_id = from;
            let body = Body::ReceiveStock(api::ReceiveStock { location_id, asset_id, quantity, from_account_id, lot });
            context.execute(key, body).await
        }
        Verb::Issue { goods, to, lot: Lot { lot }, key } => {
            let (location_id, asset_id, quantity) = goods.read(context).await?;
            let to_account_id = to;
            let body = Body::IssueStock(api::IssueStock { location_id, asset_id, quantity, to_account_id, lot });
            context.execute(key, body).await
        }
        Verb::Adjust { place, by, lot: Lot { lot }, reason: Reason { reason }, key } => {
            let asset = place.asset(context).await?;
            let difference = difference(&by, asset.scale)?;
            let (location_id, asset_id) = (place.location, asset.asset_id);
            let body = Body::AdjustStock(api::AdjustStock { location_id, asset_id, difference, lot, reason });
            context.execute(key, body).await
        }
        Verb::Count { place, counted, lot: Lot { lot }, reason: Reason { reason }, key } => {
            let asset = place.asset(context).await?;
            let counted = parse("--counted", &counted, asset.scale)?;
            let (location_id, asset_id) = (place.location, asset.asset_id);
            let body = Body::CountStock(api::CountStock { location_id, asset_id, counted, lot, reason });
            context.execute(key, body).await
        }
        Verb::Scrap { goods, lot: Lot { lot }, reason: Reason { reason }, key } => {
            let (location_id, asset_id, quantity) = goods.read(context).await?;
            let body = Body::ScrapStock(api::ScrapStock { location_id, asset_id, quantity, lot, reason });
            context.execute(key, body).await
        }
        Verb::Move { goods, to, lot: Lot { lot }, key } => {
            let (from_location_id, asset_id, quantity) = goods.read(context).await?;
            let to_location_id = to;
            let body = Body::MoveStock(api::MoveStock { from_location_id, to_location_id, asset_id, quantity, lot });
            context.execute(key, body).await
        }
        Verb::OnHand { plant, asset, location, page, fresh } => {
            on_hand(context, &plant, asset.as_deref(), location, &page, fresh).await
        }
        Verb::Reorder { plant, page, fresh } => {
            let plant_id = context.names.plant(&plant).await?.plant_id;
            let (client, consistency) = (context.client.clone(), fresh.consistency());
            let answer = pages(&page, async |page| {
                client.list_reorder(api::ListReorderRequest { plant_id, page: Some(page), consistency }).await
            });
            let answer = answer.await?;
            if context.printed_json(&answer)? { Ok(()) } else { print_low(context, &answer.stock).await }
        }
        Verb::Lots { asset, location, lot, page, fresh } => {
            lots(context, &asset, location, lot.unwrap_or_default(), &page, fresh).await
        }
        Verb::Trace { asset, lot, backward, fresh } => trace(context, &asset, lot, backward, fresh).await,
    }
}

/// A quantity with its sign.
fn difference(text: &str, scale: u32) -> Result<i64, CliError> {
    let out_of_range = |_| CliError::Usage { option: "--by", reason: "is out of range".to_owned() };
    match text.strip_prefix('-') {
        Some(less) => i64::try_from(positive("--by", less, scale)?).map(|less| -less).map_err(out_of_range),
        None => i64::try_from(positive("--by", text, scale)?).map_err(out_of_range),
    }
}

async fn on_hand(
    context: &mut Context,
    plant: &str,
    asset: Option<&str>,
    location_id: u64,
    page: &PageArgs,
    fresh: Fresh,
) -> Result<(), CliError> {
    let plant_id = context.names.plant(plant).await?.plant_id;
    let asset_id = match asset {
        Some(asset) => context.names.asset(asset).await?.asset_id,
        None => 0,
    };
    let (client, consistency) = (context.client.clone(), fresh.consistency());
    let answer = pages(page, async |page| {
        let page = Some(page);
        client.list_stock(api::ListStockRequest { plant_id, asset_id, location_id, page, consistency }).await
    });
    let answer = answer.await?;
    if context.printed_json(&answer)? { Ok(()) } else { print_stock(context, &answer.stock).await }
}

/// Prints stock, an item's sums and behind them what its locations have.
pub async fn print_stock(context: &mut Context, stock: &[api::StockLevel]) -> Result<(), CliError> {
    let mut rows = Vec::new();
    for level in stock {
        let asset = context.names.asset_by_id(level.asset_id).await?;
        let number = |number: i64| amount(number, asset.scale);
        let several = level.locations.len() > 1;
        let place = match &level.locations[..] {
            [only] => only.location_id.to_string(),
            _ => "all".to_owned(),
        };
        let mut row = vec![asset.code.clone(), place];
        row.extend([level.on_hand, level.reserved, level.available, level.on_order].map(number));
        rows.push(row);
        for at in level.locations.iter().filter(|_| several) {
            let mut row = vec![String::new(), at.location_id.to_string()];
            row.extend([at.on_hand, at.reserved, at.available].map(number));
            row.push(String::new());
            rows.push(row);
        }
    }
    let columns = [
        Column::Text("item"),
        Column::Text("location"),
        Column::Number("on hand"),
        Column::Number("reserved"),
        Column::Number("available"),
        Column::Number("on order"),
    ];
    print(&table(&columns, rows))
}

async fn print_low(context: &mut Context, stock: &[api::StockLevel]) -> Result<(), CliError> {
    let mut rows = Vec::new();
    for level in stock {
        let asset = context.names.asset_by_id(level.asset_id).await?;
        let number = |number: i128| amount(number, asset.scale);
        rows.push(vec![
            asset.code.clone(),
            number(level.available.into()),
            number(level.on_order.into()),
            number(level.reorder_point.into()),
            number(level.safety_stock.into()),
        ]);
    }
    let columns = [
        Column::Text("item"),
        Column::Number("available"),
        Column::Number("on order"),
        Column::Number("reorder at"),
        Column::Number("safety stock"),
    ];
    print(&table(&columns, rows))
}

async fn lots(
    context: &mut Context,
    asset: &str,
    location: Option<u64>,
    lot: String,
    page: &PageArgs,
    fresh: Fresh,
) -> Result<(), CliError> {
    use api::list_lots_request::Of;
    let asset = context.names.asset(asset).await?;
    let of = Some(location.map_or(Of::Lot(lot), Of::AccountId));
    let (client, consistency, asset_id) = (context.client.clone(), fresh.consistency(), asset.asset_id);
    let answer = pages(page, async |page| {
        let page = Some(page);
        client.list_lots(api::ListLotsRequest { asset_id, of: of.clone(), page, consistency }).await
    });
    let answer = answer.await?;
    if context.printed_json(&answer)? {
        return Ok(());
    }
    let rows = answer.lots.iter().map(|lot| {
        let quantity = amount(lot.quantity, asset.scale);
        vec![lot.lot.clone(), lot.account_id.to_string(), quantity, lot.since_sequence.to_string()]
    });
    let columns =
        [Column::Text("lot"), Column::Number("account"), Column::Number("quantity"), Column::Number("since event")];
    print(&table(&columns, rows))
}

async fn trace(context: &mut Context, asset: &str, lot: String, backward: bool, fresh: Fresh) -> Result<(), CliError> {
    let asset_id = context.names.asset(asset).await?.asset_id;
    let direction = if backward { api::TraceDirection::Backward } else { api::TraceDirection::Forward };
    let (direction, consistency) = (direction.into(), fresh.consistency());
    let answer = context.client.trace_lot(api::TraceLotRequest { asset_id, lot, direction, consistency }).await?;
    if context.printed_json(&answer)? {
        return Ok(());
    }
    let mut rows = Vec::new();
    for lot in &answer.lots {
        let asset = context.names.asset_by_id(lot.asset_id).await?;
        let found_by =
            if lot.by_work_order_id == 0 { String::new() } else { format!("order {}", lot.by_work_order_id) };
        let mut head = vec![asset.code.clone(), format!("{}{}", "· ".repeat(lot.depth as usize), lot.lot), found_by];
        for moved in &lot.moves {
            head.extend([
                amount(moved.quantity, asset.scale),
                moved.from_account_id.to_string(),
                moved.to_account_id.to_string(),
                cause(moved),
                time(moved.time),
            ]);
            rows.push(std::mem::replace(&mut head, vec![String::new(); 3]));
        }
    }
    let columns = [
        Column::Text("item"),
        Column::Text("lot"),
        Column::Text("by"),
        Column::Number("quantity"),
        Column::Number("from"),
        Column::Number("to"),
        Column::Text("because of"),
        Column::Text("time"),
    ];
    print(&table(&columns, rows))?;
    if answer.truncated { print("… and more") } else { Ok(()) }
}

fn cause(moved: &api::TracedMove) -> String {
    use api::traced_move::Cause;
    match &moved.cause {
        Some(Cause::StockMove(kind)) => words::stock_move(*kind),
        Some(Cause::WorkOrderId(order)) => format!("work order {order}"),
        Some(Cause::TradeId(trade)) => format!("trade {trade}"),
        Some(Cause::TransferId(transfer)) => format!("transfer {}", id_to_hex(transfer)),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_has_a_sign_and_is_not_nothing() {
        assert_eq!(difference("-2.5", 1).ok(), Some(-25));
        assert_eq!(difference("3", 1).ok(), Some(30));
        for bad in ["0", "-0", "--1", "", "-", "1.23"] {
            assert_eq!(difference(bad, 1).expect_err(bad).exit_code(), 2, "{bad}");
        }
    }
}
