-- copy_events: columns as in events_after. COPY takes no parameters: $1 shard, $2 after and $3 upto are put in as numbers.
COPY (
    SELECT position, version, balance, amount, held, overdraft_limit, peer_position, effective_at, account, event_type, status,
           peer_shard, schema_version, request_id, account_id, owner_id, currency, reference, counterparty, actor,
           trace_context, details
    FROM counterfoil.events
    WHERE shard = $1 AND position > $2 AND position <= $3
    ORDER BY shard, position
) TO STDOUT (FORMAT binary)
