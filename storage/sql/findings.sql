-- name: stretches
-- From when to when stored findings of these rules hold, for building the window.
SELECT device_no, started_at, ended_at FROM finding
WHERE device_no = ANY(%(devices)s::int[]) AND rule_id = ANY(%(rules)s::text[])
    AND (ended_at IS NULL OR ended_at >= %(since_at)s::timestamptz);

-- name: findings_in
-- Stored findings of these rules that a window of each device decides.
SELECT f.device_no, f.finding_no, f.rule_id, f.rule_version, f.about, f.cause, f.need,
    f.severity, f.usability, f.fixer, f.component, f.order_hint, f.started_at, f.last_at,
    f.ended_at, f.known_at, f.occurrence_n, f.confidence, f.detail
FROM unnest(%(devices)s::int[], %(from_at)s::timestamptz[]) AS wanted (device_no, from_at)
JOIN finding AS f USING (device_no)
WHERE f.rule_id = ANY(%(rules)s::text[])
    AND (f.ended_at IS NULL OR f.ended_at >= wanted.from_at)
ORDER BY f.device_no, f.started_at, f.finding_no;

-- name: group_findings
-- Stored findings about groups that hold, or ended after a time.
SELECT f.tenant_no, f.subject, f.finding_no, f.rule_id, f.rule_version, f.about, f.cause,
    f.need, f.severity, f.usability, f.fixer, f.component, f.order_hint, f.started_at,
    f.last_at, f.ended_at, f.known_at, f.occurrence_n, f.confidence, f.detail
FROM finding AS f
WHERE f.device_no IS NULL AND f.tenant_no = %(tenant_no)s AND f.rule_id = ANY(%(rules)s::text[])
    AND (f.ended_at IS NULL OR f.ended_at >= %(since_at)s::timestamptz)
ORDER BY f.finding_no;

-- name: insert_findings
-- What rules newly concluded.
INSERT INTO finding (tenant_no, device_no, subject, rule_id, rule_version, about, cause, need,
    severity, usability, fixer, component, order_hint, started_at, last_at, ended_at, known_at,
    occurrence_n, confidence, detail)
SELECT * FROM unnest(
    %(tenant_no)s::int[], %(device_no)s::int[], %(subject)s::text[], %(rule_id)s::text[],
    %(rule_version)s::int[], %(about)s::text[], %(cause)s::text[], %(need)s::text[],
    %(severity)s::text[], %(usability)s::text[], %(fixer)s::text[], %(component)s::text[],
    %(order_hint)s::text[], %(started_at)s::timestamptz[], %(last_at)s::timestamptz[],
    %(ended_at)s::timestamptz[], %(known_at)s::timestamptz[], %(occurrence_n)s::bigint[],
    %(confidence)s::float8[], %(detail)b::jsonb[]
)
RETURNING finding_no, coalesce(device_no, 0), subject, rule_id, about, started_at;

-- name: update_findings
-- What changed of findings that stay themselves.
UPDATE finding SET
    rule_version = changed.rule_version,
    cause = changed.cause,
    need = changed.need,
    severity = changed.severity,
    usability = changed.usability,
    fixer = changed.fixer,
    component = changed.component,
    order_hint = changed.order_hint,
    started_at = changed.started_at,
    last_at = changed.last_at,
    ended_at = changed.ended_at,
    known_at = changed.known_at,
    occurrence_n = changed.occurrence_n,
    confidence = changed.confidence,
    detail = changed.detail
FROM unnest(
    %(finding_no)s::bigint[], %(rule_version)s::int[], %(cause)s::text[], %(need)s::text[],
    %(severity)s::text[], %(usability)s::text[], %(fixer)s::text[], %(component)s::text[],
    %(order_hint)s::text[], %(started_at)s::timestamptz[], %(last_at)s::timestamptz[],
    %(ended_at)s::timestamptz[], %(known_at)s::timestamptz[], %(occurrence_n)s::bigint[],
    %(confidence)s::float8[], %(detail)b::jsonb[]
) AS changed (
    finding_no, rule_version, cause, need, severity, usability, fixer, component, order_hint,
    started_at, last_at, ended_at, known_at, occurrence_n, confidence, detail
)
WHERE finding.finding_no = changed.finding_no;

-- name: hand_over_findings
-- Before findings vanish into others, their tickets follow.
INSERT INTO ticket_finding (ticket_no, finding_no)
SELECT DISTINCT link.ticket_no, gone.heir_no
FROM unnest(%(gone)s::bigint[], %(heirs)s::bigint[]) AS gone (finding_no, heir_no)
JOIN ticket_finding AS link USING (finding_no)
WHERE gone.heir_no IS NOT NULL
ON CONFLICT DO NOTHING;

-- name: orphaned
-- Open tickets whose finding vanishes without an heir: somebody has to look at them again.
SELECT DISTINCT ticket.device_no, ticket.cause
FROM unnest(%(gone)s::bigint[], %(heirs)s::bigint[]) AS gone (finding_no, heir_no)
JOIN ticket_finding USING (finding_no) JOIN ticket USING (ticket_no)
WHERE gone.heir_no IS NULL AND ticket.device_no IS NOT NULL
    AND ticket.state NOT IN ('verified', 'closed', 'void');

-- name: delete_findings
-- Findings that later knowledge has taken back, or merged into others.
DELETE FROM finding WHERE finding_no = ANY(%(gone)s::bigint[]);

-- name: linked_findings
-- What tickets rest on.
SELECT link.ticket_no, f.finding_no, f.rule_id, f.rule_version, f.about, f.cause, f.need,
    f.severity, f.usability, f.fixer, f.component, f.order_hint, f.started_at, f.last_at,
    f.ended_at, f.known_at, f.occurrence_n, f.confidence, f.detail
FROM ticket_finding AS link JOIN finding AS f USING (finding_no)
WHERE link.ticket_no = ANY(%(tickets)s::bigint[])
ORDER BY link.ticket_no, f.started_at, f.finding_no;

-- name: evidence_episodes
-- Episodes that findings name as their evidence.
SELECT episode_no, system, code, started_at, last_at, ended_at, raised_n, cleared_n, logged_n,
    first_received_at
FROM episode WHERE episode_no = ANY(%(episodes)s::bigint[]);

-- name: settled_findings
-- Findings that a finished ticket was about: the last such ticket's state, since when, and
-- whether it was about a group. A ticket that diagnostics itself withdrew answers nothing.
SELECT DISTINCT ON (link.finding_no) link.finding_no, ticket.state, ticket.state_at,
    ticket.device_no IS NULL
FROM ticket_finding AS link JOIN ticket USING (ticket_no)
WHERE link.finding_no = ANY(%(findings)s::bigint[])
    AND NOT ticket.is_withdrawn
    AND (ticket.device_no IS NOT NULL OR ticket.subject NOT LIKE 'model:%%')
    AND ticket.state IN ('verified', 'closed', 'void')
ORDER BY link.finding_no, ticket.state_at DESC, ticket.ticket_no DESC;

-- name: held_by_group
-- Findings whose device is held by an open ticket about a group. A supplier's ticket about a
-- model or a batch holds nothing back: its singles are work of their own.
SELECT link.finding_no, ticket.ticket_no
FROM ticket_finding AS link JOIN ticket USING (ticket_no)
WHERE link.finding_no = ANY(%(findings)s::bigint[]) AND ticket.device_no IS NULL
    AND ticket.subject NOT LIKE 'model:%%' AND ticket.state NOT IN ('verified', 'closed', 'void');

-- name: link_findings
-- New evidence of tickets.
INSERT INTO ticket_finding (ticket_no, finding_no)
SELECT * FROM unnest(%(tickets)s::bigint[], %(findings)s::bigint[])
ON CONFLICT DO NOTHING;

-- name: unlink_findings
-- Evidence that tickets no longer have.
DELETE FROM ticket_finding AS link
USING unnest(%(tickets)s::bigint[], %(findings)s::bigint[]) AS gone (ticket_no, finding_no)
WHERE link.ticket_no = gone.ticket_no AND link.finding_no = gone.finding_no;

-- name: same_about
-- How many devices of a tenant show the same thing that began within an hour of a time. What an
-- incident that ended has given free is looked at by itself and makes no storm again.
SELECT t.nth, count(DISTINCT f.device_no)
FROM unnest(%(tenants)s::int[], %(abouts)s::text[], %(at)s::timestamptz[])
    WITH ORDINALITY AS t (tenant_no, about, at, nth)
JOIN finding AS f ON f.tenant_no = t.tenant_no AND f.about = t.about AND f.need = 'ticket'
    AND f.started_at BETWEEN t.at - %(within)s::interval AND t.at + %(within)s::interval
    AND NOT EXISTS (SELECT FROM ticket_finding AS link JOIN ticket USING (ticket_no)
        WHERE link.finding_no = f.finding_no AND ticket.device_no IS NULL
            AND ticket.subject LIKE 'storm:%%' AND ticket.is_active
            AND ticket.state IN ('verified', 'closed', 'void'))
GROUP BY t.nth;

-- name: members_of
-- The devices that a group's ticket speaks for.
SELECT f.finding_no, f.device_no
FROM ticket_finding AS link JOIN finding AS f USING (finding_no)
WHERE link.ticket_no = %(ticket_no)s AND f.device_no IS NOT NULL;

-- name: storm_members
-- All findings of a storm: the same thing on many devices, begun within reach of a time.
SELECT f.finding_no, f.device_no FROM finding AS f
WHERE f.tenant_no = %(tenant_no)s AND f.about = %(about)s AND f.need = 'ticket'
    AND f.device_no IS NOT NULL
    AND f.started_at BETWEEN %(from_at)s::timestamptz AND %(until_at)s::timestamptz
    AND NOT EXISTS (SELECT FROM ticket_finding AS link JOIN ticket USING (ticket_no)
        WHERE link.finding_no = f.finding_no AND ticket.device_no IS NULL
            AND ticket.subject LIKE 'storm:%%' AND ticket.is_active
            AND ticket.state IN ('verified', 'closed', 'void'));

-- name: singles_of
-- Untouched tickets of single devices that rest only on these findings: a storm takes them over.
SELECT ticket.ticket_no, ticket.state FROM ticket
WHERE ticket.device_no IS NOT NULL AND ticket.state = 'new'
    AND EXISTS (SELECT FROM ticket_finding AS link WHERE link.ticket_no = ticket.ticket_no
        AND link.finding_no = ANY(%(findings)s::bigint[]))
    AND NOT EXISTS (SELECT FROM ticket_finding AS link WHERE link.ticket_no = ticket.ticket_no
        AND link.finding_no <> ALL(%(findings)s::bigint[]))
FOR UPDATE OF ticket;

-- name: take_agenda
-- Devices that are due, oldest first; another process skips what this one holds. A mark made
-- meanwhile waits for our end and then stands anew.
DELETE FROM agenda WHERE device_no IN (
    SELECT device_no FROM agenda WHERE due_at <= %(now)s::timestamptz
    ORDER BY due_at, device_no LIMIT %(limit)s::int FOR UPDATE SKIP LOCKED
)
RETURNING device_no, from_at;

-- name: put_agenda
-- Look at these devices again: the earlier time wins.
INSERT INTO agenda (device_no, from_at, due_at)
SELECT * FROM unnest(%(devices)s::int[], %(from_at)s::timestamptz[], %(due_at)s::timestamptz[])
    AS t (device_no, from_at, due_at)
ORDER BY 1
ON CONFLICT (device_no) DO UPDATE
    SET from_at = least(agenda.from_at, EXCLUDED.from_at),
        due_at = least(agenda.due_at, EXCLUDED.due_at)
    WHERE EXCLUDED.from_at < agenda.from_at OR EXCLUDED.due_at < agenda.due_at;

-- name: measured_since
-- Devices whose day goes on: they have a value of it, and it is judged when it closes.
SELECT DISTINCT device_no FROM latest
WHERE device_no = ANY(%(devices)s::int[]) AND at >= %(since_at)s::timestamptz;

-- name: agenda_depth
-- How many devices are due, counted up to a limit.
SELECT count(*) FROM (
    SELECT FROM agenda WHERE due_at <= %(now)s::timestamptz LIMIT %(limit)s::int
) AS due;

-- name: release_members
-- A group's ticket has ended: its devices are looked at one by one again.
WITH ended AS (
    UPDATE ticket SET released_at = %(now)s::timestamptz
    WHERE device_no IS NULL AND subject NOT LIKE 'model:%%' AND released_at IS NULL
        AND state IN ('verified', 'closed', 'void')
    RETURNING ticket_no
)
INSERT INTO agenda (device_no, from_at, due_at)
SELECT f.device_no, min(f.started_at), %(now)s::timestamptz
FROM ended JOIN ticket_finding USING (ticket_no) JOIN finding AS f USING (finding_no)
WHERE f.device_no IS NOT NULL
GROUP BY f.device_no ORDER BY f.device_no
ON CONFLICT (device_no) DO UPDATE
    SET from_at = least(agenda.from_at, EXCLUDED.from_at), due_at = EXCLUDED.due_at;
