-- batches_after
SELECT first_position, last_position, recorded_at, attempt, accounts, format, digest, hash
FROM counterfoil.batches
WHERE shard = $1 AND first_position > $2
ORDER BY shard, first_position
LIMIT $3
