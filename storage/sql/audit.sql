-- name: work_for_tenant
-- Let this transaction write to one tenant's log; an unknown tenant is refused by the append.
SELECT set_config('fjarrkoll.tenant_no',
    coalesce(tenant_no_of(%(tenant)s::text)::text, ''), true);

-- name: append
-- New rows at the end of one tenant's chain; the number of the last one comes back.
SELECT append_audit(%(tenant)s::text, %(entries)s::jsonb);

-- name: page
-- The newest entries first, of one tenant.
SELECT audit_no, at, subject, name, role, action, object_kind, object_id, commission, care_unit,
    device_id, loan_no, person, why, request_id, previous, hash
FROM audit
WHERE tenant_no = tenant_no_of(%(tenant)s::text) AND audit_no < %(before_no)s::bigint
    AND audit_no >= coalesce(%(from_no)s::bigint, 0)
    AND (%(device_id)s::text IS NULL OR device_id = %(device_id)s::text)
    AND (%(loan_no)s::bigint IS NULL OR loan_no = %(loan_no)s::bigint)
    AND (%(person)s::text IS NULL OR person = %(person)s::text)
    AND (%(subject)s::text IS NULL OR subject = %(subject)s::text)
    AND (%(from_at)s::timestamptz IS NULL OR at >= %(from_at)s::timestamptz)
    AND (%(until_at)s::timestamptz IS NULL OR at < %(until_at)s::timestamptz)
ORDER BY audit_no DESC
LIMIT %(limit)s::int;

-- name: chain
-- The next rows of one tenant's chain, in its order.
SELECT audit_no, at, subject, name, role, action, object_kind, object_id, commission, care_unit,
    device_id, loan_no, person, why, request_id, previous, hash
FROM audit
WHERE tenant_no = tenant_no_of(%(tenant)s::text) AND audit_no > %(after_no)s::bigint
ORDER BY audit_no
LIMIT %(limit)s::int;

-- name: head
-- Where one tenant's chain ends.
SELECT last_no, last_hash FROM audit_head WHERE tenant_no = tenant_no_of(%(tenant)s::text);

-- name: tenants
-- Every tenant that has a log, or had one: a head without rows shows that they were removed.
SELECT id FROM tenant
WHERE EXISTS (SELECT FROM audit WHERE audit.tenant_no = tenant.tenant_no)
    OR EXISTS (SELECT FROM audit_head WHERE audit_head.tenant_no = tenant.tenant_no)
ORDER BY id;

-- name: see_every_row
-- A check that saw only some rows would say that all is right: with this it fails instead.
SELECT set_config('row_security', 'off', true);

-- name: tenant_of
-- Whose device or ticket it is.
SELECT tenant.id FROM tenant JOIN device USING (tenant_no)
WHERE %(kind)s::text = 'device' AND device.id = %(key)s::text
UNION ALL
SELECT tenant.id FROM tenant JOIN ticket USING (tenant_no)
WHERE %(kind)s::text = 'ticket' AND ticket.ticket_no
    = CASE WHEN %(key)s::text ~ '^[0-9]{1,18}$' THEN (%(key)s::text)::bigint END
LIMIT 1;
