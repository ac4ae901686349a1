-- name: lock_tickets
-- Held until COMMIT, so that two changes never compute from each other's past.
SELECT ticket_no FROM ticket WHERE ticket_no = ANY(%(tickets)s::bigint[])
ORDER BY ticket_no
FOR UPDATE;

-- name: ticket_terms
-- What the clocks of tickets rest on. The agreement is that of the centre, else of the tenant, as
-- it stood when the fault became known. An urgent order that took another's place counts from
-- that order: before it nobody could act on it as urgent.
SELECT k.ticket_no, k.order_kind, m.device_class,
    greatest(k.known_at, CASE WHEN k.order_kind = 'akut AU' AND k.replaces_no IS NOT NULL THEN (
        SELECT min(e.at) FROM ticket_event AS e
        WHERE e.ticket_no = k.ticket_no AND e.kind = 'opened') END),
    k.policy_id, k.policy_version, agreed.policy_id
FROM ticket AS k
LEFT JOIN device AS d ON d.device_no = k.device_no
LEFT JOIN model AS m ON m.id = d.model_id
LEFT JOIN LATERAL (
    SELECT a.policy_id FROM agreement AS a
    WHERE a.tenant_no = k.tenant_no AND (a.centre_no IS NULL OR a.centre_no = d.centre_no)
        AND a.from_at <= k.known_at
    ORDER BY a.centre_no IS NULL, a.from_at DESC
    LIMIT 1
) AS agreed ON true
WHERE k.ticket_no = ANY(%(tickets)s::bigint[])
ORDER BY k.ticket_no;

-- name: set_policies
-- The version and the clauses that tickets are counted by, written once.
UPDATE ticket SET
    policy_id = chosen.policy_id,
    policy_version = chosen.policy_version,
    policy_clause = chosen.clause
FROM unnest(%(tickets)s::bigint[], %(policy_ids)s::text[], %(versions)s::int[], %(clauses)s::text[])
    AS chosen (ticket_no, policy_id, policy_version, clause)
WHERE ticket.ticket_no = chosen.ticket_no AND ticket.policy_id IS NULL;

-- name: put_clocks
-- Open clocks, or move those that run. Where a deadline moved by more than a day the prescriber
-- was told the wrong date, and a new notice is due.
INSERT INTO ticket_clock (ticket_no, tenant_no, clock, due_at, notify_at)
SELECT c.ticket_no, k.tenant_no, c.clock, c.due_at, c.notify_at
FROM unnest(
    %(tickets)s::bigint[], %(clocks)s::text[], %(due_at)s::timestamptz[],
    %(notify_at)s::timestamptz[]
) AS c (ticket_no, clock, due_at, notify_at)
JOIN ticket AS k USING (ticket_no)
ON CONFLICT (ticket_no, clock) DO UPDATE SET
    due_at = EXCLUDED.due_at,
    notify_at = EXCLUDED.notify_at,
    notified_at = CASE
        WHEN EXCLUDED.due_at > ticket_clock.due_at + interval '1 day' THEN NULL
        ELSE ticket_clock.notified_at END
WHERE ticket_clock.stopped_at IS NULL AND ticket_clock.breached_at IS NULL;

-- name: stop_unopened
-- Clocks that are opened on a ticket which has come further already.
UPDATE ticket_clock SET stopped_at = %(now)s::timestamptz
FROM ticket AS k
WHERE k.ticket_no = ticket_clock.ticket_no AND ticket_clock.stopped_at IS NULL
    AND k.ticket_no = ANY(%(tickets)s::bigint[])
    AND (k.state, ticket_clock.clock) IN (
        SELECT * FROM unnest(%(states)s::text[], %(stopped)s::text[]));

-- name: pauses
-- When clocks stood still, also on the tickets in whose place these were opened.
WITH RECURSIVE line AS (
    SELECT ticket_no AS asked_no, ticket_no, replaces_no FROM ticket
    WHERE ticket_no = ANY(%(tickets)s::bigint[])
    UNION
    SELECT line.asked_no, k.ticket_no, k.replaces_no
    FROM line JOIN ticket AS k ON k.ticket_no = line.replaces_no
)
SELECT line.asked_no, p.from_at, coalesce(p.until_at, greatest(p.from_at, %(now)s::timestamptz)),
    p.reason
FROM line JOIN ticket_pause AS p ON p.ticket_no = line.ticket_no
ORDER BY line.asked_no, p.from_at;

-- name: begin_pause
-- The clocks stand still from now on; a pause that ended this instant goes on instead.
INSERT INTO ticket_pause (ticket_no, from_at, reason)
VALUES (%(ticket_no)s::bigint, %(now)s::timestamptz, %(reason)s::text)
ON CONFLICT (ticket_no, from_at) DO UPDATE SET until_at = NULL, reason = EXCLUDED.reason;

-- name: end_pause
-- The clocks run again. A clock of ours that was set back makes no pause end before it began.
UPDATE ticket_pause SET until_at = greatest(from_at, %(now)s::timestamptz)
WHERE ticket_no = %(ticket_no)s::bigint AND until_at IS NULL;

-- name: stop_clocks
-- What was promised is done, or the ticket was made void.
UPDATE ticket_clock SET stopped_at = %(now)s::timestamptz
WHERE ticket_no = %(ticket_no)s::bigint AND clock = ANY(%(clocks)s::text[]) AND stopped_at IS NULL;

-- name: finish_again
-- A repair that did not hold: the finish clock runs again, and the time between stands as a pause.
WITH was AS (
    SELECT ticket_no, stopped_at FROM ticket_clock
    WHERE ticket_no = %(ticket_no)s::bigint AND clock = 'finish' AND stopped_at IS NOT NULL
), again AS (
    UPDATE ticket_clock SET stopped_at = NULL
    FROM was WHERE ticket_clock.ticket_no = was.ticket_no AND ticket_clock.clock = 'finish'
)
INSERT INTO ticket_pause (ticket_no, from_at, until_at, reason)
SELECT ticket_no, stopped_at, greatest(stopped_at, %(now)s::timestamptz), %(reason)s::text FROM was
ON CONFLICT (ticket_no, from_at) DO UPDATE
    SET until_at = EXCLUDED.until_at, reason = EXCLUDED.reason;

-- name: late_clocks
-- Clocks of one ticket that were stopped after their deadline, before anybody recorded the breach.
SELECT c.ticket_no, c.clock, c.due_at, t.id, d.id, m.device_class, k.order_kind, k.policy_id,
    k.policy_version, k.policy_clause
FROM ticket_clock AS c
JOIN ticket AS k USING (ticket_no)
JOIN tenant AS t ON t.tenant_no = k.tenant_no
LEFT JOIN device AS d ON d.device_no = k.device_no
LEFT JOIN model AS m ON m.id = d.model_id
WHERE c.ticket_no = %(ticket_no)s::bigint AND c.breached_at IS NULL AND c.stopped_at > c.due_at
ORDER BY c.due_at, c.clock;

-- name: take_to_notify
-- Running clocks whose notice is due, soonest deadline first; another process skips them. A
-- ticket that waits stands still, unless its deadline had passed before.
SELECT c.ticket_no, c.clock, c.due_at, t.id, d.id, m.device_class, k.order_kind, k.policy_id,
    k.policy_version, k.policy_clause
FROM ticket_clock AS c
JOIN ticket AS k USING (ticket_no)
JOIN tenant AS t ON t.tenant_no = k.tenant_no
LEFT JOIN device AS d ON d.device_no = k.device_no
LEFT JOIN model AS m ON m.id = d.model_id
WHERE c.stopped_at IS NULL AND c.notified_at IS NULL AND c.notify_at <= %(now)s::timestamptz
    AND NOT (k.state = 'waiting' AND k.state_at < c.due_at)
ORDER BY c.notify_at, c.ticket_no, c.clock
LIMIT %(limit)s::int
FOR UPDATE OF c, k SKIP LOCKED;

-- name: take_to_breach
-- Running clocks whose deadline has passed, longest ago first; the same rules as for notices.
SELECT c.ticket_no, c.clock, c.due_at, t.id, d.id, m.device_class, k.order_kind, k.policy_id,
    k.policy_version, k.policy_clause
FROM ticket_clock AS c
JOIN ticket AS k USING (ticket_no)
JOIN tenant AS t ON t.tenant_no = k.tenant_no
LEFT JOIN device AS d ON d.device_no = k.device_no
LEFT JOIN model AS m ON m.id = d.model_id
WHERE c.stopped_at IS NULL AND c.breached_at IS NULL AND c.due_at < %(now)s::timestamptz
    AND NOT (k.state = 'waiting' AND k.state_at < c.due_at)
ORDER BY c.due_at, c.ticket_no, c.clock
LIMIT %(limit)s::int
FOR UPDATE OF c, k SKIP LOCKED;

-- name: mark_notified
-- Notices that are drafted.
UPDATE ticket_clock SET notified_at = %(now)s::timestamptz
FROM unnest(%(tickets)s::bigint[], %(clocks)s::text[]) AS told (ticket_no, clock)
WHERE ticket_clock.ticket_no = told.ticket_no AND ticket_clock.clock = told.clock;

-- name: mark_breached
-- Breaches that are recorded; a row comes back once in the life of a clock.
UPDATE ticket_clock SET breached_at = %(now)s::timestamptz
FROM unnest(%(tickets)s::bigint[], %(clocks)s::text[]) AS late (ticket_no, clock)
WHERE ticket_clock.ticket_no = late.ticket_no AND ticket_clock.clock = late.clock
    AND ticket_clock.breached_at IS NULL
RETURNING ticket_clock.ticket_no, ticket_clock.clock;

-- name: clocks
-- The clocks of one ticket as they stand.
SELECT clock, due_at, notify_at, notified_at, stopped_at, breached_at FROM ticket_clock
WHERE ticket_no = %(ticket_no)s::bigint
ORDER BY clock DESC;

-- name: is_paused
-- The reason one ticket's clocks stand still for at present.
SELECT reason FROM ticket_pause WHERE ticket_no = %(ticket_no)s::bigint AND until_at IS NULL;

-- name: tenant_places
-- A tenant, and its centre of that id; no row for an unknown tenant.
SELECT t.tenant_no, c.centre_no FROM tenant AS t
LEFT JOIN centre AS c ON c.tenant_no = t.tenant_no AND c.id = %(centre)s::text
WHERE t.id = %(tenant)s::text;

-- name: some_tenants
-- Tenants to choose from.
SELECT id FROM tenant ORDER BY id LIMIT 20;

-- name: some_centres
-- A tenant's centres to choose from.
SELECT id FROM centre WHERE tenant_no = %(tenant_no)s::int ORDER BY id LIMIT 20;

-- name: add_agreement
-- From a date on; no row where one from that very instant is there.
INSERT INTO agreement (tenant_no, centre_no, policy_id, from_at, who)
VALUES (%(tenant_no)s::int, %(centre_no)s::int, %(policy_id)s::text, %(from_at)s::timestamptz,
    %(who)s::text)
ON CONFLICT (tenant_no, coalesce(centre_no, 0), from_at) DO NOTHING
RETURNING agreement_no;

-- name: agreement_of
-- The agreement that holds for a tenant's centre at a time: its own, else the tenant's.
SELECT a.policy_id, a.from_at, a.centre_no IS NOT NULL
FROM agreement AS a
JOIN tenant AS t USING (tenant_no)
LEFT JOIN centre AS c ON c.centre_no = a.centre_no
WHERE t.id = %(tenant)s::text AND a.from_at <= %(at)s::timestamptz
    AND (a.centre_no IS NULL OR c.id = %(centre)s::text)
ORDER BY a.centre_no IS NULL, a.from_at DESC
LIMIT 1;
