-- identity: the current incarnation, and the log's first id
SELECT i.incarnation, i.log_id, i.shards, f.log_id
FROM counterfoil.incarnations i
JOIN counterfoil.incarnations f ON f.incarnation = 1
ORDER BY i.incarnation DESC
LIMIT 1
