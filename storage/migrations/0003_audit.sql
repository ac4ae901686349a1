-- Purpose: the access log: who saw or changed what. Append-only, one chain of hashes per tenant.

-- One row for one thing that was seen or changed. `previous` is the hash of the row before, and
-- `hash` covers `previous` and everything but itself; see audit_text. What identifies the person
-- is a pseudonym. Nothing deletes rows: the log is kept for at least five years. That the tenant
-- is there, audit_head sees to; a check for each row would take as long as writing it.
CREATE TABLE audit (
    tenant_no int NOT NULL,
    audit_no bigint NOT NULL CONSTRAINT audit_no_positive CHECK (audit_no > 0),
    at timestamptz NOT NULL CONSTRAINT audit_at_in_our_time
        CHECK (at >= '2000-01-01 00:00:00+00' AND at < '3000-01-01 00:00:00+00'),
    subject text NOT NULL CONSTRAINT audit_subject_length CHECK (length(subject) BETWEEN 1 AND 200),
    name text NOT NULL CONSTRAINT audit_name_length CHECK (length(name) <= 200),
    role text NOT NULL CONSTRAINT audit_role_length CHECK (length(role) BETWEEN 1 AND 200),
    commission text CONSTRAINT audit_commission_length CHECK (length(commission) <= 200),
    care_unit text CONSTRAINT audit_care_unit_length CHECK (length(care_unit) <= 200),
    action text NOT NULL CONSTRAINT audit_action_length CHECK (length(action) BETWEEN 1 AND 200),
    object_kind text NOT NULL CONSTRAINT audit_object_kind_length
        CHECK (length(object_kind) BETWEEN 1 AND 200),
    object_id text CONSTRAINT audit_object_id_length CHECK (length(object_id) <= 200),
    device_id text CONSTRAINT audit_device_id_length CHECK (length(device_id) <= 200),
    loan_no bigint,
    person text CONSTRAINT audit_person_length CHECK (length(person) <= 200),
    why text CONSTRAINT audit_why_length CHECK (length(why) <= 1000),
    request_id text CONSTRAINT audit_request_id_length CHECK (length(request_id) <= 200),
    previous bytea NOT NULL CONSTRAINT audit_previous_sha256 CHECK (length(previous) = 32),
    hash bytea NOT NULL CONSTRAINT audit_hash_sha256 CHECK (length(hash) = 32),
    PRIMARY KEY (tenant_no, audit_no)
);
CREATE INDEX audit_by_loan ON audit (tenant_no, loan_no, audit_no) WHERE loan_no IS NOT NULL;
CREATE INDEX audit_by_person ON audit (tenant_no, person, audit_no) WHERE person IS NOT NULL;
CREATE INDEX audit_by_device ON audit (tenant_no, device_id, audit_no) WHERE device_id IS NOT NULL;
CREATE INDEX audit_by_subject ON audit (tenant_no, subject, audit_no);
-- Rows come in the order of time, so that this finds a day of five years and costs nothing.
CREATE INDEX audit_by_time ON audit USING brin (at);

-- Where each chain ends. Its row is held while a chain grows, so that no chain forks.
CREATE TABLE audit_head (
    tenant_no int PRIMARY KEY REFERENCES tenant,
    last_no bigint NOT NULL DEFAULT 0 CONSTRAINT audit_head_no_counts CHECK (last_no >= 0),
    last_hash bytea NOT NULL DEFAULT decode(repeat('00', 32), 'hex')
        CONSTRAINT audit_head_hash_sha256 CHECK (length(last_hash) = 32)
);

CREATE FUNCTION refuse_audit_change() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    RAISE EXCEPTION 'the access log only grows: % on % is refused', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege', CONSTRAINT = 'audit_append_only',
            HINT = 'The law asks for it to be kept whole. A wrong entry is answered by a new one.';
END $$;
-- ALWAYS: not even replication mode switches them off in passing.
CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit_change();
CREATE TRIGGER audit_head_stays BEFORE DELETE OR TRUNCATE ON audit_head
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit_change();
CREATE TRIGGER audit_head_grows BEFORE UPDATE ON audit_head FOR EACH ROW
    WHEN (NEW.tenant_no <> OLD.tenant_no OR NEW.last_no <= OLD.last_no)
    EXECUTE FUNCTION refuse_audit_change();
ALTER TABLE audit ENABLE ALWAYS TRIGGER audit_append_only;
ALTER TABLE audit_head ENABLE ALWAYS TRIGGER audit_head_stays;
ALTER TABLE audit_head ENABLE ALWAYS TRIGGER audit_head_grows;

-- What a row's hash covers; `fleet/access/audit.py` writes the same. After a first line that names
-- the form, each field is its length in bytes, a colon and its UTF-8 text, or a dash for NULL.
CREATE FUNCTION audit_text(of_tenant text, entry audit) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT E'fjarrkoll-audit-1\n' || string_agg(
        coalesce(length(convert_to(value, 'UTF8')) || ':' || value, '-') || E'\n', '' ORDER BY place)
    FROM unnest(ARRAY[of_tenant, entry.audit_no::text,
        to_char(entry.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
        entry.subject, entry.name, entry.role, entry.commission, entry.care_unit, entry.action,
        entry.object_kind, entry.object_id, entry.device_id, entry.loan_no::text, entry.person,
        entry.why, entry.request_id, encode(entry.previous, 'hex')])
        WITH ORDINALITY AS field (value, place)
$$;

-- The head of a tenant's chain, held until the transaction ends. The API may only write to the
-- chain of the tenant that its transaction is for.
CREATE FUNCTION held_audit_head(of_tenant text) RETURNS audit_head
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    taken text := current_setting('role');
    caller text := CASE taken WHEN 'none' THEN session_user ELSE taken END;
    wanted int := (SELECT tenant_no FROM tenant WHERE id = of_tenant);
    head audit_head;
BEGIN
    IF wanted IS NULL THEN
        RAISE EXCEPTION 'there is no tenant % to keep an access log for', of_tenant
            USING ERRCODE = 'foreign_key_violation', CONSTRAINT = 'audit_tenant_known';
    END IF;
    IF wanted::text IS DISTINCT FROM current_setting('fjarrkoll.tenant_no', true)
        AND caller <> 'fjarrkoll_diagnose' AND NOT pg_has_role(caller, current_user, 'MEMBER') THEN
        RAISE EXCEPTION 'this transaction is not for tenant %, and may not write to its access log',
            of_tenant USING ERRCODE = 'insufficient_privilege', CONSTRAINT = 'audit_own_tenant';
    END IF;
    SELECT * INTO head FROM audit_head WHERE tenant_no = wanted FOR UPDATE;
    IF NOT FOUND THEN
        INSERT INTO audit_head (tenant_no) VALUES (wanted) ON CONFLICT DO NOTHING;
        SELECT * INTO head FROM audit_head WHERE tenant_no = wanted FOR UPDATE;
    END IF;
    RETURN head;
END $$;

-- What a number in `object_id` stands for: a loan, or what a ticket, a message or a hold is about.
-- An entry may name what does not exist; then it concerns nobody.
CREATE FUNCTION audited_number(entry audit) RETURNS bigint
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, public, pg_temp
AS $$ SELECT CASE WHEN entry.object_id ~ '^[0-9]{1,18}$' THEN entry.object_id::bigint END $$;
-- `as_of` is when what the entry is about came: its loan is the one of that time.
CREATE FUNCTION audited_thing(
    entry audit, OUT device_id text, OUT person text, OUT as_of timestamptz)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    CASE entry.object_kind
    WHEN 'ticket' THEN
        SELECT d.id, t.started_at INTO device_id, as_of
        FROM ticket t JOIN device d USING (device_no)
        WHERE t.ticket_no = audited_number(entry) AND t.tenant_no = entry.tenant_no;
    WHEN 'quarantine' THEN
        -- What names a device of another tenant is seen by nobody, and concerns nobody.
        SELECT q.device_id, q.received_at INTO device_id, as_of
        FROM quarantine q JOIN tenant o ON o.id = q.tenant_id LEFT JOIN device d ON d.id = q.device_id
        WHERE q.quarantine_no = audited_number(entry) AND o.tenant_no = entry.tenant_no
            AND coalesce(d.tenant_no, o.tenant_no) = o.tenant_no;
    WHEN 'hold' THEN
        SELECT d.id, h.person INTO device_id, person
        FROM incident_hold h LEFT JOIN device d USING (device_no)
        WHERE h.hold_no = audited_number(entry) AND h.tenant_no = entry.tenant_no;
    ELSE
        NULL;
    END CASE;
END $$;

-- The loan an entry concerns: the one it names, else the one its device was out on at a time.
CREATE FUNCTION audited_loan(entry audit, as_of timestamptz) RETURNS bigint
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    named bigint := coalesce(entry.loan_no,
        CASE entry.object_kind WHEN 'loan' THEN audited_number(entry) END);
BEGIN
    IF named IS NOT NULL THEN
        RETURN (SELECT l.loan_no FROM loan l JOIN device d USING (device_no)
            WHERE l.loan_no = named AND d.tenant_no = entry.tenant_no);
    END IF;
    RETURN (SELECT l.loan_no FROM device d JOIN loan l USING (device_no)
        WHERE d.id = entry.device_id AND d.tenant_no = entry.tenant_no
            AND l.started_at <= as_of AND (l.ended_at IS NULL OR as_of < l.ended_at)
        ORDER BY l.started_at DESC LIMIT 1);
END $$;

-- Append entries to one tenant's chain in their order; returns the number of the last row. The
-- only way in: it owns what its callers may not touch.
CREATE FUNCTION append_audit(of_tenant text, entries jsonb) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    head audit_head;
    item jsonb;
    entry audit;
    thing record;
BEGIN
    IF jsonb_array_length(entries) > 1000 THEN
        RAISE EXCEPTION '% entries at once: append at most 1000', jsonb_array_length(entries)
            USING ERRCODE = 'check_violation', CONSTRAINT = 'audit_batch_limit';
    END IF;
    head := held_audit_head(of_tenant);
    FOR item IN SELECT value FROM jsonb_array_elements(entries) WITH ORDINALITY ORDER BY ordinality
    LOOP
        entry := jsonb_populate_record(NULL::audit, item);
        entry.tenant_no := head.tenant_no;
        entry.audit_no := head.last_no + 1;
        entry.previous := head.last_hash;
        SELECT * INTO thing FROM audited_thing(entry);
        IF entry.device_id IS NULL THEN
            entry.device_id := thing.device_id;
        ELSE
            thing.as_of := NULL;
        END IF;
        entry.loan_no := audited_loan(entry, coalesce(thing.as_of, entry.at));
        entry.person := coalesce(
            (SELECT person FROM person_link WHERE loan_no = entry.loan_no), thing.person,
            entry.person);
        entry.hash := sha256(convert_to(audit_text(of_tenant, entry), 'UTF8'));
        INSERT INTO audit VALUES (entry.*);
        head.last_no := entry.audit_no;
        head.last_hash := entry.hash;
    END LOOP;
    UPDATE audit_head SET last_no = head.last_no, last_hash = head.last_hash
        WHERE tenant_no = head.tenant_no AND last_no < head.last_no;
    RETURN head.last_no;
END $$;

REVOKE ALL ON audit, audit_head FROM PUBLIC, fjarrkoll_ingest, fjarrkoll_diagnose, fjarrkoll_api;
REVOKE EXECUTE ON FUNCTION refuse_audit_change, audit_text, held_audit_head, audited_number,
    audited_thing, audited_loan, append_audit FROM PUBLIC;
GRANT SELECT ON audit, audit_head TO fjarrkoll_api;
GRANT EXECUTE ON FUNCTION append_audit TO fjarrkoll_api, fjarrkoll_diagnose;

-- A tenant's staff read its log, one centre's staff what concerns its devices, and a patient who
-- looked at what was theirs. Whoever has no reach, or another one, reads nothing.
ALTER TABLE audit ENABLE ROW LEVEL SECURITY;
CREATE POLICY within_reach ON audit FOR SELECT TO fjarrkoll_api USING (
    tenant_no = (SELECT nullif(current_setting('fjarrkoll.tenant_no', true), '')::int)
    AND CASE (SELECT current_setting('fjarrkoll.reach', true))
        WHEN 'tenant' THEN true
        WHEN 'centre' THEN EXISTS (SELECT FROM device d WHERE d.id = audit.device_id)
        WHEN 'person' THEN person = (SELECT current_setting('fjarrkoll.reach_key', true))
        ELSE false END);
ALTER TABLE audit_head ENABLE ROW LEVEL SECURITY;
CREATE POLICY within_reach ON audit_head FOR SELECT TO fjarrkoll_api USING (
    tenant_no = (SELECT nullif(current_setting('fjarrkoll.tenant_no', true), '')::int)
    AND (SELECT current_setting('fjarrkoll.reach', true)) = 'tenant');
