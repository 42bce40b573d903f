//! Low-level codes: the order in which items are netted, so that an item that goes into several
//! others is met once, when all that needs it is known (Orlicky, Material Requirements Planning, 1975).
//!
//! A by-product is netted below what yields it, and is there when its order is. Neither may go round
//! in a circle: what yields it may not need it, and may not have to be netted behind it, be it by way
//! of other by-products. A by-product of which this does not hold is not counted until it is there.
//! Which these are depends on the order of nothing: they are the by-products that lie on such circles.

/// From what is made to what goes in or comes out besides.
#[derive(Debug, Clone, Copy)]
pub(super) struct Edge {
    pub from: u32,
    pub to: u32,
}

impl Edge {
    fn turned(self) -> Self {
        Self { from: self.to, to: self.from }
    }
}

/// A by-product that comes out of an order of some item.
#[derive(Debug, Clone, Copy)]
pub(super) struct Yield {
    /// Which by-product, by its number.
    pub by_product: u32,
    /// From what is made to what comes out.
    pub edge: Edge,
}

/// What the edges say.
#[derive(Debug)]
pub(super) struct Levels {
    /// Of each node: above all that goes into it or comes out besides. The way down goes by these.
    pub down: Vec<u32>,
    /// Of each node: above all that it waits for, which are what goes into it, and of a by-product what
    /// yields it. The way up goes by these, backwards.
    pub up: Vec<u32>,
    /// Of each by-product, by its number, whether it counts.
    pub counted: Vec<bool>,
}

impl Levels {
    /// The levels of `count` nodes, or the nodes of a cycle of components. A by-product that comes out of
    /// orders of several items counts for all of them or for none.
    pub(super) fn new(count: usize, components: &[Edge], yields: &[Yield]) -> Result<Self, Vec<u32>> {
        let (levels, settled) = Graph::new(count, components.iter().copied()).longest_paths();
        if settled < count {
            return Err(cycle(&levels, components));
        }
        if yields.is_empty() {
            let levels = levels_of_all(levels);
            return Ok(Self { up: levels.clone(), down: levels, counted: Vec::new() });
        }
        let down = || components.iter().copied().chain(yields.iter().map(|of| of.edge));
        let up = || components.iter().copied().chain(yields.iter().map(|of| of.edge.turned()));
        let mut counted = vec![true; yields.iter().map(|of| of.by_product as usize + 1).max().unwrap_or_default()];
        for circle in [Graph::new(count, down()).strong_components(), Graph::new(count, up()).strong_components()] {
            for Yield { by_product, edge } in yields {
                counted[*by_product as usize] &= circle[edge.from as usize] != circle[edge.to as usize];
            }
        }
        // Every circle lost its by-products, and of components alone there is none.
        let left = || yields.iter().filter(|of| counted[of.by_product as usize]).map(|of| of.edge);
        let down = Graph::new(count, components.iter().copied().chain(left())).longest_paths().0;
        let up = Graph::new(count, components.iter().copied().chain(left().map(Edge::turned))).longest_paths().0;
        Ok(Self { down: levels_of_all(down), up: levels_of_all(up), counted })
    }
}

fn levels_of_all(levels: Vec<Option<u32>>) -> Vec<u32> {
    levels.into_iter().map(|level| level.expect("a level, where there is no circle")).collect()
}

/// The edges by the node they leave.
struct Graph {
    starts: Vec<u32>,
    to: Vec<u32>,
}

impl Graph {
    fn new(count: usize, edges: impl Iterator<Item = Edge> + Clone) -> Self {
        let mut starts = vec![0_u32; count + 1];
        for edge in edges.clone() {
            starts[edge.from as usize + 1] += 1;
        }
        for node in 1..starts.len() {
            starts[node] += starts[node - 1];
        }
        let mut next = starts.clone();
        let mut to = vec![0; starts[count] as usize];
        for edge in edges {
            let slot = &mut next[edge.from as usize];
            to[*slot as usize] = edge.to;
            *slot += 1;
        }
        Self { starts, to }
    }

    fn count(&self) -> usize {
        self.starts.len() - 1
    }

    fn leaving(&self, node: u32) -> &[u32] {
        &self.to[self.starts[node as usize] as usize..self.starts[node as usize + 1] as usize]
    }

    /// For each node the length of the longest path to it, nothing where a cycle leads to it; and how
    /// many have one (Kahn 1962).
    fn longest_paths(&self) -> (Vec<Option<u32>>, usize) {
        let mut waiting_for = vec![0_u32; self.count()];
        for to in &self.to {
            waiting_for[*to as usize] += 1;
        }
        let mut lengths = vec![0; self.count()];
        let mut ready: Vec<u32> = (0..self.count() as u32).filter(|node| waiting_for[*node as usize] == 0).collect();
        let mut levels = vec![None; self.count()];
        let mut settled = 0;
        while let Some(node) = ready.pop() {
            let length = lengths[node as usize];
            levels[node as usize] = Some(length);
            settled += 1;
            for &to in self.leaving(node) {
                lengths[to as usize] = lengths[to as usize].max(length + 1);
                waiting_for[to as usize] -= 1;
                if waiting_for[to as usize] == 0 {
                    ready.push(to);
                }
            }
        }
        (levels, settled)
    }

    /// For each node the number of its strongly connected component (Tarjan 1972, with a stack of our
    /// own, since a network may be deep).
    fn strong_components(&self) -> Vec<u32> {
        const NONE: u32 = u32::MAX;
        let mut part = vec![NONE; self.count()];
        let mut found = vec![NONE; self.count()];
        let mut low = vec![0_u32; self.count()];
        let (mut finds, mut parts) = (0, 0);
        let mut open = Vec::new();
        let mut path: Vec<(u32, usize)> = Vec::new();
        for root in 0..self.count() as u32 {
            if found[root as usize] != NONE {
                continue;
            }
            path.push((root, 0));
            while let Some((node, next)) = path.pop() {
                let at = node as usize;
                if next == 0 {
                    found[at] = finds;
                    low[at] = finds;
                    finds += 1;
                    open.push(node);
                }
                if let Some(&to) = self.leaving(node).get(next) {
                    path.push((node, next + 1));
                    if found[to as usize] == NONE {
                        path.push((to, 0));
                    } else if part[to as usize] == NONE {
                        low[at] = low[at].min(found[to as usize]);
                    }
                    continue;
                }
                if low[at] == found[at] {
                    while let Some(member) = open.pop() {
                        part[member as usize] = parts;
                        if member == node {
                            break;
                        }
                    }
                    parts += 1;
                }
                if let Some((parent, _)) = path.last() {
                    low[*parent as usize] = low[*parent as usize].min(low[at]);
                }
            }
        }
        part
    }
}

/// The nodes of a cycle, each before what it contains. `levels` are nothing for its nodes, and for
/// those that it leads to.
fn cycle(levels: &[Option<u32>], components: &[Edge]) -> Vec<u32> {
    // Every node without a level is contained in one without: following these must come round.
    let mut parent = vec![None; levels.len()];
    for edge in components.iter().filter(|edge| levels[edge.from as usize].is_none()) {
        parent[edge.to as usize] = Some(edge.from);
    }
    let mut seen = vec![false; levels.len()];
    let mut node = (0..levels.len() as u32).find(|node| levels[*node as usize].is_none());
    while let Some(at) = node.filter(|at| !seen[*at as usize]) {
        seen[at as usize] = true;
        node = parent[at as usize];
    }
    let mut path = Vec::new();
    let last = node;
    while let Some(at) = node {
        path.push(at);
        node = parent[at as usize].filter(|next| Some(*next) != last);
    }
    path.reverse();
    path
}
