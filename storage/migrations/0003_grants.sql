-- Purpose: least privilege for what 0003 adds. The API stores what arrives over HTTP under the
-- ingest role from now on, and reads telemetry through functions only.

DO $$
DECLARE
    name text;
BEGIN
    FOR name IN SELECT p.oid::regprocedure::text FROM pg_proc p
        WHERE p.pronamespace = 'public'::regnamespace AND p.proname IN ('seen_from', 'seen_samples',
            'seen_hours', 'find_devices', 'tenant_no_of', 'centre_no_of', 'is_device_of_another',
            'counts_all', 'intake_sums', 'quarantine_sums', 'waiting_work')
    LOOP
        EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', name);
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO fjarrkoll_api', name);
    END LOOP;
END $$;

REVOKE ALL ON sample, rollup_hour, inbox, dirty_hour, tenant_metric, outbox, registry_version,
    ledger, gap, intake_total, quarantine_total, quarantine, device_state, device_boot, fault_event,
    metric, ingest_worker, ingest_slot FROM fjarrkoll_api;
REVOKE EXECUTE ON FUNCTION ensure_sample_partition FROM fjarrkoll_api;
GRANT SELECT ON ledger, gap, quarantine, device_state, fault_event, metric TO fjarrkoll_api;
GRANT INSERT ON outbox TO fjarrkoll_api;

GRANT SELECT, INSERT ON person_link TO fjarrkoll_api;
GRANT SELECT, INSERT, DELETE ON idempotency TO fjarrkoll_api;
