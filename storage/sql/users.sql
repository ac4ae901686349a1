-- name: lately
-- Who of the caller's tenant has a session or had one lately, by subject, after a given one.
SELECT subject, (array_agg(caller ->> 'name' ORDER BY created_at DESC))[1] AS name,
    (array_agg(caller ->> 'role' ORDER BY created_at DESC))[1] AS role,
    (array_agg(caller ->> 'centre' ORDER BY created_at DESC))[1] AS centre,
    count(*) FILTER (WHERE ended_at IS NULL AND expires_at > %(now)s::timestamptz
        AND last_seen_at > %(idle_since)s::timestamptz) AS session_n,
    min(created_at) AS first_seen_at, max(last_seen_at) AS last_seen_at
FROM login_session
WHERE tenant_id = scope_tenant_id() AND subject > %(after)s::text
GROUP BY subject
ORDER BY subject
LIMIT %(limit)s::int;

-- name: is_known
-- Whether a subject of the caller's tenant has signed in lately.
SELECT EXISTS (SELECT FROM login_session
    WHERE tenant_id = scope_tenant_id() AND subject = %(subject)s::text);

-- name: end_sessions
-- Every open session of a subject of the caller's tenant ends.
UPDATE login_session SET ended_at = greatest(%(now)s::timestamptz, created_at)
WHERE tenant_id = scope_tenant_id() AND subject = %(subject)s::text AND ended_at IS NULL;
