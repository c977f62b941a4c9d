//! The bugs that can be planted (`make planted`) still fit the code they are planted in.
#![allow(clippy::unwrap_used, reason = "a test says where it failed by failing there")]

use std::{fs, path::Path, process::Command};

#[test]
fn every_planted_bug_still_applies() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let patches = fs::read_dir(root.join("system-tests/planted")).unwrap();
    let patches = patches.map(|entry| entry.unwrap().path());
    let patches: Vec<_> =
        patches.filter(|path| path.extension().is_some_and(|end| end == "patch")).collect();
    assert!(patches.len() >= 8, "{patches:?}");
    for patch in patches {
        // `git apply` needs no repository: a release's sources have none.
        let mut check = Command::new("git");
        check.args(["apply", "--check"]).arg(&patch).current_dir(root);
        let check = check.output().unwrap();
        let said = String::from_utf8_lossy(&check.stderr);
        assert!(check.status.success(), "{}: {said}", patch.display());
    }
}
