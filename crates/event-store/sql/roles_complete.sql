-- roles_complete: whether both roles are there, may do what they must, and can be taken by this login. A login that does not own
-- the schema serves one service, which writes: it needs the one role.
SELECT w.oid IS NOT NULL AND p.oid IS NOT NULL
   AND pg_has_role(current_user, w.oid, r.name)
   AND (pg_has_role(current_user, p.oid, r.name)
        OR NOT pg_has_role(current_user, (SELECT nspowner FROM pg_namespace WHERE nspname = 'counterfoil'), 'USAGE'))
   AND has_schema_privilege(w.oid, 'counterfoil', 'USAGE') AND has_schema_privilege(p.oid, 'counterfoil', 'USAGE')
   AND (SELECT bool_and(has_table_privilege(w.oid, c.oid, 'SELECT') AND has_table_privilege(p.oid, c.oid, 'SELECT'))
        FROM pg_class c WHERE c.relnamespace = 'counterfoil'::regnamespace AND c.relkind IN ('r', 'v'))
   AND (SELECT count(*) = 2 AND bool_and(has_function_privilege(w.oid, f.oid, 'EXECUTE'))
        FROM pg_proc f
        WHERE f.pronamespace = 'counterfoil'::regnamespace AND f.proname IN ('append', 'take_turn'))
FROM (SELECT to_regrole('counterfoil_writer')::oid AS oid) w,
     (SELECT to_regrole('counterfoil_projector')::oid AS oid) p,
     (SELECT CASE WHEN current_setting('server_version_num')::integer >= 160000 THEN 'SET' ELSE 'MEMBER' END AS name) r
