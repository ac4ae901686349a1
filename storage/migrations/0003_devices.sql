-- Purpose: finding a device by what is printed on it, and what a technician reads of one.

-- What is printed has spaces or hyphens that people leave out when they type.
CREATE FUNCTION compact_mark(mark text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT replace(replace(lower(mark), ' ', ''), '-', '') $$;
CREATE INDEX device_mark_id ON device (compact_mark(id) text_pattern_ops);
CREATE INDEX device_mark_individual ON device (compact_mark(individual_no) text_pattern_ops);
CREATE INDEX device_mark_serial ON device (compact_mark(serial) text_pattern_ops);

CREATE INDEX episode_by_code ON episode (system, code, started_at DESC, episode_no DESC);
CREATE INDEX episode_newest ON episode (started_at DESC, episode_no DESC);

-- Devices that bear a compact mark; where there are none, those whose mark begins so. The reach is
-- checked on what the indexes find.
CREATE FUNCTION find_marked(wanted text, pattern text, max_rows int)
RETURNS TABLE (device_no int, is_exact boolean)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp SET plan_cache_mode = force_custom_plan AS $$
BEGIN
    RETURN QUERY SELECT d.device_no, true FROM public.device d
        WHERE d.tenant_no = public.scope_tenant()
            AND (public.compact_mark(d.id) = wanted OR public.compact_mark(d.individual_no) = wanted
                OR public.compact_mark(d.serial) = wanted)
            AND public.seen_from(d.device_no) IS NOT NULL
        ORDER BY d.id LIMIT max_rows;
    IF FOUND THEN
        RETURN;
    END IF;
    RETURN QUERY SELECT d.device_no, false FROM public.device d
        WHERE d.tenant_no = public.scope_tenant()
            AND (public.compact_mark(d.id) LIKE pattern
                OR public.compact_mark(d.individual_no) LIKE pattern
                OR public.compact_mark(d.serial) LIKE pattern)
            AND public.seen_from(d.device_no) IS NOT NULL
        ORDER BY d.id LIMIT max_rows;
END $$;

-- The hours in which a device reported anything that the caller may see, through the metrics that
-- it has. What is kept is looked up once for each metric.
CREATE FUNCTION seen_contact(wanted int, low timestamptz, high timestamptz)
RETURNS TABLE (hour timestamptz)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp SET plan_cache_mode = force_custom_plan AS $$
DECLARE
    earliest timestamptz := public.seen_from(wanted);
BEGIN
    IF earliest IS NULL THEN
        RETURN;
    END IF;
    RETURN QUERY SELECT DISTINCT r.hour
        FROM (SELECT l.metric_no, public.kept_times(wanted, l.metric_no) AS kept
            FROM public.latest l WHERE l.device_no = wanted OFFSET 0) AS own
        JOIN public.rollup_hour r ON r.device_no = wanted AND r.metric_no = own.metric_no
        WHERE r.hour >= greatest(low, earliest) AND r.hour < high
            AND NOT own.kept && tstzrange(r.hour, r.hour + interval '1 hour')
        ORDER BY r.hour LIMIT 10000;
END $$;

-- When a device started, and how wrong its clock was each time; the newest first.
CREATE FUNCTION seen_boots(wanted int, since timestamptz, max_rows int)
RETURNS TABLE (boot bigint, skew_ms bigint, born_at timestamptz)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    earliest timestamptz := public.seen_from(wanted);
BEGIN
    IF earliest IS NULL THEN
        RETURN;
    END IF;
    RETURN QUERY SELECT b.boot, b.skew_ms, b.born_at FROM public.device_boot b
        WHERE b.device_no = wanted AND b.born_at >= greatest(since, earliest)
        ORDER BY b.born_at DESC, b.boot DESC LIMIT max_rows;
END $$;

REVOKE EXECUTE ON FUNCTION find_marked, seen_contact, seen_boots FROM PUBLIC;
GRANT EXECUTE ON FUNCTION find_marked, seen_contact, seen_boots TO fjarrkoll_api;
