-- name: refused_message
-- One refused message whole.
SELECT topic, content_type, payload, payload_size, epoch, seq, message_n, received_at, replayed_as
FROM quarantine WHERE quarantine_no = %(quarantine_no)s::bigint;

-- name: waiting_in_quarantine
-- Messages that have not left quarantine, the oldest first, after a given one.
SELECT quarantine_no FROM quarantine
WHERE quarantine_no > %(after_no)s::bigint AND (replayed_as IS NULL OR replayed_as = 'refused')
    AND (%(reason)s::text IS NULL OR reason = %(reason)s::text)
    AND (%(device_id)s::text IS NULL OR device_id = %(device_id)s::text)
ORDER BY quarantine_no
LIMIT %(limit)s::int;

-- name: hold_refused_message
-- The same, held until COMMIT: two replays never move it twice.
SELECT topic, content_type, payload, payload_size, epoch, seq, message_n, received_at, replayed_as
FROM quarantine WHERE quarantine_no = %(quarantine_no)s::bigint FOR UPDATE;

-- name: note_replayed
-- It left quarantine.
UPDATE quarantine SET replayed_at = %(now)s::timestamptz, replayed_as = %(became)s::text
WHERE quarantine_no = %(quarantine_no)s::bigint;

-- name: note_refused_again
-- It was refused again, perhaps for another reason than before.
UPDATE quarantine SET replayed_at = %(now)s::timestamptz, replayed_as = 'refused',
    reason = %(reason)s::text, detail = %(detail)s::text
WHERE quarantine_no = %(quarantine_no)s::bigint;

-- name: count_left_quarantine
-- The reasons go on saying why messages once came here; this line says how many have left.
INSERT INTO quarantine_total (reason, message_n) VALUES ('replayed', %(message_n)s::bigint)
ON CONFLICT (reason) DO UPDATE
    SET message_n = quarantine_total.message_n + EXCLUDED.message_n;
