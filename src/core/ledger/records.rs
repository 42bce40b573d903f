//! The records of the state's tables, as they are in memory and on disk.

use crate::codec::record;
use crate::command::{Pricing, Ticket};
use crate::types::{
    AccountId, AccountState, Amount, AssetId, AssetKind, Code, CommandId, FeeRate, MarketId, OrderId, Phase, Price,
    Quantity, SelfTradePrevention, Sequence, Side, Term, TimeInForce, Timestamp,
};

record! {
    /// The singletons of the state.
    pub struct Header {
        /// The last event's number; zero before the first.
        pub sequence: Sequence,
        /// The latest stamp's time.
        pub time: Timestamp,
        /// Which rules apply. There is one set of rules so far.
        pub feature_level: u32,
        /// The last ticket that counted, and the term it counted in.
        pub ticket: Option<TicketInTerm>,
        /// The last event that changed what every plan is calculated from, see
        /// [`FirmPlan`](crate::command::FirmPlan).
        pub planning_changed: Sequence,
    }
}

record! {
    /// A ticket with its leader's term.
    #[derive(Copy)]
    pub struct TicketInTerm {
        /// The term.
        pub term: Term,
        /// The ticket.
        pub ticket: Ticket,
    }
}

record! {
    /// An asset.
    #[derive(Copy)]
    pub struct Asset {
        /// Its id.
        pub id: AssetId,
        /// Its unique code.
        pub code: Code,
        /// Decimal places of a whole unit.
        pub scale: u8,
        /// What it is.
        pub kind: AssetKind,
    }
}

record! {
    /// An account.
    #[derive(Copy)]
    pub struct Account {
        /// Its id.
        pub id: AccountId,
        /// Whether it may be used.
        pub state: AccountState,
        /// May go below zero in every asset.
        pub issuer: bool,
        /// May hold only allowed assets.
        pub restricted: bool,
        /// The client's own number.
        pub user_data: u128,
    }
}

record! {
    /// What one account has of one asset.
    #[derive(Copy)]
    pub struct Balance {
        /// The account.
        pub account: AccountId,
        /// The asset.
        pub asset: AssetId,
        /// Settled.
        pub posted: Amount,
        /// Held by open orders and pending transfers; never negative.
        pub reserved: Amount,
        /// How far `posted - reserved` may go below zero.
        pub credit_limit: Amount,
        /// Whether a restricted account may hold the asset.
        pub allowed: bool,
    }
}

impl Balance {
    /// `posted - reserved`: what can be spent, before any credit.
    #[must_use]
    pub fn available(&self) -> Amount {
        Amount(self.posted.0.saturating_sub(self.reserved.0))
    }
}

record! {
    /// A market.
    #[derive(Copy)]
    pub struct Market {
        /// Its id.
        pub id: MarketId,
        /// Its unique symbol.
        pub symbol: Code,
        /// What is traded.
        pub base: AssetId,
        /// What it is traded for.
        pub quote: AssetId,
        /// Prices are multiples of this.
        pub tick: Price,
        /// Quantities are multiples of this.
        pub lot: Quantity,
        /// What the resting side pays.
        pub maker_fee: FeeRate,
        /// What the incoming side pays.
        pub taker_fee: FeeRate,
        /// Where fees go.
        pub fee_account: AccountId,
        /// The largest quantity of one order.
        pub quantity_max: Quantity,
        /// The largest price × quantity of one order.
        pub notional_max: Amount,
        /// The trading phase.
        pub phase: Phase,
        /// The price of the last trade.
        pub last_price: Option<Price>,
    }
}

record! {
    /// An open order.
    #[derive(Copy)]
    pub struct Order {
        /// Its id: the sequence of its acceptance.
        pub id: OrderId,
        /// The client order id.
        pub client_order_id: CommandId,
        /// Its owner.
        pub account: AccountId,
        /// Its market.
        pub market: MarketId,
        /// Its side.
        pub side: Side,
        /// What bounds its price. An order in the book has a limit.
        pub pricing: Pricing,
        /// How long it stays.
        pub time_in_force: TimeInForce,
        /// When it ends.
        pub expires_at: Option<Timestamp>,
        /// Entered as post-only.
        pub post_only: bool,
        /// What happens before it trades with its own account.
        pub self_trade_prevention: SelfTradePrevention,
        /// Total quantity.
        pub quantity: Quantity,
        /// Filled so far; `quantity - filled` less reductions is open.
        pub filled: Quantity,
        /// Open now.
        pub open: Quantity,
        /// Price × quantity of its fills, in quote units.
        pub filled_notional: Amount,
        /// Fees of its fills before rounding, in 10⁻⁶ quote units.
        pub fee_accrued: i128,
        /// Fees paid, in quote units; negative is a rebate.
        pub fee_paid: Amount,
        /// What it holds now: quote units of a buy, base units of a sell.
        pub reserved: Amount,
        /// Its place in the queue of its price: the sequence that gave it the place.
        pub priority: Sequence,
    }
}

record! {
    /// A pending transfer.
    #[derive(Copy)]
    pub struct Pending {
        /// The transfer's id.
        pub id: CommandId,
        /// Gives.
        pub debit: AccountId,
        /// Receives.
        pub credit: AccountId,
        /// What is moved.
        pub asset: AssetId,
        /// How much is reserved.
        pub amount: Amount,
        /// When it ends by itself.
        pub expires_at: Option<Timestamp>,
        /// The client's own number.
        pub user_data: u128,
        /// The client's own reason.
        pub code: u32,
        /// The sequence of the event that reserved it.
        pub sequence: Sequence,
    }
}
