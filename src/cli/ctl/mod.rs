//! `counterfoil ctl`: everything that the API does, for people and for scripts.
//!
//! People read tables and decimals of each asset's scale; `--output json` prints the API's own
//! messages, with integers in the smallest unit. Assets and markets are named by code or by id.

mod account;
mod asset;
mod backup;
mod balance;
mod book;
mod cluster;
mod command;
mod inventory;
mod market;
mod order;
mod pages;
mod posting;
mod production;
mod result;
mod trade;
mod transfer;
mod watch;
mod words;

use std::io::Write as _;

use clap::Subcommand;
use prost::Message;

use super::args::{Connection, Output};
use super::json::to_json;
use super::names::Names;
use super::{CliError, block_on};
use crate::client::{Client, api, id_from_hex};
use crate::core::types::CommandId;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    connection: Connection,
    /// How answers are printed
    #[arg(long, value_enum, global = true, default_value_t)]
    output: Output,
    #[command(subcommand)]
    noun: Noun,
}

/// What every read takes.
#[derive(Debug, Clone, Copy, clap::Args)]
struct Fresh {
    /// How fresh the read must be: linearizable, stale, or the sequence that it must have seen
    #[arg(long, value_parser = level, default_value = "linearizable")]
    consistency: api::consistency::Level,
}

impl Fresh {
    fn consistency(self) -> Option<api::Consistency> {
        Some(api::Consistency { level: Some(self.consistency) })
    }
}

/// What every command takes.
#[derive(Debug, Clone, Copy, clap::Args)]
struct Key {
    /// The command's idempotency key, in hexadecimal: sent again, it gives the first answer. Random
    /// when left out. Of a transfer it is the transfer id, of an order the client order id
    #[arg(long, value_name = "HEX", value_parser = command_id)]
    id: Option<CommandId>,
}

#[derive(Debug, Subcommand)]
enum Noun {
    /// What is counted
    #[command(subcommand)]
    Asset(asset::Verb),
    /// Who holds it
    #[command(subcommand)]
    Account(account::Verb),
    /// Pairs of assets that are traded
    #[command(subcommand)]
    Market(market::Verb),
    /// Amounts moved between accounts
    #[command(subcommand)]
    Transfer(transfer::Verb),
    /// Orders
    #[command(subcommand)]
    Order(order::Verb),
    /// Trades
    #[command(subcommand)]
    Trade(trade::Verb),
    /// What an account has, now or in the past
    #[command(subcommand)]
    Balance(balance::Verb),
    /// Every change of an account's balances
    #[command(subcommand)]
    Posting(posting::Verb),
    /// A market's book, by price or by order
    Book(book::Args),
    /// Every event, from any sequence on, then live
    Watch(watch::Args),
    /// Stock of materials and products: what there is, and what comes, goes and moves
    #[command(subcommand)]
    Inventory(inventory::Verb),
    /// What is made, of what, and how far it is
    #[command(subcommand)]
    Production(production::Noun),
    /// Commands by their idempotency key
    #[command(subcommand)]
    Command(command::Verb),
    /// The nodes
    #[command(subcommand)]
    Cluster(cluster::Verb),
    /// Backups
    #[command(subcommand)]
    Backup(backup::Verb),
}

fn level(text: &str) -> Result<api::consistency::Level, String> {
    use api::consistency::Level;
    match text {
        "linearizable" => Ok(Level::Linearizable(true)),
        "stale" => Ok(Level::Stale(true)),
        _ => text
            .parse()
            .map(Level::AtLeastSequence)
            .map_err(|_| "neither linearizable, nor stale, nor a sequence".to_owned()),
    }
}

fn command_id(text: &str) -> Result<CommandId, String> {
    id_from_hex(text).ok_or_else(|| "an id is 1 to 32 hexadecimal digits, not all 0".to_owned())
}

/// What every subcommand needs.
struct Context {
    client: Client,
    names: Names,
    output: Output,
}

impl Context {
    /// Whether programs read what is printed.
    fn prints_json(&self) -> bool {
        self.output == Output::Json
    }

    /// Prints a message as JSON where that is asked for; otherwise the caller prints a table.
    fn printed_json<M: Message>(&self, message: &M) -> Result<bool, CliError> {
        if self.prints_json() {
            writeln!(std::io::stdout().lock(), "{:#}", to_json(message))?;
        }
        Ok(self.prints_json())
    }
}

fn print(text: &str) -> Result<(), CliError> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}")?;
    out.flush()?;
    Ok(())
}

pub fn run(args: Args) -> Result<(), CliError> {
    block_on(async {
        let client = args.connection.client()?;
        let names = Names::new(client.clone());
        let context = &mut Context { client, names, output: args.output };
        match args.noun {
            Noun::Asset(verb) => asset::run(context, verb).await,
            Noun::Account(verb) => account::run(context, verb).await,
            Noun::Market(verb) => market::run(context, verb).await,
            Noun::Transfer(verb) => transfer::run(context, verb).await,
            Noun::Order(verb) => order::run(context, verb).await,
            Noun::Trade(verb) => trade::run(context, verb).await,
            Noun::Balance(verb) => balance::run(context, verb).await,
            Noun::Posting(verb) => posting::run(context, verb).await,
            Noun::Book(args) => book::run(context, args).await,
            Noun::Watch(args) => watch::run(context, args).await,
            Noun::Inventory(verb) => inventory::run(context, verb).await,
            Noun::Production(noun) => production::run(context, noun).await,
            Noun::Command(verb) => command::run(context, verb).await,
            Noun::Cluster(verb) => cluster::run(context, verb).await,
            Noun::Backup(verb) => backup::run(context, verb).await,
        }
    })
}
