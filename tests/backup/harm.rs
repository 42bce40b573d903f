//! Backups and restores that are killed, and backups that are damaged.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::cluster::{Cluster, channel};
use super::traffic::{SMALL, Writers, cluster_of, execute, expect_balance, transfer};
use super::{json, number, restore, run, settings};

/// The worker is killed again and again while it makes backups: none is listed that is not whole.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_killed_leaves_no_half_backup_and_loses_no_good_one() {
    let folder = tempfile::tempdir().unwrap();
    let (mut cluster, _) = cluster_of(3, &(settings(folder.path()) + "mib_per_second = 1\n")).await;
    let writers = Writers::start(&cluster.endpoints(), 4, 1);
    cluster.first_backup().await;
    for round in 0..6 {
        writers.more(50).await;
        let begun = cluster.ctl(&["backup", "run", if round % 2 == 0 { "full" } else { "incremental" }]);
        let worker = number(&begun["node_id"]) as usize - 1;
        tokio::time::sleep(Duration::from_millis(20 + 60 * round)).await;
        cluster.kill(&[worker]);
        cluster.start_node(worker);
        cluster.one_leader_with_all().await;
    }
    writers.more(50).await;
    let answers = writers.stop().await;
    cluster.back_up("incremental");
    let target = folder.path().display().to_string();
    let verified = json(&["backup", "verify", "--from", &target, "--trial"]);
    assert!(verified["problems"].as_array().unwrap().is_empty(), "{verified}");
    assert!(verified["backups"].as_array().unwrap().iter().all(|backup| backup["problem"].is_null()), "{verified}");
    let mut new = Cluster::prepare("after", 1, SMALL);
    restore(folder.path(), &new, &[]);
    new.start_node(0);
    new.leader().await;
    expect_balance(&new, &channel(&new.endpoints()[0]), answers.len()).await;
}

/// A restore that is killed at any moment goes on where it was, and no node starts from what it left.
#[tokio::test(flavor = "multi_thread")]
async fn a_restore_that_is_killed_goes_on_and_gives_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let (cluster, channels) = cluster_of(1, &settings(folder.path())).await;
    cluster.first_backup().await;
    for round in 0..3 {
        let writers = Writers::start(&cluster.endpoints(), 4, 1 + 4 * round);
        writers.more(300).await;
        writers.stop().await;
        cluster.back_up("incremental");
    }
    drop(channels);
    let target = folder.path().display().to_string();
    let whole = Cluster::prepare("restored", 1, SMALL);
    let expected = restore(folder.path(), &whole, &[])["restored"].clone();

    let mut new = Cluster::prepare("restored", 1, SMALL);
    let config = new.config(0).display().to_string();
    let mut killed = 0;
    for patience in (1..).step_by(4).map(Duration::from_millis) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_counterfoil"));
        command.args(["restore", "--from", &target, "--config", &config]);
        let mut process = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the binary runs");
        tokio::time::sleep(patience).await;
        // One that has ended already cannot be killed.
        let _ = process.kill();
        let ended = process.wait_with_output().expect("it ended");
        if ended.status.success() {
            break;
        }
        let error = String::from_utf8_lossy(&ended.stderr);
        if error.contains("is not empty") && new.members[0].folder.join("IDENTITY").exists() {
            // The one before was killed behind its last step.
            break;
        }
        assert!(ended.status.code().is_none(), "it is refused after {killed} kills: {error}");
        killed += 1;
        if new.members[0].folder.join("RESTORING").exists() && killed % 5 == 0 {
            new.start_node(0);
            let log = new.wait_ended(0).await;
            assert!(log.contains("a restore was begun here and not finished"), "{log}");
        }
    }
    assert!(killed >= 5, "it was killed {killed} times");
    let facts = json(&["verify", &new.members[0].folder.display().to_string()]);
    assert!(facts["problems"].as_array().unwrap().is_empty(), "{facts}");
    new.start_node(0);
    new.leader().await;
    let status = new.status(0).await.expect("it runs");
    assert_eq!(
        (status.sequence, status.state_digest.as_str()),
        (number(&expected["sequence"]), expected["state_digest"].as_str().unwrap())
    );
}

/// The node is killed while it removes what is too old: what is listed is good, and the newest good one stays.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_killed_while_it_removes_backups_loses_no_good_one() {
    let folder = tempfile::tempdir().unwrap();
    let (mut cluster, channels) = cluster_of(1, &(settings(folder.path()) + "keep_full = 1\nkeep_days = 0\n")).await;
    cluster.first_backup().await;
    let target = folder.path().display().to_string();
    let mut reached = 0;
    for round in 0..12 {
        execute(&channels, transfer(1_000 + round)).await;
        cluster.back_up("incremental");
        execute(&channels, transfer(2_000 + round)).await;
        let begun = cluster.ctl(&["backup", "run", "full"]);
        let manifest = folder.path().join("manifests").join(begun["backup_id"].as_str().unwrap());
        let deadline = std::time::Instant::now() + super::PATIENCE;
        while !manifest.exists() {
            assert!(std::time::Instant::now() < deadline, "no backup was made\n{}", cluster.logs());
            std::thread::sleep(Duration::from_micros(200));
        }
        // From here on it is checked, and the ones before are removed.
        std::thread::sleep(Duration::from_millis(2 * round as u64));
        cluster.kill(&[0]);
        let verified = json(&["backup", "verify", "--from", &target]);
        assert!(verified["problems"].as_array().unwrap().is_empty(), "round {round}: {verified}");
        let backups = verified["backups"].as_array().unwrap();
        assert!(backups.iter().all(|backup| backup["problem"].is_null()), "round {round}: {verified}");
        let listed = json(&["backup", "list", "--from", &target]);
        let newest = number(&listed["newest_restorable"]["sequence"]);
        assert!(newest > reached, "round {round}: {listed}");
        reached = newest;
        cluster.start_node(0);
        cluster.leader().await;
    }
    let made = cluster.back_up("full");
    let listed = json(&["backup", "list", "--from", &target]);
    let left: Vec<_> = listed["backups"].as_array().unwrap().iter().map(|backup| &backup["id"]).collect();
    assert_eq!(left, [&made["backup_id"]], "all others are too old");
}

/// Sealed backups need their key, and a restore is refused under the old name.
#[tokio::test(flavor = "multi_thread")]
async fn backups_are_sealed_and_not_restored_under_the_old_name() {
    let folder = tempfile::tempdir().unwrap();
    let (target, key) = (folder.path().join("target"), folder.path().join("key"));
    let (good, text, _) = run(&["backup", "key"]);
    assert!(good);
    std::fs::write(&key, text).unwrap();
    let settings = settings(&target) + &format!("key_file = {key:?}\n");
    let (cluster, channels) = cluster_of(1, &settings).await;
    cluster.first_backup().await;
    for number in 100..150 {
        execute(&channels, transfer(number)).await;
    }
    cluster.back_up("incremental");
    let (target, key) = (target.display().to_string(), key.display().to_string());
    let (good, _, error) = run(&["backup", "list", "--from", &target]);
    assert!(!good && error.contains("no key is given"), "{error}");
    let sealed = ["--from", &target, "--key-file", &key];
    json(&[&["backup", "verify", "--trial"], &sealed[..]].concat());

    let old_name = cluster.config(0).display().to_string();
    let (good, _, error) =
        run(&[&["restore", "--config", &old_name, "--set", "node.data_dir=/nowhere"], &sealed[..]].concat());
    assert!(!good && error.contains("needs a new one"), "{error}");
}

/// What is done to an object.
const HARMS: [&str; 4] = ["bit", "cut", "missing", "swapped"];

fn spoil(target: &Path, name: &str, harm: &str, other: &str) {
    let path = target.join(name);
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    match harm {
        "missing" => return std::fs::remove_file(&path).unwrap(),
        "cut" => bytes.truncate(middle),
        "swapped" => bytes = std::fs::read(target.join(other)).unwrap(),
        _ => bytes[middle] ^= 1,
    }
    std::fs::write(&path, bytes).unwrap();
}

/// Every object of a chain is damaged in every way: `verify` and `restore` name it, and nothing is restored.
#[tokio::test(flavor = "multi_thread")]
async fn every_object_of_a_chain_is_named_when_it_is_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let (cluster, channels) = cluster_of(1, &settings(folder.path())).await;
    cluster.first_backup().await;
    let mut last = String::new();
    for round in 0..2 {
        for number in 0..20 {
            execute(&channels, transfer(100 * (1 + round) + number)).await;
        }
        last = cluster.back_up("incremental")["backup_id"].as_str().unwrap().to_owned();
    }
    let target = folder.path().display().to_string();
    let listed = json(&["backup", "list", "--from", &target]);
    let backups = listed["backups"].as_array().unwrap();
    assert_eq!(backups.len(), 3, "{listed}");
    let objects = |place: usize| {
        let id = backups[place]["id"].as_str().unwrap();
        let parts = backups[place]["parts"].as_array().unwrap().iter();
        let parts = parts.map(|part| format!("parts/{id}/{}", part["name"].as_str().unwrap()));
        [format!("manifests/{id}")].into_iter().chain(parts).collect::<Vec<_>>()
    };
    let mut harmed = 0;
    for place in 0..backups.len() {
        for name in objects(place) {
            let whole = std::fs::read(folder.path().join(&name)).unwrap();
            let others = objects((place + 1) % backups.len());
            // Of the last manifest of a chain nothing tells when it is not there.
            let harms = HARMS.iter().filter(|harm| **harm != "missing" || name != format!("manifests/{last}"));
            for harm in harms {
                let other = if name.starts_with("manifests") { &others[0] } else { others.last().unwrap() };
                spoil(folder.path(), &name, harm, other);
                let (good, out, error) = run(&["backup", "verify", "--from", &target]);
                assert!(!good && out.contains(&name), "{name} {harm}: {out}{error}");
                let new = Cluster::prepare("other", 1, SMALL);
                let config = new.config(0).display().to_string();
                let (good, out, error) = run(&["restore", "--from", &target, "--config", &config, "--backup", &last]);
                assert!(!good && error.contains(&name), "{name} {harm}: {out}{error}");
                assert!(error.contains("the newest restorable point is"), "{name} {harm}: {error}");
                let folder_of_it = &new.members[0].folder;
                assert!(!folder_of_it.join("IDENTITY").exists(), "{name} {harm}: a node could start from it");
                harmed += 1;
                std::fs::write(folder.path().join(&name), &whole).unwrap();
            }
        }
    }
    assert!(harmed >= 30, "{harmed} objects were damaged");
}
