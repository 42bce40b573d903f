//! A small shop for the core's unit tests of production, beside the exchange: a plant with two locations
//! that makes carts.

use crate::command::{
    Body, BomLine, CreateAccount, CreateAsset, CreateMarket, CreateWorkOrder, DefineBom, DefineItem, DefinePlant,
    Operation, ReceiveStock, ReleaseWorkOrder,
};
use crate::event::EventBody;
use crate::fixture::{ANN, Exchange, FEES, ISSUER, USD, transfer};
use crate::types::{
    AccountId, Amount, AssetId, AssetKind, Attrition, BomVersion, Code, Day, FeeRate, LotRule, MarketId, OverIssue,
    Phase, PlantId, Price, Quantity, Source, WorkOrderId,
};

/// The one plant.
pub const PLANT: PlantId = PlantId(1);
/// Its location of materials.
pub const SHELF: AccountId = AccountId(20);
/// Its other location.
pub const YARD: AccountId = AccountId(21);
/// The issuer that its value goes through.
pub const WORKS: AccountId = AccountId(22);
/// The issuer that goods come from.
pub const SUPPLIER: AccountId = AccountId(23);
/// Made of four wheels, two axles, and glue.
pub const CART: AssetId = AssetId(10);
/// Bought, for 2.
pub const WHEEL: AssetId = AssetId(11);
/// Bought, for 3.
pub const AXLE: AssetId = AssetId(12);
/// Bought, for 1; its lots are tracked.
pub const GLUE: AssetId = AssetId(13);
/// What else can be made.
pub const BOX: AssetId = AssetId(14);
/// What falls off.
pub const DUST: AssetId = AssetId(15);
/// A work centre.
pub const BENCH: &str = "BENCH";

const MARKET: MarketId = MarketId(7);

/// The shop with its exchange.
#[derive(Debug)]
pub struct Shop(Exchange);

impl std::ops::Deref for Shop {
    type Target = Exchange;

    fn deref(&self) -> &Exchange {
        &self.0
    }
}

impl std::ops::DerefMut for Shop {
    fn deref_mut(&mut self) -> &mut Exchange {
        &mut self.0
    }
}

impl Shop {
    /// The shop, with nothing on its shelves.
    pub fn new() -> Self {
        let mut shop = Self(Exchange::new());
        for (account, issuer) in [(SHELF, false), (YARD, false), (WORKS, true), (SUPPLIER, true)] {
            shop.accept(Body::CreateAccount(CreateAccount { account, issuer, restricted: false, user_data: 0 }));
        }
        for asset in [CART, WHEEL, AXLE, GLUE, BOX, DUST] {
            let code = Code::new(&format!("ITEM-{asset}")).expect("a code");
            shop.accept(Body::CreateAsset(CreateAsset { asset, code, scale: 0, kind: AssetKind::Material }));
            shop.accept(Body::DefineItem(item(asset)));
        }
        let (name, locations) = (code("WEST"), vec![SHELF, YARD]);
        let (plant, production, scrap, adjustment) = (PLANT, WORKS, WORKS, WORKS);
        shop.accept(Body::DefinePlant(DefinePlant { plant, name, production, scrap, adjustment, locations }));
        let glue = BomLine { attrition: Attrition(100_000), ..line(GLUE, 1) };
        shop.accept(Body::DefineBom(bom(CART, vec![line(WHEEL, 4), line(AXLE, 2), glue])));
        shop
    }

    /// The shop with 20 wheels, 12 axles and 9 of glue, in one lot.
    pub fn stocked() -> Self {
        let mut shop = Self::new();
        for (asset, quantity) in [(WHEEL, 20), (AXLE, 12), (GLUE, 9)] {
            let (location, quantity, from) = (SHELF, Quantity(quantity), SUPPLIER);
            shop.accept(Body::ReceiveStock(ReceiveStock { location, asset, quantity, from, lot: None }));
        }
        shop
    }

    /// Adds a work order; answers its id.
    pub fn create(&mut self, new: CreateWorkOrder) -> WorkOrderId {
        let record = self.send(Body::CreateWorkOrder(new));
        assert!(matches!(record.events[0].body, EventBody::WorkOrderCreated(_)), "{record:?}");
        WorkOrderId(record.sequence.0)
    }

    /// Adds a work order and releases it.
    pub fn release(&mut self, new: CreateWorkOrder) -> WorkOrderId {
        let work_order = self.create(new);
        self.accept(Body::ReleaseWorkOrder(ReleaseWorkOrder { work_order, partial: false }));
        work_order
    }

    /// Opens a market for an asset, for USD in steps of one.
    pub fn open_market(&mut self, base: AssetId) -> MarketId {
        self.accept(Body::CreateMarket(CreateMarket {
            market: MARKET,
            symbol: code("ITEM/USD"),
            base,
            quote: USD,
            tick: Price(1),
            lot: Quantity(1),
            maker_fee: FeeRate(0),
            taker_fee: FeeRate(0),
            fee_account: FEES,
            quantity_max: Quantity(u64::MAX),
            notional_max: Amount(i64::MAX),
            phase: Phase::Continuous,
        }));
        self.accept(Body::Transfer(transfer(ISSUER, ANN, USD, 1)));
        MARKET
    }
}

/// A code that is one.
pub fn code(text: &str) -> Code {
    Code::new(text).expect("a code")
}

/// An item as the shop has it.
pub fn item(asset: AssetId) -> DefineItem {
    let standard_cost = match asset {
        WHEEL => 2,
        AXLE => 3,
        GLUE => 1,
        _ => 0,
    };
    DefineItem {
        asset,
        source: if asset == CART || asset == BOX { Source::Make } else { Source::Buy },
        lead_days: 2,
        lot_rule: LotRule::LotForLot,
        safety_stock: Quantity(0),
        reorder_point: Quantity(0),
        standard_cost: Price(standard_cost),
        currency: USD,
        phantom: false,
        lot_tracked: asset == GLUE,
    }
}

/// A line that needs so much per run.
pub fn line(component: AssetId, quantity: u64) -> BomLine {
    let (setup, multiple, attrition) = (Quantity(0), Quantity(0), Attrition(0));
    BomLine { component, quantity: Quantity(quantity), attrition, setup, multiple, optional: false }
}

/// The first version of a bill of materials that makes one, in effect from day 1.
pub fn bom(product: AssetId, lines: Vec<BomLine>) -> DefineBom {
    let (version, from, output) = (BomVersion(1), Day(1), Quantity(1));
    let (by_products, operations) = (Vec::new(), Vec::new());
    DefineBom { product, version, from, output, lines, by_products, operations }
}

/// An operation at a work centre.
pub fn operation(work_centre: &str) -> Operation {
    let (setup_seconds, run_seconds, lead_days, hourly_cost) = (60, 10, 1, Amount(0));
    Operation { work_centre: code(work_centre), setup_seconds, run_seconds, lead_days, hourly_cost }
}

/// An order for so many carts, on days 1 to 3.
pub fn cart(quantity: u64) -> CreateWorkOrder {
    CreateWorkOrder {
        plant: PLANT,
        product: CART,
        quantity: Quantity(quantity),
        version: None,
        location: SHELF,
        output: SHELF,
        start: Day(1),
        due: Day(3),
        backflush: false,
        optional: false,
        over_issue: OverIssue::Refuse,
    }
}
