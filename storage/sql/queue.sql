-- name: queued_open
-- Open tickets in the order of the queue, after a given one. A deadline that stands still while
-- its ticket waits sorts after those that run, and no deadline after that. A group's ticket is at
-- every centre that has a device in it. OFFSET 0: looked up for each of the few groups, not hashed
-- for the whole fleet.
SELECT first_at, rank, known_at, ticket_no FROM (
    SELECT k.ticket_no, k.known_at,
        array_position(ARRAY['critical', 'major', 'minor', 'info'], k.severity) AS rank,
        CASE WHEN NOT %(by_due)s::boolean THEN '2000-01-01 00:00+00'::timestamptz
            WHEN binding.due_at IS NULL THEN '9999-01-01 00:00+00'::timestamptz
            WHEN clock_is_still(k.state, k.state_at, binding.due_at)
            THEN '9000-01-01 00:00+00'::timestamptz
            ELSE binding.due_at END AS first_at,
        clock_standing(clock_is_still(k.state, k.state_at, binding.due_at), binding.is_breached,
            binding.due_at, binding.notify_at, %(now)s) AS standing
    FROM ticket AS k
    LEFT JOIN binding_clocks() AS binding USING (ticket_no)
    WHERE k.state NOT IN ('verified', 'closed', 'void')
        AND (%(state)s::text IS NULL OR k.state = %(state)s::text)
        AND (%(severity)s::text IS NULL OR k.severity = %(severity)s::text)
        AND (%(order_kind)s::text IS NULL OR k.order_kind = %(order_kind)s::text)
        AND (%(component)s::text IS NULL OR k.component = %(component)s::text)
        AND (%(assignee)s::text IS NULL OR coalesce(k.assignee, '') = %(assignee)s::text)
        AND (%(device_no)s::int IS NULL OR k.device_no = %(device_no)s::int)
        AND (%(centre)s::text IS NULL OR EXISTS (
            SELECT FROM device AS d JOIN centre AS c USING (centre_no)
            WHERE d.device_no = k.device_no AND c.id = %(centre)s::text)
            OR (k.device_no IS NULL AND EXISTS (
                SELECT FROM ticket_finding AS l JOIN finding AS f USING (finding_no)
                WHERE l.ticket_no = k.ticket_no AND EXISTS (
                    SELECT FROM device AS d WHERE d.device_no = f.device_no
                        AND d.centre_no = ANY(ARRAY(
                            SELECT centre_no FROM centre WHERE id = %(centre)s::text))
                    OFFSET 0)
                OFFSET 0)))
) AS queued
WHERE (%(standing)s::text IS NULL OR standing = %(standing)s::text)
    AND (%(after_first)s::timestamptz IS NULL OR (first_at, rank, known_at, ticket_no)
        > (%(after_first)s::timestamptz, %(after_rank)s::int, %(after_at)s::timestamptz,
            %(after_no)s::bigint))
ORDER BY first_at, rank, known_at, ticket_no
LIMIT %(limit)s::int;

-- name: queued_ended
-- Tickets that are over, the newest first, after a given one.
SELECT k.known_at, k.ticket_no
FROM ticket AS k
WHERE k.state IN ('verified', 'closed', 'void')
    AND (%(state)s::text IS NULL OR k.state = %(state)s::text)
    AND (%(severity)s::text IS NULL OR k.severity = %(severity)s::text)
    AND (%(order_kind)s::text IS NULL OR k.order_kind = %(order_kind)s::text)
    AND (%(component)s::text IS NULL OR k.component = %(component)s::text)
    AND (%(assignee)s::text IS NULL OR coalesce(k.assignee, '') = %(assignee)s::text)
    AND (%(device_no)s::int IS NULL OR k.device_no = %(device_no)s::int)
    AND (%(centre)s::text IS NULL OR EXISTS (
        SELECT FROM device AS d JOIN centre AS c USING (centre_no)
        WHERE d.device_no = k.device_no AND c.id = %(centre)s::text)
        OR (k.device_no IS NULL AND EXISTS (
            SELECT FROM ticket_finding AS l JOIN finding AS f USING (finding_no)
            WHERE l.ticket_no = k.ticket_no AND EXISTS (
                SELECT FROM device AS d WHERE d.device_no = f.device_no
                    AND d.centre_no = ANY(ARRAY(
                        SELECT centre_no FROM centre WHERE id = %(centre)s::text))
                OFFSET 0)
            OFFSET 0)))
    AND (%(standing)s::text IS NULL OR (%(standing)s::text = 'overdue' AND EXISTS (
        SELECT FROM ticket_clock AS c
        WHERE c.ticket_no = k.ticket_no AND c.breached_at IS NOT NULL)))
    AND (%(after_at)s::timestamptz IS NULL OR (k.known_at, k.ticket_no)
        < (%(after_at)s::timestamptz, %(after_no)s::bigint))
ORDER BY k.known_at DESC, k.ticket_no DESC
LIMIT %(limit)s::int;

-- name: queue_counts
-- How many tickets are open, by severity: all, overdue, at risk, nobody's and one person's.
SELECT severity, count(*), count(*) FILTER (WHERE standing = 'overdue'),
    count(*) FILTER (WHERE standing = 'at_risk'), count(*) FILTER (WHERE assignee IS NULL),
    count(*) FILTER (WHERE assignee = %(who)s::text)
FROM (
    SELECT k.severity, k.assignee,
        clock_standing(clock_is_still(k.state, k.state_at, binding.due_at), binding.is_breached,
            binding.due_at, binding.notify_at, %(now)s) AS standing
    FROM ticket AS k
    LEFT JOIN binding_clocks() AS binding USING (ticket_no)
    WHERE k.state NOT IN ('verified', 'closed', 'void')
) AS queued
GROUP BY severity;

-- name: centres
-- The centres of the tenant, by name.
SELECT id, name FROM centre ORDER BY name, id LIMIT 200;

-- name: assignees
-- Those who have open tickets, by name.
SELECT DISTINCT assignee FROM ticket
WHERE assignee IS NOT NULL AND state NOT IN ('verified', 'closed', 'void')
ORDER BY assignee
LIMIT %(limit)s::int;

-- name: stamps
-- Tickets as they stand, with what happened to each last.
SELECT k.ticket_no, k.state, k.version, e.kind AS last_kind, e.who AS last_who, e.at AS last_at
FROM ticket AS k
LEFT JOIN LATERAL (
    SELECT kind, who, at FROM ticket_event
    WHERE ticket_no = k.ticket_no ORDER BY event_no DESC LIMIT 1
) AS e ON true
WHERE k.ticket_no = ANY(%(tickets)s::bigint[])
ORDER BY k.ticket_no
LIMIT 500;
