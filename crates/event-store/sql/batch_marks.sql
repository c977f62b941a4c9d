-- batch_marks: what the rows say by which atomic batches are found. $1 shard, $2 first, $3 last
SELECT position, details
FROM counterfoil.events
WHERE shard = $1 AND position BETWEEN $2 AND $3
  AND request_id IS NOT NULL AND substring(details FROM 1 FOR 1) = '\x02'
ORDER BY shard, position
