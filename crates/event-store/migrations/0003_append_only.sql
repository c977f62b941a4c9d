-- The log is only ever appended to, also by its owner and by superusers. Who means to change it all the same has to put these
-- triggers out of the way first: by name, which `counterfoil verify` reports, or with session_replication_role, which only a
-- superuser may set. Neither hides the change: the chains do not match any more.

CREATE FUNCTION counterfoil.refuse_change() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION '% of %.% is refused: the log is only ever appended to', TG_OP, TG_TABLE_SCHEMA, TG_TABLE_NAME
        USING ERRCODE = 'CF004';
END
$$;

-- Per statement: a statement that would have changed nothing is refused as well, and appends pay nothing for it.
CREATE TRIGGER events_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON counterfoil.events
    FOR EACH STATEMENT EXECUTE FUNCTION counterfoil.refuse_change();
CREATE TRIGGER batches_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON counterfoil.batches
    FOR EACH STATEMENT EXECUTE FUNCTION counterfoil.refuse_change();
CREATE TRIGGER incarnations_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON counterfoil.incarnations
    FOR EACH STATEMENT EXECUTE FUNCTION counterfoil.refuse_change();
