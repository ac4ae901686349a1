-- Purpose: the settings that devices report of themselves, and how they changed. Read only: nothing
-- is ever sent to a device. Settings of the treatment belong to a loan, as telemetry does.

-- Which boot told the settings last, and how many of them could not be kept.
ALTER TABLE device_state ADD COLUMN settings_boot bigint,
    ADD COLUMN settings_left_out_n int NOT NULL DEFAULT 0;

-- The set of the newest birth that told any. `since`: when this value was first reported;
-- `reported_at`: when it was last. NULL: nobody knows, for the birth waited and no clock was right.
CREATE TABLE device_setting (
    device_no int NOT NULL REFERENCES device,
    name text NOT NULL CONSTRAINT device_setting_name_wellformed
        CHECK (name ~ '^[a-z][a-z0-9_]{0,62}$'),
    value jsonb NOT NULL CONSTRAINT device_setting_value_plain
        CHECK (jsonb_typeof(value) IN ('number', 'boolean', 'string')),
    is_care boolean NOT NULL,
    since timestamptz,
    reported_at timestamptz,
    PRIMARY KEY (device_no, name)
);

-- From `at` on a setting had this value; NULL: it was reported no more. What was before is the row
-- before, so that nothing of an earlier loan stands in a row of a later one.
CREATE TABLE device_setting_change (
    change_no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    device_no int NOT NULL REFERENCES device,
    name text NOT NULL CONSTRAINT device_setting_change_name_wellformed
        CHECK (name ~ '^[a-z][a-z0-9_]{0,62}$'),
    value jsonb CONSTRAINT device_setting_change_value_plain
        CHECK (jsonb_typeof(value) IN ('number', 'boolean', 'string')),
    is_care boolean NOT NULL,
    at timestamptz
);
CREATE INDEX device_setting_change_by_device ON device_setting_change (device_no, change_no DESC);

-- Within the caller's reach, a loan from its start on; what is not shared is the person's alone; and
-- settings of the treatment are for the person and the unit that prescribed. A time that nobody
-- knows may be of an earlier loan, or of days that were not shared: then nothing is seen.
DO $$
DECLARE
    pair text[];
BEGIN
    FOREACH pair SLICE 1 IN ARRAY ARRAY[
        ['device_setting', 'reported_at'], ['device_setting_change', 'at']]
    LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', pair[1]);
        EXECUTE format('CREATE POLICY every_tenant ON %I TO fjarrkoll_ingest'
            ' USING (true) WITH CHECK (true)', pair[1]);
        EXECUTE format('CREATE POLICY within_reach ON %1$I FOR SELECT TO fjarrkoll_api USING ('
            'EXISTS (SELECT FROM device d WHERE d.device_no = %1$I.device_no OFFSET 0)'
            ' AND ((SELECT public.scope_is_staff())'
            ' OR %1$I.%2$I >= public.seen_from(%1$I.device_no)))', pair[1], pair[2]);
        EXECUTE format('CREATE POLICY treatment ON %I AS RESTRICTIVE FOR SELECT TO fjarrkoll_api'
            ' USING (NOT is_care OR (SELECT public.scope_reach()) IN (''person'', ''care_unit''))',
            pair[1]);
        EXECUTE format('CREATE POLICY unshared ON %1$I AS RESTRICTIVE FOR SELECT TO fjarrkoll_api'
            ' USING (device_no NOT IN (SELECT public.unshared_devices())'
            ' OR (SELECT public.scope_reach()) = ''person'''
            ' OR NOT %2$I <@ public.hidden_times(device_no, NULL))', pair[1], pair[2]);
    END LOOP;
END $$;

CREATE TRIGGER incident_hold_keeps BEFORE DELETE ON device_setting_change
    FOR EACH ROW EXECUTE FUNCTION keep_held_row('at');
CREATE TRIGGER incident_hold_keeps_all BEFORE TRUNCATE ON device_setting_change
    FOR EACH STATEMENT EXECUTE FUNCTION keep_while_held();

-- How many settings of the treatment are kept from the caller: that they are there, and no more.
CREATE FUNCTION care_setting_n(wanted int) RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT count(*) FROM device_setting
    WHERE device_no = wanted AND is_care AND public.scope_is_staff()
        AND public.seen_from(wanted) IS NOT NULL
$$;

-- What a device was set to during one loan, in order, as far as it was reported in the loan: the
-- changes, and what was set before and still reported when the loan was.
CREATE FUNCTION loan_settings(wanted bigint) RETURNS TABLE (at timestamptz, name text, value jsonb)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    found loan := public.tenant_loan(wanted);
BEGIN
    RETURN QUERY
        SELECT c.at, c.name, c.value FROM public.device_setting_change c
        WHERE c.device_no = found.device_no
            AND c.at >= found.started_at AND (found.ended_at IS NULL OR c.at < found.ended_at)
        UNION ALL
        SELECT s.reported_at, s.name, s.value FROM public.device_setting s
        WHERE s.device_no = found.device_no AND s.reported_at >= found.started_at
            AND (found.ended_at IS NULL OR s.reported_at < found.ended_at)
            AND (s.since IS NULL OR s.since < found.started_at)
        ORDER BY 1, 2 LIMIT 100000;
END $$;

-- Remove what a device was set to during one finished loan, but for what belongs to a record of
-- care; how many changes went comes back.
CREATE FUNCTION erase_settings(wanted bigint) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    found loan := public.tenant_loan(wanted);
    hold bigint := public.loan_held_by(found.loan_no);
    gone bigint;
BEGIN
    IF hold IS NOT NULL THEN
        PERFORM public.refuse_held(hold, 'loan');
    END IF;
    IF found.ended_at IS NULL THEN
        RETURN 0;
    END IF;
    DELETE FROM public.device_setting_change c WHERE c.device_no = found.device_no
        AND c.at >= found.started_at AND c.at < found.ended_at AND NOT c.is_care;
    GET DIAGNOSTICS gone = ROW_COUNT;
    DELETE FROM public.device_setting s WHERE s.device_no = found.device_no
        AND s.reported_at >= found.started_at AND s.reported_at < found.ended_at AND NOT s.is_care;
    RETURN gone;
END $$;

REVOKE EXECUTE ON FUNCTION care_setting_n, loan_settings, erase_settings FROM PUBLIC;
GRANT EXECUTE ON FUNCTION care_setting_n, loan_settings, erase_settings TO fjarrkoll_api;
GRANT SELECT, INSERT, UPDATE, DELETE ON device_setting TO fjarrkoll_ingest;
GRANT INSERT ON device_setting_change TO fjarrkoll_ingest;
GRANT SELECT ON device_setting, device_setting_change TO fjarrkoll_api;
