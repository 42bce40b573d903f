//! Markets: their creation, their phases, their exact products.

use super::book::Book;
use crate::command::{CreateMarket, SetMarketPhase};
use crate::event::{Effects, EventBody};
use crate::ledger::Ledger;
use crate::ledger::records::Market;
use crate::ledger::slots::Keyed;
use crate::rejection::Rejection;
use crate::state::Table;
use crate::table::Slot;
use crate::types::{AssetId, FeeRate, MarketId, Phase, Price, Quantity, Side};

/// A market in memory.
#[derive(Debug)]
pub struct MarketEntry {
    /// The record.
    pub market: Market,
    /// The base asset's slot.
    pub base: Slot,
    /// The quote asset's slot.
    pub quote: Slot,
    /// The fee account's slot.
    pub fee_account: Slot,
    /// 10^base-scale: smallest units of a whole base unit.
    pub base_unit: u64,
    /// The resting orders.
    pub book: Book,
}

impl Keyed for MarketEntry {
    type Key = MarketId;

    fn key(&self) -> MarketId {
        self.market.id
    }
}

impl MarketEntry {
    /// Price × quantity in quote units, of a price on a tick and whole lots; `None` when it does not
    /// fit 63 bits. Exact, since `tick × lot` divides by the base unit.
    pub fn notional(&self, price: Price, quantity: Quantity) -> Option<i64> {
        let product = u128::from(price.0).checked_mul(u128::from(quantity.0))?;
        match u64::try_from(product) {
            // The same in the machine's own words, which is several times faster.
            Ok(small) => i64::try_from(small / self.base_unit).ok(),
            Err(_) => i64::try_from(product / u128::from(self.base_unit)).ok(),
        }
    }

    /// The slot of the asset that an order of this side gives.
    pub fn given(&self, side: Side) -> Slot {
        match side {
            Side::Buy => self.quote,
            Side::Sell => self.base,
        }
    }

    /// The id of the asset that an order of this side receives.
    pub fn received_asset(&self, side: Side) -> AssetId {
        match side {
            Side::Buy => self.market.base,
            Side::Sell => self.market.quote,
        }
    }

    fn check_open(&self) -> Result<(), Rejection> {
        match self.market.phase {
            Phase::Continuous => Ok(()),
            Phase::Halted => Err(Rejection::MarketHalted),
            Phase::Closed => Err(Rejection::MarketClosed),
        }
    }
}

/// Refuses fees above the whole, and rebates above what the taker pays.
fn check_fees(maker: FeeRate, taker: FeeRate) -> Result<(), Rejection> {
    let (maker, taker) = (i64::from(maker.0), i64::from(taker.0));
    let in_range = (-FeeRate::UNIT..=FeeRate::UNIT).contains(&maker) && (0..=FeeRate::UNIT).contains(&taker);
    if in_range && maker + taker >= 0 { Ok(()) } else { Err(Rejection::FeeOutOfRange) }
}

impl Ledger {
    pub(crate) fn create_market(&mut self, new: &CreateMarket, effects: &mut Effects) -> Result<(), Rejection> {
        let slot = self.add_market(Market {
            id: new.market,
            symbol: new.symbol,
            base: new.base,
            quote: new.quote,
            tick: new.tick,
            lot: new.lot,
            maker_fee: new.maker_fee,
            taker_fee: new.taker_fee,
            fee_account: new.fee_account,
            quantity_max: new.quantity_max,
            notional_max: new.notional_max,
            phase: new.phase,
            last_price: None,
        })?;
        self.changes.mark(Table::Market, slot);
        self.emit(EventBody::MarketCreated(new.clone()), effects);
        Ok(())
    }

    /// Adds a market, with an empty book, if it is one that can be.
    pub(crate) fn add_market(&mut self, market: Market) -> Result<Slot, Rejection> {
        let is_taken = |entry: &MarketEntry| entry.market.id == market.id || entry.market.symbol == market.symbol;
        if self.markets.iter().any(is_taken) {
            return Err(Rejection::MarketExists);
        }
        let base = self.known_asset(market.base)?;
        let quote = self.known_asset(market.quote)?;
        if base == quote {
            return Err(Rejection::SameAsset);
        }
        let base_unit = 10_u64.pow(u32::from(self.assets[base].scale));
        let step = u128::from(market.tick.0) * u128::from(market.lot.0);
        if step == 0 || !step.is_multiple_of(u128::from(base_unit)) {
            return Err(Rejection::TickLotInexact);
        }
        check_fees(market.maker_fee, market.taker_fee)?;
        let fee_account = self.active_account(market.fee_account)?;
        self.check_allowed(fee_account, market.quote)?;
        Ok(self.markets.push(MarketEntry { market, base, quote, fee_account, base_unit, book: Book::default() }))
    }

    /// Any phase can follow any other. Orders stay; in a phase that does not trade they can only be
    /// cancelled or expire.
    pub(crate) fn set_market_phase(&mut self, set: &SetMarketPhase, effects: &mut Effects) -> Result<(), Rejection> {
        let slot = self.markets.slot(set.market).ok_or(Rejection::UnknownMarket)?;
        self.markets[slot].market.phase = set.phase;
        self.changes.mark(Table::Market, slot);
        self.emit(EventBody::MarketPhaseSet(set.clone()), effects);
        Ok(())
    }

    /// The slot of a market that trades.
    pub(super) fn open_market(&self, id: MarketId) -> Result<Slot, Rejection> {
        let slot = self.markets.slot(id).ok_or(Rejection::UnknownMarket)?;
        self.markets[slot].check_open()?;
        Ok(slot)
    }
}
