-- Purpose: what a person decides about their data, what is let go when a loan is over, and what an
-- incident keeps. Enforced here, so that no page, command or later mistake gets around it.

-- Why a metric is sent, copied from the catalogue. What is not in the catalogue is not for safety.
ALTER TABLE metric ADD COLUMN purpose text NOT NULL DEFAULT 'service'
    CONSTRAINT metric_purpose_word CHECK (purpose IN ('safety', 'service', 'care'));

-- When the person of a loan did not share what safety does not need. It ends with the loan.
CREATE TABLE sharing_choice (
    choice_no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    loan_no bigint NOT NULL REFERENCES loan ON DELETE CASCADE,
    from_at timestamptz NOT NULL,
    until_at timestamptz,
    CONSTRAINT sharing_choice_ends_after_start CHECK (until_at IS NULL OR until_at >= from_at)
);
CREATE UNIQUE INDEX sharing_choice_one_open ON sharing_choice (loan_no) WHERE until_at IS NULL;
CREATE INDEX sharing_choice_by_loan ON sharing_choice (loan_no, from_at);

-- Which care units a person keeps out: one, or all but the one that is kept. `until_at` NULL: it
-- stands until the person takes it back.
CREATE TABLE block (
    block_no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_no int NOT NULL REFERENCES tenant,
    person text NOT NULL CONSTRAINT block_person_length CHECK (length(person) BETWEEN 1 AND 80),
    care_unit text CONSTRAINT block_unit_length CHECK (length(care_unit) BETWEEN 1 AND 80),
    kept_unit text CONSTRAINT block_kept_unit_length CHECK (length(kept_unit) BETWEEN 1 AND 80),
    from_at timestamptz NOT NULL,
    until_at timestamptz,
    CONSTRAINT block_one_or_all CHECK (care_unit IS NULL OR kept_unit IS NULL),
    CONSTRAINT block_ends_after_start CHECK (until_at IS NULL OR until_at >= from_at)
);
CREATE UNIQUE INDEX block_one_open ON block
    (tenant_no, person, coalesce(care_unit, ''), coalesce(kept_unit, '')) WHERE until_at IS NULL;
CREATE INDEX block_by_person ON block (tenant_no, person);

-- One caller's way past a block in an emergency: with a reason, for two hours at the most.
CREATE TABLE block_override (
    override_no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_no int NOT NULL REFERENCES tenant,
    person text NOT NULL,
    care_unit text NOT NULL,
    subject text NOT NULL CONSTRAINT block_override_subject_length
        CHECK (length(subject) BETWEEN 1 AND 200),
    why text NOT NULL CONSTRAINT block_override_has_reason
        CHECK (length(btrim(why)) BETWEEN 10 AND 500),
    from_at timestamptz NOT NULL,
    until_at timestamptz NOT NULL,
    CONSTRAINT block_override_is_short
        CHECK (until_at > from_at AND until_at <= from_at + interval '2 hours')
);
CREATE INDEX block_override_by_person ON block_override (tenant_no, person, until_at);

-- What somebody said of a step they tried. One answer a ticket and step: the last one.
CREATE TABLE self_help_answer (
    answer_no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    loan_no bigint NOT NULL REFERENCES loan ON DELETE CASCADE,
    ticket_no bigint REFERENCES ticket,
    step text NOT NULL CONSTRAINT self_help_answer_step_slug CHECK (step ~ '^[a-z0-9._-]{1,40}$'),
    helped boolean NOT NULL,
    at timestamptz NOT NULL,
    CONSTRAINT self_help_answer_once UNIQUE NULLS NOT DISTINCT (loan_no, ticket_no, step)
);
CREATE INDEX self_help_answer_by_ticket ON self_help_answer (ticket_no);

-- After an incident nothing about the device or the person goes away until somebody releases it.
CREATE TABLE incident_hold (
    hold_no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_no int NOT NULL REFERENCES tenant,
    device_no int REFERENCES device,
    person text CONSTRAINT incident_hold_person_length CHECK (length(person) BETWEEN 1 AND 80),
    why text NOT NULL CONSTRAINT incident_hold_has_reason
        CHECK (length(btrim(why)) BETWEEN 3 AND 500),
    who text NOT NULL CONSTRAINT incident_hold_who_length CHECK (length(who) BETWEEN 1 AND 200),
    from_at timestamptz NOT NULL,
    released_at timestamptz,
    released_by text CONSTRAINT incident_hold_released_by_length
        CHECK (length(released_by) BETWEEN 1 AND 200),
    released_why text CONSTRAINT incident_hold_released_why_length
        CHECK (length(btrim(released_why)) BETWEEN 3 AND 500),
    CONSTRAINT incident_hold_of_one_thing CHECK ((device_no IS NULL) <> (person IS NULL)),
    CONSTRAINT incident_hold_released_by_somebody
        CHECK ((released_at IS NULL) = (released_by IS NULL)),
    CONSTRAINT incident_hold_released_why_at_release
        CHECK (released_why IS NULL OR released_at IS NOT NULL)
);
CREATE UNIQUE INDEX incident_hold_one_open ON incident_hold
    (tenant_no, coalesce(device_no, 0), coalesce(person, '')) WHERE released_at IS NULL;

-- Which entries of the access log somebody has checked.
CREATE INDEX audit_checked ON audit (tenant_no, object_id) WHERE object_kind = 'entry';

CREATE INDEX loan_ended ON loan (ended_at) WHERE ended_at IS NOT NULL;

-- Who the caller is, where that matters beyond how far they reach.
CREATE FUNCTION scope_subject() RETURNS text LANGUAGE sql STABLE PARALLEL SAFE
AS $$ SELECT nullif(current_setting('fjarrkoll.subject', true), '') $$;

-- Times that a device's loans did not share what safety does not need.
CREATE FUNCTION unshared_times(wanted int) RETURNS tstzmultirange
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT coalesce(range_agg(tstzrange(c.from_at, least(c.until_at, l.ended_at))), '{}')
    FROM loan l JOIN sharing_choice c USING (loan_no)
    WHERE l.device_no = wanted
        AND c.from_at < coalesce(least(c.until_at, l.ended_at), 'infinity')
$$;

-- The same for one metric and the caller. Whoever it is about sees all of it.
CREATE FUNCTION hidden_times(wanted int, wanted_metric int) RETURNS tstzmultirange
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF public.scope_reach() = 'person' OR EXISTS (
        SELECT FROM metric WHERE metric_no = wanted_metric AND purpose = 'safety') THEN
        RETURN '{}';
    END IF;
    RETURN public.unshared_times(wanted);
END $$;

-- As hidden_times, and for staff all of what belongs to care, which is nothing for those who repair.
CREATE FUNCTION kept_times(wanted int, wanted_metric int) RETURNS tstzmultirange
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF public.scope_is_staff() AND EXISTS (
        SELECT FROM metric WHERE metric_no = wanted_metric AND purpose = 'care') THEN
        RETURN '{(,)}';
    END IF;
    RETURN public.hidden_times(wanted, wanted_metric);
END $$;

-- Devices of the caller's tenant whose loan did not share at some time.
CREATE FUNCTION unshared_devices() RETURNS SETOF int
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT DISTINCT l.device_no
    FROM sharing_choice c JOIN loan l USING (loan_no) JOIN device d USING (device_no)
    WHERE d.tenant_no = public.scope_tenant()
$$;

-- Whether a unit is kept out by a person, and the caller has no way past it now.
CREATE FUNCTION is_blocked(of_tenant int, of_person text, unit text) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT EXISTS (SELECT FROM block b
        WHERE b.tenant_no = of_tenant AND b.person = of_person
            AND b.from_at <= now() AND (b.until_at IS NULL OR now() < b.until_at)
            AND CASE WHEN b.care_unit IS NULL THEN b.kept_unit IS DISTINCT FROM unit
                ELSE b.care_unit = unit END)
    AND NOT EXISTS (SELECT FROM block_override o
        WHERE o.tenant_no = of_tenant AND o.person = of_person AND o.care_unit = unit
            AND o.subject = public.scope_subject() AND o.from_at <= now() AND now() < o.until_at)
$$;

-- The current loans of the caller, by the link: a patient's own, or those a unit prescribed. Found
-- along the link's indexes, where row-level security would ask every device of the tenant.
CREATE FUNCTION own_loans(max_rows int) RETURNS TABLE (
    loan_no bigint, device_no int, device_id text, started_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER ROWS 20 SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT l.loan_no, l.device_no, d.id, l.started_at
    FROM person_link p JOIN loan l USING (loan_no) JOIN device d USING (device_no)
    WHERE d.tenant_no = public.scope_tenant() AND l.ended_at IS NULL
        AND (public.scope_reach() = 'person' AND p.person = public.scope_key()
            OR public.scope_reach() = 'care_unit' AND p.care_unit = public.scope_key())
        AND public.seen_from(l.device_no) IS NOT NULL
    ORDER BY l.started_at DESC, l.loan_no DESC LIMIT max_rows
$$;

-- How many loans of the caller's unit are kept from the caller: that something is, and no more.
CREATE FUNCTION blocked_loan_n() RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT count(*)
    FROM person_link p JOIN loan l USING (loan_no) JOIN device d USING (device_no)
    WHERE public.scope_reach() = 'care_unit' AND p.care_unit = public.scope_key()
        AND d.tenant_no = public.scope_tenant() AND l.ended_at IS NULL
        AND public.is_blocked(d.tenant_no, p.person, p.care_unit)
$$;

-- Past the block of one loan of the caller's unit, for two hours; the device's id comes back.
-- Whoever asks has the device before them and reads the number on it: nothing is listed here.
CREATE FUNCTION override_block(individual text, reason text, length interval) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    blocked record;
BEGIN
    IF public.scope_reach() IS DISTINCT FROM 'care_unit' OR public.scope_subject() IS NULL THEN
        RAISE EXCEPTION 'only somebody of a care unit gets past a block'
            USING ERRCODE = 'insufficient_privilege', CONSTRAINT = 'block_override_by_unit';
    END IF;
    SELECT d.id, d.tenant_no, p.person INTO blocked
    FROM device d JOIN loan l USING (device_no) JOIN person_link p USING (loan_no)
    WHERE d.tenant_no = public.scope_tenant() AND d.individual_no = individual
        AND l.ended_at IS NULL AND p.care_unit = public.scope_key()
        AND public.is_blocked(d.tenant_no, p.person, p.care_unit)
    LIMIT 1;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    INSERT INTO block_override (tenant_no, person, care_unit, subject, why, from_at, until_at)
        VALUES (blocked.tenant_no, blocked.person, public.scope_key(), public.scope_subject(), reason,
            now(), now() + length);
    RETURN blocked.id;
END $$;

-- The hold that keeps what a device reported at a time; NULL where nothing does.
CREATE FUNCTION held_by(wanted int, as_of timestamptz) RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT h.hold_no FROM incident_hold h
    WHERE h.released_at IS NULL AND (h.device_no = wanted OR EXISTS (
        SELECT FROM loan l JOIN person_link p USING (loan_no) JOIN device d USING (device_no)
        WHERE l.device_no = wanted AND p.person = h.person AND d.tenant_no = h.tenant_no
            AND l.started_at <= as_of AND (l.ended_at IS NULL OR as_of <= l.ended_at)))
    LIMIT 1
$$;
-- The hold that keeps a loan and its link to a person.
CREATE FUNCTION loan_held_by(wanted bigint) RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT h.hold_no
    FROM incident_hold h, loan l JOIN device d USING (device_no) LEFT JOIN person_link p USING (loan_no)
    WHERE h.released_at IS NULL AND l.loan_no = wanted AND d.tenant_no = h.tenant_no
        AND (h.device_no = l.device_no OR h.person = p.person)
    LIMIT 1
$$;

CREATE FUNCTION refuse_held(hold bigint, what text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'incident hold % keeps this: no % is removed', hold, what
        USING ERRCODE = 'check_violation', CONSTRAINT = 'incident_hold_keeps',
            HINT = 'Release the hold first, when the incident is closed.';
END $$;

-- What happened on a device at a time. The argument names the column of the time.
CREATE FUNCTION keep_held_row() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    hold bigint;
BEGIN
    IF TG_ARGV[0] = 'at' THEN
        hold := public.held_by(OLD.device_no, OLD.at);
    ELSE
        hold := public.held_by(OLD.device_no, OLD.started_at);
    END IF;
    IF hold IS NOT NULL THEN
        PERFORM public.refuse_held(hold, TG_TABLE_NAME || ' row');
    END IF;
    RETURN OLD;
END $$;
CREATE FUNCTION keep_held_loan() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    hold bigint := public.loan_held_by(OLD.loan_no);
BEGIN
    IF hold IS NOT NULL THEN
        PERFORM public.refuse_held(hold, TG_TABLE_NAME || ' row');
    END IF;
    RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END $$;
CREATE FUNCTION keep_while_held() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    hold bigint := (SELECT min(hold_no) FROM incident_hold WHERE released_at IS NULL);
BEGIN
    IF hold IS NOT NULL THEN
        PERFORM public.refuse_held(hold, TG_TABLE_NAME || ' table');
    END IF;
    RETURN NULL;
END $$;

-- What diagnostics derives (rollups, episodes, findings) it may derive again; what it derives from
-- stays. A later deleter, such as retention, meets the same triggers.
CREATE TRIGGER incident_hold_keeps BEFORE DELETE ON sample
    FOR EACH ROW EXECUTE FUNCTION keep_held_row('at');
CREATE TRIGGER incident_hold_keeps BEFORE DELETE ON fault_event
    FOR EACH ROW EXECUTE FUNCTION keep_held_row('at');
CREATE TRIGGER incident_hold_keeps BEFORE DELETE ON ticket
    FOR EACH ROW EXECUTE FUNCTION keep_held_row('started_at');
CREATE TRIGGER incident_hold_keeps BEFORE DELETE ON loan
    FOR EACH ROW EXECUTE FUNCTION keep_held_loan();
CREATE TRIGGER incident_hold_keeps BEFORE DELETE OR UPDATE OF person, loan_no ON person_link
    FOR EACH ROW EXECUTE FUNCTION keep_held_loan();
CREATE TRIGGER incident_hold_keeps BEFORE DELETE ON self_help_answer
    FOR EACH ROW EXECUTE FUNCTION keep_held_loan();
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['sample', 'fault_event', 'ticket', 'loan', 'person_link',
        'self_help_answer', 'incident_hold'] LOOP
        EXECUTE format('CREATE TRIGGER incident_hold_keeps_all BEFORE TRUNCATE ON %I'
            ' FOR EACH STATEMENT EXECUTE FUNCTION keep_while_held()', name);
    END LOOP;
END $$;

-- A hold ends by its release, which says who; it never goes away.
CREATE FUNCTION keep_hold() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'incident hold % is released, never removed or changed', OLD.hold_no
        USING ERRCODE = 'check_violation', CONSTRAINT = 'incident_hold_stays';
END $$;
CREATE TRIGGER incident_hold_stays BEFORE DELETE ON incident_hold
    FOR EACH ROW EXECUTE FUNCTION keep_hold();
CREATE TRIGGER incident_hold_only_ends BEFORE UPDATE ON incident_hold FOR EACH ROW
    WHEN (OLD.released_at IS NOT NULL
        OR (OLD.hold_no, OLD.tenant_no, OLD.device_no, OLD.person, OLD.why, OLD.who, OLD.from_at)
        IS DISTINCT FROM
        (NEW.hold_no, NEW.tenant_no, NEW.device_no, NEW.person, NEW.why, NEW.who, NEW.from_at))
    EXECUTE FUNCTION keep_hold();

-- Who had which loan is forgotten when it has been over for long enough. Diagnostics may call this
-- and can neither read nor delete a link by itself. Held loans are left.
CREATE FUNCTION cut_links(before timestamptz, max_rows int) RETURNS TABLE (
    tenant_id text, loan_no bigint, device_id text, ended_at timestamptz)
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    WITH due AS (
        SELECT p.loan_no, l.ended_at, d.id AS device_id, t.id AS tenant_id
        FROM person_link p JOIN loan l USING (loan_no) JOIN device d USING (device_no)
            JOIN tenant t USING (tenant_no)
        WHERE l.ended_at <= before AND loan_held_by(p.loan_no) IS NULL
        ORDER BY l.ended_at, p.loan_no LIMIT max_rows
        FOR UPDATE OF p SKIP LOCKED
    ),
    cut AS (DELETE FROM person_link p USING due WHERE p.loan_no = due.loan_no RETURNING p.loan_no)
    SELECT due.tenant_id, due.loan_no, due.device_id, due.ended_at FROM due JOIN cut USING (loan_no)
$$;

-- What is kept about one person, for whoever answers their request on behalf of the whole tenant.
CREATE FUNCTION person_loans(wanted text) RETURNS TABLE (
    loan_no bigint, device_no int, device_id text, individual_no text, model_id text,
    care_unit text, basic_needs text[], started_at timestamptz, ended_at timestamptz, hold_no bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT l.loan_no, d.device_no, d.id, d.individual_no, d.model_id, p.care_unit, l.basic_needs,
        l.started_at, l.ended_at, loan_held_by(l.loan_no)
    FROM person_link p JOIN loan l USING (loan_no) JOIN device d USING (device_no)
    WHERE p.person = wanted AND d.tenant_no = scope_tenant() AND scope_reach() = 'tenant'
    ORDER BY l.started_at, l.loan_no LIMIT 1000
$$;

-- A loan of the caller's whole tenant; nothing for anybody who sees less.
CREATE FUNCTION tenant_loan(wanted bigint) RETURNS loan
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT l FROM loan l JOIN device d USING (device_no)
    WHERE l.loan_no = wanted AND d.tenant_no = scope_tenant() AND scope_reach() = 'tenant'
$$;

-- The telemetry of one loan in order, also what the person did not share: it is theirs.
CREATE FUNCTION loan_samples(wanted bigint, low timestamptz, high timestamptz) RETURNS TABLE (
    at timestamptz, metric text, value float8)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp SET plan_cache_mode = force_custom_plan AS $$
DECLARE
    found loan := public.tenant_loan(wanted);
BEGIN
    RETURN QUERY SELECT s.at, m.name, s.value
        FROM public.sample s JOIN public.metric m USING (metric_no)
        WHERE s.device_no = found.device_no
            AND s.at >= greatest(low, found.started_at) AND s.at < least(high, found.ended_at)
        ORDER BY s.at, m.name;
END $$;

-- Remove the telemetry of one finished loan in a range, but for what belongs to a record of care;
-- how many samples went comes back. A hold refuses it, row by row.
CREATE FUNCTION erase_samples(wanted bigint, low timestamptz, high timestamptz) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp SET plan_cache_mode = force_custom_plan AS $$
DECLARE
    found loan := public.tenant_loan(wanted);
    first_at timestamptz := greatest(low, found.started_at);
    end_at timestamptz := least(high, found.ended_at);
    gone bigint;
BEGIN
    IF found.ended_at IS NULL THEN
        RETURN 0;
    END IF;
    DELETE FROM public.sample s WHERE s.device_no = found.device_no
        AND s.at >= first_at AND s.at < end_at
        AND s.metric_no IN (SELECT metric_no FROM public.metric WHERE purpose <> 'care');
    GET DIAGNOSTICS gone = ROW_COUNT;
    DELETE FROM public.rollup_hour r WHERE r.device_no = found.device_no
        AND r.hour >= date_trunc('hour', first_at) AND r.hour < end_at
        AND r.metric_no IN (SELECT metric_no FROM public.metric WHERE purpose <> 'care');
    -- The hours at both ends may hold what is not this loan's: they are made again.
    INSERT INTO public.dirty_hour (hour, device_no)
        SELECT DISTINCT date_trunc('hour', edge), found.device_no
        FROM unnest(ARRAY[first_at, end_at]) AS edge WHERE first_at < end_at;
    RETURN gone;
END $$;

-- Copies of what a device sent in a time: messages that were refused, whose bytes go while the count
-- stays, and the values that findings keep. What belongs to a record of care stays in findings.
CREATE FUNCTION erase_copies(wanted int, low timestamptz, high timestamptz) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    UPDATE quarantine q SET payload = ''
    FROM device d JOIN tenant t USING (tenant_no)
    WHERE d.device_no = wanted AND q.device_id = d.id AND q.tenant_id = t.id
        AND q.last_at >= low AND q.received_at < high;
    UPDATE finding f SET detail = jsonb_set(f.detail, '{points}', (
        SELECT coalesce(jsonb_agg(point ORDER BY nth), '[]')
        FROM jsonb_array_elements(f.detail -> 'points') WITH ORDINALITY AS p (point, nth)
        WHERE to_timestamp((point ->> 0)::float8 / 1000) NOT BETWEEN low AND high
            OR point ->> 1 IN (SELECT name FROM metric WHERE purpose = 'care')))
    WHERE f.device_no = wanted AND f.last_at >= low
        AND jsonb_typeof(f.detail -> 'points') = 'array';
$$;

-- Remove the rest of a finished loan: the newest values, answers, needs, and last the link itself.
CREATE FUNCTION erase_loan(wanted bigint) RETURNS TABLE (answer_n bigint, link_n bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    found loan := public.tenant_loan(wanted);
    hold bigint := public.loan_held_by(wanted);
BEGIN
    answer_n := 0;
    link_n := 0;
    IF hold IS NOT NULL THEN
        PERFORM public.refuse_held(hold, 'loan');
    END IF;
    IF found.ended_at IS NOT NULL THEN
        DELETE FROM public.latest v WHERE v.device_no = found.device_no
            AND v.at >= found.started_at AND v.at < found.ended_at
            AND v.metric_no IN (SELECT metric_no FROM public.metric WHERE purpose <> 'care');
        PERFORM public.erase_copies(found.device_no, found.started_at, found.ended_at);
        DELETE FROM public.self_help_answer WHERE loan_no = found.loan_no;
        GET DIAGNOSTICS answer_n = ROW_COUNT;
        UPDATE public.loan SET basic_needs = '{}' WHERE loan_no = found.loan_no;
        DELETE FROM public.person_link WHERE loan_no = found.loan_no;
        GET DIAGNOSTICS link_n = ROW_COUNT;
    END IF;
    RETURN NEXT;
END $$;

-- Blocks name the person. They go when no loan is left for them to keep anybody out of.
CREATE FUNCTION erase_blocks(wanted text) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    WITH gone AS (
        DELETE FROM block b
        WHERE b.person = wanted AND b.tenant_no = scope_tenant() AND scope_reach() = 'tenant'
            AND NOT EXISTS (SELECT FROM person_loans(wanted))
        RETURNING 1
    ), passed AS (
        DELETE FROM block_override o
        WHERE o.person = wanted AND o.tenant_no = scope_tenant() AND scope_reach() = 'tenant'
            AND NOT EXISTS (SELECT FROM person_loans(wanted))
    )
    SELECT count(*) FROM gone
$$;

-- Who sees and writes what.
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['sharing_choice', 'block', 'block_override', 'self_help_answer',
        'incident_hold'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
    END LOOP;
    FOR name IN SELECT p.oid::regprocedure::text FROM pg_proc p
        WHERE p.pronamespace = 'public'::regnamespace AND p.proname IN ('unshared_times',
            'hidden_times', 'kept_times', 'unshared_devices', 'is_blocked', 'own_loans', 'blocked_loan_n',
            'override_block', 'held_by', 'loan_held_by', 'refuse_held', 'keep_held_row',
            'keep_held_loan', 'keep_while_held', 'keep_hold', 'cut_links', 'person_loans',
            'tenant_loan', 'loan_samples', 'erase_samples', 'erase_copies', 'erase_loan',
            'erase_blocks')
    LOOP
        EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', name);
    END LOOP;
END $$;
GRANT EXECUTE ON FUNCTION hidden_times, unshared_devices, own_loans, blocked_loan_n, override_block,
    person_loans, loan_samples, erase_samples, erase_loan, erase_blocks TO fjarrkoll_api;
GRANT EXECUTE ON FUNCTION cut_links TO fjarrkoll_diagnose;

-- Staff see that something is not shared, and when; only the person changes it.
CREATE POLICY with_loan ON sharing_choice FOR SELECT TO fjarrkoll_api USING (
    EXISTS (SELECT FROM loan WHERE loan.loan_no = sharing_choice.loan_no OFFSET 0));
CREATE POLICY own_choice ON sharing_choice FOR INSERT TO fjarrkoll_api WITH CHECK (
    (SELECT scope_reach()) = 'person'
    AND EXISTS (SELECT FROM person_link p WHERE p.loan_no = sharing_choice.loan_no OFFSET 0));
CREATE POLICY own_choice_ends ON sharing_choice FOR UPDATE TO fjarrkoll_api USING (
    (SELECT scope_reach()) = 'person'
    AND EXISTS (SELECT FROM person_link p WHERE p.loan_no = sharing_choice.loan_no OFFSET 0));
CREATE POLICY every_tenant ON sharing_choice FOR SELECT TO fjarrkoll_diagnose USING (true);
GRANT SELECT ON sharing_choice TO fjarrkoll_api, fjarrkoll_diagnose;
GRANT INSERT (loan_no, from_at), UPDATE (until_at) ON sharing_choice TO fjarrkoll_api;

CREATE POLICY unshared ON latest AS RESTRICTIVE FOR SELECT TO fjarrkoll_api USING (
    device_no NOT IN (SELECT unshared_devices())
    OR NOT at <@ hidden_times(device_no, metric_no));

CREATE POLICY own_block ON block TO fjarrkoll_api USING (
    tenant_no = (SELECT scope_tenant()) AND (SELECT scope_reach()) = 'person'
    AND person = (SELECT scope_key()));
GRANT SELECT ON block TO fjarrkoll_api;
GRANT INSERT (tenant_no, person, care_unit, kept_unit, from_at), UPDATE (until_at) ON block
    TO fjarrkoll_api;

CREATE POLICY with_loan ON self_help_answer FOR SELECT TO fjarrkoll_api USING (
    EXISTS (SELECT FROM loan WHERE loan.loan_no = self_help_answer.loan_no OFFSET 0));
CREATE POLICY own_answer ON self_help_answer FOR INSERT TO fjarrkoll_api WITH CHECK (
    (SELECT scope_reach()) = 'person'
    AND EXISTS (SELECT FROM person_link p WHERE p.loan_no = self_help_answer.loan_no OFFSET 0)
    AND (ticket_no IS NULL OR EXISTS (
        SELECT FROM ticket k WHERE k.ticket_no = self_help_answer.ticket_no OFFSET 0)));
CREATE POLICY own_answer_changes ON self_help_answer FOR UPDATE TO fjarrkoll_api USING (
    (SELECT scope_reach()) = 'person'
    AND EXISTS (SELECT FROM person_link p WHERE p.loan_no = self_help_answer.loan_no OFFSET 0));
GRANT SELECT ON self_help_answer TO fjarrkoll_api;
GRANT INSERT (loan_no, ticket_no, step, helped, at), UPDATE (helped, at) ON self_help_answer
    TO fjarrkoll_api;

CREATE POLICY whole_tenant ON incident_hold TO fjarrkoll_api USING (
    tenant_no = (SELECT scope_tenant()) AND (SELECT scope_reach()) = 'tenant');
GRANT SELECT ON incident_hold TO fjarrkoll_api;
GRANT INSERT (tenant_no, device_no, person, why, who, from_at), UPDATE (released_at, released_by, released_why)
    ON incident_hold TO fjarrkoll_api;
