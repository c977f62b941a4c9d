-- claims_after: what the next batches say of themselves
SELECT first_position, last_position, digest, hash
FROM counterfoil.batches
WHERE shard = $1 AND first_position > $2
ORDER BY shard, first_position
LIMIT $3
