-- standbys_have_it: answered when everything that could be read so far is where commits are to be.
-- A commit that waits for a standby becomes visible when its wait is cut short: by a server that crashes, or because somebody has
-- ended the process that waited. This is a commit of its own, after it in the WAL, and waits for the same standbys.
-- One at a time: a server process that waits for a standby does not notice that its client has gone, and while the standbys are away each
-- attempt would leave one. Whoever waits for the lock instead gives up in time (lock_timeout).
SELECT pg_logical_emit_message(true, 'counterfoil', '')
FROM pg_advisory_xact_lock(1668247142, 1) AS alone
WHERE (SELECT current_setting('synchronous_standby_names') <> '' AND NOT pg_is_in_recovery())
