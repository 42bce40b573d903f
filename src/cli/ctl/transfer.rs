//! `ctl transfer`.

use super::account::user_number;
use super::order::Expiry;
use super::{Context, Fresh, Key, print, words};
use crate::cli::CliError;
use crate::cli::names::positive;
use crate::cli::table::{amount, list, time};
use crate::client::{api, id_to_bytes, id_to_hex};
use crate::core::types::CommandId;

#[derive(Debug, clap::Subcommand)]
pub enum Verb {
    /// Move an amount between two accounts; `--id` is the transfer's id
    Create(Create),
    /// Settle a pending transfer, whole or in part
    Post {
        /// The pending transfer's id
        #[arg(value_parser = super::command_id)]
        transfer: CommandId,
        /// How much of it [default: all]
        #[arg(long)]
        amount: Option<String>,
        #[command(flatten)]
        key: Key,
    },
    /// Give a pending transfer's reservation back
    Void {
        /// The pending transfer's id
        #[arg(value_parser = super::command_id)]
        transfer: CommandId,
        #[command(flatten)]
        key: Key,
    },
    /// Show one
    Get {
        /// Its id
        #[arg(value_parser = super::command_id)]
        transfer: CommandId,
        #[command(flatten)]
        fresh: Fresh,
    },
}

#[derive(Debug, clap::Args)]
pub struct Create {
    /// The account that gives
    #[arg(long)]
    debit: u64,
    /// The account that receives
    #[arg(long)]
    credit: u64,
    /// Code or id
    #[arg(long)]
    asset: String,
    /// How much
    #[arg(long)]
    amount: String,
    /// Reserve it until it is posted, voided or expires
    #[arg(long)]
    pending: bool,
    #[command(flatten)]
    expiry: Expiry,
    /// A number of your own, in hexadecimal
    #[arg(long, value_name = "HEX")]
    user_data: Option<String>,
    /// A reason of your own
    #[arg(long, default_value_t = 0)]
    code: u32,
    #[command(flatten)]
    key: Key,
}

pub async fn run(context: &mut Context, verb: Verb) -> Result<(), CliError> {
    match verb {
        Verb::Create(create) => {
            let asset = context.names.asset(&create.asset).await?;
            let transfer = api::Transfer {
                debit_account_id: create.debit,
                credit_account_id: create.credit,
                asset_id: asset.asset_id,
                amount: positive("--amount", &create.amount, asset.scale)?,
                pending: create.pending,
                expires_at: create.expiry.nanoseconds()?,
                user_data: create.user_data.as_deref().map(user_number).transpose()?.unwrap_or_default(),
                code: create.code,
            };
            context.execute(create.key, api::command::Body::Transfer(transfer)).await
        }
        Verb::Post { transfer, amount, key } => {
            let amount = match amount {
                None => 0,
                Some(text) => {
                    let asset_id = get(context, transfer, None).await?.transfer.map(|transfer| transfer.asset_id);
                    let asset = context.names.asset_by_id(asset_id.unwrap_or_default()).await?;
                    positive("--amount", &text, asset.scale)?
                }
            };
            let post = api::PostPending { transfer_id: id_to_bytes(transfer), amount };
            context.execute(key, api::command::Body::PostPending(post)).await
        }
        Verb::Void { transfer, key } => {
            let void = api::VoidPending { transfer_id: id_to_bytes(transfer) };
            context.execute(key, api::command::Body::VoidPending(void)).await
        }
        Verb::Get { transfer, fresh } => {
            let answer = get(context, transfer, fresh.consistency()).await?;
            if context.printed_json(&answer)? { Ok(()) } else { print_transfer(context, &answer).await }
        }
    }
}

async fn get(
    context: &Context,
    transfer: CommandId,
    consistency: Option<api::Consistency>,
) -> Result<api::GetTransferResponse, CliError> {
    let request = api::GetTransferRequest { transfer_id: id_to_bytes(transfer), consistency };
    Ok(context.client.get_transfer(request).await?)
}

async fn print_transfer(context: &mut Context, answer: &api::GetTransferResponse) -> Result<(), CliError> {
    let mut rows = vec![
        ("transfer", id_to_hex(&answer.transfer_id)),
        ("state", words::transfer_state(answer.state)),
        ("sequence", answer.sequence.to_string()),
        ("time", time(answer.time)),
    ];
    if answer.rejection != 0 {
        rows.push(("refused", words::rejection(answer.rejection)));
    }
    if let Some(transfer) = &answer.transfer {
        let asset = context.names.asset_by_id(transfer.asset_id).await?;
        rows.push(("debit", transfer.debit_account_id.to_string()));
        rows.push(("credit", transfer.credit_account_id.to_string()));
        rows.push(("amount", format!("{} {}", amount(transfer.amount, asset.scale), asset.code)));
        if transfer.pending {
            rows.push(("expires", time(transfer.expires_at)));
            rows.push(("posted", format!("{} {}", amount(answer.posted_amount, asset.scale), asset.code)));
        }
        if answer.ended_sequence != 0 {
            rows.push(("ended", format!("{}, sequence {}", time(answer.ended_at), answer.ended_sequence)));
        }
    }
    print(&list(rows))
}
