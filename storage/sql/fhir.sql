-- name: metric_name
-- The name of a metric.
SELECT name FROM metric WHERE metric_no = %(metric_no)s::int;

-- name: has_metric
-- Whether a device has reported a metric that the caller may see.
SELECT EXISTS (SELECT FROM latest
    WHERE device_no = %(device_no)s::int AND metric_no = %(metric_no)s::int);

-- name: metrics_of
-- The metrics that a device has reported.
SELECT m.metric_no, m.name FROM latest l JOIN metric m USING (metric_no)
WHERE l.device_no = %(device_no)s::int
ORDER BY m.name
LIMIT 500;

-- name: tickets_of_device
-- The tickets about one device in a group of states, the newest first.
SELECT ticket_no FROM ticket
WHERE device_no = %(device_no)s::int AND state = ANY(%(states)s::text[])
    AND ticket_no < %(before_no)s::bigint
ORDER BY ticket_no DESC
LIMIT %(limit)s::int;
