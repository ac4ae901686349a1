-- name: device_no
-- The number of a device, its row held until COMMIT: one person at a time moves or lends it.
SELECT device_no FROM device WHERE id = %(device)s::text FOR NO KEY UPDATE;

-- name: current_loan
-- The loan that a device is out on.
SELECT loan_no, person, care_unit, basic_needs, started_at, ended_at
FROM loan LEFT JOIN person_link USING (loan_no)
WHERE device_no = %(device_no)s::int AND ended_at IS NULL;

-- name: last_loan_end
-- When the last finished loan of a device ended.
SELECT max(ended_at) FROM loan WHERE device_no = %(device_no)s::int;

-- name: start_loan
-- A loan; no row back where the device is out already.
INSERT INTO loan (device_no, basic_needs, started_at)
VALUES (%(device_no)s::int, %(basic_needs)s::text[], %(at)s::timestamptz)
ON CONFLICT (device_no) WHERE ended_at IS NULL DO NOTHING
RETURNING loan_no;

-- name: link_person
-- Who has the device, by pseudonym, and the unit that prescribed it.
INSERT INTO person_link (loan_no, person, care_unit)
VALUES (%(loan_no)s::bigint, %(person)s::text, %(care_unit)s::text);

-- name: end_loan
-- The end of the current loan, not before its start.
UPDATE loan SET ended_at = %(at)s::timestamptz
WHERE device_no = %(device_no)s::int AND ended_at IS NULL AND started_at <= %(at)s::timestamptz
RETURNING loan_no;

-- name: change_needs
-- What the person cannot do without the device, as the prescriber says now.
UPDATE loan SET basic_needs = %(basic_needs)s::text[]
WHERE device_no = %(device_no)s::int AND ended_at IS NULL
RETURNING loan_no;

-- name: loan_by_no
-- One loan; without the person where the link is cut, or not the caller's to see.
SELECT loan_no, person, care_unit, basic_needs, started_at, ended_at
FROM loan LEFT JOIN person_link USING (loan_no)
WHERE loan_no = %(loan_no)s::bigint;

-- name: loans
-- The loans of a device, the newest first.
SELECT loan.loan_no, person, care_unit, loan.basic_needs, loan.started_at, loan.ended_at
FROM loan JOIN device USING (device_no) LEFT JOIN person_link USING (loan_no)
WHERE device.id = %(device)s::text
ORDER BY loan.started_at DESC, loan.loan_no DESC
LIMIT 1000;

-- name: current_needs
-- The basic needs that depend on each of these devices now.
SELECT device_no, basic_needs FROM loan
WHERE device_no = ANY(%(devices)s::int[]) AND ended_at IS NULL;

-- name: current_placement
-- Where a device is now.
SELECT placement_no, place, from_at, until_at, who, why FROM placement
WHERE device_no = %(device_no)s::int AND until_at IS NULL;

-- name: close_placement
-- Where a device was until now.
UPDATE placement SET until_at = %(at)s::timestamptz
WHERE device_no = %(device_no)s::int AND until_at IS NULL;

-- name: overrule_placements
-- A correction of the past: what was said of the time after it is cut off there. A row that falls
-- away whole keeps who and why, and lasts no time.
UPDATE placement SET until_at = greatest(from_at, %(at)s::timestamptz)
WHERE device_no = %(device_no)s::int
    AND (until_at IS NULL OR until_at > %(at)s::timestamptz);

-- name: open_placement
-- Where a device is from now on.
INSERT INTO placement (device_no, place, from_at, who, why)
VALUES (%(device_no)s::int, %(place)s::text, %(at)s::timestamptz, %(who)s::text, %(why)s::text)
RETURNING placement_no, place, from_at, until_at, who, why;

-- name: placements
-- Where a device has been, the newest first.
SELECT p.placement_no, p.place, p.from_at, p.until_at, p.who, p.why
FROM placement AS p JOIN device USING (device_no)
WHERE device.id = %(device)s::text
ORDER BY p.from_at DESC, p.placement_no DESC
LIMIT 1000;

-- name: quiet_spans
-- When each of these devices was not with its user, from a time on.
SELECT device_no, from_at, until_at FROM placement
WHERE device_no = ANY(%(devices)s::int[]) AND place <> 'in_use'
    AND (until_at IS NULL OR until_at > greatest(from_at, %(from_at)s::timestamptz))
ORDER BY device_no, from_at;

-- name: describe_device
-- The facts that were given; the others stay.
UPDATE device SET
    area = CASE WHEN 'area' = ANY(%(given)s::text[]) THEN %(area)s::text ELSE area END,
    network = CASE WHEN 'network' = ANY(%(given)s::text[]) THEN %(network)s::text
        ELSE network END,
    batch = CASE WHEN 'batch' = ANY(%(given)s::text[]) THEN %(batch)s::text ELSE batch END,
    in_service_on = CASE WHEN 'in_service_on' = ANY(%(given)s::text[])
        THEN %(in_service_on)s::date ELSE in_service_on END
WHERE id = %(device)s::text
RETURNING area, network, batch, in_service_on;

-- name: look_again
-- What people say of a device changes what its faults mean: it is due to be looked at.
INSERT INTO agenda (device_no, from_at, due_at)
VALUES (%(device_no)s::int, coalesce(%(at)s::timestamptz, now()), '-infinity')
ON CONFLICT (device_no) DO UPDATE
    SET from_at = least(agenda.from_at, EXCLUDED.from_at), due_at = EXCLUDED.due_at;
