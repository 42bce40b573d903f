//! A whole cluster of three processes by `counterfoil dev`, for the tests of the command line.

use std::io::{BufRead as _, BufReader};
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, mpsc};
use std::time::{Duration, Instant};

use counterfoil::net;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(90);

/// A running `dev`. Dropping it stops it, and with it its nodes.
pub struct Dev {
    process: Child,
    lines: mpsc::Receiver<String>,
    said: Vec<String>,
    endpoints: String,
}

impl Dev {
    pub fn start(folder: &Path, port: u16) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_counterfoil"))
            .args(["dev", "--port", &port.to_string(), "--dir"])
            .arg(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("dev starts");
        let (sender, lines) = mpsc::sync_channel(1_000);
        let output = BufReader::new(process.stdout.take().expect("its output"));
        std::thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        let mut dev = Self { process, lines, said: Vec::new(), endpoints: String::new() };
        dev.endpoints = dev.wait_for("ready: ").trim_start_matches("ready: ").to_owned();
        dev
    }

    /// The next line that begins so.
    pub fn wait_for(&mut self, start: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = self.lines.recv_timeout(left);
            let line = line.unwrap_or_else(|_| panic!("dev did not say {start:?}, but {:#?}", self.said));
            self.said.push(line.clone());
            if line.starts_with(start) {
                return line;
            }
        }
    }

    pub fn pid_of(&self, node: u64) -> Pid {
        let start = format!("node {node}: pid ");
        let line = self.said.iter().rev().find_map(|line| line.strip_prefix(&start)).expect("the node was started");
        Pid::from_raw(line.split(',').next().and_then(|pid| pid.parse().ok()).expect("a pid"))
    }

    /// Runs the command line against the cluster.
    pub fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_counterfoil"))
            .args(arguments)
            .env("COUNTERFOIL_ENDPOINT", &self.endpoints)
            .output()
            .expect("the binary runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
    }

    /// Runs `ctl` with JSON output, which must succeed.
    pub fn ctl(&self, arguments: &[&str]) -> Value {
        let (code, out, error) = self.run(&[&["ctl", "--output", "json"], arguments].concat());
        assert_eq!(code, 0, "{arguments:?}: {out}{error}");
        serde_json::from_str(&out).unwrap_or_else(|_| panic!("{arguments:?}: no JSON: {out}"))
    }

    /// Kills the node that leads; returns its number. `dev` starts it again.
    pub fn kill_leader(&self) -> u64 {
        let leader = self.ctl(&["cluster", "status"])["leader_id"].as_u64().expect("a leader");
        kill(self.pid_of(leader), Signal::SIGKILL).expect("the leader runs");
        leader
    }

    pub fn stop(&mut self) {
        let pid = Pid::from_raw(i32::try_from(self.process.id()).expect("a pid"));
        kill(pid, Signal::SIGTERM).expect("it runs");
        assert!(self.process.wait().expect("it ends").success(), "{:#?}", self.said);
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        if let (Ok(None), Ok(pid)) = (self.process.try_wait(), i32::try_from(self.process.id())) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
            let _ = self.process.wait();
        }
    }
}

/// The first of a run of ports that are free, below the range of outgoing connections, and that no other test
/// of this process was given.
pub fn free_ports() -> u16 {
    static GIVEN: Mutex<Vec<u16>> = Mutex::new(Vec::new());
    let mut given = GIVEN.lock().expect("no test ends while it holds this");
    let free = |port: u16| net::probe((Ipv4Addr::LOCALHOST, port).into()).is_ok();
    let start = 12_000 + (std::process::id() % 400) as u16 * 10;
    let mut starts = (start..start + 8_000).step_by(10).filter(|&port| port / 10 % 20 < 10);
    let found = starts.find(|port| !given.contains(port) && (*port..port + 3).chain(port + 100..port + 103).all(free));
    let port = found.expect("free ports");
    given.push(port);
    port
}
