//! The words of the ledger as types: identifiers, amounts, prices, time and position.
//!
//! All numbers are integers in the smallest unit of what they count; there is no floating point.

mod production;

use super::codec::{Decode, DecodeError, Encode, Input, Output, newtype, numbered, record};

pub use production::{
    Attrition, BomVersion, Day, LotRule, OverIssue, PlanId, PlanLineId, PlanState, PlantId, PurchaseId, Source,
    StockMoveKind, WorkOrderChange, WorkOrderId, WorkOrderState,
};

newtype! {
    /// An account, numbered by the client that creates it. Never zero.
    pub struct AccountId(u64);
}
newtype! {
    /// An asset, numbered by the client that creates it. Never zero.
    pub struct AssetId(u32);
}
newtype! {
    /// A market, numbered by the client that creates it. Never zero.
    pub struct MarketId(u32);
}
newtype! {
    /// The client's 128-bit name for a command, its idempotency key, see
    /// [`CommandKey`](super::command::CommandKey). Of a transfer it is the transfer id, of an order
    /// the client order id (FIX tag 11). Never zero.
    pub struct CommandId(u128);
}
newtype! {
    /// The number of an event: 1, 2, 3 … without gaps, the same on every node.
    pub struct Sequence(u64);
}
newtype! {
    /// An order (FIX tag 37): the [`Sequence`] of the event that accepted it.
    pub struct OrderId(u64);
}
newtype! {
    /// A signed amount of one asset in its smallest unit.
    pub struct Amount(i64);
}
newtype! {
    /// A quantity of a market's base asset in its smallest unit.
    pub struct Quantity(u64);
}
newtype! {
    /// Quote units for one *whole* base unit (10^scale smallest units). See [`notional`].
    pub struct Price(u64);
}
newtype! {
    /// Nanoseconds since the Unix epoch, as the leader's clock stamped them.
    pub struct Timestamp(u64);
}
newtype! {
    /// A Raft log index.
    pub struct LogIndex(u64);
}
newtype! {
    /// A Raft term.
    pub struct Term(u64);
}
newtype! {
    /// A fee rate in hundredths of a basis point (10⁻⁶ of the notional); negative is a rebate.
    pub struct FeeRate(i32);
}

impl Sequence {
    /// The sequence `count` events later.
    #[must_use]
    pub const fn plus(self, count: u64) -> Self {
        Self(self.0 + count)
    }
}

impl FeeRate {
    /// The denominator of a rate.
    pub const UNIT: i64 = 1_000_000;
}

record! {
    /// Where in the log, and when by the leader's clock, a command is applied. Time comes from here
    /// alone, and never runs backwards: the ledger raises a stamp that does to its own time.
    #[derive(Copy)]
    pub struct Stamp {
        /// The term of the log entry.
        pub term: Term,
        /// The index of the log entry.
        pub index: LogIndex,
        /// The leader's time when it proposed the entry.
        pub time: Timestamp,
    }
}

/// A short name of printable ASCII without spaces, padded with zero bytes: an asset's code ("USD"),
/// a market's symbol ("AAPL/USD").
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Code([u8; Code::LEN_MAX]);

impl Code {
    /// The longest code, in bytes.
    pub const LEN_MAX: usize = 24;

    /// Before every code in their order.
    pub(crate) const FIRST: Self = Self([0; Self::LEN_MAX]);
    /// Behind every code in their order.
    pub(crate) const LAST: Self = Self([0xff; Self::LEN_MAX]);

    /// The lot number of goods that came in without one: `L` and the number of the event.
    pub(crate) fn numbered(sequence: Sequence) -> Self {
        Self::new(&format!("L{sequence}")).expect("a number has at most 20 digits")
    }

    /// The code with this text, or `None` when it is empty, too long, or not printable ASCII.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let legal = !text.is_empty() && text.len() <= Self::LEN_MAX && text.bytes().all(|b| b.is_ascii_graphic());
        legal.then(|| {
            let mut bytes = [0; Self::LEN_MAX];
            bytes[..text.len()].copy_from_slice(text.as_bytes());
            Self(bytes)
        })
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        let len = self.0.iter().position(|&b| b == 0).unwrap_or(Self::LEN_MAX);
        std::str::from_utf8(&self.0[..len]).unwrap_or_default()
    }
}

impl std::fmt::Debug for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

impl Encode for Code {
    fn encode<O: Output>(&self, out: &mut O) {
        self.0.encode(out);
    }
}

impl Decode for Code {
    const BYTES_MIN: usize = Self::LEN_MAX;

    fn decode<I: Input>(input: &mut I) -> Result<Self, DecodeError> {
        let bytes = <[u8; Self::LEN_MAX]>::decode(input)?;
        let len = bytes.iter().position(|&b| b == 0).unwrap_or(Self::LEN_MAX);
        let (text, padding) = bytes.split_at(len);
        let text = std::str::from_utf8(text).map_err(|_| DecodeError::UnknownTag("Code", bytes[0]))?;
        match Self::new(text) {
            Some(code) if padding.iter().all(|&b| b == 0) => Ok(code),
            _ => Err(DecodeError::UnknownTag("Code", bytes[0])),
        }
    }
}

numbered! {
    /// What an asset is. It changes nothing in the books; it says who cares.
    pub enum AssetKind {
        /// Money.
        Currency = 1,
        /// A share, a bond, a contract.
        Security = 2,
        /// What production consumes.
        Material = 3,
        /// What production yields.
        Product = 4,
    }
}

numbered! {
    /// Whether an account may be used.
    pub enum AccountState {
        /// In use.
        Active = 1,
        /// Nothing may enter, leave or be reserved; what is reserved can be released.
        Frozen = 2,
        /// Ended for good, with every balance at zero.
        Closed = 3,
    }
}

numbered! {
    /// The side of an order (FIX tag 54).
    pub enum Side {
        /// Buys base for quote.
        Buy = 1,
        /// Sells base for quote.
        Sell = 2,
    }
}

impl Side {
    /// The other side.
    #[must_use]
    pub const fn opposite(self) -> Self {
        match self {
            Self::Buy => Self::Sell,
            Self::Sell => Self::Buy,
        }
    }
}

numbered! {
    /// How long an order stays in force (FIX tag 59).
    pub enum TimeInForce {
        /// Good till cancel.
        GoodTillCancel = 1,
        /// Good till date: until the order's expiry time.
        GoodTillDate = 2,
        /// Immediate or cancel: what does not trade on entry is cancelled.
        ImmediateOrCancel = 3,
        /// Fill or kill: trades whole on entry, or not at all.
        FillOrKill = 4,
    }
}

numbered! {
    /// What happens when an order would trade with one of its own account (FIX tag 2964).
    pub enum SelfTradePrevention {
        /// The incoming order's rest is cancelled.
        CancelNewest = 1,
        /// The resting order is cancelled, the incoming one goes on.
        CancelOldest = 2,
        /// Both are cancelled.
        CancelBoth = 3,
        /// Both lose the smaller one's open quantity; what is left of the larger one goes on.
        Decrement = 4,
    }
}

numbered! {
    /// The trading phase of a market (FIX tag 340, TradSesStatus).
    pub enum Phase {
        /// Orders match as they come.
        Continuous = 1,
        /// No order enters, none matches; cancels go on.
        Halted = 2,
        /// As halted, for the day.
        Closed = 3,
    }
}

numbered! {
    /// Why an order left the book before it was filled.
    pub enum CancelReason {
        /// Its owner cancelled it.
        Requested = 1,
        /// A mass cancel named it.
        MassCancel = 2,
        /// The rest of an immediate-or-cancel, market or unfillable order.
        NotFilled = 3,
        /// Self-trade prevention.
        SelfTrade = 4,
        /// Its time in force ended.
        Expired = 5,
        /// Its account was frozen.
        AccountFrozen = 6,
        /// It met as many resting orders as one command may; the rest does not go on.
        MatchLimit = 7,
    }
}

numbered! {
    /// The state of an order (FIX tag 39).
    pub enum OrderStatus {
        /// Open, nothing filled.
        New = 1,
        /// Open, filled in part.
        PartiallyFilled = 2,
        /// Filled whole.
        Filled = 3,
        /// Ended before it was filled whole.
        Cancelled = 4,
        /// Ended by its time in force.
        Expired = 5,
        /// Never accepted.
        Rejected = 6,
    }
}

/// `price × quantity` in quote units, or `None` when it is not exact or does not fit 63 bits.
///
/// Exact for every price on a tick and quantity of whole lots, since `tick × lot` divides by
/// `10^base_scale` in every market.
#[must_use]
pub fn notional(price: Price, quantity: Quantity, base_scale: u8) -> Option<Amount> {
    let unit = 10_u128.checked_pow(u32::from(base_scale))?;
    let product = u128::from(price.0).checked_mul(u128::from(quantity.0))?;
    if product % unit != 0 {
        return None;
    }
    i64::try_from(product / unit).ok().map(Amount)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_short_printable_ascii() {
        assert_eq!(Code::new("AAPL/USD").map(|code| code.to_string()), Some("AAPL/USD".to_owned()));
        for bad in ["", "with space", "ümlaut", "a-code-of-25-bytes-in-all"] {
            assert_eq!(Code::new(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn notional_is_exact_or_nothing() {
        assert_eq!(notional(Price(18_723), Quantity(100), 0), Some(Amount(1_872_300)));
        assert_eq!(notional(Price(250), Quantity(40), 2), Some(Amount(100)));
        assert_eq!(notional(Price(250), Quantity(1), 2), None, "2.5 units");
        assert_eq!(notional(Price(u64::MAX), Quantity(u64::MAX), 0), None, "overflow");
        assert_eq!(notional(Price(1), Quantity(1), u8::MAX), None, "no such scale");
    }
}
