//! Records of the live state to the wire.

use super::event::unsigned;
use super::{id_bytes, user_data_bytes, wire_number};
use crate::core::command::Pricing;
use crate::core::ledger::Hold;
use crate::core::ledger::records::{Account, Asset, Balance, Market, Order};
use crate::core::types::{Amount, AssetId, OrderStatus, Side};
use crate::proto::v1 as pb;

/// An asset.
#[must_use]
pub fn asset(asset: &Asset) -> pb::Asset {
    pb::Asset {
        asset_id: asset.id.0,
        code: asset.code.as_str().to_owned(),
        scale: u32::from(asset.scale),
        kind: wire_number!(asset.kind),
    }
}

/// A market.
#[must_use]
pub fn market(market: &Market) -> pb::Market {
    pb::Market {
        market_id: market.id.0,
        symbol: market.symbol.as_str().to_owned(),
        base_asset_id: market.base.0,
        quote_asset_id: market.quote.0,
        tick: market.tick.0,
        lot: market.lot.0,
        maker_fee: market.maker_fee.0,
        taker_fee: market.taker_fee.0,
        fee_account_id: market.fee_account.0,
        quantity_max: market.quantity_max.0,
        notional_max: unsigned(market.notional_max),
        phase: wire_number!(market.phase),
        last_price: market.last_price.map_or(0, |price| price.0),
    }
}

/// An account.
#[must_use]
pub fn account(account: &Account) -> pb::Account {
    pb::Account {
        account_id: account.id.0,
        state: wire_number!(account.state),
        issuer: account.issuer,
        restricted: account.restricted,
        user_data: user_data_bytes(account.user_data),
    }
}

/// A balance.
#[must_use]
pub fn balance(balance: &Balance) -> pb::Balance {
    pb::Balance {
        account_id: balance.account.0,
        asset_id: balance.asset.0,
        posted: balance.posted.0,
        reserved: balance.reserved.0,
        available: balance.available().0,
        credit_limit: balance.credit_limit.0,
        allowed: balance.allowed,
    }
}

/// An order with its status. `accepted_at` is in nanoseconds since the Unix epoch.
#[must_use]
pub fn order(order: &Order, status: OrderStatus, accepted_at: u64) -> pb::Order {
    use pb::order::Pricing as Wire;
    pb::Order {
        order_id: order.id.0,
        client_order_id: id_bytes(order.client_order_id),
        account_id: order.account.0,
        market_id: order.market.0,
        side: wire_number!(order.side),
        status: wire_number!(status),
        quantity: order.quantity.0,
        filled: order.filled.0,
        open: order.open.0,
        pricing: Some(match order.pricing {
            Pricing::Limit(price) => Wire::LimitPrice(price.0),
            Pricing::MarketToPrice(price) => Wire::WorstPrice(price.0),
            Pricing::MarketForBudget(budget) => Wire::QuoteBudget(unsigned(budget)),
        }),
        time_in_force: wire_number!(order.time_in_force),
        expires_at: order.expires_at.map_or(0, |time| time.0),
        post_only: order.post_only,
        self_trade_prevention: wire_number!(order.self_trade_prevention),
        filled_notional: unsigned(order.filled_notional),
        fees: order.fee_paid.0,
        reserved: order.reserved.0,
        accepted_at,
    }
}

/// An open order as the book shows it.
#[must_use]
pub fn book_order(order: &Order) -> pb::BookOrder {
    pb::BookOrder {
        order_id: order.id.0,
        account_id: order.account.0,
        side: wire_number!(order.side),
        price: match order.pricing {
            Pricing::Limit(price) | Pricing::MarketToPrice(price) => price.0,
            Pricing::MarketForBudget(_) => 0,
        },
        open: order.open.0,
    }
}

/// A side's number on the wire.
#[must_use]
pub fn side(side: Side) -> i32 {
    wire_number!(side)
}

/// What holds a part of a reservation.
#[must_use]
pub fn hold(hold: Hold<'_>, asset: AssetId, amount: Amount) -> pb::Hold {
    use pb::hold::Holder;
    pb::Hold {
        asset_id: asset.0,
        amount: amount.0,
        holder: Some(match hold {
            Hold::Order(order) => Holder::OrderId(order.id.0),
            Hold::Pending(pending) => Holder::TransferId(id_bytes(pending.id)),
            Hold::WorkOrder(order) => Holder::WorkOrderId(order.id.0),
        }),
    }
}
