-- batch_ending_at
SELECT last_position, recorded_at, accounts, digest, hash
FROM counterfoil.batches
WHERE shard = $1 AND first_position <= $2
ORDER BY shard DESC, first_position DESC
LIMIT 1
