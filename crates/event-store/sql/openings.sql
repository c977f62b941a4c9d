-- openings
SELECT o.account, o.account_id, o.owner_id, o.currency, o.details, b.recorded_at
FROM unnest($2::integer[]) AS q (account)
JOIN counterfoil.events o ON o.shard = $1 AND o.account = q.account AND o.version = 1 AND o.event_type <> 11
JOIN LATERAL (
    SELECT recorded_at FROM counterfoil.batches
    WHERE shard = $1 AND first_position <= o.position ORDER BY shard DESC, first_position DESC LIMIT 1
) b ON true
