//! The map in `docs/ARCHITECTURE.md`: who may depend on whom.
#![allow(clippy::unwrap_used, reason = "a test says where it failed by failing there")]

use std::{collections::BTreeSet, fs, path::Path};

/// Every crate of the product, and what of the workspace it may use. Tests may use more.
const MAP: [(&str, &[&str]); 13] = [
    ("proto", &[]),
    ("crates/ledger", &[]),
    ("write-service", &["access", "event-store", "ledger", "proto", "service-kit"]),
    ("crates/event-store", &["failpoints", "ledger", "store-tls"]),
    ("projector", &["event-store", "ledger", "read-model", "service-kit"]),
    ("crates/read-model", &["failpoints", "ledger", "store-tls"]),
    ("read-service", &["access", "ledger", "proto", "read-model", "service-kit"]),
    ("crates/service-kit", &[]),
    ("crates/access", &["ledger", "service-kit"]),
    ("crates/dev-credentials", &[]),
    ("crates/failpoints", &[]),
    ("crates/store-tls", &[]),
    ("crates/dev-servers", &[]),
];

#[test]
fn crates_depend_only_on_what_the_map_allows() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let ours: BTreeSet<&str> =
        MAP.iter().map(|(folder, _)| folder.rsplit('/').next().unwrap()).collect();
    for (folder, allowed) in MAP {
        let manifest = fs::read_to_string(root.join(folder).join("Cargo.toml")).unwrap();
        let section = manifest.split("[dependencies]").nth(1).unwrap();
        let dependencies = section.split("\n[").next().unwrap();
        for line in dependencies.lines() {
            let name = line.split(['.', ' ', '=']).next().unwrap();
            assert!(
                !ours.contains(name) || allowed.contains(&name),
                "{folder} depends on {name}, which the map does not allow"
            );
        }
    }
}
