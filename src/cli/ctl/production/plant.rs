//! `ctl production plant`.

use super::super::pages::{PageArgs, pages};
use super::super::{Context, Fresh, Key, print};
use super::day;
use crate::cli::table::{Column, list, table};
use crate::cli::{CliError, dates};
use crate::client::api;
use api::command::Body;

/// The days of the week as they are written; the first is bit 0.
const WEEKDAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

#[derive(Debug, clap::Subcommand)]
pub enum Verb {
    /// Add a plant, or define it anew
    Define {
        /// A number of your choice, above 0
        #[arg(long)]
        plant_id: u32,
        /// 1 to 24 characters, no spaces
        #[arg(long)]
        name: String,
        /// The issuer that what is consumed goes to, and what is yielded comes from
        #[arg(long)]
        production: u64,
        /// The issuer that what is thrown away goes to
        #[arg(long)]
        scrap: u64,
        /// The issuer that differences are booked against
        #[arg(long)]
        adjustment: u64,
        /// The accounts that hold its stock, separated by commas
        #[arg(long = "locations", value_delimiter = ',', required = true)]
        location_ids: Vec<u64>,
        #[command(flatten)]
        key: Key,
    },
    /// Set the days on which it works
    Calendar {
        /// Name or id
        plant: String,
        /// The days of the week, separated by commas
        #[arg(long, value_delimiter = ',', value_parser = weekday, required = true, value_name = "mon,tue,…")]
        weekdays: Vec<u32>,
        /// Dates on which it does not work although it is such a day, separated by commas
        #[arg(long, value_delimiter = ',', value_parser = day)]
        holidays: Vec<i32>,
        /// The working time of a day
        #[arg(long, default_value_t = 28_800)]
        seconds_per_day: u32,
        #[command(flatten)]
        key: Key,
    },
    /// Show one
    Get {
        /// Name or id
        plant: String,
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

fn weekday(text: &str) -> Result<u32, String> {
    let place = WEEKDAYS.iter().position(|day| *day == text);
    place.map(|place| place as u32).ok_or_else(|| format!("one of {}", WEEKDAYS.join(", ")))
}

pub async fn run(context: &mut Context, verb: Verb) -> Result<(), CliError> {
    match verb {
        Verb::Define { plant_id, name, production, scrap, adjustment, location_ids, key } => {
            let plant = api::DefinePlant {
                plant_id,
                name,
                production_account_id: production,
                scrap_account_id: scrap,
                adjustment_account_id: adjustment,
                location_ids,
            };
            context.execute(key, Body::DefinePlant(plant)).await
        }
        Verb::Calendar { plant, weekdays, mut holidays, seconds_per_day, key } => {
            let plant_id = context.names.plant(&plant).await?.plant_id;
            holidays.sort_unstable();
            holidays.dedup();
            let weekdays = weekdays.iter().fold(0, |days, day| days | 1 << day);
            let calendar = api::SetCalendar { plant_id, weekdays, holidays, seconds_per_day };
            context.execute(key, Body::SetCalendar(calendar)).await
        }
        Verb::Get { plant, fresh } => {
            let plant_id = context.names.plant(&plant).await?.plant_id;
            let request = api::GetPlantRequest { plant_id, consistency: fresh.consistency() };
            let answer = context.client.get_plant(request).await?;
            if context.printed_json(&answer)? {
                return Ok(());
            }
            answer.plant.map_or(Ok(()), |plant| print(&list(described(&plant))))
        }
        Verb::List { page, fresh } => {
            let (client, consistency) = (context.client.clone(), fresh.consistency());
            let answer = pages(&page, async |page| {
                client.list_plants(api::ListPlantsRequest { page: Some(page), consistency }).await
            });
            let answer = answer.await?;
            if context.printed_json(&answer)? { Ok(()) } else { print_plants(&answer.plants) }
        }
    }
}

fn locations(plant: &api::Plant) -> String {
    plant.location_ids.iter().map(u64::to_string).collect::<Vec<_>>().join(", ")
}

fn weekdays(plant: &api::Plant) -> String {
    let days = WEEKDAYS.iter().enumerate().filter(|(place, _)| plant.weekdays >> place & 1 == 1);
    days.map(|(_, day)| *day).collect::<Vec<_>>().join(" ")
}

/// A plant as names with values.
pub fn described(plant: &api::Plant) -> Vec<(&'static str, String)> {
    let holidays: Vec<String> = plant.holidays.iter().map(|day| dates::format(*day)).collect();
    vec![
        ("plant", format!("{} ({})", plant.name, plant.plant_id)),
        ("locations", locations(plant)),
        ("production", plant.production_account_id.to_string()),
        ("scrap", plant.scrap_account_id.to_string()),
        ("adjustment", plant.adjustment_account_id.to_string()),
        ("works on", weekdays(plant)),
        ("holidays", holidays.join(" ")),
        ("a day", format!("{} s", plant.seconds_per_day)),
    ]
}

fn print_plants(plants: &[api::Plant]) -> Result<(), CliError> {
    let rows = plants.iter().map(|plant| {
        vec![
            plant.plant_id.to_string(),
            plant.name.clone(),
            locations(plant),
            plant.production_account_id.to_string(),
            weekdays(plant),
        ]
    });
    let columns = [
        Column::Number("id"),
        Column::Text("name"),
        Column::Text("locations"),
        Column::Number("production"),
        Column::Text("works on"),
    ];
    print(&table(&columns, rows))
}
