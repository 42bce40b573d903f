//! Records of the journal from one node to another that has damaged blocks (see [`crate::store::journal`]).
//!
//! It is asked for before the node takes part in anything: its log and its vote are whole, and nothing is
//! acknowledged or voted meanwhile. Whoever answers is believed because of the digests alone.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use futures::Stream;
use futures::stream::unfold;
use tokio::time::{Instant, sleep, timeout};
use tonic::Status;

use super::config::{JOURNAL_BATCH_BYTES_MAX, SNAPSHOT_PART_BYTES_MAX};
use super::network::{Client, Peers};
use super::state_machine::read_journal;
use super::types::{Node, NodeId};
use crate::core::types::Sequence;
use crate::machine::blocking;
use crate::proto::raft::v1 as pb;
use crate::store::Disk;
use crate::store::journal::{DamagedBlock, JournalReader, mend};

/// How long the others may take to give what is missing, before the node is repaired in another way.
const PATIENCE: Duration = Duration::from_secs(20);

/// Between two rounds of asking.
const ROUND: Duration = Duration::from_millis(250);

/// Makes damaged blocks good from the records of other nodes. Returns how many bytes came; why it was not possible
/// otherwise.
///
/// # Errors
/// When nobody gave the right records in time, or the disk failed.
pub async fn mend_from(
    peers: &Peers,
    others: &BTreeMap<NodeId, Node>,
    disk: &Disk,
    blocks: Vec<DamagedBlock>,
) -> Result<u64, String> {
    let until = Instant::now() + PATIENCE;
    let mut came = 0;
    for block in blocks {
        let damage = block.to_string();
        let (from, bytes) = mend_one(peers, others, disk, block, until).await?;
        came += bytes;
        tracing::info!(damage, node = from, bytes, "a block of the journal was made good from another node");
    }
    Ok(came)
}

async fn mend_one(
    peers: &Peers,
    others: &BTreeMap<NodeId, Node>,
    disk: &Disk,
    block: DamagedBlock,
    until: Instant,
) -> Result<(NodeId, u64), String> {
    let mut reason = "there is no other node".to_owned();
    while Instant::now() < until {
        for (&id, node) in others {
            match fetch(peers, id, node, block.events()).await {
                Ok(records) => {
                    let bytes = records.len() as u64;
                    let (disk, block) = (disk.clone(), block.clone());
                    match blocking(move || mend(&disk, &block, &records)).await {
                        Ok(Ok(())) => return Ok((id, bytes)),
                        Ok(Err(error)) => reason = format!("node {id}: {error}"),
                        Err(error) => return Err(error.to_string()),
                    }
                }
                Err(status) => reason = format!("node {id}: {}", status.message()),
            }
        }
        sleep(ROUND).await;
    }
    Err(reason)
}

async fn fetch(peers: &Peers, id: NodeId, node: &Node, (first, last): (Sequence, Sequence)) -> Result<Vec<u8>, Status> {
    let limit = peers.config().call_timeout;
    let request = pb::GetJournalRequest { header: Some(peers.route(id).header()), first: first.0, last: last.0 };
    let ask = |mut client: Client| async move { client.get_journal(request).await };
    let mut parts = peers.ask(id, node, limit, ask).await?;
    let mut records = Vec::new();
    loop {
        let late = |_| Status::deadline_exceeded("it sends no more");
        let Some(part) = timeout(peers.config().snapshot_timeout, parts.message()).await.map_err(late)?? else {
            return Ok(records);
        };
        if records.len() + part.records.len() > JOURNAL_BATCH_BYTES_MAX {
            return Err(Status::out_of_range("more than a block has"));
        }
        records.extend_from_slice(&part.records);
    }
}

/// The records of these events, as they are read, in parts.
pub(super) fn records(
    journal: JournalReader,
    first: Sequence,
    last: Sequence,
) -> impl Stream<Item = Result<pb::JournalPart, Status>> + Send + 'static {
    unfold(Some((first, Bytes::new())), move |at| {
        let journal = journal.clone();
        async move {
            let (mut next, mut batch) = at?;
            if batch.is_empty() {
                if next > last {
                    return None;
                }
                let read = blocking(move || read_journal(&journal, next, last)).await;
                match read.map_err(|error| error.to_string()).and_then(|read| read.map_err(|error| error.to_string())) {
                    Ok((bytes, behind)) => (batch, next) = (bytes.into(), behind),
                    Err(reason) => return Some((Err(Status::unavailable(reason)), None)),
                }
            }
            let records = batch.split_to(batch.len().min(SNAPSHOT_PART_BYTES_MAX));
            let part = pb::JournalPart { records, cut: !batch.is_empty() };
            Some((Ok(part), Some((next, batch))))
        }
    })
}
