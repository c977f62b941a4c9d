-- head
SELECT last_position, recorded_at, accounts, digest, hash
FROM counterfoil.batches
WHERE shard = $1
ORDER BY shard DESC, first_position DESC
LIMIT 1
