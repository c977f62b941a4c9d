-- states_at: how accounts stood at a version
-- Each account is looked up by itself, whatever the planner knows of the table: of a new one it knows nothing, and would read all
-- of an index once per page.
SELECT o.account, o.account_id, o.owner_id, o.currency, o.details, ob.recorded_at,
       s.version, s.balance, s.held, s.overdraft_limit, s.status, s.position, sb.recorded_at
FROM unnest($2::integer[], $3::bigint[]) AS q (account, version)
JOIN LATERAL (
    SELECT position, account, account_id, owner_id, currency, details FROM counterfoil.events
    WHERE shard = $1 AND account = q.account AND version = 1 AND event_type <> 11
    ORDER BY shard DESC, account DESC, version DESC LIMIT 1
) o ON true
JOIN LATERAL (
    SELECT version, balance, held, overdraft_limit, status, position FROM counterfoil.events
    WHERE shard = $1 AND account = q.account AND version = q.version AND event_type <> 11
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
