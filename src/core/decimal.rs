//! Integers as people write them: `18723` at scale 2 is "187.23".
//!
//! The scale is an asset's: of the asset itself for amounts and quantities, of the quote asset for
//! prices. Nothing is rounded: more digits than the scale has are refused.

/// Why a text is not an amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecimalError {
    /// Nothing there, or nothing on either side of the point.
    Empty,
    /// A character that is neither a digit nor the one decimal point. Signs are refused too.
    NotADigit(char),
    /// More decimal places than the asset has.
    ExcessDigits {
        /// The places that the asset has.
        scale: u8,
    },
    /// The number does not fit.
    Overflow,
}

impl std::fmt::Display for DecimalError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Empty => write!(f, "no digits"),
            Self::NotADigit(letter) => write!(f, "{letter:?} is not a digit"),
            Self::ExcessDigits { scale } => write!(f, "more than {scale} decimal places"),
            Self::Overflow => write!(f, "the number is too large"),
        }
    }
}

impl std::error::Error for DecimalError {}

/// The number as text, with exactly `scale` decimal places.
#[must_use]
pub fn format(number: i128, scale: u8) -> String {
    let scale = usize::from(scale);
    let sign = if number < 0 { "-" } else { "" };
    let digits = format!("{:0>width$}", number.unsigned_abs(), width = scale + 1);
    let (whole, places) = digits.split_at(digits.len() - scale);
    if places.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{places}") }
}

/// The number that the text means at this scale, in the smallest unit.
///
/// # Errors
/// When the text is not an unsigned decimal number, has more than `scale` decimal places (even
/// zeroes), or does not fit.
pub fn parse(text: &str, scale: u8) -> Result<u64, DecimalError> {
    let (whole, places) = text.split_once('.').unwrap_or((text, ""));
    if whole.is_empty() && places.is_empty() {
        return Err(DecimalError::Empty);
    }
    if let Some(letter) = whole.chars().chain(places.chars()).find(|letter| !letter.is_ascii_digit()) {
        return Err(DecimalError::NotADigit(letter));
    }
    if places.len() > usize::from(scale) {
        return Err(DecimalError::ExcessDigits { scale });
    }
    let padding = std::iter::repeat_n(b'0', usize::from(scale) - places.len());
    whole.bytes().chain(places.bytes()).chain(padding).try_fold(0_u64, |number, digit| {
        let shifted = number.checked_mul(10).ok_or(DecimalError::Overflow)?;
        shifted.checked_add(u64::from(digit - b'0')).ok_or(DecimalError::Overflow)
    })
}

/// As [`parse`], for a signed 64-bit amount.
///
/// # Errors
/// As [`parse`]; also when the number does not fit 63 bits.
pub fn parse_amount(text: &str, scale: u8) -> Result<super::types::Amount, DecimalError> {
    let number = parse(text, scale)?;
    i64::try_from(number).map(super::types::Amount).map_err(|_| DecimalError::Overflow)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_with_all_their_places() {
        for (number, scale, text) in [
            (18_723, 2, "187.23"),
            (5, 2, "0.05"),
            (-5, 2, "-0.05"),
            (-18_723, 2, "-187.23"),
            (0, 0, "0"),
            (42, 0, "42"),
            (i128::from(i64::MIN), 12, "-9223372.036854775808"),
        ] {
            assert_eq!(format(number, scale), text);
        }
    }

    #[test]
    fn texts_are_read_exactly() {
        for (text, scale, number) in [
            ("187.23", 2, 18_723),
            ("187.2", 2, 18_720),
            ("187", 2, 18_700),
            ("187.", 2, 18_700),
            (".05", 2, 5),
            ("007", 0, 7),
            ("18446744073709551615", 0, u64::MAX),
        ] {
            assert_eq!(parse(text, scale), Ok(number), "{text}");
        }
    }

    #[test]
    fn what_is_not_exact_is_refused() {
        for (text, scale, error) in [
            ("", 2, DecimalError::Empty),
            (".", 2, DecimalError::Empty),
            ("1.234", 2, DecimalError::ExcessDigits { scale: 2 }),
            ("1.230", 2, DecimalError::ExcessDigits { scale: 2 }),
            ("-1", 2, DecimalError::NotADigit('-')),
            ("+1", 2, DecimalError::NotADigit('+')),
            ("1.2.3", 4, DecimalError::NotADigit('.')),
            ("1,000", 2, DecimalError::NotADigit(',')),
            ("1e3", 2, DecimalError::NotADigit('e')),
            ("18446744073709551616", 0, DecimalError::Overflow),
            ("18446744073709551615", 1, DecimalError::Overflow),
        ] {
            assert_eq!(parse(text, scale), Err(error), "{text}");
        }
        assert_eq!(parse_amount("9223372036854775808", 0), Err(DecimalError::Overflow));
    }
}
