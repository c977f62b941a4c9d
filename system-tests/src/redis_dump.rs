//! All that Redis holds.

use std::collections::BTreeMap;

use redis::{AsyncCommands, RedisResult, aio::MultiplexedConnection};

use crate::oracles::Stored;

/// Keys asked for at once.
const PAGE_KEYS: usize = 500;

/// Reads every key of the read model with its value.
pub(crate) async fn dump(url: &str) -> RedisResult<BTreeMap<String, Stored>> {
    let mut connection = redis::Client::open(url)?.get_multiplexed_async_connection().await?;
    let mut keys: Vec<String> = Vec::new();
    let mut cursor = 0_u64;
    loop {
        let mut scan = redis::cmd("SCAN");
        scan.arg(cursor).arg("MATCH").arg("cf:v1:*").arg("COUNT").arg(PAGE_KEYS);
        let (next, page): (u64, Vec<String>) = scan.query_async(&mut connection).await?;
        keys.extend(page);
        cursor = next;
        if cursor == 0 {
            break;
        }
    }
    let mut all = BTreeMap::new();
    for page in keys.chunks(PAGE_KEYS) {
        let mut types = redis::pipe();
        page.iter().for_each(|key| _ = types.cmd("TYPE").arg(key));
        let types: Vec<String> = types.query_async(&mut connection).await?;
        for (key, kind) in page.iter().zip(types) {
            // A key that went meanwhile is a generation that is being dropped.
            if kind != "none" {
                all.insert(key.clone(), stored(&mut connection, key, kind).await?);
            }
        }
    }
    Ok(all)
}

async fn stored(
    connection: &mut MultiplexedConnection,
    key: &str,
    kind: String,
) -> RedisResult<Stored> {
    Ok(match kind.as_str() {
        "string" => {
            let bytes: Option<Vec<u8>> = connection.get(key).await?;
            Stored::Text(bytes.unwrap_or_default())
        }
        "hash" => Stored::Fields(connection.hgetall(key).await?),
        "zset" => {
            let members: Vec<(String, f64)> = connection.zrange_withscores(key, 0, -1).await?;
            let with_bits = |(member, score): (String, f64)| (member, score.to_bits());
            Stored::Members(members.into_iter().map(with_bits).collect())
        }
        _ => Stored::Strange(kind),
    })
}
