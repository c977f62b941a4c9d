-- openings_by_id
-- Each account is looked up by itself, whatever the planner knows of the table: of a new one it knows nothing, and would read all
-- of an index once per page.
SELECT o.account, o.account_id, o.owner_id, o.currency, o.details, b.recorded_at
FROM unnest($2::text[]) AS q (account_id)
JOIN LATERAL (
    SELECT position, account, account_id, owner_id, currency, details FROM counterfoil.events
    WHERE shard = $1 AND account_id = q.account_id AND event_type = 1
    ORDER BY shard DESC, account_id DESC LIMIT 1
) o ON true
JOIN LATERAL (
    SELECT recorded_at FROM counterfoil.batches
    WHERE shard = $1 AND first_position <= o.position ORDER BY shard DESC, first_position DESC LIMIT 1
) b ON true
