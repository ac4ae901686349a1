-- name: find_marked
-- Devices that bear a mark; where there are none, those whose mark begins so.
SELECT device_no, is_exact
FROM find_marked(%(wanted)s::text, %(pattern)s::text, %(limit)s::int);

-- name: facts
-- What groups one device with others, and since when it is in use.
SELECT area, network, batch, in_service_on FROM device WHERE device_no = %(device_no)s::int;

-- name: contact_hours
-- The hours of a range in which one device reported anything.
SELECT hour FROM seen_contact(%(device_no)s::int, %(low)s::timestamptz, %(high)s::timestamptz);

-- name: boots
-- When one device started since a time, the newest first.
SELECT boot, skew_ms, born_at
FROM seen_boots(%(device_no)s::int, %(since)s::timestamptz, %(limit)s::int);

-- name: versions
-- How one device's software and hardware versions changed, the newest first.
SELECT boot, fw, hw, before_fw, before_hw, is_first, at, known_at
FROM seen_versions(%(device_no)s::int, %(limit)s::int);

-- name: device_episodes
-- The episodes of one device that reach into a range, the newest first, after a given one.
SELECT episode_no, system, code, started_at, last_at, ended_at, raised_n, cleared_n, logged_n,
    first_received_at
FROM episode
WHERE device_no = %(device_no)s::int
    AND started_at < %(high)s::timestamptz
    AND (ended_at IS NULL OR ended_at >= %(low)s::timestamptz)
    AND (started_at, episode_no) < (%(after_at)s::timestamptz, %(after_no)s::bigint)
ORDER BY started_at DESC, episode_no DESC
LIMIT %(limit)s::int;

-- name: fleet_episodes
-- Episodes of all devices, the newest first, after a given one; of one code where it is named.
SELECT e.episode_no, d.id AS device_id, d.model_id, e.system, e.code, e.started_at, e.last_at,
    e.ended_at, e.raised_n, e.cleared_n, e.logged_n, e.first_received_at
FROM episode e JOIN device d USING (device_no)
WHERE (e.started_at, e.episode_no) < (%(after_at)s::timestamptz, %(after_no)s::bigint)
ORDER BY e.started_at DESC, e.episode_no DESC
LIMIT %(limit)s::int;

-- name: episodes_of_system
-- Episodes of one fault system on all devices, the newest first, after a given one.
SELECT e.episode_no, d.id AS device_id, d.model_id, e.system, e.code, e.started_at, e.last_at,
    e.ended_at, e.raised_n, e.cleared_n, e.logged_n, e.first_received_at
FROM episode e JOIN device d USING (device_no)
WHERE e.system = %(system)s::text
    AND (e.started_at, e.episode_no) < (%(after_at)s::timestamptz, %(after_no)s::bigint)
ORDER BY e.started_at DESC, e.episode_no DESC
LIMIT %(limit)s::int;

-- name: episodes_of_code
-- Episodes of one code on all devices, the newest first, after a given one.
SELECT e.episode_no, d.id AS device_id, d.model_id, e.system, e.code, e.started_at, e.last_at,
    e.ended_at, e.raised_n, e.cleared_n, e.logged_n, e.first_received_at
FROM episode e JOIN device d USING (device_no)
WHERE e.system = %(system)s::text AND e.code = %(code)s::text
    AND (e.started_at, e.episode_no) < (%(after_at)s::timestamptz, %(after_no)s::bigint)
ORDER BY e.started_at DESC, e.episode_no DESC
LIMIT %(limit)s::int;

-- name: pick_incidents_of
-- Open tickets about a group that speak for one device now, the newest first.
SELECT DISTINCT k.ticket_no FROM finding f
JOIN ticket_finding l USING (finding_no) JOIN ticket k USING (ticket_no)
WHERE f.device_no = %(device_no)s::int AND f.ended_at IS NULL AND k.device_no IS NULL
    AND k.state NOT IN ('verified', 'closed', 'void')
ORDER BY k.ticket_no DESC
LIMIT %(limit)s::int;

-- name: unticketed_findings
-- What holds of one device and no open ticket is about, the worst first, with the last ticket that
-- was. A storm's ticket speaks for its devices. What belongs to care is not here.
SELECT f.finding_no, d.id AS device_id, d.individual_no, f.subject, f.rule_id, f.rule_version,
    f.about, f.cause, f.need, f.severity, f.usability, f.fixer, f.component, f.started_at,
    f.last_at, f.ended_at, f.known_at, f.occurrence_n, f.confidence, f.detail, linked.ended_no
FROM finding f
JOIN device d ON d.device_no = f.device_no
CROSS JOIN LATERAL (
    SELECT max(k.ticket_no) AS ended_no,
        coalesce(bool_or(k.state NOT IN ('verified', 'closed', 'void')), false) AS is_open
    FROM ticket_finding l JOIN ticket k USING (ticket_no)
    WHERE l.finding_no = f.finding_no
) linked
WHERE f.device_no = %(device_no)s::int AND f.ended_at IS NULL AND f.need <> 'care'
    AND NOT linked.is_open
ORDER BY array_position(ARRAY['critical', 'major', 'minor', 'info'], f.severity),
    f.started_at DESC, f.finding_no DESC
LIMIT %(limit)s::int;

-- name: device_gaps
-- The gaps of one device, the newest first, after a given one. One that closed before anybody was
-- asked was two lanes overtaking each other.
SELECT g.gap_no, d.id AS device_id, d.individual_no, g.epoch, g.low, g.high, g.opened_at,
    g.asked_n, g.asked_at, g.closed_at, g.closed_as
FROM gap g JOIN device d ON d.device_no = g.device_no
WHERE g.device_no = %(device_no)s::int
    AND (g.closed_at IS NULL OR g.asked_n > 0 OR g.closed_as = 'lost_on_device')
    AND (g.opened_at, g.gap_no) < (%(after_at)s::timestamptz, %(after_no)s::bigint)
ORDER BY g.opened_at DESC, g.gap_no DESC
LIMIT %(limit)s::int;

-- name: standing_gaps
-- Gaps that are still open, the oldest first, after a given one.
SELECT g.gap_no, d.id AS device_id, d.individual_no, g.epoch, g.low, g.high, g.opened_at,
    g.asked_n, g.asked_at, g.closed_at, g.closed_as
FROM gap g JOIN device d ON d.device_no = g.device_no
WHERE g.closed_at IS NULL
    AND (g.opened_at, g.gap_no) > (%(after_at)s::timestamptz, %(after_no)s::bigint)
ORDER BY g.opened_at, g.gap_no
LIMIT %(limit)s::int;

-- name: device_settings
-- What one device says it is set to, as far as the caller may see it; `since` within their reach.
SELECT name, value, is_care, reported_at,
    nullif(greatest(since, seen_from(device_no)), '-infinity'::timestamptz) AS since
FROM device_setting
WHERE device_no = %(device_no)s::int
ORDER BY name
LIMIT 64;

-- name: setting_changes
-- The newest changes of one device's settings, with what was before: not where nothing was.
WITH newest AS (
    SELECT change_no, name, value, is_care, at FROM device_setting_change
    WHERE device_no = %(device_no)s::int
    ORDER BY change_no DESC LIMIT 1000
), told AS (
    SELECT change_no, name, value, is_care, at,
        lag(value) OVER earlier AS before, lag(change_no) OVER earlier AS before_no
    FROM newest WINDOW earlier AS (PARTITION BY name ORDER BY change_no)
)
SELECT name, before, value, is_care, at FROM told
WHERE before_no IS NOT NULL
ORDER BY change_no DESC
LIMIT %(limit)s::int;

-- name: settings_kept_back
-- How many settings of the treatment the caller does not see, and how many could not be kept.
SELECT care_setting_n(device_no), settings_left_out_n FROM device_state
WHERE device_no = %(device_no)s::int;
