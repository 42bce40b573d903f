//! `ctl production import`: parts, bills of materials and stock from files.
//!
//! It looks at what the ledger has and sends what is missing or differs, so that the same files again
//! change nothing. Ids follow from what a part is known by. A count of stock is the one thing that cannot
//! be told from the state: its idempotency key is made of the file's bytes, so that one file counts once.
//!
//! All files are read and checked before the first command is sent. What only the ledger can refuse is told with
//! what was done until then, and the same files again go on from there.

mod catalogue;
mod check;
mod known;
mod ledger;

use std::path::PathBuf;

use self::catalogue::Catalogue;
use self::ledger::{Counts, Wanted};
use super::super::{Context, print};
use super::day;
use crate::cli::CliError;
use crate::cli::args::Output;
use crate::cli::csv;
use crate::cli::table::list;

#[derive(Debug, clap::Args)]
pub struct Import {
    /// The plant: its name, or the id of one that there is. One that there is not is added, with accounts of
    /// its own
    #[arg(long)]
    plant: String,
    /// Where stock is counted [default: the plant's first location]
    #[arg(long)]
    location: Option<u64>,
    /// What costs are counted in; added, with two decimal places, where there is no such asset
    #[arg(long, default_value = "USD")]
    currency: String,
    /// A file of bills of materials, again for each; known by its columns (docs/PRODUCTION.md)
    #[arg(long = "bom", value_name = "FILE")]
    boms: Vec<PathBuf>,
    /// A file of stock on hand, again for each
    #[arg(long = "stock", value_name = "FILE")]
    stocks: Vec<PathBuf>,
    /// What the parts of a priced list make together
    #[arg(long, default_value = "PRODUCT", value_name = "NAME")]
    product: String,
    /// Working days from order to receipt of what is bought and was not known
    #[arg(long, default_value_t = 0)]
    lead_days: u32,
    /// Follow the units of items that were not known by lot number
    #[arg(long)]
    lot_tracked: bool,
    /// The first day on which new bills of materials are in effect
    #[arg(long, value_parser = day, value_name = "DATE", default_value = "1970-01-01")]
    from: i32,
    /// Part of the keys of counts: the same file under another label counts once more
    #[arg(long, default_value = "", hide_default_value = true)]
    label: String,
}

pub async fn run(context: &mut Context, import: Import) -> Result<(), CliError> {
    if import.boms.is_empty() && import.stocks.is_empty() {
        let reason = "or --stock names what is to be imported".to_owned();
        return Err(CliError::Usage { option: "--bom", reason });
    }
    let mut catalogue = Catalogue::default();
    let mut bytes = import.label.clone().into_bytes();
    for path in import.boms.iter().chain(&import.stocks) {
        let (sheet, content) = csv::read(path)?;
        let add = catalogue.add(&sheet, &import.product);
        add.map_err(|source| CliError::Csv { path: path.clone(), source })?;
        if import.stocks.contains(path) {
            bytes.extend_from_slice(&content);
        }
    }
    let wanted = Wanted {
        plant: import.plant,
        location: import.location,
        currency: import.currency,
        lead_days: import.lead_days,
        lot_tracked: import.lot_tracked,
        from_day: import.from,
        counts_key: bytes,
    };
    let counts = wanted.bring(&context.client, &catalogue).await?;
    report(context, &counts)
}

fn report(context: &Context, counts: &Counts) -> Result<(), CliError> {
    let Counts { plant_id, location_id, .. } = *counts;
    if context.output == Output::Json {
        let json = serde_json::json!({
            "plant_id": plant_id,
            "location_id": location_id,
            "assets_created": counts.assets,
            "items_defined": counts.items,
            "boms_defined": counts.boms,
            "balances_counted": counts.counted,
            "unchanged": counts.unchanged,
        });
        return print(&format!("{json:#}"));
    }
    print(&list([
        ("plant", plant_id.to_string()),
        ("location", location_id.to_string()),
        ("assets", format!("{} created", counts.assets)),
        ("items", format!("{} defined", counts.items)),
        ("bills of materials", format!("{} defined", counts.boms)),
        ("stock", format!("{} counted", counts.counted)),
        ("unchanged", counts.unchanged.to_string()),
    ]))
}
