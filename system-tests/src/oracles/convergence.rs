//! O8: after healing, all of Redis that queries see equals the replay of the log, byte for byte.

mod expected;

use std::collections::{BTreeMap, BTreeSet};

use ledger::{Shard, ShardCount};
use read_model::{DEFAULT_KEY_PREFIX, Generation, Keyspace, View};

use super::{Evidence, Verdict};

/// What a key of Redis holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stored {
    Text(Vec<u8>),
    Fields(BTreeMap<Vec<u8>, Vec<u8>>),
    Members(BTreeSet<String>),
    /// Of a type that the read model does not use.
    Strange(String),
}

pub(super) fn judge(evidence: &Evidence) -> Verdict {
    let mut verdict = Verdict::default();
    let Some(redis) = &evidence.redis else { return verdict };
    let keys = Keyspace::new(DEFAULT_KEY_PREFIX).unwrap();
    let shards = ShardCount::new(evidence.log.shards).unwrap();
    for shard in shards.shards() {
        for view in View::ALL {
            match visible(redis, &keys, view, shard) {
                Some(generation) => {
                    let generation = keys.view(view, shard).generation(generation);
                    let checkpoint = generation.checkpoint();
                    let base = checkpoint.strip_suffix("checkpoint").unwrap();
                    let expected = expected::generation(evidence, view, shard, &generation);
                    compare(&expected, redis, base, &mut verdict);
                }
                None => verdict.judge(false, || format!("nobody sees {view} of shard {shard}")),
            }
        }
    }
    verdict
}

/// The generation that queries see.
fn visible(
    redis: &BTreeMap<String, Stored>,
    keys: &Keyspace,
    view: View,
    shard: Shard,
) -> Option<Generation> {
    match redis.get(&keys.view(view, shard).visible())? {
        Stored::Text(bytes) => Generation::new(std::str::from_utf8(bytes).ok()?.parse().ok()?),
        _ => None,
    }
}

/// Every key below `base`: none too few, none too many, none different.
fn compare(
    expected: &BTreeMap<String, Stored>,
    redis: &BTreeMap<String, Stored>,
    base: &str,
    verdict: &mut Verdict,
) {
    for (key, stored) in expected {
        let found = redis.get(key);
        verdict.judge(found == Some(stored), || {
            format!("{key} holds {found:?}, and by the log it should hold {stored:?}")
        });
    }
    let below = redis.range(base.to_owned()..).take_while(|(key, _)| key.starts_with(base));
    for (key, found) in below {
        verdict.judge(expected.contains_key(key), || format!("{key} holds {found:?} by no event"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Stored {
        Stored::Text(text.into())
    }

    fn wrong(redis: &[(&str, Stored)]) -> u64 {
        let expected = [("g:1".to_owned(), text("1")), ("g:2".to_owned(), text("2"))].into();
        let redis = redis.iter().map(|(key, stored)| ((*key).to_owned(), stored.clone())).collect();
        let mut verdict = Verdict::default();
        compare(&expected, &redis, "g:", &mut verdict);
        assert!(verdict.judged > 0);
        verdict.wrong
    }

    #[test]
    fn what_is_equal_is_fine_whatever_else_is_there() {
        assert_eq!(wrong(&[("f:1", text("9")), ("g:1", text("1")), ("g:2", text("2"))]), 0);
    }

    #[test]
    fn a_key_that_is_missing_or_different_or_too_much_is_noticed() {
        assert_eq!(wrong(&[("g:1", text("1"))]), 1);
        assert_eq!(wrong(&[("g:1", text("1")), ("g:2", text("3"))]), 1);
        assert_eq!(wrong(&[("g:1", text("1")), ("g:2", text("2")), ("g:3", text("3"))]), 1);
    }
}
