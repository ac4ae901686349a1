-- name: open_about
-- Tickets that are open about one part of a device, whoever opened them.
SELECT ticket_no FROM ticket
WHERE device_no = %(device_no)s::int AND state NOT IN ('verified', 'closed', 'void')
    AND (cause = %(cause)s::text OR component = %(component)s::text)
ORDER BY ticket_no
LIMIT 1;

-- name: open_by_hand
-- A ticket that a person opens about a device; nothing back where another was first.
INSERT INTO ticket (device_no, tenant_no, cause, order_kind, severity, usability, fixer, component,
    title_sv, title_en, body_sv, body_en, started_at, known_at, updated_at, state_at, is_active,
    repeats_no)
SELECT device_no, tenant_no, %(cause)s::text, %(order_kind)s::text, %(severity)s::text,
    %(usability)s::text, %(fixer)s::text, %(component)s::text, %(title)s::text, %(title)s::text,
    %(body_sv)s::text, %(body_en)s::text, %(now)s::timestamptz, %(now)s::timestamptz,
    %(now)s::timestamptz, %(now)s::timestamptz, true, %(repeats_no)s::bigint
FROM device WHERE device_no = %(device_no)s::int
ON CONFLICT DO NOTHING
RETURNING ticket_no;
