-- name: horizon
-- All transactions below this number are in this view of the data.
SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS horizon;

-- name: tickets_now
-- Changed tickets as they are now.
SELECT ticket_no, state, version, severity FROM ticket
WHERE ticket_no = ANY(%(numbers)s::bigint[])
ORDER BY ticket_no;

-- name: tickets_since
-- Tickets that changed since a reader's horizon, in the order of their last change.
SELECT ticket_no, state, version, severity FROM ticket
WHERE tenant_no = scope_tenant() AND changed_xid >= %(since)s::bigint
ORDER BY changed_xid, ticket_no
LIMIT %(limit)s::int;

-- name: devices_now
-- Devices that came or went, as they are now.
SELECT d.id AS device_id, s.is_online, s.changed_at
FROM device_state s JOIN device d USING (device_no)
WHERE s.device_no = ANY(%(numbers)s::int[])
ORDER BY d.id;
