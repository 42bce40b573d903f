//! `ctl production`: plants, items, bills of materials, work orders, plans, purchases, and the state of it all.

mod bom;
mod firm;
mod import;
mod item;
mod plan;
mod plant;
mod purchase;
mod requirements;
mod settings;
mod state;
mod work_order;

use super::{Context, Fresh};
use crate::cli::{CliError, dates};

#[derive(Debug, clap::Subcommand)]
pub enum Noun {
    /// Where things are made
    #[command(subcommand)]
    Plant(plant::Verb),
    /// How materials and products are planned
    #[command(subcommand)]
    Item(Box<item::Verb>),
    /// What products are made of
    #[command(subcommand)]
    Bom(Box<bom::Verb>),
    /// Runs of a bill of materials
    #[command(subcommand)]
    WorkOrder(Box<work_order::Verb>),
    /// What is to be there and when, what it requires, and the orders for it
    #[command(subcommand)]
    Plan(Box<plan::Verb>),
    /// What plans have to buy, until it came
    #[command(subcommand)]
    Purchase(Box<purchase::Verb>),
    /// Define parts and bills of materials from files, and count stock from them
    Import(Box<import::Import>),
    /// Show a plant's plans, orders, planned purchases, shortages, work in progress and stock, at one sequence
    State {
        /// Name or id
        plant: String,
        #[command(flatten)]
        fresh: Fresh,
    },
}

pub async fn run(context: &mut Context, noun: Noun) -> Result<(), CliError> {
    match noun {
        Noun::Plant(verb) => plant::run(context, verb).await,
        Noun::Item(verb) => item::run(context, *verb).await,
        Noun::Bom(verb) => bom::run(context, *verb).await,
        Noun::WorkOrder(verb) => work_order::run(context, *verb).await,
        Noun::Plan(verb) => plan::run(context, *verb).await,
        Noun::Purchase(verb) => purchase::run(context, *verb).await,
        Noun::Import(import) => import::run(context, *import).await,
        Noun::State { plant, fresh } => state::run(context, &plant, fresh).await,
    }
}

/// A day of the command line.
fn day(text: &str) -> Result<i32, String> {
    dates::parse(text)
}
