-- Purpose: sessions of people who have signed in.

-- The cookie holds a random token; here stands only its digest, so that a copy of the database
-- opens no session. `caller` is what the sign-in made of the claims, and never changes.
CREATE TABLE login_session (
    token_sha256 bytea PRIMARY KEY
        CONSTRAINT login_session_token_is_a_digest CHECK (octet_length(token_sha256) = 32),
    tenant_id text NOT NULL,
    subject text NOT NULL,
    caller jsonb NOT NULL
        CONSTRAINT login_session_caller_object CHECK (jsonb_typeof(caller) = 'object'),
    created_at timestamptz NOT NULL,
    last_seen_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    ended_at timestamptz,
    CONSTRAINT login_session_lasts CHECK (expires_at > created_at),
    CONSTRAINT login_session_seen_in_its_time CHECK (last_seen_at >= created_at),
    CONSTRAINT login_session_ends_after_start CHECK (ended_at IS NULL OR ended_at >= created_at)
);
CREATE INDEX login_session_expiry ON login_session (expires_at);
CREATE INDEX login_session_open_by_subject ON login_session (tenant_id, subject, created_at DESC)
    WHERE ended_at IS NULL;

GRANT SELECT, INSERT, DELETE ON login_session TO fjarrkoll_api;
GRANT UPDATE (last_seen_at, ended_at) ON login_session TO fjarrkoll_api;

-- A session is looked for before it is known whose it is, so there is no scope to limit this by.
ALTER TABLE login_session ENABLE ROW LEVEL SECURITY;
CREATE POLICY before_anybody_is_known ON login_session TO fjarrkoll_api USING (true);
