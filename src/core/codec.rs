//! The canonical bytes of commands, events and state records.
//!
//! One value has one encoding: fields in order, an option is a tag byte, a list is a `u32` count. Integers
//! are little-endian and of fixed width, but for [`dense`] bytes, where they are as short as they can be. The
//! log, the journal and the state pages hold these bytes, so a change here is a change of every file format.
//! Decoding never panics, and never makes room for more than the input could fill.

pub mod dense;

/// Why bytes could not be read as a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecodeError {
    /// The input ended inside the named value.
    Truncated(&'static str),
    /// A tag or flag of the named type has no meaning.
    UnknownTag(&'static str, u8),
    /// A dense integer of the named type is longer than it need be, or too large.
    NotCanonical(&'static str),
    /// Bytes were left over behind the last value.
    TrailingBytes(usize),
}

impl std::fmt::Display for DecodeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Truncated(what) => write!(f, "input ends inside {what}"),
            Self::UnknownTag(what, tag) => write!(f, "{what} has no variant {tag}"),
            Self::NotCanonical(what) => write!(f, "{what} is longer than it need be, or too large"),
            Self::TrailingBytes(count) => write!(f, "{count} bytes left over"),
        }
    }
}

impl std::error::Error for DecodeError {}

/// A cursor over bytes that are being decoded.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Starts at the first of `bytes`.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Bytes not read yet.
    #[must_use]
    pub fn remaining(&self) -> &'a [u8] {
        self.rest
    }

    /// How many values of at least so many bytes each can follow at most.
    #[must_use]
    pub fn room_for(&self, bytes_min: usize) -> usize {
        self.rest.len() / bytes_min.max(1)
    }

    /// The next `count` bytes, of the value called `what`.
    pub fn take(&mut self, count: usize, what: &'static str) -> Result<&'a [u8], DecodeError> {
        if self.rest.len() < count {
            return Err(DecodeError::Truncated(what));
        }
        let (taken, rest) = self.rest.split_at(count);
        self.rest = rest;
        Ok(taken)
    }

    /// Refuses bytes behind the last value.
    pub fn finish(self) -> Result<(), DecodeError> {
        match self.rest.len() {
            0 => Ok(()),
            count => Err(DecodeError::TrailingBytes(count)),
        }
    }
}

/// Where a value's bytes go: it decides the form of integers, and nothing else. A plain vector makes them of
/// fixed width.
pub trait Output {
    /// Appends bytes as they are.
    fn put(&mut self, bytes: &[u8]);

    /// Appends an integer.
    fn put_integer<I: Integer>(&mut self, value: I);
}

impl Output for Vec<u8> {
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }

    #[inline]
    fn put_integer<I: Integer>(&mut self, value: I) {
        self.extend_from_slice(value.to_fixed().as_ref());
    }
}

/// Where a value's bytes come from, with integers in the form that their [`Output`] gave them.
pub trait Input {
    /// The next `count` bytes, of the value called `what`.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`].
    fn take(&mut self, count: usize, what: &'static str) -> Result<&[u8], DecodeError>;

    /// The next integer.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`], [`DecodeError::NotCanonical`].
    fn take_integer<I: Integer>(&mut self) -> Result<I, DecodeError>;

    /// How many values of at least so many bytes each can follow at most; a guess where integers are dense.
    fn room_for(&self, bytes_min: usize) -> usize;
}

impl Input for Reader<'_> {
    #[inline]
    fn take(&mut self, count: usize, what: &'static str) -> Result<&[u8], DecodeError> {
        Reader::take(self, count, what)
    }

    #[inline]
    fn take_integer<I: Integer>(&mut self) -> Result<I, DecodeError> {
        let mut bytes = I::Fixed::default();
        bytes.as_mut().copy_from_slice(Reader::take(self, size_of::<I>(), I::NAME)?);
        Ok(I::from_fixed(bytes))
    }

    fn room_for(&self, bytes_min: usize) -> usize {
        Reader::room_for(self, bytes_min)
    }
}

/// An integer of more than one byte.
pub trait Integer: Copy {
    /// Its type's name.
    const NAME: &'static str;
    /// An array of its size.
    type Fixed: Default + AsRef<[u8]> + AsMut<[u8]>;

    /// Its bytes, the lowest first.
    fn to_fixed(self) -> Self::Fixed;
    /// The integer with these bytes.
    fn from_fixed(bytes: Self::Fixed) -> Self;
    /// A number without a sign, small when this one is near zero: 0, -1, 1, -2 … are 0, 1, 2, 3 …
    fn fold(self) -> u128;
    /// The integer that folds to this, `None` when there is none.
    fn unfold(folded: u128) -> Option<Self>;
}

/// A value with canonical bytes.
pub trait Encode {
    /// Appends the value's bytes.
    fn encode<O: Output>(&self, out: &mut O);

    /// The value's bytes alone.
    fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.encode(&mut out);
        out
    }
}

/// A value that can be read back from its canonical bytes.
pub trait Decode: Sized {
    /// No value has fewer bytes where integers are of fixed width, so that a list's count says how long the input has
    /// to be at least; of dense bytes, about.
    const BYTES_MIN: usize;

    /// Reads one value.
    ///
    /// # Errors
    /// What keeps the bytes from being one.
    fn decode<I: Input>(input: &mut I) -> Result<Self, DecodeError>;

    /// Reads one value that fills `bytes`.
    fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut input = Reader::new(bytes);
        let value = Self::decode(&mut input)?;
        input.finish()?;
        Ok(value)
    }
}

macro_rules! integers {
    ($($int:ident: $fold:expr, $unfold:expr;)*) => {$(
        impl Integer for $int {
            const NAME: &'static str = stringify!($int);
            type Fixed = [u8; size_of::<$int>()];

            #[inline]
            fn to_fixed(self) -> Self::Fixed {
                self.to_le_bytes()
            }

            #[inline]
            fn from_fixed(bytes: Self::Fixed) -> Self {
                Self::from_le_bytes(bytes)
            }

            #[inline]
            fn fold(self) -> u128 {
                let fold: fn(Self) -> u128 = $fold;
                fold(self)
            }

            #[inline]
            fn unfold(folded: u128) -> Option<Self> {
                let unfold: fn(u128) -> Option<Self> = $unfold;
                unfold(folded)
            }
        }
        impl Encode for $int {
            #[inline]
            fn encode<O: Output>(&self, out: &mut O) {
                out.put_integer(*self);
            }
        }
        impl Decode for $int {
            const BYTES_MIN: usize = size_of::<$int>();

            #[inline]
            fn decode<I: Input>(input: &mut I) -> Result<Self, DecodeError> {
                input.take_integer()
            }
        }
    )*};
}
integers! {
    u16: |value| value.into(), |folded| folded.try_into().ok();
    u32: |value| value.into(), |folded| folded.try_into().ok();
    u64: |value| value.into(), |folded| folded.try_into().ok();
    u128: |value| value, Some;
    i32: |value| ((value << 1) ^ (value >> 31)) as u32 as u128, |folded| unfold_signed(folded)?.try_into().ok();
    i64: |value| ((value << 1) ^ (value >> 63)) as u64 as u128, |folded| unfold_signed(folded)?.try_into().ok();
    i128: |value| ((value << 1) ^ (value >> 127)) as u128, unfold_signed;
}

/// See [`Integer::unfold`].
#[inline]
fn unfold_signed(folded: u128) -> Option<i128> {
    Some((folded >> 1) as i128 ^ -((folded & 1) as i128))
}

impl Encode for u8 {
    #[inline]
    fn encode<O: Output>(&self, out: &mut O) {
        out.put(&[*self]);
    }
}

impl Decode for u8 {
    const BYTES_MIN: usize = 1;

    #[inline]
    fn decode<I: Input>(input: &mut I) -> Result<Self, DecodeError> {
        Ok(input.take(1, "u8")?[0])
    }
}

impl Encode for bool {
    fn encode<O: Output>(&self, out: &mut O) {
        out.put(&[u8::from(*self)]);
    }
}

impl Decode for bool {
    const BYTES_MIN: usize = 1;

    fn decode<I: Input>(input: &mut I) -> Result<Self, DecodeError> {
        match u8::decode(input)? {
            0 => Ok(false),
            1 => Ok(true),
            tag => Err(DecodeError::UnknownTag("bool", tag)),
        }
    }
}

impl<const N: usize> Encode for [u8; N] {
    fn encode<O: Output>(&self, out: &mut O) {
        out.put(self);
    }
}

impl<const N: usize> Decode for [u8; N] {
    const BYTES_MIN: usize = N;

    fn decode<I: Input>(input: &mut I) -> Result<Self, DecodeError> {
        let mut bytes = [0; N];
        bytes.copy_from_slice(input.take(N, "byte array")?);
        Ok(bytes)
    }
}

impl<T: Encode> Encode for Option<T> {
    fn encode<O: Output>(&self, out: &mut O) {
        match self {
            None => out.put(&[0]),
            Some(value) => {
                out.put(&[1]);
                value.encode(out);
            }
        }
    }
}

impl<T: Decode> Decode for Option<T> {
    const BYTES_MIN: usize = 1;

    fn decode<I: Input>(input: &mut I) -> Result<Self, DecodeError> {
        match u8::decode(input)? {
            0 => Ok(None),
            1 => Ok(Some(T::decode(input)?)),
            tag => Err(DecodeError::UnknownTag("option", tag)),
        }
    }
}

impl<T: Encode> Encode for Vec<T> {
    fn encode<O: Output>(&self, out: &mut O) {
        let count = u32::try_from(self.len()).expect("a list is bounded far below 2^32 by the limits of the service");
        count.encode(out);
        for item in self {
            item.encode(out);
        }
    }
}

impl<T: Decode> Decode for Vec<T> {
    const BYTES_MIN: usize = u32::BYTES_MIN;

    fn decode<I: Input>(input: &mut I) -> Result<Self, DecodeError> {
        let count = u32::decode(input)? as usize;
        let mut items = Self::with_capacity(count.min(input.room_for(T::BYTES_MIN)));
        for _ in 0..count {
            items.push(T::decode(input)?);
        }
        Ok(items)
    }
}

impl<T: Encode> Encode for Box<T> {
    fn encode<O: Output>(&self, out: &mut O) {
        T::encode(self, out);
    }
}

impl<T: Decode> Decode for Box<T> {
    const BYTES_MIN: usize = T::BYTES_MIN;

    fn decode<I: Input>(input: &mut I) -> Result<Self, DecodeError> {
        T::decode(input).map(Self::new)
    }
}

/// Declares a newtype over an integer, with its bytes and its text form.
#[macro_export]
macro_rules! newtype {
    ($(#[$meta:meta])* $vis:vis struct $name:ident($int:ty);) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        $vis struct $name(pub $int);

        impl $crate::codec::Encode for $name {
            #[inline]
            fn encode<O: $crate::codec::Output>(&self, out: &mut O) {
                self.0.encode(out);
            }
        }
        impl $crate::codec::Decode for $name {
            const BYTES_MIN: usize = size_of::<$int>();

            #[inline]
            fn decode<I: $crate::codec::Input>(input: &mut I) -> Result<Self, $crate::codec::DecodeError> {
                <$int>::decode(input).map(Self)
            }
        }
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

/// Declares a struct whose bytes are its fields in order.
#[macro_export]
macro_rules! record {
    ($(#[$meta:meta])* $vis:vis struct $name:ident {
        $($(#[$field_meta:meta])* $field_vis:vis $field:ident: $ty:ty,)*
    }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        $vis struct $name { $($(#[$field_meta])* $field_vis $field: $ty,)* }

        impl $crate::codec::Encode for $name {
            #[allow(unused_variables)]
            fn encode<O: $crate::codec::Output>(&self, out: &mut O) {
                $($crate::codec::Encode::encode(&self.$field, out);)*
            }
        }
        impl $crate::codec::Decode for $name {
            const BYTES_MIN: usize = 0 $(+ <$ty as $crate::codec::Decode>::BYTES_MIN)*;

            #[allow(unused_variables)]
            fn decode<I: $crate::codec::Input>(input: &mut I) -> Result<Self, $crate::codec::DecodeError> {
                Ok(Self { $($field: $crate::codec::Decode::decode(input)?,)* })
            }
        }
    };
}

/// Declares an enum of plain variants, each with the stable number it has on disk and on the wire.
#[macro_export]
macro_rules! numbered {
    ($(#[$meta:meta])* $vis:vis enum $name:ident {
        $($(#[$variant_meta:meta])* $variant:ident = $number:literal,)*
    }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        $vis enum $name { $($(#[$variant_meta])* $variant = $number,)* }

        impl $name {
            /// Every variant, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The stable number of this variant.
            #[must_use]
            pub const fn number(self) -> u8 {
                self as u8
            }

            /// The variant with this number.
            #[must_use]
            pub const fn from_number(number: u8) -> Option<Self> {
                match number {
                    $($number => Some(Self::$variant),)*
                    _ => None,
                }
            }
        }
        impl $crate::codec::Encode for $name {
            #[inline]
            fn encode<O: $crate::codec::Output>(&self, out: &mut O) {
                out.put(&[self.number()]);
            }
        }
        impl $crate::codec::Decode for $name {
            const BYTES_MIN: usize = 1;

            #[inline]
            fn decode<I: $crate::codec::Input>(input: &mut I) -> Result<Self, $crate::codec::DecodeError> {
                let number = u8::decode(input)?;
                Self::from_number(number)
                    .ok_or($crate::codec::DecodeError::UnknownTag(stringify!($name), number))
            }
        }
    };
}

/// Declares an enum whose variants each hold one value, behind a stable tag byte.
#[macro_export]
macro_rules! tagged {
    ($(#[$meta:meta])* $vis:vis enum $name:ident {
        $($(#[$variant_meta:meta])* $tag:literal => $variant:ident($ty:ty),)*
    }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        $vis enum $name { $($(#[$variant_meta])* $variant($ty),)* }

        impl $crate::codec::Encode for $name {
            fn encode<O: $crate::codec::Output>(&self, out: &mut O) {
                match self {
                    $(Self::$variant(value) => {
                        out.put(&[$tag]);
                        $crate::codec::Encode::encode(value, out);
                    })*
                }
            }
        }
        impl $crate::codec::Decode for $name {
            // Its tag, and the least that any variant has.
            const BYTES_MIN: usize = 1 + {
                let mut least = usize::MAX;
                $(if <$ty as $crate::codec::Decode>::BYTES_MIN < least {
                    least = <$ty as $crate::codec::Decode>::BYTES_MIN;
                })*
                least
            };

            fn decode<I: $crate::codec::Input>(input: &mut I) -> Result<Self, $crate::codec::DecodeError> {
                match u8::decode(input)? {
                    $($tag => Ok(Self::$variant($crate::codec::Decode::decode(input)?)),)*
                    tag => Err($crate::codec::DecodeError::UnknownTag(stringify!($name), tag)),
                }
            }
        }
    };
}

pub use {newtype, numbered, record, tagged};

#[cfg(test)]
mod tests {
    use super::*;

    record! {
        /// A record of every shape.
        struct Sample {
            id: u64,
            note: Option<u16>,
            list: Vec<u8>,
        }
    }

    #[test]
    fn a_value_reads_back_from_its_bytes() {
        let sample = Sample { id: 7, note: Some(300), list: vec![1, 2, 3] };
        let bytes = sample.to_bytes();
        assert_eq!(bytes, [7, 0, 0, 0, 0, 0, 0, 0, 1, 44, 1, 3, 0, 0, 0, 1, 2, 3]);
        assert_eq!(Sample::from_bytes(&bytes), Ok(sample));
    }

    #[test]
    fn every_cut_and_every_extra_byte_is_refused() {
        let bytes = Sample { id: 7, note: Some(300), list: vec![1, 2, 3] }.to_bytes();
        for cut in 0..bytes.len() {
            assert!(Sample::from_bytes(&bytes[..cut]).is_err(), "cut at {cut}");
        }
        let mut longer = bytes;
        longer.push(0);
        assert_eq!(Sample::from_bytes(&longer), Err(DecodeError::TrailingBytes(1)));
    }

    #[test]
    fn a_lying_count_does_not_reserve_memory() {
        let bytes = u32::MAX.to_bytes();
        assert_eq!(Vec::<u64>::from_bytes(&bytes), Err(DecodeError::Truncated("u64")));
    }

    tagged! {
        /// An enum of a large variant and a small one.
        enum Choice {
            1 => Large(Box<Sample>),
            2 => Small(u16),
        }
    }

    #[test]
    fn no_value_has_fewer_bytes_than_its_type_says() {
        let sample = Sample { id: 7, note: None, list: Vec::new() };
        assert_eq!(sample.to_bytes().len(), Sample::BYTES_MIN);
        assert_eq!(Choice::Small(1).to_bytes().len(), Choice::BYTES_MIN);
        assert_eq!(Choice::Large(Box::new(sample)).to_bytes().len(), 1 + Sample::BYTES_MIN);
        assert_eq!(Reader::new(&[0; 30]).room_for(Sample::BYTES_MIN), 2);
    }
}
