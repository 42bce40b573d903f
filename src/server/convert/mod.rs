//! Between the words of the wire and the words of the core; the only place that translates.
//!
//! On the way in ([`command`], [`request`]) every shape is checked here, once, and a wrong one is
//! named by its field path and a reason ([`Invalid`]): what comes out is a command that could be
//! valid. On the way out ([`event`], [`state`], [`result`]) nothing can fail.

pub mod command;
pub mod event;
pub mod planning;
mod production;
pub mod production_event;
pub mod production_state;
pub mod request;
pub mod requirements;
pub mod result;
mod shape;
pub mod state;
#[cfg(test)]
mod tests;

pub use shape::{Invalid, Reason};

use bytes::Bytes;

use crate::core::types::CommandId;

/// A client's 128-bit number as 16 bytes, most significant first.
#[must_use]
pub fn id_bytes(id: CommandId) -> Bytes {
    Bytes::copy_from_slice(&id.0.to_be_bytes())
}

/// The client's own number: empty when it is zero.
fn user_data_bytes(number: u128) -> Bytes {
    if number == 0 { Bytes::new() } else { Bytes::copy_from_slice(&number.to_be_bytes()) }
}

/// The number on the wire of a core enum, which is the number it has on disk; zero is for none.
macro_rules! wire_number {
    ($value:expr) => {
        i32::from($value.number())
    };
}
use wire_number;

#[cfg(test)]
mod words {
    use crate::core::types::{
        AccountState, AssetKind, CancelReason, OrderStatus, OverIssue, Phase, PlanState, SelfTradePrevention, Side,
        Source, StockMoveKind, TimeInForce, WorkOrderChange, WorkOrderState,
    };
    use crate::core::{Rejection, command::Scope};
    use crate::proto::v1 as pb;

    /// Every variant of the core has the wire's variant of the same number and name, and the wire
    /// has no more.
    macro_rules! same {
        ($core:ty, $wire:ty, $prefix:literal) => {
            for number in 0..=255_u8 {
                let wire = <$wire>::try_from(i32::from(number)).ok().map(|wire| wire.as_str_name().to_owned());
                let core = <$core>::from_number(number).map(|core| snake(&format!("{core:?}"), $prefix));
                let core = if number == 0 { Some(format!("{}_UNSPECIFIED", $prefix)) } else { core };
                assert_eq!(wire, core, "{} {number}", stringify!($core));
            }
        };
    }

    fn snake(name: &str, prefix: &str) -> String {
        let mut out = prefix.to_owned();
        for letter in name.chars() {
            if letter.is_ascii_uppercase() {
                out.push('_');
            }
            out.push(letter.to_ascii_uppercase());
        }
        out
    }

    #[test]
    fn the_core_and_the_wire_have_the_same_words() {
        same!(AssetKind, pb::AssetKind, "ASSET_KIND");
        same!(AccountState, pb::AccountState, "ACCOUNT_STATE");
        same!(Side, pb::Side, "SIDE");
        same!(TimeInForce, pb::TimeInForce, "TIME_IN_FORCE");
        same!(SelfTradePrevention, pb::SelfTradePrevention, "SELF_TRADE_PREVENTION");
        same!(Phase, pb::Phase, "PHASE");
        same!(OrderStatus, pb::OrderStatus, "ORDER_STATUS");
        same!(CancelReason, pb::CancelReason, "CANCEL_REASON");
        same!(Rejection, pb::Rejection, "REJECTION");
        same!(Scope, pb::CommandScope, "COMMAND_SCOPE");
        same!(Source, pb::Source, "SOURCE");
        same!(StockMoveKind, pb::StockMoveKind, "STOCK_MOVE_KIND");
        same!(OverIssue, pb::OverIssue, "OVER_ISSUE");
        same!(PlanState, pb::PlanState, "PLAN_STATE");
        same!(WorkOrderState, pb::WorkOrderState, "WORK_ORDER_STATE");
        same!(WorkOrderChange, pb::WorkOrderChange, "WORK_ORDER_CHANGE");
    }
}
