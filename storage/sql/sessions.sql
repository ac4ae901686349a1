-- name: open_session
-- A new session.
INSERT INTO login_session
    (token_sha256, tenant_id, subject, caller, created_at, last_seen_at, expires_at)
VALUES (%(digest)s::bytea, %(tenant)s::text, %(subject)s::text, %(caller)s::jsonb,
    %(now)s::timestamptz, %(now)s::timestamptz, %(expires_at)s::timestamptz);

-- name: end_oldest
-- A subject's sessions beyond the newest few end.
UPDATE login_session SET ended_at = %(now)s::timestamptz
WHERE token_sha256 IN (
    SELECT token_sha256 FROM login_session
    WHERE tenant_id = %(tenant)s::text AND subject = %(subject)s::text AND ended_at IS NULL
        AND created_at <= %(now)s::timestamptz
    ORDER BY created_at DESC OFFSET %(keep)s::int
);

-- name: find_session
-- The caller of an open session, and whether it is time to note that it was used.
SELECT caller, last_seen_at < %(note_before)s::timestamptz
FROM login_session
WHERE token_sha256 = %(digest)s::bytea AND ended_at IS NULL
    AND expires_at > %(now)s::timestamptz AND last_seen_at > %(idle_since)s::timestamptz;

-- name: note_use
-- A session was used. Never back in time, and once for those who note it at the same time.
UPDATE login_session SET last_seen_at = %(now)s::timestamptz
WHERE token_sha256 = %(digest)s::bytea AND ended_at IS NULL
    AND last_seen_at < %(note_before)s::timestamptz;

-- name: end_session
-- A session ends; one that has ended stays as it is.
UPDATE login_session SET ended_at = greatest(%(now)s::timestamptz, created_at)
WHERE token_sha256 = %(digest)s::bytea AND ended_at IS NULL;

-- name: forget_sessions
-- Sessions that ran out long ago, a bounded number at a time.
DELETE FROM login_session
WHERE token_sha256 IN (
    SELECT token_sha256 FROM login_session WHERE expires_at < %(before)s::timestamptz
    ORDER BY expires_at LIMIT %(limit)s::int FOR UPDATE SKIP LOCKED
);
