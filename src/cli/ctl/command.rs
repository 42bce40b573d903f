//! `ctl command`.

use super::words::CommandScope;
use super::{Context, Fresh};
use crate::cli::CliError;
use crate::client::{api, id_to_bytes};
use crate::core::types::CommandId;

#[derive(Debug, clap::Subcommand)]
pub enum Verb {
    /// Show the answer that a command got
    Result {
        /// The command's id, in hexadecimal
        #[arg(value_parser = super::command_id)]
        command: CommandId,
        /// Which space of ids
        #[arg(long, value_enum)]
        scope: CommandScope,
        /// Whose; needed in the trading scope
        #[arg(long, default_value_t = 0, hide_default_value = true)]
        account: u64,
        #[command(flatten)]
        fresh: Fresh,
    },
}

pub async fn run(context: &mut Context, verb: Verb) -> Result<(), CliError> {
    let Verb::Result { command, scope, account, fresh } = verb;
    let request = api::GetCommandResultRequest {
        scope: scope.into(),
        account_id: account,
        id: id_to_bytes(command),
        consistency: fresh.consistency(),
    };
    let answer = context.client.get_command_result(request).await?;
    match answer.result {
        Some(result) => context.print_result(&result).await,
        None => Ok(()),
    }
}
