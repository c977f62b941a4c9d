-- event_types: rows that are not those of the migrations. An auditor reads the names of events there.
-- $1 limit
WITH made AS (
    SELECT to_jsonb(m) AS kind
    FROM (VALUES (1, 'AccountOpened'), (2, 'MoneyDeposited'), (3, 'MoneyWithdrawn'), (4, 'BillPaid'), (5, 'TransferSent'),
                 (6, 'TransferReceived'), (7, 'OverdraftLimitSet'), (8, 'AccountFrozen'), (9, 'AccountUnfrozen'),
                 (10, 'AccountClosed'), (11, 'CommandRejected')) AS m (event_type, name)
), there AS (
    -- As a whole: whatever its columns are called by now, it can be read.
    SELECT to_jsonb(e) AS kind FROM counterfoil.event_types e
)
SELECT 'event_types', format('row %s was put there', kind) FROM (SELECT kind FROM there EXCEPT ALL SELECT kind FROM made) added
UNION ALL
SELECT 'event_types', format('row %s is gone', kind) FROM (SELECT kind FROM made EXCEPT ALL SELECT kind FROM there) gone
ORDER BY 2
LIMIT $1
