-- name: take_inbox
-- The next work that is due, oldest first; another process skips what this one holds.
SELECT inbox_no, device_no, epoch, seq, received_at FROM inbox
WHERE due_at <= %(now)s::timestamptz
ORDER BY due_at, inbox_no
LIMIT %(limit)s::int
FOR UPDATE SKIP LOCKED;

-- name: lock_devices
-- One process at a time per device. The caller sorts, so that two never wait for each other.
SELECT pg_advisory_xact_lock(hashtext('diagnose_device'), device_no)
FROM unnest(%(devices)s::int[]) AS device_no;

-- name: devices
-- What routing and deliveries need to know of devices.
SELECT device.device_no, device.id, device.tenant_no, tenant.id, model.device_class
FROM unnest(%(devices)s::int[]) AS wanted (device_no)
JOIN device USING (device_no)
JOIN tenant USING (tenant_no)
JOIN model ON model.id = device.model_id;

-- name: touched_faults
-- The faults that records speak of, each with where to fold from (`fleet.episodes.reload_from`)
-- and the controller's total before that.
WITH taken AS (
    SELECT f.device_no, f.system, f.code, min(f.at) AS first_at
    FROM unnest(%(devices)s::int[], %(epochs)s::text[], %(seqs)s::bigint[])
        AS t (device_no, epoch, seq)
    JOIN fault_event AS f USING (device_no, epoch, seq)
    GROUP BY f.device_no, f.system, f.code
)
SELECT taken.device_no, taken.system, taken.code, reach.from_at, prior.count
FROM taken
CROSS JOIN LATERAL (
    SELECT least(taken.first_at, min(e.started_at)) AS from_at FROM episode AS e
    WHERE e.device_no = taken.device_no AND e.system = taken.system AND e.code = taken.code
        AND (e.ended_at IS NULL OR e.ended_at >= taken.first_at - %(flap_window)s::interval)
) AS reach
LEFT JOIN LATERAL (
    SELECT f.count FROM fault_event AS f
    WHERE f.device_no = taken.device_no AND f.system = taken.system AND f.code = taken.code
        AND f.state = 'logged' AND f.count IS NOT NULL AND f.at < reach.from_at
    ORDER BY f.at DESC, f.epoch DESC, f.seq DESC, f.idx DESC
    LIMIT 1
) AS prior ON true
ORDER BY taken.device_no, taken.system, taken.code;

-- name: fault_events
-- What devices reported of these faults from a time on; `nth` counts the faults from 1.
SELECT t.nth, f.at, f.epoch, f.seq, f.idx, f.state, f.count, f.received_at
FROM unnest(
    %(devices)s::int[], %(systems)s::text[], %(codes)s::text[], %(from_at)s::timestamptz[]
) WITH ORDINALITY AS t (device_no, system, code, from_at, nth)
CROSS JOIN LATERAL (
    SELECT * FROM fault_event AS e
    WHERE e.device_no = t.device_no AND e.system = t.system AND e.code = t.code
        AND e.at >= t.from_at
) AS f;

-- name: episodes_from
-- Stored episodes of these faults that start at a time or later.
SELECT t.nth, e.episode_no, e.started_at, e.last_at, e.ended_at, e.raised_n, e.cleared_n,
    e.logged_n, e.first_received_at
FROM unnest(
    %(devices)s::int[], %(systems)s::text[], %(codes)s::text[], %(from_at)s::timestamptz[]
) WITH ORDINALITY AS t (device_no, system, code, from_at, nth)
CROSS JOIN LATERAL (
    SELECT * FROM episode AS o
    WHERE o.device_no = t.device_no AND o.system = t.system AND o.code = t.code
        AND o.started_at >= t.from_at
) AS e;

-- name: hand_over_links
-- Before episodes vanish into others, their tickets follow.
INSERT INTO ticket_episode (ticket_no, episode_no)
SELECT DISTINCT link.ticket_no, gone.heir_no
FROM unnest(%(gone)s::bigint[], %(heirs)s::bigint[]) AS gone (episode_no, heir_no)
JOIN ticket_episode AS link USING (episode_no)
WHERE gone.heir_no IS NOT NULL
ON CONFLICT DO NOTHING;

-- name: delete_episodes
-- Episodes that later knowledge has merged into others.
DELETE FROM episode WHERE episode_no = ANY(%(gone)s::bigint[]);

-- name: update_episodes
-- What changed of episodes that stay themselves.
UPDATE episode SET
    started_at = changed.started_at,
    last_at = changed.last_at,
    ended_at = changed.ended_at,
    raised_n = changed.raised_n,
    cleared_n = changed.cleared_n,
    logged_n = changed.logged_n,
    first_received_at = changed.first_received_at
FROM unnest(
    %(episode_no)s::bigint[], %(started_at)s::timestamptz[], %(last_at)s::timestamptz[],
    %(ended_at)s::timestamptz[], %(raised_n)s::int[], %(cleared_n)s::int[],
    %(logged_n)s::bigint[], %(first_received_at)s::timestamptz[]
) AS changed (
    episode_no, started_at, last_at, ended_at, raised_n, cleared_n, logged_n, first_received_at
)
WHERE episode.episode_no = changed.episode_no;

-- name: insert_episodes
-- Episodes seen for the first time.
INSERT INTO episode (device_no, system, code, started_at, last_at, ended_at, raised_n,
    cleared_n, logged_n, first_received_at)
SELECT * FROM unnest(
    %(device_no)s::int[], %(system)s::text[], %(code)s::text[], %(started_at)s::timestamptz[],
    %(last_at)s::timestamptz[], %(ended_at)s::timestamptz[], %(raised_n)s::int[],
    %(cleared_n)s::int[], %(logged_n)s::bigint[], %(first_received_at)s::timestamptz[]
)
RETURNING device_no, system, code, started_at, episode_no;

-- name: open_tickets
-- Open tickets of these causes, held against people until COMMIT.
SELECT ticket.ticket_no, ticket.device_no, ticket.cause, ticket.state, ticket.order_kind,
    ticket.severity, ticket.usability, ticket.fixer, ticket.component, ticket.title_sv,
    ticket.title_en, ticket.body_sv, ticket.body_en, ticket.started_at, ticket.known_at,
    ticket.state_at, ticket.is_active, ticket.version
FROM ticket
JOIN unnest(%(devices)s::int[], %(causes)s::text[]) AS wanted (device_no, cause)
    USING (device_no, cause)
WHERE ticket.state NOT IN ('verified', 'closed', 'void')
ORDER BY ticket.ticket_no
FOR UPDATE OF ticket;

-- name: linked_episodes
-- The evidence that tickets already have.
SELECT link.ticket_no, e.episode_no, e.system, e.code, e.started_at, e.last_at, e.ended_at,
    e.raised_n, e.cleared_n, e.logged_n, e.first_received_at
FROM ticket_episode AS link JOIN episode AS e USING (episode_no)
WHERE link.ticket_no = ANY(%(tickets)s::bigint[]);

-- name: settled_episodes
-- Episodes that a finished ticket was about: the last such ticket's state, and since when.
SELECT DISTINCT ON (link.episode_no) link.episode_no, ticket.state, ticket.state_at
FROM ticket_episode AS link JOIN ticket USING (ticket_no)
WHERE link.episode_no = ANY(%(episodes)s::bigint[])
    AND ticket.state IN ('verified', 'closed', 'void')
ORDER BY link.episode_no, ticket.state_at DESC, ticket.ticket_no DESC;

-- name: insert_tickets
-- New tickets; where another writer was first there is no row back.
INSERT INTO ticket (device_no, tenant_no, cause, order_kind, severity, usability, fixer,
    component, title_sv, title_en, body_sv, body_en, started_at, known_at, is_active,
    updated_at, state_at)
SELECT t.*, %(now)s::timestamptz, %(now)s::timestamptz FROM unnest(
    %(device_no)s::int[], %(tenant_no)s::int[], %(cause)s::text[], %(order_kind)s::text[],
    %(severity)s::text[], %(usability)s::text[], %(fixer)s::text[], %(component)s::text[],
    %(title_sv)s::text[], %(title_en)s::text[], %(body_sv)s::text[], %(body_en)s::text[],
    %(started_at)s::timestamptz[], %(known_at)s::timestamptz[], %(is_active)s::boolean[]
) AS t
ON CONFLICT (device_no, cause) WHERE state NOT IN ('verified', 'closed', 'void') DO NOTHING
RETURNING device_no, cause, ticket_no;

-- name: update_tickets
-- What changed of open tickets; the caller holds their rows.
UPDATE ticket SET
    state = changed.state,
    state_at = CASE WHEN ticket.state = changed.state THEN ticket.state_at
        ELSE %(now)s::timestamptz END,
    order_kind = changed.order_kind,
    severity = changed.severity,
    usability = changed.usability,
    fixer = changed.fixer,
    component = changed.component,
    title_sv = changed.title_sv,
    title_en = changed.title_en,
    body_sv = changed.body_sv,
    body_en = changed.body_en,
    started_at = changed.started_at,
    known_at = changed.known_at,
    is_active = changed.is_active,
    updated_at = %(now)s::timestamptz,
    version = ticket.version + 1
FROM unnest(
    %(ticket_no)s::bigint[], %(state)s::text[], %(order_kind)s::text[], %(severity)s::text[],
    %(usability)s::text[], %(fixer)s::text[], %(component)s::text[], %(title_sv)s::text[],
    %(title_en)s::text[], %(body_sv)s::text[], %(body_en)s::text[],
    %(started_at)s::timestamptz[], %(known_at)s::timestamptz[], %(is_active)s::boolean[]
) AS changed (
    ticket_no, state, order_kind, severity, usability, fixer, component, title_sv, title_en,
    body_sv, body_en, started_at, known_at, is_active
)
WHERE ticket.ticket_no = changed.ticket_no;

-- name: link_episodes
-- New evidence of tickets.
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
FROM unnest(%(tickets)s::bigint[], %(kinds)s::text[], %(details)s::jsonb[])
    WITH ORDINALITY AS happened (ticket_no, kind, detail, nth);

-- name: insert_outbox
-- What must leave the house because of this pass.
INSERT INTO outbox (aggregate, kind, payload, created_at, next_try_at)
SELECT t.aggregate, t.kind, t.payload, %(now)s::timestamptz, %(now)s::timestamptz
FROM unnest(%(aggregates)s::text[], %(kinds)s::text[], %(payloads)s::jsonb[])
    AS t (aggregate, kind, payload);

-- name: delete_inbox
-- Work that is done.
DELETE FROM inbox WHERE inbox_no = ANY(%(inbox)s::bigint[]);

-- name: hold_inbox
-- Work to look at again: the row itself is the reminder, so a crash forgets nothing.
UPDATE inbox SET due_at = held.due_at
FROM unnest(%(inbox)s::bigint[], %(due_at)s::timestamptz[]) AS held (inbox_no, due_at)
WHERE inbox.inbox_no = held.inbox_no;

-- name: inbox_depth
-- How much work waits, counted up to a limit, and since when.
SELECT count(*), min(received_at) FROM (
    SELECT received_at FROM inbox WHERE due_at <= %(now)s::timestamptz
    ORDER BY due_at, inbox_no LIMIT %(limit)s::int
) AS waiting;
