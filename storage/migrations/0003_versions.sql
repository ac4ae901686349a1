-- Purpose: which software and hardware versions a device had, by what it said at each start.

-- `told_at`: when the device said so; NULL: nobody knows, for the birth waited and no clock was right.
-- A row for each start and not for each change, so that births in any order end in the same rows:
-- of two starts with one version, a late one between them may tell of another.
ALTER TABLE device_boot ADD COLUMN fw text, ADD COLUMN hw text, ADD COLUMN told_at timestamptz;
UPDATE device_boot AS b SET fw = s.fw, hw = s.hw
FROM device_state AS s WHERE s.device_no = b.device_no AND s.boot = b.boot;

-- How a device's versions changed, the newest first, with what was before; the first known ones have
-- nothing before. Starts that told no version are passed over. Who sees a loan sees what was told in
-- it, and nothing of before.
CREATE FUNCTION seen_versions(wanted int, max_rows int) RETURNS TABLE (
    boot bigint, fw text, hw text, before_fw text, before_hw text, is_first boolean,
    at timestamptz, known_at timestamptz)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    earliest timestamptz := public.seen_from(wanted);
BEGIN
    IF earliest IS NULL THEN
        RETURN;
    END IF;
    RETURN QUERY WITH told AS (
        SELECT b.boot, b.fw, b.hw, b.told_at, b.born_at FROM public.device_boot b
        WHERE b.device_no = wanted AND (b.fw IS NOT NULL OR b.hw IS NOT NULL)
            AND (public.scope_is_staff() OR b.told_at >= earliest)
        ORDER BY b.boot DESC LIMIT 5000
    ), compared AS (
        SELECT told.*, lag(told.fw) OVER earlier AS before_fw, lag(told.hw) OVER earlier AS before_hw,
            lag(told.boot) OVER earlier IS NULL AS is_first
        FROM told WINDOW earlier AS (ORDER BY told.boot)
    )
    SELECT c.boot, c.fw, c.hw, c.before_fw, c.before_hw, c.is_first, c.told_at, c.born_at
    FROM compared c
    WHERE c.is_first OR (c.fw, c.hw) IS DISTINCT FROM (c.before_fw, c.before_hw)
    ORDER BY c.boot DESC LIMIT max_rows;
END $$;

REVOKE EXECUTE ON FUNCTION seen_versions FROM PUBLIC;
GRANT EXECUTE ON FUNCTION seen_versions TO fjarrkoll_api;
