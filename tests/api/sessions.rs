//! Sessions: pipelined, in order, going on after a bad request.

use counterfoil::proto::v1 as pb;
use futures::StreamExt;
use pb::command::Body;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use super::node::{ANN, BOB, TestCluster, TestNode, USD, buy, command, transfer};

/// An open session.
pub struct TestSession {
    pub requests: mpsc::Sender<pb::SessionRequest>,
    pub answers: Streaming<pb::SessionResponse>,
}

impl TestSession {
    pub async fn open(node: &TestNode) -> Self {
        let (requests, receiver) = mpsc::channel(16);
        let answers = node.commands().session(ReceiverStream::new(receiver)).await.expect("a session").into_inner();
        Self { requests, answers }
    }

    pub async fn send(&self, request_number: u64, commands: Vec<pb::Command>) {
        self.requests.send(pb::SessionRequest { request_number, commands }).await.expect("the session is open");
    }

    pub async fn next(&mut self) -> pb::SessionResponse {
        self.answers.next().await.expect("an answer").expect("no error of the stream")
    }
}

fn move_one() -> pb::Command {
    command(Body::Transfer(transfer(ANN, BOB, USD, 1)))
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_come_in_the_order_of_the_requests() {
    let cluster = TestCluster::exchange().await;
    let session = TestSession::open(cluster.only()).await;
    const REQUESTS: u64 = 3_000;
    let TestSession { requests, mut answers } = session;
    let sender = async move {
        for request_number in 1..=REQUESTS {
            let commands = (0..=request_number % 3).map(|_| move_one()).collect();
            requests.send(pb::SessionRequest { request_number, commands }).await.expect("the session is open");
        }
    };
    let reader = async {
        let mut expected = 1;
        let mut last = 0;
        while let Some(answer) = answers.next().await {
            let answer = answer.expect("no error of the stream");
            assert_eq!((answer.request_number, answer.error), (expected, None));
            assert_eq!(answer.results.len() as u64, expected % 3 + 1);
            for result in answer.results {
                assert_eq!(result.rejection(), pb::Rejection::Unspecified);
                let sequence = result.position.expect("a position").sequence;
                assert!(sequence > last, "in order");
                last = sequence;
            }
            expected += 1;
        }
        assert_eq!(expected, REQUESTS + 1, "all answered before the end");
    };
    tokio::join!(sender, reader);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_request_is_answered_and_the_session_goes_on() {
    let cluster = TestCluster::exchange().await;
    let node = cluster.only();
    let mut session = TestSession::open(node).await;
    let bad = command(Body::Transfer(transfer(ANN, BOB, USD, 0)));
    let repeated = move_one();
    session.send(1, vec![repeated.clone()]).await;
    session.send(2, vec![move_one(), bad]).await;
    session.send(3, Vec::new()).await;
    session.send(4, vec![repeated, buy(BOB, 1, 100)]).await;

    let first = session.next().await;
    assert_eq!(first.results.len(), 1);
    let error = session.next().await.error.expect("refused");
    assert_eq!((error.status, error.reason.as_str()), (tonic::Code::InvalidArgument as i32, "OUT_OF_RANGE"));
    assert_eq!(error.field, "commands[1].transfer.amount");
    let error = session.next().await.error.expect("refused");
    assert_eq!((error.reason.as_str(), error.field.as_str()), ("MISSING", "commands"));
    let last = session.next().await;
    assert_eq!(last.request_number, 4);
    assert!(last.results[0].duplicate);
    let again = pb::CommandResult { duplicate: false, ..last.results[0].clone() };
    assert_eq!(again, first.results[0], "the answer from the journal is the first one");

    drop(session.requests);
    assert!(session.answers.next().await.is_none(), "a session ends when its requests do");
    cluster.stop().await;
}
