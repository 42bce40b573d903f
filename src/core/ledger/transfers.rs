//! Transfers: at once, or reserved first and then posted, voided or expired.

use super::Ledger;
use super::deadlines::{Deadline, Due};
use super::records::Pending;
use super::slots::{Linked, Links, Slab};
use crate::command::{CommandKey, PostPending, Scope, Transfer, TransferMode, VoidPending};
use crate::event::{Effects, EventBody, PendingEnded, PendingPosted, Transferred};
use crate::rejection::Rejection;
use crate::state::{History, Table};
use crate::table::{HashSeed, Index, Slot};
use crate::types::{AccountId, Amount, CommandId, Timestamp};

/// The list of the pending transfers that one account is to give.
pub const OF_DEBTOR: u8 = 2;

/// A pending transfer in memory.
#[derive(Debug, Clone, Copy)]
pub struct PendingEntry {
    /// The record.
    pub pending: Pending,
    /// The debit account's slot.
    pub debtor: Slot,
    links: Links,
}

impl PendingEntry {
    /// An entry that stands in no list yet.
    pub fn new(pending: Pending, debtor: Slot) -> Self {
        Self { pending, debtor, links: Links::default() }
    }

    /// When the transfer ends by itself.
    pub fn deadline(&self) -> Option<Deadline> {
        self.pending.expires_at.map(|at| Deadline { at, due: Due::Pending(self.pending.id) })
    }
}

impl Linked<OF_DEBTOR> for PendingEntry {
    fn links(&self) -> &Links {
        &self.links
    }
    fn links_mut(&mut self) -> &mut Links {
        &mut self.links
    }
}

/// Every pending transfer.
#[derive(Debug)]
pub struct Pendings {
    /// The transfers.
    pub entries: Slab<PendingEntry>,
    by_id: Index,
}

impl Pendings {
    /// The pending transfers in these slots, each slot named once.
    pub fn with_rows(rows: impl Iterator<Item = (Slot, PendingEntry)>, seed: HashSeed) -> Self {
        let entries = Slab::with_rows(rows);
        let mut by_id = Index::new(seed);
        for (slot, entry) in entries.iter() {
            by_id.insert(entry.pending.id, slot);
        }
        Self { entries, by_id }
    }

    /// The slot of the pending transfer with this id.
    pub fn slot(&self, id: CommandId) -> Option<Slot> {
        self.by_id.find(id, |slot| self.entries[slot].pending.id == id)
    }
}

impl Ledger {
    pub(super) fn transfer(
        &mut self,
        id: CommandId,
        transfer: &Transfer,
        effects: &mut Effects,
    ) -> Result<(), Rejection> {
        let amount = transfer.amount.0;
        if amount < 1 {
            return Err(Rejection::Overflow);
        }
        if transfer.debit == transfer.credit {
            return Err(Rejection::SameAccount);
        }
        let asset = self.known_asset(transfer.asset)?;
        let debtor = self.active_account(transfer.debit)?;
        let creditor = self.active_account(transfer.credit)?;
        self.check_allowed(creditor, transfer.asset)?;
        if let TransferMode::Pending { expires_at: Some(at) } = transfer.mode {
            self.check_future(at)?;
        }
        self.check_spend(debtor, asset, amount)?;

        let debit = self.balance_slot(debtor, asset);
        match transfer.mode {
            TransferMode::Immediate => {
                let credit = self.balance_slot(creditor, asset);
                self.post(debit, -amount, 0, effects);
                self.post(credit, amount, 0, effects);
            }
            TransferMode::Pending { expires_at } => {
                self.post(debit, 0, amount, effects);
                self.add_pending(debtor, self.pending_of(id, transfer, expires_at));
            }
        }
        self.emit(EventBody::Transferred(Transferred { id, transfer: transfer.clone() }), effects);
        Ok(())
    }

    /// Both accounts must be active and the receiver allowed the asset now, whatever held when the
    /// amount was reserved.
    pub(super) fn post_pending(
        &mut self,
        post: &PostPending,
        history: &impl History,
        effects: &mut Effects,
    ) -> Result<(), Rejection> {
        let slot = self.find_pending(post.transfer, history)?;
        let pending = self.pendings.entries[slot].pending;
        let amount = post.amount.unwrap_or(pending.amount);
        if amount > pending.amount {
            return Err(Rejection::AmountExceedsPending);
        }
        if amount < Amount(1) {
            return Err(Rejection::Overflow);
        }
        let debtor = self.active_account(pending.debit)?;
        let creditor = self.active_account(pending.credit)?;
        self.check_allowed(creditor, pending.asset)?;
        let asset = self.known_asset(pending.asset)?;

        self.remove_pending(slot);
        let debit = self.balance_slot(debtor, asset);
        let credit = self.balance_slot(creditor, asset);
        self.post(debit, -amount.0, -pending.amount.0, effects);
        self.post(credit, amount.0, 0, effects);
        self.emit(EventBody::PendingPosted(PendingPosted { transfer: pending.id, amount }), effects);
        Ok(())
    }

    /// Goes on for frozen accounts too: what is reserved can always be released.
    pub(super) fn void_pending(
        &mut self,
        void: &VoidPending,
        history: &impl History,
        effects: &mut Effects,
    ) -> Result<(), Rejection> {
        let slot = self.find_pending(void.transfer, history)?;
        let ended = self.release_pending(slot, effects);
        self.emit(EventBody::PendingVoided(ended), effects);
        Ok(())
    }

    pub(super) fn expire_pending(&mut self, id: CommandId, effects: &mut Effects) {
        let slot = self.pendings.slot(id).expect("a pending transfer leaves the deadlines when it ends");
        let ended = self.release_pending(slot, effects);
        self.emit(EventBody::PendingExpired(ended), effects);
    }

    /// Refuses a time that is not after now.
    pub(crate) fn check_future(&self, at: Timestamp) -> Result<(), Rejection> {
        if at <= self.header.time { Err(Rejection::AlreadyExpired) } else { Ok(()) }
    }

    fn pending_of(&self, id: CommandId, transfer: &Transfer, expires_at: Option<Timestamp>) -> Pending {
        Pending {
            id,
            debit: transfer.debit,
            credit: transfer.credit,
            asset: transfer.asset,
            amount: transfer.amount,
            expires_at,
            user_data: transfer.user_data,
            code: transfer.code,
            sequence: self.next_sequence(),
        }
    }

    fn find_pending(&self, id: CommandId, history: &impl History) -> Result<Slot, Rejection> {
        if let Some(slot) = self.pendings.slot(id) {
            return Ok(slot);
        }
        let key = CommandKey { scope: Scope::Transfer, account: AccountId(0), id };
        let was_there = history.find(&key).is_some() || self.undo.ended_pending(id);
        Err(if was_there { Rejection::TransferNotPending } else { Rejection::UnknownTransfer })
    }

    fn release_pending(&mut self, slot: Slot, effects: &mut Effects) -> PendingEnded {
        let PendingEntry { pending, debtor, .. } = self.remove_pending(slot);
        let asset = self.assets.slot(pending.asset).expect("assets stay for ever");
        let balance = self.balance_slot(debtor, asset);
        self.post(balance, 0, -pending.amount.0, effects);
        PendingEnded { transfer: pending.id, amount: pending.amount }
    }

    fn add_pending(&mut self, debtor: Slot, pending: Pending) {
        let entry = PendingEntry::new(pending, debtor);
        let slot = self.pendings.entries.insert(entry);
        self.pendings.by_id.insert(pending.id, slot);
        self.accounts[debtor].pendings.push_back(&mut self.pendings.entries, slot);
        self.deadlines.extend(entry.deadline());
        self.changes.mark(Table::Pending, slot);
        self.undo.pending_added(slot);
    }

    pub(super) fn remove_pending(&mut self, slot: Slot) -> PendingEntry {
        let debtor = self.pendings.entries[slot].debtor;
        self.accounts[debtor].pendings.remove(&mut self.pendings.entries, slot);
        let entry = self.pendings.entries.remove(slot);
        self.pendings.by_id.remove(entry.pending.id, slot);
        if let Some(deadline) = entry.deadline() {
            self.deadlines.remove(&deadline);
        }
        self.changes.mark(Table::Pending, slot);
        self.undo.pending_removed(slot, &entry);
        entry
    }

    /// Undoes the last [`Self::remove_pending`] that is not undone yet.
    pub(super) fn put_pending_back(&mut self, slot: Slot, entry: PendingEntry) {
        self.pendings.entries.put_back(slot, entry);
        self.accounts[entry.debtor].pendings.put_back(&mut self.pendings.entries, slot);
        self.pendings.by_id.insert(entry.pending.id, slot);
        self.deadlines.extend(entry.deadline());
        self.changes.mark(Table::Pending, slot);
    }
}

#[cfg(test)]
mod tests {
    use crate::command::{Body, PostPending, SetAccountState, VoidPending};
    use crate::event::EventBody;
    use crate::fixture::{ANN, BOB, Exchange, FUNDS, ISSUER, USD, pending, transfer};
    use crate::rejection::Rejection;
    use crate::types::{AccountState, Amount, CommandId, Timestamp};

    fn reserve(exchange: &mut Exchange, amount: i64, expires_at: Option<u64>) -> CommandId {
        let record = exchange.send(Body::Transfer(pending(ANN, BOB, USD, amount, expires_at)));
        record.origin.expect("a command's record has an origin").key.id
    }

    #[test]
    fn posting_a_part_gives_the_rest_back() {
        let mut exchange = Exchange::new();
        let held = reserve(&mut exchange, 100, None);
        assert_eq!(exchange.balance(ANN, USD), (FUNDS, 100));
        exchange.accept(Body::PostPending(PostPending { transfer: held, amount: Some(Amount(40)) }));
        assert_eq!((exchange.balance(ANN, USD), exchange.balance(BOB, USD)), ((FUNDS - 40, 0), (FUNDS + 40, 0)));
        let again = Body::PostPending(PostPending { transfer: held, amount: None });
        assert_eq!(exchange.refuse(again), Rejection::TransferNotPending);
    }

    #[test]
    fn a_pending_amount_is_posted_neither_above_nor_below_itself() {
        let mut exchange = Exchange::new();
        let held = reserve(&mut exchange, 100, None);
        let post = |amount| Body::PostPending(PostPending { transfer: held, amount: Some(Amount(amount)) });
        assert_eq!(exchange.refuse(post(101)), Rejection::AmountExceedsPending);
        assert_eq!(exchange.refuse(post(0)), Rejection::Overflow);
        let unknown = Body::VoidPending(VoidPending { transfer: CommandId(77) });
        assert_eq!(exchange.refuse(unknown), Rejection::UnknownTransfer);
    }

    #[test]
    fn what_is_due_ends_in_the_order_of_its_time_before_the_commands() {
        let mut exchange = Exchange::new();
        let late = reserve(&mut exchange, 5, Some(20));
        let early = reserve(&mut exchange, 7, Some(10));
        assert_eq!(exchange.ledger.next_deadline(), Some(Timestamp(10)));
        assert_eq!(exchange.wait_until(9), []);
        let ended: Vec<CommandId> = exchange.wait_until(20).iter().map(ended_transfer).collect();
        assert_eq!(ended, [early, late]);
        assert_eq!((exchange.balance(ANN, USD), exchange.ledger.next_deadline()), ((FUNDS, 0), None));
    }

    fn ended_transfer(event: &EventBody) -> CommandId {
        match event {
            EventBody::PendingExpired(ended) => ended.transfer,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_stamp_that_runs_backwards_is_raised_to_the_latest() {
        let mut exchange = Exchange::new();
        exchange.wait_until(100);
        exchange.time = 50;
        let expired = Body::Transfer(pending(ANN, BOB, USD, 1, Some(100)));
        assert_eq!(exchange.refuse(expired), Rejection::AlreadyExpired);
        assert_eq!(exchange.ledger.time(), Timestamp(100));
    }

    #[test]
    fn a_frozen_account_gives_its_reservation_back_but_does_not_settle() {
        let mut exchange = Exchange::new();
        let held = reserve(&mut exchange, 100, None);
        exchange.accept(Body::SetAccountState(SetAccountState { account: ANN, state: AccountState::Frozen }));
        let post = Body::PostPending(PostPending { transfer: held, amount: None });
        assert_eq!(exchange.refuse(post), Rejection::AccountFrozen);
        exchange.accept(Body::VoidPending(VoidPending { transfer: held }));
        assert_eq!(exchange.balance(ANN, USD), (FUNDS, 0));
    }

    #[test]
    fn all_that_can_be_issued_is_63_bits_and_it_can_all_come_to_one_account() {
        let mut exchange = Exchange::new();
        let rest = i64::MAX - 2 * FUNDS;
        let too_much = Body::Transfer(transfer(ISSUER, ANN, USD, rest + 1));
        assert_eq!(exchange.refuse(too_much), Rejection::Overflow);
        exchange.accept(Body::Transfer(transfer(ISSUER, ANN, USD, rest)));
        exchange.accept(Body::Transfer(transfer(BOB, ANN, USD, FUNDS)));
        assert_eq!(exchange.balance(ANN, USD), (i64::MAX, 0));
        for amount in [0, -1, i64::MIN] {
            let not_an_amount = Body::Transfer(transfer(ANN, BOB, USD, amount));
            assert_eq!(exchange.refuse(not_an_amount), Rejection::Overflow);
        }
    }
}
