-- name: profiles
-- Who these devices are.
SELECT device.device_no, device.id, device.tenant_no, tenant.id, model.device_class,
    device.model_id, device_state.fw, device.batch, centre.id, device.area, device.network,
    gateway.id, device.in_service_on, device.individual_no
FROM unnest(%(devices)s::int[]) AS wanted (device_no)
JOIN device USING (device_no)
JOIN tenant USING (tenant_no)
JOIN model ON model.id = device.model_id
LEFT JOIN centre USING (centre_no)
LEFT JOIN device_state USING (device_no)
LEFT JOIN device AS gateway ON gateway.device_no = device.gateway_no;

-- name: episodes_since
-- Episodes of these devices that are open or ended after a time of each.
SELECT e.device_no, e.episode_no, e.system, e.code, e.started_at, e.last_at, e.ended_at,
    e.raised_n, e.cleared_n, e.logged_n, e.first_received_at
FROM unnest(%(devices)s::int[], %(from_at)s::timestamptz[]) AS wanted (device_no, from_at)
JOIN episode AS e USING (device_no)
WHERE e.ended_at IS NULL OR e.ended_at >= wanted.from_at
ORDER BY e.device_no, e.started_at, e.system, e.code;

-- name: days
-- Metrics by local day, derived from the hours. The ordinal counts days from 0001-01-01 as 1. Each
-- metric is read along its index in order of time, so that the last of a day needs no sort.
SELECT wanted.device_no, told.name, r.day, r.sample_n, r.low, r.high, r.total, r.last
FROM unnest(%(devices)s::int[], %(from_at)s::timestamptz[]) AS wanted (device_no, from_at)
CROSS JOIN (
    SELECT metric_no, name FROM metric WHERE name = ANY(%(metrics)s::text[])
) AS told
CROSS JOIN LATERAL (
    SELECT (hour AT TIME ZONE 'Europe/Stockholm')::date - date '0001-01-01' + 1 AS day,
        sum(sample_n)::float8 AS sample_n, min(min) AS low, max(max) AS high, sum(sum) AS total,
        (array_agg(last))[count(*)] AS last
    FROM (
        SELECT * FROM rollup_hour AS h
        WHERE h.device_no = wanted.device_no AND h.metric_no = told.metric_no
            AND h.hour >= wanted.from_at AND h.hour < %(until_at)s::timestamptz
        ORDER BY h.hour
    ) AS hours
    GROUP BY 1
) AS r
ORDER BY wanted.device_no, told.name, r.day;

-- name: samples
-- Raw samples of the hours in which a value went beyond a bound; other hours are not read.
WITH bound AS (
    SELECT metric.metric_no, t.low, t.high
    FROM unnest(%(bound_metrics)s::text[], %(lows)s::float8[], %(highs)s::float8[])
        AS t (name, low, high)
    JOIN metric USING (name)
),
suspicious AS MATERIALIZED (
    SELECT DISTINCT wanted.device_no, r.hour
    FROM unnest(%(devices)s::int[], %(from_at)s::timestamptz[]) AS wanted (device_no, from_at)
    CROSS JOIN bound
    JOIN rollup_hour AS r ON r.device_no = wanted.device_no AND r.metric_no = bound.metric_no
        AND r.hour >= date_trunc('hour', wanted.from_at) AND r.hour < %(until_at)s::timestamptz
    WHERE r.min < bound.low OR r.max > bound.high
)
SELECT suspicious.device_no, metric.name, s.at, s.value
FROM suspicious
JOIN LATERAL (
    SELECT * FROM sample
    WHERE sample.device_no = suspicious.device_no
        AND sample.at >= suspicious.hour AND sample.at < suspicious.hour + interval '1 hour'
) AS s ON true
JOIN metric ON metric.metric_no = s.metric_no
WHERE metric.name = ANY(%(metrics)s::text[])
ORDER BY suspicious.device_no, metric.name, s.at, s.value;

-- name: repairs
-- Tickets of these devices that people solved since a time, with the codes they were about; also
-- those that were opened again, since the repair did not hold.
SELECT t.device_no, t.ticket_no, t.cause, solved.at,
    coalesce(array_agg(DISTINCT e.system || '/' || e.code) FILTER (WHERE e.system IS NOT NULL),
        '{}')
FROM ticket AS t
JOIN LATERAL (
    SELECT max(at) AS at FROM ticket_event
    WHERE ticket_event.ticket_no = t.ticket_no AND ticket_event.kind = 'solved'
) AS solved ON solved.at >= %(since_at)s::timestamptz
LEFT JOIN ticket_episode AS link ON link.ticket_no = t.ticket_no
LEFT JOIN episode AS e USING (episode_no)
WHERE t.device_no = ANY(%(devices)s::int[]) AND t.state <> 'void'
GROUP BY t.device_no, t.ticket_no, t.cause, solved.at
ORDER BY t.device_no, solved.at, t.ticket_no;

-- name: contacts
-- When each device, and the gateway it sends through, was last heard of.
SELECT device.device_no, own.at, gateway.at
FROM unnest(%(devices)s::int[]) AS wanted (device_no)
JOIN device USING (device_no)
JOIN LATERAL (SELECT max(last_at) AS at FROM ledger WHERE ledger.device_no = device.device_no)
    AS own ON own.at IS NOT NULL
LEFT JOIN LATERAL (
    SELECT max(last_at) AS at FROM ledger WHERE ledger.device_no = device.gateway_no
) AS gateway ON true;

-- name: active_hours
-- UTC hours with samples, whole hours since 1970: the device's own rhythm. Two metrics that
-- came last stand for all, since a device sends its state with everything.
SELECT wanted.device_no, array_agg(DISTINCT (extract(epoch FROM r.hour) / 3600)::int)
FROM unnest(%(devices)s::int[]) AS wanted (device_no)
CROSS JOIN LATERAL (
    SELECT metric_no FROM latest WHERE latest.device_no = wanted.device_no
    ORDER BY at DESC, metric_no LIMIT 2
) AS told
JOIN rollup_hour AS r ON r.device_no = wanted.device_no AND r.metric_no = told.metric_no
    AND r.hour >= %(since_at)s::timestamptz
GROUP BY wanted.device_no;
