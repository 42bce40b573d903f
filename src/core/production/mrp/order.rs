//! What one order takes and gives: its bill of materials, with phantoms made within the order.

use std::collections::BTreeMap;

use super::calendar::{Calendar, Day};
use super::item::{Overflow, sum};
use super::network::{CompiledByProduct, Network, Version};
use super::situation::PlanError;
use crate::types::{AssetId, Quantity};

/// What one order of an item takes and gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderContent {
    /// The number of the version that it is made by.
    pub version: u32,
    /// What goes in, in the order of the bill's lines, those of phantoms behind. An item that two lines
    /// name is there twice.
    pub materials: Vec<(AssetId, Quantity)>,
    /// What comes out besides the product.
    pub by_products: Vec<(AssetId, Quantity)>,
    /// Working days from release to completion.
    pub lead_days: u32,
}

impl Network {
    /// What an order of this size that is due on this day takes and gives, exactly as a plan counts it;
    /// nothing of what is bought.
    ///
    /// # Errors
    /// When there is no such item, or a quantity or the lead time does not fit.
    pub fn order_content(
        &self,
        item: AssetId,
        size: Quantity,
        due: Day,
        calendar: &Calendar,
    ) -> Result<Option<OrderContent>, PlanError> {
        let place = self.place(item).ok_or(PlanError::UnknownItem(item))?;
        let Some(version) = self.version(place, due) else {
            return Ok(None);
        };
        let lead_days = version.work.lead_days(size, version.output, calendar);
        let mut content = OrderContent {
            version: version.number,
            materials: Vec::new(),
            by_products: Vec::new(),
            lead_days: lead_days.map_err(|Overflow| PlanError::NoSuchDay(item))?,
        };
        Explosion::default().each(self, version, size, due, |flow| {
            match flow {
                Flow::Takes { item, quantity } => content.materials.push((self.nodes[item].id, quantity)),
                Flow::Gives { by_product, quantity } => {
                    content.by_products.push((self.nodes[by_product.item as usize].id, quantity));
                }
            }
            Ok(())
        })?;
        Ok(Some(content))
    }
}

/// Something that an order takes or gives.
pub(super) enum Flow<'a> {
    /// A material.
    Takes { item: usize, quantity: Quantity },
    /// A by-product.
    Gives { by_product: &'a CompiledByProduct, quantity: Quantity },
}

/// Goes through what orders take and give.
#[derive(Debug, Default)]
pub(super) struct Explosion {
    /// Phantoms that are still to be made within the order, by rank: each when all of the order that
    /// needs it is known, so that its set-up and rounding count once.
    phantoms: BTreeMap<u32, Quantity>,
}

impl Explosion {
    /// Tells of everything above zero that an order takes and gives.
    pub(super) fn each<'a>(
        &mut self,
        network: &'a Network,
        version: &'a Version,
        size: Quantity,
        due: Day,
        mut tell: impl FnMut(Flow<'a>) -> Result<(), PlanError>,
    ) -> Result<(), PlanError> {
        self.phantoms.clear();
        let mut next = Some((version, size));
        while let Some((version, size)) = next {
            for line in network.lines_of(version).iter().filter(|line| line.line.presence.counts()) {
                let item = line.component as usize;
                let node = &network.nodes[item];
                let overflow = |Overflow| PlanError::Overflow(node.id);
                let quantity = line.line.required(size, version.output).map_err(overflow)?;
                if quantity.0 == 0 {
                    continue;
                }
                if node.phantom {
                    let all = self.phantoms.entry(network.rank[item]).or_default();
                    all.0 = sum(all.0, quantity.0).map_err(overflow)?;
                } else {
                    tell(Flow::Takes { item, quantity })?;
                }
            }
            for by_product in network.by_products_of(version) {
                let overflow = |Overflow| PlanError::Overflow(network.nodes[by_product.item as usize].id);
                let quantity = by_product.by_product.yielded(size, version.output).map_err(overflow)?;
                if quantity.0 > 0 {
                    tell(Flow::Gives { by_product, quantity })?;
                }
            }
            next = self.phantoms.pop_first().and_then(|(rank, quantity)| {
                let phantom = network.order[rank as usize] as usize;
                Some((network.version(phantom, due)?, quantity))
            });
        }
        Ok(())
    }
}
