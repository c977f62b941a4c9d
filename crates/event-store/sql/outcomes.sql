-- outcomes: the first rows of commands by their request ids
SELECT e.position, e.version, e.balance, e.amount, e.held, e.overdraft_limit, e.peer_position, e.effective_at, e.account,
       e.event_type, e.status, e.peer_shard, e.schema_version, e.request_id, e.account_id, e.owner_id, e.currency,
       e.reference, e.counterparty, e.actor, e.trace_context, e.details, b.recorded_at
FROM unnest($2::uuid[]) AS q (request_id)
JOIN counterfoil.events e ON e.shard = $1 AND e.request_id = q.request_id
JOIN LATERAL (
    SELECT recorded_at FROM counterfoil.batches
    WHERE shard = $1 AND first_position <= e.position ORDER BY shard DESC, first_position DESC LIMIT 1
) b ON true
