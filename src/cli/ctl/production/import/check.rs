//! What can be known to be wrong of an import before anything of it is sent.

use std::collections::BTreeMap;

use super::catalogue::{Catalogue, PartKey};
use super::known::Known;
use super::ledger::Parts;
use crate::cli::CliError;
use crate::client::api;
use crate::core::command::DefineBom;

/// Refuses bills of materials that have more lines or levels than there can be, or need themselves, with what the
/// ledger has of other products and versions.
pub fn bills(
    catalogue: &Catalogue,
    parts: &Parts,
    known: &Known,
    new: &[(String, api::DefineBom)],
) -> Result<(), CliError> {
    if let Some((name, bom)) = new.iter().find(|(_, bom)| bom.lines.len() > DefineBom::LINES_MAX) {
        let reason = format!("{} lines, and there can be {}", bom.lines.len(), DefineBom::LINES_MAX);
        return Err(CliError::Check(format!("the bill of materials of {name} has {reason}")));
    }
    let names = catalogue.parts.iter().map(|(key, part)| (parts.ids[key], part.name.as_str()));
    let mut walk = Walk { known, new: BTreeMap::new(), names: names.collect(), levels: BTreeMap::new() };
    for (_, bom) in new {
        walk.new.insert(bom.product_id, bom);
    }
    for (_, bom) in new {
        let levels = walk.levels_below(bom.product_id, &mut Vec::new())?;
        if levels > DefineBom::LEVELS_MAX {
            let most = DefineBom::LEVELS_MAX;
            let reason = format!("{} has {levels} levels below it, and there can be {most}", walk.name(bom.product_id));
            return Err(CliError::Check(reason));
        }
    }
    Ok(())
}

/// A way down through all that products need, by any version.
struct Walk<'a> {
    known: &'a Known,
    new: BTreeMap<u32, &'a api::DefineBom>,
    names: BTreeMap<u32, &'a str>,
    /// Of what was walked through.
    levels: BTreeMap<u32, u32>,
}

impl Walk<'_> {
    fn name(&self, id: u32) -> &str {
        let code = || self.known.assets.get(&id).map(|asset| asset.code.as_str());
        self.names.get(&id).copied().or_else(code).unwrap_or_default()
    }

    /// How many levels lie below an item. `above` is the way from the top to it.
    fn levels_below(&mut self, id: u32, above: &mut Vec<u32>) -> Result<u32, CliError> {
        if let Some(place) = above.iter().position(|other| *other == id) {
            let names: Vec<&str> = above[place..].iter().chain([&id]).map(|id| self.name(*id)).collect();
            return Err(CliError::Check(format!("{} would need itself: {}", self.name(id), names.join(" ← "))));
        }
        if above.len() > DefineBom::LEVELS_MAX as usize {
            let (top, most) = (self.name(above[0]), DefineBom::LEVELS_MAX);
            return Err(CliError::Check(format!("{top} has more than {most} levels below it")));
        }
        if let Some(levels) = self.levels.get(&id) {
            return Ok(*levels);
        }
        let known = self.known.boms_of(id).iter().flat_map(|bom| &bom.lines);
        let lines = known.chain(self.new.get(&id).into_iter().flat_map(|bom| &bom.lines));
        let components: Vec<u32> = lines.map(|line| line.component_id).collect();
        above.push(id);
        let mut levels = 0;
        for component in components {
            levels = levels.max(1 + self.levels_below(component, above)?);
        }
        above.pop();
        self.levels.insert(id, levels);
        Ok(levels)
    }
}

/// Refuses a part that is costed in another currency than the one that costs are brought in, or than what it
/// goes into: an item keeps its currency.
pub fn currencies(catalogue: &Catalogue, parts: &Parts, known: &Known, currency: &api::Asset) -> Result<(), CliError> {
    let needed = |key: &PartKey| {
        let mut lines = catalogue.boms.values().flatten();
        catalogue.boms.contains_key(key) || lines.any(|line| line.component == *key)
    };
    for (key, part) in &catalogue.parts {
        let Some(item) = known.items.get(&parts.ids[key]) else { continue };
        let other = item.currency_asset_id != currency.asset_id;
        if other && (part.cost.is_some() || needed(key)) {
            let own = known.assets.get(&item.currency_asset_id).map_or("another asset", |asset| asset.code.as_str());
            let reason = format!("{} is costed in {own}, and not in {}", part.name, currency.code);
            return Err(CliError::Usage { option: "--currency", reason });
        }
    }
    Ok(())
}
