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

-- name: delete_inbox
-- Work that is done.
DELETE FROM inbox WHERE inbox_no = ANY(%(inbox)s::bigint[]);

-- name: hold_inbox
-- Work to look at again: the row itself is the reminder, so a crash forgets nothing.
UPDATE inbox SET due_at = held.due_at
FROM unnest(%(inbox)s::bigint[], %(due_at)s::timestamptz[]) AS held (inbox_no, due_at)
WHERE inbox.inbox_no = held.inbox_no;

-- name: mark_for_agenda
-- Devices with new faults: all rules look at them when the day closes, and at once where more than
-- the faults is to be asked about: a repair that may not have held, a silence that is over.
INSERT INTO agenda (device_no, from_at, due_at)
SELECT taken.device_no, min(f.at), min(CASE
    WHEN EXISTS (SELECT FROM ticket WHERE ticket.device_no = taken.device_no
            AND ticket.state = 'solved')
        OR EXISTS (SELECT FROM finding WHERE finding.device_no = taken.device_no
            AND finding.about = 'contact' AND finding.ended_at IS NULL)
    THEN %(now)s::timestamptz
    ELSE %(closes_at)s::timestamptz + taken.device_no %% 7200 * interval '1 second'
END)
FROM unnest(%(devices)s::int[], %(epochs)s::text[], %(seqs)s::bigint[])
    AS taken (device_no, epoch, seq)
JOIN fault_event AS f USING (device_no, epoch, seq)
GROUP BY taken.device_no ORDER BY taken.device_no
ON CONFLICT (device_no) DO UPDATE
    SET from_at = least(agenda.from_at, EXCLUDED.from_at),
        due_at = least(agenda.due_at, EXCLUDED.due_at);

-- name: inbox_depth
-- How much work waits, counted up to a limit, and since when.
SELECT count(*), min(received_at) FROM (
    SELECT received_at FROM inbox WHERE due_at <= %(now)s::timestamptz
    ORDER BY due_at, inbox_no LIMIT %(limit)s::int
) AS waiting;
