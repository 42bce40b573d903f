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
}

impl Watch {
    pub(super) fn new(
        nodes: Arc<Nodes>,
        options: ClientOptions,
        from_sequence: u64,
        filter: Option<api::EventFilter>,
    ) -> Self {
        Self { nodes, options, from_sequence, filter, stream: None }
    }

    /// The next records, once there are some, or how far the ledger has been looked at. Waits as
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
                    self.from_sequence = response.through_sequence + 1;
                    return Ok(response);
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
