//! Balances, now and past, and the postings that made them.

use super::Queries;
use super::paging::{Cursor, PageQuery};
use super::reference::no_account;
use crate::core::Ledger;
use crate::core::ledger::records::Balance;
use crate::core::types::{AccountId, AssetId, Sequence};
use crate::proto::v1 as pb;
use crate::server::convert::{event, id_bytes, request, state};
use crate::server::errors::Refusal;
use crate::server::history::{EventReader, ReadFault, Reading};
use crate::server::limits::LIST_EVENTS_MAX;
use crate::store::index::{Direction, HistoryKey};

impl Queries {
    pub(super) async fn list_balances(
        &self,
        asked: pb::ListBalancesRequest,
    ) -> Result<pb::ListBalancesResponse, Refusal> {
        let consistency = request::consistency(asked.consistency.as_ref())?;
        let account = request::account_id(asked.account_id, "account_id")?;
        let find = move |ledger: &Ledger| {
            ledger.account(account)?;
            Some(ledger.balances(account).copied().collect::<Vec<_>>())
        };
        let seen = self.reads.look(consistency, find).await?;
        let balances = seen.value.ok_or_else(|| no_account(account))?;
        let at = Sequence(asked.at_sequence);
        if at > seen.sequence {
            return Err(Refusal::SequenceOutOfRange { field: "at_sequence", asked: at, last: seen.sequence });
        }
        if at == Sequence(0) {
            let balances = balances.iter().map(state::balance).collect();
            return Ok(pb::ListBalancesResponse { balances, position: Some(seen.position) });
        }
        let balances = self.history.read(move |reading| balances_at(reading, &balances, at)).await?;
        let position = pb::Position { sequence: at.0, ..seen.position };
        Ok(pb::ListBalancesResponse { balances, position: Some(position) })
    }

    pub(super) async fn list_postings(
        &self,
        asked: pb::ListPostingsRequest,
    ) -> Result<pb::ListPostingsResponse, Refusal> {
        let consistency = request::consistency(asked.consistency.as_ref())?;
        let account = request::account_id(asked.account_id, "account_id")?;
        let asset = request::asset_id_or_all(asked.asset_id);
        let filters = [asked.account_id, u64::from(asked.asset_id)];
        let page = PageQuery::of(asked.page.as_ref(), "postings", &filters)?;
        let find = move |ledger: &Ledger| {
            ledger.account(account)?;
            let assets = ledger.balances(account).map(|balance| balance.asset);
            Some(assets.filter(|id| asset.is_none_or(|asset| asset == *id)).collect::<Vec<_>>())
        };
        let seen = self.reads.look(consistency, find).await?;
        let assets = seen.value.ok_or_else(|| no_account(account))?;
        let last = seen.sequence;
        let read = move |reading: &Reading| postings(reading, account, &assets, &page, last);
        let (postings, next_page_token) = self.history.read(read).await?;
        Ok(pb::ListPostingsResponse { postings, next_page_token, position: Some(seen.position) })
    }
}

/// The balances as they were after the event `at`: each is what its last posting until then left.
fn balances_at(reading: &Reading, today: &[Balance], at: Sequence) -> Result<Vec<pb::Balance>, ReadFault> {
    let mut events = EventReader::new(reading);
    let mut past = Vec::new();
    for balance in today {
        reading.check()?;
        let key = HistoryKey::Postings(balance.account, balance.asset);
        let Some(last) = reading.index().scan(key, at, Direction::Backward, 1)?.pop() else { continue };
        let (_, _, postings) = events.event(last)?;
        let mine = |posting: &&crate::core::event::Posting| {
            (posting.account, posting.asset) == (balance.account, balance.asset)
        };
        if let Some(posting) = postings.iter().rev().find(mine) {
            let then = Balance { posted: posting.posted, reserved: posting.reserved, ..*balance };
            past.push(state::balance(&then));
        }
    }
    Ok(past)
}

/// A page of an account's postings in these assets, up to the event `last`. It can be short, and still
/// have a next one.
fn postings(
    reading: &Reading,
    account: AccountId,
    assets: &[AssetId],
    page: &PageQuery,
    last: Sequence,
) -> Result<(Vec<pb::PostingEntry>, String), ReadFault> {
    let mut events = EventReader::new(reading);
    let mut entries: Vec<(Cursor, pb::PostingEntry)> = Vec::new();
    for sequence in posting_events(reading, account, assets, page, last)? {
        let shown = page.after.filter(|after| after.key == sequence.0).map_or(0, |after| after.place as usize);
        let (record, _, postings) = events.event(sequence)?;
        let mut mine: Vec<_> =
            postings.iter().filter(|posting| posting.account == account && assets.contains(&posting.asset)).collect();
        if page.descending {
            mine.reverse();
        }
        for (place, posting) in (1..).zip(mine).skip(shown) {
            let entry = pb::PostingEntry {
                sequence: sequence.0,
                time: record.stamp.time.0,
                posting: Some(event::posting(posting)),
                command_id: record.origin.map(|origin| id_bytes(origin.key.id)).unwrap_or_default(),
            };
            entries.push((Cursor { key: sequence.0, place }, entry));
        }
        if entries.len() > page.size {
            break;
        }
        if events.events_read() >= LIST_EVENTS_MAX
            && let Some((end, _)) = entries.last()
        {
            let token = page.token(*end);
            return Ok((entries.into_iter().map(|(_, entry)| entry).collect(), token));
        }
    }
    let token = page.cut(&mut entries, |(cursor, _)| *cursor);
    Ok((entries.into_iter().map(|(_, entry)| entry).collect(), token))
}

/// The events, one more than fill the page, that changed the account's balances of these assets; the
/// event at which the page before ended comes again.
fn posting_events(
    reading: &Reading,
    account: AccountId,
    assets: &[AssetId],
    page: &PageQuery,
    last: Sequence,
) -> Result<Vec<Sequence>, ReadFault> {
    let direction = if page.descending { Direction::Backward } else { Direction::Forward };
    let first = if page.descending { last } else { Sequence(0) };
    let from = page.after_within(last)?.map_or(first, |after| Sequence(after.key));
    let limit = page.size + 2;
    let mut events = Vec::new();
    for asset in assets {
        reading.check()?;
        let key = HistoryKey::Postings(account, *asset);
        events.extend(reading.index().scan(key, from, direction, limit)?.into_iter().filter(|event| *event <= last));
    }
    events.sort_unstable();
    if page.descending {
        events.reverse();
    }
    events.dedup();
    events.truncate(limit);
    Ok(events)
}
