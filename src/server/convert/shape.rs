//! What is wrong with a field, and the checks that every message shares.

use crate::core::types::{AccountId, Amount, AssetId, Code, CommandId, MarketId, OrderId, Price, Quantity, Timestamp};

/// Why a field has no meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// It is needed and not there.
    Missing,
    /// It is below or above what is possible.
    OutOfRange,
    /// It has the wrong number of bytes.
    WrongLength,
    /// Its number has no meaning.
    UnknownValue,
    /// It does not go with another field.
    NotAllowed,
    /// It has too many items.
    TooMany,
    /// Its text cannot be read.
    Malformed,
}

impl Reason {
    /// The reason in the words of the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "MISSING",
            Self::OutOfRange => "OUT_OF_RANGE",
            Self::WrongLength => "WRONG_LENGTH",
            Self::UnknownValue => "UNKNOWN_VALUE",
            Self::NotAllowed => "NOT_ALLOWED_HERE",
            Self::TooMany => "TOO_MANY",
            Self::Malformed => "MALFORMED",
        }
    }
}

/// A field that has no meaning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid {
    /// Its path in the request, such as `commands[3].new_order.quantity`.
    pub field: String,
    /// What kind of wrong it is.
    pub reason: Reason,
    /// What it must be, for people.
    pub message: String,
}

impl Invalid {
    /// A field of the message at hand.
    #[must_use]
    pub fn new(field: &str, reason: Reason, message: impl Into<String>) -> Self {
        Self { field: field.to_owned(), reason, message: message.into() }
    }

    /// A field that is needed and not there.
    #[must_use]
    pub fn missing(field: &str) -> Self {
        Self::new(field, Reason::Missing, "is required")
    }

    /// A field that does not go with another one.
    #[must_use]
    pub fn not_allowed(field: &str, message: &str) -> Self {
        Self::new(field, Reason::NotAllowed, message)
    }

    /// The same, seen from the message that holds this one in `field`.
    #[must_use]
    pub fn within(mut self, field: &str) -> Self {
        self.field = format!("{field}.{}", self.field);
        self
    }

    /// The same, seen from the message that holds this one as an item of the list `field`.
    #[must_use]
    pub fn within_item(mut self, field: &str, place: usize) -> Self {
        self.field = format!("{field}[{place}].{}", self.field);
        self
    }
}

impl std::fmt::Display for Invalid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.field, self.message)
    }
}

impl std::error::Error for Invalid {}

fn id<N: Default + PartialEq>(number: N, field: &str) -> Result<N, Invalid> {
    if number == N::default() { Err(Invalid::missing(field)) } else { Ok(number) }
}

pub(super) fn account(number: u64, field: &str) -> Result<AccountId, Invalid> {
    id(number, field).map(AccountId)
}

pub(super) fn asset(number: u32, field: &str) -> Result<AssetId, Invalid> {
    id(number, field).map(AssetId)
}

pub(super) fn market(number: u32, field: &str) -> Result<MarketId, Invalid> {
    id(number, field).map(MarketId)
}

pub(super) fn order(number: u64, field: &str) -> Result<OrderId, Invalid> {
    id(number, field).map(OrderId)
}

/// A client's id: 16 bytes, not all zero.
pub(super) fn command_id(bytes: &[u8], field: &str) -> Result<CommandId, Invalid> {
    if bytes.is_empty() {
        return Err(Invalid::missing(field));
    }
    match <[u8; 16]>::try_from(bytes).map(u128::from_be_bytes) {
        Ok(0) => Err(Invalid::new(field, Reason::OutOfRange, "must not be all zero")),
        Ok(number) => Ok(CommandId(number)),
        Err(_) => Err(Invalid::new(field, Reason::WrongLength, format!("must be 16 bytes, not {}", bytes.len()))),
    }
}

/// A number of the client's own: nothing, or 16 bytes.
pub(super) fn user_data(bytes: &[u8], field: &str) -> Result<u128, Invalid> {
    if bytes.is_empty() {
        return Ok(0);
    }
    let wrong = |_| Invalid::new(field, Reason::WrongLength, format!("must be empty or 16 bytes, not {}", bytes.len()));
    <[u8; 16]>::try_from(bytes).map(u128::from_be_bytes).map_err(wrong)
}

/// A count that may be zero.
pub(super) fn amount_or_zero(number: u64, field: &str) -> Result<Amount, Invalid> {
    let wrong = |_| Invalid::new(field, Reason::OutOfRange, format!("must be at most {}", i64::MAX));
    i64::try_from(number).map(Amount).map_err(wrong)
}

fn positive(number: u64, field: &str) -> Result<u64, Invalid> {
    if number == 0 || i64::try_from(number).is_err() {
        return Err(Invalid::new(field, Reason::OutOfRange, format!("must be between 1 and {}", i64::MAX)));
    }
    Ok(number)
}

pub(super) fn amount(number: u64, field: &str) -> Result<Amount, Invalid> {
    positive(number, field).map(|number| Amount(number as i64))
}

pub(super) fn quantity(number: u64, field: &str) -> Result<Quantity, Invalid> {
    positive(number, field).map(Quantity)
}

pub(super) fn price(number: u64, field: &str) -> Result<Price, Invalid> {
    positive(number, field).map(Price)
}

/// A time that may be left out.
pub(super) fn time(nanoseconds: u64) -> Option<Timestamp> {
    (nanoseconds != 0).then_some(Timestamp(nanoseconds))
}

pub(super) fn code(text: &str, field: &str) -> Result<Code, Invalid> {
    if text.is_empty() {
        return Err(Invalid::missing(field));
    }
    let wrong = || {
        let message = format!("must be 1 to {} printable ASCII characters without spaces", Code::LEN_MAX);
        Invalid::new(field, Reason::Malformed, message)
    };
    Code::new(text).ok_or_else(wrong)
}

/// An enum that may be left out.
pub(super) fn choice<T>(number: i32, from: fn(u8) -> Option<T>, field: &str) -> Result<Option<T>, Invalid> {
    if number == 0 {
        return Ok(None);
    }
    let unknown = || Invalid::new(field, Reason::UnknownValue, format!("has no value {number}"));
    u8::try_from(number).ok().and_then(from).map(Some).ok_or_else(unknown)
}

/// An enum that is needed.
pub(super) fn chosen<T>(number: i32, from: fn(u8) -> Option<T>, field: &str) -> Result<T, Invalid> {
    choice(number, from, field)?.ok_or_else(|| Invalid::missing(field))
}
