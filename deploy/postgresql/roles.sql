-- Run once as a superuser, before the first `fjarrkoll db migrate`. Safe to run again.
-- Users that log in have a name of their own and the rights of one process. Passwords are not
-- set here: use \password in psql, or peer or certificate authentication.

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['fjarrkoll_ingest', 'fjarrkoll_diagnose', 'fjarrkoll_api'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) THEN
            EXECUTE format('CREATE ROLE %I NOLOGIN', name);
        END IF;
    END LOOP;
    -- Owns the database: migrations, `device`, `ledger` and `doctor`.
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'fjarrkoll_owner') THEN
        CREATE ROLE fjarrkoll_owner LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE;
    END IF;
    -- One user for each process. NOINHERIT: before it takes its role it may do nothing.
    FOREACH name IN ARRAY ARRAY['ingest', 'diagnose', 'api'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'fjarrkoll_' || name || '_login') THEN
            EXECUTE format('CREATE ROLE %I LOGIN NOINHERIT', 'fjarrkoll_' || name || '_login');
        END IF;
    END LOOP;
END $$;

-- The migration then finds the roles, and needs no right to create any.
GRANT fjarrkoll_ingest, fjarrkoll_diagnose, fjarrkoll_api TO fjarrkoll_owner;
GRANT fjarrkoll_ingest TO fjarrkoll_ingest_login;
GRANT fjarrkoll_diagnose TO fjarrkoll_diagnose_login;
-- Records over HTTP are stored under the ingest role.
GRANT fjarrkoll_api, fjarrkoll_ingest TO fjarrkoll_api_login;
