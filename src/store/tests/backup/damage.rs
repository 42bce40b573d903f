//! Every part of a chain is damaged in every way.

use std::sync::Arc;

use super::*;
use crate::store::backup::check::{Scratch, survey, trial};
use crate::store::backup::seal::{SealKey, Sealed};

/// What can happen to an object.
#[derive(Debug, Clone, Copy)]
enum Harm<'a> {
    Bit(usize, u8),
    Cut(usize),
    Missing,
    /// Another one's bytes are in its place.
    Swapped(&'a str),
}

/// Damage at many positions of an object of this length, and of every other sort.
fn harms(len: usize, others: &[String]) -> Vec<Harm<'_>> {
    const POSITIONS: usize = 50;
    let place = |round: usize| round * (len - 1) / (POSITIONS - 1);
    let bits = (0..POSITIONS).map(|round| Harm::Bit(place(round), (round % 8) as u8));
    let cuts = (0..POSITIONS).step_by(5).map(|round| Harm::Cut(place(round)));
    let swapped = others.iter().map(|other| Harm::Swapped(other));
    bits.chain(cuts).chain([Harm::Missing]).chain(swapped).collect()
}

fn spoil(vault: &MemoryVault, name: &str, harm: Harm<'_>) {
    let object = |name: &str| vault.get(name).expect("read").expect("is there");
    let bad = match harm {
        Harm::Missing => return vault.remove(name).expect("removed"),
        Harm::Cut(at) => object(name).slice(..at),
        Harm::Swapped(other) => object(other),
        Harm::Bit(at, bit) => {
            let mut bad = object(name).to_vec();
            bad[at] ^= 1 << bit;
            bad.into()
        }
    };
    vault.put(name, bad).expect("written");
}

/// Two full backups and one between that goes on from the first.
fn short_chain(vault: &dyn Vault) -> Catalogue {
    let mut node = Node::new();
    node.apply_to(150);
    node.snapshot();
    node.apply_to(200);
    node.back_up(vault, Kind::Full).expect("written");
    node.apply_to(300);
    node.back_up(vault, Kind::Incremental).expect("written");
    node.snapshot();
    node.back_up(vault, Kind::Full).expect("written");
    node.running.close();
    catalogue(vault)
}

fn damage_is_named(raw: &MemoryVault, vault: &dyn Vault) {
    let whole = short_chain(vault);
    for manifest in &whole.backups[..2] {
        for part in &manifest.parts {
            let name = manifest.part_object(part);
            let good = raw.get(&name).expect("read").expect("is there");
            let stranger = whole.backups.iter().filter(|other| other.id != manifest.id);
            let others: Vec<String> =
                stranger.flat_map(|other| other.parts.iter().map(|part| other.part_object(part))).collect();
            for (round, harm) in harms(good.len(), &others).into_iter().enumerate() {
                spoil(raw, &name, harm);
                let error = check_parts(vault, manifest, &Control::default()).expect_err(&name);
                assert!(error.is_damage() && error.to_string().contains(&name), "{name} {harm:?}: {error}");
                refuse_to_restore(vault, &whole.backups[1], &name, &format!("{harm:?}"));
                if round % 10 == 0 {
                    refuse_on_trial(vault, &whole.backups[1], &name);
                }
                raw.put(&name, good.clone()).expect("written");
            }
            check_parts(vault, manifest, &Control::default()).expect("whole again");
        }
        let object = Manifest::object(&manifest.id);
        let good = raw.get(&object).expect("read").expect("is there");
        let other = [Manifest::object(&whole.backups[2].id)];
        for harm in harms(good.len(), &other) {
            spoil(raw, &object, harm);
            let (found, problems) = read_catalogue(vault, None, &Catalogue::default()).expect("listed");
            assert!(found.find(&manifest.id).is_none(), "{object} {harm:?}");
            // Nothing is left of the last of a chain whose manifest is gone.
            let trace = !matches!(harm, Harm::Missing) || manifest.kind == Kind::Full;
            let named = problems.iter().any(|problem| problem.to_string().contains(&object));
            assert_eq!(named, trace, "{object} {harm:?}: {problems:?}");
            let plan = found.without("003-full").plan(&Goal::Backup("002-incremental".to_owned())).map(drop);
            let error = plan.expect_err(&object).to_string();
            assert!(error.contains(&manifest.id), "{object} {harm:?}: {error}");
            raw.put(&object, good.clone()).expect("written");
        }
    }
}

#[test]
fn damage_of_any_part_is_named_and_never_restored() {
    let vault = MemoryVault::default();
    damage_is_named(&vault, &vault);
}

#[test]
fn damage_of_any_sealed_part_is_named_and_never_restored() {
    let raw = Arc::new(MemoryVault::default());
    let sealed = Sealed::new(raw.clone(), SealKey::generate());
    damage_is_named(&raw, &sealed);
}

/// A restore that needs the spoiled part names it, and leaves no folder that a node could start from.
fn refuse_to_restore(vault: &dyn Vault, manifest: &Manifest, name: &str, what: &str) {
    let dir = tempfile::tempdir().expect("a folder");
    let catalogue = catalogue(vault).without("003-full");
    let plan = catalogue.plan(&Goal::Backup(manifest.id.clone())).expect("there is one");
    let error = restore(vault, &plan, dir.path(), &restore_options(), &Control::default()).expect_err(what);
    assert!(error.is_damage() && error.to_string().contains(name), "{name} {what}: {error}");
    assert!(restore::refuse_unfinished(&Disk::real(), dir.path()).is_err(), "{name} {what}");
}

/// So does a restore on trial; and what there is without it is told.
fn refuse_on_trial(vault: &dyn Vault, manifest: &Manifest, name: &str) {
    let dir = tempfile::tempdir().expect("a folder");
    let catalogue = catalogue(vault).without("003-full");
    let folder = dir.path().join("scratch");
    // With the state in memory, and without.
    for state_bytes_max in [u64::MAX, 0] {
        let scratch = Scratch { folder: &folder, disk: &Disk::real(), state_bytes_max };
        let tried = trial(vault, &catalogue, &manifest.id, scratch, &Control::default());
        let error = tried.expect_err(name).to_string();
        assert!(error.contains(name) && !folder.exists(), "{name}: {error}");
    }
    let found = survey(vault, &catalogue, &Control::default()).expect("read");
    assert!(found.newest.map(|mark| mark.sequence) < Some(manifest.end.sequence), "{name}");
    assert!(found.damaged.iter().any(|(_, error)| error.to_string().contains(name)), "{name}: {:?}", found.damaged);
}
