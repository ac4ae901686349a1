-- Purpose: samples in native range partitions, one a month, made when a sample first needs one.
CREATE INDEX sample_by_device ON sample (device_no, at DESC);

-- SECURITY DEFINER: the ingest role may add a month and nothing else. A table is built and then
-- attached, since attaching locks readers and writers out of nothing.
CREATE FUNCTION ensure_sample_partition(month date) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
    first_day date := date_trunc('month', month)::date;
    next_month date := (date_trunc('month', month) + interval '1 month')::date;
    partition text := 'sample_' || to_char(first_day, 'YYYY_MM');
BEGIN
    IF first_day < date '2014-12-01' OR first_day > (now() + interval '32 days')::date THEN
        RAISE EXCEPTION 'no partition for %: outside 2015 to next month', first_day
            USING ERRCODE = 'datetime_field_overflow';
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('ensure_sample_partition'));
    IF to_regclass('public.' || partition) IS NOT NULL THEN
        RETURN;
    END IF;
    EXECUTE format('CREATE TABLE public.%I (LIKE public.sample INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', partition);
    EXECUTE format('ALTER TABLE public.sample ATTACH PARTITION public.%I FOR VALUES FROM (%L) TO (%L)',
        partition, first_day::timestamp AT TIME ZONE 'UTC', next_month::timestamp AT TIME ZONE 'UTC');
END $$;
