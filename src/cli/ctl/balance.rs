//! `ctl balance`.

use super::{Context, Fresh};
use crate::cli::CliError;
use crate::client::api;

#[derive(Debug, clap::Subcommand)]
pub enum Verb {
    /// List an account's balances
    List {
        /// Whose
        #[arg(long)]
        account: u64,
        /// As they were after this event [default: now]
        #[arg(long, default_value_t = 0, hide_default_value = true, value_name = "SEQUENCE")]
        at_sequence: u64,
        #[command(flatten)]
        fresh: Fresh,
    },
}

pub async fn run(context: &mut Context, verb: Verb) -> Result<(), CliError> {
    let Verb::List { account, at_sequence, fresh } = verb;
    let request = api::ListBalancesRequest { account_id: account, at_sequence, consistency: fresh.consistency() };
    let answer = context.client.list_balances(request).await?;
    if context.printed_json(&answer)? { Ok(()) } else { context.print_balances(&answer.balances).await }
}
