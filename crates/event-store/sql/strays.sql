-- strays: rows where no batch can be and batches where no shard is; of each kind only some, for they come in masses or not at all
-- $1 shards, $2 how many of a kind
(SELECT 'row' AS kind, shard, position FROM counterfoil.events WHERE shard < 0 ORDER BY shard, position LIMIT $2)
UNION ALL
(SELECT 'row', shard, position FROM counterfoil.events WHERE shard >= $1 ORDER BY shard, position LIMIT $2)
UNION ALL
(SELECT 'batch', shard, first_position FROM counterfoil.batches WHERE shard < 0 ORDER BY shard, first_position LIMIT $2)
UNION ALL
(SELECT 'batch', shard, first_position FROM counterfoil.batches WHERE shard >= $1 ORDER BY shard, first_position LIMIT $2)
UNION ALL
SELECT r.kind, s.shard, r.position
FROM (SELECT generate_series(0, $1::integer - 1)::smallint AS shard) s
CROSS JOIN LATERAL (
    SELECT coalesce((
        SELECT b.last_position FROM counterfoil.batches b WHERE b.shard = s.shard AND b.first_position > 0
        ORDER BY b.shard DESC, b.first_position DESC LIMIT 1
    ), 0) AS position
) head
CROSS JOIN LATERAL (
    (SELECT 'row' AS kind, e.position FROM counterfoil.events e
     WHERE e.shard = s.shard AND e.position < 1 ORDER BY e.shard, e.position LIMIT $2)
    UNION ALL
    (SELECT 'row', e.position FROM counterfoil.events e
     WHERE e.shard = s.shard AND e.position > head.position ORDER BY e.shard, e.position LIMIT $2)
    UNION ALL
    (SELECT 'batch', b.first_position FROM counterfoil.batches b
     WHERE b.shard = s.shard AND b.first_position < 1 ORDER BY b.shard, b.first_position LIMIT $2)
) r
