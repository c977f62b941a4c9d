//! What leaves the log right in itself is found with an anchor that was kept elsewhere.

use std::{fs, path::PathBuf};

use dev_servers::tamper;
use tempfile::TempDir;

use crate::{
    history::History,
    support::Answer,
    tamper::{counterfoil, findings},
};

/// An auditor's folder, out of reach of whoever runs the log.
struct Safe {
    folder: TempDir,
}

impl Safe {
    fn new() -> Self {
        let safe = Self { folder: tempfile::tempdir().unwrap() };
        safe.new_key("key");
        safe
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A key `name`, and its public key `name.pub`.
    fn new_key(&self, name: &str) {
        let made = counterfoil("", &["anchor", "--new-key", self.path(name).to_str().unwrap()]);
        assert_eq!(made.code(), 0, "{}", made.err());
        fs::write(self.path(&format!("{name}.pub")), made.out()).unwrap();
    }

    fn take_anchor(&self, log: &History, name: &str) {
        let made =
            counterfoil(&log.url, &["anchor", "--key-file", self.path("key").to_str().unwrap()]);
        assert_eq!(made.code(), 0, "{}", made.err());
        fs::write(self.path(name), made.out()).unwrap();
    }

    /// What `verify` says with an anchor and a public key.
    fn verify(&self, log: &History, anchor: &str, key: &str) -> Answer {
        let (anchor, key) = (self.path(anchor), self.path(key));
        let files = ["--anchor", anchor.to_str().unwrap(), "--public-key", key.to_str().unwrap()];
        let args: Vec<&str> = ["verify", "--log-only"].into_iter().chain(files).collect();
        counterfoil(&log.url, &args)
    }
}

/// Puts another history in place of the log's, with the times of before, and makes every hash anew.
async fn rewrite(log: &History, amount: i64) {
    tamper(
        &log.url,
        "CREATE TABLE times AS SELECT shard, first_position, recorded_at FROM counterfoil.batches;
         TRUNCATE counterfoil.events, counterfoil.batches",
    )
    .await;
    log.write(amount).await;
    let hashes = "
        UPDATE counterfoil.batches b SET recorded_at = t.recorded_at FROM times t
            WHERE t.shard = b.shard AND t.first_position = b.first_position;
        DO $$
        DECLARE
            v_batch record;
            v_shard smallint;
            v_hash  bytea;
        BEGIN
            FOR v_batch IN SELECT * FROM counterfoil.batches ORDER BY shard, first_position LOOP
                IF v_shard IS DISTINCT FROM v_batch.shard THEN
                    v_shard := v_batch.shard;
                    SELECT counterfoil.genesis(log_id, v_shard) INTO v_hash FROM counterfoil.incarnations WHERE incarnation = 1;
                END IF;
                v_hash := sha256(v_hash || v_batch.digest || int8send(v_batch.first_position)
                                 || int8send(v_batch.last_position) || timestamptz_send(v_batch.recorded_at));
                UPDATE counterfoil.batches SET hash = v_hash
                WHERE shard = v_batch.shard AND first_position = v_batch.first_position;
            END LOOP;
        END
        $$;
        DROP TABLE times";
    tamper(&log.url, hashes).await;
}

#[tokio::test]
async fn a_history_that_was_rewritten_with_all_its_hashes_is_found_with_an_anchor_and_not_without()
{
    let (log, safe) = (History::written().await, Safe::new());
    safe.take_anchor(&log, "anchor");
    let right = safe.verify(&log, "anchor", "key.pub");
    assert_eq!(right.code(), 0, "{}{}", right.out(), right.err());
    assert!(right.out().contains("2 anchored heads"), "{}", right.out());
    rewrite(&log, 501).await;
    assert_eq!(findings(&log.url, &[]), [], "it is right in itself");
    let found = safe.verify(&log, "anchor", "key.pub");
    assert_eq!(found.code(), 1, "{}{}", found.out(), found.err());
    assert!(found.out().contains("shard 0, anchor: up to position"), "{}", found.out());
    assert!(found.out().contains("it was rewritten"), "{}", found.out());
}

#[tokio::test]
async fn a_tail_that_was_cut_off_is_found_with_an_anchor_and_not_without() {
    let (log, safe) = (History::written().await, Safe::new());
    safe.take_anchor(&log, "anchor");
    let cut = "DELETE FROM counterfoil.events e USING
                   (SELECT shard, max(first_position) AS first FROM counterfoil.batches WHERE shard = 1 GROUP BY shard) b
                   WHERE e.shard = b.shard AND e.position >= b.first;
               DELETE FROM counterfoil.batches WHERE shard = 1 AND
                   first_position = (SELECT max(first_position) FROM counterfoil.batches WHERE shard = 1)";
    tamper(&log.url, cut).await;
    assert_eq!(findings(&log.url, &[]), [], "what is left is right in itself");
    let found = safe.verify(&log, "anchor", "key.pub");
    assert_eq!(found.code(), 1, "{}{}", found.out(), found.err());
    assert!(found.out().contains("shard 1, anchor: the anchor has position"), "{}", found.out());
    assert!(found.out().contains("its end was cut off"), "{}", found.out());
}

#[tokio::test]
async fn an_anchor_holds_while_the_log_goes_on_and_across_an_incarnation_that_lost_nothing() {
    let (log, safe) = (History::written().await, Safe::new());
    safe.take_anchor(&log, "anchor");
    let incarnated = counterfoil(&log.url, &["new-incarnation", "--yes"]);
    assert_eq!(incarnated.code(), 0, "{}", incarnated.err());
    let held = safe.verify(&log, "anchor", "key.pub");
    assert_eq!(held.code(), 0, "{}{}", held.out(), held.err());
    assert!(held.out().contains("declared to be another incarnation since"), "{}", held.out());
    safe.take_anchor(&log, "next");
    assert_eq!(safe.verify(&log, "next", "key.pub").code(), 0);
    // Somebody who takes the declaration back, or makes one up.
    tamper(&log.url, "DELETE FROM counterfoil.incarnations WHERE incarnation = 2").await;
    let found = safe.verify(&log, "next", "key.pub");
    assert_eq!(found.code(), 1, "{}{}", found.out(), found.err());
    assert!(found.out().contains("says now that it never was"), "{}", found.out());
    tamper(&log.url, "UPDATE counterfoil.incarnations SET shards = 1").await;
    let found = safe.verify(&log, "anchor", "key.pub");
    assert!(found.out().contains("the log had 2 shards then"), "{}", found.out());
}

#[tokio::test]
async fn an_anchor_of_another_log_is_said_to_be_one() {
    let (log, other, safe) = (History::written().await, History::written().await, Safe::new());
    safe.take_anchor(&other, "anchor");
    let found = safe.verify(&log, "anchor", "key.pub");
    assert_eq!(found.code(), 1);
    assert!(
        found.out().contains("another log, or one that was replaced as a whole"),
        "{}",
        found.out()
    );
}

#[tokio::test]
async fn an_anchor_that_was_edited_or_that_somebody_else_signed_is_refused() {
    let (log, safe) = (History::written().await, Safe::new());
    safe.take_anchor(&log, "anchor");
    safe.new_key("other");
    let text = fs::read_to_string(safe.path("anchor")).unwrap();
    let hash = text.split("shard 0 ").nth(1).unwrap().split(' ').nth(1).unwrap();
    let forged = text.replace(hash, &"0".repeat(64));
    assert_ne!(forged, text);
    fs::write(safe.path("forged"), forged).unwrap();
    fs::write(safe.path("cut"), &text[..text.len() / 2]).unwrap();
    for (anchor, key, code, says) in [
        ("anchor", "key.pub", 0, ""),
        ("forged", "key.pub", 1, "it was edited or damaged"),
        ("anchor", "other.pub", 1, "signed with another key"),
        ("cut", "key.pub", 2, "not an anchor of format 1"),
        ("missing", "key.pub", 2, "missing"),
        ("anchor", "key", 2, "no Ed25519 public key"),
    ] {
        let answer = safe.verify(&log, anchor, key);
        assert_eq!(answer.code(), code, "{anchor} with {key}: {}{}", answer.out(), answer.err());
        assert!(answer.err().contains(says), "{anchor} with {key}: {}", answer.err());
    }
    let path = safe.path("anchor");
    let no_key =
        counterfoil(&log.url, &["verify", "--log-only", "--anchor", path.to_str().unwrap()]);
    assert_eq!(no_key.code(), 0, "{}", no_key.err());
    assert!(no_key.out().contains("give --public-key to be sure whose it is"), "{}", no_key.out());
    let again = counterfoil("", &["anchor", "--new-key", safe.path("key").to_str().unwrap()]);
    assert_eq!(again.code(), 2);
    assert!(again.err().contains("never written over"), "{}", again.err());
}
