-- roles
-- Who may do what. The services log in as whom they like and then take one of these roles: neither may change the log,
-- and only append() may add to it. Roles belong to the whole server, so another database may have made them already.

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'counterfoil_writer') THEN
        CREATE ROLE counterfoil_writer NOLOGIN;
    END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
END
$$;

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'counterfoil_projector') THEN
        CREATE ROLE counterfoil_projector NOLOGIN;
    END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
END
$$;

-- Since version 16 a login may be a member of a role that it made and yet not take it.
DO $$
DECLARE
    v_right text := CASE WHEN current_setting('server_version_num')::integer >= 160000 THEN 'SET' ELSE 'MEMBER' END;
BEGIN
    IF NOT pg_has_role(current_user, 'counterfoil_writer', v_right) THEN
        EXECUTE format('GRANT counterfoil_writer TO %I', current_user);
    END IF;
    IF NOT pg_has_role(current_user, 'counterfoil_projector', v_right) THEN
        EXECUTE format('GRANT counterfoil_projector TO %I', current_user);
    END IF;
EXCEPTION WHEN insufficient_privilege THEN
    -- Another login has made the roles, and since version 16 only that one and administrators may hand them out.
    RAISE insufficient_privilege USING MESSAGE = format(
        'login %s may not take roles that another login has made; let an administrator run: '
        'GRANT counterfoil_writer, counterfoil_projector TO %I', current_user, current_user);
END
$$;

-- Everything is taken away first, so that what an earlier version gave and this one does not is gone.
REVOKE ALL ON ALL TABLES IN SCHEMA counterfoil FROM PUBLIC, counterfoil_writer, counterfoil_projector;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA counterfoil FROM PUBLIC, counterfoil_writer, counterfoil_projector;
REVOKE ALL ON SCHEMA counterfoil FROM PUBLIC, counterfoil_writer, counterfoil_projector;
GRANT USAGE ON SCHEMA counterfoil TO counterfoil_writer, counterfoil_projector;
GRANT SELECT ON ALL TABLES IN SCHEMA counterfoil TO counterfoil_writer, counterfoil_projector;
GRANT EXECUTE ON FUNCTION counterfoil.append, counterfoil.take_turn TO counterfoil_writer;
