-- Purpose: who sees which rows. A caller's reach is set for one transaction; nothing set, nothing seen.

-- The link between a loan and a person stands alone, so that it has its own rights and can be cut
-- while the device's history stays. `person` is a pseudonym; `care_unit` is the prescriber's unit.
CREATE TABLE person_link (
    loan_no bigint PRIMARY KEY REFERENCES loan ON DELETE CASCADE,
    person text NOT NULL CONSTRAINT person_link_person_words
        CHECK (person ~ '^[[:graph:]][[:print:]]{0,79}$' AND person !~ '^[0-9]{6,8}[-+ ]?[0-9]{4}$'),
    care_unit text CONSTRAINT person_link_unit_words CHECK (length(care_unit) BETWEEN 1 AND 80)
);
INSERT INTO person_link (loan_no, person) SELECT loan_no, person FROM loan WHERE person IS NOT NULL;
CREATE INDEX person_link_by_person ON person_link (person);
CREATE INDEX person_link_by_unit ON person_link (care_unit);
ALTER TABLE loan DROP COLUMN person;

-- The queue weighs the deadlines of every open ticket: they say themselves whose they are, so that
-- row-level security need not look each ticket up once more.
ALTER TABLE ticket_clock ADD COLUMN tenant_no int REFERENCES tenant;
UPDATE ticket_clock SET tenant_no = ticket.tenant_no
FROM ticket WHERE ticket.ticket_no = ticket_clock.ticket_no;
ALTER TABLE ticket_clock ALTER COLUMN tenant_no SET NOT NULL;

-- Answers to requests that named a key, so that one sent twice is done once.
CREATE TABLE idempotency (
    tenant_no int NOT NULL REFERENCES tenant,
    subject text NOT NULL,
    key text NOT NULL CONSTRAINT idempotency_key_length CHECK (length(key) BETWEEN 1 AND 200),
    request_hash bytea NOT NULL,
    status int NOT NULL,
    body jsonb NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_no, subject, key)
);
CREATE INDEX idempotency_oldest ON idempotency (at);

-- Functions of the owner look for tables in temporary schemas last: nobody slips one in before.
ALTER FUNCTION bump_registry_version SET search_path = pg_catalog, public, pg_temp;
ALTER FUNCTION ensure_sample_partition SET search_path = pg_catalog, public, pg_temp;

-- The caller of this transaction, as `storage/scope.py` set it.
CREATE FUNCTION scope_tenant() RETURNS int LANGUAGE sql STABLE PARALLEL SAFE
AS $$ SELECT nullif(current_setting('fjarrkoll.tenant_no', true), '')::int $$;
CREATE FUNCTION scope_tenant_id() RETURNS text LANGUAGE sql STABLE PARALLEL SAFE
AS $$ SELECT nullif(current_setting('fjarrkoll.tenant', true), '') $$;
CREATE FUNCTION scope_reach() RETURNS text LANGUAGE sql STABLE PARALLEL SAFE
AS $$ SELECT nullif(current_setting('fjarrkoll.reach', true), '') $$;
CREATE FUNCTION scope_key() RETURNS text LANGUAGE sql STABLE PARALLEL SAFE
AS $$ SELECT nullif(current_setting('fjarrkoll.reach_key', true), '') $$;
-- Staff see devices whole; a patient and a prescriber see a loan, from its start on.
CREATE FUNCTION scope_is_staff() RETURNS boolean LANGUAGE sql STABLE PARALLEL SAFE
AS $$ SELECT coalesce(current_setting('fjarrkoll.reach', true) IN ('tenant', 'centre'), false) $$;

-- From when on the caller may see what a device reported; NULL: the device does not exist for them.
CREATE FUNCTION seen_from(wanted int) RETURNS timestamptz
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    CASE public.scope_reach()
    WHEN 'tenant' THEN
        RETURN (SELECT '-infinity'::timestamptz FROM device
            WHERE device_no = wanted AND tenant_no = public.scope_tenant());
    WHEN 'centre' THEN
        RETURN (SELECT '-infinity'::timestamptz FROM device
            WHERE device_no = wanted AND tenant_no = public.scope_tenant()
                AND centre_no = public.scope_key()::int);
    WHEN 'device' THEN
        RETURN (SELECT '-infinity'::timestamptz FROM device
            WHERE device_no = wanted AND tenant_no = public.scope_tenant()
                AND id = public.scope_key());
    WHEN 'person', 'care_unit' THEN
        RETURN (SELECT loan.started_at
            FROM loan JOIN person_link USING (loan_no) JOIN device USING (device_no)
            WHERE loan.device_no = wanted AND loan.ended_at IS NULL
                AND device.tenant_no = public.scope_tenant()
                AND public.scope_key() = CASE public.scope_reach()
                    WHEN 'person' THEN person_link.person ELSE person_link.care_unit END
                AND (public.scope_reach() = 'person' OR NOT public.is_blocked(
                    device.tenant_no, person_link.person, public.scope_key())));
    ELSE
        RETURN NULL;
    END CASE;
END $$;

CREATE FUNCTION tenant_no_of(wanted text) RETURNS int
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$ SELECT tenant_no FROM tenant WHERE id = wanted $$;
CREATE FUNCTION centre_no_of(wanted_tenant text, wanted text) RETURNS int
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$ SELECT centre_no FROM centre JOIN tenant USING (tenant_no)
    WHERE tenant.id = wanted_tenant AND centre.id = wanted $$;
-- True where a refused message names a device of somebody else: its bytes may be that tenant's.
CREATE FUNCTION is_device_of_another(wanted text) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$ SELECT EXISTS (SELECT FROM device
    WHERE id = wanted AND tenant_no IS DISTINCT FROM public.scope_tenant()) $$;

-- Telemetry has no row-level security: hypertables with columnstore do not allow it. The API has
-- no rights on the tables, only these; each begins with the caller's reach, and leaves out what
-- a person does not share, and from staff what belongs to care (0003_privacy.sql).
CREATE FUNCTION seen_samples(
    wanted int, wanted_metric int, low timestamptz, high timestamptz, max_rows int)
RETURNS TABLE (at timestamptz, value float8, clock smallint)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp SET plan_cache_mode = force_custom_plan AS $$
DECLARE
    earliest timestamptz := public.seen_from(wanted);
    hidden tstzmultirange := public.kept_times(wanted, wanted_metric);
BEGIN
    IF earliest IS NULL THEN
        RETURN;
    END IF;
    RETURN QUERY SELECT s.at, s.value, s.clock FROM public.sample s
        WHERE s.device_no = wanted AND s.metric_no = wanted_metric
            AND s.at >= greatest(low, earliest) AND s.at < high
            AND NOT s.at <@ hidden
        ORDER BY s.at LIMIT max_rows;
END $$;
CREATE FUNCTION seen_hours(
    wanted int, wanted_metric int, low timestamptz, high timestamptz, max_rows int)
RETURNS TABLE (at timestamptz, sample_n int, min float8, max float8, sum float8, last float8)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp SET plan_cache_mode = force_custom_plan AS $$
DECLARE
    earliest timestamptz := public.seen_from(wanted);
    hidden tstzmultirange := public.kept_times(wanted, wanted_metric);
BEGIN
    IF earliest IS NULL THEN
        RETURN;
    END IF;
    RETURN QUERY SELECT r.hour, r.sample_n, r.min, r.max, r.sum, r.last FROM public.rollup_hour r
        WHERE r.device_no = wanted AND r.metric_no = wanted_metric
            AND r.hour >= greatest(low, earliest) AND r.hour < high
            AND NOT hidden && tstzrange(r.hour, r.hour + interval '1 hour')
        ORDER BY r.hour LIMIT max_rows;
END $$;

-- A search by the start of what is printed on a device. Row-level security would keep LIKE from
-- its indexes, so the reach is checked on what the index finds.
CREATE FUNCTION find_devices(pattern text, after_id text, max_rows int)
RETURNS TABLE (device_no int)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp SET plan_cache_mode = force_custom_plan AS $$
DECLARE -- asked once, not for each row
    own_tenant int := public.scope_tenant();
    sees_all boolean := public.scope_reach() = 'tenant';
BEGIN
    RETURN QUERY SELECT d.device_no FROM public.device d
        WHERE d.tenant_no = own_tenant
            AND (lower(d.id) LIKE pattern OR lower(d.individual_no) LIKE pattern
                OR lower(d.serial) LIKE pattern)
            AND d.id > after_id AND (sees_all OR public.seen_from(d.device_no) IS NOT NULL)
        ORDER BY d.id LIMIT max_rows;
END $$;

-- OFFSET 0 keeps the planner from reading all devices into a hash to check a few rows.
-- Ingest, diagnostics and the owner work for all tenants; the API for one caller at a time.
DO $$
DECLARE
    name text;
BEGIN
    FOR name IN SELECT c.relname FROM pg_class c
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
            AND c.relname <> 'alembic_version' AND c.relname !~ '^sample'
            -- These bring their own.
            AND c.relname NOT IN ('audit', 'audit_head', 'login_session')
            -- The API has no right on these, and COPY does not work under row-level security.
            AND c.relname NOT IN ('dirty_hour', 'inbox')
    LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY every_tenant ON %I TO fjarrkoll_ingest, fjarrkoll_diagnose'
            ' USING (true) WITH CHECK (true)', name);
    END LOOP;
    -- Names and rules of the installation: nothing of any tenant. Its counts are in 0003_sums.sql.
    FOREACH name IN ARRAY ARRAY['metric', 'model', 'registry_version', 'rule_version',
        'rule_switch'] LOOP
        EXECUTE format('CREATE POLICY signed_in ON %I TO fjarrkoll_api'
            ' USING ((SELECT public.scope_tenant()) IS NOT NULL)', name);
    END LOOP;
    FOREACH name IN ARRAY ARRAY['tenant', 'centre', 'agreement', 'tenant_metric', 'idempotency'] LOOP
        EXECUTE format('CREATE POLICY own_tenant ON %I TO fjarrkoll_api'
            ' USING (tenant_no = (SELECT public.scope_tenant()))', name);
    END LOOP;
    -- What belongs to a ticket is seen with the ticket.
    FOREACH name IN ARRAY ARRAY['ticket_event', 'ticket_episode', 'ticket_finding', 'ticket_pause']
    LOOP
        EXECUTE format('CREATE POLICY with_ticket ON %1$I TO fjarrkoll_api USING (EXISTS'
            ' (SELECT FROM ticket k WHERE k.ticket_no = %1$I.ticket_no OFFSET 0))', name);
    END LOOP;
    -- What a device has now is seen with the device.
    FOREACH name IN ARRAY ARRAY['device_state', 'agenda'] LOOP
        EXECUTE format('CREATE POLICY with_device ON %1$I TO fjarrkoll_api USING (EXISTS'
            ' (SELECT FROM device d WHERE d.device_no = %1$I.device_no OFFSET 0))', name);
    END LOOP;
END $$;

CREATE POLICY within_reach ON device TO fjarrkoll_api USING (
    tenant_no = (SELECT scope_tenant())
    AND CASE (SELECT scope_reach())
        WHEN 'tenant' THEN true
        WHEN 'centre' THEN centre_no = (SELECT scope_key())::int
        ELSE seen_from(device_no) IS NOT NULL END);

-- What happened on a device at a time: with the device, and for a loan from its start on.
DO $$
DECLARE
    pair text[];
BEGIN
    FOREACH pair SLICE 1 IN ARRAY ARRAY[
        ['ledger', 'last_at'], ['gap', 'opened_at'], ['fault_event', 'at'],
        ['device_boot', 'born_at'], ['rollup_hour', 'hour'], ['latest', 'at'],
        ['episode', 'started_at'], ['loan', 'started_at'], ['placement', 'from_at']]
    LOOP
        EXECUTE format('CREATE POLICY within_reach ON %1$I TO fjarrkoll_api USING ('
            'EXISTS (SELECT FROM device d WHERE d.device_no = %1$I.device_no OFFSET 0)'
            ' AND ((SELECT public.scope_is_staff())'
            ' OR %1$I.%2$I >= public.seen_from(%1$I.device_no)))', pair[1], pair[2]);
    END LOOP;
    -- A ticket or finding about a group names no person; a patient has none of them.
    FOREACH pair SLICE 1 IN ARRAY ARRAY[['ticket', 'started_at'], ['finding', 'started_at']] LOOP
        EXECUTE format('CREATE POLICY within_reach ON %1$I TO fjarrkoll_api USING ('
            '%1$I.tenant_no = (SELECT public.scope_tenant())'
            ' AND CASE (SELECT public.scope_reach())'
            ' WHEN ''tenant'' THEN true'
            ' WHEN ''centre'' THEN %1$I.device_no IS NULL'
            ' OR EXISTS (SELECT FROM device d WHERE d.device_no = %1$I.device_no OFFSET 0)'
            ' ELSE %1$I.%2$I >= public.seen_from(%1$I.device_no) END)', pair[1], pair[2]);
    END LOOP;
END $$;

CREATE POLICY with_ticket ON ticket_clock TO fjarrkoll_api USING (
    tenant_no = (SELECT scope_tenant())
    AND ((SELECT scope_reach()) = 'tenant'
        OR EXISTS (SELECT FROM ticket k WHERE k.ticket_no = ticket_clock.ticket_no OFFSET 0)));

-- The person behind a loan: the person, and the unit that prescribed. Staff make the link and
-- never read it.
CREATE POLICY own_link ON person_link FOR SELECT TO fjarrkoll_api USING (
    (SELECT scope_reach()) IN ('person', 'care_unit')
    AND (SELECT scope_key()) = CASE (SELECT scope_reach())
        WHEN 'person' THEN person ELSE care_unit END
    AND EXISTS (SELECT FROM loan WHERE loan.loan_no = person_link.loan_no OFFSET 0));
CREATE POLICY new_link ON person_link FOR INSERT TO fjarrkoll_api WITH CHECK (
    EXISTS (SELECT FROM loan WHERE loan.loan_no = person_link.loan_no OFFSET 0));

-- A centre's staff see those of its devices only; what names no known device is the tenant's.
CREATE POLICY own_messages ON quarantine TO fjarrkoll_api USING (
    tenant_id = (SELECT scope_tenant_id()) AND (SELECT scope_is_staff())
    AND NOT is_device_of_another(device_id)
    AND ((SELECT scope_reach()) = 'tenant'
        OR EXISTS (SELECT FROM device d WHERE d.id = quarantine.device_id OFFSET 0)));
CREATE POLICY own_deliveries ON outbox TO fjarrkoll_api
    USING (payload ->> 'tenant' = (SELECT scope_tenant_id()));
