//! Looking at bills of materials alone, without stock, lot rules or dates: what something is made of,
//! and what something goes into.

use std::collections::BTreeMap;

use super::calendar::Day;
use super::item::{Overflow, Presence, sum};
use super::network::{CompiledLine, Network, Version};
use super::situation::PlanError;
use crate::types::{AssetId, Quantity};

/// What is needed of one item, in all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GrossNeed {
    /// The item.
    pub item: AssetId,
    /// How much, over all that it goes into.
    pub quantity: Quantity,
    /// Whether nothing goes into it: it is bought, or made of nothing.
    pub leaf: bool,
}

/// One line of an indented bill of materials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndentedLine {
    /// How deep it is: 0 for the item asked for.
    pub depth: u32,
    /// The item.
    pub item: AssetId,
    /// How much goes into what stands above it.
    pub quantity: Quantity,
    /// The version of the bill whose lines follow below; nothing of what is bought.
    pub version: Option<u32>,
    /// Whether it is a phantom.
    pub phantom: bool,
}

/// One line of a bill of materials that names an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Use {
    /// Whose bill it is.
    pub parent: AssetId,
    /// The number of the bill's version.
    pub version: u32,
    /// How much of the item one run takes.
    pub quantity: Quantity,
    /// How much of the parent one run yields.
    pub output: Quantity,
    /// Whether the line counts.
    pub presence: Presence,
}

impl Network {
    /// All that goes into `quantity` of an item by the bills in effect on this day, level by level: an
    /// item that goes into several others is summed first, so that its attrition, set-up and rounding
    /// count once. The item itself comes first, then by low-level code.
    ///
    /// # Errors
    /// When there is no such item, or a quantity does not fit.
    pub fn explode(&self, item: AssetId, quantity: Quantity, day: Day) -> Result<Vec<GrossNeed>, PlanError> {
        let first = self.place(item).ok_or(PlanError::UnknownItem(item))?;
        let mut open = BTreeMap::from([(self.rank[first], quantity)]);
        let mut needs = Vec::new();
        while let Some((rank, quantity)) = open.pop_first() {
            let place = self.order[rank as usize] as usize;
            let lines = self.lines_on(place, day);
            let below = lines.iter().flat_map(|(version, lines)| lines.iter().map(|line| (*version, *line)));
            for (version, line) in below {
                let component = line.component as usize;
                let overflow = |Overflow| PlanError::Overflow(self.nodes[component].id);
                let more = line.line.required(quantity, version.output).map_err(overflow)?;
                if more.0 > 0 {
                    let all = open.entry(self.rank[component]).or_default();
                    all.0 = sum(all.0, more.0).map_err(overflow)?;
                }
            }
            let leaf = lines.is_none_or(|(_, lines)| lines.is_empty());
            needs.push(GrossNeed { item: self.nodes[place].id, quantity, leaf });
        }
        Ok(needs)
    }

    /// The indented bill of materials of `quantity` of an item: each line followed by what it is made
    /// of, down to `depth_max` levels below the item (1 is the single-level bill). It can be very long,
    /// since what goes into several others is shown below each; take as many lines as you need. Ends
    /// with an error where a quantity does not fit.
    ///
    /// # Errors
    /// When there is no such item.
    pub fn indented(
        &self,
        item: AssetId,
        quantity: Quantity,
        day: Day,
        depth_max: u32,
    ) -> Result<impl Iterator<Item = Result<IndentedLine, PlanError>>, PlanError> {
        let place = self.place(item).ok_or(PlanError::UnknownItem(item))?;
        let mut open = vec![(0, place, quantity)];
        Ok(std::iter::from_fn(move || {
            let (depth, place, quantity) = open.pop()?;
            let node = &self.nodes[place];
            let lines = self.lines_on(place, day);
            if depth < depth_max {
                // The stack gives them back in the order of the bill.
                let below = lines.iter().flat_map(|(version, lines)| lines.iter().rev().map(|line| (*version, *line)));
                for (version, line) in below {
                    let component = line.component as usize;
                    match line.line.required(quantity, version.output) {
                        Ok(quantity) => open.push((depth + 1, component, quantity)),
                        Err(Overflow) => {
                            open.clear();
                            return Some(Err(PlanError::Overflow(self.nodes[component].id)));
                        }
                    }
                }
            }
            let version = lines.map(|(version, _)| version.number);
            Some(Ok(IndentedLine { depth, item: node.id, quantity, version, phantom: node.phantom }))
        }))
    }

    /// The lines of all bills, of any version, that name an item: where it goes in directly.
    ///
    /// # Errors
    /// When there is no such item.
    pub fn where_used(&self, item: AssetId) -> Result<impl Iterator<Item = Use>, PlanError> {
        let place = self.place(item).ok_or(PlanError::UnknownItem(item))?;
        Ok(self.uses_of(place).map(|(version, line)| Use {
            parent: self.nodes[version.item as usize].id,
            version: version.number,
            quantity: line.line.quantity,
            output: version.output,
            presence: line.line.presence,
        }))
    }

    /// All that an item goes into through any number of levels and by any version, each once, by
    /// ascending number of the fewest levels between the two (1 is directly), then by item.
    ///
    /// # Errors
    /// When there is no such item.
    pub fn where_used_at_all(&self, item: AssetId) -> Result<Vec<(u32, AssetId)>, PlanError> {
        let place = self.place(item).ok_or(PlanError::UnknownItem(item))?;
        let mut seen = vec![false; self.nodes.len()];
        let mut layer = vec![place];
        let mut found = Vec::new();
        for levels in 1.. {
            let parents = layer.iter().flat_map(|item| self.uses_of(*item));
            let mut next: Vec<usize> = parents.map(|(version, _)| version.item as usize).collect();
            next.sort_unstable();
            next.dedup();
            next.retain(|parent| !std::mem::replace(&mut seen[*parent], true));
            if next.is_empty() {
                break;
            }
            found.extend(next.iter().map(|parent| (levels, self.nodes[*parent].id)));
            layer = next;
        }
        Ok(found)
    }

    /// The lines that count of what is made, by the version in effect.
    fn lines_on(&self, item: usize, day: Day) -> Option<(&Version, Vec<&CompiledLine>)> {
        let version = self.version(item, day)?;
        let lines = self.lines_of(version).iter().filter(|line| line.line.presence.counts());
        Some((version, lines.collect()))
    }
}
