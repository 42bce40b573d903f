//! Nodes anywhere: the user says by which command a node is killed, started, paused or cut off.

use tokio::process::Command;

use super::{Act, Member, Network, run_program};
use crate::cli::CliError;

/// One shell command per act; `{node}` and `{endpoint}` are replaced.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Templates {
    /// Kills a node at once, such as "ssh {node} sudo systemctl kill -s SIGKILL counterfoil"
    #[arg(long, value_name = "COMMAND")]
    kill_command: Option<String>,
    /// Stops a node as an operator does, such as "ssh {node} sudo systemctl stop counterfoil"
    #[arg(long, value_name = "COMMAND")]
    stop_command: Option<String>,
    /// Starts a node again; must leave one alone that runs
    #[arg(long, value_name = "COMMAND")]
    start_command: Option<String>,
    /// Makes a node stand still, such as "ssh {node} sudo pkill -STOP counterfoil"
    #[arg(long, value_name = "COMMAND")]
    pause_command: Option<String>,
    /// Makes a paused node go on
    #[arg(long, value_name = "COMMAND")]
    resume_command: Option<String>,
    /// Cuts a node off from the others
    #[arg(long, value_name = "COMMAND")]
    cut_command: Option<String>,
    /// Joins a node that was cut off to the others again; must leave one alone that is joined
    #[arg(long, value_name = "COMMAND")]
    heal_command: Option<String>,
    /// What {node} is for each endpoint, in order: host names, for instance [default: 1, 2, 3 …]
    #[arg(long, value_delimiter = ',', value_name = "NAME")]
    node_names: Vec<String>,
}

impl Templates {
    /// Whether any command is given.
    pub fn is_given(&self) -> bool {
        self.kill_command.is_some() || self.pause_command.is_some() || self.cut_command.is_some()
    }

    fn of(&self, act: Act) -> Option<&str> {
        match act {
            Act::Kill => self.kill_command.as_deref(),
            Act::Terminate => self.stop_command.as_deref(),
            Act::Start => self.start_command.as_deref(),
            Act::Pause => self.pause_command.as_deref(),
            Act::Resume => self.resume_command.as_deref(),
            Act::Network(Network::Isolated) => self.cut_command.as_deref(),
            Act::Network(_) => None,
            Act::Heal => self.heal_command.as_deref(),
        }
    }
}

/// The nodes with their commands.
#[derive(Debug)]
pub struct Commands {
    members: Vec<Member>,
    templates: Templates,
}

impl Commands {
    /// The nodes at these endpoints.
    pub fn new(endpoints: &[String], templates: Templates) -> Result<Self, CliError> {
        let names = templates.node_names.len();
        if names != 0 && names != endpoints.len() {
            let reason = format!("names {names} nodes, there are {} endpoints", endpoints.len());
            return Err(CliError::Usage { option: "--node-names", reason });
        }
        let members = (1..).zip(endpoints).map(|(id, endpoint)| Member { id, endpoint: endpoint.clone() });
        Ok(Self { members: members.collect(), templates })
    }

    pub fn members(&self) -> &[Member] {
        &self.members
    }

    pub fn can(&self, act: Act) -> bool {
        self.templates.of(act).is_some()
    }

    pub async fn act(&mut self, place: usize, act: Act) -> Result<(), CliError> {
        let Some(template) = self.templates.of(act) else {
            return Err(CliError::Check(format!("no command is given for {act:?}")));
        };
        let member = &self.members[place];
        let name = self.templates.node_names.get(place).cloned().unwrap_or_else(|| member.id.to_string());
        let line = template.replace("{node}", &name).replace("{endpoint}", &member.endpoint);
        let mut command = Command::new("sh");
        command.arg("-c").arg(line);
        run_program(command).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_command_gets_the_name_and_the_endpoint_of_its_node() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("said");
        let templates = Templates {
            kill_command: Some(format!("echo {{node}} {{endpoint}} > {}", file.display())),
            pause_command: Some("exit 3".to_owned()),
            node_names: vec!["ann".to_owned(), "bob".to_owned()],
            ..Templates::default()
        };
        let endpoints = ["a:1".to_owned(), "b:2".to_owned()];
        let mut target = Commands::new(&endpoints, templates.clone()).expect("as many names as nodes");
        assert!(target.can(Act::Kill) && !target.can(Act::Start) && !target.can(Act::Network(Network::Mute)));
        target.act(1, Act::Kill).await.expect("done");
        assert_eq!(std::fs::read_to_string(&file).expect("a file"), "bob b:2\n");
        target.act(0, Act::Pause).await.expect_err("it failed");
        Commands::new(&endpoints[..1], templates).expect_err("two names for one node");
    }
}
