//! What the node measures, as Prometheus text under `/metrics`, on a port of its own.
//!
//! Every figure is read when it is asked for, so that there is one place where each is kept.

use std::convert::Infallible;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use futures::StreamExt;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::CONTENT_TYPE;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};

use crate::replication::backup::{BackupStatus, Keeper};
use crate::replication::{Replica, Role, Status};

/// Connections served at the same time; more wait.
const CONNECTIONS_MAX: usize = 8;

/// How long one may stay.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(10);

/// How long accepting pauses after it failed, as it does when there are no more file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The media type of the text.
const TEXT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

type Seconds = Gauge<f64, AtomicU64>;
type SecondsTotal = Counter<f64, AtomicU64>;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Peer {
    node: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Build {
    version: &'static str,
}

/// Collects figures of one moment.
struct Page(Registry);

impl Page {
    fn gauge(&mut self, name: &str, help: &str, value: u64) {
        let gauge = Gauge::<i64>::default();
        gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        self.0.register(name, help, gauge);
    }

    fn count(&mut self, name: &str, help: &str, value: u64) {
        let counter = Counter::<u64>::default();
        counter.inc_by(value);
        self.0.register(name, help, counter);
    }

    fn seconds(&mut self, name: &str, help: &str, value: Duration) {
        let gauge = Seconds::default();
        gauge.set(value.as_secs_f64());
        self.0.register_with_unit(name, help, Unit::Seconds, gauge);
    }

    fn seconds_total(&mut self, name: &str, help: &str, value: Duration) {
        let counter = SecondsTotal::default();
        counter.inc_by(value.as_secs_f64());
        self.0.register_with_unit(name, help, Unit::Seconds, counter);
    }

    fn text(&self) -> String {
        let mut text = String::new();
        // Writing into a string does not fail.
        let _ = prometheus_client::encoding::text::encode(&mut text, &self.0);
        text
    }
}

/// Every figure of a node, as text.
#[must_use]
pub fn render(status: &Status, backups: Option<&BackupStatus>) -> String {
    let mut page = Page(Registry::with_prefix("counterfoil"));
    let build = Family::<Build, Gauge>::default();
    build.get_or_create(&Build { version: env!("CARGO_PKG_VERSION") }).set(1);
    page.0.register("build_info", "The version that runs", build);
    log(&mut page, status);
    cluster(&mut page, status);
    page.count("repairs", "Repairs of this data folder by the other nodes", status.repair.count);
    let under_repair = u64::from(status.repair.now.is_some());
    page.gauge("under_repair", "Whether this node is under repair and has no vote", under_repair);
    peers(&mut page, status);
    if let Some(status) = backups {
        self::backups(&mut page, status);
    }
    page.text()
}

fn log(page: &mut Page, status: &Status) {
    let index = |index: Option<crate::core::types::LogIndex>| index.map_or(0, |index| index.0);
    page.gauge("log_last_index", "The last entry in the log", index(status.last));
    page.gauge("log_committed_index", "The last entry known to be committed", index(status.committed));
    page.gauge("log_applied_index", "The last entry applied", index(status.applied));
    page.gauge("log_purged_index", "The last entry purged from the log", index(status.purged));
    page.gauge("snapshot_index", "The last entry in the newest snapshot", index(status.snapshot));
    page.gauge("sequence", "The last event applied", status.sequence.0);
    let syncs = &status.measured.log_syncs;
    page.count("log_syncs", "Syncs of the log to disk", syncs.count);
    page.seconds_total("log_sync", "Time spent in syncs of the log", syncs.total);
    page.seconds("log_sync_max", "The longest sync of the log", syncs.max);
}

fn cluster(page: &mut Page, status: &Status) {
    let measured = &status.measured;
    page.gauge("term", "The term", status.term.0);
    page.gauge(
        "leader_id",
        "The node that leads; 0 while none is known",
        status.leader.as_ref().map_or(0, |(id, _)| *id),
    );
    page.gauge("is_leader", "Whether this node leads", u64::from(status.role == Role::Leader));
    page.count("leaderless", "Times without a leader, changes of the leader among them", measured.leaderless.count);
    page.seconds_total("leaderless", "Time without a leader", measured.leaderless.total);
    page.seconds("leaderless_last", "The last time without a leader", measured.leaderless.last);
    page.seconds("leaderless_now", "Since when there is no leader", measured.leaderless_now.unwrap_or_default());
    page.gauge("copies_wanted", "Members", measured.copies_wanted as u64);
    if let Some(copies) = measured.copies_in_sync {
        page.gauge("copies_in_sync", "Copies of the log that are in sync; told by the leader", copies as u64);
        page.count("resyncs", "Returns of nodes that were away; told by the leader", measured.resyncs.count);
        page.seconds_total("resync", "Time from a return until the node is in sync", measured.resyncs.total);
        page.seconds("resync_last", "The last time from a return until the node was in sync", measured.resyncs.last);
    }
}

fn peers(page: &mut Page, status: &Status) {
    let (phi, silence) = (Family::<Peer, Seconds>::default(), Family::<Peer, Seconds>::default());
    for (&node, life) in &status.measured.peers {
        silence.get_or_create(&Peer { node }).set(life.silence.as_secs_f64());
        if let Some(value) = life.phi {
            phi.get_or_create(&Peer { node }).set(value);
        }
    }
    let help = "How surely a peer is gone: -log10 of the probability that one that lives is silent for so long";
    page.0.register("peer_phi", help, phi);
    page.0.register_with_unit("peer_silence", "Since the last sign of life of a peer", Unit::Seconds, silence);
    let matched = Family::<Peer, Gauge>::default();
    for (&node, member) in &status.members {
        if let Some(index) = member.matched {
            matched.get_or_create(&Peer { node }).set(i64::try_from(index.0).unwrap_or(i64::MAX));
        }
    }
    page.0.register("peer_matched_index", "How far a member's log is known to equal the leader's", matched);
}

fn backups(page: &mut Page, status: &BackupStatus) {
    page.gauge("backups", "Complete backups in the target", status.backups as u64);
    if let Some((_, age)) = &status.newest_good {
        page.seconds("backup_age", "Since the newest backup that was found good was begun", *age);
    }
    if let Some(rate) = status.recovery_rate {
        let gauge = Seconds::default();
        gauge.set(rate);
        page.0.register("backup_recovery_rate", "1 - lost / all, of events, at the last restore on trial", gauge);
    }
    let alarm = u64::from(status.alarm.is_some());
    page.gauge("backup_alarm", "Whether a backup is overdue or not good", alarm);
    page.gauge("backup_working", "Whether this node is at work with backups", u64::from(status.work.is_some()));
    let failed = u64::from(status.last_problem.is_some());
    page.gauge("backup_failed", "Whether the last work with backups on this node failed", failed);
}

fn answer(request: &Request<Incoming>, replica: &Replica, keeper: Option<&Keeper>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    if request.uri().path() != "/metrics" {
        *response.status_mut() = StatusCode::NOT_FOUND;
    } else if request.method() != Method::GET {
        *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
    } else {
        response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(TEXT));
        *response.body_mut() = Full::from(render(&replica.status(), keeper.map(Keeper::status).as_ref()));
    }
    response
}

/// Serves the figures of a replica until it is dropped.
pub async fn serve(listener: TcpListener, replica: Replica, keeper: Option<Keeper>) {
    let accepted = futures::stream::unfold(listener, async |listener| Some((listener.accept().await, listener)));
    let serve_one = async |accepted: std::io::Result<(tokio::net::TcpStream, std::net::SocketAddr)>| {
        let Ok((stream, _)) = accepted else { return sleep(ACCEPT_PAUSE).await };
        let service = service_fn(async |request| Ok::<_, Infallible>(answer(&request, &replica, keeper.as_ref())));
        let connection = hyper::server::conn::http1::Builder::new()
            .keep_alive(false)
            .serve_connection(TokioIo::new(stream), service);
        // A scraper that goes away, or stays too long, is no matter of ours.
        let _ = timeout(CONNECTION_TIMEOUT, connection).await;
    };
    accepted.for_each_concurrent(CONNECTIONS_MAX, serve_one).await;
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::core::types::{LogIndex, Sequence, Term};
    use crate::replication::repair::{RepairStatus, UnderRepair};
    use crate::replication::{Life, Measured, Node, PeerStatus, Spans};

    #[test]
    fn every_figure_is_told_with_its_help() {
        let spans = Spans { count: 2, last: Duration::from_millis(80), total: Duration::from_millis(300) };
        let life = Life { silence: Duration::from_millis(40), phi: Some(0.25) };
        let member =
            PeerStatus { node: Node::at("h:1", "h:2"), voter: true, matched: Some(LogIndex(9)), under_repair: false };
        let status = Status {
            node: 1,
            role: Role::Leader,
            term: Term(4),
            leader: Some((1, Node::at("h:1", "h:2"))),
            last: Some(LogIndex(10)),
            committed: Some(LogIndex(9)),
            applied: Some(LogIndex(9)),
            snapshot: None,
            purged: None,
            sequence: Sequence(77),
            members: BTreeMap::from([(2, member)]),
            measured: Measured {
                leaderless: spans,
                copies_in_sync: Some(2),
                copies_wanted: 3,
                peers: BTreeMap::from([(2, life)]),
                ..Measured::default()
            },
            repair: RepairStatus { count: 2, now: Some(UnderRepair::default()), last: None },
        };
        let backups = BackupStatus {
            backups: 3,
            newest_good: Some(("one".to_owned(), Duration::from_secs(90))),
            recovery_rate: Some(1.0),
            alarm: Some("overdue".to_owned()),
            ..BackupStatus::default()
        };
        let text = render(&status, Some(&backups));
        for line in [
            "counterfoil_sequence 77",
            "counterfoil_is_leader 1",
            "counterfoil_copies_in_sync 2",
            "counterfoil_copies_wanted 3",
            "counterfoil_leaderless_total 2",
            "counterfoil_leaderless_seconds_total 0.3",
            "counterfoil_leaderless_last_seconds 0.08",
            "counterfoil_peer_phi{node=\"2\"} 0.25",
            "counterfoil_peer_silence_seconds{node=\"2\"} 0.04",
            "counterfoil_peer_matched_index{node=\"2\"} 9",
            "# HELP counterfoil_peer_phi ",
            "counterfoil_repairs_total 2",
            "counterfoil_under_repair 1",
            "counterfoil_backups 3",
            "counterfoil_backup_age_seconds 90.0",
            "counterfoil_backup_recovery_rate 1.0",
            "counterfoil_backup_alarm 1",
            "counterfoil_backup_failed 0",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
        assert!(text.ends_with("# EOF\n"));
        let rules = include_str!("../../config/prometheus/backup.yml");
        let is_name = |char: char| char.is_ascii_lowercase() || char == '_';
        let names: Vec<&str> =
            rules.split(|char| !is_name(char)).filter(|word| word.starts_with("counterfoil_")).collect();
        assert!(names.len() >= 4, "{names:?}");
        for name in names {
            assert!(text.contains(&format!("\n{name} ")), "an alert is made of {name}\n{text}");
        }
        let follower = Status { role: Role::Follower, measured: Measured::default(), ..status };
        assert!(!render(&follower, None).contains("copies_in_sync"), "only the leader knows");
    }
}
