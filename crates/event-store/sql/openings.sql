-- openings
-- Each account is looked up by itself, whatever the planner knows of the table: of a new one it knows nothing, and would read all
-- of an index once per page.
SELECT o.account, o.account_id, o.owner_id, o.currency, o.details, b.recorded_at
FROM unnest($2::integer[]) AS q (account)
JOIN LATERAL (
    SELECT position, account, account_id, owner_id, currency, details FROM counterfoil.events
    WHERE shard = $1 AND account = q.account AND version = 1 AND event_type <> 11
    ORDER BY shard DESC, account DESC, version DESC LIMIT 1
) o ON true
JOIN LATERAL (
    SELECT recorded_at FROM counterfoil.batches
    WHERE shard = $1 AND first_position <= o.position ORDER BY shard DESC, first_position DESC LIMIT 1
) b ON true
