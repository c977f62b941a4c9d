-- events_after
SELECT position, version, balance, amount, held, overdraft_limit, peer_position, effective_at, account, event_type, status,
       peer_shard, schema_version, request_id, account_id, owner_id, currency, reference, counterparty, actor,
       trace_context, details
FROM counterfoil.events
WHERE shard = $1 AND position > $2
ORDER BY shard, position
LIMIT $3
