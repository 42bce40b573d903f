//! What clients sent, read and were told, and when.

use std::collections::BTreeMap;

use bytes::Bytes;
use prost::Message as _;

use crate::client::{api, id_to_hex};

/// A time of the run, by the one clock of whoever records: nanoseconds since it began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Moment(pub u64);

/// One command of a history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct OperationId(pub(super) usize);

/// How fresh a read asked to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadLevel {
    /// Sees everything acknowledged before it was sent.
    Linearizable,
    /// Sees at least this event.
    AtLeast(u64),
    /// Sees what the node has.
    Stale,
}

/// What was read.
#[derive(Debug, Clone, PartialEq)]
pub enum ReadKind {
    /// An account with its balances and what holds its reservations.
    Account(api::GetAccountResponse),
    /// The book of a market by price, to at most `depth` levels a side.
    Book {
        /// Of which market.
        market: u32,
        /// How many levels were asked for.
        depth: u32,
        /// What was answered.
        book: api::GetBookResponse,
    },
}

/// A read that was answered. One that was not proves nothing and is not recorded.
#[derive(Debug, Clone, PartialEq)]
pub struct Read {
    /// How fresh it asked to be.
    pub level: ReadLevel,
    /// When it was sent first.
    pub sent: Moment,
    /// When it was answered.
    pub answered: Moment,
    /// What it saw.
    pub saw: ReadKind,
}

impl Read {
    /// Where in the log it was answered.
    #[must_use]
    pub fn position(&self) -> api::Position {
        match &self.saw {
            ReadKind::Account(saw) => saw.position.unwrap_or_default(),
            ReadKind::Book { book, .. } => book.position.unwrap_or_default(),
        }
    }
}

/// A command as it was sent. Kept encoded: a long run has millions.
#[derive(Debug, Clone)]
pub(super) struct Operation {
    command: Box<[u8]>,
    pub(super) sent: Moment,
    pub(super) answered: Option<(Moment, Box<[u8]>)>,
    pub(super) refused: bool,
}

impl Operation {
    /// The command. What was encoded here decodes.
    pub(super) fn command(&self) -> api::Command {
        api::Command::decode(&*self.command).unwrap_or_default()
    }

    /// Its id in hexadecimal, for people.
    pub(super) fn id(&self) -> String {
        id_to_hex(&self.command().id)
    }

    /// What its sender was told.
    pub(super) fn told(&self) -> Option<api::CommandResult> {
        let (_, told) = self.answered.as_ref()?;
        api::CommandResult::decode(&**told).ok()
    }
}

/// What clients did and saw in one run.
#[derive(Debug, Clone, Default)]
pub struct History {
    operations: Vec<Operation>,
    by_id: BTreeMap<Bytes, OperationId>,
    reads: Vec<Read>,
    contradictions: Vec<(OperationId, String)>,
}

impl History {
    /// A history in which nothing has happened.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Notes a command that is about to be sent. One that was sent before under its id, by whichever
    /// client, is the same operation.
    pub fn sent(&mut self, command: &api::Command, at: Moment) -> OperationId {
        if let Some(known) = self.by_id.get(&command.id) {
            return *known;
        }
        let operation = OperationId(self.operations.len());
        let command_bytes = command.encode_to_vec().into_boxed_slice();
        self.operations.push(Operation { command: command_bytes, sent: at, answered: None, refused: false });
        self.by_id.insert(command.id.clone(), operation);
        operation
    }

    /// Notes what the sender was told. A second answer must say what the first one said.
    pub fn answered(&mut self, operation: OperationId, result: &api::CommandResult, at: Moment) {
        let told = api::CommandResult { duplicate: false, ..result.clone() };
        let bytes = told.encode_to_vec().into_boxed_slice();
        let recorded = &mut self.operations[operation.0];
        match &recorded.answered {
            None => recorded.answered = Some((at, bytes)),
            Some((_, first)) if *first != bytes => self.contradictions.push((operation, format!("{told:?}"))),
            Some(_) => {}
        }
    }

    /// Notes that the command was refused for good, as one that can never be carried out.
    pub fn refused(&mut self, operation: OperationId) {
        self.operations[operation.0].refused = true;
    }

    /// Notes a read that was answered.
    pub fn read(&mut self, read: Read) {
        self.reads.push(read);
    }

    /// How many commands were answered so far.
    #[must_use]
    pub fn acknowledged(&self) -> usize {
        self.operations.iter().filter(|operation| operation.answered.is_some()).count()
    }

    pub(super) fn find(&self, id: &Bytes) -> Option<OperationId> {
        self.by_id.get(id).copied()
    }

    pub(super) fn operations(&self) -> &[Operation] {
        &self.operations
    }

    pub(super) fn reads(&self) -> &[Read] {
        &self.reads
    }

    /// Second answers that differ from the first.
    pub(super) fn contradictions(&self) -> &[(OperationId, String)] {
        &self.contradictions
    }
}
