//! Pages of lists: how many, from where, which way.
//!
//! A page token says where the page before ended, and carries a digest of the query it belongs to:
//! a token of another list, filter or direction is refused. Its text is nobody's business but ours.

use std::fmt::Write as _;
use std::ops::Bound;

use crate::core::digest::hash64;
use crate::core::types::Sequence;
use crate::proto::v1 as pb;
use crate::server::convert::{Invalid, Reason, request};
use crate::server::errors::Refusal;
use crate::server::limits::{LOOK_ORDERS_MAX, PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX};

/// Where a page ended: its last item's key, and its place among the items of that key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// The key: an id, or a sequence.
    pub key: u64,
    /// How many items of the same key were shown.
    pub place: u32,
}

/// A page that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageQuery {
    /// The most items.
    pub size: usize,
    /// Newest first.
    pub descending: bool,
    /// Where the page before ended.
    pub after: Option<Cursor>,
    /// What the list is.
    query: u32,
}

/// The bytes of a token before they are written in hexadecimal.
const TOKEN_BYTES: usize = 16;

impl PageQuery {
    /// Checks what was asked for. `list` is the list's name and its filters, as bytes.
    ///
    /// # Errors
    /// When the size is too large, or the token belongs to another query.
    pub fn of(wire: Option<&pb::Page>, list: &str, filters: &[u64]) -> Result<Self, Invalid> {
        let page = wire.cloned().unwrap_or_default();
        let size = request::size(page.size, "page.size", PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX)?;
        let mut query = list.as_bytes().to_vec();
        filters.iter().for_each(|filter| query.extend_from_slice(&filter.to_le_bytes()));
        query.push(u8::from(page.descending));
        let query = hash64(&query) as u32;
        let after = if page.token.is_empty() { None } else { Some(read_token(&page.token, query)?) };
        Ok(Self { size, descending: page.descending, after, query })
    }

    /// The token of a page that ended here.
    #[must_use]
    pub fn token(&self, end: Cursor) -> String {
        let mut text = String::with_capacity(2 * TOKEN_BYTES);
        // Writing to a string cannot fail.
        let _ = write!(text, "{:016x}{:08x}{:08x}", end.key, end.place, self.query);
        text
    }

    /// Cuts a list of one item more than the page back to the page; the token is empty when there
    /// was nothing more.
    pub fn cut<T>(&self, items: &mut Vec<T>, cursor: impl Fn(&T) -> Cursor) -> String {
        if items.len() <= self.size {
            return String::new();
        }
        items.truncate(self.size);
        items.last().map(|last| self.token(cursor(last))).unwrap_or_default()
    }

    /// Where the page before ended, of a list whose keys are sequences up to `last`. A token is anybody's to
    /// write, and its key may be any number; an honest one can lie beyond `last` on a node that is behind.
    ///
    /// # Errors
    /// When it lies beyond.
    pub fn after_within(&self, last: Sequence) -> Result<Option<Cursor>, Refusal> {
        match self.after {
            Some(after) if after.key > last.0 => {
                Err(Refusal::SequenceOutOfRange { field: "page.token", asked: Sequence(after.key), last })
            }
            after => Ok(after),
        }
    }

    /// A page of what is found by id in the live state. One look goes through a bounded number of them, so
    /// that a page can be short. `from` gives those behind an id, in the page's direction.
    ///
    /// # Errors
    /// When the page before ended beyond `last`.
    pub fn look_through<T, I: Iterator<Item = T>>(
        &self,
        last: Sequence,
        from: impl FnOnce(Bound<u64>) -> I,
        id: impl Fn(&T) -> u64,
        shows: impl Fn(&T) -> bool,
    ) -> Result<(Vec<T>, String), Refusal> {
        let after = self.after_within(last)?.map_or(Bound::Unbounded, |after| Bound::Excluded(after.key));
        let candidates: Vec<T> = from(after).take(LOOK_ORDERS_MAX).collect();
        let end = candidates.last().filter(|_| candidates.len() == LOOK_ORDERS_MAX).map(&id);
        let mut shown: Vec<T> = candidates.into_iter().filter(shows).take(self.size + 1).collect();
        let token = self.cut(&mut shown, |item| Cursor::at(id(item)));
        let token = if token.is_empty() { end.map(|id| self.token(Cursor::at(id))).unwrap_or_default() } else { token };
        Ok((shown, token))
    }

    /// A page of a list that stands in memory in a fixed order and only ever grows.
    pub fn slice<T>(&self, all: impl DoubleEndedIterator<Item = T> + ExactSizeIterator) -> (Vec<T>, String) {
        let count = all.len();
        let shown = self.after.map_or(0, |after| usize::try_from(after.key).unwrap_or(usize::MAX));
        if self.descending {
            // The key is the place of the last item shown, counted from 1.
            let end = self.after.map_or(count, |_| shown.saturating_sub(1).min(count));
            let start = end.saturating_sub(self.size);
            let token = if start > 0 { self.token(Cursor::at(start as u64 + 1)) } else { String::new() };
            (all.rev().skip(count - end).take(end - start).collect(), token)
        } else {
            let start = shown.min(count);
            let end = start.saturating_add(self.size).min(count);
            let token = if end < count { self.token(Cursor::at(end as u64)) } else { String::new() };
            (all.skip(start).take(end - start).collect(), token)
        }
    }
}

impl Cursor {
    /// The end at an item whose key no other item has.
    #[must_use]
    pub const fn at(key: u64) -> Self {
        Self { key, place: 0 }
    }
}

fn read_token(text: &str, query: u32) -> Result<Cursor, Invalid> {
    let malformed = || Invalid::new("page.token", Reason::Malformed, "is not a token of this service");
    if text.len() != 2 * TOKEN_BYTES || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(malformed());
    }
    let number = |range: std::ops::Range<usize>| u64::from_str_radix(&text[range], 16).map_err(|_| malformed());
    let cursor = Cursor { key: number(0..16)?, place: number(16..24)? as u32 };
    if number(24..32)? != u64::from(query) {
        return Err(Invalid::not_allowed("page.token", "belongs to another list, filter or direction"));
    }
    Ok(cursor)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(size: u32, token: &str, descending: bool) -> pb::Page {
        pb::Page { size, token: token.to_owned(), descending }
    }

    #[test]
    fn every_item_comes_once_in_both_directions() {
        let all: Vec<u32> = (1..=23).collect();
        for descending in [false, true] {
            let mut seen = Vec::new();
            let mut token = String::new();
            loop {
                let query = PageQuery::of(Some(&page(5, &token, descending)), "list", &[]).expect("a good page");
                let (mut items, next) = query.slice(all.iter().copied());
                seen.append(&mut items);
                token = next;
                if token.is_empty() {
                    break;
                }
            }
            let mut expected = all.clone();
            if descending {
                expected.reverse();
            }
            assert_eq!(seen, expected, "descending {descending}");
        }
    }

    #[test]
    fn a_list_that_ends_with_its_page_has_no_further_token() {
        let query = PageQuery::of(Some(&page(3, "", false)), "list", &[]).expect("a good page");
        assert_eq!(query.slice([1, 2, 3].into_iter()), (vec![1, 2, 3], String::new()));
        let mut items = vec![1, 2, 3];
        assert_eq!(query.cut(&mut items, |item| Cursor::at(*item)), "");
    }

    #[test]
    fn a_foreign_or_broken_token_is_refused() {
        let query = PageQuery::of(Some(&page(1, "", false)), "orders", &[7]).expect("a good page");
        let token = query.token(Cursor { key: 9, place: 2 });
        let again = PageQuery::of(Some(&page(1, &token, false)), "orders", &[7]).expect("its own token");
        assert_eq!(again.after, Some(Cursor { key: 9, place: 2 }));
        for (list, filters, descending) in
            [("orders", &[8][..], false), ("trades", &[7], false), ("orders", &[7], true)]
        {
            let refused = PageQuery::of(Some(&page(1, &token, descending)), list, filters).expect_err("foreign");
            assert_eq!(refused.field, "page.token");
        }
        let forged = query.token(Cursor::at(u64::MAX));
        for descending in [false, true] {
            let forged =
                PageQuery { after: Some(read_token(&forged, query.query).expect("well formed")), descending, ..query };
            assert!(matches!(
                forged.after_within(Sequence(9)),
                Err(Refusal::SequenceOutOfRange { field: "page.token", asked: Sequence(u64::MAX), last: Sequence(9) })
            ));
            let shown = forged.slice([1, 2, 3].into_iter()).0;
            assert_eq!(shown, if descending { vec![3] } else { Vec::new() }, "of a list in memory it is its end");
        }
        for broken in ["x", "é".repeat(16).as_str(), &token[1..], &"+".repeat(32)] {
            let refused = PageQuery::of(Some(&page(1, broken, false)), "orders", &[7]).expect_err("broken");
            assert_eq!(refused.reason, Reason::Malformed, "{broken}");
        }
        let refused = PageQuery::of(Some(&page(1_001, "", false)), "orders", &[]).expect_err("too large");
        assert_eq!((refused.field.as_str(), refused.reason), ("page.size", Reason::OutOfRange));
    }
}
