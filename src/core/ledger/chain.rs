//! Linked chains: carried out whole or not at all.
//!
//! The members run in order. When one is refused, what the members before it did is taken back, step
//! by step in reverse, from the postings they pushed and a short list of what else they changed.

use super::Ledger;
use super::transfers::PendingEntry;
use crate::core::command::{Body, Command};
use crate::core::event::{Effects, EffectsMark, Origin, Outcome};
use crate::core::rejection::Rejection;
use crate::core::state::{History, Table};
use crate::core::table::Slot;
use crate::core::types::{CommandId, Stamp};

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
        history: &mut impl History,
        effects: &mut Effects,
    ) {
        let origins: Vec<Origin> = chain.iter().map(|command| self.origin_of(command)).collect();
        if !all_fresh(&origins, history) {
            return self.refuse_chain(stamp, &origins, None, history, effects);
        }
        let mark = effects.mark();
        let sequence = self.header.sequence;
        self.undo.active = true;
        let refused = chain.iter().zip(&origins).enumerate().find_map(|(place, (command, origin))| {
            self.begin_record(stamp, Some(*origin), effects);
            self.carry_out_linked(command, history, effects).err().map(|reason| (place, reason))
        });
        self.undo.active = false;
        if refused.is_some() {
            self.take_back(&mark, effects);
            self.header.sequence = sequence;
            return self.refuse_chain(stamp, &origins, refused, history, effects);
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
                    self.balances.entries.pop();
                    self.changes.mark(Table::Balance, last);
                }
                Step::PendingAdded { slot } => {
                    self.remove_pending(slot);
                }
                Step::PendingRemoved { slot, entry } => self.put_pending_back(slot, entry),
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
        let used = history.find(&origin.key)?;
        let same = used.fingerprint == origin.fingerprint;
        let sequence = used.sequence;
        Some(if same { Outcome::Duplicate { sequence } } else { Outcome::IdReused { sequence } })
    }
}
