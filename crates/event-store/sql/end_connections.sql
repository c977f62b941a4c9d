-- end_connections: ends processes by name, and says of each that is left whether it waits for a standby.
-- One that begins to commit between this look and the signal is ended all the same: it has waited for a client until then who is gone.
-- $1 name, $2 whether it is one of appends, which may be committing unless they wait for their client or for a lock.
SELECT coalesce(wait_event = 'SyncRep', false),
       CASE
           WHEN $2 AND current_setting('synchronous_standby_names') <> ''
                AND coalesce(wait_event_type, '') NOT IN ('Client', 'Lock')
           THEN false
           ELSE pg_terminate_backend(pid)
       END
FROM pg_stat_activity
WHERE application_name = $1 AND datname = current_database()
