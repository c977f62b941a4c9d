-- taken_twice: positions at which more than one row stands
-- $1 shard, $2 first position, $3 last position, $4 limit
SELECT position, count(*)
FROM counterfoil.events
WHERE shard = $1 AND position BETWEEN $2 AND $3
GROUP BY position
HAVING count(*) > 1
ORDER BY position
LIMIT $4
