-- shard_counts: incarnations of the log that do not have as many shards as the newest
-- $1 shards of the newest
SELECT incarnation, shards
FROM counterfoil.incarnations
WHERE shards <> $1
ORDER BY incarnation
