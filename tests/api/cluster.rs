//! A cluster of three: any node answers, sends on, reads what is committed, and tells who leads.

use counterfoil::proto::v1 as pb;
use pb::cluster_service_client::ClusterServiceClient;
use pb::command::Body;
use tonic::Code;
use tonic_types::StatusExt;

use super::node::{ANN, BOB, PATIENCE, TestCluster, USD, buy, command, sell, set_up, transfer};
use super::sessions::TestSession;

fn move_one() -> pb::Command {
    command(Body::Transfer(transfer(ANN, BOB, USD, 1)))
}

async fn bobs_money(cluster: &TestCluster, place: usize, level: pb::consistency::Level) -> i64 {
    let consistency = Some(pb::Consistency { level: Some(level) });
    let asked = pb::ListBalancesRequest { account_id: BOB, at_sequence: 0, consistency };
    let answer = cluster.nodes[place].queries().list_balances(asked).await.expect("an answer").into_inner();
    answer.balances.iter().find(|balance| balance.asset_id == USD).expect("a balance").posted
}

#[tokio::test(flavor = "multi_thread")]
async fn any_node_takes_commands_and_reads_what_is_committed() {
    use pb::consistency::Level;
    let cluster = TestCluster::start(3).await;
    let leader = cluster.leader().await;
    let follower = (leader + 1) % 3;
    let other = (leader + 2) % 3;
    set_up(&cluster.nodes[follower]).await;

    let sent = move_one();
    let first = cluster.nodes[follower].accept(sent.clone()).await;
    let before = bobs_money(&cluster, other, Level::Linearizable(true)).await;
    for place in [leader, other, follower] {
        let again = cluster.nodes[place].send(sent.clone()).await;
        assert_eq!(pb::CommandResult { duplicate: false, ..again }, first, "node {place}");
    }
    for count in 1..=20 {
        let result = cluster.nodes[follower].accept(move_one()).await;
        assert_eq!(bobs_money(&cluster, other, Level::Linearizable(true)).await, before + count);
        let sequence = result.position.expect("a position").sequence;
        assert_eq!(bobs_money(&cluster, follower, Level::AtLeastSequence(sequence)).await, before + count);
    }
    let ahead = Level::AtLeastSequence(1 << 40);
    let consistency = Some(pb::Consistency { level: Some(ahead) });
    let asked = pb::GetAccountRequest { account_id: BOB, consistency };
    let late = cluster.nodes[other].queries().get_account(asked).await.expect_err("never reached");
    assert_eq!(late.code(), Code::DeadlineExceeded);

    let mut session = TestSession::open(&cluster.nodes[other]).await;
    session.send(1, vec![sell(ANN, 5, 100)]).await;
    session.send(2, vec![buy(BOB, 5, 100)]).await;
    assert_eq!(session.next().await.results[0].rejection(), pb::Rejection::Unspecified);
    assert_eq!(session.next().await.results[0].order.map(|order| order.filled), Some(5));
    drop(session);

    let bad = pb::ExecuteRequest { command: Some(pb::Command::default()) };
    let refused = cluster.nodes[follower].commands().execute(bad).await.expect_err("a bad command");
    let details = refused.get_error_details();
    assert_eq!(details.error_info().map(|info| info.reason.as_str()), Some("MISSING"), "the leader's own words");
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn leadership_moves_and_the_nodes_agree() {
    let cluster = TestCluster::start(3).await;
    let leader = cluster.leader().await;
    set_up(&cluster.nodes[leader]).await;
    let target = (leader + 1) % 3;
    let follower = ClusterServiceClient::new(cluster.nodes[target].channel.clone());
    let asked = pb::TransferLeadershipRequest { node_id: target as u64 + 1 };
    let refused = follower.clone().transfer_leadership(asked).await.expect_err("it has nothing to give");
    assert_eq!(refused.code(), Code::Unavailable);
    let details = refused.get_error_details();
    let info = details.error_info().expect("every status has one");
    assert_eq!(
        (info.reason.as_str(), info.metadata.get("leader")),
        ("NOT_LEADER", Some(&cluster.nodes[leader].endpoint))
    );

    let mut client = ClusterServiceClient::new(cluster.nodes[leader].channel.clone());
    let moved = client.transfer_leadership(asked).await.expect("moved").into_inner();
    assert_eq!(moved.leader_id, target as u64 + 1);
    assert_eq!(cluster.leader().await, target);
    cluster.nodes[leader].accept(move_one()).await;

    let agreed = async {
        loop {
            let mut seen = Vec::new();
            for node in &cluster.nodes {
                let status = node.status().await;
                assert_eq!(status.members.len(), 3);
                seen.push((status.applied_index, status.sequence, status.state_digest));
            }
            if seen.iter().all(|state| *state == seen[0]) {
                return seen.remove(0);
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    let (_, _, digest) = tokio::time::timeout(PATIENCE, agreed).await.expect("one state");
    assert_eq!(digest.len(), 32);
    cluster.stop().await;
}

/// A leader that hangs, or that only the follower lost, would hold a passed-on session for half a minute.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_through_a_follower_ends_when_the_leader_changes() {
    let cluster = TestCluster::start(3).await;
    let leader = cluster.leader().await;
    set_up(&cluster.nodes[leader]).await;
    let (follower, target) = ((leader + 1) % 3, (leader + 2) % 3);
    let mut session = TestSession::open(&cluster.nodes[follower]).await;
    session.send(1, vec![move_one()]).await;
    assert_eq!(session.next().await.results.len(), 1);

    let mut client = ClusterServiceClient::new(cluster.nodes[leader].channel.clone());
    let asked = pb::TransferLeadershipRequest { node_id: target as u64 + 1 };
    client.transfer_leadership(asked).await.expect("moved");
    // Nothing is asked of the session: the leader that was would be quiet for ever.
    let end = tokio::time::timeout(PATIENCE, session.answers.message()).await.expect("it ends");
    let refused = end.expect_err("and says why");
    let details = refused.get_error_details();
    let reason = details.error_info().map(|info| info.reason.clone());
    assert_eq!((refused.code(), reason.as_deref()), (Code::Unavailable, Some("NOT_LEADER")));
    cluster.stop().await;
}

/// A session is bound to a term: once it is over, the session says so, whoever leads.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_of_a_term_that_is_over_is_closed() {
    let cluster = TestCluster::start(3).await;
    let leader = cluster.leader().await;
    set_up(&cluster.nodes[leader]).await;
    let mut session = TestSession::open(&cluster.nodes[leader]).await;
    session.send(1, vec![move_one()]).await;
    assert_eq!(session.next().await.results.len(), 1);
    let target = (leader + 1) % 3;
    for (from, to) in [(leader, target), (target, leader)] {
        let mut client = ClusterServiceClient::new(cluster.nodes[from].channel.clone());
        let asked = pb::TransferLeadershipRequest { node_id: to as u64 + 1 };
        client.transfer_leadership(asked).await.expect("moved");
        assert_eq!(cluster.leader().await, to);
    }
    let mut number = 1;
    let reason = async {
        loop {
            number += 1;
            session.send(number, vec![move_one()]).await;
            let error = session.next().await.error.expect("its term is over");
            // Until the node takes commands again, it says that it does not lead.
            if error.reason != "NOT_LEADER" {
                return (error.reason, error.status);
            }
        }
    };
    let reason = tokio::time::timeout(PATIENCE, reason).await.expect("told");
    assert_eq!(reason, ("SESSION_CLOSED".to_owned(), Code::Aborted as i32));
    let mut again = TestSession::open(&cluster.nodes[leader]).await;
    again.send(1, vec![move_one()]).await;
    assert_eq!(again.next().await.error, None);
    cluster.stop().await;
}

/// As over a failover: an answer that comes a moment later is better than none.
#[tokio::test(flavor = "multi_thread")]
async fn a_linearizable_read_waits_for_a_leader() {
    let mut cluster = TestCluster::start(3).await;
    let leader = cluster.leader().await;
    set_up(&cluster.nodes[leader]).await;
    for place in [(leader + 1) % 3, (leader + 2) % 3] {
        cluster.nodes[place].node.take().expect("runs").shutdown().await;
    }
    let started = std::time::Instant::now();
    let asked = pb::GetAccountRequest { account_id: BOB, consistency: None };
    let refused = cluster.nodes[leader].queries().get_account(asked).await.expect_err("nobody leads");
    let details = refused.get_error_details();
    let reason = details.error_info().map(|info| info.reason.clone());
    assert_eq!((refused.code(), reason.as_deref()), (Code::Unavailable, Some("NOT_LEADER")), "{refused}");
    assert!(started.elapsed() >= std::time::Duration::from_secs(2), "it waits: {:?}", started.elapsed());
    assert!(started.elapsed() < std::time::Duration::from_secs(8), "and not for ever");
    let consistency = Some(pb::Consistency { level: Some(pb::consistency::Level::Stale(true)) });
    let asked = pb::GetAccountRequest { account_id: BOB, consistency };
    cluster.nodes[leader].queries().get_account(asked).await.expect("a stale read needs nobody");
    cluster.stop().await;
}

/// A node that has more to do than it takes is not dead.
#[tokio::test(flavor = "multi_thread")]
async fn health_is_told_under_overload() {
    use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
    let cluster = TestCluster::start_with(1, |config| config.server.calls = 1).await;
    let node = cluster.only();
    let consistency = Some(pb::Consistency { level: Some(pb::consistency::Level::AtLeastSequence(1 << 40)) });
    let asked = pb::GetAccountRequest { account_id: BOB, consistency };
    let mut queries = node.queries();
    // Asked again where the look below was there first.
    let waiting = tokio::spawn(async move {
        while let Err(status) = queries.get_account(asked).await {
            if status.code() != Code::ResourceExhausted {
                break;
            }
        }
    });
    let full = async {
        loop {
            let asked = pb::GetAccountRequest { account_id: BOB, consistency: None };
            match node.queries().get_account(asked).await {
                Err(status) if status.code() == Code::ResourceExhausted => break,
                _ => tokio::time::sleep(std::time::Duration::from_millis(10)).await,
            }
        }
    };
    tokio::time::timeout(PATIENCE, full).await.expect("the one place is taken");
    let check = HealthCheckRequest { service: String::new() };
    HealthClient::new(node.channel.clone()).check(check).await.expect("it is there");
    waiting.abort();
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn health_and_reflection_are_served() {
    use tonic_health::pb::health_check_response::ServingStatus;
    use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
    use tonic_reflection::pb::v1::ServerReflectionRequest;
    use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
    use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
    use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
    let cluster = TestCluster::start(1).await;
    let channel = cluster.only().channel.clone();
    for service in ["", "counterfoil.v1.CommandService", "counterfoil.v1.QueryService"] {
        let asked = HealthCheckRequest { service: service.to_owned() };
        let answer = HealthClient::new(channel.clone()).check(asked).await.expect("an answer").into_inner();
        assert_eq!(answer.status(), ServingStatus::Serving, "{service:?}");
    }
    let asked = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut answers = ServerReflectionClient::new(channel)
        .server_reflection_info(futures::stream::iter([asked]))
        .await
        .expect("an answer")
        .into_inner();
    let answer = answers.message().await.expect("no error").expect("an answer");
    let Some(MessageResponse::ListServicesResponse(list)) = answer.message_response else { panic!("a list") };
    let names: Vec<String> = list.service.into_iter().map(|service| service.name).collect();
    assert!(names.contains(&"counterfoil.v1.CommandService".to_owned()), "{names:?}");
    assert!(!names.iter().any(|name| name.contains("raft")), "{names:?}");
    cluster.stop().await;
}
