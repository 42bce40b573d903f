//! Why the ledger refuses a command. A rejection is a result, not a fault.

use super::codec::numbered;

numbered! {
    /// One reason, with its stable number on the wire and on disk.
    pub enum Rejection {
        /// The id belongs to a command of other content.
        IdReused = 1,
        /// Another command of the linked chain was refused.
        LinkedChainFailed = 2,

        /// No such asset.
        UnknownAsset = 10,
        /// The asset id or code is taken.
        AssetExists = 11,

        /// No such account.
        UnknownAccount = 20,
        /// The account id is taken.
        AccountExists = 21,
        /// The account is frozen.
        AccountFrozen = 22,
        /// The account is closed.
        AccountClosed = 23,
        /// The account cannot be closed: a balance is not zero.
        AccountNotEmpty = 24,
        /// The restricted account may not hold the asset.
        AssetNotAllowed = 25,
        /// The account collects a market's fees, so that it must stay active and allowed the asset.
        AccountInUse = 26,

        /// Debit and credit account are the same.
        SameAccount = 30,
        /// Less is available than the command needs.
        InsufficientAvailable = 31,
        /// A balance, a notional or a sum would not fit 63 bits.
        Overflow = 32,
        /// No such pending transfer.
        UnknownTransfer = 33,
        /// The pending transfer was posted, voided or expired before.
        TransferNotPending = 34,
        /// More than the pending amount.
        AmountExceedsPending = 35,
        /// The expiry lies in the past.
        AlreadyExpired = 36,

        /// No such market.
        UnknownMarket = 40,
        /// The market id or symbol is taken.
        MarketExists = 41,
        /// Base and quote are the same asset.
        SameAsset = 42,
        /// Tick × lot does not divide by 10^base-scale, so that a fill could need rounding.
        TickLotInexact = 43,
        /// A fee above the whole, or a rebate above the taker's fee.
        FeeOutOfRange = 44,
        /// The market is halted.
        MarketHalted = 45,
        /// The market is closed.
        MarketClosed = 46,

        /// The price is not a multiple of the tick.
        PriceNotOnTick = 50,
        /// The quantity is not a multiple of the lot.
        QuantityNotInLots = 51,
        /// The quantity exceeds the market's maximum.
        QuantityAboveMax = 52,
        /// Price × quantity exceeds the market's maximum.
        NotionalAboveMax = 53,
        /// A post-only order would trade on entry.
        PostOnlyWouldTrade = 54,
        /// A fill-or-kill order cannot be filled whole.
        NotFillable = 55,
        /// No such order, or it is another account's.
        UnknownOrder = 56,
        /// The order is filled, cancelled or expired.
        OrderNotOpen = 57,
        /// The account has as many open orders as one may have.
        OpenOrdersAboveMax = 58,

        /// No such plant.
        UnknownPlant = 70,
        /// Goods that are consumed, scrapped or adjusted go to an issuer, and this account is none.
        NotAnIssuer = 71,
        /// The account is an issuer, and cannot be a place of stock.
        IssuerAsLocation = 72,
        /// The account is another plant's location, or one that this plant would lose.
        LocationInUse = 73,
        /// The account is no location, or none of this plant.
        NotALocation = 74,
        /// The asset has no planning data.
        UnknownItem = 75,
        /// The currency of an item and the tracking of its lots stay as they are.
        ItemFixed = 76,
        /// Somebody has had of the asset already, of no lot.
        AssetInUse = 77,
        /// The asset's lots are not tracked.
        NotLotTracked = 78,
        /// There is less of the lot than the command needs.
        LotTooSmall = 79,

        /// No such version of the bill of materials, or none in effect.
        UnknownBom = 80,
        /// The product has a version of this number.
        BomExists = 81,
        /// The product would be a component of itself.
        BomCycle = 82,
        /// There would be more levels below a product than there may be.
        BomTooDeep = 83,
        /// More lines, by-products or operations than one order can have.
        BomTooLarge = 84,
        /// A component's cost is counted in another currency than the product's.
        CurrencyDiffers = 85,
        /// The end lies before the beginning.
        DatesReversed = 86,
        /// Another version of the bill of materials begins on that day.
        BomDateTaken = 87,
        /// Another plant has the name.
        PlantNameTaken = 88,

        /// No such work order.
        UnknownWorkOrder = 90,
        /// The work order is closed or cancelled.
        WorkOrderNotOpen = 91,
        /// The work order is held up.
        WorkOrderOnHold = 92,
        /// The work order is not in a state in which this can be done.
        WorkOrderInOtherState = 93,
        /// The work order does not require the component.
        UnknownComponent = 94,
        /// The command names a component twice.
        ComponentTwice = 95,
        /// More than the work order requires.
        OverIssue = 96,
        /// More comes back than was issued.
        ReturnAboveIssued = 97,
        /// The work order has no such operation.
        UnknownOperation = 98,
        /// More units than reached the operation, or than came through the last one.
        OperationOutOfOrder = 99,
        /// More units than the work order has left to make.
        QuantityAboveOrder = 100,
        /// The lot was not issued to the work order.
        LotNotIssued = 101,

        /// No such plan, or it is closed.
        UnknownPlan = 110,
        /// The plan has no such line.
        UnknownPlanLine = 111,
        /// The command names a line of the plan twice.
        PlanLineTwice = 112,
        /// More lines, orders or pegs than one plan or command can have.
        PlanTooLarge = 113,
        /// What plans are made from has changed since this one was calculated.
        PlanOutdated = 114,
        /// The plant does not work on the day.
        NotAWorkingDay = 115,
        /// No such planned purchase, or it has ended.
        UnknownPurchase = 116,
        /// The order buys another planned purchase.
        OrderLinked = 117,
        /// The order sells, trades another item than the planned purchase, or is of another account than its location.
        NotThePurchase = 118,
        /// Another order, which is open, buys the planned purchase.
        PurchaseLinked = 119,
    }
}

impl Rejection {
    /// The reason in the words of the wire, `UPPER_SNAKE_CASE`, and of the command line.
    #[must_use]
    pub fn code(self) -> String {
        let mut code = String::new();
        for (place, letter) in format!("{self:?}").char_indices() {
            if letter.is_ascii_uppercase() && place > 0 {
                code.push('_');
            }
            code.push(letter.to_ascii_uppercase());
        }
        code
    }
}

impl std::fmt::Display for Rejection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&self.code())
    }
}
