//! The ledger's state as it is stored: a few tables of fixed-size records.
//!
//! A table is a dense array; a record's place in it is its slot. The ledger names the records that a
//! proposal changed, and gives the bytes of each; whoever keeps the state writes those bytes and
//! nothing else. Slots are storage, not identity: they never influence an outcome, and two replicas
//! may hold the same order in different slots.

use super::codec::numbered;

numbered! {
    /// A table of the state. Its number is part of the file format.
    pub enum Table {
        /// One record: time, last sequence and other singletons.
        Header = 1,
        /// Assets, in the order of creation.
        Asset = 2,
        /// Accounts, in the order of creation.
        Account = 3,
        /// Balances, in the order in which accounts first touched assets.
        Balance = 4,
        /// Markets, in the order of creation.
        Market = 5,
        /// Open orders; a closed order's slot is used again.
        Order = 6,
        /// Pending transfers; an ended one's slot is used again.
        Pending = 7,
        /// Plants, in the order of definition.
        Plant = 8,
        /// Calendars, each in the slot of its plant.
        Calendar = 9,
        /// Items, in the order of definition.
        Item = 10,
        /// Versions of bills of materials, in the order of definition.
        Bom = 11,
        /// Their parts, version by version.
        BomPart = 12,
        /// Lots; an empty one's slot is used again.
        Lot = 13,
        /// Work orders that have not ended; an ended one's slot is used again.
        WorkOrder = 14,
        /// Their parts; an ended order's slots are used again.
        WorkOrderPart = 15,
        /// Plans that are not closed; a closed one's slot is used again.
        Plan = 16,
        /// Their lines; a removed one's slot is used again.
        PlanLine = 17,
        /// Planned purchases that have not ended; an ended one's slot is used again.
        Purchase = 18,
        /// Lots that were issued to work orders; one that came back, or an ended order's slots are used again.
        IssuedLot = 19,
    }
}

/// The place of one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordKey {
    /// The table.
    pub table: Table,
    /// The place in the table.
    pub slot: u32,
}

impl Table {
    /// Bytes of one record. An empty slot is all zeroes; a record never is, since its first byte
    /// is its format version, which starts at 1.
    #[must_use]
    pub const fn record_len(self) -> usize {
        match self {
            Self::Header => 64,
            Self::Asset => 48,
            Self::Account => 40,
            Self::Balance => 48,
            Self::Market => 128,
            Self::Order => 160,
            Self::Pending => 96,
            Self::Plant => 320,
            Self::Calendar => 1_480,
            Self::Item => 64,
            Self::Bom => 32,
            Self::BomPart => 64,
            Self::Lot => 56,
            Self::WorkOrder => 128,
            Self::WorkOrderPart => 64,
            Self::Plan => 80,
            Self::PlanLine => 40,
            Self::Purchase => 80,
            Self::IssuedLot => 64,
        }
    }
}

/// What was used before: the ids of every command ever answered. The ledger asks it first.
///
/// Its content follows from the log alone, so asking it keeps the ledger deterministic.
pub trait History {
    /// The command that has this key, if any.
    fn find(&self, key: &super::command::CommandKey) -> Option<Used>;

    /// Remembers a command that was answered now.
    fn remember(&mut self, key: super::command::CommandKey, used: Used);
}

/// A command that was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Used {
    /// Its content's digest.
    pub fingerprint: u64,
    /// The first event of its record.
    pub sequence: super::types::Sequence,
}

/// Why stored records are not a state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoreError {
    /// Where.
    pub key: RecordKey,
    /// What is wrong there.
    pub reason: String,
}

impl std::fmt::Display for RestoreError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} record {}: {}", self.key.table, self.key.slot, self.reason)
    }
}

impl std::error::Error for RestoreError {}
