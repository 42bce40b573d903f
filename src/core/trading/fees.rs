//! Fees. They accrue per order in 10⁻⁶ quote units and are rounded up once, over all its fills: an
//! order filled in a hundred parts pays what it would have paid in one.
//!
//! What an order has paid is never less than what has accrued, rounded up. So a fill of notional `n`
//! at rate `r` costs at most `⌈nr⌉ ≤ n`: what a sell earns always covers its fee.
//!
//! A maker's rebate is paid out of what the taker pays in the same trade and is limited to it; the
//! rest stays accrued and lowers the order's later fees. The fee account never pays.

use crate::ledger::records::{Market, Order};
use crate::types::{Amount, FeeRate};

/// What one side of a trade pays, and has accrued then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fee {
    /// In quote units; negative is a rebate.
    pub paid: Amount,
    /// The order's fees of all its fills, in 10⁻⁶ quote units.
    pub accrued: i128,
}

/// What the taker and the maker pay for a trade of this notional.
pub fn of_trade(market: &Market, taker: &Order, maker: &Order, notional: i64) -> (Fee, Fee) {
    let taker_fee = fee_of(taker, notional, market.taker_fee, 0);
    let maker_fee = fee_of(maker, notional, market.maker_fee, -taker_fee.paid.0);
    (taker_fee, maker_fee)
}

fn fee_of(order: &Order, notional: i64, rate: FeeRate, paid_min: i64) -> Fee {
    let due = due_after(order, notional, rate.0).max(i128::from(paid_min));
    let paid = i64::try_from(due).expect("a fee is at most the notional, a rebate at most the taker's fee");
    Fee { paid: Amount(paid), accrued: accrued_after(order, notional, rate.0) }
}

/// What an order owes after another fill, beyond what it has paid; negative when it has paid more.
pub fn due_after(order: &Order, notional: i64, rate: i32) -> i128 {
    rounded_up(accrued_after(order, notional, rate)) - i128::from(order.fee_paid.0)
}

fn accrued_after(order: &Order, notional: i64, rate: i32) -> i128 {
    order.fee_accrued + i128::from(notional) * i128::from(rate)
}

/// Quote units of an accrued fee, rounded up.
pub fn rounded_up(accrued: i128) -> i128 {
    let unit = FeeRate::UNIT;
    match i64::try_from(accrued) {
        // The same in the machine's own words, which is several times faster.
        Ok(small) => i128::from(small.div_euclid(unit)) + i128::from(small.rem_euclid(unit) != 0),
        Err(_) => accrued.div_euclid(i128::from(unit)) + i128::from(accrued.rem_euclid(i128::from(unit)) != 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fees_round_up_and_rebates_round_against_the_maker() {
        for (accrued, units) in
            [(0, 0), (1, 1), (1_000_000, 1), (1_000_001, 2), (-1, 0), (-1_000_000, -1), (-1_999_999, -1)]
        {
            assert_eq!(rounded_up(accrued), units, "{accrued}");
        }
        let large = i128::from(i64::MAX) * 1_000_000;
        assert_eq!(rounded_up(large), i128::from(i64::MAX));
        assert_eq!(rounded_up(large + 1), i128::from(i64::MAX) + 1);
        assert_eq!(rounded_up(-large - 1), -i128::from(i64::MAX));
    }
}
