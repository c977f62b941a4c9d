//! A promise names the tests that show it. They must be there.
#![allow(clippy::unwrap_used, reason = "a test says where it failed by failing there")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// Where promises are made.
const DOCUMENTS: [&str; 2] = ["README.md", "docs/GUARANTEES.md"];

/// A test's name is a sentence: so many words at least.
const WORDS_MIN: usize = 4;

#[test]
fn every_test_that_a_promise_names_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut sources = Vec::new();
    for folder in
        ["bench", "cli", "crates", "projector", "read-service", "system-tests", "write-service"]
    {
        rust_files(&root.join(folder), &mut sources);
    }
    let code: Vec<String> = sources.iter().map(|file| fs::read_to_string(file).unwrap()).collect();
    for document in DOCUMENTS {
        let text = fs::read_to_string(root.join(document)).unwrap();
        let named: BTreeSet<&str> =
            text.split('`').skip(1).step_by(2).filter(is_test_name).collect();
        assert!(named.len() > 10, "{document} names {} tests", named.len());
        for name in named {
            let is_there = code.iter().any(|code| has_test(code, name));
            assert!(is_there, "{document} names the test {name}, which does not exist");
        }
    }
}

/// Whether it has a function of this name that is marked as a test, or that its tests name again: one for several numbers of shards.
fn has_test(code: &str, name: &str) -> bool {
    let Some((before, after)) = code.split_once(&format!("fn {name}(")) else { return false };
    let above = before.rsplit_once('\n').map_or("", |(above, _)| above);
    let mut marks = above.lines().rev().take_while(|line| line.trim_start().starts_with("#["));
    marks.any(|line| line.contains("test")) || before.contains(name) || after.contains(name)
}

fn is_test_name(text: &&str) -> bool {
    // What Postgres calls its own is no sentence.
    !text.starts_with("pg_")
        && text.split('_').count() >= WORDS_MIN
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

fn rust_files(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let is_ours = !["target", "node_modules"].iter().any(|other| path.ends_with(other));
        if path.is_dir() && is_ours {
            rust_files(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}
