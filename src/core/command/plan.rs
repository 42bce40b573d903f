//! Commands of production plans and of the purchases planned by them.

use super::NewOrder;
use crate::codec::record;
use crate::types::{
    AccountId, AssetId, BomVersion, Code, CommandId, Day, OverIssue, PlanId, PlanLineId, PlantId, PurchaseId, Quantity,
    Sequence,
};

record! {
    /// Adds a production plan, a draft without demand.
    pub struct CreatePlan {
        /// Where it is made.
        pub plant: PlantId,
        /// A short name, for people.
        pub name: Code,
    }
}

record! {
    /// Sets and removes lines of a plan's demand, of a firmed one too: the next calculation sees it.
    pub struct SetPlanLines {
        /// The plan.
        pub plan: PlanId,
        /// New lines, and lines that take the place of those of the same number.
        pub set: Vec<DemandLine>,
        /// Lines that are taken away. No line stands twice in the two lists, of at most
        /// [`SetPlanLines::LINES_MAX`] together.
        pub remove: Vec<PlanLineId>,
    }
}

impl SetPlanLines {
    /// Lines that one command sets or removes.
    pub const LINES_MAX: usize = 1_000;
    /// Lines that one plan has. It is closed in one step, which has to stay short.
    pub const PLAN_LINES_MAX: usize = 10_000;
}

record! {
    /// A line of demand.
    #[derive(Copy)]
    pub struct DemandLine {
        /// Its number.
        pub line: PlanLineId,
        /// What is asked for: an item, and one with a bill of materials if it is made.
        pub product: AssetId,
        /// How much, at least 1.
        pub quantity: Quantity,
        /// When, on a day on which the plant works.
        pub due: Day,
    }
}

record! {
    /// Makes planned work orders and planned purchases of what was calculated for a plan. A calculation
    /// of many orders is firmed by several commands, all but the last with `more`.
    pub struct FirmPlan {
        /// The plan.
        pub plan: PlanId,
        /// The sequence of the state that the orders were calculated from. Refused when what plans are
        /// made from has changed since: an item, a bill of materials, a calendar, the lines of this plan,
        /// or the lines, orders or end of a firmed one.
        pub computed_at: Sequence,
        /// Work orders take their materials from this location of the plant; purchases come there.
        pub location: AccountId,
        /// Products are put into this location of the plant.
        pub output: AccountId,
        /// Whether completing products consumes the materials they took.
        pub backflush: bool,
        /// What happens when more is issued than a work order requires.
        pub over_issue: OverIssue,
        /// The orders, at most [`FirmPlan::ORDERS_MAX`], with at most [`FirmPlan::PEGS_MAX`] pegs.
        pub orders: Vec<OrderToFirm>,
        /// Whether further orders of the same calculation follow.
        pub more: bool,
    }
}

impl FirmPlan {
    /// Orders of one command: its record has to stay of a size that can be stored and sent.
    pub const ORDERS_MAX: usize = 1_000;
    /// Pegs of all orders of one command.
    pub const PEGS_MAX: usize = 10_000;
    /// How many pegs every order of a full command can have.
    pub const ORDER_PEGS: usize = Self::PEGS_MAX / Self::ORDERS_MAX;
}

record! {
    /// An order that was calculated.
    pub struct OrderToFirm {
        /// What is made or bought.
        pub item: AssetId,
        /// By which version of its bill of materials it is made; without one it is bought.
        pub version: Option<BomVersion>,
        /// How much, at least 1.
        pub quantity: Quantity,
        /// The day on which it has to begin.
        pub release: Day,
        /// The day on which it has to be there.
        pub due: Day,
        /// What it is for; less than the quantity where a lot rule or safety stock asks for the rest.
        pub pegs: Vec<DemandPeg>,
    }
}

record! {
    /// A quantity of an order that is for a line of demand.
    #[derive(Copy)]
    pub struct DemandPeg {
        /// The line's plan: the firmed one, or another one that is served by the same calculation.
        pub plan: PlanId,
        /// The line.
        pub line: PlanLineId,
        /// How much of the order, at least 1.
        pub quantity: Quantity,
    }
}

record! {
    /// Ends a plan. What was ordered for it stays.
    pub struct ClosePlan {
        /// The plan.
        pub plan: PlanId,
    }
}

record! {
    /// Says that goods of a planned purchase came. When all have, it ends.
    pub struct ReceivePurchase {
        /// The purchase.
        pub purchase: PurchaseId,
        /// How much came, at least 1.
        pub quantity: Quantity,
        /// Takes the goods in with the same command. Without it they are in the books already: bought on
        /// a market, or received by themselves.
        pub receipt: Option<PurchaseReceipt>,
    }
}

record! {
    /// The receipt of purchased goods into the purchase's location.
    #[derive(Copy)]
    pub struct PurchaseReceipt {
        /// Who gives.
        pub from: AccountId,
        /// Their lot number.
        pub lot: Option<Code>,
    }
}

record! {
    /// Enters an order that buys a planned purchase: when it is accepted, every trade of it is also a receipt of
    /// the purchase, from the first one on, which may come with its entry. An order that is refused buys nothing.
    pub struct BuyPurchase {
        /// The purchase.
        pub purchase: PurchaseId,
        /// A buy order of the purchase's location, on a market of its item.
        pub order: NewOrder,
    }
}

record! {
    /// Says which open order of its location buys a planned purchase. From then on every trade of that order
    /// is also a receipt of the purchase; what the order bought before is not. It is a buy order of the
    /// purchase's item; one that is not entered yet is named by [`BuyPurchase`].
    ///
    /// Nothing is said of it in the order itself, whose record is as small as it was, and who trades for no
    /// purchase pays the look at an empty list.
    pub struct LinkPurchase {
        /// The purchase.
        pub purchase: PurchaseId,
        /// The client order id; none any more, when `None`.
        pub order: Option<CommandId>,
    }
}

record! {
    /// Ends a planned purchase of which no more will come.
    pub struct ClosePurchase {
        /// The purchase.
        pub purchase: PurchaseId,
    }
}
