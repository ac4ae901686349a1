-- name: try_lock
-- One runner at a time; the lock ends with the transaction.
SELECT pg_try_advisory_xact_lock(hashtext('rollup_hour'));

-- name: take_dirty_hours
-- Marks to work off. A mark made from now on stands for samples this pass may not see.
DELETE FROM dirty_hour WHERE ctid = ANY(ARRAY(
    SELECT ctid FROM dirty_hour LIMIT %(limit)s::int FOR UPDATE SKIP LOCKED
))
RETURNING device_no, hour;

-- name: recompute_hours
-- Exactly these hours, from the samples. Summed in one order, so that any arrival gives one sum.
WITH wanted AS MATERIALIZED (
    SELECT DISTINCT device_no, hour
    FROM unnest(%(devices)s::int[], %(hours)s::timestamptz[]) AS t (device_no, hour)
),
fresh AS MATERIALIZED (
    SELECT wanted.device_no, wanted.hour, s.*
    FROM wanted CROSS JOIN LATERAL (
        SELECT metric_no, count(*) AS sample_n, min(value) AS min, max(value) AS max,
            sum(value ORDER BY at, value) AS sum,
            (array_agg(value ORDER BY at, value))[count(*)] AS last, max(at) AS last_at
        FROM sample
        WHERE sample.device_no = wanted.device_no
            AND sample.at >= wanted.hour AND sample.at < wanted.hour + interval '1 hour'
        GROUP BY metric_no
    ) AS s
),
vanished AS (
    DELETE FROM rollup_hour AS r
    USING wanted JOIN latest USING (device_no) -- what has a rollup has a latest value
    WHERE r.device_no = wanted.device_no AND r.metric_no = latest.metric_no
        AND r.hour = wanted.hour
        -- NOT IN is hashed; the planner takes `fresh` for short and would compare all with all.
        AND (r.device_no, r.metric_no, r.hour) NOT IN (
            SELECT device_no, metric_no, hour FROM fresh
        )
),
forward AS (
    INSERT INTO latest (device_no, metric_no, at, value)
    SELECT DISTINCT ON (device_no, metric_no) device_no, metric_no, last_at, last FROM fresh
    ORDER BY device_no, metric_no, last_at DESC
    ON CONFLICT (device_no, metric_no) DO UPDATE
        SET at = EXCLUDED.at, value = EXCLUDED.value
        WHERE (EXCLUDED.at, EXCLUDED.value) > (latest.at, latest.value)
),
rolled AS (
    INSERT INTO rollup_hour (device_no, metric_no, hour, sample_n, min, max, sum, last, last_at)
    SELECT device_no, metric_no, hour, sample_n, min, max, sum, last, last_at FROM fresh
    ON CONFLICT (device_no, metric_no, hour) DO UPDATE SET
        sample_n = EXCLUDED.sample_n,
        min = EXCLUDED.min,
        max = EXCLUDED.max,
        sum = EXCLUDED.sum,
        last = EXCLUDED.last,
        last_at = EXCLUDED.last_at
),
-- When each device is to be looked at: at once where it had been silent, soon where the day is over
-- already; else when its day closes, spread over two hours so that the fleet is not due in one second.
due AS (
    SELECT fresh.device_no, min(fresh.hour) AS from_at, min(CASE
        WHEN EXISTS (
            SELECT FROM finding WHERE finding.device_no = fresh.device_no
                AND finding.about = 'contact' AND finding.ended_at IS NULL
        ) THEN %(now)s::timestamptz
        WHEN fresh.hour < %(closed_at)s::timestamptz
        THEN %(now)s::timestamptz + interval '1 minute' -- more of a late day may follow
        ELSE %(closes_at)s::timestamptz + (fresh.device_no %% 7200) * interval '1 second'
    END) AS due_at
    FROM fresh
    GROUP BY fresh.device_no
)
INSERT INTO agenda (device_no, from_at, due_at)
SELECT device_no, from_at, due_at FROM due ORDER BY device_no
ON CONFLICT (device_no) DO UPDATE
    SET from_at = least(agenda.from_at, EXCLUDED.from_at),
        due_at = least(agenda.due_at, EXCLUDED.due_at)
    WHERE EXCLUDED.from_at < agenda.from_at OR EXCLUDED.due_at < agenda.due_at;

-- name: dirty_depth
-- How many marks wait, counted up to a limit.
SELECT count(*) FROM (SELECT FROM dirty_hour LIMIT %(limit)s::int) AS waiting;
