-- events_at
-- Each position is looked up by itself, whatever the planner knows of the table: of a new one it knows nothing, and would read all
-- of an index once per page.
SELECT e.position, e.version, e.balance, e.amount, e.held, e.overdraft_limit, e.peer_position, e.effective_at, e.account,
       e.event_type, e.status, e.peer_shard, e.schema_version, e.request_id, e.account_id, e.owner_id, e.currency,
       e.reference, e.counterparty, e.actor, e.trace_context, e.details, b.recorded_at
FROM unnest($2::bigint[]) AS q (position)
JOIN LATERAL (
    SELECT * FROM counterfoil.events
    WHERE shard = $1 AND position = q.position
    ORDER BY shard DESC, position DESC LIMIT 1
) e ON true
JOIN LATERAL (
    SELECT recorded_at FROM counterfoil.batches
    WHERE shard = $1 AND first_position <= e.position ORDER BY shard DESC, first_position DESC LIMIT 1
) b ON true
