-- name: own_loans
-- The caller's current loans, the newest first: a patient's own, or those that a unit prescribed.
SELECT loan_no, device_no, device_id, started_at FROM own_loans(%(limit)s::int)
ORDER BY started_at DESC, loan_no DESC;

-- name: own_loan_of
-- The caller's current loan of one device; no row where it is not theirs.
SELECT loan_no, device_no, device_id, started_at FROM own_loans(%(limit)s::int)
WHERE device_id = %(device)s::text;

-- name: sharing
-- When a loan did not share what safety does not need, the newest first.
SELECT from_at, until_at FROM sharing_choice
WHERE loan_no = %(loan_no)s::bigint
ORDER BY from_at DESC, choice_no DESC LIMIT %(limit)s::int;

-- name: stop_sharing
-- From now on; again where it is stopped already changes nothing. A row where it is stopped now.
WITH stopped AS (
    INSERT INTO sharing_choice (loan_no, from_at)
    SELECT %(loan_no)s::bigint, %(now)s::timestamptz
    WHERE (SELECT count(*) FROM sharing_choice WHERE loan_no = %(loan_no)s::bigint) < %(most)s::int
    ON CONFLICT (loan_no) WHERE until_at IS NULL DO NOTHING
    RETURNING loan_no
)
SELECT loan_no FROM stopped
UNION ALL
SELECT loan_no FROM sharing_choice WHERE loan_no = %(loan_no)s::bigint AND until_at IS NULL;

-- name: share_again
-- Until now; what was not shared before stays so.
UPDATE sharing_choice SET until_at = greatest(from_at, %(now)s::timestamptz)
WHERE loan_no = %(loan_no)s::bigint AND until_at IS NULL;

-- name: unshared_times
-- When the loans of these devices did not share, for the rules; most devices have no row.
SELECT l.device_no, c.from_at, least(c.until_at, l.ended_at)
FROM sharing_choice AS c JOIN loan AS l USING (loan_no)
WHERE l.device_no = ANY(%(devices)s::int[])
    AND c.from_at < coalesce(least(c.until_at, l.ended_at), 'infinity')
ORDER BY l.device_no, c.from_at;

-- name: answer
-- What somebody said of a step; the row comes back only where that is new.
INSERT INTO self_help_answer AS a (loan_no, ticket_no, step, helped, at)
VALUES (%(loan_no)s::bigint, %(ticket_no)s::bigint, %(step)s::text, %(helped)s::boolean,
    %(now)s::timestamptz)
ON CONFLICT (loan_no, ticket_no, step) DO UPDATE SET helped = EXCLUDED.helped, at = EXCLUDED.at
WHERE a.helped <> EXCLUDED.helped
RETURNING answer_no;

-- name: answers
-- What was said of the steps of one loan.
SELECT ticket_no, step, helped, at FROM self_help_answer
WHERE loan_no = %(loan_no)s::bigint
ORDER BY at DESC LIMIT 500;

-- name: blocks
-- Units that the caller keeps out now.
SELECT block_no, care_unit, kept_unit, from_at FROM block
WHERE until_at IS NULL
ORDER BY from_at DESC, block_no DESC LIMIT 200;

-- name: add_block
-- Keep a unit out, or all but one; again where it is kept out already changes nothing. A row where
-- it is kept out now.
WITH added AS (
    INSERT INTO block (tenant_no, person, care_unit, kept_unit, from_at)
    SELECT scope_tenant(), scope_key(), %(care_unit)s::text, %(kept_unit)s::text,
        %(now)s::timestamptz
    WHERE (SELECT count(*) FROM block WHERE until_at IS NULL) < %(most)s::int
    ON CONFLICT (tenant_no, person, coalesce(care_unit, ''), coalesce(kept_unit, ''))
        WHERE until_at IS NULL DO NOTHING
    RETURNING block_no
)
SELECT block_no FROM added
UNION ALL
SELECT block_no FROM block
WHERE until_at IS NULL AND care_unit IS NOT DISTINCT FROM %(care_unit)s::text
    AND kept_unit IS NOT DISTINCT FROM %(kept_unit)s::text;

-- name: end_block
-- Let a unit in again.
UPDATE block SET until_at = greatest(from_at, %(now)s::timestamptz)
WHERE block_no = %(block_no)s::bigint AND until_at IS NULL
RETURNING block_no;

-- name: own_units
-- The units that prescribed the caller's current loans.
SELECT DISTINCT p.care_unit FROM person_link AS p JOIN own_loans(%(limit)s::int) AS o USING (loan_no)
WHERE p.care_unit IS NOT NULL ORDER BY p.care_unit;

-- name: blocked_loan_n
-- How many loans of the caller's unit are kept from the caller.
SELECT blocked_loan_n();

-- name: override_block
-- Past the block of one device's loan for a while; its id, or nothing where no block is.
SELECT override_block(%(individual)s::text, %(why)s::text, %(length)s::interval);

-- name: notices
-- Deadlines of these devices' open tickets for which a notice to the prescriber was drafted.
SELECT k.ticket_no, c.clock, c.notified_at
FROM ticket AS k JOIN ticket_clock AS c USING (ticket_no)
WHERE k.device_no = ANY(%(devices)s::int[]) AND k.state NOT IN ('verified', 'closed', 'void')
    AND c.stopped_at IS NULL AND c.notified_at IS NOT NULL
ORDER BY c.due_at LIMIT 500;

-- name: device_tickets
-- Open tickets of these devices, the deadline that binds first.
SELECT k.ticket_no FROM ticket AS k
WHERE k.device_no = ANY(%(devices)s::int[]) AND k.state NOT IN ('verified', 'closed', 'void')
ORDER BY (SELECT min(c.due_at) FROM ticket_clock AS c
    WHERE c.ticket_no = k.ticket_no AND c.stopped_at IS NULL) NULLS LAST, k.ticket_no
LIMIT 500;

-- name: devices_with_open_faults
-- Codes that these devices report now.
SELECT device_no, system, code FROM episode
WHERE device_no = ANY(%(devices)s::int[]) AND ended_at IS NULL
ORDER BY device_no LIMIT 5000;

-- name: cut_links
-- Forget who had loans that ended before a time; held ones are left.
SELECT tenant_id, loan_no, device_id, ended_at
FROM cut_links(%(before)s::timestamptz, %(limit)s::int);

-- name: tenants_of_person
-- Where a pseudonym is known, for the owner of the database.
SELECT DISTINCT t.id FROM person_link AS p JOIN loan AS l USING (loan_no)
JOIN device AS d USING (device_no) JOIN tenant AS t USING (tenant_no)
WHERE p.person = %(person)s::text ORDER BY t.id LIMIT 20;

-- name: person_loans
-- The loans that are still linked to a person, the oldest first.
SELECT loan_no, device_no, device_id, individual_no, model_id, care_unit, basic_needs, started_at,
    ended_at, hold_no
FROM person_loans(%(person)s::text);

-- name: loan_samples
-- The telemetry of one loan in a range, in order.
SELECT at, metric, value
FROM loan_samples(%(loan_no)s::bigint, %(low)s::timestamptz, %(high)s::timestamptz);

-- name: loan_faults
-- The faults that a device reported in a range, in order.
SELECT at, received_at, system, code, state, count FROM fault_event
WHERE device_no = %(device_no)s::int AND at >= %(low)s::timestamptz AND at < %(high)s::timestamptz
ORDER BY at, epoch, seq, idx;

-- name: loan_refused
-- What a device sent in a range and could not be stored, in order.
SELECT q.received_at, q.reason, q.payload
FROM device d JOIN tenant t USING (tenant_no)
    JOIN quarantine q ON q.device_id = d.id AND q.tenant_id = t.id
WHERE d.id = %(device)s::text AND q.last_at >= %(low)s::timestamptz
    AND q.received_at < %(high)s::timestamptz
ORDER BY q.received_at, q.quarantine_no;

-- name: loan_tickets
-- The tickets that began on a device in a range, in order.
SELECT ticket_no, title_sv, title_en, user_sv, user_en, state, order_kind, severity, started_at,
    known_at, outcome
FROM ticket
WHERE device_no = %(device_no)s::int
    AND started_at >= %(low)s::timestamptz AND started_at < %(high)s::timestamptz
ORDER BY ticket_no LIMIT 10000;

-- name: erase_samples
-- Remove a finished loan's telemetry in a range, but for what belongs to a record of care.
SELECT erase_samples(%(loan_no)s::bigint, %(low)s::timestamptz, %(high)s::timestamptz);

-- name: loan_settings
-- What a device was set to during one loan, in order.
SELECT at, name, value FROM loan_settings(%(loan_no)s::bigint);

-- name: erase_settings
-- Remove what a device was set to during a finished loan, but for what belongs to a record of care.
SELECT erase_settings(%(loan_no)s::bigint);

-- name: erase_loan
-- Remove the rest of a finished loan, and last its link to the person.
SELECT answer_n, link_n FROM erase_loan(%(loan_no)s::bigint);

-- name: erase_blocks
-- Remove a person's blocks, once no loan is left.
SELECT erase_blocks(%(person)s::text);

-- name: hold_device
-- Keep everything about a device.
INSERT INTO incident_hold (tenant_no, device_no, why, who, from_at)
SELECT tenant_no, device_no, %(why)s::text, %(who)s::text, %(now)s::timestamptz
FROM device WHERE id = %(device)s::text AND tenant_no = scope_tenant()
RETURNING hold_no;

-- name: hold_person
-- Keep everything about a person.
INSERT INTO incident_hold (tenant_no, person, why, who, from_at)
VALUES (scope_tenant(), %(person)s::text, %(why)s::text, %(who)s::text, %(now)s::timestamptz)
RETURNING hold_no;

-- name: release_hold
-- End a hold, and say who did and why.
UPDATE incident_hold SET released_at = %(now)s::timestamptz, released_by = %(who)s::text,
    released_why = %(why)s::text
WHERE hold_no = %(hold_no)s::bigint AND released_at IS NULL AND tenant_no = scope_tenant()
RETURNING hold_no;

-- name: holds
-- Holds of the tenant, the newest first.
SELECT h.hold_no, d.id AS device_id, h.person, h.why, h.who, h.from_at, h.released_at, h.released_by,
    h.released_why
FROM incident_hold AS h LEFT JOIN device AS d USING (device_no)
WHERE h.tenant_no = scope_tenant() AND h.hold_no < %(before_no)s::bigint
ORDER BY h.hold_no DESC LIMIT %(limit)s::int;

-- name: device_hold
-- The hold that runs on one device, for those who see the whole tenant.
SELECT h.hold_no, d.id AS device_id, h.person, h.why, h.who, h.from_at, h.released_at, h.released_by,
    h.released_why
FROM incident_hold AS h JOIN device AS d USING (device_no)
WHERE h.tenant_no = scope_tenant() AND h.device_no = %(device_no)s::int AND h.released_at IS NULL;

-- name: log_ends
-- The first and last number of a tenant's log that the caller sees.
SELECT min(audit_no), max(audit_no) FROM audit WHERE tenant_no = tenant_no_of(%(tenant)s::text);

-- name: log_time
-- When the entry of a number was made, or the next one that the caller sees.
SELECT at FROM audit
WHERE tenant_no = tenant_no_of(%(tenant)s::text) AND audit_no >= %(no)s::bigint
ORDER BY audit_no LIMIT 1;

-- name: checked_entries
-- Which of these entries of the log somebody has checked, by whom and when; the last check counts.
SELECT DISTINCT ON (object_id) object_id::bigint, name, at, why FROM audit
WHERE tenant_no = tenant_no_of(%(tenant)s::text) AND object_kind = 'entry'
    AND action = ANY(%(actions)s::text[]) AND object_id = ANY(%(entries)s::text[])
ORDER BY object_id, audit_no DESC;

-- name: told_from
-- From when on the caller sees the device of a ticket, no time for always; and whether the ticket
-- rests on findings that the caller does not see.
SELECT nullif(seen_from(k.device_no), '-infinity'), EXISTS (
    SELECT FROM ticket_finding l WHERE l.ticket_no = k.ticket_no
        AND NOT EXISTS (SELECT FROM finding f WHERE f.finding_no = l.finding_no OFFSET 0))
FROM ticket k WHERE k.ticket_no = %(ticket_no)s::bigint;
