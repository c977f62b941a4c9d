-- count_rows: how many rows of each stretch of positions lie in some blocks of the table
-- By blocks and not by position: an index can be made to hide rows from who asks it.
-- $1 first block, $2 the block behind the last, $3 where each shard ends, $4 how many positions are a stretch
SELECT e.shard::integer, (e.position - 1) / $4::bigint, count(*)
FROM counterfoil.events e
WHERE e.ctid >= format('(%s,0)', $1::bigint)::tid AND e.ctid < format('(%s,0)', $2::bigint)::tid
  AND e.position BETWEEN 1 AND ($3::bigint[])[e.shard + 1]
GROUP BY e.shard::integer, (e.position - 1) / $4::bigint
