//! Every record of the ledger, from any sequence, over failures of nodes.

use std::sync::Arc;

use tonic::Streaming;

use super::api;
use super::api::event_service_client::EventServiceClient;
use super::connect::{Backoff, ClientOptions, MESSAGE_BYTES_MAX, Nodes};
use super::error::{ClientError, Refusal};
use crate::machine::Instant;

/// A stream of records that resumes by itself, without gap or repetition.
#[derive(Debug)]
pub struct Watch {
    nodes: Arc<Nodes>,
    options: ClientOptions,
    from_sequence: u64,
    filter: Option<api::EventFilter>,
    stream: Option<(String, Streaming<api::WatchResponse>)>,
    /// A record of which more is to come.
    begun: Option<api::Record>,
}

impl Watch {
    pub(super) fn new(
        nodes: Arc<Nodes>,
        options: ClientOptions,
        from_sequence: u64,
        filter: Option<api::EventFilter>,
    ) -> Self {
        Self { nodes, options, from_sequence, filter, stream: None, begun: None }
    }

    /// The next records, whole, once there are some, or how far the ledger has been looked at. Waits as
    /// long as it takes. Dropping the future loses nothing.
    ///
    /// # Errors
    /// When the request is refused for good, or no node can be reached until the deadline.
    pub async fn next(&mut self) -> Result<api::WatchResponse, ClientError> {
        loop {
            if self.stream.is_none() {
                self.stream = Some(self.open().await?);
            }
            let Some((endpoint, stream)) = &mut self.stream else { continue };
            match stream.message().await {
                Ok(Some(response)) => {
                    self.from_sequence = response.through_sequence.saturating_add(1);
                    return Ok(whole(&mut self.begun, response));
                }
                Ok(None) => self.nodes.move_on(endpoint),
                Err(status) => {
                    let refusal = Refusal::from(status);
                    if !refusal.is_passing() {
                        return Err(ClientError::Refused(refusal));
                    }
                    self.nodes.move_on(endpoint);
                }
            }
            self.stream = None;
        }
    }

    async fn open(&self) -> Result<(String, Streaming<api::WatchResponse>), ClientError> {
        let started = Instant::now();
        let mut backoff = Backoff::new();
        loop {
            let (endpoint, channel) = self.nodes.current();
            let mut node = EventServiceClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX);
            let request = api::WatchRequest { from_sequence: self.from_sequence, filter: self.filter.clone() };
            let last = match tokio::time::timeout(self.options.attempt, node.watch(request)).await {
                Ok(Ok(response)) => return Ok((endpoint, response.into_inner())),
                Ok(Err(status)) => {
                    let refusal = Refusal::from(status);
                    if !refusal.is_passing() {
                        return Err(ClientError::Refused(refusal));
                    }
                    refusal.to_string()
                }
                Err(_) => "no answer".to_owned(),
            };
            if started.elapsed() > self.options.deadline {
                return Err(ClientError::Deadline { waited: self.options.deadline, last });
            }
            self.nodes.move_on(&endpoint);
            backoff.pause().await;
        }
    }
}

/// Puts the parts of a record together that is too large for one message: it is given when it is whole, and
/// until then the looking has not come to it.
fn whole(begun: &mut Option<api::Record>, mut response: api::WatchResponse) -> api::WatchResponse {
    if let Some(first) = response.records.first_mut()
        && let Some(mut known) = begun.take_if(|known| known.position == first.position)
    {
        known.events.append(&mut first.events);
        known.continues = first.continues;
        *first = known;
    }
    if let Some(last) = response.records.pop_if(|last| last.continues) {
        *begun = Some(last);
    }
    if let Some(first) = begun.as_ref().and_then(|known| known.events.first()) {
        response.through_sequence = first.sequence.saturating_sub(1);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(sequences: &[u64], continues: bool) -> api::Record {
        let event = |sequence: &u64| api::Event { sequence: *sequence, ..api::Event::default() };
        let position = Some(api::Position { sequence: 4, ..api::Position::default() });
        api::Record { position, events: sequences.iter().map(event).collect(), continues, ..api::Record::default() }
    }

    #[test]
    fn a_record_in_parts_is_given_once_and_whole() {
        let mut begun = None;
        let before = api::Record { position: Some(api::Position::default()), ..record(&[3], false) };
        let first = api::WatchResponse { records: vec![before.clone(), record(&[4, 5], true)], through_sequence: 5 };
        let told = whole(&mut begun, first);
        assert_eq!((told.records, told.through_sequence), (vec![before], 3));
        let more = api::WatchResponse { records: vec![record(&[6], true)], through_sequence: 6 };
        assert_eq!(whole(&mut begun, more), api::WatchResponse { records: Vec::new(), through_sequence: 3 });
        let last = api::WatchResponse { records: vec![record(&[7], false)], through_sequence: 9 };
        let told = whole(&mut begun, last);
        assert_eq!((told.records, told.through_sequence), (vec![record(&[4, 5, 6, 7], false)], 9));
        assert_eq!(begun, None);
    }
}
