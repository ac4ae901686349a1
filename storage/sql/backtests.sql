-- name: covered_devices
-- Devices that a rule covers, in order of their numbers: the work is cut into parts by them.
SELECT device.device_no FROM device JOIN model ON model.id = device.model_id
WHERE (%(classes)s::text[] = '{}' OR model.device_class = ANY(%(classes)s::text[]))
    AND (%(models)s::text[] = '{}' OR device.model_id = ANY(%(models)s::text[]))
    AND (%(tenant)s::text IS NULL OR device.tenant_no = (SELECT tenant_no FROM tenant
        WHERE tenant.id = %(tenant)s::text))
ORDER BY device.device_no;

-- name: past_tickets
-- The tickets that these devices really had and that lasted into a range. What an incident or
-- later knowledge made void was no work.
SELECT t.device_no, t.ticket_no, t.cause, t.known_at,
    CASE WHEN t.state IN ('solved', 'verified', 'closed') THEN coalesce(
        (SELECT max(e.at) FROM ticket_event AS e
            WHERE e.ticket_no = t.ticket_no AND e.kind = 'solved'), t.state_at) END,
    t.outcome
FROM ticket AS t
WHERE t.device_no = ANY(%(devices)s::int[]) AND t.state <> 'void'
    AND t.known_at < %(to_at)s::timestamptz
ORDER BY t.device_no, t.known_at, t.ticket_no;

-- name: suspicious_hours
-- How many hours of these devices have values beyond bounds: that many hours of raw samples
-- have to be read.
SELECT count(*) FROM (
    SELECT DISTINCT r.device_no, r.hour
    FROM unnest(%(metrics)s::text[], %(lows)s::float8[], %(highs)s::float8[])
        AS bound (name, low, high)
    JOIN metric USING (name)
    JOIN rollup_hour AS r ON r.metric_no = metric.metric_no
        AND r.hour >= %(from_at)s::timestamptz AND r.hour < %(to_at)s::timestamptz
    WHERE r.device_no = ANY(%(devices)s::int[]) AND (r.min < bound.low OR r.max > bound.high)
) AS suspicious;
