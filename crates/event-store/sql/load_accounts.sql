-- load_accounts: accounts by their text ids, as they stand
SELECT o.account, o.account_id, o.owner_id, o.currency, o.details, ob.recorded_at,
       s.version, s.balance, s.held, s.overdraft_limit, s.status
FROM unnest($2::text[]) AS q (account_id)
JOIN counterfoil.events o ON o.shard = $1 AND o.account_id = q.account_id AND o.event_type = 1
JOIN LATERAL (
    SELECT version, balance, held, overdraft_limit, status FROM counterfoil.events
    WHERE shard = $1 AND account = o.account AND event_type <> 11
    ORDER BY shard DESC, account DESC, version DESC LIMIT 1
) s ON true
JOIN LATERAL (
    SELECT recorded_at FROM counterfoil.batches
    WHERE shard = $1 AND first_position <= o.position ORDER BY shard DESC, first_position DESC LIMIT 1
) ob ON true
