//! Trades of a market or of an account.

use super::Queries;
use super::paging::{Cursor, PageQuery};
use crate::core::event::{EventBody, Trade};
use crate::core::types::{AccountId, MarketId, Sequence};
use crate::proto::v1 as pb;
use crate::server::convert::{Invalid, event, request};
use crate::server::errors::Refusal;
use crate::server::history::{EventReader, ReadFault, Reading};
use crate::server::limits::LIST_EVENTS_MAX;
use crate::store::index::{Direction, HistoryKey};

impl Queries {
    pub(super) async fn list_trades(&self, asked: pb::ListTradesRequest) -> Result<pb::ListTradesResponse, Refusal> {
        let consistency = request::consistency(asked.consistency.as_ref())?;
        let account = request::account_id_or_all(asked.account_id);
        let market = request::market_id_or_all(asked.market_id);
        let filters = [asked.account_id, u64::from(asked.market_id)];
        let page = PageQuery::of(asked.page.as_ref(), "trades", &filters)?;
        let key = match (account, market) {
            (Some(account), _) => HistoryKey::TradesOf(account),
            (None, Some(market)) => HistoryKey::TradesIn(market),
            (None, None) => {
                let message = "or a market_id is required";
                return Err(Invalid::new("account_id", crate::server::convert::Reason::Missing, message).into());
            }
        };
        let exists = self.reads.look(consistency, move |ledger| names_something(ledger, account, market)).await?;
        exists.value?;
        let (last, position) = (exists.sequence, exists.position);
        let wanted = move |trade: &Trade| market.is_none_or(|market| trade.market == market);
        let read = move |reading: &Reading| trades(reading, key, wanted, &page, last);
        let (trades, next_page_token) = self.history.read(read).await?;
        Ok(pb::ListTradesResponse { trades, next_page_token, position: Some(position) })
    }
}

/// Refuses an account or market that there is not.
pub(super) fn names_something(
    ledger: &crate::core::Ledger,
    account: Option<AccountId>,
    market: Option<MarketId>,
) -> Result<(), Refusal> {
    if let Some(id) = account.filter(|id| ledger.account(*id).is_none()) {
        return Err(super::reference::no_account(id));
    }
    if let Some(id) = market.filter(|id| ledger.market(*id).is_none()) {
        return Err(Refusal::NotFound { what: "market", key: id.to_string() });
    }
    Ok(())
}

/// A page of a history of trades, up to the event `last`. It can be short, and still have a next one.
fn trades(
    reading: &Reading,
    key: HistoryKey,
    wanted: impl Fn(&Trade) -> bool,
    page: &PageQuery,
    last: Sequence,
) -> Result<(Vec<pb::Trade>, String), ReadFault> {
    let mut events = EventReader::new(reading);
    let mut found = Vec::new();
    let mut walk = Walk::new(page, last)?;
    while let Some(sequences) = walk.next(reading, key, page.size + 1)? {
        for sequence in sequences {
            let (record, body, _) = events.event(sequence)?;
            if let EventBody::Trade(trade) = body
                && wanted(trade)
            {
                found.push(event::trade(sequence, record.stamp.time, trade));
            }
            if found.len() > page.size {
                let token = page.cut(&mut found, |trade: &pb::Trade| Cursor::at(trade.trade_id));
                return Ok((found, token));
            }
            if events.events_read() >= LIST_EVENTS_MAX {
                return Ok((found, page.token(Cursor::at(sequence.0))));
            }
        }
    }
    Ok((found, String::new()))
}

/// Walks through a history from where a page begins.
pub(in crate::server::query) struct Walk {
    from: Option<Sequence>,
    last: Sequence,
    direction: Direction,
}

impl Walk {
    /// A walk behind the page before, through events up to `last`.
    pub(in crate::server::query) fn new(page: &PageQuery, last: Sequence) -> Result<Self, Refusal> {
        let direction = if page.descending { Direction::Backward } else { Direction::Forward };
        let first = if page.descending { last } else { Sequence(0) };
        let mut walk = Self { from: Some(first), last, direction };
        if let Some(after) = page.after_within(last)? {
            walk.step_behind(Sequence(after.key));
        }
        Ok(walk)
    }

    /// The next events of the history; none when it is at its end.
    pub(in crate::server::query) fn next(
        &mut self,
        reading: &Reading,
        key: HistoryKey,
        limit: usize,
    ) -> Result<Option<Vec<Sequence>>, ReadFault> {
        let Some(from) = self.from else { return Ok(None) };
        reading.check()?;
        let mut events = reading.index().scan(key, from, self.direction, limit)?;
        match events.last().copied() {
            Some(end) if events.len() == limit => self.step_behind(end),
            _ => self.from = None,
        }
        events.retain(|event| *event <= self.last);
        Ok(Some(events))
    }

    fn step_behind(&mut self, event: Sequence) {
        self.from = match self.direction {
            Direction::Forward => event.0.checked_add(1).map(Sequence).filter(|next| *next <= self.last),
            Direction::Backward => event.0.checked_sub(1).map(Sequence),
        };
    }
}
