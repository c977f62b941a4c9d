//! What is wrong right now, part by part: it decides whether the process calls itself ready.

use std::collections::BTreeMap;

use ledger::Shard;
use service_kit::health::Health;
use tokio::sync::Mutex;

/// The problems of all parts; the process is ready while there is none.
pub(crate) struct Problems {
    health: Health,
    /// Of every part that has said something, what is wrong.
    current: Mutex<BTreeMap<String, Option<String>>>,
}

impl Problems {
    /// Not ready until the first look at the log has succeeded.
    pub(crate) fn new(health: Health) -> Self {
        let starting = [(Self::HEAD.to_owned(), Some("starting".to_owned()))];
        Self { health, current: Mutex::new(starting.into()) }
    }

    /// The part that looks at the end of the log.
    pub(crate) const HEAD: &'static str = "log";

    /// The part that projects a shard.
    pub(crate) fn of_shard(shard: Shard) -> String {
        format!("shard {shard}")
    }

    /// Whether a part is well. `None` while it has said nothing.
    pub(crate) async fn is_well(&self, part: &str) -> Option<bool> {
        self.current.lock().await.get(part).map(Option::is_none)
    }

    /// Says what is wrong with a part, or that nothing is any more. Whether that was news.
    pub(crate) async fn report(&self, part: &str, problem: Option<String>) -> bool {
        let mut current = self.current.lock().await;
        let before = current.insert(part.to_owned(), problem.clone()).flatten();
        let is_news = before != problem;
        if is_news {
            let problems = current.iter().filter_map(|(part, what)| Some((part, what.as_ref()?)));
            let all: Vec<_> = problems.map(|(part, what)| format!("{part}: {what}")).collect();
            match all.is_empty() {
                true => self.health.set_ready(true).await,
                false => self.health.set_not_ready(all.join("; ")).await,
            }
        }
        is_news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_problem_is_enough_not_to_be_ready() {
        let health = Health::new(&[]).await;
        let problems = Problems::new(health.clone());
        assert!(!health.is_ready(), "not before the first look at the log");
        assert!(problems.report(Problems::HEAD, None).await);
        assert!(health.is_ready());
        let shard = Problems::of_shard(Shard::ZERO);
        assert!(problems.report(&shard, Some("LEDGER_CORRUPT".into())).await);
        assert_eq!(problems.is_well(&shard).await, Some(false));
        assert_eq!(problems.is_well("shard 1").await, None, "it has said nothing yet");
        assert!(!problems.report("shard 0", Some("LEDGER_CORRUPT".into())).await, "no news");
        assert!(!problems.report("shard 1", None).await);
        assert_eq!(problems.is_well("shard 1").await, Some(true));
        assert_eq!(health.not_ready_reason().unwrap(), "shard 0: LEDGER_CORRUPT");
        assert!(problems.report("shard 0", None).await);
        assert!(health.is_ready());
    }
}
