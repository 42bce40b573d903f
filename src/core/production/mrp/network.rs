//! Items and what they are made of, checked once and laid out for the algorithms: items by the rank
//! of their id, everything else in flat lists that they point into.

use std::ops::Range;

use super::calendar::Day;
use super::item::{Bom, ByProduct, Item, Line, LotRule, Operation, QUANTITY_MAX, Source, Work};
use super::levels::{Edge, Levels, Yield};
use crate::types::{AssetId, Quantity};

/// Why items and bills of materials do not make a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NetworkError {
    /// Two items have this id.
    DuplicateItem(AssetId),
    /// A bill of materials names something that is no item.
    UnknownItem {
        /// Whose bill it is.
        parent: AssetId,
        /// What it names.
        named: AssetId,
    },
    /// These items contain one another: each the next, the last the first.
    Cycle(Vec<AssetId>),
    /// The item is made and has no bill of materials.
    NoBom(AssetId),
    /// Two versions of the item's bill of materials begin on one day.
    SameEffectiveDay(AssetId, Day),
    /// A run of the item yields nothing.
    NoOutput(AssetId),
    /// The item's lot rule has a size or step of zero.
    EmptyLot(AssetId),
    /// The item is a phantom, and bought.
    BoughtPhantom(AssetId),
    /// A quantity of the item or of its bills does not fit 63 bits.
    QuantityTooLarge(AssetId),
    /// An operation of the item costs less than nothing.
    NegativeCost(AssetId),
}

impl NetworkError {
    /// In words, with items by the names that `name` has for them.
    #[must_use]
    pub fn told(&self, name: &dyn Fn(AssetId) -> String) -> String {
        match self {
            Self::DuplicateItem(id) => format!("item {} is there twice", name(*id)),
            Self::UnknownItem { parent, named } => {
                format!("the bill of item {} names {named}, which is no item", name(*parent))
            }
            Self::Cycle(path) => {
                let names: Vec<String> = path.iter().map(|id| name(*id)).collect();
                format!("items contain one another: {}", names.join(" in turn "))
            }
            Self::NoBom(id) => format!("item {} is made and has no bill of materials", name(*id)),
            Self::SameEffectiveDay(id, day) => format!("two bills of item {} begin on day {day}", name(*id)),
            Self::NoOutput(id) => format!("a run of item {} yields nothing", name(*id)),
            Self::EmptyLot(id) => format!("the lot rule of item {} has a size of zero", name(*id)),
            Self::BoughtPhantom(id) => format!("item {} is a phantom, which cannot be bought", name(*id)),
            Self::QuantityTooLarge(id) => format!("a quantity of item {} does not fit 63 bits", name(*id)),
            Self::NegativeCost(id) => format!("an operation of item {} costs less than nothing", name(*id)),
        }
    }
}

impl std::fmt::Display for NetworkError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&self.told(&|id| id.to_string()))
    }
}

impl std::error::Error for NetworkError {}

/// Items with all they are made of, free of cycles.
#[derive(Debug, Clone)]
pub struct Network {
    /// By ascending id; everywhere below an item is its place here.
    pub(super) nodes: Vec<Node>,
    versions: Vec<Version>,
    lines: Vec<CompiledLine>,
    by_products: Vec<CompiledByProduct>,
    /// Low-level code of each item, see [`Network::level`].
    pub(super) levels: Vec<u32>,
    /// Every item once, by level: each behind all that it goes into.
    pub(super) order: Vec<u32>,
    /// Every item once: each behind all that goes into it and, of a by-product, all that yields it.
    pub(super) upwards: Vec<u32>,
    /// Where in `order` each item is.
    pub(super) rank: Vec<u32>,
    /// For each item where its uses begin in `uses`; one more at the end.
    use_starts: Vec<u32>,
    /// The lines that name an item, as places in `lines` with the version they belong to.
    uses: Vec<UseOf>,
}

/// An item.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub id: AssetId,
    pub lot: LotRule,
    pub safety_stock: u64,
    pub phantom: bool,
    /// Working days of a purchase; nothing of what is made.
    pub buy_days: u32,
    /// Its versions by their first day; empty when it is bought.
    versions: Range<u32>,
}

impl Node {
    pub(super) fn is_made(&self) -> bool {
        !self.versions.is_empty()
    }
}

/// A version of a bill of materials.
#[derive(Debug, Clone)]
pub(super) struct Version {
    pub number: u32,
    pub item: u32,
    effective_from: Day,
    pub output: Quantity,
    pub work: Work,
    lines: Range<u32>,
    by_products: Range<u32>,
    /// What its operations cost, see [`super::cost`].
    pub operations: Vec<Operation>,
}

/// A line, with its component's place.
#[derive(Debug, Clone)]
pub(super) struct CompiledLine {
    pub component: u32,
    pub line: Line,
}

/// A by-product, with its place.
#[derive(Debug, Clone)]
pub(super) struct CompiledByProduct {
    pub item: u32,
    pub by_product: ByProduct,
    /// Whether it is counted as supply before it is there, see [`super::levels`].
    pub counted: bool,
}

#[derive(Debug, Clone, Copy)]
struct UseOf {
    version: u32,
    line: u32,
}

impl Network {
    /// Checks the items, in any order, and lays them out.
    ///
    /// # Errors
    /// When they do not make a network, see [`NetworkError`].
    pub fn new(mut items: Vec<Item>) -> Result<Self, NetworkError> {
        items.sort_by_key(|item| item.id);
        if let Some(pair) = items.windows(2).find(|pair| pair[0].id == pair[1].id) {
            return Err(NetworkError::DuplicateItem(pair[0].id));
        }
        items.iter().try_for_each(check_item)?;
        let ids: Vec<AssetId> = items.iter().map(|item| item.id).collect();
        let mut network = Self {
            nodes: Vec::with_capacity(items.len()),
            versions: Vec::new(),
            lines: Vec::new(),
            by_products: Vec::new(),
            levels: Vec::new(),
            order: Vec::new(),
            upwards: Vec::new(),
            rank: Vec::new(),
            use_starts: Vec::new(),
            uses: Vec::new(),
        };
        for item in items {
            network.add(item, &ids)?;
        }
        network.index_uses();
        network.lay_levels()?;
        Ok(network)
    }

    /// How many items there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there is no item.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// The items, ascending.
    pub fn items(&self) -> impl Iterator<Item = AssetId> {
        self.nodes.iter().map(|node| node.id)
    }

    /// The item's low-level code: 0 for what goes into nothing, else one more than the largest of all
    /// that it goes into. What an order yields as a by-product counts as if it went in, since it is
    /// known only when the order is. Nothing when there is no such item.
    #[must_use]
    pub fn level(&self, item: AssetId) -> Option<u32> {
        self.place(item).map(|place| self.levels[place])
    }

    /// The by-products that are not counted as supply before they are there, behind what yields them:
    /// what yields them needs them, or other by-products for which they are needed.
    pub fn uncounted_by_products(&self) -> impl Iterator<Item = (AssetId, AssetId)> {
        self.versions.iter().flat_map(|version| {
            let parent = self.nodes[version.item as usize].id;
            let uncounted = self.by_products_of(version).iter().filter(|by_product| !by_product.counted);
            uncounted.map(move |by_product| (parent, by_product.by_product.item))
        })
    }

    pub(super) fn place(&self, item: AssetId) -> Option<usize> {
        self.nodes.binary_search_by_key(&item, |node| node.id).ok()
    }

    /// The version of what is made that is in effect on this day.
    pub(super) fn version(&self, item: usize, day: Day) -> Option<&Version> {
        let versions = self.versions_of(item);
        let begun = versions.partition_point(|version| version.effective_from <= day);
        versions.get(begun.saturating_sub(1))
    }

    fn versions_of(&self, item: usize) -> &[Version] {
        &self.versions[range(&self.nodes[item].versions)]
    }

    pub(super) fn lines_of(&self, version: &Version) -> &[CompiledLine] {
        &self.lines[range(&version.lines)]
    }

    pub(super) fn by_products_of(&self, version: &Version) -> &[CompiledByProduct] {
        &self.by_products[range(&version.by_products)]
    }

    /// The lines that name the item, with the version that each belongs to.
    pub(super) fn uses_of(&self, item: usize) -> impl Iterator<Item = (&Version, &CompiledLine)> {
        let range = self.use_starts[item] as usize..self.use_starts[item + 1] as usize;
        self.uses[range].iter().map(|of| (&self.versions[of.version as usize], &self.lines[of.line as usize]))
    }

    fn add(&mut self, item: Item, ids: &[AssetId]) -> Result<(), NetworkError> {
        let place = self.nodes.len() as u32;
        let find = |named: AssetId| {
            let found = ids.binary_search(&named).map_err(|_| NetworkError::UnknownItem { parent: item.id, named })?;
            Ok(found as u32)
        };
        let first = self.versions.len() as u32;
        let mut buy_days = 0;
        match item.source {
            Source::Buy { lead_days } => buy_days = lead_days,
            Source::Make(mut boms) => {
                boms.sort_by_key(|bom| bom.effective_from);
                if let Some(pair) = boms.windows(2).find(|pair| pair[0].effective_from == pair[1].effective_from) {
                    return Err(NetworkError::SameEffectiveDay(item.id, pair[0].effective_from));
                }
                for bom in boms {
                    let work = Work::of(&bom.operations);
                    let (lines, by_products) = (self.lines.len() as u32, self.by_products.len() as u32);
                    for line in bom.lines {
                        self.lines.push(CompiledLine { component: find(line.component)?, line });
                    }
                    for by_product in bom.by_products {
                        let item = find(by_product.item)?;
                        self.by_products.push(CompiledByProduct { item, by_product, counted: true });
                    }
                    self.versions.push(Version {
                        number: bom.version,
                        item: place,
                        effective_from: bom.effective_from,
                        output: bom.output,
                        work,
                        lines: lines..self.lines.len() as u32,
                        by_products: by_products..self.by_products.len() as u32,
                        operations: bom.operations,
                    });
                }
            }
        }
        self.nodes.push(Node {
            id: item.id,
            lot: item.lot,
            safety_stock: item.safety_stock.0,
            phantom: item.phantom,
            buy_days,
            versions: first..self.versions.len() as u32,
        });
        Ok(())
    }

    /// Sorts the lines by what they name.
    fn index_uses(&mut self) {
        let mut starts = vec![0_u32; self.nodes.len() + 1];
        for line in &self.lines {
            starts[line.component as usize + 1] += 1;
        }
        for item in 1..starts.len() {
            starts[item] += starts[item - 1];
        }
        let mut next = starts.clone();
        let mut uses = vec![UseOf { version: 0, line: 0 }; self.lines.len()];
        for (number, version) in (0..).zip(&self.versions) {
            for line in version.lines.clone() {
                let slot = &mut next[self.lines[line as usize].component as usize];
                uses[*slot as usize] = UseOf { version: number, line };
                *slot += 1;
            }
        }
        self.use_starts = starts;
        self.uses = uses;
    }

    fn lay_levels(&mut self) -> Result<(), NetworkError> {
        let mut components = Vec::with_capacity(self.lines.len());
        for version in &self.versions {
            let edge = |line: &CompiledLine| Edge { from: version.item, to: line.component };
            components.extend(self.lines_of(version).iter().map(edge));
        }
        let names = |cycle: Vec<u32>| cycle.into_iter().map(|item| self.nodes[item as usize].id).collect();
        let levels = Levels::new(self.nodes.len(), &components, &self.yields())
            .map_err(|cycle| NetworkError::Cycle(names(cycle)))?;
        for (by_product, counted) in self.by_products.iter_mut().zip(levels.counted) {
            by_product.counted = counted;
        }
        let mut order: Vec<u32> = (0..self.nodes.len() as u32).collect();
        order.sort_by_key(|item| levels.down[*item as usize]);
        let mut upwards = order.clone();
        upwards.sort_by_key(|item| std::cmp::Reverse(levels.up[*item as usize]));
        self.rank = vec![0; order.len()];
        for (rank, item) in (0..).zip(&order) {
            self.rank[*item as usize] = rank;
        }
        self.order = order;
        self.upwards = upwards;
        self.levels = levels.down;
        Ok(())
    }

    /// Every by-product with each item whose orders yield it: its own, and what a phantom goes into.
    fn yields(&self) -> Vec<Yield> {
        let mut yields = Vec::new();
        let mut seen = vec![u32::MAX; self.nodes.len()];
        for (number, version) in (0..).zip(&self.versions).filter(|(_, version)| !version.by_products.is_empty()) {
            let mut open = vec![version.item];
            while let Some(from) = open.pop() {
                if std::mem::replace(&mut seen[from as usize], number) == number {
                    continue;
                }
                for by_product in version.by_products.clone() {
                    let to = self.by_products[by_product as usize].item;
                    yields.push(Yield { by_product, edge: Edge { from, to } });
                }
                if self.nodes[from as usize].phantom {
                    open.extend(self.uses_of(from as usize).map(|(version, _)| version.item));
                }
            }
        }
        yields
    }
}

fn range(range: &Range<u32>) -> Range<usize> {
    range.start as usize..range.end as usize
}

fn check_item(item: &Item) -> Result<(), NetworkError> {
    let fits = |quantity: Quantity| {
        if quantity.0 > QUANTITY_MAX { Err(NetworkError::QuantityTooLarge(item.id)) } else { Ok(()) }
    };
    fits(item.safety_stock)?;
    match item.lot {
        LotRule::Fixed(Quantity(0)) | LotRule::Multiple { multiple: Quantity(0), .. } => {
            return Err(NetworkError::EmptyLot(item.id));
        }
        LotRule::LotForLot => {}
        LotRule::Fixed(size) => fits(size)?,
        LotRule::Multiple { minimum, multiple } => {
            fits(minimum)?;
            fits(multiple)?;
        }
    }
    match &item.source {
        Source::Buy { .. } if item.phantom => Err(NetworkError::BoughtPhantom(item.id)),
        Source::Buy { .. } => Ok(()),
        Source::Make(boms) if boms.is_empty() => Err(NetworkError::NoBom(item.id)),
        Source::Make(boms) => boms.iter().try_for_each(|bom| check_bom(item.id, bom)),
    }
}

fn check_bom(item: AssetId, bom: &Bom) -> Result<(), NetworkError> {
    if bom.output.0 == 0 {
        return Err(NetworkError::NoOutput(item));
    }
    if bom.operations.iter().any(|operation| operation.cost_per_hour.0 < 0) {
        return Err(NetworkError::NegativeCost(item));
    }
    let of_lines = bom.lines.iter().flat_map(|line| [line.quantity, line.setup, line.multiple]);
    let of_by_products = bom.by_products.iter().map(|by_product| by_product.quantity);
    let all = of_lines.chain(of_by_products).chain([bom.output]);
    if all.into_iter().any(|quantity| quantity.0 > QUANTITY_MAX) {
        return Err(NetworkError::QuantityTooLarge(item));
    }
    Ok(())
}
