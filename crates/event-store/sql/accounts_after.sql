-- accounts_after: how accounts stood after their last row at or before a position, by number
SELECT o.account, o.account_id, o.owner_id, o.currency, o.details, ob.recorded_at,
       s.version, s.balance, s.held, s.overdraft_limit, s.status, s.position, sb.recorded_at
FROM generate_series($2::integer + 1, $2::integer + $4::integer) AS q (account)
JOIN counterfoil.events o ON o.shard = $1 AND o.account = q.account AND o.version = 1 AND o.event_type <> 11
JOIN LATERAL (
    SELECT version, balance, held, overdraft_limit, status, position FROM counterfoil.events
    WHERE shard = $1 AND account = q.account AND event_type <> 11 AND position <= $3
    ORDER BY shard DESC, account DESC, version DESC LIMIT 1
) s ON true
JOIN LATERAL (
    SELECT recorded_at FROM counterfoil.batches
    WHERE shard = $1 AND first_position <= o.position ORDER BY shard DESC, first_position DESC LIMIT 1
) ob ON true
JOIN LATERAL (
    SELECT recorded_at FROM counterfoil.batches
    WHERE shard = $1 AND first_position <= s.position ORDER BY shard DESC, first_position DESC LIMIT 1
) sb ON true
ORDER BY q.account
