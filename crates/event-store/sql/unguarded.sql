-- unguarded: tables of the log whose trigger against changes is off or gone
SELECT g.name
FROM (VALUES ('events'), ('batches'), ('incarnations')) AS g (name)
WHERE NOT EXISTS (
    SELECT FROM pg_trigger t
    JOIN pg_class c ON c.oid = t.tgrelid
    WHERE c.relnamespace = to_regnamespace('counterfoil') AND c.relname = g.name
      AND t.tgname = g.name || '_append_only' AND t.tgenabled IN ('O', 'A')
)
ORDER BY g.name
