//! `ctl account`.

use super::pages::{PageArgs, pages};
use super::{Context, Fresh, Key, print, words};
use crate::cli::CliError;
use crate::cli::names::parse;
use crate::cli::table::{Column, amount, table};
use crate::client::{api, id_from_hex, id_to_bytes, id_to_hex};

#[derive(Debug, clap::Subcommand)]
pub enum Verb {
    /// Add an account
    Create {
        /// A number of your choice, above 0
        #[arg(long)]
        account_id: u64,
        /// May go below zero in every asset: where value enters the books
        #[arg(long)]
        issuer: bool,
        /// May hold only assets that set-asset allows
        #[arg(long)]
        restricted: bool,
        /// A number of your own, in hexadecimal
        #[arg(long, value_name = "HEX")]
        user_data: Option<String>,
        #[command(flatten)]
        key: Key,
    },
    /// Show one, with its balances and what holds its reservations
    Get {
        /// Its id
        account: u64,
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
    /// Let nothing in or out, and cancel its orders
    Freeze {
        /// Its id
        account: u64,
        #[command(flatten)]
        key: Key,
    },
    /// Put it in use again
    Unfreeze {
        /// Its id
        account: u64,
        #[command(flatten)]
        key: Key,
    },
    /// End it for good; every balance must be zero
    Close {
        /// Its id
        account: u64,
        #[command(flatten)]
        key: Key,
    },
    /// Set its terms for one asset
    SetAsset {
        /// Its id
        account: u64,
        /// Code or id
        #[arg(long)]
        asset: String,
        /// Forbid a restricted account to hold it, instead of allowing it
        #[arg(long)]
        forbid: bool,
        /// How far below zero its available balance may go
        #[arg(long, default_value = "0")]
        credit_limit: String,
        #[command(flatten)]
        key: Key,
    },
}

pub async fn run(context: &mut Context, verb: Verb) -> Result<(), CliError> {
    match verb {
        Verb::Create { account_id, issuer, restricted, user_data, key } => {
            let user_data = user_data.as_deref().map(user_number).transpose()?.unwrap_or_default();
            let account = api::CreateAccount { account_id, issuer, restricted, user_data };
            context.execute(key, api::command::Body::CreateAccount(account)).await
        }
        Verb::Get { account, fresh } => get(context, account, fresh).await,
        Verb::List { page, fresh } => {
            let (client, consistency) = (context.client.clone(), fresh.consistency());
            let answer = pages(&page, async |page| {
                client.list_accounts(api::ListAccountsRequest { page: Some(page), consistency }).await
            });
            let answer = answer.await?;
            if context.printed_json(&answer)? { Ok(()) } else { print_accounts(&answer.accounts) }
        }
        Verb::Freeze { account, key } => set_state(context, key, account, api::AccountState::Frozen).await,
        Verb::Unfreeze { account, key } => set_state(context, key, account, api::AccountState::Active).await,
        Verb::Close { account, key } => set_state(context, key, account, api::AccountState::Closed).await,
        Verb::SetAsset { account, asset, forbid, credit_limit, key } => {
            let asset = context.names.asset(&asset).await?;
            let terms = api::SetAccountAsset {
                account_id: account,
                asset_id: asset.asset_id,
                allowed: !forbid,
                credit_limit: parse("--credit-limit", &credit_limit, asset.scale)?,
            };
            context.execute(key, api::command::Body::SetAccountAsset(terms)).await
        }
    }
}

/// A 16-byte number of the client's own, from hexadecimal.
pub fn user_number(text: &str) -> Result<bytes::Bytes, CliError> {
    let number = id_from_hex(text).ok_or_else(|| CliError::Usage {
        option: "--user-data",
        reason: "it is 1 to 32 hexadecimal digits, not all 0".to_owned(),
    })?;
    Ok(id_to_bytes(number))
}

async fn set_state(context: &mut Context, key: Key, account_id: u64, state: api::AccountState) -> Result<(), CliError> {
    let state = api::SetAccountState { account_id, state: state.into() };
    context.execute(key, api::command::Body::SetAccountState(state)).await
}

async fn get(context: &mut Context, account_id: u64, fresh: Fresh) -> Result<(), CliError> {
    let request = api::GetAccountRequest { account_id, consistency: fresh.consistency() };
    let answer = context.client.get_account(request).await?;
    if context.printed_json(&answer)? {
        return Ok(());
    }
    print_accounts(answer.account.as_slice())?;
    context.print_balances(&answer.balances).await?;
    let mut rows = Vec::new();
    for hold in &answer.holds {
        let asset = context.names.asset_by_id(hold.asset_id).await?;
        let holder = match &hold.holder {
            Some(api::hold::Holder::OrderId(order)) => format!("order {order}"),
            Some(api::hold::Holder::TransferId(transfer)) => format!("transfer {}", id_to_hex(transfer)),
            Some(api::hold::Holder::WorkOrderId(order)) => format!("work order {order}"),
            None => String::new(),
        };
        rows.push(vec![asset.code.clone(), amount(hold.amount, asset.scale), holder]);
    }
    if !rows.is_empty() {
        print(&table(&[Column::Text("asset"), Column::Number("held"), Column::Text("by")], rows))?;
    }
    if answer.holds_truncated {
        print("… and more")?;
    }
    Ok(())
}

fn print_accounts(accounts: &[api::Account]) -> Result<(), CliError> {
    let rows = accounts.iter().map(|account| {
        vec![
            account.account_id.to_string(),
            words::account_state(account.state),
            words::yes(account.issuer),
            words::yes(account.restricted),
            if account.user_data.iter().all(|&byte| byte == 0) { String::new() } else { id_to_hex(&account.user_data) },
        ]
    });
    let columns = [
        Column::Number("id"),
        Column::Text("state"),
        Column::Text("issuer"),
        Column::Text("restricted"),
        Column::Text("user data"),
    ];
    print(&table(&columns, rows))
}
