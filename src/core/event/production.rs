//! Events of production and inventory.

use crate::codec::record;
use crate::command::ByProduct;
use crate::production::records::{OrderYield, Requirement, WorkOrder};
use crate::types::{AccountId, AssetId, Code, Quantity, StockMoveKind, WorkOrderChange};

record! {
    /// Goods were received, issued, adjusted, counted, scrapped or moved. The postings say what it left.
    pub struct StockMoved {
        /// What it was.
        pub kind: StockMoveKind,
        /// The location it is about; of a move the one that gave.
        pub location: AccountId,
        /// Gave.
        pub from: AccountId,
        /// Received.
        pub to: AccountId,
        /// Of what.
        pub asset: AssetId,
        /// How much was moved; nothing, when a count found what the books said.
        pub quantity: Quantity,
        /// How much was counted, of a count.
        pub counted: Option<Quantity>,
        /// The lot that was named.
        pub lot: Option<Code>,
        /// Why, of an adjustment, a count or scrap.
        pub reason: Option<Code>,
    }
}

record! {
    /// Which lots went where in the event before, of the assets whose lots are tracked. An event of its
    /// own, so that a posting is as small as it is.
    pub struct LotsMoved {
        /// The movements, in order.
        pub moves: Vec<LotMove>,
    }
}

record! {
    /// A part of one lot went from one account to another.
    #[derive(Copy)]
    pub struct LotMove {
        /// Of what.
        pub asset: AssetId,
        /// The lot number.
        pub lot: Code,
        /// Gave. An issuer keeps no lots: what comes from one is new, what goes to one is gone.
        pub from: AccountId,
        /// Received.
        pub to: AccountId,
        /// How much.
        pub quantity: Quantity,
        /// The lot that the receiver counts it to, when it keeps as many lots apart as it may.
        pub counted_to: Option<Code>,
    }
}

record! {
    /// A work order was added.
    pub struct WorkOrderCreated {
        /// What it is.
        pub order: WorkOrder,
    }
}

record! {
    /// A work order's materials were reserved, as far as the postings say.
    pub struct WorkOrderReleased {
        /// What it is now.
        pub order: WorkOrder,
        /// What it requires, and holds now, of each component.
        pub lines: Vec<Requirement>,
        /// What its units yield besides.
        pub yields: Vec<OrderYield>,
    }
}

record! {
    /// A work order was started, held, resumed or ended. What it held is given back when it ends.
    pub struct WorkOrderChanged {
        /// What it is now.
        pub order: WorkOrder,
        /// What was done.
        pub change: WorkOrderChange,
    }
}

record! {
    /// A quantity of a component that went into production, or came back.
    #[derive(Copy)]
    pub struct MaterialMoved {
        /// The component.
        pub component: AssetId,
        /// How much.
        pub quantity: Quantity,
        /// How much of it was more than the order requires.
        pub over: Quantity,
        /// The lot that was named.
        pub lot: Option<Code>,
        /// What it costs, in 10⁻¹² units of the product's currency.
        pub cost: i128,
    }
}

record! {
    /// Materials were issued to a work order.
    pub struct MaterialsIssued {
        /// What it is now.
        pub order: WorkOrder,
        /// What was issued.
        pub materials: Vec<MaterialMoved>,
    }
}

record! {
    /// Material came back from a work order.
    pub struct MaterialsReturned {
        /// What it is now.
        pub order: WorkOrder,
        /// What came back.
        pub material: MaterialMoved,
    }
}

record! {
    /// Work on an operation was reported. When it leaves nothing to make, the order is completed and
    /// gives back what it holds.
    pub struct OperationReported {
        /// What the order is now.
        pub order: WorkOrder,
        /// The operation's place.
        pub operation: u32,
        /// Units that went through.
        pub good: Quantity,
        /// Units that were spoilt.
        pub scrap: Quantity,
        /// What was consumed with those.
        pub materials: Vec<MaterialMoved>,
        /// What those yielded besides.
        pub by_products: Vec<ByProduct>,
    }
}

record! {
    /// Products of a work order were completed. When it leaves nothing to make, the order is completed
    /// and gives back what it holds.
    pub struct WorkOrderCompleted {
        /// What the order is now.
        pub order: WorkOrder,
        /// Good units.
        pub good: Quantity,
        /// Finished units that were thrown away.
        pub scrap: Quantity,
        /// Units that never came to be.
        pub loss: Quantity,
        /// The lot that was named for the good ones.
        pub lot: Option<Code>,
        /// What was consumed with them.
        pub materials: Vec<MaterialMoved>,
        /// What was yielded besides.
        pub by_products: Vec<ByProduct>,
    }
}
