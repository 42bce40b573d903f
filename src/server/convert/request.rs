//! Requests around the commands and queries: batches, consistency, pages, filters.

use bytes::Bytes;

use super::command::command;
use super::shape::choice;
use super::{Invalid, Reason, production, shape};
use crate::core::Command;
use crate::core::command::{CommandKey, Scope};
use crate::core::types::{
    AccountId, AssetId, Code, CommandId, MarketId, PlantId, Quantity, Sequence, Side, WorkOrderId, WorkOrderState,
};
use crate::proto::v1 as pb;
use crate::server::access::{Caller, Permission};
use crate::server::errors::Refusal;
use crate::server::limits::FILTER_IDS_MAX;
use crate::server::sequencer::Batch;

/// The commands of a request, checked one by one, and the ids to answer them under.
///
/// # Errors
/// The first command that has no meaning or that the caller may not give; then none is carried out.
pub fn batch(wire: Vec<pb::Command>, commands_max: usize, caller: &Caller) -> Result<(Batch, Vec<Bytes>), Refusal> {
    if wire.is_empty() {
        return Err(Invalid::missing("commands").into());
    }
    if wire.len() > commands_max {
        let message = format!("has {} items, at most {commands_max} are allowed", wire.len());
        return Err(Invalid::new("commands", Reason::TooMany, message).into());
    }
    let mut batch = Batch::with_capacity(wire.len());
    let mut ids = Vec::with_capacity(wire.len());
    let last = wire.len() - 1;
    let mut chained = false;
    for (place, item) in wire.into_iter().enumerate() {
        let in_list = |invalid: Invalid| invalid.within_item("commands", place);
        let command = command(&item).map_err(in_list)?;
        if chained && command.key().scope != Scope::Transfer {
            let message = "stands in a chain, which is for transfers, posts and voids alone";
            return Err(in_list(Invalid::not_allowed("body", message)).into());
        }
        chained = command.linked;
        if command.linked && place == last {
            let message = "links to the next command, and there is none";
            return Err(in_list(Invalid::not_allowed("linked", message)).into());
        }
        caller.check(permission_of(&command))?;
        batch.push(&command);
        ids.push(item.id);
    }
    Ok((batch, ids))
}

/// The one command of an `Execute`.
///
/// # Errors
/// As [`batch`].
pub fn single(wire: Option<pb::Command>, caller: &Caller) -> Result<(Batch, Vec<Bytes>), Refusal> {
    let wire = wire.ok_or_else(|| Invalid::missing("command"))?;
    let command = command(&wire).map_err(|invalid| invalid.within("command"))?;
    if command.linked {
        return Err(Invalid::not_allowed("command.linked", "links to the next command, and there is none").into());
    }
    caller.check(permission_of(&command))?;
    let mut batch = Batch::with_capacity(1);
    batch.push(&command);
    Ok((batch, vec![wire.id]))
}

/// What a caller needs to be allowed to give this command.
fn permission_of(command: &Command) -> Permission {
    match command.key().scope {
        Scope::Admin => Permission::Operate,
        Scope::Transfer | Scope::Trading | Scope::Production => Permission::Trade,
    }
}

/// How fresh a read must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consistency {
    /// Sees every command acknowledged before.
    Linearizable,
    /// Sees this event.
    AtLeast(Sequence),
    /// Sees what there is.
    Stale,
}

/// How fresh a read must be; linearizable when nothing is asked for.
///
/// # Errors
/// When a level is named and not meant.
pub fn consistency(wire: Option<&pb::Consistency>) -> Result<Consistency, Invalid> {
    use pb::consistency::Level;
    match wire.and_then(|wire| wire.level.as_ref()) {
        None | Some(Level::Linearizable(true)) => Ok(Consistency::Linearizable),
        Some(Level::AtLeastSequence(sequence)) => Ok(Consistency::AtLeast(Sequence(*sequence))),
        Some(Level::Stale(true)) => Ok(Consistency::Stale),
        Some(Level::Linearizable(false)) => {
            Err(Invalid::new("consistency.linearizable", Reason::OutOfRange, "must be true when it is set"))
        }
        Some(Level::Stale(false)) => {
            Err(Invalid::new("consistency.stale", Reason::OutOfRange, "must be true when it is set"))
        }
    }
}

/// An account's id.
///
/// # Errors
/// When it is zero.
pub fn account_id(number: u64, field: &str) -> Result<AccountId, Invalid> {
    shape::account(number, field)
}

/// An account's id, or nothing when it is left out.
#[must_use]
pub fn account_id_or_all(number: u64) -> Option<AccountId> {
    (number != 0).then_some(AccountId(number))
}

/// An asset's id.
///
/// # Errors
/// When it is zero.
pub fn asset_id(number: u32, field: &str) -> Result<AssetId, Invalid> {
    shape::asset(number, field)
}

/// An asset's id, or nothing when it is left out.
#[must_use]
pub fn asset_id_or_all(number: u32) -> Option<AssetId> {
    (number != 0).then_some(AssetId(number))
}

/// A market's id.
///
/// # Errors
/// When it is zero.
pub fn market_id(number: u32, field: &str) -> Result<MarketId, Invalid> {
    shape::market(number, field)
}

/// A market's id, or nothing when it is left out.
#[must_use]
pub fn market_id_or_all(number: u32) -> Option<MarketId> {
    (number != 0).then_some(MarketId(number))
}

/// A quantity.
///
/// # Errors
/// When it is nothing, or does not fit.
pub fn quantity(number: u64, field: &str) -> Result<Quantity, Invalid> {
    shape::quantity(number, field)
}

/// A plant's id.
///
/// # Errors
/// When it is zero.
pub fn plant_id(number: u32) -> Result<PlantId, Invalid> {
    production::plant(number)
}

/// A work order's id.
///
/// # Errors
/// When it is zero.
pub fn work_order_id(number: u64) -> Result<WorkOrderId, Invalid> {
    production::work_order(number)
}

/// A work order's state, or nothing for every one.
///
/// # Errors
/// When it is not known.
pub fn work_order_state_or_all(number: i32, field: &str) -> Result<Option<WorkOrderState>, Invalid> {
    choice(number, WorkOrderState::from_number, field)
}

/// A lot number.
///
/// # Errors
/// When it is none.
pub fn lot_number(text: &str, field: &str) -> Result<Code, Invalid> {
    shape::code(text, field)
}

/// A client's 128-bit id.
///
/// # Errors
/// When it is not 16 bytes, or all zero.
pub fn client_id(bytes: &[u8], field: &str) -> Result<CommandId, Invalid> {
    shape::command_id(bytes, field)
}

/// A side, or nothing for both.
///
/// # Errors
/// When it is not known.
pub fn side_or_both(number: i32, field: &str) -> Result<Option<Side>, Invalid> {
    choice(number, Side::from_number, field)
}

/// The idempotency key that a request names.
///
/// # Errors
/// When a part of it has no meaning.
pub fn command_key(wire: &pb::GetCommandResultRequest) -> Result<CommandKey, Invalid> {
    let scope = shape::chosen(wire.scope, Scope::from_number, "scope")?;
    let account = match scope {
        Scope::Trading => shape::account(wire.account_id, "account_id")?,
        Scope::Admin | Scope::Transfer | Scope::Production if wire.account_id != 0 => {
            return Err(Invalid::not_allowed("account_id", "is for the trading scope alone"));
        }
        Scope::Admin | Scope::Transfer | Scope::Production => AccountId(0),
    };
    Ok(CommandKey { scope, account, id: shape::command_id(&wire.id, "id")? })
}

/// A size between 1 and `max`; `default` when it is left out.
///
/// # Errors
/// When it is larger.
pub fn size(number: u32, field: &str, default: usize, max: usize) -> Result<usize, Invalid> {
    match number as usize {
        0 => Ok(default),
        size if size <= max => Ok(size),
        _ => Err(Invalid::new(field, Reason::OutOfRange, format!("must be at most {max}"))),
    }
}

/// Which records a watcher wants; each empty list wants all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Of these accounts, sorted.
    pub accounts: Vec<AccountId>,
    /// Of these markets, sorted.
    pub markets: Vec<MarketId>,
    /// Of these assets, sorted.
    pub assets: Vec<AssetId>,
}

/// Which records a watcher wants.
///
/// # Errors
/// When a list is too long or names an id of zero.
pub fn filter(wire: Option<pb::EventFilter>) -> Result<Filter, Invalid> {
    let wire = wire.unwrap_or_default();
    Ok(Filter {
        accounts: ids(&wire.account_ids, AccountId, "filter.account_ids")?,
        markets: ids(&wire.market_ids, MarketId, "filter.market_ids")?,
        assets: ids(&wire.asset_ids, AssetId, "filter.asset_ids")?,
    })
}

fn ids<N: Copy + Default + PartialEq, T: Ord>(numbers: &[N], make: fn(N) -> T, field: &str) -> Result<Vec<T>, Invalid> {
    if numbers.len() > FILTER_IDS_MAX {
        return Err(Invalid::new(field, Reason::TooMany, format!("at most {FILTER_IDS_MAX} are allowed")));
    }
    if numbers.contains(&N::default()) {
        return Err(Invalid::new(field, Reason::OutOfRange, "must not contain zero"));
    }
    let mut ids: Vec<T> = numbers.iter().copied().map(make).collect();
    ids.sort_unstable();
    Ok(ids)
}
