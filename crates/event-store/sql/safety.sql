-- safety: whether the server keeps what it acknowledges, and whether anything still keeps the log from holding it twice.
SELECT current_setting('fsync') = 'on',
       current_setting('full_page_writes') = 'on',
       pg_is_in_recovery() OR current_setting('transaction_read_only') = 'on',
       current_setting('server_version_num')::integer,
       current_setting('server_encoding'),
       EXISTS (
           SELECT FROM pg_class
           WHERE relnamespace = to_regnamespace('counterfoil') AND relkind = 'r' AND relpersistence <> 'p'
       ),
       -- A restore makes them last. What they say is for `verify` to compare; here it is enough that they are in force.
       ARRAY (
           SELECT k.name
           FROM pg_class t
           JOIN (
               VALUES ('batches', 'batches_pkey'), ('events', 'events_pkey'), ('events', 'events_account_version_key'),
                      ('events', 'events_request_id_key'), ('events', 'events_account_id_key')
           ) AS k (of, name) ON k.of = t.relname
           WHERE t.relnamespace = to_regnamespace('counterfoil')
             AND NOT EXISTS (
                 SELECT
                 FROM pg_index i
                 JOIN pg_class x ON x.oid = i.indexrelid
                 WHERE i.indrelid = t.oid AND x.relname = k.name AND t.relhasindex
                   AND i.indisunique AND i.indisvalid AND i.indisready AND i.indislive
             )
       )
