-- events_blocks: how large the table is; no row if it is no table at all
SELECT pg_relation_size(c.oid) / current_setting('block_size')::bigint
FROM pg_class c
WHERE c.oid = to_regclass('counterfoil.events') AND c.relkind IN ('r', 'p')
