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
    /// With the bits of their scores.
    Members(BTreeMap<String, u64>),
    /// Of a type that the read model does not use.
    Strange(String),
}

pub(super) fn judge(evidence: &Evidence) -> Verdict {
    let mut verdict = Verdict::default();
    let Some(redis) = &evidence.redis else {
        verdict.judge(false, || "Redis could not be read".into());
        return verdict;
    };
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
    no_orphans(redis, &keys, shards, &mut verdict);
    verdict
}

/// The generation that queries see.
fn visible(
    redis: &BTreeMap<String, Stored>,
    keys: &Keyspace,
    view: View,
    shard: Shard,
) -> Option<Generation> {
    pointed_to(redis, &keys.view(view, shard).visible())
}

fn pointed_to(redis: &BTreeMap<String, Stored>, pointer: &str) -> Option<Generation> {
    match redis.get(pointer)? {
        Stored::Text(bytes) => {
            // That of a retired one says since when it is.
            let number = std::str::from_utf8(bytes).ok()?.split(' ').next()?;
            Generation::new(number.parse().ok()?)
        }
        _ => None,
    }
}

/// Every key is named by something, or below a generation that is.
fn no_orphans(
    redis: &BTreeMap<String, Stored>,
    keys: &Keyspace,
    shards: ShardCount,
    verdict: &mut Verdict,
) {
    let mut named = BTreeSet::from([keys.log()]);
    let mut bases = Vec::new();
    for shard in shards.shards() {
        named.extend([keys.head(shard), keys.checkpoints(shard)]);
        for view in View::ALL {
            let of_view = keys.view(view, shard);
            named.insert(of_view.rebuild());
            for pointer in [of_view.visible(), of_view.building(), of_view.retired()] {
                if let Some(generation) = pointed_to(redis, &pointer) {
                    let checkpoint = of_view.generation(generation).checkpoint();
                    bases.push(checkpoint.strip_suffix("checkpoint").unwrap().to_owned());
                }
                named.insert(pointer);
            }
        }
    }
    for key in redis.keys() {
        let known = named.contains(key)
            || bases.iter().any(|base| key.starts_with(base))
            || is_of_another_version(key); // its services' business
        verdict.judge(known, || format!("{key} is in no generation that anything names"));
    }
}

fn is_of_another_version(key: &str) -> bool {
    let view = key.split_once("}:").and_then(|(_, rest)| Some(rest.split_once(':')?.0));
    let view = view.and_then(|view| view.split_once('.'));
    view.is_some_and(|(name, version)| {
        View::by_name(name).is_some_and(|view| view.version().to_string() != version)
    })
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
    fn what_nothing_names_is_noticed() {
        let keys = Keyspace::new(DEFAULT_KEY_PREFIX).unwrap();
        let shards = ShardCount::new(1).unwrap();
        let of_view = keys.view(View::Accounts, Shard::ZERO);
        let [left, retired, visible] = [1, 2, 3].map(|number| Generation::new(number).unwrap());
        let right = of_view.generation(visible).totals();
        let old = of_view.rebuild().replacen(".", ".9", 1);
        let mut redis = [
            (of_view.visible(), text("3")),
            (of_view.retired(), text("2 1795392686641")),
            (of_view.generation(retired).totals(), text("")),
            (right, text("")),
            (keys.log(), text("")),
            (old, text("")),
        ]
        .into_iter()
        .collect();
        let wrong = |redis: &BTreeMap<String, Stored>| {
            let mut verdict = Verdict::default();
            no_orphans(redis, &keys, shards, &mut verdict);
            verdict.wrong
        };
        assert_eq!(wrong(&redis), 0);
        redis.insert(of_view.generation(left).totals(), text(""));
        redis.insert(format!("{}:stray", keys.log()), text(""));
        assert_eq!(wrong(&redis), 2);
    }

    #[test]
    fn a_key_that_is_missing_or_different_or_too_much_is_noticed() {
        assert_eq!(wrong(&[("g:1", text("1"))]), 1);
        assert_eq!(wrong(&[("g:1", text("1")), ("g:2", text("3"))]), 1);
        assert_eq!(wrong(&[("g:1", text("1")), ("g:2", text("2")), ("g:3", text("3"))]), 1);
    }
}
