-- name: fleet_groups
-- The fleet within the caller's reach, by model, firmware or centre.
SELECT model_id, fw, centre_no, device_n, heard_n, device_days, faulted_n, episode_n, silent_n,
    battery_n
FROM fleet_groups(%(by_what)s::text, %(low)s::timestamptz, %(high)s::timestamptz,
    %(systems)s::text[], %(codes)s::text[], %(batteries)s::text[]);

-- name: fleet_members
-- The devices behind one number of one group.
SELECT device_no, device_id, model_id, fw, centre_no, episode_n, finding_no
FROM fleet_members(%(low)s::timestamptz, %(high)s::timestamptz, %(systems)s::text[],
    %(codes)s::text[], %(batteries)s::text[], %(model_id)s::text, %(fw)s::text,
    %(centre_no)s::int, %(shown)s::text, %(limit)s::int);

-- name: batteries
-- Batteries that are expected to end, with the finding's numbers; soonest first.
SELECT f.finding_no, d.id AS device_id, d.model_id, f.last_at, f.confidence,
    (f.detail -> 'measures' ->> 'earliest_d')::float8 AS earliest_d,
    (f.detail -> 'measures' ->> 'best_d')::float8 AS best_d,
    (f.detail -> 'measures' ->> 'latest_d')::float8 AS latest_d,
    (SELECT max(l.ticket_no) FROM ticket_finding l WHERE l.finding_no = f.finding_no) AS ticket_no
FROM finding f JOIN device d USING (device_no)
WHERE f.rule_id = ANY(%(rules)s::text[]) AND f.ended_at IS NULL AND f.need = 'ticket'
ORDER BY f.last_at + (f.detail -> 'measures' ->> 'best_d')::float8 * interval '1 day', d.id
LIMIT %(limit)s::int;

-- name: rises
-- Groups that fault more than their peers, and their tickets; the newest first.
SELECT f.finding_no, f.subject, f.component, f.started_at, f.last_at, f.confidence,
    f.detail -> 'said' -> 'title' AS title, f.detail -> 'said' -> 'happened' AS happened,
    (SELECT max(l.ticket_no) FROM ticket_finding l WHERE l.finding_no = f.finding_no) AS ticket_no
FROM finding f
WHERE f.rule_id = ANY(%(rules)s::text[]) AND f.device_no IS NULL AND f.ended_at IS NULL
ORDER BY f.started_at DESC, f.finding_no DESC
LIMIT %(limit)s::int;
