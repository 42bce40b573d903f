//! Every dependency comes from the registry, is locked, and has a licence that deny.toml allows.

use std::collections::BTreeSet;
use std::process::Command;

fn allowed() -> BTreeSet<String> {
    let rules: toml::Table = include_str!("../deny.toml").parse().expect("deny.toml is TOML");
    let allow = rules["licenses"]["allow"].as_array().expect("a list");
    allow.iter().map(|name| name.as_str().expect("a name").to_owned()).collect()
}

/// What is built for other platforms is not ours.
fn platforms() -> Vec<String> {
    let rules: toml::Table = include_str!("../deny.toml").parse().expect("deny.toml is TOML");
    let targets = rules["graph"]["targets"].as_array().expect("a list");
    targets.iter().map(|name| name.as_str().expect("a name").to_owned()).collect()
}

/// Whether a licence expression (SPDX, or the older `A/B`) can be met with allowed licences.
fn permitted(expression: &str, allowed: &BTreeSet<String>) -> bool {
    let expression = expression.replace('/', " OR ").replace(['(', ')'], " ");
    let any = |part: &str| {
        part.split(" OR ").any(|name| allowed.contains(name.split_whitespace().collect::<Vec<_>>().join(" ").as_str()))
    };
    expression.split(" AND ").all(any)
}

#[test]
fn every_dependency_is_locked_from_the_registry_and_freely_licensed() {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked"])
        .args(platforms().iter().flat_map(|platform| ["--filter-platform", platform]))
        .arg("--manifest-path")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");

    let allowed = allowed();
    let mut problems = Vec::new();
    let packages = metadata["packages"].as_array().expect("a list");
    assert!(packages.len() > 100, "the whole tree was read");
    for package in packages {
        let name = format!("{} {}", package["name"].as_str().unwrap(), package["version"].as_str().unwrap());
        match package["source"].as_str() {
            None if package["name"] == "counterfoil" || package["name"] == "counterfoil-core" => {}
            Some(source) if source.starts_with("registry+") => {}
            source => problems.push(format!("{name}: comes from {source:?}")),
        }
        match package["license"].as_str() {
            Some(license) if permitted(license, &allowed) => {}
            license => problems.push(format!("{name}: licence {license:?}")),
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn a_licence_expression_is_read() {
    let allowed = BTreeSet::from(["MIT".to_owned(), "Apache-2.0".to_owned()]);
    assert!(permitted("MIT OR GPL-3.0", &allowed));
    assert!(permitted("(GPL-3.0 OR MIT) AND Apache-2.0", &allowed));
    assert!(permitted("MIT/Apache-2.0", &allowed));
    assert!(!permitted("GPL-3.0", &allowed));
    assert!(!permitted("MIT AND GPL-3.0", &allowed));
}
