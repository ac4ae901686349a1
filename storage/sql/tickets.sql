-- name: tickets_by_no
-- Tickets whole, with the deadline that binds: the first of those that still run.
SELECT k.ticket_no, t.id AS tenant_id, k.subject, k.device_no, d.id AS device_id, d.model_id,
    m.device_class, c.id AS centre_id, k.cause, k.order_kind, k.severity, k.usability, k.fixer,
    k.component, k.title_sv, k.title_en, k.body_sv, k.body_en, k.started_at, k.known_at,
    k.updated_at, k.is_active, k.state, k.state_at, k.version, k.assignee, k.waiting_reason,
    k.outcome, k.outcome_part, k.outcome_minutes, k.urgent_because, k.urgent_answer,
    k.replaces_no, k.repeats_no, k.incident_no, k.rule_id, k.rule_version,
    coalesce((SELECT max(r.ticket_no) FROM ticket AS r
            WHERE r.device_no = k.device_no AND r.replaces_no = k.ticket_no),
        (SELECT max((e.detail ->> 'replaced_by')::bigint) FROM ticket_event AS e
            WHERE e.ticket_no = k.ticket_no)) AS replaced_by_no,
    (SELECT min(clock.due_at) FROM ticket_clock AS clock
        WHERE clock.ticket_no = k.ticket_no AND clock.stopped_at IS NULL) AS due_at
FROM unnest(%(tickets)s::bigint[]) WITH ORDINALITY AS wanted (ticket_no, nth)
JOIN ticket AS k USING (ticket_no)
JOIN tenant AS t ON t.tenant_no = k.tenant_no
LEFT JOIN device AS d ON d.device_no = k.device_no
LEFT JOIN model AS m ON m.id = d.model_id
LEFT JOIN centre AS c ON c.centre_no = d.centre_no
ORDER BY wanted.nth;

-- name: pick_open_tickets
-- Open tickets: the deadline that binds first, then the worst, then the oldest.
SELECT k.ticket_no
FROM ticket AS k
JOIN tenant AS t USING (tenant_no)
LEFT JOIN LATERAL (
    SELECT min(due_at) AS due_at FROM ticket_clock
    WHERE ticket_no = k.ticket_no AND stopped_at IS NULL
) AS clock ON true
WHERE k.state NOT IN ('verified', 'closed', 'void')
    AND (%(state)s::text IS NULL OR k.state = %(state)s::text)
    AND (%(tenant)s::text IS NULL OR t.id = %(tenant)s::text)
    AND (%(assignee)s::text IS NULL OR k.assignee = %(assignee)s::text)
ORDER BY clock.due_at NULLS LAST,
    array_position(ARRAY['critical', 'major', 'minor', 'info'], k.severity), k.known_at,
    k.ticket_no
LIMIT %(limit)s::int;

-- name: pick_ended_tickets
-- Tickets of one state that are over, the newest first.
SELECT k.ticket_no
FROM ticket AS k
JOIN tenant AS t USING (tenant_no)
WHERE k.state IN ('verified', 'closed', 'void')
    AND k.state = %(state)s::text
    AND (%(tenant)s::text IS NULL OR t.id = %(tenant)s::text)
    AND (%(assignee)s::text IS NULL OR k.assignee = %(assignee)s::text)
ORDER BY k.known_at DESC, k.ticket_no DESC
LIMIT %(limit)s::int;

-- name: ticket_history
-- What happened to one ticket, in order.
SELECT event_no, at, kind, who, detail FROM ticket_event
WHERE ticket_no = %(ticket_no)s::bigint AND event_no > %(after)s::int
ORDER BY event_no
LIMIT %(limit)s::int;

-- name: last_event
-- What happened last to one ticket, for whoever came too late.
SELECT kind, who, at FROM ticket_event
WHERE ticket_no = %(ticket_no)s::bigint
ORDER BY event_no DESC
LIMIT 1;

-- name: last_person
-- The last thing that a person did to one ticket after the version that somebody else saw.
SELECT kind, who, at FROM ticket_event
WHERE ticket_no = %(ticket_no)s::bigint AND (detail ->> 'ticket_version')::int > %(version)s::int
ORDER BY event_no DESC
LIMIT 1;

-- name: change_ticket
-- What a person did, if the ticket is still as it was read.
UPDATE ticket SET
    state = %(state)s::text,
    state_at = CASE WHEN state = %(state)s::text THEN state_at ELSE %(now)s::timestamptz END,
    assignee = %(assignee)s::text,
    waiting_reason = %(waiting_reason)s::text,
    outcome = %(outcome)s::text,
    outcome_part = %(outcome_part)s::text,
    outcome_minutes = %(outcome_minutes)s::int,
    urgent_answer = %(urgent_answer)s::text,
    updated_at = %(now)s::timestamptz,
    version = version + 1
WHERE ticket_no = %(ticket_no)s::bigint AND state = %(old)s::text AND version = %(version)s::int
RETURNING version;

-- name: open_in_place
-- A ticket of another order kind in the place of one that was made void a statement ago.
INSERT INTO ticket (device_no, tenant_no, subject, cause, state, order_kind, severity, usability,
    fixer, component, title_sv, title_en, body_sv, body_en, user_sv, user_en, started_at,
    known_at, updated_at, state_at, is_active, rule_id, rule_version, confidence, detail,
    urgent_because, urgent_answer, replaces_no, repeats_no, incident_no)
SELECT device_no, tenant_no, subject, cause, %(state)s::text, %(order_kind)s::text, severity,
    usability, fixer, component, title_sv, title_en, body_sv, body_en, user_sv, user_en,
    started_at, known_at, %(now)s::timestamptz, %(now)s::timestamptz, is_active, rule_id,
    rule_version, confidence, detail, urgent_because, %(urgent_answer)s::text, ticket_no,
    repeats_no, incident_no
FROM ticket WHERE ticket_no = %(ticket_no)s::bigint
RETURNING ticket_no;

-- name: move_episodes
-- The evidence follows to the ticket that took the place.
UPDATE ticket_episode SET ticket_no = %(new_no)s::bigint WHERE ticket_no = %(old_no)s::bigint;

-- name: move_findings
-- The findings follow to the ticket that took the place.
UPDATE ticket_finding SET ticket_no = %(new_no)s::bigint WHERE ticket_no = %(old_no)s::bigint;

-- name: move_singles
-- The singles that a group ticket holds follow to the one that took its place.
UPDATE ticket SET incident_no = %(new_no)s::bigint WHERE incident_no = %(old_no)s::bigint;

-- name: is_of_one_centre
-- Whether the transaction sees the devices of one centre only.
SELECT coalesce(scope_reach() = 'centre', false);

-- name: insert_event
-- What a person did to one ticket, numbered on from what it has.
INSERT INTO ticket_event (ticket_no, event_no, at, kind, who, detail)
SELECT %(ticket_no)s::bigint, coalesce(max(event_no), 0) + 1, %(now)s::timestamptz, %(kind)s::text,
    %(who)s::text, %(detail)s::jsonb
FROM ticket_event WHERE ticket_no = %(ticket_no)s::bigint;

-- name: repeats
-- For each device and cause the newest repair that was done shortly before. What a user did
-- wrong is no repair. `state_at` is never before the repair, and spares older tickets a look.
SELECT wanted.device_no, wanted.cause, repaired.ticket_no
FROM unnest(%(devices)s::int[], %(causes)s::text[]) AS wanted (device_no, cause)
CROSS JOIN LATERAL (
    SELECT k.ticket_no, coalesce(solved.at, k.state_at) AS at
    FROM ticket AS k
    CROSS JOIN LATERAL (
        SELECT max(e.at) AS at FROM ticket_event AS e
        WHERE e.ticket_no = k.ticket_no AND e.kind = 'solved' AND e.at <= %(at)s::timestamptz
    ) AS solved
    WHERE k.device_no = wanted.device_no AND k.cause = wanted.cause
        AND k.state IN ('solved', 'verified', 'closed')
        AND k.outcome IS DISTINCT FROM 'user_error'
        AND k.state_at >= %(at)s::timestamptz - %(within)s::interval
        AND coalesce(solved.at, k.state_at)
            BETWEEN %(at)s::timestamptz - %(within)s::interval AND %(at)s::timestamptz
    ORDER BY at DESC, k.ticket_no DESC
    LIMIT 1
) AS repaired;

-- name: similar_cases
-- What became of tickets with the same cause on devices of the same class and tenant: the same
-- model first, then the newest.
SELECT k.ticket_no, d.id AS device_id, d.model_id,
    coalesce(d.model_id = own.model_id, false) AS is_same_model, k.title_sv, k.title_en,
    k.outcome, k.outcome_part AS part, k.outcome_minutes AS minutes, k.state_at AS ended_at,
    (SELECT e.detail ->> 'why' FROM ticket_event AS e
        WHERE e.ticket_no = k.ticket_no AND e.kind = 'solved'
        ORDER BY e.event_no DESC LIMIT 1) AS said
FROM ticket AS asked
LEFT JOIN device AS own ON own.device_no = asked.device_no
LEFT JOIN model AS own_model ON own_model.id = own.model_id
JOIN ticket AS k ON k.cause = asked.cause AND k.tenant_no = asked.tenant_no
    AND k.ticket_no <> asked.ticket_no
LEFT JOIN device AS d ON d.device_no = k.device_no
LEFT JOIN model AS m ON m.id = d.model_id
WHERE asked.ticket_no = %(ticket_no)s::bigint AND k.outcome IS NOT NULL
    AND k.state IN ('solved', 'verified', 'closed')
    AND m.device_class IS NOT DISTINCT FROM own_model.device_class
ORDER BY is_same_model DESC, k.state_at DESC, k.ticket_no DESC
LIMIT %(limit)s::int;

-- name: rule_outcomes
-- What the tickets of one rule came to.
SELECT outcome, count(*) FROM ticket
WHERE rule_id = %(rule_id)s::text AND outcome IS NOT NULL
    AND state IN ('solved', 'verified', 'closed')
    AND (%(version)s::int IS NULL OR rule_version = %(version)s::int)
GROUP BY outcome;
