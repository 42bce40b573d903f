//! The same values in fewer bytes, for what is kept for ever.
//!
//! An integer below 240 is one byte. A larger one is a byte of 239 and how many bytes follow, then these, the
//! lowest first, as few as hold it. One with a sign is [folded](Integer::fold) first. Amounts, slots and
//! sequences are small numbers in wide types: a transfer's record is less than half as long as with integers
//! of fixed width, and so takes about half the time to compress, to hash and to write.

use super::{DecodeError, Encode, Input, Integer, Output, Reader};

/// An integer below this is one byte; so many bytes less one follow one that is not.
const INLINE_END: u8 = 240;

/// The longest integer: how many bytes follow, and these.
const INTEGER_BYTES_MAX: usize = 1 + size_of::<u128>();

/// How much room is made at once, in bytes.
const ROOM_BYTES: usize = 256;

/// Appends values to a vector, in dense bytes.
#[derive(Debug)]
pub struct DenseOutput<'a> {
    /// Written up to `len`; behind it is room.
    bytes: &'a mut Vec<u8>,
    len: usize,
}

impl<'a> DenseOutput<'a> {
    /// Begins at the end of `bytes`.
    pub fn at_end_of(bytes: &'a mut Vec<u8>) -> Self {
        let len = bytes.len();
        Self { bytes, len }
    }

    /// Room for so many bytes behind what is written.
    #[inline]
    fn room(&mut self, count: usize) -> &mut [u8] {
        if self.bytes.len() - self.len < count {
            self.bytes.resize(self.len + count + ROOM_BYTES, 0);
        }
        &mut self.bytes[self.len..][..count]
    }
}

impl Drop for DenseOutput<'_> {
    fn drop(&mut self) {
        self.bytes.truncate(self.len);
    }
}

impl Output for DenseOutput<'_> {
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        self.room(bytes.len()).copy_from_slice(bytes);
        self.len += bytes.len();
    }

    #[inline]
    fn put_integer<I: Integer>(&mut self, value: I) {
        let folded = value.fold();
        // All bytes are written, however many count: that costs less than to copy some.
        let room = self.room(INTEGER_BYTES_MAX);
        if folded < u128::from(INLINE_END) {
            room[0] = folded as u8;
            self.len += 1;
        } else {
            let count = size_of::<u128>() - folded.leading_zeros() as usize / 8;
            room[0] = INLINE_END - 1 + count as u8;
            room[1..].copy_from_slice(&folded.to_le_bytes());
            self.len += 1 + count;
        }
    }
}

/// Reads values from dense bytes.
#[derive(Debug, Clone)]
pub struct DenseReader<'a>(Reader<'a>);

impl<'a> DenseReader<'a> {
    /// Starts at the first of `bytes`.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(Reader::new(bytes))
    }

    /// Refuses bytes behind the last value.
    ///
    /// # Errors
    /// [`DecodeError::TrailingBytes`].
    pub fn finish(self) -> Result<(), DecodeError> {
        self.0.finish()
    }
}

impl Input for DenseReader<'_> {
    #[inline]
    fn take(&mut self, count: usize, what: &'static str) -> Result<&[u8], DecodeError> {
        self.0.take(count, what)
    }

    #[inline]
    fn take_integer<I: Integer>(&mut self) -> Result<I, DecodeError> {
        let first = self.0.take(1, I::NAME)?[0];
        let folded = match first.checked_sub(INLINE_END) {
            None => u128::from(first),
            Some(more) => {
                let bytes = self.0.take(1 + usize::from(more), I::NAME)?;
                let mut folded = [0; size_of::<u128>()];
                folded[..bytes.len()].copy_from_slice(bytes);
                let folded = u128::from_le_bytes(folded);
                let shortest = if more == 0 { u128::from(INLINE_END) } else { 1 << (8 * more) };
                if folded < shortest {
                    return Err(DecodeError::NotCanonical(I::NAME));
                }
                folded
            }
        };
        I::unfold(folded).ok_or(DecodeError::NotCanonical(I::NAME))
    }

    fn room_for(&self, bytes_min: usize) -> usize {
        self.0.room_for(bytes_min)
    }
}

/// The dense bytes of a value.
#[must_use]
pub fn to_dense(value: &impl Encode) -> Vec<u8> {
    let mut bytes = Vec::new();
    value.encode(&mut DenseOutput::at_end_of(&mut bytes));
    bytes
}

#[cfg(test)]
mod tests {
    use super::super::Decode;
    use super::*;

    fn from_dense<T: Decode>(bytes: &[u8]) -> Result<T, DecodeError> {
        let mut input = DenseReader::new(bytes);
        let value = T::decode(&mut input)?;
        input.finish()?;
        Ok(value)
    }

    #[test]
    fn an_integer_is_as_short_as_it_can_be() {
        for (value, bytes) in [
            (0, &[0][..]),
            (239, &[239]),
            (240, &[240, 240]),
            (255, &[240, 255]),
            (256, &[241, 0, 1]),
            (0x12_3456, &[242, 0x56, 0x34, 0x12]),
        ] {
            assert_eq!(to_dense(&value), bytes, "{value}");
            assert_eq!(to_dense(&u128::from(value)), bytes, "{value}");
            assert_eq!(from_dense::<u32>(bytes), Ok(value));
        }
        assert_eq!(to_dense(&u64::MAX), [247, 255, 255, 255, 255, 255, 255, 255, 255]);
        assert_eq!(to_dense(&u128::MAX).len(), 17);
        assert_eq!(to_dense(&[-1_i64, 1, -120, 119].to_vec()), [4, 1, 2, 239, 238]);
    }

    #[test]
    fn every_integer_reads_back() {
        fn reads_back<I: Integer + Encode + Decode + PartialEq + std::fmt::Debug>(bits: u128) {
            let mut fixed = I::Fixed::default();
            fixed.as_mut().copy_from_slice(&bits.to_le_bytes()[..size_of::<I>()]);
            let value = I::from_fixed(fixed);
            let bytes = to_dense(&value);
            assert_eq!(from_dense(&bytes), Ok(value));
            for cut in 0..bytes.len() {
                assert_eq!(from_dense::<I>(&bytes[..cut]), Err(DecodeError::Truncated(I::NAME)));
            }
        }
        let near = (0..128).flat_map(|bit| [(1_u128 << bit) - 1, 1 << bit, (1 << bit) + 1]);
        for bits in near.flat_map(|bits| [bits, !bits, bits.wrapping_neg()]) {
            reads_back::<u16>(bits);
            reads_back::<u32>(bits);
            reads_back::<u64>(bits);
            reads_back::<u128>(bits);
            reads_back::<i32>(bits);
            reads_back::<i64>(bits);
            reads_back::<i128>(bits);
        }
    }

    #[test]
    fn a_longer_form_or_a_larger_number_is_refused() {
        let refused = Err(DecodeError::NotCanonical("u16"));
        for bytes in [&[240, 239][..], &[240, 0], &[241, 240, 0], &[242, 0, 0, 1], &[242, 0, 1, 0]] {
            assert_eq!(from_dense::<u16>(bytes), refused, "{bytes:?}");
        }
        assert_eq!(from_dense::<i32>(&to_dense(&(1_i64 << 31))), Err(DecodeError::NotCanonical("i32")));
        assert_eq!(from_dense::<i32>(&to_dense(&(-1_i64 << 31))), Ok(i32::MIN));
        assert_eq!(from_dense::<u16>(&[1, 2]), Err(DecodeError::TrailingBytes(1)));
        assert_eq!(from_dense::<u64>(&to_dense(&(1_u128 << 64))), Err(DecodeError::NotCanonical("u64")));
        let mut longest = [u8::MAX; 17];
        assert_eq!(from_dense(&longest), Ok(u128::MAX));
        longest[16] = 0;
        assert_eq!(from_dense::<u128>(&longest), Err(DecodeError::NotCanonical("u128")));
    }

    #[test]
    fn what_stood_before_stays() {
        let mut bytes = vec![7; 3];
        let mut out = DenseOutput::at_end_of(&mut bytes);
        [9; 600].encode(&mut out);
        300_u16.encode(&mut out);
        drop(out);
        assert_eq!(bytes.len(), 3 + 600 + 3);
        assert_eq!((&bytes[..4], &bytes[602..]), (&[7, 7, 7, 9][..], &[9, 241, 44, 1][..]));
    }
}
