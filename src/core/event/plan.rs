//! Events of production plans and planned purchases. The work orders of a plan are created as others are.

use crate::codec::record;
use crate::production::records::{ProductionPlan, Purchase};
use crate::types::{AccountId, PlanId, PlanLineId, Quantity, Sequence};

record! {
    /// A plan was added; the event's sequence is its id.
    pub struct PlanCreated {
        /// What it is.
        pub plan: ProductionPlan,
    }
}

record! {
    /// Orders were made for a plan, by the events before this one of the same record.
    pub struct PlanFirmed {
        /// What it is now.
        pub plan: ProductionPlan,
        /// The state that they were calculated from.
        pub computed_at: Sequence,
        /// Where work orders take their materials, and purchases come in.
        pub location: AccountId,
        /// Where products are put.
        pub output: AccountId,
        /// How many orders were made.
        pub orders: u32,
        /// What they are for.
        pub pegs: Vec<OrderPeg>,
    }
}

record! {
    /// A quantity of a planned order that is for a line of demand.
    #[derive(Copy)]
    pub struct OrderPeg {
        /// The order: the id of a work order or of a purchase.
        pub order: Sequence,
        /// The line's plan.
        pub plan: PlanId,
        /// The line.
        pub line: PlanLineId,
        /// How much of the order.
        pub quantity: Quantity,
    }
}

record! {
    /// A plan was closed.
    pub struct PlanClosed {
        /// What it was.
        pub plan: ProductionPlan,
    }
}

record! {
    /// A purchase was planned; the event's sequence is its id.
    pub struct PurchasePlanned {
        /// What it is.
        pub purchase: Purchase,
    }
}

record! {
    /// Goods of a purchase came, by a command that says so or by the trade before. It has ended when all have.
    pub struct PurchaseReceived {
        /// What it is now.
        pub purchase: Purchase,
        /// How much came.
        pub quantity: Quantity,
    }
}

record! {
    /// It was said which order buys a purchase.
    pub struct PurchaseLinked {
        /// What it is now.
        pub purchase: Purchase,
    }
}

record! {
    /// A purchase was ended before all of it came.
    pub struct PurchaseClosed {
        /// What it was.
        pub purchase: Purchase,
    }
}
