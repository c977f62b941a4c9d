-- structure: what keeps the log's tables what the migrations made them, and is not so any more. Two rows can only ever stand at
-- one place where something of this is out of order.
-- Indexes are told by what they do and not by their names: one of the right name can be made to keep nothing.
WITH expected (name) AS (
    VALUES ('events'), ('batches'), ('incarnations'), ('event_types'), ('migrations')
), tables AS (
    SELECT x.name, c.oid, c.relkind, c.relpersistence, c.relispartition, c.relrowsecurity
    FROM expected x
    LEFT JOIN pg_class c ON c.relnamespace = to_regnamespace('counterfoil') AND c.relname = x.name
), keys (name, key, columns, predicate) AS (
    VALUES ('events', 'events_pkey', '{shard,position}'::text[], NULL),
           ('events', 'events_account_version_key', '{shard,account,version}', '(event_type <> 11)'),
           ('events', 'events_request_id_key', '{shard,request_id}', '(request_id IS NOT NULL)'),
           ('events', 'events_account_id_key', '{shard,account_id}', '(event_type = 1)'),
           ('batches', 'batches_pkey', '{shard,first_position}', NULL),
           ('incarnations', 'incarnations_pkey', '{incarnation}', NULL),
           ('incarnations', 'incarnations_log_id_key', '{log_id}', NULL),
           ('event_types', 'event_types_pkey', '{event_type}', NULL),
           ('migrations', 'migrations_pkey', '{name}', NULL)
)
SELECT t.name, 'it is not an ordinary table'
FROM tables t
WHERE (t.relkind = 'r' AND t.relpersistence = 'p' AND NOT t.relispartition) IS NOT TRUE
UNION ALL
SELECT t.name, format('table %s inherits from it, and its rows are read as if they were the log''s', h.inhrelid::regclass)
FROM tables t JOIN pg_inherits h ON h.inhparent = t.oid
UNION ALL
SELECT t.name, format('it inherits from %s', h.inhparent::regclass)
FROM tables t JOIN pg_inherits h ON h.inhrelid = t.oid
UNION ALL
SELECT t.name, format('rule %I does something else in place of what it is asked', r.rulename)
FROM tables t JOIN pg_rewrite r ON r.ev_class = t.oid
UNION ALL
SELECT t.name, 'row-level security is on, and can hide rows'
FROM tables t WHERE t.relrowsecurity
UNION ALL
SELECT t.name, format('nothing keeps (%s) unique%s: the index that did, %s, is gone, or is not unique, not in use, or of something else',
                      array_to_string(k.columns, ', '), ' where ' || k.predicate, k.key)
FROM tables t
JOIN keys k ON k.name = t.name
WHERE NOT EXISTS (
    SELECT FROM pg_index i
    JOIN pg_class x ON x.oid = i.indexrelid
    JOIN pg_am m ON m.oid = x.relam
    WHERE i.indrelid = t.oid AND m.amname = 'btree'
      AND i.indisunique AND i.indimmediate AND i.indisvalid AND i.indisready AND i.indislive
      AND NOT i.indnullsnotdistinct AND i.indexprs IS NULL
      AND pg_get_expr(i.indpred, i.indrelid) IS NOT DISTINCT FROM k.predicate
      AND k.columns = (
          SELECT array_agg(a.attname::text ORDER BY c.place)
          FROM unnest(i.indkey::smallint[]) WITH ORDINALITY AS c (number, place)
          JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = c.number
          -- NULL is never the same as NULL, so a key that may be NULL keeps nothing.
          WHERE a.attnotnull OR k.predicate IS NOT NULL
      )
      -- What is the same is said by the operator class.
      AND NOT EXISTS (
          SELECT FROM unnest(i.indclass::oid[]) AS c (oid)
          JOIN pg_opclass o ON o.oid = c.oid
          WHERE NOT (o.opcdefault AND o.opcnamespace = to_regnamespace('pg_catalog'))
      )
)
ORDER BY 1, 2
