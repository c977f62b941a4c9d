-- count_batches: that begin after one place and not after another
SELECT count(*)
FROM counterfoil.batches
WHERE shard = $1 AND first_position > $2 AND first_position <= $3
