-- triggers_off: for whom session_replication_role is set for good so that triggers do not fire, in this database
SELECT CASE WHEN s.setrole = 0 THEN 'every login' ELSE format('login %s', coalesce(r.rolname, s.setrole::text)) END
FROM pg_db_role_setting s
CROSS JOIN LATERAL unnest(s.setconfig) AS c (setting)
LEFT JOIN pg_roles r ON r.oid = s.setrole
WHERE s.setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
  AND lower(split_part(c.setting, '=', 1)) = 'session_replication_role'
  AND lower(split_part(c.setting, '=', 2)) NOT IN ('origin', 'local')
UNION
-- In the server's own configuration, or by one of the settings above.
SELECT 'this very session' WHERE current_setting('session_replication_role') NOT IN ('origin', 'local')
ORDER BY 1
