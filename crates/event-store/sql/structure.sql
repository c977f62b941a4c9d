-- structure: what keeps the log's tables what the migrations made them, and is not so any more. Two rows can only ever stand at
-- one place, and a value that cannot be only come in, where something of this is out of order.
-- Indexes are told by what they do, because one of the right name can be made to keep nothing, and then by their names, because
-- appends tell by those what stood in their way.
WITH expected (name) AS (
    VALUES ('events'), ('batches'), ('incarnations'), ('event_types'), ('migrations')
), tables AS (
    SELECT x.name, c.oid, c.relkind, c.relpersistence, c.relispartition, c.relrowsecurity, c.relhasindex, c.relchecks,
           c.relowner, c.relacl
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
), keepers AS (
    SELECT k.key, x.relname
    FROM tables t
    JOIN keys k ON k.name = t.name
    JOIN pg_index i ON i.indrelid = t.oid
    JOIN pg_class x ON x.oid = i.indexrelid
    JOIN pg_am m ON m.oid = x.relam
    WHERE m.amname = 'btree'
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
      -- Ids of accounts are compared byte by byte, whatever the system thinks of the order of letters today.
      AND (k.key <> 'events_account_id_key' OR '"C"'::regcollation = ANY (i.indcollation::oid[]))
), checks (name, key, says) AS (
    -- As every Postgres from 15 to 18 spells it. One that is NOT VALID or NOT ENFORCED is spelled with these words.
    VALUES ('events', 'events_values_check',
            'CHECK ((((balance - COALESCE(held, (0)::bigint)) >= (- COALESCE(overdraft_limit, (0)::bigint)))'
            ' AND (amount > 0) AND (held > 0) AND (overdraft_limit > 0) AND ((status >= 1) AND (status <= 3))))'),
           ('incarnations', 'incarnations_shards_check', 'CHECK (((shards >= 1) AND (shards <= 1024)))')
), filled (name, columns) AS (
    VALUES ('events', '{position,version,balance,account,shard,event_type,status}'::text[]),
           ('batches', '{first_position,last_position,recorded_at,attempt,accounts,shard,format,digest,hash}'),
           ('incarnations', '{incarnation,log_id,shards,started_at}'),
           ('event_types', '{event_type,name}'),
           ('migrations', '{name,checksum,applied_at}')
), granted AS (
    SELECT t.name, a.grantee, a.privilege_type
    FROM tables t
    CROSS JOIN LATERAL (
        SELECT t.relacl AS acl
        UNION ALL
        SELECT attacl FROM pg_attribute WHERE attrelid = t.oid AND NOT attisdropped
    ) r
    CROSS JOIN LATERAL aclexplode(r.acl) a
    -- A trigger of somebody else's runs with the rights of whoever appends.
    WHERE a.grantee <> t.relowner AND a.privilege_type IN ('INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'TRIGGER')
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
-- Where the catalogue says of a table that it has none, nobody looks for them.
SELECT t.name, 'pg_class says that it has no indexes, so none of them keeps anything'
FROM tables t WHERE NOT t.relhasindex AND EXISTS (SELECT FROM pg_index i WHERE i.indrelid = t.oid)
UNION ALL
SELECT t.name, format('pg_class says that it has %s check constraints, and it has %s: some are not looked at', t.relchecks, c.number)
FROM tables t
CROSS JOIN LATERAL (SELECT count(*) AS number FROM pg_constraint WHERE conrelid = t.oid AND contype = 'c') AS c
WHERE t.relchecks <> c.number
UNION ALL
SELECT t.name, format('nothing keeps (%s) unique%s: the index that did, %s, is gone, or is not unique, not in use, or of something else',
                      array_to_string(k.columns, ', '), ' where ' || k.predicate, k.key)
FROM tables t
JOIN keys k ON k.name = t.name
WHERE NOT EXISTS (SELECT FROM keepers WHERE keepers.key = k.key)
UNION ALL
SELECT k.name, format('what keeps (%s) unique%s is called %s and not %s: by that name appends tell what stood in their way',
                      array_to_string(k.columns, ', '), ' where ' || k.predicate, min(keepers.relname), k.key)
FROM keys k
JOIN keepers ON keepers.key = k.key
GROUP BY k.name, k.key, k.columns, k.predicate
HAVING NOT bool_or(keepers.relname = k.key)
UNION ALL
SELECT t.name, format('check constraint %s is gone, not valid, or says something else: it was %s', k.key, k.says)
FROM tables t
JOIN checks k ON k.name = t.name
WHERE t.relkind = 'r' AND NOT EXISTS (
    SELECT FROM pg_constraint c
    WHERE c.conrelid = t.oid AND c.contype = 'c' AND c.conname = k.key AND pg_get_constraintdef(c.oid) = k.says
)
UNION ALL
SELECT t.name, format('nothing keeps NULL out of column %s', f.name)
FROM tables t
JOIN filled ON filled.name = t.name
CROSS JOIN LATERAL unnest(filled.columns) AS f (name)
WHERE t.relkind = 'r' AND NOT EXISTS (
    SELECT FROM pg_attribute a
    WHERE a.attrelid = t.oid AND a.attname = f.name AND a.attnotnull
      -- Since version 18 it may be a constraint that was never looked at.
      AND NOT EXISTS (
          SELECT FROM pg_constraint c
          WHERE c.conrelid = t.oid AND c.contype = 'n' AND a.attnum = ANY (c.conkey) AND NOT c.convalidated
      )
)
UNION ALL
SELECT t.name, format('trigger %I is not one of the migrations: it can change or refuse what is appended', g.tgname)
FROM tables t
JOIN pg_trigger g ON g.tgrelid = t.oid
WHERE NOT g.tgisinternal
  AND NOT (t.name IN ('events', 'batches', 'incarnations') AND g.tgname = t.name || '_append_only')
UNION ALL
SELECT g.name, format('%s the right to %s: only its owner has that, and others append through append()',
                      CASE g.grantee WHEN 0 THEN 'everybody was given'
                                     ELSE format('role %s was given', coalesce(r.rolname, g.grantee::text)) END,
                      string_agg(DISTINCT g.privilege_type, ', '))
FROM granted g
LEFT JOIN pg_roles r ON r.oid = g.grantee
GROUP BY g.name, g.grantee, r.rolname
ORDER BY 1, 2
