//! Linked chains: carried out whole or not at all.
//!
//! The members run in order. When one is refused, what the members before it did is taken back, step
//! by step in reverse, from the postings they pushed and a short list of what else they changed.

use super::Ledger;
use super::transfers::PendingEntry;
use crate::command::{Body, Command};
use crate::event::{Effects, EffectsMark, Origin, Outcome};
use crate::planted::{self, Mistake};
use crate::production::records::Lot;
use crate::rejection::Rejection;
use crate::state::{History, Table};
use crate::table::Slot;
use crate::types::{CommandId, Quantity, Stamp};

/// What a chain changed besides amounts, while one is carried out.
#[derive(Debug, Default)]
pub struct Undo {
    active: bool,
    steps: Vec<Step>,
}

#[derive(Debug)]
enum Step {
    BalanceAdded { owner: Slot },
    PendingAdded { slot: Slot },
    PendingRemoved { slot: Slot, entry: PendingEntry },
    LotAdded { balance: Slot, slot: Slot },
    LotChanged { slot: Slot, before: Quantity },
    LotRemoved { balance: Slot, slot: Slot, lot: Lot },
}

impl Undo {
    fn push(&mut self, step: Step) {
        if self.active {
            self.steps.push(step);
        }
    }

    /// Notes a new balance of this account.
    pub fn balance_added(&mut self, owner: Slot) {
        self.push(Step::BalanceAdded { owner });
    }

    /// Notes a new pending transfer.
    pub fn pending_added(&mut self, slot: Slot) {
        self.push(Step::PendingAdded { slot });
    }

    /// Notes an ended pending transfer.
    pub fn pending_removed(&mut self, slot: Slot, entry: &PendingEntry) {
        self.push(Step::PendingRemoved { slot, entry: *entry });
    }

    /// Notes a new lot of this balance.
    pub fn lot_added(&mut self, balance: Slot, slot: Slot) {
        self.push(Step::LotAdded { balance, slot });
    }

    /// Notes that a lot is of another quantity now.
    pub fn lot_changed(&mut self, slot: Slot, before: Quantity) {
        self.push(Step::LotChanged { slot, before });
    }

    /// Notes a lot of this balance that is used up.
    pub fn lot_removed(&mut self, balance: Slot, slot: Slot, lot: Lot) {
        self.push(Step::LotRemoved { balance, slot, lot });
    }

    /// Whether the chain has ended this pending transfer.
    pub fn ended_pending(&self, id: CommandId) -> bool {
        self.steps.iter().any(|step| matches!(step, Step::PendingRemoved { entry, .. } if entry.pending.id == id))
    }
}

impl Ledger {
    /// Carries out a chain. It fails when a member is refused, and also when some of its members
    /// were answered before and others were not: then it is not the chain that was sent first.
    pub(super) fn apply_chain(
        &mut self,
        stamp: Stamp,
        chain: &[Command],
        origins: &[Origin],
        history: &mut impl History,
        effects: &mut Effects,
    ) {
        if !all_fresh(origins, history) {
            return self.refuse_chain(stamp, origins, None, history, effects);
        }
        let mark = effects.mark();
        let sequence = self.header.sequence;
        self.undo.active = true;
        let refused = chain.iter().zip(origins).enumerate().find_map(|(place, (command, origin))| {
            self.begin_record(stamp, Some(*origin), effects);
            self.carry_out_linked(command, history, effects).err().map(|reason| (place, reason))
        });
        self.undo.active = false;
        if refused.is_some() {
            self.take_back(&mark, effects);
            self.header.sequence = sequence;
            return self.refuse_chain(stamp, origins, refused, history, effects);
        }
        self.undo.steps.clear();
        let records = mark.record_count()..;
        for (origin, record) in origins.iter().zip(records) {
            self.remember(*origin, record, history, effects);
        }
    }

    fn carry_out_linked(
        &mut self,
        command: &Command,
        history: &impl History,
        effects: &mut Effects,
    ) -> Result<(), Rejection> {
        match &command.body {
            Body::Transfer(transfer) => self.transfer(command.id, transfer, effects),
            Body::PostPending(post) => self.post_pending(post, history, effects),
            Body::VoidPending(void) => self.void_pending(void, history, effects),
            // Refused by its shape before; here so that what slips through changes nothing.
            _ => Err(Rejection::LinkedChainFailed),
        }
    }

    /// Answers the members that were answered before as they were, and refuses the others: the one
    /// at the place of `cause` with its reason, the rest because of it.
    fn refuse_chain(
        &mut self,
        stamp: Stamp,
        origins: &[Origin],
        cause: Option<(usize, Rejection)>,
        history: &mut impl History,
        effects: &mut Effects,
    ) {
        for (place, origin) in origins.iter().enumerate() {
            if let Some(answered) = Self::answered(origin, history) {
                effects.outcomes.push(answered);
                continue;
            }
            let own_reason = cause.filter(|(refused, _)| *refused == place).map(|(_, reason)| reason);
            let record = self.begin_record(stamp, Some(*origin), effects);
            self.reject(own_reason.unwrap_or(Rejection::LinkedChainFailed), effects);
            self.remember(*origin, record, history, effects);
        }
    }

    fn take_back(&mut self, mark: &EffectsMark, effects: &mut Effects) {
        for posting in effects.postings_since(mark).iter().rev() {
            let key = (posting.account, posting.asset);
            let slot = self.balances.entries.slot(key).expect("a posting's balance is there");
            self.balances.change(slot, -posting.amount.0, -posting.hold.0);
        }
        effects.rewind(mark);
        while let Some(step) = self.undo.steps.pop() {
            match step {
                Step::BalanceAdded { owner } => {
                    let last = self.balances.entries.len() - 1;
                    self.accounts[owner].balances.remove(&mut self.balances.entries, last);
                    self.balances.pop();
                    self.changes.mark(Table::Balance, last);
                }
                Step::PendingAdded { slot } => {
                    self.remove_pending(slot);
                }
                Step::PendingRemoved { slot, entry } => self.put_pending_back(slot, entry),
                Step::LotAdded { balance, slot } => {
                    self.production.lots.remove(balance, slot);
                }
                Step::LotChanged { slot, before } => self.production.lots.entries[slot].quantity = before,
                Step::LotRemoved { balance, slot, lot } => self.production.lots.put_back(balance, slot, lot),
            }
        }
    }
}

/// Whether no member was answered before, and no id stands twice.
fn all_fresh(origins: &[Origin], history: &impl History) -> bool {
    let mut keys: Vec<_> = origins.iter().map(|origin| origin.key).collect();
    keys.sort_unstable();
    keys.is_sorted_by(|one, next| one < next) && keys.iter().all(|key| history.find(key).is_none())
}

impl Ledger {
    /// The answer to a command whose id is used, if it is.
    #[inline]
    pub(super) fn answered(origin: &Origin, history: &impl History) -> Option<Outcome> {
        let used = history.find(&origin.key).filter(|_| !planted::is(Mistake::DuplicateUnseen))?;
        let same = used.fingerprint == origin.fingerprint;
        let sequence = used.sequence;
        Some(if same { Outcome::Duplicate { sequence } } else { Outcome::IdReused { sequence } })
    }
}

#[cfg(test)]
mod tests {
    use crate::command::{Body, Command, PostPending, Proposal, VoidPending};
    use crate::event::{EventBody, Outcome};
    use crate::fixture::{ANN, BOB, BOLT, Exchange, FEES, FUNDS, USD, pending, transfer};
    use crate::rejection::Rejection;
    use crate::types::{CommandId, Sequence, Timestamp};

    fn reasons(exchange: &mut Exchange, bodies: Vec<Body>) -> Vec<Option<Rejection>> {
        let records = exchange.propose(true, bodies);
        let reason = |body: &EventBody| match body {
            EventBody::Rejected(reason) => Some(*reason),
            _ => None,
        };
        records.iter().map(|record| reason(&record.events[0].body)).collect()
    }

    fn reserve(exchange: &mut Exchange, amount: i64, expires_at: Option<u64>) -> CommandId {
        let record = exchange.send(Body::Transfer(pending(ANN, BOB, USD, amount, expires_at)));
        record.origin.expect("a command's record has an origin").key.id
    }

    #[test]
    fn a_chain_that_holds_is_carried_out_in_order() {
        let mut exchange = Exchange::new();
        let chain =
            vec![Body::Transfer(transfer(ANN, FEES, USD, FUNDS)), Body::Transfer(transfer(FEES, BOB, USD, FUNDS))];
        assert_eq!(reasons(&mut exchange, chain), [None, None]);
        assert_eq!(exchange.balance(BOB, USD), (2 * FUNDS, 0));
    }

    #[test]
    fn a_chain_that_fails_leaves_every_record_and_deadline_as_it_was() {
        let mut exchange = Exchange::new();
        let held: Vec<CommandId> = [10, 20, 30].map(|amount| reserve(&mut exchange, amount, Some(100))).to_vec();
        let before = exchange.content();
        let chain = vec![
            Body::VoidPending(VoidPending { transfer: held[1] }),
            Body::Transfer(pending(ANN, BOB, USD, 5, Some(50))),
            Body::PostPending(PostPending { transfer: held[0], amount: None }),
            Body::Transfer(transfer(BOB, FEES, BOLT, 1)),
            Body::Transfer(transfer(FEES, ANN, BOLT, 2)),
            Body::VoidPending(VoidPending { transfer: held[2] }),
        ];
        let others = Some(Rejection::LinkedChainFailed);
        let own = Some(Rejection::InsufficientAvailable);
        assert_eq!(reasons(&mut exchange, chain), [others, others, others, others, own, others]);
        assert_eq!(exchange.content(), before);
        assert_eq!(exchange.ledger.next_deadline(), Some(Timestamp(100)));
        let order: Vec<CommandId> = exchange.ledger.pendings(ANN).map(|pending| pending.id).collect();
        assert_eq!(order, held);
        assert!(exchange.ledger.balance(FEES, BOLT).is_none(), "no trace of the balance that was added on the way");
    }

    #[test]
    fn a_chain_knows_what_it_has_ended_itself() {
        let mut exchange = Exchange::new();
        let held = reserve(&mut exchange, 10, None);
        let void = || Body::VoidPending(VoidPending { transfer: held });
        let expected = [Some(Rejection::LinkedChainFailed), Some(Rejection::TransferNotPending)];
        assert_eq!(reasons(&mut exchange, vec![void(), void()]), expected);
    }

    #[test]
    fn a_chain_sent_again_is_answered_again_and_a_mixed_one_fails() {
        let mut exchange = Exchange::new();
        let first = exchange.ledger.sequence().0 + 1;
        let member = |id, linked| {
            let body = Body::Transfer(transfer(ANN, BOB, USD, 1));
            Command { id: CommandId(id), linked, body }
        };
        let propose = |commands| Proposal::new(Timestamp(0), commands);
        let chain = propose(vec![member(501, true), member(502, false)]);
        exchange.apply(&chain);
        let duplicate = |number| Outcome::Duplicate { sequence: Sequence(number) };
        assert_eq!(exchange.apply(&chain), [duplicate(first), duplicate(first + 1)]);
        let mixed = propose(vec![member(501, true), member(503, true), member(503, false)]);
        let reused = Outcome::IdReused { sequence: Sequence(first + 2) };
        let outcomes = exchange.apply(&mixed);
        assert_eq!(outcomes, [duplicate(first), Outcome::Applied { record: 0 }, reused]);
        assert_eq!(exchange.balance(BOB, USD), (FUNDS + 2, 0));
    }
}
