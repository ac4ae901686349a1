-- name: wait_at_most
-- How long this transaction waits for a lock from here on; the answer is how long it did before.
SELECT current_setting('lock_timeout'), set_config('lock_timeout', %(timeout)s::text, true);

-- name: hold_key
-- One request of a key at a time: a second one waits until the first has committed or given up.
SELECT pg_advisory_xact_lock(hashtextextended(
    scope_tenant() || '/' || %(subject)s::text || '/' || %(key)s::text, 0));

-- name: kept_answer
-- The answer that was given to a key.
SELECT request_hash, status, body FROM idempotency
WHERE tenant_no = scope_tenant() AND subject = %(subject)s::text AND key = %(key)s::text
    AND at > %(since)s::timestamptz;

-- name: drop_old_answers
-- Answers that nobody asks for any more, a few at a time; and an old one of the same key.
DELETE FROM idempotency
WHERE tenant_no = scope_tenant() AND at <= %(since)s::timestamptz AND (
    (subject = %(subject)s::text AND key = %(key)s::text)
    OR (subject, key) IN (SELECT old.subject, old.key FROM idempotency AS old
        WHERE old.at <= %(since)s::timestamptz ORDER BY old.at LIMIT 100));

-- name: keep_answer
-- The answer to a request, for when it is sent again.
INSERT INTO idempotency (tenant_no, subject, key, request_hash, status, body, at)
VALUES (scope_tenant(), %(subject)s::text, %(key)s::text, %(request_hash)s::bytea,
    %(status)s::int, %(body)s::jsonb, %(now)s::timestamptz);
