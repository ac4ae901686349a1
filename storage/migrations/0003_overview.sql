-- Purpose: the fleet and its key figures as wholes, replay of quarantine, and switching rules.

-- How the last replay of a refused message ended. One that was refused again may be tried again.
ALTER TABLE quarantine
    ADD COLUMN replayed_as text CONSTRAINT quarantine_replayed_word
        CHECK (replayed_as IN ('stored', 'duplicate', 'refused')),
    ADD CONSTRAINT quarantine_replayed_whole
        CHECK ((replayed_at IS NULL) = (replayed_as IS NULL));

-- How long the last records that a way in stored had been under way, measured before the commit:
-- the longest since receipt, and the median since they were measured. NULL: none stored yet.
ALTER TABLE intake_total
    ADD COLUMN receipt_delay_s float8 CONSTRAINT intake_total_receipt_past
        CHECK (receipt_delay_s >= 0),
    ADD COLUMN age_s float8 CONSTRAINT intake_total_age_past CHECK (age_s >= 0);

-- Who decides on rules decides for the whole installation.
GRANT INSERT ON rule_switch TO fjarrkoll_api;

-- Only the key, so that a new value of a metric leaves the index as it is.
CREATE INDEX latest_by_metric ON latest (metric_no, device_no);

-- The few deadlines that were missed: a filter on them would else walk through every ended ticket.
CREATE INDEX ticket_clock_missed ON ticket_clock (ticket_no) WHERE breached_at IS NOT NULL;

-- The deadlines that run, of few tickets among all: enough to read no row.
CREATE INDEX ticket_clock_running ON ticket_clock (tenant_no, ticket_no)
    INCLUDE (due_at, notify_at, breached_at) WHERE stopped_at IS NULL;

-- The deadline of each ticket that binds first, of those that run. Planned as a part of the query
-- that asks.
CREATE FUNCTION binding_clocks()
RETURNS TABLE (ticket_no bigint, due_at timestamptz, notify_at timestamptz, is_breached boolean)
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT c.ticket_no, min(c.due_at), min(c.notify_at), bool_or(c.breached_at IS NOT NULL)
    FROM ticket_clock c
    WHERE c.stopped_at IS NULL
    GROUP BY c.ticket_no
$$;

-- Whether a deadline stands still while its ticket waits; one that was missed before does not.
CREATE FUNCTION clock_is_still(state text, state_at timestamptz, due_at timestamptz)
RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT state = 'waiting' AND state_at < due_at
$$;

-- How a ticket's deadline stands: overdue, at risk, or neither.
CREATE FUNCTION clock_standing(is_still boolean, is_breached boolean, due_at timestamptz,
    notify_at timestamptz, as_of timestamptz)
RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN is_still THEN NULL
        WHEN is_breached OR due_at < as_of THEN 'overdue'
        WHEN notify_at <= as_of THEN 'at_risk' END
$$;

-- What counts the tickets that each rule opened lately.
CREATE INDEX ticket_of_rule ON ticket (tenant_no, rule_id, known_at) WHERE rule_id IS NOT NULL;

-- What tells when a ticket was solved, and whether it came back.
CREATE INDEX ticket_event_solving ON ticket_event (ticket_no)
    WHERE kind IN ('solved', 'recurred', 'reopened');

-- The centre that a caller at a centre is limited to; NULL for one who sees the whole tenant.
CREATE FUNCTION scope_centre() RETURNS int LANGUAGE sql STABLE PARALLEL SAFE
AS $$ SELECT CASE WHEN scope_reach() = 'centre' THEN coalesce(scope_key()::int, -1) END $$;

-- Sums over the fleet would ask row-level security about each row of it. These functions take the
-- reach once, for people who see devices whole, and answer to nobody else. They sort and hash a
-- county's devices: `work_mem` keeps that in memory; compiling (`jit`) costs more than it saves.
CREATE FUNCTION reached_devices() RETURNS TABLE (device_no int, device_id text, model_id text,
    fw text, centre_no int, area text, created_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER ROWS 100000 -- or the planner takes them for few, and loops
SET search_path = pg_catalog, public, pg_temp SET work_mem = '64MB' AS $$
    SELECT d.device_no, d.id, d.model_id, s.fw, d.centre_no, d.area, d.created_at
    FROM device d LEFT JOIN device_state s USING (device_no)
    WHERE (SELECT public.scope_is_staff()) AND d.tenant_no = (SELECT public.scope_tenant())
        AND d.status = 'active'
        AND ((SELECT public.scope_centre()) IS NULL
            OR d.centre_no = (SELECT public.scope_centre()))
$$;

-- How many fault episodes began on each device in a time. Codes in `quiet` are no faults of a device.
-- Planned as a part of the functions below, so that it sees what their caller may see.
CREATE FUNCTION faulted_between(low timestamptz, high timestamptz, quiet_systems text[],
    quiet_codes text[])
RETURNS TABLE (device_no int, episode_n bigint) LANGUAGE sql STABLE AS $$
    SELECT e.device_no, count(*) FROM public.episode e
    WHERE e.started_at >= low AND e.started_at < high AND (e.system, e.code) NOT IN (
        SELECT q.system, q.code FROM unnest(quiet_systems, quiet_codes) AS q (system, code))
    GROUP BY e.device_no
$$;

-- One row for each group of devices that reported anything in its life or not: what it is, how
-- long it was watched, and what is wrong.
CREATE FUNCTION fleet_groups(by_what text, low timestamptz, high timestamptz,
    quiet_systems text[], quiet_codes text[], battery_rules text[])
RETURNS TABLE (model_id text, fw text, centre_no int, device_n bigint, heard_n bigint,
    device_days float8, faulted_n bigint, episode_n bigint, silent_n bigint, battery_n bigint)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp SET plan_cache_mode = force_custom_plan
SET work_mem = '64MB' SET jit = off AS $$
    WITH faults AS (
        SELECT * FROM faulted_between(low, high, quiet_systems, quiet_codes)
    ), heard AS (
        SELECT DISTINCT l.device_no FROM ledger l
    ), silent AS (
        SELECT DISTINCT f.device_no FROM finding f
        WHERE f.about = 'contact' AND f.ended_at IS NULL AND f.device_no IS NOT NULL
            AND f.need NOT IN ('quiet', 'history')
    ), batteries AS (
        SELECT DISTINCT f.device_no FROM finding f
        WHERE f.rule_id = ANY(battery_rules) AND f.ended_at IS NULL AND f.need = 'ticket'
    )
    SELECT CASE WHEN by_what IN ('model', 'firmware') THEN r.model_id END,
        CASE WHEN by_what = 'firmware' THEN coalesce(r.fw, '') END,
        CASE WHEN by_what = 'centre' THEN coalesce(r.centre_no, 0) END,
        count(*), count(coalesce(heard.device_no, faults.device_no)),
        coalesce(sum(extract(epoch FROM high - greatest(low, r.created_at)) / 86400) FILTER (
            WHERE coalesce(heard.device_no, faults.device_no) IS NOT NULL
                AND r.created_at < high), 0)::float8,
        count(faults.device_no), coalesce(sum(faults.episode_n), 0)::bigint,
        count(silent.device_no), count(batteries.device_no)
    FROM reached_devices() r
    LEFT JOIN heard USING (device_no) LEFT JOIN faults USING (device_no)
    LEFT JOIN silent USING (device_no) LEFT JOIN batteries USING (device_no)
    GROUP BY 1, 2, 3
$$;

-- When a device was last heard of; NULL: never.
CREATE FUNCTION contacted_at(of_device int) RETURNS timestamptz LANGUAGE sql STABLE AS $$
    SELECT greatest((SELECT max(l.last_at) FROM public.ledger l WHERE l.device_no = of_device),
        (SELECT s.changed_at FROM public.device_state s WHERE s.device_no = of_device))
$$;

-- The devices behind one number of one group: those with most fault episodes first, the silent ones
-- by their last contact, the longest ago first.
CREATE FUNCTION fleet_members(low timestamptz, high timestamptz, quiet_systems text[],
    quiet_codes text[], battery_rules text[], of_model text, of_fw text, of_centre int,
    shown text, max_rows int)
RETURNS TABLE (device_no int, device_id text, individual_no text, model_id text, fw text,
    centre_no int, last_contact_at timestamptz, episode_n bigint, finding_no bigint)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp SET plan_cache_mode = force_custom_plan
SET work_mem = '64MB' SET jit = off AS $$
    WITH faults AS (
        SELECT * FROM faulted_between(low, high, quiet_systems, quiet_codes)
    ), found AS (
        SELECT f.device_no, max(f.finding_no) AS finding_no FROM finding f
        WHERE f.ended_at IS NULL AND f.device_no IS NOT NULL AND CASE shown
            WHEN 'silent' THEN f.about = 'contact' AND f.need NOT IN ('quiet', 'history')
            WHEN 'batteries' THEN f.rule_id = ANY(battery_rules) AND f.need = 'ticket'
            ELSE false END
        GROUP BY f.device_no
    ), listed AS (
        SELECT r.device_no, r.device_id, r.model_id, r.fw, r.centre_no,
            coalesce(faults.episode_n, 0) AS episode_n, found.finding_no,
            CASE shown WHEN 'silent' THEN contacted_at(r.device_no) END AS silent_since
        FROM reached_devices() r
        LEFT JOIN faults USING (device_no) LEFT JOIN found USING (device_no)
        WHERE (of_model IS NULL OR r.model_id = of_model)
            AND (of_fw IS NULL OR coalesce(r.fw, '') = of_fw)
            AND (of_centre IS NULL OR coalesce(r.centre_no, 0) = of_centre)
            AND CASE shown WHEN 'all' THEN true WHEN 'faulted' THEN faults.episode_n > 0
                ELSE found.finding_no IS NOT NULL END
        ORDER BY silent_since NULLS FIRST, episode_n DESC, r.device_id
        LIMIT max_rows
    )
    SELECT l.device_no, l.device_id, d.individual_no, l.model_id, l.fw, l.centre_no,
        coalesce(l.silent_since, contacted_at(l.device_no)), l.episode_n, l.finding_no
    FROM listed l JOIN device d USING (device_no)
    ORDER BY l.silent_since NULLS FIRST, l.episode_n DESC, l.device_id
$$;

-- Batteries that are expected to end, with the days of a finding as dates: its last closed day is
-- the one before it was concluded. What is not said, or is as far off as `beyond_d`, has no date.
CREATE FUNCTION expected_batteries(battery_rules text[], beyond_d float8)
RETURNS TABLE (finding_no bigint, device_no int, device_id text, individual_no text,
    model_id text, centre_no int, confidence float8, earliest_on date, best_on date,
    latest_on date)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT f.finding_no, d.device_no, d.id, d.individual_no, d.model_id, d.centre_no,
        f.confidence, said.closed_on + floor(coalesce(said.earliest_d, beyond_d))::int,
        said.closed_on + floor(coalesce(said.best_d, beyond_d))::int,
        CASE WHEN said.latest_d < beyond_d THEN said.closed_on + floor(said.latest_d)::int END
    FROM finding f JOIN device d USING (device_no), LATERAL (
        SELECT (f.last_at AT TIME ZONE 'Europe/Stockholm')::date - 1 AS closed_on,
            (f.detail -> 'measures' ->> 'earliest_d')::float8 AS earliest_d,
            (f.detail -> 'measures' ->> 'best_d')::float8 AS best_d,
            (f.detail -> 'measures' ->> 'latest_d')::float8 AS latest_d
    ) AS said
    WHERE f.rule_id = ANY(battery_rules) AND f.ended_at IS NULL AND f.need = 'ticket'
        AND (SELECT public.scope_is_staff()) AND d.tenant_no = (SELECT public.scope_tenant())
        AND d.status = 'active'
        AND ((SELECT public.scope_centre()) IS NULL
            OR d.centre_no = (SELECT public.scope_centre()))
$$;

-- Tickets that the key figures of a time may count, with all that decides whether they do.
CREATE FUNCTION figured_tickets(low timestamptz, high timestamptz, max_rows int)
RETURNS TABLE (ticket_no bigint, device_no int, centre_id text, area text, device_class text,
    component text, order_kind text, state text, known_at timestamptz, solved_at timestamptz,
    outcome text, minutes int, policy_id text, policy_version int, start_due_at timestamptz,
    start_stopped_at timestamptz, finish_due_at timestamptz, finish_stopped_at timestamptz,
    came_back boolean)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp SET plan_cache_mode = force_custom_plan
SET work_mem = '64MB' SET jit = off AS $$
    SELECT k.ticket_no, k.device_no, c.id, d.area, m.device_class, k.component, k.order_kind,
        k.state, k.known_at, solved.at, k.outcome, k.outcome_minutes, k.policy_id,
        k.policy_version, s.due_at, s.stopped_at, e.due_at, e.stopped_at,
        solved.at IS NOT NULL AND (solved.has_returned OR EXISTS (
            SELECT FROM ticket r WHERE r.device_no = k.device_no AND r.repeats_no = k.ticket_no
                AND r.state <> 'void' AND r.outcome IS DISTINCT FROM 'user_error'))
    FROM ticket k
    LEFT JOIN device d USING (device_no)
    LEFT JOIN model m ON m.id = d.model_id
    LEFT JOIN centre c ON c.centre_no = d.centre_no
    LEFT JOIN ticket_clock s ON s.ticket_no = k.ticket_no AND s.clock = 'start'
    LEFT JOIN ticket_clock e ON e.ticket_no = k.ticket_no AND e.clock = 'finish'
    LEFT JOIN LATERAL (
        SELECT min(v.at) FILTER (WHERE v.kind = 'solved') AS at,
            coalesce(bool_or(v.kind IN ('recurred', 'reopened')
                AND v.detail ->> 'from' = 'solved'), false) AS has_returned
        FROM ticket_event v WHERE v.ticket_no = k.ticket_no AND k.outcome IS NOT NULL
            AND v.kind IN ('solved', 'recurred', 'reopened')
    ) solved ON true
    WHERE (SELECT public.scope_is_staff()) AND k.tenant_no = (SELECT public.scope_tenant())
        AND k.state <> 'void' AND k.known_at < high
        AND (k.known_at >= low OR k.state_at >= low OR k.state NOT IN ('verified', 'closed'))
        AND ((SELECT public.scope_centre()) IS NULL
            OR d.centre_no = (SELECT public.scope_centre()))
    ORDER BY k.ticket_no
    LIMIT max_rows
$$;

-- What people noted of the first tickets that they solved here: what later work is measured by.
CREATE FUNCTION first_minutes(before timestamptz, ticket_n int)
RETURNS TABLE (noted_n bigint, mean_minutes float8)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT count(*), avg(outcome_minutes)::float8 FROM (
        SELECT k.outcome_minutes FROM ticket k LEFT JOIN device d USING (device_no)
        WHERE (SELECT public.scope_is_staff()) AND k.tenant_no = (SELECT public.scope_tenant())
            AND k.outcome_minutes IS NOT NULL AND k.state <> 'void' AND k.known_at < before
            AND ((SELECT public.scope_centre()) IS NULL
                OR d.centre_no = (SELECT public.scope_centre()))
        ORDER BY k.known_at, k.ticket_no LIMIT ticket_n
    ) first
$$;

-- What people noted of the tickets that they first solved in a time.
CREATE FUNCTION minutes_between(low timestamptz, high timestamptz, of_centre text)
RETURNS TABLE (noted_n bigint, sum_min bigint, mean_min float8, median_min float8)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp SET plan_cache_mode = force_custom_plan
SET work_mem = '64MB' SET jit = off AS $$
    SELECT count(*), coalesce(sum(k.outcome_minutes), 0), avg(k.outcome_minutes)::float8,
        percentile_cont(0.5) WITHIN GROUP (ORDER BY k.outcome_minutes)
    FROM ticket k
    LEFT JOIN device d USING (device_no)
    LEFT JOIN centre c ON c.centre_no = d.centre_no
    WHERE (SELECT public.scope_is_staff()) AND k.tenant_no = (SELECT public.scope_tenant())
        AND k.state <> 'void' AND k.outcome IS NOT NULL AND k.outcome_minutes IS NOT NULL
        AND k.known_at < high AND (k.known_at >= low OR k.state_at >= low)
        AND ((SELECT public.scope_centre()) IS NULL
            OR d.centre_no = (SELECT public.scope_centre()))
        AND (of_centre IS NULL OR c.id = of_centre)
        AND (SELECT min(v.at) FROM ticket_event v
            WHERE v.ticket_no = k.ticket_no AND v.kind = 'solved') >= low
        AND (SELECT min(v.at) FROM ticket_event v
            WHERE v.ticket_no = k.ticket_no AND v.kind = 'solved') < high
$$;

-- What a counter showed last before a time, and first from a time on. What it went between the two
-- belongs to nobody: whether before or after, nobody knows.
CREATE FUNCTION counter_until(of_device int, of_metric int, as_of timestamptz) RETURNS float8
LANGUAGE sql STABLE AS $$
    SELECT r.last FROM public.rollup_hour r
    WHERE r.device_no = of_device AND r.metric_no = of_metric AND r.hour < as_of
    ORDER BY r.hour DESC LIMIT 1
$$;
CREATE FUNCTION counter_from(of_device int, of_metric int, as_of timestamptz) RETURNS float8
LANGUAGE sql STABLE AS $$
    SELECT r.min FROM public.rollup_hour r
    WHERE r.device_no = of_device AND r.metric_no = of_metric AND r.hour >= as_of
    ORDER BY r.hour LIMIT 1
$$;

-- Devices whose counters went far from those of their model in their last loan, by the same rule as
-- fleet/wear.py, which says what the limits mean; their whole life where no loan is known. A loan
-- answers for no hour that it shares with another. A counter that fell is another module's and
-- says nothing. Loans that did not share all of their time are left out. The farthest come first;
-- `sign_n` is how many there are in all.
CREATE FUNCTION signs_of_use(driven_metric text, counted_metrics text[], least_h float8,
    least_peers int, least_count float8, fence float8, least_ratio float8, max_rows int)
RETURNS TABLE (device_id text, individual_no text, model_id text, area text, metric text,
    from_at timestamptz, until_at timestamptz, count float8, hours float8, median float8,
    limit_value float8, peer_n bigint, sign_n bigint)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp SET plan_cache_mode = force_custom_plan
SET work_mem = '64MB' SET jit = off AS $$
    WITH lent AS MATERIALIZED (
        SELECT DISTINCT ON (l.device_no) l.device_no, l.started_at AS from_at,
            l.ended_at AS until_at
        FROM loan l ORDER BY l.device_no, l.started_at DESC
    ), shown AS MATERIALIZED (
        SELECT l.device_no, l.metric_no, p.from_at, p.until_at,
            CASE WHEN p.device_no IS NULL THEN l.value
                ELSE CASE WHEN p.until_at IS NULL THEN l.value
                        ELSE counter_until(l.device_no, l.metric_no,
                            date_trunc('hour', p.until_at)) END
                    - counter_from(l.device_no, l.metric_no, p.from_at)
                END AS value
        FROM latest l LEFT JOIN lent p USING (device_no)
        WHERE l.metric_no IN (SELECT m.metric_no FROM metric m
                WHERE m.name = driven_metric OR m.name = ANY(counted_metrics))
            AND (l.device_no NOT IN (SELECT unshared_devices())
                OR NOT hidden_times(l.device_no, l.metric_no) && tstzrange(p.from_at, p.until_at))
    ), driven AS (
        SELECT s.device_no, r.device_id, r.model_id, r.area, s.from_at, s.until_at,
            s.value / 3600 AS hours
        FROM shown s JOIN metric m USING (metric_no) JOIN reached_devices() r USING (device_no)
        WHERE m.name = driven_metric AND s.value > 0 AND s.value / 3600 >= least_h
    ), rates AS MATERIALIZED (
        SELECT d.*, s.metric_no, s.value AS count, 100 * s.value / d.hours AS rate
        FROM driven d JOIN shown s USING (device_no)
        WHERE s.value >= 0
            AND s.metric_no IN (SELECT m.metric_no FROM metric m WHERE m.name = ANY(counted_metrics))
    ), quarters AS (
        SELECT r.model_id, r.metric_no, count(*) AS peer_n,
            percentile_cont(ARRAY[0.25, 0.5, 0.75]) WITHIN GROUP (ORDER BY r.rate) AS q
        FROM rates r GROUP BY r.model_id, r.metric_no HAVING count(*) >= least_peers
    ), limits AS (
        SELECT p.model_id, p.metric_no, p.peer_n, p.q[2] AS median,
            greatest(p.q[3] + fence * (p.q[3] - p.q[1]), least_ratio * p.q[2]) AS limit_value
        FROM quarters p
    )
    SELECT r.device_id, d.individual_no, r.model_id, r.area, m.name, r.from_at, r.until_at,
        r.count, r.hours, p.median, p.limit_value, p.peer_n, count(*) OVER ()
    FROM rates r JOIN limits p USING (model_id, metric_no) JOIN metric m USING (metric_no)
    JOIN device d USING (device_no)
    WHERE r.rate > p.limit_value AND r.count >= least_count
    ORDER BY CASE WHEN p.limit_value = 0 THEN '-infinity' ELSE -r.rate / p.limit_value END,
        r.device_id, m.name
    LIMIT max_rows
$$;

-- How far a counter went in a time; `is_first`: what it showed before is of another time.
CREATE FUNCTION month_of(of_device int, of_metric int, low timestamptz, high timestamptz,
    is_first boolean) RETURNS float8 LANGUAGE sql STABLE AS $$
    SELECT public.counter_until(of_device, of_metric, high) - coalesce(
        CASE WHEN NOT coalesce(is_first, false)
            THEN public.counter_until(of_device, of_metric, low) END,
        public.counter_from(of_device, of_metric, low))
$$;

-- The months of some counters, beside what their devices drove: the last twelve of each time that
-- the function above speaks of. Where a counter or the hours fell in a month, it has none.
CREATE FUNCTION months_of_use(device_ids text[], metrics text[], from_ats timestamptz[],
    until_ats timestamptz[], driven_metric text, as_of timestamptz)
RETURNS TABLE (device_id text, metric text, month date, count float8, hours float8)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp SET jit = off AS $$
    WITH asked AS (
        SELECT d.device_no, w.device_id, c.metric_no, w.metric, driven.metric_no AS driven_no,
            w.from_at, coalesce(date_trunc('hour', w.until_at), as_of) AS until_at,
            date_trunc('month', coalesce(w.until_at, as_of) AT TIME ZONE 'Europe/Stockholm')
                AS last_month
        FROM unnest(device_ids, metrics, from_ats, until_ats)
            AS w (device_id, metric, from_at, until_at)
        JOIN device d ON d.id = w.device_id
        JOIN metric c ON c.name = w.metric
        JOIN metric driven ON driven.name = driven_metric
        WHERE (SELECT public.scope_is_staff()) AND public.seen_from(d.device_no) IS NOT NULL
            AND NOT hidden_times(d.device_no, c.metric_no) && tstzrange(w.from_at, w.until_at)
            AND NOT hidden_times(d.device_no, driven.metric_no) && tstzrange(w.from_at, w.until_at)
    ), months AS (
        SELECT a.*, m.month, greatest(m.month AT TIME ZONE 'Europe/Stockholm', a.from_at) AS low,
            least((m.month + interval '1 month') AT TIME ZONE 'Europe/Stockholm', a.until_at)
                AS high
        FROM asked a, generate_series(last_month - interval '11 months', last_month,
            interval '1 month') AS m (month)
    ), used AS (
        SELECT m.device_id, m.metric, m.month::date, c.count, c.seconds / 3600 AS hours
        FROM months m, LATERAL (
            SELECT month_of(m.device_no, m.metric_no, m.low, m.high, m.low = m.from_at) AS count,
                month_of(m.device_no, m.driven_no, m.low, m.high, m.low = m.from_at) AS seconds
        ) AS c WHERE m.low < m.high
    )
    SELECT u.* FROM used u WHERE u.count >= 0 AND u.hours > 0
    ORDER BY u.device_id, u.metric, u.month
$$;

-- Several tenants share the rules of an installation; then none of them decides alone.
CREATE FUNCTION is_only_tenant() RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$ SELECT count(*) = 1 FROM tenant $$;

DO $$
DECLARE
    name text;
BEGIN
    FOR name IN SELECT p.oid::regprocedure::text FROM pg_proc p
        WHERE p.pronamespace = 'public'::regnamespace AND p.proname IN ('reached_devices',
            'fleet_groups', 'fleet_members', 'expected_batteries', 'figured_tickets',
            'first_minutes', 'minutes_between',
            'signs_of_use', 'months_of_use', 'is_only_tenant')
    LOOP
        EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', name);
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO fjarrkoll_api', name);
    END LOOP;
END $$;
