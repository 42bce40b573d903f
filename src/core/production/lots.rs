//! Lot numbers: which units of a tracked asset are where.
//!
//! Every change of a tracked balance takes lots along, whoever asks for it: a receipt, a transfer, a
//! trade, a work order. Debits are posted before credits. A debit takes from the balance's lots, the
//! oldest first unless one is named, and puts the pieces on the way; a credit takes them off it. When
//! the event is told, so are its lots, as an event of their own.
//!
//! An issuer keeps no lots. What comes from one is a new lot, of the number that the command names or
//! else of `L` and the event's number; what goes to one is gone. A balance below zero has none either:
//! what it gives is new, and what it gets first pays what it lacks. So the lots of a balance add up to
//! what it has above zero.

use std::collections::BTreeMap;

use super::records::Lot;
use crate::event::{Effects, EventBody, LotMove, LotsMoved, Posting};
use crate::ledger::Ledger;
use crate::ledger::slots::Slab;
use crate::rejection::Rejection;
use crate::state::Table;
use crate::table::Slot;
use crate::types::{AccountId, Amount, AssetId, Code, Quantity, Sequence};

/// Lots that one balance keeps apart. What comes beyond is counted to its youngest one. One command can
/// move them all, of every component of a work order, and its record has to stay of a size that can be
/// stored and sent.
pub const LOTS_MAX: u32 = 1 << 12;

/// Every lot of every balance, and what is on the way within the event that is told next.
#[derive(Debug, Default)]
pub struct Lots {
    /// The lots.
    pub entries: Slab<Lot>,
    by_age: BTreeMap<(Slot, Sequence, Code), Slot>,
    by_number: BTreeMap<(Slot, Code), Slot>,
    counts: BTreeMap<Slot, u32>,
    /// The numbers that the command names, by asset.
    named: Vec<(AssetId, Code)>,
    /// What an issuer gives back of lots that went to it, the next first.
    given_back: Vec<(AssetId, GivenBack)>,
    /// What debits have given and no credit has taken yet.
    on_the_way: Vec<Piece>,
    moves: Vec<LotMove>,
    /// Of each movement, the event that brought its lot into the books.
    ages: Vec<Sequence>,
}

/// A part of a lot that comes back from an issuer, or that went to one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GivenBack {
    /// The lot number.
    pub number: Code,
    /// The event that brought it into the books.
    pub since: Sequence,
    /// How much.
    pub quantity: u64,
}

#[derive(Debug, Clone, Copy)]
struct Piece {
    asset: AssetId,
    from: AccountId,
    /// Number and age; a new lot has none yet.
    lot: Option<(Code, Sequence)>,
    quantity: u64,
}

impl Lots {
    /// Whether the event that is told next moved lots.
    #[inline]
    pub fn have_moved(&self) -> bool {
        !self.moves.is_empty()
    }

    /// How many movements of lots the event that is told next has.
    #[inline]
    pub fn moved_count(&self) -> u32 {
        self.moves.len() as u32
    }

    /// Names the lot that the event which is told next gives or adds of this asset.
    pub fn name(&mut self, asset: AssetId, number: Option<Code>) {
        self.named.extend(number.map(|number| (asset, number)));
    }

    /// Says of which lot the next units are that an issuer gives, in the event that is told next: it keeps no
    /// lots, and who has them come back knows what they were.
    pub fn give_back(&mut self, asset: AssetId, part: GivenBack) {
        self.given_back.push((asset, part));
    }

    /// What went from one account to another of an asset, in the event that is told next.
    pub fn moved(&self, asset: AssetId, from: AccountId, to: AccountId) -> impl Iterator<Item = GivenBack> {
        let of = move |lot: &LotMove| (lot.asset, lot.from, lot.to) == (asset, from, to);
        let moves = self.moves.iter().zip(&self.ages).filter(move |(lot, _)| of(lot));
        moves.map(|(lot, &since)| GivenBack { number: lot.lot, since, quantity: lot.quantity.0 })
    }

    fn named(&self, asset: AssetId) -> Option<Code> {
        self.named.iter().find(|(named, _)| *named == asset).map(|(_, number)| *number)
    }

    /// The slot of a balance's lot of this number.
    pub fn find(&self, balance: Slot, number: Code) -> Option<Slot> {
        self.by_number.get(&(balance, number)).copied()
    }

    /// A balance's lots, oldest first.
    pub fn of_balance(&self, balance: Slot) -> impl DoubleEndedIterator<Item = Slot> {
        let (first, last) = ((balance, Sequence(0), Code::FIRST), (balance, Sequence(u64::MAX), Code::LAST));
        self.by_age.range(first..=last).map(|(_, slot)| *slot)
    }

    /// How many lots a balance keeps.
    pub fn count(&self, balance: Slot) -> u32 {
        self.counts.get(&balance).copied().unwrap_or(0)
    }

    /// Adds a lot that its balance does not have yet.
    pub fn insert(&mut self, balance: Slot, lot: Lot) -> Slot {
        let slot = self.entries.insert(lot);
        self.index(balance, lot, slot);
        slot
    }

    /// Puts a lot that is in the slab under its balance.
    pub fn index(&mut self, balance: Slot, lot: Lot, slot: Slot) {
        self.by_age.insert((balance, lot.since, lot.number), slot);
        self.by_number.insert((balance, lot.number), slot);
        *self.counts.entry(balance).or_default() += 1;
    }

    /// Takes a lot out.
    pub fn remove(&mut self, balance: Slot, slot: Slot) -> Lot {
        let lot = self.entries.remove(slot);
        self.by_age.remove(&(balance, lot.since, lot.number));
        self.by_number.remove(&(balance, lot.number));
        if let Some(count) = self.counts.get_mut(&balance) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&balance);
            }
        }
        lot
    }

    /// Undoes the last [`Self::remove`] that is not undone yet.
    pub fn put_back(&mut self, balance: Slot, slot: Slot, lot: Lot) {
        self.entries.put_back(slot, lot);
        self.index(balance, lot, slot);
    }
}

impl Ledger {
    /// Takes lots along with a change of a tracked balance.
    #[cold]
    pub(crate) fn move_lots(&mut self, balance: Slot, posting: &Posting) {
        let owner = self.accounts.find(posting.account).expect("a balance has an owner");
        let is_issuer = owner.account.issuer;
        match posting.amount {
            Amount(given) if given < 0 => self.give_lots(balance, posting, given.unsigned_abs(), is_issuer),
            Amount(received) => self.receive_lots(balance, posting, received.unsigned_abs(), is_issuer),
        }
    }

    fn give_lots(&mut self, balance: Slot, posting: &Posting, quantity: u64, is_issuer: bool) {
        let lots = &self.production.lots;
        let named = lots.named(posting.asset).and_then(|number| lots.find(balance, number));
        let mut left = quantity;
        while left > 0 && !is_issuer {
            let oldest = || self.production.lots.of_balance(balance).next();
            let Some(slot) = named.filter(|slot| self.production.lots.entries.get(*slot).is_some()).or_else(oldest)
            else {
                break;
            };
            let lot = self.production.lots.entries[slot];
            let part = left.min(lot.quantity.0);
            self.reduce_lot(balance, slot, part);
            self.send(posting, Some((lot.number, lot.since)), part);
            left -= part;
        }
        while let Some(part) = is_issuer.then(|| self.part_given_back(posting.asset, left)).flatten() {
            self.send(posting, Some((part.number, part.since)), part.quantity);
            left -= part.quantity;
        }
        if left > 0 {
            self.send(posting, None, left);
        }
    }

    /// The next of what is given back of an asset, as much of it as is needed.
    fn part_given_back(&mut self, asset: AssetId, needed: u64) -> Option<GivenBack> {
        let parts = &mut self.production.lots.given_back;
        let place = parts.iter().position(|(of, part)| *of == asset && part.quantity > 0 && needed > 0)?;
        let part = &mut parts[place].1;
        let quantity = part.quantity.min(needed);
        part.quantity -= quantity;
        Some(GivenBack { quantity, ..*part })
    }

    fn send(&mut self, posting: &Posting, lot: Option<(Code, Sequence)>, quantity: u64) {
        let piece = Piece { asset: posting.asset, from: posting.account, lot, quantity };
        self.production.lots.on_the_way.push(piece);
    }

    fn receive_lots(&mut self, balance: Slot, posting: &Posting, quantity: u64, is_issuer: bool) {
        let since = self.next_sequence();
        let before = posting.posted.0 - posting.amount.0;
        let mut lacking = if before < 0 { before.unsigned_abs() } else { 0 };
        let mut left = quantity;
        while left > 0 {
            let lots = &mut self.production.lots;
            let place = lots.on_the_way.iter().position(|piece| piece.asset == posting.asset);
            let place = place.expect("debits are posted before credits");
            let piece = lots.on_the_way[place];
            let part = left.min(piece.quantity);
            lots.on_the_way[place].quantity -= part;
            if part == piece.quantity {
                lots.on_the_way.remove(place);
            }
            let new = || (lots.named(posting.asset).unwrap_or_else(|| Code::numbered(since)), since);
            let (number, since) = piece.lot.unwrap_or_else(new);
            let paid = part.min(lacking);
            lacking -= paid;
            let kept = if is_issuer { 0 } else { part - paid };
            let counted_to = (kept > 0).then(|| self.keep_lot(balance, posting, number, since, kept)).flatten();
            self.production.lots.ages.push(since);
            self.production.lots.moves.push(LotMove {
                asset: posting.asset,
                lot: number,
                from: piece.from,
                to: posting.account,
                quantity: Quantity(part),
                counted_to,
            });
            left -= part;
        }
    }

    /// Adds to a balance's lot of this number; answers the youngest lot where it is full.
    fn keep_lot(
        &mut self,
        balance: Slot,
        posting: &Posting,
        number: Code,
        since: Sequence,
        quantity: u64,
    ) -> Option<Code> {
        let lots = &mut self.production.lots;
        let full = lots.count(balance) >= LOTS_MAX;
        let known = lots.find(balance, number);
        let Some(slot) = known.or_else(|| lots.of_balance(balance).next_back().filter(|_| full)) else {
            let Posting { account, asset, .. } = *posting;
            let slot = lots.insert(balance, Lot { account, asset, number, since, quantity: Quantity(quantity) });
            self.changes.mark(Table::Lot, slot);
            self.undo.lot_added(balance, slot);
            return None;
        };
        let lot = &mut lots.entries[slot];
        self.undo.lot_changed(slot, lot.quantity);
        lot.quantity.0 += quantity;
        self.changes.mark(Table::Lot, slot);
        (lot.number != number).then_some(lot.number)
    }

    fn reduce_lot(&mut self, balance: Slot, slot: Slot, part: u64) {
        self.changes.mark(Table::Lot, slot);
        let lot = &mut self.production.lots.entries[slot];
        if lot.quantity.0 > part {
            self.undo.lot_changed(slot, lot.quantity);
            lot.quantity.0 -= part;
        } else {
            let lot = self.production.lots.remove(balance, slot);
            self.undo.lot_removed(balance, slot, lot);
        }
    }

    /// Tells which lots the event before has moved.
    #[cold]
    pub(crate) fn tell_lots(&mut self, effects: &mut Effects) {
        let lots = &mut self.production.lots;
        assert!(lots.on_the_way.is_empty(), "what is given is received in the same event");
        lots.named.clear();
        lots.given_back.clear();
        lots.ages.clear();
        let moves = std::mem::take(&mut lots.moves);
        self.emit(EventBody::LotsMoved(LotsMoved { moves }), effects);
    }

    /// Refuses to take more of a named lot than there is, or to name one of an asset that has none.
    pub(super) fn check_lot(
        &self,
        account: AccountId,
        asset: AssetId,
        number: Option<Code>,
        quantity: u64,
    ) -> Result<(), Rejection> {
        let Some(number) = number else {
            return Ok(());
        };
        self.check_tracked(asset, Some(number))?;
        let balance = self.balances.entries.slot((account, asset));
        let lot = balance.and_then(|balance| self.production.lots.find(balance, number));
        let there = lot.map_or(0, |slot| self.production.lots.entries[slot].quantity.0);
        if there < quantity { Err(Rejection::LotTooSmall) } else { Ok(()) }
    }

    /// Refuses a lot number for an asset whose lots are not tracked.
    pub(super) fn check_tracked(&self, asset: AssetId, number: Option<Code>) -> Result<(), Rejection> {
        let tracked = self.production.items.find(asset).is_some_and(|entry| entry.item.lot_tracked);
        if number.is_none() || tracked { Ok(()) } else { Err(Rejection::NotLotTracked) }
    }
}
