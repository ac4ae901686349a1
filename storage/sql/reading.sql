-- name: pick_devices
-- The next devices by id, after a given one.
SELECT device_no FROM device
WHERE id > %(after)s::text
ORDER BY id
LIMIT %(limit)s::int;

-- name: pick_devices_matching
-- The next devices whose id, individual number or serial starts with a text, in lower case.
SELECT device_no FROM find_devices(%(pattern)s::text, %(after)s::text, %(limit)s::int);

-- name: device_no_of
-- The number of one device.
SELECT device_no FROM device WHERE id = %(device_id)s::text;

-- name: devices_by_no
-- Devices with what is known of them now, by id.
SELECT d.device_no, d.id, t.id AS tenant_id, c.name AS centre_name, d.model_id, m.device_class,
    m.maker, m.name AS model_name, d.status, d.serial, d.individual_no, d.created_at,
    s.is_online, s.clock, s.skew_ms, s.fw, s.hw, s.boot, s.born_at, s.changed_at,
    greatest(s.changed_at, (SELECT max(l.last_at) FROM ledger l WHERE l.device_no = d.device_no))
        AS last_contact_at,
    (SELECT count(*) FROM ticket k WHERE k.device_no = d.device_no
        AND k.state NOT IN ('verified', 'closed', 'void')) AS open_ticket_n
FROM device d
JOIN tenant t ON t.tenant_no = d.tenant_no
JOIN model m ON m.id = d.model_id
LEFT JOIN centre c ON c.centre_no = d.centre_no
LEFT JOIN device_state s ON s.device_no = d.device_no
WHERE d.device_no = ANY(%(device_nos)s::int[])
ORDER BY d.id;

-- name: latest_values
-- The newest value of every metric of one device.
SELECT m.name AS metric, l.at, l.value
FROM latest l JOIN metric m ON m.metric_no = l.metric_no
WHERE l.device_no = %(device_no)s::int
ORDER BY m.name
LIMIT 1000;

-- name: metric_no_of
-- The number of one metric.
SELECT metric_no FROM metric WHERE name = %(metric)s::text;

-- name: raw_samples
-- Samples of one metric in a half-open range, oldest first; one more than allowed tells too many.
SELECT at, value, clock FROM seen_samples(%(device_no)s::int, %(metric_no)s::int,
    %(low)s::timestamptz, %(high)s::timestamptz, %(limit)s::int);

-- name: hourly_samples
-- Hourly rollups of one metric in a half-open range, oldest first.
SELECT at, sample_n, min, max, sum, last FROM seen_hours(%(device_no)s::int,
    %(metric_no)s::int, %(low)s::timestamptz, %(high)s::timestamptz, %(limit)s::int);

-- name: faults
-- The faults one device reported in a range, newest first, after a given one.
SELECT epoch, seq, idx, system, code, state, count, at, device_at, received_at, clock, ctx
FROM fault_event
WHERE device_no = %(device_no)s::int
    AND at >= %(low)s::timestamptz AND at < %(high)s::timestamptz
    AND (at, epoch, seq, idx)
        < (%(after_at)s::timestamptz, %(after_epoch)s::text, %(after_seq)s::bigint,
            %(after_idx)s::int)
ORDER BY at DESC, epoch DESC, seq DESC, idx DESC
LIMIT %(limit)s::int;

-- name: pick_open_tickets_of
-- Open tickets of one device, the worst and oldest first.
SELECT ticket_no FROM ticket
WHERE device_no = %(device_no)s::int AND state NOT IN ('verified', 'closed', 'void')
ORDER BY array_position(ARRAY['critical', 'major', 'minor', 'info'], severity), known_at, ticket_no
LIMIT %(limit)s::int;

-- name: pick_ended_tickets_of
-- Tickets of one device that are over, the newest first.
SELECT ticket_no FROM ticket
WHERE device_no = %(device_no)s::int AND state IN ('verified', 'closed', 'void')
ORDER BY known_at DESC, ticket_no DESC
LIMIT %(limit)s::int;

-- name: tickets_by_no
-- Tickets with their deadlines and links, in the order asked for. One about a group has no
-- device, and counts those it speaks for. Whatever took a ticket's place has the same device, so
-- that device's tickets are searched; for a group the history names it.
SELECT k.ticket_no, k.device_no, d.id AS device_id, d.individual_no, d.model_id, m.device_class,
    m.maker, m.name AS model_name, c.name AS centre_name, k.subject, k.cause, k.state, k.state_at,
    k.order_kind, k.severity, k.usability, k.fixer, k.component, k.title_sv, k.title_en, k.user_sv,
    k.user_en, k.started_at, k.known_at, k.updated_at, k.is_active, k.version, k.rule_id,
    k.rule_version, k.confidence, k.assignee, k.waiting_reason, k.urgent_because, k.urgent_answer,
    k.outcome, k.outcome_part, k.outcome_minutes, k.replaces_no, k.repeats_no, k.incident_no,
    k.policy_id, k.policy_version, k.policy_clause,
    CASE WHEN k.device_no IS NULL
        THEN (SELECT max((e.detail ->> 'replaced_by')::bigint) FROM ticket_event e
            WHERE e.ticket_no = k.ticket_no)
        ELSE (SELECT max(n.ticket_no) FROM ticket n
            WHERE n.device_no = k.device_no AND n.replaces_no = k.ticket_no)
        END AS replaced_by_no,
    (SELECT max(n.ticket_no) FROM ticket n
        WHERE n.device_no = k.device_no AND n.repeats_no = k.ticket_no) AS repeated_by_no,
    CASE WHEN k.device_no IS NULL THEN (
        SELECT count(DISTINCT f.device_no) FROM ticket_finding l JOIN finding f USING (finding_no)
        WHERE l.ticket_no = k.ticket_no) END AS member_n,
    s.due_at AS start_due_at, s.stopped_at AS start_stopped_at, s.breached_at AS start_breached_at,
    e.due_at AS finish_due_at, e.stopped_at AS finish_stopped_at,
    e.breached_at AS finish_breached_at
FROM unnest(%(tickets)s::bigint[]) WITH ORDINALITY AS wanted (ticket_no, nth)
JOIN ticket k USING (ticket_no)
LEFT JOIN device d ON d.device_no = k.device_no
LEFT JOIN model m ON m.id = d.model_id
LEFT JOIN centre c ON c.centre_no = d.centre_no
LEFT JOIN ticket_clock s ON s.ticket_no = k.ticket_no AND s.clock = 'start'
LEFT JOIN ticket_clock e ON e.ticket_no = k.ticket_no AND e.clock = 'finish'
ORDER BY wanted.nth;

-- name: ticket_body
-- The long texts of one ticket.
SELECT body_sv, body_en FROM ticket WHERE ticket_no = %(ticket_no)s::bigint;

-- name: ticket_findings
-- What one ticket rests on, the newest first. Of a ticket about a group only what was concluded
-- about the group: its members are listed by themselves.
SELECT f.finding_no, d.id AS device_id, d.individual_no, f.subject, f.rule_id, f.rule_version,
    f.about, f.cause, f.need, f.severity, f.usability, f.fixer, f.component, f.started_at,
    f.last_at, f.ended_at, f.known_at, f.occurrence_n, f.confidence, f.detail
FROM ticket k
JOIN ticket_finding l USING (ticket_no)
JOIN finding f ON f.finding_no = l.finding_no
    AND f.device_no IS NOT DISTINCT FROM k.device_no
LEFT JOIN device d ON d.device_no = f.device_no
WHERE k.ticket_no = %(ticket_no)s::bigint
ORDER BY f.last_at DESC, f.finding_no DESC
LIMIT %(limit)s::int;

-- name: ticket_members
-- The devices that a group's ticket speaks for, with the single ticket it took over. First those
-- whose users cannot do without them.
SELECT d.id AS device_id, d.individual_no, m.maker, m.name AS model_name, c.name AS centre_name,
    coalesce(cardinality(loan.basic_needs) > 0, false) AS is_contacted_first, f.finding_no,
    f.started_at, f.ended_at,
    (SELECT max(single.ticket_no) FROM ticket single
        WHERE single.incident_no = %(ticket_no)s::bigint
        AND single.device_no = f.device_no) AS ticket_no
FROM (
    SELECT DISTINCT ON (f.device_no) f.device_no, f.finding_no, f.started_at, f.ended_at
    FROM ticket_finding l JOIN finding f USING (finding_no)
    WHERE l.ticket_no = %(ticket_no)s::bigint AND f.device_no IS NOT NULL
    ORDER BY f.device_no, f.started_at DESC, f.finding_no DESC
) f
JOIN device d ON d.device_no = f.device_no
JOIN model m ON m.id = d.model_id
LEFT JOIN centre c ON c.centre_no = d.centre_no
LEFT JOIN loan ON loan.device_no = f.device_no AND loan.ended_at IS NULL
ORDER BY coalesce(cardinality(loan.basic_needs), 0) DESC, d.id
LIMIT %(limit)s::int;

-- name: rule_body
-- The text of one version of a rule, as it was checked.
SELECT body FROM rule_version
WHERE rule_id = %(rule_id)s::text AND version = %(version)s::int;

-- name: findings
-- What rules concluded, the newest first, before a given one. What belongs to care is not here.
SELECT f.finding_no, d.id AS device_id, d.individual_no, f.subject, f.rule_id, f.rule_version,
    f.about, f.cause, f.need, f.severity, f.usability, f.fixer, f.component, f.started_at,
    f.last_at, f.ended_at, f.known_at, f.occurrence_n, f.confidence, f.detail
FROM finding f
LEFT JOIN device d ON d.device_no = f.device_no
WHERE f.finding_no < %(before_no)s::bigint AND f.need <> 'care'
    AND (%(device_no)s::int IS NULL OR f.device_no = %(device_no)s::int)
    AND (%(rule_id)s::text IS NULL OR f.rule_id = %(rule_id)s::text)
    AND (%(is_open)s::boolean IS NULL OR (f.ended_at IS NULL) = %(is_open)s::boolean)
ORDER BY f.finding_no DESC
LIMIT %(limit)s::int;

-- name: ticket_events
-- What happened to one ticket, in order; of a long history the newest.
SELECT event_no, at, kind, who, detail FROM (
    SELECT event_no, at, kind, who, detail FROM ticket_event
    WHERE ticket_no = %(ticket_no)s::bigint
    ORDER BY event_no DESC LIMIT %(limit)s::int
) AS newest
ORDER BY event_no;

-- name: ticket_episodes
-- The fault episodes one ticket rests on, oldest first; of many the newest.
SELECT * FROM (
    SELECT e.episode_no, e.system, e.code, e.started_at, e.last_at, e.ended_at, e.raised_n,
        e.cleared_n, e.logged_n, e.first_received_at
    FROM ticket_episode te JOIN episode e ON e.episode_no = te.episode_no
    WHERE te.ticket_no = %(ticket_no)s::bigint
    ORDER BY e.started_at DESC, e.episode_no DESC LIMIT 100
) AS newest
ORDER BY started_at, episode_no;

-- name: ticket_faults
-- The reported faults inside the episodes of one ticket, newest first.
SELECT f.epoch, f.seq, f.idx, f.system, f.code, f.state, f.count, f.at, f.device_at,
    f.received_at, f.clock, f.ctx
FROM ticket_episode te
JOIN episode e ON e.episode_no = te.episode_no
JOIN fault_event f ON f.device_no = e.device_no AND f.system = e.system AND f.code = e.code
    AND f.at >= e.started_at AND f.at <= coalesce(e.ended_at, 'infinity')
WHERE te.ticket_no = %(ticket_no)s::bigint
ORDER BY f.at DESC, f.epoch DESC, f.seq DESC, f.idx DESC
LIMIT %(limit)s::int;

-- name: intake_totals
-- The loss equation, one row for each way in, and how long its last records were under way; of
-- the caller's tenant where several share.
SELECT source, received_n, stored_n, duplicate_n, quarantined_n, state_n, updated_at,
    receipt_delay_s, age_s
FROM intake_sums()
ORDER BY source;

-- name: quarantine_totals
-- How many messages were quarantined for each reason since the beginning. What replays have taken
-- out again is a line of its own, and negative. Where several tenants share, the caller's own.
SELECT reason, message_n FROM quarantine_sums()
WHERE message_n <> 0
ORDER BY message_n DESC, reason;

-- name: ledgers_of
-- The ledger of one device, the newest epoch first.
SELECT epoch, received::text AS received, lost::text AS lost, received_n, stored_n, duplicate_n,
    quarantined_n, is_gapped, first_at, last_at
FROM ledger
WHERE device_no = %(device_no)s::int
ORDER BY last_at DESC, epoch
LIMIT 100;

-- name: gaps_of
-- The gaps of one device, the newest first. One that closed before anybody was asked was two
-- lanes overtaking each other.
SELECT g.gap_no, d.id AS device_id, d.individual_no, g.epoch, g.low, g.high, g.opened_at,
    g.asked_n, g.asked_at, g.closed_at, g.closed_as
FROM gap g JOIN device d ON d.device_no = g.device_no
WHERE g.device_no = %(device_no)s::int
    AND (g.closed_at IS NULL OR g.asked_n > 0 OR g.closed_as = 'lost_on_device')
ORDER BY g.opened_at DESC, g.gap_no DESC
LIMIT %(limit)s::int;

-- name: open_gaps
-- Gaps that are still open, the oldest first.
SELECT g.gap_no, d.id AS device_id, d.individual_no, g.epoch, g.low, g.high, g.opened_at,
    g.asked_n, g.asked_at, g.closed_at, g.closed_as
FROM gap g JOIN device d ON d.device_no = g.device_no
WHERE g.closed_at IS NULL
ORDER BY g.opened_at, g.gap_no
LIMIT %(limit)s::int;

-- name: lost_gaps
-- Gaps that ended with records lost on the device, the newest first.
SELECT g.gap_no, d.id AS device_id, d.individual_no, g.epoch, g.low, g.high, g.opened_at,
    g.asked_n, g.asked_at, g.closed_at, g.closed_as
FROM gap g JOIN device d ON d.device_no = g.device_no
WHERE g.closed_as = 'lost_on_device'
ORDER BY g.closed_at DESC, g.gap_no DESC
LIMIT %(limit)s::int;

-- name: gap_counts
-- How many gaps are open, and how many records were lost on devices since a time.
SELECT
    (SELECT count(*) FROM gap WHERE closed_at IS NULL) AS open_n,
    (SELECT coalesce(sum(high - low + 1), 0)::bigint FROM gap WHERE closed_at IS NULL)
        AS missing_n,
    (SELECT coalesce(sum(high - low + 1), 0)::bigint FROM gap
        WHERE closed_as = 'lost_on_device' AND closed_at >= %(since)s::timestamptz)
        AS lost_n;

-- name: quarantined
-- Quarantined messages in order of first receipt, the newest first, before a given one.
SELECT quarantine_no, reason, detail, substring(topic FOR 300) AS topic, tenant_id, device_id,
    content_type, substring(payload FOR 4096) AS payload, payload_size, epoch, seq, message_n,
    received_at, last_at, replayed_at, replayed_as,
    (SELECT m.device_class FROM device d JOIN model m ON m.id = d.model_id
        WHERE d.id = quarantine.device_id) AS device_class
FROM quarantine
WHERE quarantine_no < %(before_no)s::bigint
    AND (%(reason)s::text IS NULL OR reason = %(reason)s::text)
    AND (%(device_id)s::text IS NULL OR device_id = %(device_id)s::text)
ORDER BY quarantine_no DESC
LIMIT %(limit)s::int;

-- name: quarantined_message
-- One quarantined message, whole.
SELECT quarantine_no, reason, detail, topic, tenant_id, device_id, content_type, payload,
    payload_size, epoch, seq, message_n, received_at, last_at, replayed_at, replayed_as,
    (SELECT m.device_class FROM device d JOIN model m ON m.id = d.model_id
        WHERE d.id = quarantine.device_id) AS device_class
FROM quarantine
WHERE quarantine_no = %(quarantine_no)s::bigint;

-- name: backlog
-- What waits to be worked on. Counts stop at a limit: more than that is only `many`.
SELECT dirty_hour_n, dirty_oldest_at, inbox_n, inbox_oldest_at, outbox_n, slots_held_n, slot_n
FROM waiting_work(%(limit)s::int);
