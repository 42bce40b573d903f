//! A TCP proxy between nodes that can cut, delay, slow and break what passes, each direction of each
//! pair of nodes for itself.
//!
//! Every node is reached through a proxy of its own. Who has connected is found out from the kernel's
//! tables, since one address per node is all that a cluster knows: on Linux the socket's inode leads
//! to the process. Elsewhere every connection counts as a client's.
//!
//! A cut holds bytes back, as a network without a route does: nothing is answered, nothing is refused,
//! and what was on its way arrives when the cut is over. A break ends connections.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

/// Bytes read at once.
const CHUNK_BYTES: usize = 16 << 10;
/// Chunks that are on their way in one direction of a connection.
const CHUNKS_MAX: usize = 256;
/// Who is not a node.
pub const CLIENT: u64 = 0;

/// What happens to bytes that go from one node to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rule {
    /// Nothing passes.
    pub cut: bool,
    /// Everything takes this much longer.
    pub delay: Duration,
    /// No more than this passes in a second.
    pub bytes_per_second: Option<u32>,
    /// Connections are ended when this number changes.
    pub breaks: u64,
}

/// From whom, to whom.
type Rules = BTreeMap<(u64, u64), watch::Sender<Rule>>;

/// The rules of all directions, and who runs in which process. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Links {
    rules: Arc<Mutex<Rules>>,
    processes: Arc<Mutex<BTreeMap<u32, u64>>>,
}

impl Links {
    /// Notes which node runs in a process.
    pub fn runs(&self, pid: u32, node: u64) {
        let mut processes = self.processes.lock().unwrap_or_else(PoisonError::into_inner);
        processes.retain(|_, known| *known != node);
        processes.insert(pid, node);
    }

    /// Changes the rule from one node to another.
    pub fn change(&self, from: u64, to: u64, change: impl FnOnce(&mut Rule)) {
        let mut rules = self.rules.lock().unwrap_or_else(PoisonError::into_inner);
        rules.entry((from, to)).or_default().send_modify(change);
    }

    /// Everything passes again.
    pub fn heal(&self) {
        let rules = self.rules.lock().unwrap_or_else(PoisonError::into_inner);
        for rule in rules.values() {
            rule.send_modify(|rule| *rule = Rule { breaks: rule.breaks, ..Rule::default() });
        }
    }

    fn follow(&self, from: u64, to: u64) -> watch::Receiver<Rule> {
        let mut rules = self.rules.lock().unwrap_or_else(PoisonError::into_inner);
        rules.entry((from, to)).or_default().subscribe()
    }

    /// The node whose process has this connection's other end.
    fn who(&self, peer: SocketAddr, here: SocketAddr) -> u64 {
        let Some(inode) = inode_of(peer, here) else { return CLIENT };
        let target = format!("socket:[{inode}]");
        let processes = self.processes.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let has = |pid: &u32| {
            let files = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
            let mut links = files.filter_map(|file| std::fs::read_link(file.path()).ok());
            links.any(|link| link.as_os_str() == target.as_str())
        };
        processes.into_iter().find(|(pid, _)| has(pid)).map_or(CLIENT, |(_, node)| node)
    }
}

/// The inode of the socket that is bound to `peer` and connected to `here`, both of this machine.
fn inode_of(peer: SocketAddr, here: SocketAddr) -> Option<u64> {
    let table = std::fs::read_to_string("/proc/net/tcp").ok()?;
    let (SocketAddr::V4(peer), SocketAddr::V4(here)) = (peer, here) else { return None };
    // Addresses are hexadecimal, in the byte order of the machine; ports in that of people.
    let written = |address: std::net::SocketAddrV4| {
        format!("{:08X}:{:04X}", u32::from_ne_bytes(address.ip().octets()), address.port())
    };
    let (peer, here) = (written(peer), written(here));
    table.lines().find_map(|line| {
        let mut columns = line.split_whitespace().skip(1);
        let ends = (columns.next()?, columns.next()?);
        // State, queues, timer, retransmits, user and time-out stand between.
        (ends == (peer.as_str(), here.as_str())).then(|| columns.nth(6)?.parse().ok())?
    })
}

/// Listens for those who want to reach `node`, which listens at `upstream` itself, until the task is
/// ended.
pub async fn serve(listener: TcpListener, node: u64, upstream: SocketAddr, links: Links) {
    let mut connections = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => drop(connections.spawn(relay(stream, peer, node, upstream, links.clone()))),
                // No file is left, for a moment.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Carries one connection in both directions until one of them ends.
async fn relay(stream: TcpStream, peer: SocketAddr, node: u64, upstream: SocketAddr, links: Links) {
    let Ok(here) = stream.local_addr() else { return };
    let from = links.who(peer, here);
    let (mut there, mut back) = (links.follow(from, node), links.follow(node, from));
    // Connecting takes a way there and a way back.
    let open =
        async { there.wait_for(|rule| !rule.cut).await.is_ok() && back.wait_for(|rule| !rule.cut).await.is_ok() };
    if !open.await {
        return;
    }
    let Ok(server) = TcpStream::connect(upstream).await else { return };
    // Without it the proxy alone would add delays; a connection works without it too.
    let _ = (stream.set_nodelay(true), server.set_nodelay(true));
    let (from_client, to_client) = stream.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::select! {
        () = carry(from_client, to_server, there) => {}
        () = carry(from_server, to_client, back) => {}
    }
}

/// Carries one direction until it ends or is broken.
async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, rule: watch::Receiver<Rule>) {
    let breaks = rule.borrow().breaks;
    let (sender, mut chunks) = mpsc::channel::<(Instant, Vec<u8>)>(CHUNKS_MAX);
    let read = async {
        loop {
            let mut chunk = vec![0; CHUNK_BYTES];
            match from.read(&mut chunk).await {
                Ok(count @ 1..) => chunk.truncate(count),
                _ => return,
            }
            let due = Instant::now() + rule.borrow().delay;
            if sender.send((due, chunk)).await.is_err() {
                return;
            }
        }
    };
    let mut now = rule.clone();
    let write = async {
        while let Some((due, chunk)) = chunks.recv().await {
            tokio::time::sleep_until(due).await;
            let Ok(current) = now.wait_for(|rule| !rule.cut).await.map(|rule| *rule) else { return };
            if let Some(rate) = current.bytes_per_second {
                tokio::time::sleep(Duration::from_secs_f64(chunk.len() as f64 / f64::from(rate.max(1)))).await;
            }
            if to.write_all(&chunk).await.is_err() {
                return;
            }
        }
    };
    let mut broken = rule.clone();
    tokio::select! {
        () = read => {}
        () = write => {}
        _ = broken.wait_for(|rule| rule.breaks != breaks) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that gives back what it gets, behind a proxy for node 2.
    async fn echo_behind(links: &Links) -> SocketAddr {
        let echo = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let upstream = echo.local_addr().expect("an address");
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = echo.accept().await {
                tokio::spawn(async move {
                    let (mut reader, mut writer) = stream.split();
                    tokio::io::copy(&mut reader, &mut writer).await
                });
            }
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(serve(listener, 2, upstream, links.clone()));
        address
    }

    async fn ask(stream: &mut TcpStream) -> Result<(), tokio::time::error::Elapsed> {
        stream.write_all(b"x").await.expect("written");
        let answer = stream.read_u8();
        tokio::time::timeout(Duration::from_millis(300), answer).await.map(|byte| assert_eq!(byte.ok(), Some(b'x')))
    }

    #[tokio::test]
    async fn a_process_is_known_by_its_connection() {
        let links = Links::default();
        links.runs(std::process::id(), 1);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let here = listener.local_addr().expect("an address");
        let stream = TcpStream::connect(here).await.expect("connected");
        let (_accepted, peer) = listener.accept().await.expect("accepted");
        assert_eq!(links.who(peer, here), 1);
        drop(stream);
        links.runs(u32::MAX, 1);
        assert_eq!(links.who(peer, here), CLIENT);
    }

    #[tokio::test]
    async fn each_direction_is_cut_for_itself_and_nothing_is_lost_by_it() {
        let links = Links::default();
        links.runs(std::process::id(), 1);
        let mut stream = TcpStream::connect(echo_behind(&links).await).await.expect("connected");
        ask(&mut stream).await.expect("all is well");
        for (from, to) in [(1, 2), (2, 1)] {
            links.change(from, to, |rule| rule.cut = true);
            ask(&mut stream).await.expect_err("one direction is cut");
            links.heal();
            assert_eq!(stream.read_u8().await.expect("it arrives late"), b'x');
        }
        links.change(3, 2, |rule| rule.cut = true);
        ask(&mut stream).await.expect("another pair is cut");
    }

    #[tokio::test]
    async fn bytes_are_delayed_and_connections_broken() {
        let links = Links::default();
        links.runs(std::process::id(), 1);
        let address = echo_behind(&links).await;
        let mut stream = TcpStream::connect(address).await.expect("connected");
        ask(&mut stream).await.expect("all is well");
        links.change(1, 2, |rule| rule.delay = Duration::from_millis(60));
        let asked = Instant::now();
        ask(&mut stream).await.expect("late, but not too late");
        assert!(asked.elapsed() >= Duration::from_millis(60));
        links.change(1, 2, |rule| rule.breaks += 1);
        assert!(stream.read_u8().await.is_err(), "the connection is gone");
        ask(&mut TcpStream::connect(address).await.expect("connected")).await.expect("a new one works");
    }
}
