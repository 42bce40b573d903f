//! Which records changed since the last time somebody asked.

use crate::state::{RecordKey, Table};
use crate::table::Slot;

/// The places of changed records, each once.
#[derive(Debug, Default)]
pub struct Changes {
    keys: Vec<RecordKey>,
    /// Per table and slot: whether it is among the keys.
    marked: [Vec<bool>; Table::ALL.len()],
}

impl Changes {
    /// Marks one record as changed.
    #[inline]
    pub fn mark(&mut self, table: Table, slot: Slot) {
        let marked = &mut self.marked[Self::place(table)];
        let place = slot as usize;
        if place >= marked.len() {
            marked.resize(place + 1, false);
        }
        if !std::mem::replace(&mut marked[place], true) {
            self.keys.push(RecordKey { table, slot });
        }
    }

    /// What is marked.
    pub fn keys(&self) -> &[RecordKey] {
        &self.keys
    }

    /// Moves the marks into `keys`.
    pub fn take(&mut self, keys: &mut Vec<RecordKey>) {
        for key in &self.keys {
            self.marked[Self::place(key.table)][key.slot as usize] = false;
        }
        keys.append(&mut self.keys);
    }

    fn place(table: Table) -> usize {
        usize::from(table.number()) - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_named_once_until_it_is_taken() {
        let mut changes = Changes::default();
        for slot in [5, 2, 5] {
            changes.mark(Table::Order, slot);
        }
        changes.mark(Table::Balance, 5);
        let mut keys = Vec::new();
        changes.take(&mut keys);
        let key = |table, slot| RecordKey { table, slot };
        assert_eq!(keys, [key(Table::Order, 5), key(Table::Order, 2), key(Table::Balance, 5)]);
        changes.mark(Table::Order, 5);
        changes.take(&mut keys);
        assert_eq!(keys.len(), 4);
    }
}
