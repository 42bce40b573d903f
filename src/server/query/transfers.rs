//! Transfers, and the answers that commands got.

use super::Queries;
use crate::core::command::{CommandKey, Scope, TransferMode};
use crate::core::event::EventBody;
use crate::core::reply::Summary;
use crate::core::types::{AccountId, CommandId, Sequence};
use crate::core::{Ledger, Record};
use crate::proto::v1 as pb;
use crate::server::convert::{event, id_bytes, request, result, state};
use crate::server::errors::Refusal;
use crate::server::history::{EventReader, ReadFault};
use crate::store::engine::Readers;

impl Queries {
    pub(super) async fn get_transfer(&self, asked: pb::GetTransferRequest) -> Result<pb::GetTransferResponse, Refusal> {
        let consistency = request::consistency(asked.consistency.as_ref())?;
        let id = request::client_id(&asked.transfer_id, "transfer_id")?;
        let find = move |ledger: &Ledger| ledger.pending(id).map(state::pending);
        let seen = self.reads.look(consistency, find).await?;
        let last = seen.sequence;
        let live = seen.value.is_some();
        let key = CommandKey { scope: Scope::Transfer, account: AccountId(0), id };
        let record = self.history.read(move |readers| answered(readers, &key, last)).await?;
        let answer = record.and_then(|record| transfer(id, &record, live)).ok_or_else(|| no_transfer(id))?;
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
        let record = self.history.read(move |readers| answered(readers, &key, last)).await?;
        let record = record.ok_or_else(|| Refusal::NotFound { what: "command", key: format!("{:032x}", key.id.0) })?;
        let result = result::result(asked.id, &Summary::of(record.view()), false);
        Ok(pb::GetCommandResultResponse { result: Some(result), position: Some(seen.position) })
    }
}

/// The record that answers the command with this key, if it stands at or before `last`.
pub(super) fn answered(readers: &Readers, key: &CommandKey, last: Sequence) -> Result<Option<Record>, ReadFault> {
    match readers.index.find(key)? {
        Some(used) if used.sequence <= last => {
            let mut events = EventReader::new(readers);
            events.record(used.sequence).cloned().map(Some)
        }
        _ => Ok(None),
    }
}

/// What the record says about the transfer; nothing when its command was none. `pending` is whether
/// it still waits.
fn transfer(id: CommandId, record: &Record, pending: bool) -> Option<pb::GetTransferResponse> {
    use pb::TransferState as State;
    let (sequence, body, _) = record.view().events().next()?;
    let answer = pb::GetTransferResponse {
        transfer_id: id_bytes(id),
        sequence: sequence.0,
        time: record.stamp.time.0,
        ..Default::default()
    };
    match body {
        EventBody::Transferred(transferred) => {
            let state = match transferred.transfer.mode {
                TransferMode::Immediate => State::Posted,
                TransferMode::Pending { .. } if pending => State::Pending,
                TransferMode::Pending { .. } => State::Ended,
            };
            let transfer = Some(event::transfer(&transferred.transfer));
            Some(pb::GetTransferResponse { transfer, state: state.into(), ..answer })
        }
        EventBody::Rejected(rejection) => {
            let rejection = i32::from(rejection.number());
            Some(pb::GetTransferResponse { state: State::Rejected.into(), rejection, ..answer })
        }
        _ => None,
    }
}

fn no_transfer(id: CommandId) -> Refusal {
    Refusal::NotFound { what: "transfer", key: format!("{:032x}", id.0) }
}
