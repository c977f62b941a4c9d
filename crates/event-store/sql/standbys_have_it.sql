-- standbys_have_it: answered when everything that could be read so far is where commits are to be.
-- A commit that waits for a standby becomes visible when its wait is cut short: by a server that crashes, or because somebody has
-- ended the process that waited. This is a commit of its own, after it in the WAL, and waits for the same standbys.
SELECT pg_logical_emit_message(true, 'counterfoil', '')
WHERE current_setting('synchronous_standby_names') <> '' AND NOT pg_is_in_recovery();
