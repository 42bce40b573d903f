//! This process, and a node as another one of the same binary.

use std::path::Path;
use std::process::Stdio;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, Command};
use tokio::signal::unix::{self, SignalKind};

use super::CliError;

/// Starts a node with this configuration; its log lines are added to a file. It is a process of its
/// own group, so that a Ctrl-C in the terminal reaches this one alone, which then stops its nodes.
pub fn start_node(config: &Path, log: &Path) -> Result<Child, CliError> {
    let program = std::env::current_exe().map_err(CliError::Start)?;
    let file = std::fs::OpenOptions::new().create(true).append(true).open(log);
    let file = file.map_err(|source| CliError::File { path: log.to_owned(), source })?;
    let mut command = Command::new(program);
    command.arg("serve").arg("--config").arg(config);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(file).process_group(0).kill_on_drop(true);
    command.spawn().map_err(CliError::Start)
}

/// Hears when this process is told to end: by Ctrl-C, or by SIGTERM.
#[derive(Debug)]
pub struct Ending {
    terminate: unix::Signal,
    interrupt: unix::Signal,
}

impl Ending {
    /// Listens from now on; what comes before [`Self::told`] is asked is not lost.
    pub fn listen() -> Result<Self, CliError> {
        let of = |kind| unix::signal(kind).map_err(CliError::Start);
        Ok(Self { terminate: of(SignalKind::terminate())?, interrupt: of(SignalKind::interrupt())? })
    }

    /// Waits until it is told to.
    pub async fn told(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Sends a signal to a child that has not been waited for; nothing when it has ended.
pub fn signal_child(child: &Child, signal: Signal) {
    if let Some(pid) = child.id().and_then(|pid| i32::try_from(pid).ok()) {
        // A process that has ended by itself needs no telling.
        let _ = kill(Pid::from_raw(pid), signal);
    }
}
