//! Commands of production and inventory.

use crate::codec::record;
use crate::types::{
    AccountId, Amount, AssetId, Attrition, BomVersion, Code, Day, LotRule, OverIssue, PlantId, Price, Quantity, Source,
    WorkOrderChange, WorkOrderId,
};

record! {
    /// Defines a plant, or defines it anew: which accounts are its stock, and where value goes when it
    /// is made into something else.
    pub struct DefinePlant {
        /// The plant's id.
        pub plant: PlantId,
        /// A short name, no other plant's.
        pub name: Code,
        /// What is consumed goes to this issuer, and what is yielded comes from it.
        pub production: AccountId,
        /// What is thrown away goes to this issuer.
        pub scrap: AccountId,
        /// Differences of counts and adjustments are booked against this issuer.
        pub adjustment: AccountId,
        /// The accounts that hold its stock, at most [`DefinePlant::LOCATIONS_MAX`]. Each belongs to
        /// this plant alone, and stays.
        pub locations: Vec<AccountId>,
    }
}

impl DefinePlant {
    /// Locations of one plant, so that its record has a bounded size.
    pub const LOCATIONS_MAX: usize = 32;
}

record! {
    /// Sets the days on which a plant works. Without one it works every day.
    pub struct SetCalendar {
        /// The plant.
        pub plant: PlantId,
        /// The days of the week on which it works: bit 0 is Monday. At least one.
        pub weekdays: u8,
        /// The days on which it does not work although it is such a day of the week, in order, at most
        /// [`SetCalendar::HOLIDAYS_MAX`].
        pub holidays: Vec<Day>,
        /// The working time of a day, in seconds; at least 1.
        pub seconds_per_day: u32,
    }
}

impl SetCalendar {
    /// Holidays of one calendar, so that its record has a bounded size.
    pub const HOLIDAYS_MAX: usize = 366;
    /// Every day of the week.
    pub const EVERY_DAY: u8 = 0b111_1111;
}

record! {
    /// Defines how an asset is planned, or defines it anew. Its currency, and whether its lots are
    /// tracked, stay as they were first defined.
    pub struct DefineItem {
        /// The asset.
        pub asset: AssetId,
        /// Whether it is made or bought.
        pub source: Source,
        /// Working days from the order to the receipt of what is bought. What is made takes the days of its
        /// operations.
        pub lead_days: u32,
        /// How much is ordered at once.
        pub lot_rule: LotRule,
        /// Stock that plans leave untouched.
        pub safety_stock: Quantity,
        /// At or below this the item is on the list of what to reorder; never, when zero.
        pub reorder_point: Quantity,
        /// Units of the currency for one whole unit.
        pub standard_cost: Price,
        /// What it costs is counted in this asset.
        pub currency: AssetId,
        /// Whether it is never stocked as such: where it is a component, the lines of its own bill of
        /// materials stand in its place.
        pub phantom: bool,
        /// Whether its units are followed by lot number. Only before any account has had any of it.
        pub lot_tracked: bool,
    }
}

record! {
    /// Adds a version of a product's bill of materials: what one run consumes and yields, and the
    /// operations on the way. A version never changes.
    pub struct DefineBom {
        /// What it makes, an item.
        pub product: AssetId,
        /// The new version's number.
        pub version: BomVersion,
        /// The first day on which it is in effect, until the next version is; the first version is also
        /// in effect before. No two versions of a product begin on one day.
        pub from: Day,
        /// What one run makes, at least 1.
        pub output: Quantity,
        /// What one run needs, at most [`DefineBom::LINES_MAX`].
        pub lines: Vec<BomLine>,
        /// What one run yields besides, at most [`DefineBom::BY_PRODUCTS_MAX`], each item once.
        pub by_products: Vec<ByProduct>,
        /// What is done, in order, at most [`DefineBom::OPERATIONS_MAX`].
        pub operations: Vec<Operation>,
    }
}

impl DefineBom {
    /// Lines of one version. A command's record has to stay of a size that can be stored and sent.
    pub const LINES_MAX: usize = 512;
    /// By-products of one version.
    pub const BY_PRODUCTS_MAX: usize = 16;
    /// Operations of one version.
    pub const OPERATIONS_MAX: usize = 64;
    /// Levels below a product, which bounds every walk through them.
    pub const LEVELS_MAX: u32 = 32;
}

record! {
    /// What one run needs of one component.
    #[derive(Copy)]
    pub struct BomLine {
        /// The component, an item.
        pub component: AssetId,
        /// How much one run needs, at least 1.
        pub quantity: Quantity,
        /// How much more, for what is lost on the way.
        pub attrition: Attrition,
        /// How much more, once per order, whatever its size.
        pub setup: Quantity,
        /// What is needed is rounded up to a multiple of this; not at all, when zero.
        pub multiple: Quantity,
        /// Needed only by orders that ask for optional lines.
        pub optional: bool,
    }
}

record! {
    /// What one run yields besides the product.
    #[derive(Copy)]
    pub struct ByProduct {
        /// The item.
        pub asset: AssetId,
        /// How much one run yields, at least 1.
        pub quantity: Quantity,
    }
}

record! {
    /// A step of the work.
    #[derive(Copy)]
    pub struct Operation {
        /// Where it is done.
        pub work_centre: Code,
        /// Time to prepare, once per order, in seconds.
        pub setup_seconds: u32,
        /// Time per run, in seconds.
        pub run_seconds: u32,
        /// Working days on top: waiting, drying, the way to a subcontractor.
        pub lead_days: u32,
        /// What the work centre costs per hour, in the smallest unit of the product's currency; not below
        /// zero.
        pub hourly_cost: Amount,
    }
}

record! {
    /// Takes goods in.
    pub struct ReceiveStock {
        /// Where they are put.
        pub location: AccountId,
        /// What came.
        pub asset: AssetId,
        /// How much, at least 1.
        pub quantity: Quantity,
        /// Who gives them: an issuer such as a supplier, or any account that has them.
        pub from: AccountId,
        /// Their lot number. Without one, tracked goods of an issuer get one.
        pub lot: Option<Code>,
    }
}

record! {
    /// Gives goods out.
    pub struct IssueStock {
        /// Where they are taken.
        pub location: AccountId,
        /// What goes.
        pub asset: AssetId,
        /// How much, at least 1.
        pub quantity: Quantity,
        /// Who receives them.
        pub to: AccountId,
        /// Of this lot; of the oldest ones without.
        pub lot: Option<Code>,
    }
}

record! {
    /// Books a known difference.
    pub struct AdjustStock {
        /// Where.
        pub location: AccountId,
        /// Of what.
        pub asset: AssetId,
        /// How much more there is, or less; not zero.
        pub difference: Amount,
        /// Of this lot.
        pub lot: Option<Code>,
        /// Why.
        pub reason: Code,
    }
}

record! {
    /// Says how much was counted; the difference is booked.
    pub struct CountStock {
        /// Where.
        pub location: AccountId,
        /// What was counted.
        pub asset: AssetId,
        /// How much there is, of the lot if one is named.
        pub counted: Quantity,
        /// Of this lot alone.
        pub lot: Option<Code>,
        /// Why it was counted.
        pub reason: Code,
    }
}

record! {
    /// Throws goods away.
    pub struct ScrapStock {
        /// Where they are taken.
        pub location: AccountId,
        /// What goes.
        pub asset: AssetId,
        /// How much, at least 1.
        pub quantity: Quantity,
        /// Of this lot; of the oldest ones without.
        pub lot: Option<Code>,
        /// Why.
        pub reason: Code,
    }
}

record! {
    /// Moves goods between two locations, of one plant or of two.
    pub struct MoveStock {
        /// Where they are taken.
        pub from: AccountId,
        /// Where they are put.
        pub to: AccountId,
        /// What is moved.
        pub asset: AssetId,
        /// How much, at least 1.
        pub quantity: Quantity,
        /// Of this lot; of the oldest ones without.
        pub lot: Option<Code>,
    }
}

record! {
    /// Adds a work order. It holds nothing until it is released.
    pub struct CreateWorkOrder {
        /// Where it is made.
        pub plant: PlantId,
        /// What is made, an item that has a bill of materials.
        pub product: AssetId,
        /// How much, at least 1 and at most [`CreateWorkOrder::QUANTITY_MAX`].
        pub quantity: Quantity,
        /// By which version; by the one in effect on the due day without. It keeps this one.
        pub version: Option<BomVersion>,
        /// Materials are taken from this location of the plant.
        pub location: AccountId,
        /// Products are put into this location of the plant.
        pub output: AccountId,
        /// The first day of work.
        pub start: Day,
        /// The day on which it is to be ready, not before the first.
        pub due: Day,
        /// Whether completing products consumes the materials they took.
        pub backflush: bool,
        /// Whether the optional lines are needed.
        pub optional: bool,
        /// What happens when more is issued than it requires.
        pub over_issue: OverIssue,
    }
}

impl CreateWorkOrder {
    /// The most that one work order, planned purchase or line of demand is for, and the most that an order takes
    /// of one component or yields of one by-product, in the smallest unit. A tenth of what a balance holds and
    /// less: what one of them asks for never lets the sums of a plant's planning leave 63 bits by itself, and
    /// dozens of them do not.
    pub const QUANTITY_MAX: Quantity = Quantity(100_000_000_000_000_000);
}

record! {
    /// Reserves a work order's materials; of an order released before, what is still missing.
    pub struct ReleaseWorkOrder {
        /// The order.
        pub work_order: WorkOrderId,
        /// Reserves what there is, instead of all or nothing.
        pub partial: bool,
    }
}

record! {
    /// Starts, holds, resumes or ends a work order.
    pub struct SetWorkOrder {
        /// The order.
        pub work_order: WorkOrderId,
        /// What is to become of it.
        pub change: WorkOrderChange,
    }
}

record! {
    /// A quantity of a component that goes into a work order.
    #[derive(Copy)]
    pub struct Material {
        /// The component, one that the order requires.
        pub component: AssetId,
        /// How much, at least 1.
        pub quantity: Quantity,
        /// Of this lot; of the oldest ones without.
        pub lot: Option<Code>,
    }
}

record! {
    /// Issues materials to a work order: from stock into production.
    pub struct IssueMaterials {
        /// The order.
        pub work_order: WorkOrderId,
        /// What is issued, each component once; all that is still required, when empty.
        pub materials: Vec<Material>,
    }
}

record! {
    /// Brings issued material back into stock. It is not reserved again.
    pub struct ReturnMaterials {
        /// The order.
        pub work_order: WorkOrderId,
        /// What comes back, at most what was issued; of a lot that is named, at most what was issued of it.
        /// Without one, tracked goods are of the lots that were issued last.
        pub material: Material,
    }
}

record! {
    /// Reports work on an operation.
    pub struct ReportOperation {
        /// The order.
        pub work_order: WorkOrderId,
        /// The operation's place in the bill of materials, from 0.
        pub operation: u32,
        /// Units that went through, on to the next operation.
        pub good: Quantity,
        /// Units that were spoilt there; the order makes them no more, and their by-products come now.
        pub scrap: Quantity,
    }
}

record! {
    /// Completes products of a work order: from production into stock.
    pub struct CompleteWorkOrder {
        /// The order.
        pub work_order: WorkOrderId,
        /// Good units, which are put into stock.
        pub good: Quantity,
        /// Finished units that are thrown away.
        pub scrap: Quantity,
        /// Units that never came to be.
        pub loss: Quantity,
        /// The good units' lot number. Without one, tracked goods get one.
        pub lot: Option<Code>,
    }
}
