//! `docs/OPERATIONS.md` names what there is, and only that.
#![allow(clippy::unwrap_used, reason = "a test says where it failed by failing there")]

use std::{collections::BTreeSet, fs, path::Path};

/// Where the services register their metrics. Read as text, because a service shows a metric only once it has a value.
const REGISTRIES: [&str; 3] =
    ["write-service/src/metrics.rs", "projector/src/metrics.rs", "read-service/src/metrics.rs"];

fn read(file: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file)).unwrap()
}

/// The names that a service shows for what it registers.
fn registered(source: &str) -> BTreeSet<String> {
    let calls = source.split("registry.register(").skip(1);
    let metrics = calls.map(|call| {
        let call = call.split(';').next().unwrap();
        let name = call.split('"').nth(1).unwrap();
        // The last argument: `self.field.clone()` or `all.field`.
        let handle = call.trim_end_matches([')', '(', ',', '\n', ' ']).trim_end_matches(".clone");
        let field = handle.rsplit('.').next().unwrap();
        let declaration =
            source.lines().map(str::trim_start).map(|line| line.trim_start_matches("pub(crate) "));
        let declared = declaration.filter_map(|line| line.strip_prefix(field)?.strip_prefix(": "));
        let kind = declared.clone().next().unwrap_or_else(|| panic!("{field} of {name}"));
        let total = if kind.contains("Counter") { "_total" } else { "" };
        format!("counterfoil_{name}{total}")
    });
    metrics.collect()
}

/// The names in backticks, without their labels.
fn documented(document: &str) -> BTreeSet<String> {
    let quoted = document.split('`').skip(1).step_by(2);
    let names = quoted.map(|text| text.split('{').next().unwrap());
    names.filter(|name| name.starts_with("counterfoil_")).map(str::to_owned).collect()
}

#[test]
fn every_metric_stands_in_operations_and_there_is_no_other() {
    let document = read("docs/OPERATIONS.md");
    let section = document.split("## What to watch").nth(1).unwrap().split("\n## ").next().unwrap();
    let documented = documented(section);
    let registered: BTreeSet<String> =
        REGISTRIES.iter().flat_map(|file| registered(&read(file))).collect();
    assert!(registered.len() > 20, "the registries are read wrongly: {registered:?}");
    let missing: Vec<_> = registered.difference(&documented).collect();
    let gone: Vec<_> = documented.difference(&registered).collect();
    assert!(missing.is_empty() && gone.is_empty(), "not documented: {missing:?}; gone: {gone:?}");
}
