//! Transfers, and the answers that commands got.

use super::Queries;
use crate::core::command::{CommandKey, Scope, TransferMode};
use crate::core::event::EventBody;
use crate::core::reply::Summary;
use crate::core::types::{AccountId, CommandId, Sequence};
use crate::core::{Ledger, Record};
use crate::proto::v1 as pb;
use crate::server::convert::{event, id_bytes, request, result};
use crate::server::errors::Refusal;
use crate::server::history::{EventReader, ReadFault, Reading};
use crate::store::index::{Direction, HistoryKey};

impl Queries {
    pub(super) async fn get_transfer(&self, asked: pb::GetTransferRequest) -> Result<pb::GetTransferResponse, Refusal> {
        let consistency = request::consistency(asked.consistency.as_ref())?;
        let id = request::client_id(&asked.transfer_id, "transfer_id")?;
        let seen = self.reads.look(consistency, move |ledger: &Ledger| ledger.pending(id).is_some()).await?;
        let (pending, last) = (seen.value, seen.sequence);
        let read = move |reading: &Reading| transfer(reading, id, pending, last);
        let answer = self.history.read(read).await?.ok_or_else(|| no_transfer(id))?;
        Ok(pb::GetTransferResponse { position: Some(seen.position), ..answer })
    }

    pub(super) async fn get_command_result(
        &self,
        asked: pb::GetCommandResultRequest,
    ) -> Result<pb::GetCommandResultResponse, Refusal> {
        let consistency = request::consistency(asked.consistency.as_ref())?;
        let key = request::command_key(&asked)?;
        let seen = self.reads.look(consistency, |_| ()).await?;
        let last = seen.sequence;
        let record = self.history.read(move |reading| answered(reading, &key, last)).await?;
        let record = record.ok_or_else(|| Refusal::NotFound { what: "command", key: format!("{:032x}", key.id.0) })?;
        let result = result::result(asked.id, &Summary::of(record.view()), false);
        Ok(pb::GetCommandResultResponse { result: Some(result), position: Some(seen.position) })
    }
}

/// The record that answers the command with this key, if it stands at or before `last`.
pub(super) fn answered(reading: &Reading, key: &CommandKey, last: Sequence) -> Result<Option<Record>, ReadFault> {
    match reading.index().find(key)? {
        Some(used) if used.sequence <= last => EventReader::new(reading).record(used.sequence).cloned().map(Some),
        _ => Ok(None),
    }
}

/// What the history up to `last` says about a transfer; nothing when its command was none. `pending` is
/// whether it waits still.
fn transfer(
    reading: &Reading,
    id: CommandId,
    pending: bool,
    last: Sequence,
) -> Result<Option<pb::GetTransferResponse>, ReadFault> {
    use pb::TransferState as State;
    let key = CommandKey { scope: Scope::Transfer, account: AccountId(0), id };
    let Some(record) = answered(reading, &key, last)? else { return Ok(None) };
    let Some((sequence, body, _)) = record.view().events().next() else { return Ok(None) };
    let answer = pb::GetTransferResponse {
        transfer_id: id_bytes(id),
        sequence: sequence.0,
        time: record.stamp.time.0,
        ..Default::default()
    };
    let answer = match body {
        EventBody::Transferred(transferred) => {
            let amount = event::unsigned(transferred.transfer.amount);
            let answer = pb::GetTransferResponse { transfer: Some(event::transfer(&transferred.transfer)), ..answer };
            match transferred.transfer.mode {
                TransferMode::Immediate => {
                    pb::GetTransferResponse { state: State::Posted.into(), posted_amount: amount, ..answer }
                }
                TransferMode::Pending { .. } if pending => {
                    pb::GetTransferResponse { state: State::Pending.into(), ..answer }
                }
                TransferMode::Pending { .. } => ended(reading, id, answer)?,
            }
        }
        EventBody::Rejected(rejection) => pb::GetTransferResponse {
            state: State::Rejected.into(),
            rejection: i32::from(rejection.number()),
            ..answer
        },
        _ => return Ok(None),
    };
    Ok(Some(answer))
}

/// How a pending transfer ended that waits no longer.
fn ended(
    reading: &Reading,
    id: CommandId,
    answer: pb::GetTransferResponse,
) -> Result<pb::GetTransferResponse, ReadFault> {
    use pb::TransferState as State;
    let found = reading.index().scan(HistoryKey::EndOf(id), Sequence(0), Direction::Forward, 1)?.pop();
    // The index has an entry for every end, so that one without is no index of this journal.
    let end = found.ok_or(ReadFault::Refused(Refusal::Faulty))?;
    let mut events = EventReader::new(reading);
    let (record, body, _) = events.event(end)?;
    let (state, posted_amount) = match body {
        EventBody::PendingPosted(posted) => (State::Posted, event::unsigned(posted.amount)),
        EventBody::PendingVoided(_) => (State::Voided, 0),
        EventBody::PendingExpired(_) => (State::Expired, 0),
        _ => return Err(ReadFault::Refused(Refusal::Faulty)),
    };
    let ended_at = record.stamp.time.0;
    Ok(pb::GetTransferResponse { state: state.into(), posted_amount, ended_sequence: end.0, ended_at, ..answer })
}

fn no_transfer(id: CommandId) -> Refusal {
    Refusal::NotFound { what: "transfer", key: format!("{:032x}", id.0) }
}
