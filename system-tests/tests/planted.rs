//! The bugs that can be planted (`make planted`) still fit the code they are planted in, and each says what shows it.
#![allow(clippy::unwrap_used, reason = "a test says where it failed by failing there")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// How many there are at least.
const BUGS_MIN: usize = 20;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("planted")
}

fn patches() -> Vec<PathBuf> {
    let files = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let patches: Vec<_> =
        files.filter(|path| path.extension().is_some_and(|end| end == "patch")).collect();
    assert!(patches.len() >= BUGS_MIN, "{patches:?}");
    patches
}

#[test]
fn every_planted_bug_still_applies() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    for patch in patches() {
        // `git apply` needs no repository: a release's sources have none.
        let mut check = Command::new("git");
        check.args(["apply", "--check"]).arg(&patch).current_dir(root);
        let check = check.output().unwrap();
        let said = String::from_utf8_lossy(&check.stderr);
        assert!(check.status.success(), "{}: {said}", patch.display());
    }
}

#[test]
fn every_planted_bug_is_named_with_what_shows_it_and_nothing_else_is() {
    let script = fs::read_to_string(folder().join("run.sh")).unwrap();
    let mut named: Vec<&str> = script
        .lines()
        .filter_map(|line| line.trim().split_once(") echo ")?.0.split(" | ").into())
        .flatten()
        .filter(|name| *name != "*")
        .collect();
    let patches = patches();
    let mut there: Vec<_> =
        patches.iter().map(|patch| patch.file_stem().unwrap().to_str().unwrap()).collect();
    named.sort_unstable();
    there.sort_unstable();
    assert_eq!(named, there);
}
