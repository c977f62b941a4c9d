//! Postgres and Redis: given, or private ones.

use std::time::Duration;

use anyhow::Context;
use dev_servers::{Postgres, Redis};
use service_kit::config::{DatabaseUrl, RedisUrl};
use tokio::time::sleep;

use super::data_dir::DataDir;
use crate::failure::Failure;

/// How often it is looked whether a private store still runs. The services notice at once; this only says why.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// The stores; those that are not private are somebody else's to start and stop.
#[derive(Default)]
pub(super) struct Stores {
    postgres: Option<Postgres>,
    redis: Option<Redis>,
    urls: Option<Urls>,
}

/// What the user has said about them.
pub(super) struct Given {
    pub(super) database: Option<DatabaseUrl>,
    pub(super) redis: Option<RedisUrl>,
    pub(super) key_prefix: String,
}

/// Where they are.
#[derive(Clone)]
pub(super) struct Urls {
    pub(super) database: DatabaseUrl,
    pub(super) redis: RedisUrl,
    pub(super) key_prefix: String,
}

impl Stores {
    pub(super) async fn start(&mut self, data_dir: &DataDir, given: Given) -> Result<(), Failure> {
        let Given { database, redis, key_prefix } = given;
        if let Some(given) = &database {
            eprintln!(
                "counterfoil: using the Postgres of DATABASE_URL (unset it for a private one): {given}"
            );
        }
        if let Some(given) = &redis {
            eprintln!(
                "counterfoil: using the Redis of REDIS_URL (unset it for a private one): {given}"
            );
        }
        let postgres = async {
            match &database {
                Some(_) => Ok(None),
                None => Postgres::open(&data_dir.path)
                    .await
                    .map(Some)
                    .context("start a private Postgres"),
            }
        };
        let private_redis = async {
            match &redis {
                Some(_) => Ok(None),
                None => {
                    Redis::open(&data_dir.path).await.map(Some).context("start a private Redis")
                }
            }
        };
        (self.postgres, self.redis) = tokio::try_join!(postgres, private_redis)?;
        let own_database = self.postgres.as_ref().map(|postgres| DatabaseUrl::new(postgres.url()));
        let own_redis = self.redis.as_ref().map(|redis| RedisUrl::new(redis.url()));
        let urls = database.or(own_database).zip(redis.or(own_redis));
        self.urls = urls.map(|(database, redis)| Urls { database, redis, key_prefix });
        Ok(())
    }

    pub(super) fn urls(&self) -> Result<Urls, Failure> {
        Ok(self.urls.clone().context("the stores are not started")?)
    }

    /// Waits until a private store has ended by itself.
    pub(super) async fn one_ended(&self) -> Failure {
        loop {
            sleep(LOOK_INTERVAL).await;
            if let Some(postgres) = &self.postgres
                && !postgres.is_running()
            {
                let log = postgres.log_file().display();
                return Failure::other(anyhow::anyhow!("Postgres ended by itself; see {log}"));
            }
            if let Some(redis) = &self.redis
                && !redis.is_running()
            {
                let log = redis.log_file().display();
                return Failure::other(anyhow::anyhow!("Redis ended by itself; see {log}"));
            }
        }
    }

    /// Stops the private ones.
    pub(super) async fn stop(&self) {
        let postgres = async {
            match &self.postgres {
                Some(postgres) => postgres.stop().await,
                None => Ok(()),
            }
        };
        let redis = async {
            match &self.redis {
                Some(redis) => redis.stop().await,
                None => Ok(()),
            }
        };
        let (postgres, redis) = tokio::join!(postgres, redis);
        for error in [postgres.err(), redis.err()].into_iter().flatten() {
            eprintln!("counterfoil: {:#}", anyhow::Error::from(error));
        }
    }
}
