-- Purpose: least privilege. A process takes its role at connect and keeps only these rights.
DO $$
DECLARE
    name text;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('fjarrkoll_roles'));
    FOREACH name IN ARRAY ARRAY['fjarrkoll_ingest', 'fjarrkoll_diagnose', 'fjarrkoll_api'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) THEN
            EXECUTE format('CREATE ROLE %I NOLOGIN', name);
        END IF;
        IF NOT pg_has_role(current_user, name, 'MEMBER') THEN
            EXECUTE format('GRANT %I TO CURRENT_USER', name);
        END IF;
    END LOOP;
END $$;

REVOKE CREATE ON SCHEMA public FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION ensure_sample_partition FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION bump_registry_version FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO fjarrkoll_ingest, fjarrkoll_diagnose, fjarrkoll_api;
GRANT EXECUTE ON FUNCTION ensure_sample_partition TO fjarrkoll_ingest, fjarrkoll_api;

-- What storing a batch needs. The API has the same rights on these for POST /ingest.
GRANT SELECT ON tenant, centre, model, device, metric, registry_version, device_boot
    TO fjarrkoll_ingest, fjarrkoll_diagnose, fjarrkoll_api;
GRANT SELECT, INSERT ON tenant_metric, sample, fault_event TO fjarrkoll_ingest, fjarrkoll_api;
GRANT INSERT ON metric, dirty_hour TO fjarrkoll_ingest, fjarrkoll_api;
-- Only the column-free lock: a writer proves with it that an inbox row is really there.
GRANT SELECT, INSERT ON inbox TO fjarrkoll_ingest, fjarrkoll_api;
GRANT SELECT, INSERT, UPDATE ON ledger, gap, intake_total, quarantine_total, quarantine,
    device_state, device_boot TO fjarrkoll_ingest, fjarrkoll_api;
GRANT UPDATE (version) ON registry_version TO fjarrkoll_ingest, fjarrkoll_api;
GRANT SELECT, INSERT, UPDATE, DELETE ON ingest_slot, ingest_worker TO fjarrkoll_ingest;

-- Diagnostics reads what devices said and owns what follows from it.
GRANT SELECT ON sample, fault_event, ledger, device_state TO fjarrkoll_diagnose;
GRANT SELECT, DELETE ON inbox TO fjarrkoll_diagnose;
GRANT SELECT, DELETE, UPDATE ON dirty_hour TO fjarrkoll_diagnose;
GRANT UPDATE ON inbox TO fjarrkoll_diagnose; -- row locks: FOR UPDATE SKIP LOCKED
GRANT SELECT, INSERT, UPDATE, DELETE ON rollup_hour, latest, episode, ticket_episode
    TO fjarrkoll_diagnose;
GRANT SELECT, INSERT, UPDATE ON ticket, ticket_event, outbox TO fjarrkoll_diagnose;

GRANT SELECT ON rollup_hour, latest, episode, ticket, ticket_event, ticket_episode, outbox,
    dirty_hour, ingest_slot, ingest_worker TO fjarrkoll_api;
