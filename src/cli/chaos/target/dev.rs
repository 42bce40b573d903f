//! The nodes of a running `counterfoil dev`, found by its folder. It starts by itself what was killed.

use std::path::{Path, PathBuf};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{Act, Member};
use crate::cli::CliError;
use crate::config::Config;

/// A development cluster's folder.
#[derive(Debug)]
pub struct DevFolder {
    members: Vec<Member>,
    configs: Vec<PathBuf>,
}

impl DevFolder {
    /// The cluster whose configurations lie here.
    pub fn open(dir: &Path) -> Result<Self, CliError> {
        let (mut members, mut configs) = (Vec::new(), Vec::new());
        for number in 1.. {
            let file = dir.join(format!("node-{number}.toml"));
            if !file.exists() {
                break;
            }
            let config = Config::load(Some(&file), [], &[])?;
            members.push(Member { id: config.node.id, endpoint: config.node.client_listen.to_string() });
            configs.push(file);
        }
        if members.is_empty() {
            let reason = format!("{} holds no cluster of `counterfoil dev`", dir.display());
            return Err(CliError::Usage { option: "--dev", reason });
        }
        Ok(Self { members, configs })
    }

    pub fn members(&self) -> &[Member] {
        &self.members
    }

    pub fn act(&mut self, place: usize, act: Act) -> Result<(), CliError> {
        let signal = match act {
            Act::Kill => Signal::SIGKILL,
            Act::Terminate => Signal::SIGTERM,
            Act::Pause => Signal::SIGSTOP,
            Act::Resume => Signal::SIGCONT,
            // `dev` does it, after a moment.
            Act::Start => return Ok(()),
            Act::Network(_) | Act::Heal => {
                return Err(CliError::Check("nodes of `dev` have no network of their own to cut".to_owned()));
            }
        };
        let pid = self.pid(place)?;
        kill(pid, signal).map_err(|errno| CliError::Start(errno.into()))
    }

    /// The process that was started with the node's configuration.
    fn pid(&self, place: usize) -> Result<Pid, CliError> {
        let config = absolute(&self.configs[place]);
        let processes = std::fs::read_dir("/proc").map_err(CliError::Start)?;
        let pids = processes.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        let found = pids.into_iter().find(|pid| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let words: Vec<_> = line.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
            let folder = std::fs::read_link(format!("/proc/{pid}/cwd")).unwrap_or_default();
            let named = |word: &str| absolute(&folder.join(word)) == config;
            words.get(1).is_some_and(|word| word == "serve") && words.iter().skip(2).any(|word| named(word))
        });
        let missing = || CliError::Check(format!("node {} does not run", self.members[place].id));
        found.map(Pid::from_raw).ok_or_else(missing)
    }
}

fn absolute(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}
