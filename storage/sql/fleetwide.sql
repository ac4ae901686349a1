-- name: fleet_groups
-- The fleet within the caller's reach, by model, firmware or centre.
SELECT model_id, fw, centre_no, device_n, heard_n, device_days, faulted_n, episode_n, silent_n,
    battery_n
FROM fleet_groups(%(by_what)s::text, %(low)s::timestamptz, %(high)s::timestamptz,
    %(systems)s::text[], %(codes)s::text[], %(batteries)s::text[]);

-- name: fleet_members
-- The devices behind one number of one group.
SELECT device_no, device_id, individual_no, model_id, fw, centre_no, last_contact_at, episode_n,
    finding_no
FROM fleet_members(%(low)s::timestamptz, %(high)s::timestamptz, %(systems)s::text[],
    %(codes)s::text[], %(batteries)s::text[], %(model_id)s::text, %(fw)s::text,
    %(centre_no)s::int, %(shown)s::text, %(limit)s::int);

-- name: batteries
-- Batteries that are expected to end, the soonest first, after a given one.
SELECT b.finding_no, b.device_id, b.individual_no, b.model_id, c.id AS centre_id,
    c.name AS centre_name, b.confidence, b.earliest_on, b.best_on, b.latest_on,
    (SELECT max(l.ticket_no) FROM ticket_finding l WHERE l.finding_no = b.finding_no) AS ticket_no
FROM expected_batteries(%(rules)s::text[], %(beyond_d)s::float8) b
LEFT JOIN centre c USING (centre_no)
WHERE (%(month)s::date IS NULL OR date_trunc('month', b.best_on)::date = %(month)s::date)
    AND (%(after_on)s::date IS NULL
        OR (b.best_on, b.finding_no) > (%(after_on)s::date, %(after_no)s::bigint))
ORDER BY b.best_on, b.finding_no
LIMIT %(limit)s::int;

-- name: battery_months
-- How many batteries are expected to end in each month.
SELECT date_trunc('month', best_on)::date AS month, count(*) AS battery_n
FROM expected_batteries(%(rules)s::text[], %(beyond_d)s::float8)
GROUP BY 1 ORDER BY 1 LIMIT 600;

-- name: rises
-- Groups that fault more than their peers, and their tickets; the newest first.
SELECT f.finding_no, f.rule_id, f.subject, f.component, f.started_at, f.last_at, f.confidence,
    f.detail -> 'said' -> 'title' AS title, f.detail -> 'said' -> 'happened' AS happened,
    (SELECT max(l.ticket_no) FROM ticket_finding l WHERE l.finding_no = f.finding_no) AS ticket_no
FROM finding f
WHERE f.rule_id = ANY(%(rules)s::text[]) AND f.device_no IS NULL AND f.ended_at IS NULL
ORDER BY f.started_at DESC, f.finding_no DESC
LIMIT %(limit)s::int;
