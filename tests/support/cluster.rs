//! A cluster of real processes for tests: the built binary, own ports, own folders, SIGKILL.

// Every test file compiles this for itself and uses a part of it.
#![allow(dead_code)]

#[path = "ports.rs"]
mod ports;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use counterfoil::proto::v1::cluster_service_client::ClusterServiceClient;
use counterfoil::proto::v1::{GetStatusRequest, GetStatusResponse};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tonic::transport::{Channel, Endpoint};

use ports::free_port;

/// How long a cluster may take to do what it must.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// How a node comes to its cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Birth {
    /// It is one of those that form it.
    Founder,
    /// It waits to be added.
    Joins,
}

/// One node: its place on disk and on the network, and its process while it runs.
pub struct Member {
    pub id: u64,
    pub folder: PathBuf,
    pub client_endpoint: String,
    pub raft_endpoint: String,
    /// What its process finds in its environment besides ours.
    environment: Vec<(&'static str, PathBuf)>,
    birth: Birth,
    process: Option<Child>,
}

impl Member {
    fn new(root: &Path, id: u64, birth: Birth) -> Self {
        let endpoint = || format!("127.0.0.1:{}", free_port());
        let folder = root.join(format!("node-{id}"));
        let (client_endpoint, raft_endpoint) = (endpoint(), endpoint());
        Self { id, folder, client_endpoint, raft_endpoint, environment: Vec::new(), birth, process: None }
    }

    /// The id of its process.
    pub fn process_id(&self) -> u32 {
        self.process.as_ref().expect("the node runs").id()
    }

    /// Whether its process was started and not waited for.
    pub fn runs(&self) -> bool {
        self.process.is_some()
    }
}

/// Nodes of one cluster. Dropping it kills them.
pub struct Cluster {
    pub members: Vec<Member>,
    /// Its name, which is its identity.
    pub name: String,
    settings: String,
    root: tempfile::TempDir,
}

impl Cluster {
    /// Starts `count` nodes with `settings` (TOML sections) on top of the defaults, and waits for a leader.
    pub async fn start(count: u64, settings: &str) -> Self {
        Self::start_in(count, settings, |_| Vec::new()).await
    }

    /// The same with an environment for each node, made of its folder.
    pub async fn start_in(
        count: u64,
        settings: &str,
        environment: impl Fn(&Path) -> Vec<(&'static str, PathBuf)>,
    ) -> Self {
        let mut cluster = Self::prepare("test", count, settings);
        for member in &mut cluster.members {
            member.environment = environment(&member.folder);
        }
        for place in 0..cluster.members.len() {
            cluster.start_node(place);
        }
        cluster.leader().await;
        cluster
    }

    /// A cluster of this name whose nodes have a configuration and do not run yet.
    pub fn prepare(name: &str, count: u64, settings: &str) -> Self {
        let root = tempfile::tempdir().expect("a folder for the cluster");
        let members: Vec<Member> = (1..=count).map(|id| Member::new(root.path(), id, Birth::Founder)).collect();
        let cluster = Self { members, name: name.to_owned(), settings: settings.to_owned(), root };
        for place in 0..cluster.members.len() {
            cluster.write_config(place);
        }
        cluster
    }

    fn write_config(&self, place: usize) {
        std::fs::write(self.config(place), self.config_text(place)).expect("a config");
    }

    /// Starts another node, which waits to be added; returns its place.
    pub fn start_joining(&mut self, id: u64) -> usize {
        self.members.push(Member::new(self.root.path(), id, Birth::Joins));
        let place = self.members.len() - 1;
        self.start_node(place);
        place
    }

    /// Gives a node that does not run other ports.
    pub fn move_node(&mut self, place: usize) {
        let member = &mut self.members[place];
        assert!(member.process.is_none(), "the node runs");
        member.client_endpoint = format!("127.0.0.1:{}", free_port());
        member.raft_endpoint = format!("127.0.0.1:{}", free_port());
    }

    /// A node's configuration file.
    pub fn config(&self, place: usize) -> PathBuf {
        self.root.path().join(format!("node-{}.toml", self.members[place].id))
    }

    fn config_text(&self, place: usize) -> String {
        let (member, settings) = (&self.members[place], &self.settings);
        let mut text = format!(
            "[node]\nid = {}\ndata_dir = {:?}\nclient_listen = \"{}\"\nraft_listen = \"{}\"\n\n{settings}\n[cluster]\nname = {:?}\njoin = {}\n",
            member.id,
            member.folder,
            member.client_endpoint,
            member.raft_endpoint,
            self.name,
            member.birth == Birth::Joins,
        );
        for member in self.members.iter().filter(|member| member.birth == Birth::Founder) {
            text += &format!(
                "[[cluster.members]]\nid = {}\nclient_endpoint = \"{}\"\nraft_endpoint = \"{}\"\n",
                member.id, member.client_endpoint, member.raft_endpoint
            );
        }
        text
    }

    /// Where a node's log lines go.
    pub fn log_file(&self, place: usize) -> PathBuf {
        self.root.path().join(format!("node-{}.log", self.members[place].id))
    }

    /// Starts a node that does not run.
    pub fn start_node(&mut self, place: usize) {
        self.start_by(place, Command::new(env!("CARGO_BIN_EXE_counterfoil")));
    }

    /// Starts a node that does not run, on a disk that does not give back what it is asked for first of these files.
    /// Needs strace.
    pub fn start_node_without(&mut self, place: usize, unreadable: &[PathBuf]) {
        let mut strace = Command::new("strace");
        // With -D the node is the child, and what traces it ends with it.
        strace.args([
            "-D",
            "-f",
            "-qq",
            "-o",
            "/dev/null",
            "-e",
            "trace=pread64",
            "-e",
            "inject=pread64:error=EIO:when=1",
        ]);
        for file in unreadable {
            strace.arg("-P").arg(file);
        }
        strace.arg(env!("CARGO_BIN_EXE_counterfoil"));
        self.start_by(place, strace);
    }

    fn start_by(&mut self, place: usize, mut command: Command) {
        assert!(self.members[place].process.is_none(), "the node runs already");
        self.write_config(place);
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.log_file(place)).expect("a log file");
        let child = command
            .args(["serve", "--config"])
            .arg(self.config(place))
            .envs(self.members[place].environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the daemon starts");
        self.members[place].process = Some(child);
    }

    /// Whether a process can be made to see a disk that fails; says so when not.
    pub fn can_fail_disks() -> bool {
        let there = Command::new("strace").arg("-V").stdout(Stdio::null()).status().is_ok();
        if !there {
            eprintln!("SKIPPED: strace is not there; no disk was made to fail under a process");
        }
        there
    }

    /// The process of a node that runs.
    pub fn process_id(&self, place: usize) -> u32 {
        self.members[place].process.as_ref().expect("the node runs").id()
    }

    fn pid(&self, place: usize) -> Pid {
        Pid::from_raw(self.process_id(place) as i32)
    }

    /// Kills these nodes with SIGKILL, as close to one another as can be.
    pub fn kill(&mut self, places: &[usize]) {
        for &place in places {
            kill(self.pid(place), Signal::SIGKILL).expect("the process is ours");
        }
        for &place in places {
            self.members[place].process.take().expect("the node runs").wait().expect("it ended");
        }
    }

    /// Asks a node to stop, and waits until it has; returns whether it ended well.
    pub fn terminate(&mut self, place: usize) -> bool {
        kill(self.pid(place), Signal::SIGTERM).expect("the process is ours");
        self.members[place].process.take().expect("the node runs").wait().expect("it ended").success()
    }

    /// Waits until a node's process ends by itself, and returns its log.
    pub async fn wait_ended(&mut self, place: usize) -> String {
        let deadline = Instant::now() + PATIENCE;
        while self.members[place].process.as_mut().expect("the node ran").try_wait().expect("a child").is_none() {
            assert!(Instant::now() < deadline, "the node goes on");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.members[place].process = None;
        std::fs::read_to_string(self.log_file(place)).expect("a log")
    }

    pub fn endpoints(&self) -> Vec<String> {
        self.members.iter().map(|member| member.client_endpoint.clone()).collect()
    }

    pub fn channel(&self, place: usize) -> Channel {
        channel(&self.members[place].client_endpoint)
    }

    /// What one node says of the cluster, if it answers.
    pub async fn status(&self, place: usize) -> Option<GetStatusResponse> {
        let mut client = ClusterServiceClient::new(self.channel(place));
        let answer = tokio::time::timeout(Duration::from_secs(1), client.get_status(GetStatusRequest {})).await;
        answer.ok()?.ok().map(tonic::Response::into_inner)
    }

    /// Waits until a node leads and says so itself; returns its place.
    pub async fn leader(&self) -> usize {
        let deadline = Instant::now() + PATIENCE;
        loop {
            for place in (0..self.members.len()).filter(|&place| self.members[place].process.is_some()) {
                if let Some(status) = self.status(place).await
                    && status.leader_id == self.members[place].id
                {
                    return place;
                }
            }
            assert!(Instant::now() < deadline, "no leader in time\n{}", self.logs());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until every running node shows the same applied index, sequence and digest; returns it.
    pub async fn one_digest(&self) -> GetStatusResponse {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let mut seen = BTreeSet::new();
            let mut last = None;
            for place in (0..self.members.len()).filter(|&place| self.members[place].process.is_some()) {
                let status = self.status(place).await;
                seen.insert(status.as_ref().map(|s| (s.applied_index, s.sequence, s.state_digest.clone())));
                last = status.or(last);
            }
            if seen.len() == 1
                && let Some(status) = last.clone()
            {
                return status;
            }
            assert!(Instant::now() < deadline, "the nodes differ: {seen:?}\n{}", self.logs());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Waits until every running node follows one leader and has applied what it had committed.
    pub async fn one_leader_with_all(&self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let leader = self.leader().await;
            let goal = self.status(leader).await.map_or(u64::MAX, |status| status.committed_index);
            let mut behind = false;
            for place in (0..self.members.len()).filter(|&place| self.members[place].process.is_some()) {
                behind |= self.status(place).await.is_none_or(|status| status.applied_index < goal);
            }
            if !behind {
                return;
            }
            assert!(Instant::now() < deadline, "a node stays behind\n{}", self.logs());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The last lines of every node's log, for a failed assertion.
    pub fn logs(&self) -> String {
        let tail = |place: usize| {
            let text = std::fs::read_to_string(self.log_file(place)).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            format!("--- node {}\n{}\n", self.members[place].id, lines[lines.len().saturating_sub(30)..].join("\n"))
        };
        (0..self.members.len()).map(tail).collect()
    }

    pub fn root(&self) -> &Path {
        self.root.path()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let running: Vec<usize> =
            (0..self.members.len()).filter(|&place| self.members[place].process.is_some()).collect();
        self.kill(&running);
    }
}

/// A connection that is made when it is first used, and again after it broke.
pub fn channel(endpoint: &str) -> Channel {
    Endpoint::from_shared(format!("http://{endpoint}"))
        .expect("an endpoint")
        .connect_timeout(Duration::from_millis(300))
        .connect_lazy()
}
