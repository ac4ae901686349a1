-- name: open_tickets
-- Open tickets of these causes, held against people until COMMIT.
SELECT ticket.ticket_no, ticket.device_no, ticket.cause, ticket.state, ticket.order_kind,
    ticket.severity, ticket.usability, ticket.fixer, ticket.component, ticket.title_sv,
    ticket.title_en, ticket.body_sv, ticket.body_en, ticket.user_sv, ticket.user_en,
    ticket.started_at, ticket.known_at, ticket.state_at, ticket.is_active, ticket.rule_id,
    ticket.rule_version, ticket.confidence, ticket.urgent_because, ticket.detail,
    ticket.version
FROM ticket
JOIN unnest(%(devices)s::int[], %(causes)s::text[]) AS wanted (device_no, cause)
    USING (device_no, cause)
WHERE ticket.state NOT IN ('verified', 'closed', 'void')
ORDER BY ticket.ticket_no
FOR UPDATE OF ticket;

-- name: open_group_ticket
-- The open ticket about a group or, where it has none, about another group of its family; held
-- against people until COMMIT.
SELECT ticket_no, state, version, subject FROM ticket
WHERE device_no IS NULL AND tenant_no = %(tenant_no)s AND cause = %(cause)s
    AND (subject = %(family)s::text OR starts_with(subject, %(family)s::text || '/')
        OR subject = %(subject)s::text)
    AND state NOT IN ('verified', 'closed', 'void')
ORDER BY subject <> %(subject)s::text, ticket_no
LIMIT 1
FOR UPDATE;

-- name: insert_tickets
-- New tickets about devices; where another writer was first there is no row back.
INSERT INTO ticket (device_no, tenant_no, subject, replaces_no, repeats_no, cause, order_kind,
    severity, usability, fixer, component, rule_id, title_sv, title_en, body_sv, body_en,
    user_sv, user_en, started_at, known_at, is_active, rule_version, confidence, urgent_because,
    detail, updated_at, state_at)
SELECT device_no, tenant_no, subject, replaces_no, repeats_no, cause, order_kind, severity,
    usability, fixer, component, rule_id, title_sv, title_en, body_sv, body_en, user_sv, user_en,
    started_at, known_at, is_active, rule_version, confidence,
    ARRAY(SELECT jsonb_array_elements_text(urgent)), detail,
    %(now)s::timestamptz, %(now)s::timestamptz
FROM unnest(
    %(device_no)s::int[], %(tenant_no)s::int[], %(subject)s::text[], %(replaces_no)s::bigint[],
    %(repeats_no)s::bigint[], %(cause)s::text[], %(order_kind)s::text[], %(severity)s::text[],
    %(usability)s::text[], %(fixer)s::text[], %(component)s::text[], %(rule_id)s::text[],
    %(title_sv)b::text[], %(title_en)b::text[], %(body_sv)b::text[], %(body_en)b::text[],
    %(user_sv)b::text[], %(user_en)b::text[], %(started_at)s::timestamptz[],
    %(known_at)s::timestamptz[], %(is_active)s::boolean[], %(rule_version)s::int[],
    %(confidence)s::float8[], %(urgent_because)s::jsonb[], %(detail)b::jsonb[]
) AS t (device_no, tenant_no, subject, replaces_no, repeats_no, cause, order_kind, severity,
    usability, fixer, component, rule_id, title_sv, title_en, body_sv, body_en, user_sv, user_en,
    started_at, known_at, is_active, rule_version, confidence, urgent, detail)
ON CONFLICT DO NOTHING
RETURNING coalesce(device_no, 0), subject, cause, ticket_no;

-- name: update_tickets
-- What changed of open tickets; the caller holds their rows. The order kind is not among it.
UPDATE ticket SET
    state = changed.state,
    state_at = CASE WHEN ticket.state = changed.state THEN ticket.state_at
        ELSE %(now)s::timestamptz END,
    is_withdrawn = changed.state = 'void',
    waiting_reason = CASE WHEN changed.state = 'waiting' THEN ticket.waiting_reason END,
    severity = changed.severity,
    usability = changed.usability,
    fixer = changed.fixer,
    component = changed.component,
    rule_id = changed.rule_id,
    rule_version = changed.rule_version,
    confidence = changed.confidence,
    urgent_because = ARRAY(SELECT jsonb_array_elements_text(changed.urgent)),
    detail = changed.detail,
    title_sv = changed.title_sv,
    title_en = changed.title_en,
    body_sv = changed.body_sv,
    body_en = changed.body_en,
    user_sv = changed.user_sv,
    user_en = changed.user_en,
    started_at = changed.started_at,
    known_at = changed.known_at,
    is_active = changed.is_active,
    incident_no = coalesce(changed.incident_no, ticket.incident_no),
    updated_at = %(now)s::timestamptz,
    version = ticket.version + 1
FROM unnest(
    %(ticket_no)s::bigint[], %(state)s::text[], %(severity)s::text[], %(usability)s::text[],
    %(fixer)s::text[], %(component)s::text[], %(rule_id)s::text[], %(title_sv)b::text[],
    %(title_en)b::text[], %(body_sv)b::text[], %(body_en)b::text[], %(user_sv)b::text[],
    %(user_en)b::text[], %(started_at)s::timestamptz[], %(known_at)s::timestamptz[],
    %(is_active)s::boolean[], %(rule_version)s::int[], %(confidence)s::float8[],
    %(urgent_because)s::jsonb[], %(detail)b::jsonb[], %(incident_no)s::bigint[]
) AS changed (
    ticket_no, state, severity, usability, fixer, component, rule_id, title_sv, title_en,
    body_sv, body_en, user_sv, user_en, started_at, known_at, is_active, rule_version,
    confidence, urgent, detail, incident_no
)
WHERE ticket.ticket_no = changed.ticket_no;

-- name: void_singles
-- Tickets of single devices that an incident takes over; the caller holds their rows.
UPDATE ticket SET state = 'void', state_at = %(now)s::timestamptz,
    is_withdrawn = true, incident_no = %(incident_no)s::bigint, updated_at = %(now)s::timestamptz,
    version = version + 1
WHERE ticket_no = ANY(%(tickets)s::bigint[]);

-- name: drop_other_episodes
-- Episodes that tickets no longer rest on.
DELETE FROM ticket_episode AS link
WHERE link.ticket_no = ANY(%(all_tickets)s::bigint[]) AND NOT EXISTS (
    SELECT FROM unnest(%(tickets)s::bigint[], %(episodes)s::bigint[]) AS kept (ticket_no, episode_no)
    WHERE kept.ticket_no = link.ticket_no AND kept.episode_no = link.episode_no
);

-- name: link_episodes
-- The episodes that tickets rest on.
INSERT INTO ticket_episode (ticket_no, episode_no)
SELECT * FROM unnest(%(tickets)s::bigint[], %(episodes)s::bigint[])
ON CONFLICT DO NOTHING;

-- name: insert_ticket_events
-- What happened to tickets, numbered on from what each already has.
INSERT INTO ticket_event (ticket_no, event_no, at, kind, who, detail)
SELECT happened.ticket_no,
    coalesce((SELECT max(e.event_no) FROM ticket_event AS e
        WHERE e.ticket_no = happened.ticket_no), 0)
        + row_number() OVER (PARTITION BY happened.ticket_no ORDER BY happened.nth),
    %(now)s::timestamptz, happened.kind, %(who)s::text, happened.detail
FROM unnest(%(tickets)s::bigint[], %(kinds)s::text[], %(details)b::jsonb[])
    WITH ORDINALITY AS happened (ticket_no, kind, detail, nth);

-- name: insert_outbox
-- What must leave the house because of this pass.
INSERT INTO outbox (aggregate, kind, payload, created_at, next_try_at)
SELECT t.aggregate, t.kind, t.payload, %(now)s::timestamptz, %(now)s::timestamptz
FROM unnest(%(aggregates)s::text[], %(kinds)s::text[], %(payloads)b::jsonb[])
    AS t (aggregate, kind, payload);
