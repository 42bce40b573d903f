//! Matching against two independent order books of other people, the crates `lobster` and
//! `orderbook-rs`: 100,000 random commands of three seeds give the same trades, at the same price and
//! quantity, with the same maker, command by command; and the same book in the end.
//!
//! One account buys and another sells, so that nobody meets his own orders: what these books do then
//! is not what ours does. Both accounts are issuers, so that nothing is refused for want of money.

mod support;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use counterfoil_core::command::{
    Body, CancelOrder, Command, CreateAccount, CreateAsset, CreateMarket, NewOrder, OrderRef, Pricing, Proposal,
    ReplaceOrder,
};
use counterfoil_core::event::{Effects, EventBody};
use counterfoil_core::ledger::Ledger;
use counterfoil_core::types::{
    AccountId, Amount, AssetId, AssetKind, Code, CommandId, FeeRate, LogIndex, MarketId, OrderId, Phase, Price,
    Quantity, SelfTradePrevention, Side, Stamp, Term, TimeInForce, Timestamp,
};

use support::bench::MemoryHistory;
use support::rng::Rng;

const COMMANDS: u64 = 100_000;
const SEEDS: [u64; 3] = [1, 2, 3];
/// Prices: few enough to collide, the worst a market order accepts lies beyond all of them.
const PRICES: std::ops::RangeInclusive<u64> = 90..=110;
const WORST_BUY: u64 = 1_000;
const WORST_SELL: u64 = 1;

/// A trade as every book sees it: the maker is named by the id its order had in the other book.
type Fill = (u64, u64, u64);

/// What comes in.
#[derive(Debug, Clone, Copy)]
enum Entry {
    Limit(u64),
    PostOnly(u64),
    ImmediateOrCancel(u64),
    FillOrKill(u64),
    Market,
}

/// A book to compare with.
trait Oracle {
    /// Whether it knows this kind of order.
    fn knows(entry: Entry) -> bool;
    /// Enters an order; the trades it made.
    fn enter(&mut self, id: u64, side: Side, quantity: u64, entry: Entry) -> Vec<Fill>;
    /// Takes an open order out.
    fn cancel(&mut self, id: u64);
    /// Price and quantity of each level: bids from the best, then asks from the best.
    fn levels(&self) -> Vec<(u64, u64)>;
}

/// The core, with its orders under the names that the oracle gives them.
struct Core {
    ledger: Ledger,
    history: MemoryHistory,
    effects: Effects,
    index: u64,
    open: BTreeMap<OrderId, Open>,
}

#[derive(Debug, Clone, Copy)]
struct Open {
    name: u64,
    side: Side,
    price: u64,
    filled: u64,
    open: u64,
    post_only: bool,
}

const BUYER: AccountId = AccountId(1);
const SELLER: AccountId = AccountId(2);
const MARKET: MarketId = MarketId(1);

fn account_of(side: Side) -> AccountId {
    if side == Side::Buy { BUYER } else { SELLER }
}

impl Core {
    fn new() -> Self {
        let (ledger, history, effects) = (Ledger::new(), MemoryHistory::default(), Effects::default());
        let mut core = Self { ledger, history, effects, index: 0, open: BTreeMap::new() };
        for (asset, code) in [(AssetId(1), "USD"), (AssetId(2), "AAPL")] {
            let code = Code::new(code).expect("a code");
            core.apply(Body::CreateAsset(CreateAsset { asset, code, scale: 0, kind: AssetKind::Currency }));
        }
        for account in [BUYER, SELLER] {
            core.apply(Body::CreateAccount(CreateAccount { account, issuer: true, restricted: false, user_data: 0 }));
        }
        core.apply(Body::CreateMarket(CreateMarket {
            market: MARKET,
            symbol: Code::new("AAPL/USD").expect("a code"),
            base: AssetId(2),
            quote: AssetId(1),
            tick: Price(1),
            lot: Quantity(1),
            maker_fee: FeeRate(0),
            taker_fee: FeeRate(0),
            fee_account: BUYER,
            quantity_max: Quantity(1_000_000),
            notional_max: Amount(1_000_000_000),
            phase: Phase::Continuous,
        }));
        core
    }

    /// Carries a command out and keeps track of the open orders; the trades it made. An order that
    /// it accepts or replaces is called `name` from now on.
    fn apply(&mut self, body: Body) -> Vec<Fill> {
        self.apply_named(body, 0)
    }

    fn apply_named(&mut self, body: Body, name: u64) -> Vec<Fill> {
        self.index += 1;
        let time = Timestamp(self.index);
        let command = Command { id: CommandId(self.index.into()), linked: false, body };
        let stamp = Stamp { term: Term(1), index: LogIndex(self.index), time };
        self.effects.clear();
        let proposal = Proposal::new(time, vec![command]);
        self.ledger.apply(stamp, &proposal, &mut self.history, &mut self.effects);
        let mut fills = Vec::new();
        for (sequence, body, _) in self.effects.record(0).events() {
            match body {
                EventBody::OrderAccepted(accepted) => {
                    let (Pricing::Limit(Price(price)) | Pricing::MarketToPrice(Price(price))) = accepted.order.pricing
                    else {
                        unreachable!("no order here has a budget")
                    };
                    let NewOrder { side, quantity: Quantity(open), post_only, .. } = accepted.order;
                    let entry = Open { name, side, price, filled: 0, open, post_only };
                    self.open.insert(OrderId(sequence.0), entry);
                }
                EventBody::OrderReplaced(replaced) => {
                    let order = self.open.get_mut(&replaced.order).expect("open");
                    (order.name, order.price, order.open) = (name, replaced.price.0, replaced.open.0);
                }
                EventBody::Trade(trade) => {
                    fills.push((trade.price.0, trade.quantity.0, self.open[&trade.maker].name));
                    for id in [trade.maker, trade.taker] {
                        let order = self.open.get_mut(&id).expect("open");
                        (order.filled, order.open) = (order.filled + trade.quantity.0, order.open - trade.quantity.0);
                        if order.open == 0 {
                            self.open.remove(&id);
                        }
                    }
                }
                EventBody::OrderCancelled(cancelled) => drop(self.open.remove(&cancelled.order)),
                _ => {}
            }
        }
        fills
    }

    fn levels(&self) -> Vec<(u64, u64)> {
        let side = |side| {
            let mut levels: BTreeMap<u64, u64> = BTreeMap::new();
            for order in self.open.values().filter(|order| order.side == side) {
                *levels.entry(order.price).or_default() += order.open;
            }
            levels
        };
        side(Side::Buy).into_iter().rev().chain(side(Side::Sell)).collect()
    }
}

fn order(side: Side, quantity: u64, entry: Entry) -> Body {
    let worst = if side == Side::Buy { WORST_BUY } else { WORST_SELL };
    let (pricing, time_in_force) = match entry {
        Entry::Limit(price) | Entry::PostOnly(price) => (Pricing::Limit(Price(price)), TimeInForce::GoodTillCancel),
        Entry::ImmediateOrCancel(price) => (Pricing::Limit(Price(price)), TimeInForce::ImmediateOrCancel),
        Entry::FillOrKill(price) => (Pricing::Limit(Price(price)), TimeInForce::FillOrKill),
        Entry::Market => (Pricing::MarketToPrice(Price(worst)), TimeInForce::ImmediateOrCancel),
    };
    Body::NewOrder(NewOrder {
        account: account_of(side),
        market: MARKET,
        side,
        quantity: Quantity(quantity),
        pricing,
        time_in_force,
        expires_at: None,
        post_only: matches!(entry, Entry::PostOnly(_)),
        self_trade_prevention: SelfTradePrevention::CancelNewest,
    })
}

/// Runs the same commands through both; returns how many trades there were.
fn compare<O: Oracle>(mut oracle: O, seed: u64) -> u64 {
    let rng = &mut Rng::new(seed);
    let mut core = Core::new();
    let mut trades = 0;
    for name in 1..=COMMANDS {
        let open: Option<(OrderId, Open)> = {
            let from = OrderId(rng.below(core.ledger.sequence().0));
            core.open.range(from..).next().map(|(id, order)| (*id, *order))
        };
        let side = *rng.pick(&[Side::Buy, Side::Sell]);
        let (quantity, price) = (rng.between(1, 20), rng.between(*PRICES.start(), *PRICES.end()));
        let (fills, wanted) = match (rng.below(100), open) {
            (0..25, Some((id, order))) => {
                let cancel = CancelOrder { account: account_of(order.side), order: OrderRef::OrderId(id) };
                oracle.cancel(order.name);
                (core.apply(Body::CancelOrder(cancel)), Vec::new())
            }
            // A replace to another price is a cancel and a new order to those who do not know it; that of
            // a post-only order can be refused, and then is nothing.
            (25..35, Some((id, order))) if price != order.price && !order.post_only => {
                let replace = ReplaceOrder {
                    account: account_of(order.side),
                    order: OrderRef::OrderId(id),
                    quantity: Quantity(order.filled + quantity),
                    price: Some(Price(price)),
                };
                oracle.cancel(order.name);
                let wanted = oracle.enter(name, order.side, quantity, Entry::Limit(price));
                (core.apply_named(Body::ReplaceOrder(replace), name), wanted)
            }
            (kind, _) => {
                let entry = match kind {
                    75..80 => Entry::PostOnly(price),
                    80..87 => Entry::ImmediateOrCancel(price),
                    87..94 => Entry::FillOrKill(price),
                    94..100 => Entry::Market,
                    _ => Entry::Limit(price),
                };
                let entry = if O::knows(entry) { entry } else { Entry::Limit(price) };
                let wanted = oracle.enter(name, side, quantity, entry);
                (core.apply_named(order(side, quantity, entry), name), wanted)
            }
        };
        assert_eq!(fills, wanted, "seed {seed}, command {name}");
        trades += fills.len() as u64;
    }
    assert_eq!(core.levels(), oracle.levels(), "seed {seed}: the books in the end");
    trades
}

impl Oracle for lobster::OrderBook {
    fn knows(entry: Entry) -> bool {
        matches!(entry, Entry::Limit(_) | Entry::Market)
    }

    fn enter(&mut self, id: u64, side: Side, qty: u64, entry: Entry) -> Vec<Fill> {
        let (id, side) = (id.into(), if side == Side::Buy { lobster::Side::Bid } else { lobster::Side::Ask });
        let event = self.execute(match entry {
            Entry::Market => lobster::OrderType::Market { id, side, qty },
            Entry::Limit(price) => lobster::OrderType::Limit { id, side, qty, price },
            other => unreachable!("{other:?} is not known"),
        });
        match event {
            lobster::OrderEvent::Filled { fills, .. } | lobster::OrderEvent::PartiallyFilled { fills, .. } => {
                fills.iter().map(|fill| (fill.price, fill.qty, fill.order_2 as u64)).collect()
            }
            _ => Vec::new(),
        }
    }

    fn cancel(&mut self, id: u64) {
        self.execute(lobster::OrderType::Cancel { id: id.into() });
    }

    fn levels(&self) -> Vec<(u64, u64)> {
        let depth = self.depth(PRICES.count());
        let bids = depth.bids.iter().rev();
        bids.chain(&depth.asks).map(|level| (level.price, level.qty)).collect()
    }
}

/// The crate `orderbook-rs`, which tells its trades to a listener.
struct OrderBookRs {
    book: orderbook_rs::OrderBook<()>,
    fills: Arc<Mutex<Vec<Fill>>>,
}

impl OrderBookRs {
    fn new() -> Self {
        let fills = Arc::new(Mutex::new(Vec::new()));
        let mut book = orderbook_rs::OrderBook::new("AAPL/USD");
        let heard = Arc::clone(&fills);
        book.set_trade_listener(Arc::new(move |result: &orderbook_rs::TradeResult| {
            let trades = result.match_result.trades().as_vec();
            heard.lock().expect("one thread").extend(trades.iter().map(|trade| {
                let maker = trade.maker_order_id().as_u64().expect("our ids are numbers");
                (trade.price().as_u128() as u64, trade.quantity().as_u64(), maker)
            }));
        }));
        Self { book, fills }
    }
}

impl Oracle for OrderBookRs {
    fn knows(_: Entry) -> bool {
        true
    }

    fn enter(&mut self, id: u64, side: Side, quantity: u64, entry: Entry) -> Vec<Fill> {
        use orderbook_rs::TimeInForce::{Fok, Gtc, Ioc};
        let id = orderbook_rs::Id::sequential(id);
        let side = if side == Side::Buy { orderbook_rs::Side::Buy } else { orderbook_rs::Side::Sell };
        // An error is how it says that a rest was cancelled, or an order killed; the trades tell.
        let _ = match entry {
            Entry::Limit(price) => self.book.add_limit_order(id, price.into(), quantity, side, Gtc, None).is_ok(),
            Entry::ImmediateOrCancel(price) => {
                self.book.add_limit_order(id, price.into(), quantity, side, Ioc, None).is_ok()
            }
            Entry::FillOrKill(price) => self.book.add_limit_order(id, price.into(), quantity, side, Fok, None).is_ok(),
            Entry::PostOnly(price) => {
                self.book.add_post_only_order(id, price.into(), quantity, side, Gtc, None).is_ok()
            }
            Entry::Market => self.book.submit_market_order(id, quantity, side).is_ok(),
        };
        std::mem::take(&mut self.fills.lock().expect("one thread"))
    }

    fn cancel(&mut self, id: u64) {
        let cancelled = self.book.cancel_order(orderbook_rs::Id::sequential(id));
        assert!(matches!(cancelled, Ok(Some(_))), "order {id} is open there too");
    }

    fn levels(&self) -> Vec<(u64, u64)> {
        let side = |side| -> Vec<(u64, u64)> {
            let levels =
                PRICES.filter_map(|price| Some((price, self.book.visible_quantity_at_price(price.into(), side)?)));
            levels.filter(|(_, quantity)| *quantity > 0).collect()
        };
        side(orderbook_rs::Side::Buy).into_iter().rev().chain(side(orderbook_rs::Side::Sell)).collect()
    }
}

#[test]
fn trades_are_those_of_lobster() {
    for seed in SEEDS {
        let trades = compare(lobster::OrderBook::default(), seed);
        assert!(trades > COMMANDS / 10, "{trades} trades are too few to prove anything");
    }
}

#[test]
fn trades_are_those_of_orderbook_rs() {
    for seed in SEEDS {
        let trades = compare(OrderBookRs::new(), seed);
        assert!(trades > COMMANDS / 10, "{trades} trades are too few to prove anything");
    }
}
