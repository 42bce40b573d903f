//! The containers of a docker-compose project.
//!
//! Cutting one off takes it off the project's network. Clients on this machine cannot reach it either
//! then, since its published port goes with the network.

use serde::Deserialize;
use tokio::process::Command;

use super::{Act, Member, run_program};
use crate::cli::CliError;

/// The port that a node's container listens on for clients.
const CLIENT_PORT: &str = "7400/tcp";
/// How long a container may take to stop, in seconds.
const STOP_SECONDS: &str = "20";

#[derive(Debug)]
struct Container {
    id: String,
    service: String,
    network: String,
    is_cut_off: bool,
}

/// A project's containers.
#[derive(Debug)]
pub struct Compose {
    members: Vec<Member>,
    containers: Vec<Container>,
}

/// The part of `docker inspect` that counts here.
#[derive(Debug, Deserialize)]
struct Inspected {
    #[serde(rename = "Id")]
    id: String,
    #[serde(rename = "Config")]
    config: InspectedConfig,
    #[serde(rename = "NetworkSettings")]
    network: InspectedNetwork,
}

#[derive(Debug, Deserialize)]
struct InspectedConfig {
    #[serde(rename = "Labels")]
    labels: std::collections::BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
struct InspectedNetwork {
    #[serde(rename = "Ports")]
    ports: std::collections::BTreeMap<String, Option<Vec<InspectedPort>>>,
    #[serde(rename = "Networks")]
    networks: std::collections::BTreeMap<String, serde_json::Value>,
}

#[derive(Debug, Deserialize)]
struct InspectedPort {
    #[serde(rename = "HostIp")]
    address: String,
    #[serde(rename = "HostPort")]
    port: String,
}

impl Inspected {
    fn endpoint(&self) -> Option<String> {
        let port = self.network.ports.get(CLIENT_PORT)?.as_ref()?.first()?;
        let address = if port.address == "0.0.0.0" || port.address.is_empty() { "127.0.0.1" } else { &port.address };
        Some(format!("{address}:{}", port.port))
    }
}

impl Compose {
    /// The running containers of a project that publish a client port.
    pub async fn open(project: &str) -> Result<Self, CliError> {
        let label = format!("label=com.docker.compose.project={project}");
        let ids = docker(&["ps", "-q", "--filter", &label]).await?;
        let ids: Vec<&str> = ids.split_whitespace().collect();
        let none = || CliError::Usage {
            option: "--compose",
            reason: format!("project {project} has no running container that publishes {CLIENT_PORT}"),
        };
        if ids.is_empty() {
            return Err(none());
        }
        let text = docker(&[&["inspect"], ids.as_slice()].concat()).await?;
        let mut inspected: Vec<Inspected> =
            serde_json::from_str(&text).map_err(|error| CliError::Check(format!("docker inspect: {error}")))?;
        inspected.sort_by_key(|container| container.config.labels.get("com.docker.compose.service").cloned());
        let (mut members, mut containers) = (Vec::new(), Vec::new());
        for container in inspected {
            let Some(endpoint) = container.endpoint() else { continue };
            members.push(Member { id: members.len() as u64 + 1, endpoint });
            containers.push(Container {
                service: container.config.labels.get("com.docker.compose.service").cloned().unwrap_or_default(),
                network: container.network.networks.keys().next().cloned().unwrap_or_default(),
                id: container.id,
                is_cut_off: false,
            });
        }
        if members.is_empty() { Err(none()) } else { Ok(Self { members, containers }) }
    }

    pub fn members(&self) -> &[Member] {
        &self.members
    }

    pub async fn act(&mut self, place: usize, act: Act) -> Result<(), CliError> {
        let Container { id, service, network, is_cut_off } = &mut self.containers[place];
        match act {
            // What is off the network cannot be taken off it, nor put on it twice.
            Act::Network(_) if std::mem::replace(is_cut_off, true) => return Ok(()),
            Act::Heal if !std::mem::replace(is_cut_off, false) => return Ok(()),
            _ => {}
        }
        let (id, service, network) = (id.as_str(), service.as_str(), network.as_str());
        let arguments: Vec<&str> = match act {
            Act::Kill => vec!["kill", "--signal", "SIGKILL", id],
            Act::Terminate => vec!["stop", "--time", STOP_SECONDS, id],
            Act::Start => vec!["start", id],
            Act::Pause => vec!["pause", id],
            Act::Resume => vec!["unpause", id],
            Act::Network(_) => vec!["network", "disconnect", network, id],
            Act::Heal => vec!["network", "connect", "--alias", service, network, id],
        };
        docker(&arguments).await.map(drop)
    }
}

async fn docker(arguments: &[&str]) -> Result<String, CliError> {
    let mut command = Command::new("docker");
    command.args(arguments);
    run_program(command).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_port_of_a_container_is_found() {
        let text = r#"[{"Id": "abc", "Config": {"Labels": {"com.docker.compose.service": "node1"}, "Env": []},
            "NetworkSettings": {"Ports": {"7400/tcp": [{"HostIp": "127.0.0.1", "HostPort": "7401"}], "7500/tcp": null},
            "Networks": {"project_default": {"Aliases": ["node1"]}}}}]"#;
        let inspected: Vec<Inspected> = serde_json::from_str(text).expect("as docker prints it");
        assert_eq!(inspected[0].endpoint().as_deref(), Some("127.0.0.1:7401"));
    }
}
