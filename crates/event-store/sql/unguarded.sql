-- unguarded: tables of the log whose trigger against changes is off or gone, or does not refuse all that it should.
-- 58: before each statement, and on UPDATE, DELETE and TRUNCATE (TRIGGER_TYPE_* in PostgreSQL's pg_trigger.h). tgattr: the columns
-- that an UPDATE must name to be refused; of a trigger that refuses all there are none.
SELECT g.name
FROM (VALUES ('events'), ('batches'), ('incarnations')) AS g (name)
WHERE NOT EXISTS (
    SELECT FROM pg_trigger t
    JOIN pg_class c ON c.oid = t.tgrelid
    JOIN pg_proc p ON p.oid = t.tgfoid
    JOIN pg_language l ON l.oid = p.prolang
    WHERE c.relnamespace = to_regnamespace('counterfoil') AND c.relname = g.name AND c.relhastriggers
      AND t.tgname = g.name || '_append_only' AND t.tgenabled IN ('O', 'A')
      AND t.tgtype = 58 AND t.tgqual IS NULL AND cardinality(t.tgattr::smallint[]) = 0
      AND t.tgconstraint = 0 AND NOT t.tgdeferrable AND NOT t.tginitdeferred
      AND p.oid = to_regproc('counterfoil.refuse_change') AND p.prosrc = $1 AND l.lanname = 'plpgsql'
)
ORDER BY g.name
