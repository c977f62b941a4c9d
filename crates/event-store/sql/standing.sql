-- standing: whether the schema is there, and whether this login may read it and may change it. Asks the catalogue only, which
-- everybody may.
SELECT n.oid IS NOT NULL,
       n.oid IS NOT NULL AND has_schema_privilege(n.oid, 'USAGE'),
       CASE WHEN n.oid IS NULL THEN has_database_privilege(current_database(), 'CREATE')
            ELSE pg_has_role(current_user, n.nspowner, 'USAGE') END,
       current_user::text
FROM (SELECT to_regnamespace('counterfoil')::oid AS oid) s
LEFT JOIN pg_namespace n ON n.oid = s.oid
