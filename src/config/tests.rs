//! What a configuration is read from, and what of it is refused.

use super::*;

fn load(text: &str, env: &[(&str, &str)], flags: &[&str]) -> Result<Config, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("node.toml");
    std::fs::write(&path, text).unwrap();
    let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let flags: Vec<String> = flags.iter().map(|flag| (*flag).to_owned()).collect();
    Config::load(Some(&path), env, &flags)
        .map_err(|error| error.to_string().replace(&path.display().to_string(), "FILE"))
}

#[test]
fn flags_override_the_environment_which_overrides_the_file_which_overrides_defaults() {
    let text = "[raft]\nheartbeat_ms = 10\nelection_min_ms = 60\nelection_max_ms = 120\n";
    let env = [("COUNTERFOIL_RAFT_ELECTION_MIN_MS", "70"), ("COUNTERFOIL_RAFT_HEARTBEAT_MS", "11"), ("HOME", "/")];
    let config = load(text, &env, &["raft.heartbeat_ms=12", "node.data_dir=/data"]).unwrap();
    assert_eq!(config.raft.heartbeat_ms, 12);
    assert_eq!(config.raft.election_min_ms, 70);
    assert_eq!(config.raft.election_max_ms, 120);
    assert_eq!(config.store.state_sync_ms, StoreConfig::default().state_sync_ms);
    assert_eq!(config.node.data_dir, PathBuf::from("/data"));
}

#[test]
fn what_is_wrong_is_named() {
    type Case = (&'static str, &'static [(&'static str, &'static str)], &'static [&'static str], &'static str);
    let cases: &[Case] = &[
        ("[raft]\nheart = 1\n", &[], &[], "FILE: there is no key `raft.heart`"),
        ("[rafts]\n", &[], &[], "FILE: there is no key `rafts`"),
        ("", &[("COUNTERFOIL_RAFT_HEART", "1")], &[], "environment: there is no key `COUNTERFOIL_RAFT_HEART`"),
        ("", &[], &["raft.heart=1"], "--set: there is no key `raft.heart`"),
        (
            "[raft]\nheartbeat_ms = \"soon\"\n",
            &[],
            &[],
            "`raft.heartbeat_ms`: invalid type: string \"soon\", expected u64",
        ),
        ("[node]\nclient_listen = \"here\"\n", &[], &[], "`node.client_listen`: invalid socket address syntax"),
        (
            "",
            &[],
            &["raft.heartbeat_ms=60"],
            "`raft.election_min_ms`: must be at least three heartbeats, or one late heartbeat starts an election",
        ),
        ("", &[], &["raft.heartbeat_ms=1"], "`raft.heartbeat_ms`: below 5 ms the heartbeats alone keep the nodes busy"),
        ("", &[], &["server.calls=0"], "`server.calls`: 0 is below the least, 1"),
        ("", &[], &["server.proposals=1025"], "`server.proposals`: 1025 is above the most, 1024"),
        ("", &[], &["node.id=4"], "`cluster.members`: this node, 4, is not among them, and cluster.join is not set"),
        (
            "",
            &[],
            &["telemetry.metrics_listen=here"],
            "`telemetry.metrics_listen`: \"here\" is not an address such as 127.0.0.1:7600",
        ),
        (
            "",
            &[],
            &["node.raft_listen=127.0.0.1:7400"],
            "`node.raft_listen`: 127.0.0.1:7400 is where clients are served",
        ),
        (
            "",
            &[],
            &["telemetry.metrics_listen=127.0.0.1:7500"],
            "`telemetry.metrics_listen`: clients or nodes are served there",
        ),
        (
            "[[cluster.members]]\nid = 1\nclient_endpoint = \"a:1\"\nraft_endpoint = \"a:1\"\n",
            &[],
            &[],
            "`cluster.members`: one endpoint is named twice",
        ),
        ("", &[], &["node.id"], "`node.id`: a flag is written --set section.key=value"),
    ];
    for (text, env, flags, expected) in cases {
        assert_eq!(load(text, env, flags).unwrap_err(), *expected);
    }
}

/// A slip of the pen is told, and neither panics nor is cut to something else when the node starts.
#[test]
fn no_number_is_without_a_most() {
    let table = Config::default().to_table();
    let mut numbers = 0;
    for (section, keys) in &table {
        for (key, value) in keys.as_table().unwrap() {
            if value.is_integer() && key != "id" {
                let flag = format!("{section}.{key}={}", i64::MAX);
                let error = load("", &[], &[&flag]).unwrap_err();
                assert!(error.starts_with(&format!("`{section}.{key}`: ")), "{error}");
                numbers += 1;
            }
        }
    }
    assert_eq!(numbers + 1, Config::default().ranges().len(), "a number without a range is not checked");
}

/// What the check lets through, replication takes.
#[test]
fn what_is_checked_here_is_not_checked_otherwise_later() {
    for heartbeat in [1, 4, 5, 50, 60_000] {
        for (min, max) in [(3 * heartbeat, 6 * heartbeat), (3 * heartbeat, 3 * heartbeat), (2 * heartbeat, 600_000)] {
            let mut config = Config::default();
            let raft =
                RaftConfig { heartbeat_ms: heartbeat, election_min_ms: min, election_max_ms: max, ..config.raft };
            config.raft = raft;
            assert_eq!(config.check().is_ok(), config.raft.replication().validate().is_ok(), "{config:?}");
        }
    }
}

#[test]
fn members_are_read_and_checked() {
    let member = |id: u64, endpoint: &str| {
        format!("[[cluster.members]]\nid = {id}\nclient_endpoint = \"{endpoint}\"\nraft_endpoint = \"b:{id}\"\n")
    };
    let config = load(&(member(1, "a:1") + &member(2, "c:1")), &[], &[]).unwrap();
    assert_eq!(config.cluster.members.len(), 2);
    let error = load(&(member(1, "a:1") + &member(1, "c:1")), &[], &[]).unwrap_err();
    assert_eq!(error, "`cluster.members`: two members have one id");
    let error = load(&member(1, "http://a:1/"), &[], &[]).unwrap_err();
    assert_eq!(error, "`cluster.members`: \"http://a:1/\" is not of the form HOST:PORT");
}

/// The documented file is the list of keys: it names every one of them, with its default.
#[test]
fn the_documented_configuration_is_the_default_one() {
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/config/counterfoil.toml"));
    let documented: toml::Table = std::fs::read_to_string(path).unwrap().parse().unwrap();
    assert_eq!(documented, Config::default().to_table());
}
