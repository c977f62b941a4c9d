-- one_waits_for_standbys: sent before standbys_have_it by whoever connects, in the same transaction.
-- A server process that waits for a standby does not notice that its client has gone, and while the standbys are away each attempt would
-- leave one. Whoever waits for this lock instead gives up in time (lock_timeout). The key is "conf", and 1.
-- In a sub-select, because as a plain condition it would be asked after the lock has been taken.
SELECT
FROM pg_advisory_xact_lock(1668247142, 1) AS alone
WHERE (SELECT current_setting('synchronous_standby_names') <> '' AND NOT pg_is_in_recovery());
