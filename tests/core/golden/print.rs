//! Records, books and balances as a transcript shows them.

use std::collections::BTreeMap;
use std::fmt::Write;

use counterfoil_core::Table;
use counterfoil_core::command::{Pricing, TransferMode};
use counterfoil_core::decimal::format as decimal;
use counterfoil_core::event::{EventBody, Posting, Record};
use counterfoil_core::ledger::records;
use counterfoil_core::types::{AccountId, CommandId, MarketId, OrderId, Quantity, Side};

use crate::names::Names;
use crate::print_production as production;
use crate::support::bench::Bench;

/// Every order so far: whose, its client order id, where.
pub type Orders = BTreeMap<OrderId, (AccountId, CommandId, MarketId)>;

/// Writes one record, an event a line, its postings indented below.
pub fn record(record: &Record, names: &Names, orders: &mut Orders, out: &mut String) {
    for (sequence, body, postings) in record.view().events() {
        if let EventBody::OrderAccepted(accepted) = body {
            orders.insert(OrderId(sequence.0), (accepted.order.account, accepted.id, accepted.order.market));
        }
        let _ = writeln!(out, "  #{sequence} {}", Printer { names, orders }.event(sequence.0, body));
        for posting in postings {
            let _ = writeln!(out, "       {}", self::posting(posting, names));
        }
    }
}

fn posting(posting: &Posting, names: &Names) -> String {
    let (code, scale) = names.asset_code(posting.asset);
    let number = |amount: i64| decimal(i128::from(amount), scale);
    let signed = |amount: i64| if amount > 0 { format!("+{}", number(amount)) } else { number(amount) };
    let mut line = format!("{} {code}", names.account_name(posting.account));
    if posting.amount.0 != 0 {
        let _ = write!(line, " {} → {}", signed(posting.amount.0), number(posting.posted.0));
    }
    if posting.hold.0 != 0 {
        let _ = write!(line, " held {} → {}", signed(posting.hold.0), number(posting.reserved.0));
    }
    line
}

struct Printer<'a> {
    names: &'a Names,
    orders: &'a Orders,
}

impl Printer<'_> {
    /// `bob s1`, or `bob #12` when the order has no label.
    fn order(&self, id: OrderId) -> String {
        let (account, command, _) = self.orders[&id];
        let label = self.names.command_label(command).unwrap_or(format!("#{id}"));
        format!("{} {label}", self.names.account_name(account))
    }

    fn transfer(&self, id: CommandId) -> String {
        self.names.command_label(id).unwrap_or_else(|| "transfer".to_owned())
    }

    fn quantity(&self, order: OrderId, quantity: Quantity) -> String {
        let (_, market) = self.names.market_symbol(self.orders[&order].2);
        decimal(i128::from(quantity.0), market.base.scale)
    }

    fn event(&self, sequence: u64, body: &EventBody) -> String {
        let name = |account| self.names.account_name(account);
        match body {
            EventBody::Rejected(reason) => format!("rejected {reason}"),
            EventBody::AssetCreated(asset) => format!("asset {}", asset.code),
            EventBody::AccountCreated(account) => format!("account {}", name(account.account)),
            EventBody::AccountStateSet(set) => format!("{} is {}", name(set.account), word(&set.state)),
            EventBody::AccountAssetSet(set) => {
                let (code, scale) = self.names.asset_code(set.asset);
                let may = if set.allowed { "may" } else { "may not" };
                let credit = decimal(i128::from(set.credit_limit.0), scale);
                format!("{} {may} hold {code}, credit {credit}", name(set.account))
            }
            EventBody::MarketCreated(market) => format!("market {}", market.symbol),
            EventBody::MarketPhaseSet(set) => {
                format!("{} is {}", self.names.market_symbol(set.market).0, word(&set.phase))
            }
            EventBody::Transferred(done) => match done.transfer.mode {
                TransferMode::Immediate => format!("{} settled", self.transfer(done.id)),
                TransferMode::Pending { .. } => format!("{} pending", self.transfer(done.id)),
            },
            EventBody::PendingPosted(posted) => format!("{} posted", self.transfer(posted.transfer)),
            EventBody::PendingVoided(ended) => format!("{} voided", self.transfer(ended.transfer)),
            EventBody::PendingExpired(ended) => format!("{} expired", self.transfer(ended.transfer)),
            EventBody::OrderAccepted(_) => format!("accepted {}", self.order(OrderId(sequence))),
            EventBody::MassCancelled(mass) => format!("mass-cancelled {}, orders: {}", name(mass.account), mass.count),
            _ => self.book_event(body),
        }
    }

    fn book_event(&self, body: &EventBody) -> String {
        match body {
            EventBody::Trade(trade) => {
                let (symbol, market) = self.names.market_symbol(trade.market);
                let quote = |number: i128| decimal(number, market.quote.scale);
                let end = |order, open, fee: i64| {
                    format!("{}, open {}, fee {}", self.order(order), self.quantity(order, open), quote(fee.into()))
                };
                format!(
                    "trade {} {symbol} @ {} | maker {} | taker {}",
                    self.quantity(trade.maker, trade.quantity),
                    quote(trade.price.0.into()),
                    end(trade.maker, trade.maker_open, trade.maker_fee.0),
                    end(trade.taker, trade.taker_open, trade.taker_fee.0),
                )
            }
            EventBody::OrderReplaced(replaced) => {
                let scale = self.names.market_symbol(replaced.market).1.quote.scale;
                format!(
                    "replaced {} to {} @ {}, open {}, priority {}",
                    self.order(replaced.order),
                    self.quantity(replaced.order, replaced.quantity),
                    decimal(replaced.price.0.into(), scale),
                    self.quantity(replaced.order, replaced.open),
                    if replaced.priority_kept { "kept" } else { "lost" },
                )
            }
            EventBody::OrderReduced(reduced) => format!(
                "reduced {} by {}, open {}",
                self.order(reduced.order),
                self.quantity(reduced.order, reduced.reduced),
                self.quantity(reduced.order, reduced.open),
            ),
            EventBody::OrderCancelled(cancelled) => format!(
                "cancelled {}, open {}, {}",
                self.order(cancelled.order),
                self.quantity(cancelled.order, cancelled.open),
                word(&cancelled.reason),
            ),
            other => production::event(other, self.names),
        }
    }
}

/// `NotFilled` as `not-filled`.
pub fn word(value: &impl std::fmt::Debug) -> String {
    let mut word = String::new();
    for letter in format!("{value:?}").chars() {
        if letter.is_ascii_uppercase() && !word.is_empty() {
            word.push('-');
        }
        word.push(letter.to_ascii_lowercase());
    }
    word
}

/// The open orders of a market, from the stored state, from the highest price to the lowest, those
/// of one price in the order in which they would trade.
pub fn book(bench: &Bench, symbol: &str, names: &Names, out: &mut String) {
    let market = names.market(symbol);
    let mut orders: Vec<records::Order> = bench.rows(Table::Order);
    orders.retain(|order| order.market == market.id);
    let price = |order: &records::Order| match order.pricing {
        Pricing::Limit(price) => price,
        other => panic!("{other:?} rests in the book"),
    };
    orders.sort_by_key(|order| (order.side == Side::Buy, std::cmp::Reverse(price(order)), order.priority));
    for order in &orders {
        let side = if order.side == Side::Buy { "buy " } else { "sell" };
        let quantity = decimal(order.open.0.into(), market.base.scale);
        let price = decimal(price(order).0.into(), market.quote.scale);
        let label = names.command_label(order.client_order_id).unwrap_or(format!("#{}", order.id));
        let _ = writeln!(out, "  {side} {quantity} @ {price} {} {label}", names.account_name(order.account));
    }
    if orders.is_empty() {
        let _ = writeln!(out, "  empty");
    }
}

/// The price of a market's last trade, from the stored state.
pub fn last(bench: &Bench, symbol: &str, names: &Names, out: &mut String) {
    let market = names.market(symbol);
    let rows: Vec<records::Market> = bench.rows(Table::Market);
    let price = rows.iter().find(|row| row.id == market.id).and_then(|row| row.last_price);
    let price = price.map_or("none".to_owned(), |price| decimal(price.0.into(), market.quote.scale));
    let _ = writeln!(out, "  {price}");
}

/// The balances of an account, from the stored state.
pub fn balances(bench: &Bench, account: &str, names: &Names, out: &mut String) {
    let mut rows: Vec<records::Balance> = bench.rows(Table::Balance);
    rows.retain(|row| row.account == names.account(account));
    rows.sort_by_key(|row| row.asset);
    for row in rows {
        let (code, scale) = names.asset_code(row.asset);
        let number = |amount: i64| decimal(i128::from(amount), scale);
        let _ = writeln!(out, "  {account} {code} {} held {}", number(row.posted.0), number(row.reserved.0));
    }
}
