//! The API's enumerations in the words of the command line.

use clap::ValueEnum;

use crate::cli::table::word;
use crate::client::api;

macro_rules! words {
    ($($(#[$doc:meta])* $name:ident { $($(#[$about:meta])* $variant:ident => $number:ident,)* })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
        pub enum $name {$(
            $(#[$about])*
            $variant,
        )*}

        impl From<$name> for i32 {
            fn from(word: $name) -> Self {
                match word {
                    $($name::$variant => api::$name::$number.into(),)*
                }
            }
        }
    )*};
}

words! {
    /// What an asset is.
    AssetKind {
        /// Money
        Currency => Currency,
        /// A share, a bond
        Security => Security,
        /// What production consumes
        Material => Material,
        /// What production yields
        Product => Product,
    }

    /// The side of an order.
    Side {
        /// Buys base for quote
        Buy => Buy,
        /// Sells base for quote
        Sell => Sell,
    }

    /// How long an order stays in force.
    TimeInForce {
        /// Good till cancel
        Gtc => GoodTillCancel,
        /// Good till date, with --expires-at or --expires-in
        Gtd => GoodTillDate,
        /// Immediate or cancel
        Ioc => ImmediateOrCancel,
        /// Fill or kill
        Fok => FillOrKill,
    }

    /// What happens before an order would trade with its own account.
    SelfTradePrevention {
        /// The incoming order's rest is cancelled
        CancelNewest => CancelNewest,
        /// The resting order is cancelled
        CancelOldest => CancelOldest,
        /// Both are cancelled
        CancelBoth => CancelBoth,
        /// Both lose the smaller one's quantity
        Decrement => Decrement,
    }

    /// A market's trading phase.
    Phase {
        /// Orders match as they come
        Continuous => Continuous,
        /// No order enters
        Halted => Halted,
        /// As halted, for the day
        Closed => Closed,
    }

    /// Which commands share a space of ids.
    CommandScope {
        /// Assets, accounts, markets
        Admin => Admin,
        /// Transfers, posts, voids
        Transfer => Transfer,
        /// Orders of one account
        Trading => Trading,
        /// Plants, items, bills of materials, stock, work orders
        Production => Production,
    }

    /// Where an item comes from.
    Source {
        /// Work orders make it
        Make => Make,
        /// It is bought
        Buy => Buy,
    }

    /// Where a work order stands.
    WorkOrderState {
        /// Holds nothing
        Planned => Planned,
        /// Its materials are reserved
        Released => Released,
        /// Work on it has begun
        InProgress => InProgress,
        /// Nothing is left to make
        Completed => Completed,
        /// Ended after work on it
        Closed => Closed,
        /// Ended before it was completed
        Cancelled => Cancelled,
    }
}

/// The words of a number that came over the wire.
pub fn side(number: i32) -> String {
    api::Side::try_from(number).map_or_else(|_| number.to_string(), |side| word(side.as_str_name(), "SIDE"))
}

/// See [`side`].
pub fn status(number: i32) -> String {
    api::OrderStatus::try_from(number)
        .map_or_else(|_| number.to_string(), |status| word(status.as_str_name(), "ORDER_STATUS"))
}

/// See [`side`].
pub fn time_in_force(number: i32) -> String {
    use api::TimeInForce;
    match TimeInForce::try_from(number) {
        Ok(TimeInForce::GoodTillCancel) => "gtc".to_owned(),
        Ok(TimeInForce::GoodTillDate) => "gtd".to_owned(),
        Ok(TimeInForce::ImmediateOrCancel) => "ioc".to_owned(),
        Ok(TimeInForce::FillOrKill) => "fok".to_owned(),
        _ => number.to_string(),
    }
}

/// See [`side`].
pub fn asset_kind(number: i32) -> String {
    api::AssetKind::try_from(number).map_or_else(|_| number.to_string(), |kind| word(kind.as_str_name(), "ASSET_KIND"))
}

/// See [`side`].
pub fn account_state(number: i32) -> String {
    api::AccountState::try_from(number)
        .map_or_else(|_| number.to_string(), |state| word(state.as_str_name(), "ACCOUNT_STATE"))
}

/// See [`side`].
pub fn phase(number: i32) -> String {
    api::Phase::try_from(number).map_or_else(|_| number.to_string(), |phase| word(phase.as_str_name(), "PHASE"))
}

/// See [`side`].
pub fn transfer_state(number: i32) -> String {
    api::TransferState::try_from(number)
        .map_or_else(|_| number.to_string(), |state| word(state.as_str_name(), "TRANSFER_STATE"))
}

/// See [`side`].
pub fn node_role(number: i32) -> String {
    api::NodeRole::try_from(number).map_or_else(|_| number.to_string(), |role| word(role.as_str_name(), "NODE_ROLE"))
}

/// See [`side`].
pub fn source(number: i32) -> String {
    api::Source::try_from(number).map_or_else(|_| number.to_string(), |source| word(source.as_str_name(), "SOURCE"))
}

/// See [`side`].
pub fn stock_move(number: i32) -> String {
    api::StockMoveKind::try_from(number)
        .map_or_else(|_| number.to_string(), |kind| word(kind.as_str_name(), "STOCK_MOVE_KIND"))
}

/// See [`side`]; with a word for one that is held.
pub fn work_order_state(order: &api::WorkOrder) -> String {
    let state = word(order.state().as_str_name(), "WORK_ORDER_STATE");
    if order.held { format!("{state}, on hold") } else { state }
}

/// See [`side`]; with a word for one of which only a part is firmed yet.
pub fn plan_state(plan: &api::ProductionPlan) -> String {
    let state = word(plan.state().as_str_name(), "PLAN_STATE");
    if plan.firming_computed_at != 0 { format!("{state}, in part") } else { state }
}

/// A rejection in the words of the API, without prefix.
pub fn rejection(number: i32) -> String {
    api::Rejection::try_from(number)
        .map_or_else(|_| number.to_string(), |reason| reason.as_str_name().trim_start_matches("REJECTION_").to_owned())
}

/// Yes or nothing, for a column that is seldom true.
pub fn yes(flag: bool) -> String {
    if flag { "yes".to_owned() } else { String::new() }
}
