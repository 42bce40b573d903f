//! The commands of one request in their canonical bytes, ready to be put into proposals.

use crate::core::{Command, Encode};

/// What cannot be cut: one command, or a chain of linked ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unit {
    /// Where its bytes end; they begin where those of the unit before end.
    pub end: usize,
    /// How many commands it holds.
    pub commands: usize,
}

/// The commands of one request. Encoded by the request's own task, so that the sequencer copies
/// bytes and nothing else.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    bytes: Vec<u8>,
    units: Vec<Unit>,
    commands: usize,
    chain_open: bool,
}

/// What most commands take, in bytes.
const COMMAND_BYTES_TYPICAL: usize = 80;

impl Batch {
    /// An empty batch with room for as many commands.
    #[must_use]
    pub fn with_capacity(commands: usize) -> Self {
        Self {
            bytes: Vec::with_capacity(commands * COMMAND_BYTES_TYPICAL),
            units: Vec::with_capacity(commands),
            commands: 0,
            chain_open: false,
        }
    }

    /// Adds a command.
    pub fn push(&mut self, command: &Command) {
        command.encode(&mut self.bytes);
        self.commands += 1;
        let end = self.bytes.len();
        match self.units.last_mut() {
            Some(chain) if self.chain_open => *chain = Unit { end, commands: chain.commands + 1 },
            _ => self.units.push(Unit { end, commands: 1 }),
        }
        self.chain_open = command.linked;
    }

    /// How many commands it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.commands
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.commands == 0
    }

    pub(super) fn units(&self) -> &[Unit] {
        &self.units
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}
