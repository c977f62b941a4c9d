-- states_at: how accounts stood at a version
SELECT o.account, o.account_id, o.owner_id, o.currency, o.details, ob.recorded_at,
       s.version, s.balance, s.held, s.overdraft_limit, s.status, s.position, sb.recorded_at
FROM unnest($2::integer[], $3::bigint[]) AS q (account, version)
JOIN counterfoil.events o ON o.shard = $1 AND o.account = q.account AND o.version = 1 AND o.event_type <> 11
JOIN counterfoil.events s ON s.shard = $1 AND s.account = q.account AND s.version = q.version AND s.event_type <> 11
JOIN LATERAL (
    SELECT recorded_at FROM counterfoil.batches
    WHERE shard = $1 AND first_position <= o.position ORDER BY shard DESC, first_position DESC LIMIT 1
) ob ON true
JOIN LATERAL (
    SELECT recorded_at FROM counterfoil.batches
    WHERE shard = $1 AND first_position <= s.position ORDER BY shard DESC, first_position DESC LIMIT 1
) sb ON true
