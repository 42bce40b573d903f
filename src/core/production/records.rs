//! The records of production's tables, as they are in memory and on disk.

use crate::codec::{record, tagged};
use crate::command::{BomLine, ByProduct, DemandLine, Operation};
use crate::types::{
    AccountId, AssetId, BomVersion, Code, CommandId, Day, LotRule, OverIssue, PlanId, PlanState, PlantId, Price,
    PurchaseId, Quantity, Sequence, Source, WorkOrderId, WorkOrderState,
};

record! {
    /// A plant.
    pub struct Plant {
        /// Its id.
        pub id: PlantId,
        /// Its name.
        pub name: Code,
        /// What is consumed goes there, what is yielded comes from there.
        pub production: AccountId,
        /// What is thrown away goes there.
        pub scrap: AccountId,
        /// Differences are booked against it.
        pub adjustment: AccountId,
        /// The accounts that hold its stock.
        pub locations: Vec<AccountId>,
    }
}

record! {
    /// The days on which a plant works.
    pub struct Calendar {
        /// The plant.
        pub plant: PlantId,
        /// The days of the week: bit 0 is Monday.
        pub weekdays: u8,
        /// The days on which it does not work although it is such a day of the week, in order.
        pub holidays: Vec<Day>,
        /// The working time of a day, in seconds.
        pub seconds_per_day: u32,
    }
}

impl Calendar {
    /// Whether the plant works on this day.
    #[must_use]
    pub fn works(&self, day: Day) -> bool {
        self.weekdays >> day.weekday() & 1 == 1 && self.holidays.binary_search(&day).is_err()
    }
}

record! {
    /// How an asset is planned.
    #[derive(Copy)]
    pub struct Item {
        /// The asset.
        pub asset: AssetId,
        /// Made or bought.
        pub source: Source,
        /// Working days from the order to the receipt of what is bought.
        pub lead_days: u32,
        /// How much is ordered at once.
        pub lot_rule: LotRule,
        /// Stock that plans leave untouched.
        pub safety_stock: Quantity,
        /// At or below this it is to be reordered; never, when zero.
        pub reorder_point: Quantity,
        /// Units of the currency for one whole unit.
        pub standard_cost: Price,
        /// What it costs is counted in this asset.
        pub currency: AssetId,
        /// Never stocked as such: its lines stand in its place.
        pub phantom: bool,
        /// Whether its units are followed by lot number.
        pub lot_tracked: bool,
    }
}

record! {
    /// A version of a bill of materials. Its lines, by-products and operations are [`BomPart`]s.
    #[derive(Copy)]
    pub struct Bom {
        /// What it makes.
        pub product: AssetId,
        /// Its number.
        pub version: BomVersion,
        /// The first day on which it is in effect, until the next version is.
        pub from: Day,
        /// What one run makes.
        pub output: Quantity,
        /// How many parts it has: lines, then by-products, then operations.
        pub parts: u32,
    }
}

record! {
    /// One part of a version of a bill of materials.
    #[derive(Copy)]
    pub struct BomPart {
        /// What it makes.
        pub product: AssetId,
        /// The version.
        pub version: BomVersion,
        /// Its place among the version's parts.
        pub place: u32,
        /// What it is.
        pub part: Part,
    }
}

tagged! {
    /// What a part of a bill of materials is.
    #[derive(Copy)]
    pub enum Part {
        /// What one run needs of a component.
        1 => Line(BomLine),
        /// What one run yields besides the product.
        2 => ByProduct(ByProduct),
        /// A step of the work.
        3 => Operation(Operation),
    }
}

record! {
    /// How much of a balance is of one lot. The lots of a tracked balance add up to what it has.
    #[derive(Copy)]
    pub struct Lot {
        /// Whose.
        pub account: AccountId,
        /// Of what.
        pub asset: AssetId,
        /// The lot number.
        pub number: Code,
        /// The event that brought it into the books, as far as its giver knew: the oldest goes first.
        pub since: Sequence,
        /// How much; never zero.
        pub quantity: Quantity,
    }
}

record! {
    /// How much of a lot was issued to a work order and did not come back. Of a tracked component these add
    /// up to what was issued.
    #[derive(Copy)]
    pub struct IssuedLot {
        /// The order.
        pub work_order: WorkOrderId,
        /// The component.
        pub component: AssetId,
        /// The lot number.
        pub number: Code,
        /// The event that brought it into the books, as far as its giver knew.
        pub since: Sequence,
        /// The event that issued of it last: what was issued last comes back first.
        pub issued: Sequence,
        /// How much; never zero.
        pub quantity: Quantity,
    }
}

record! {
    /// A work order. One that has ended is in no table.
    #[derive(Copy)]
    pub struct WorkOrder {
        /// Its id: the sequence of its creation.
        pub id: WorkOrderId,
        /// The command that created it.
        pub command: CommandId,
        /// Where it is made.
        pub plant: PlantId,
        /// What is made.
        pub product: AssetId,
        /// By which version of its bill of materials.
        pub version: BomVersion,
        /// Materials are taken from there.
        pub location: AccountId,
        /// Products are put there.
        pub output: AccountId,
        /// How much is to be made. Whatever became of it is completed, scrapped or lost.
        pub quantity: Quantity,
        /// Good units made.
        pub completed: Quantity,
        /// Finished units thrown away.
        pub scrapped: Quantity,
        /// Units spoilt at an operation, or that never came to be.
        pub lost: Quantity,
        /// The first day of work.
        pub start: Day,
        /// The day on which it is to be ready.
        pub due: Day,
        /// Whether completing products consumes the materials they took.
        pub backflush: bool,
        /// Whether the optional lines are needed.
        pub optional: bool,
        /// What happens when more is issued than it requires.
        pub over_issue: OverIssue,
        /// Where it stands.
        pub state: WorkOrderState,
        /// Whether it was stopped.
        pub held: bool,
        /// What its materials cost so far at standard cost, in 10⁻¹² units of the product's currency.
        pub cost: i128,
        /// How many parts it has: lines, yields, and operations. None before it is released.
        pub parts: u32,
        /// The plan that it was made for.
        pub plan: Option<PlanId>,
    }
}

impl WorkOrder {
    /// Units of which it is known what became of them.
    #[must_use]
    pub const fn done(&self) -> u64 {
        self.completed.0 + self.scrapped.0 + self.lost.0
    }

    /// What it still lacks of a component. An order with nothing left to make, or that has ended, lacks nothing,
    /// whatever was issued to it: materials that nobody booked went into it all the same.
    #[must_use]
    pub const fn lacks(&self, line: &Requirement) -> u64 {
        match self.state {
            WorkOrderState::Planned | WorkOrderState::Released | WorkOrderState::InProgress => line.short(),
            WorkOrderState::Completed | WorkOrderState::Closed | WorkOrderState::Cancelled => 0,
        }
    }

    /// What it costs so far, in the smallest unit of the product's currency, rounded up.
    #[must_use]
    pub fn cost_rounded(&self) -> i128 {
        cost_rounded(self.cost)
    }

    /// Parts of a currency's smallest unit in which costs are kept, so that no issue is rounded.
    pub const COST_UNIT: i128 = 1_000_000_000_000;
}

/// A cost in 10⁻¹² of a currency's smallest unit, in whole such units, rounded up.
#[must_use]
pub fn cost_rounded(exact: i128) -> i128 {
    exact.div_euclid(WorkOrder::COST_UNIT) + i128::from(exact.rem_euclid(WorkOrder::COST_UNIT) > 0)
}

record! {
    /// A part of a work order.
    #[derive(Copy)]
    pub struct WorkOrderPart {
        /// The order.
        pub work_order: WorkOrderId,
        /// Its place among the order's parts.
        pub place: u32,
        /// What it is.
        pub part: Progress,
    }
}

tagged! {
    /// How far a part of a work order is.
    #[derive(Copy)]
    pub enum Progress {
        /// A component that it requires.
        1 => Line(Requirement),
        /// A step of the work.
        2 => Operation(OperationProgress),
        /// What its units yield besides.
        3 => Yield(OrderYield),
    }
}

record! {
    /// What a work order requires of one component, each component once.
    #[derive(Copy)]
    pub struct Requirement {
        /// The component.
        pub component: AssetId,
        /// How much it requires in all.
        pub required: Quantity,
        /// How much it holds in stock.
        pub reserved: Quantity,
        /// How much went into production and did not come back.
        pub issued: Quantity,
        /// What that cost, in 10⁻¹² units of the product's currency.
        pub cost: i128,
    }
}

impl Requirement {
    /// What is still to be issued.
    #[must_use]
    pub const fn outstanding(&self) -> u64 {
        self.required.0.saturating_sub(self.issued.0)
    }

    /// What is still to be issued and not reserved.
    #[must_use]
    pub const fn short(&self) -> u64 {
        self.outstanding() - self.reserved.0
    }
}

record! {
    /// What a work order's units yield besides, whatever becomes of them.
    #[derive(Copy)]
    pub struct OrderYield {
        /// The by-product.
        pub asset: AssetId,
        /// How much of it.
        pub quantity: Quantity,
        /// So many units of the order yield that.
        pub per: Quantity,
    }
}

impl OrderYield {
    /// What so many units yield, in whole units of the by-product; `None` when it does not fit 63 bits.
    #[must_use]
    pub fn of(&self, units: u64) -> Option<u64> {
        let sum = u128::from(self.quantity.0) * u128::from(units) / u128::from(self.per.0);
        i64::try_from(sum).ok().map(i64::unsigned_abs)
    }
}

record! {
    /// How far an operation is.
    #[derive(Copy)]
    pub struct OperationProgress {
        /// Units that went through.
        pub good: Quantity,
        /// Units that were spoilt there.
        pub scrap: Quantity,
    }
}

record! {
    /// A production plan. One that is closed is in no table.
    #[derive(Copy)]
    pub struct ProductionPlan {
        /// Its id: the sequence of its creation.
        pub id: PlanId,
        /// Where it is made.
        pub plant: PlantId,
        /// Its name.
        pub name: Code,
        /// Where it stands.
        pub state: PlanState,
        /// How many lines of demand it has.
        pub lines: u32,
        /// The last event that changed them, or created the plan.
        pub changed: Sequence,
        /// The calculation that is being firmed, while orders of it are to follow.
        pub firming: Option<Firming>,
    }
}

record! {
    /// A calculation of which some orders are firmed and others are to follow.
    #[derive(Copy)]
    pub struct Firming {
        /// The state that it was made from.
        pub computed_at: Sequence,
        /// The last event of the last command that firmed orders of it.
        pub last: Sequence,
    }
}

record! {
    /// A line of a plan's demand.
    #[derive(Copy)]
    pub struct PlanLine {
        /// The plan.
        pub plan: PlanId,
        /// The line.
        pub line: DemandLine,
    }
}

record! {
    /// A planned purchase. One that has ended is in no table.
    #[derive(Copy)]
    pub struct Purchase {
        /// Its id: the sequence of its planning.
        pub id: PurchaseId,
        /// The plan that it was made for.
        pub plan: PlanId,
        /// For which plant.
        pub plant: PlantId,
        /// Where the goods come in.
        pub location: AccountId,
        /// What is bought.
        pub item: AssetId,
        /// How much.
        pub quantity: Quantity,
        /// How much of it came.
        pub received: Quantity,
        /// The day on which it has to be ordered.
        pub release: Day,
        /// The day on which it has to be there.
        pub due: Day,
        /// The client order id of the order of its location that buys it.
        pub order: Option<CommandId>,
    }
}

impl Purchase {
    /// What is still to come.
    #[must_use]
    pub const fn outstanding(&self) -> u64 {
        self.quantity.0.saturating_sub(self.received.0)
    }
}
