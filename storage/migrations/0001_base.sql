-- Purpose: the whole first schema. Forward only; run before the code that needs it.

-- Words of fixed choice are text with named CHECKs: readable rows, and a new word is one migration.

CREATE TABLE tenant (
    tenant_no int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id text NOT NULL CONSTRAINT tenant_id_unique UNIQUE
        CONSTRAINT tenant_id_wellformed CHECK (id ~ '^[A-Za-z0-9_-]{1,64}$'),
    name text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE centre (
    centre_no int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_no int NOT NULL REFERENCES tenant,
    id text NOT NULL CONSTRAINT centre_id_wellformed CHECK (id ~ '^[A-Za-z0-9_-]{1,64}$'),
    name text NOT NULL,
    CONSTRAINT centre_unique_in_tenant UNIQUE (tenant_no, id)
);

-- A copy of the shipped model catalogue, so that rows can refer to it; the code is the authority.
CREATE TABLE model (
    id text PRIMARY KEY,
    device_class text NOT NULL,
    maker text NOT NULL,
    name text NOT NULL
);

CREATE TABLE device (
    device_no int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id text NOT NULL CONSTRAINT device_id_unique UNIQUE
        CONSTRAINT device_id_wellformed CHECK (id ~ '^[A-Za-z0-9_-]{1,64}$'),
    tenant_no int NOT NULL REFERENCES tenant,
    centre_no int REFERENCES centre,
    model_id text NOT NULL REFERENCES model,
    gateway_no int REFERENCES device,
    shard smallint NOT NULL CONSTRAINT device_shard_range CHECK (shard BETWEEN 0 AND 255),
    status text NOT NULL DEFAULT 'active'
        CONSTRAINT device_status_word CHECK (status IN ('pending', 'active', 'revoked')),
    serial text,
    individual_no text,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX device_tenant ON device (tenant_no, id);
CREATE INDEX device_shard ON device (shard);
-- Search by the start of what is printed on a device; these serve LIKE in any collation.
CREATE INDEX device_search_id ON device (lower(id) text_pattern_ops);
CREATE INDEX device_search_individual ON device (lower(individual_no) text_pattern_ops);
CREATE INDEX device_search_serial ON device (lower(serial) text_pattern_ops);

-- Workers keep resolved devices in memory; this counter tells them when to forget.
CREATE TABLE registry_version (
    only_row boolean PRIMARY KEY DEFAULT true CONSTRAINT registry_version_single CHECK (only_row),
    version bigint NOT NULL DEFAULT 0
);
INSERT INTO registry_version DEFAULT VALUES;

CREATE FUNCTION bump_registry_version() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
BEGIN
    UPDATE registry_version SET version = version + 1;
    RETURN NULL;
END $$;
CREATE TRIGGER device_changed AFTER INSERT OR UPDATE OR DELETE ON device
    FOR EACH STATEMENT EXECUTE FUNCTION bump_registry_version();

-- One row per (device, epoch): dedupe, gap list and ack value in one place.
-- `received` holds every settled seq: stored, quarantined, or in `lost` (closed as lost).
CREATE TABLE ledger (
    device_no int NOT NULL REFERENCES device,
    epoch text NOT NULL CONSTRAINT ledger_epoch_hex CHECK (epoch ~ '^[0-9a-f]{16}$'),
    received int8multirange NOT NULL DEFAULT '{}',
    lost int8multirange NOT NULL DEFAULT '{}',
    received_n bigint NOT NULL DEFAULT 0,
    stored_n bigint NOT NULL DEFAULT 0,
    duplicate_n bigint NOT NULL DEFAULT 0,
    quarantined_n bigint NOT NULL DEFAULT 0,
    is_gapped boolean NOT NULL DEFAULT false,
    first_at timestamptz NOT NULL,
    last_at timestamptz NOT NULL,
    PRIMARY KEY (device_no, epoch),
    CONSTRAINT ledger_equation CHECK (received_n = stored_n + duplicate_n + quarantined_n)
) WITH (fillfactor = 60);
CREATE INDEX ledger_gapped ON ledger (device_no, epoch) WHERE is_gapped;

-- Gaps that stood long enough to be written down; `closed_as` says how each ended.
CREATE TABLE gap (
    gap_no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    device_no int NOT NULL,
    epoch text NOT NULL,
    low bigint NOT NULL,
    high bigint NOT NULL,
    opened_at timestamptz NOT NULL,
    asked_n int NOT NULL DEFAULT 0,
    asked_at timestamptz,
    closed_at timestamptz,
    closed_as text CONSTRAINT gap_closed_word
        CHECK (closed_as IN ('received', 'lost_on_device', 'changed')),
    FOREIGN KEY (device_no, epoch) REFERENCES ledger,
    CONSTRAINT gap_not_empty CHECK (low <= high),
    CONSTRAINT gap_closed_whole CHECK ((closed_at IS NULL) = (closed_as IS NULL))
);
CREATE UNIQUE INDEX gap_open_once ON gap (device_no, epoch, low) WHERE closed_at IS NULL;
CREATE INDEX gap_by_device ON gap (device_no, opened_at DESC, gap_no DESC);
CREATE INDEX gap_open_oldest ON gap (opened_at, gap_no) WHERE closed_at IS NULL;
CREATE INDEX gap_lost_newest ON gap (closed_at DESC, gap_no DESC)
    WHERE closed_as = 'lost_on_device';

-- received = stored + duplicate + quarantined, for each way in; `received` is counted at the
-- door and the others at the outcome, so the equation can fail and is worth checking.
CREATE TABLE intake_total (
    source text PRIMARY KEY,
    received_n bigint NOT NULL DEFAULT 0,
    stored_n bigint NOT NULL DEFAULT 0,
    duplicate_n bigint NOT NULL DEFAULT 0,
    quarantined_n bigint NOT NULL DEFAULT 0,
    state_n bigint NOT NULL DEFAULT 0,
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE quarantine_total (
    reason text PRIMARY KEY,
    message_n bigint NOT NULL DEFAULT 0
);

CREATE TABLE metric (
    metric_no int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL CONSTRAINT metric_name_unique UNIQUE
        CONSTRAINT metric_name_wellformed CHECK (name ~ '^[a-z][a-z0-9_]{0,62}$'),
    is_catalogued boolean NOT NULL DEFAULT false
);
-- Which tenant's devices use which metric outside the catalogue: the per-tenant limit counts here.
CREATE TABLE tenant_metric (
    tenant_no int NOT NULL REFERENCES tenant,
    metric_no int NOT NULL REFERENCES metric,
    first_seen_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_no, metric_no)
);

-- `at` is the best estimate of true time; `device_at` is kept where the device said otherwise;
-- `clock` is fleet.clock.ClockQuality. Partitioned below, by the means this server has.
CREATE TABLE sample (
    at timestamptz NOT NULL,
    received_at timestamptz NOT NULL,
    value float8 NOT NULL,
    device_no int NOT NULL,
    metric_no int NOT NULL,
    clock smallint NOT NULL,
    device_at timestamptz
) /*partitioning*/;

CREATE TABLE fault_event (
    device_no int NOT NULL REFERENCES device,
    epoch text NOT NULL,
    seq bigint NOT NULL,
    idx smallint NOT NULL,
    system text NOT NULL,
    code text NOT NULL,
    state text NOT NULL
        CONSTRAINT fault_event_state_word CHECK (state IN ('raised', 'cleared', 'logged')),
    count int,
    at timestamptz NOT NULL,
    device_at timestamptz,
    received_at timestamptz NOT NULL,
    clock smallint NOT NULL,
    ctx jsonb,
    PRIMARY KEY (device_no, epoch, seq, idx)
);
CREATE INDEX fault_event_by_code ON fault_event (device_no, system, code, at);
CREATE INDEX fault_event_by_time ON fault_event (device_no, at);
-- The controller's last total before a time, without reading past every raise and clear.
CREATE INDEX fault_event_logged ON fault_event (device_no, system, code, at)
    WHERE state = 'logged';

CREATE TABLE device_state (
    device_no int PRIMARY KEY REFERENCES device,
    is_online boolean NOT NULL,
    boot bigint NOT NULL,
    epoch text,
    clock text,
    skew_ms bigint,
    model text,
    hw text,
    fw text,
    oldest_seq bigint,
    next_seq bigint,
    born_at timestamptz,
    changed_at timestamptz NOT NULL
);

-- Clock skew per boot: device clock minus receipt, the largest seen, since a delay only lowers it.
CREATE TABLE device_boot (
    device_no int NOT NULL REFERENCES device,
    boot bigint NOT NULL,
    skew_ms bigint,
    born_at timestamptz NOT NULL,
    PRIMARY KEY (device_no, boot)
);
CREATE INDEX device_boot_skewed ON device_boot (device_no)
    WHERE skew_ms > 30000 OR skew_ms < -30000;

-- One row per distinct (topic, payload): a redelivery only counts up.
CREATE TABLE quarantine (
    quarantine_no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    digest bytea NOT NULL CONSTRAINT quarantine_digest_unique UNIQUE,
    reason text NOT NULL CONSTRAINT quarantine_reason_word CHECK (reason IN (
        'malformed', 'too_large', 'out_of_range', 'bad_time', 'wrong_shard', 'wrong_tenant',
        'identity_mismatch', 'unknown_device', 'pending_device', 'revoked_device',
        'unknown_channel', 'no_decoder', 'too_many_metrics', 'rejected_by_database')),
    detail text NOT NULL,
    topic bytea NOT NULL,
    tenant_id text,
    device_id text,
    content_type text,
    payload bytea NOT NULL,
    payload_size int NOT NULL,
    epoch text,
    seq bigint,
    message_n bigint NOT NULL DEFAULT 1,
    received_at timestamptz NOT NULL,
    last_at timestamptz NOT NULL,
    replayed_at timestamptz
);
CREATE INDEX quarantine_by_device ON quarantine (device_id);
CREATE INDEX quarantine_by_reason ON quarantine (reason, quarantine_no DESC);

-- Work for diagnostics: one row per record with faults, deleted in the transaction that uses it.
CREATE TABLE inbox (
    inbox_no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    device_no int NOT NULL,
    epoch text NOT NULL,
    seq bigint NOT NULL,
    received_at timestamptz NOT NULL,
    due_at timestamptz NOT NULL DEFAULT '-infinity' -- later only where a decision must wait
);
CREATE INDEX inbox_due ON inbox (due_at, inbox_no);

-- Hours whose rollup no longer holds. Append-only on purpose: with one row per key, a mark made
-- while the job recomputes that key would be lost with the row the job deletes.
CREATE TABLE dirty_hour (
    hour timestamptz NOT NULL,
    device_no int NOT NULL
);

CREATE TABLE rollup_hour (
    device_no int NOT NULL,
    metric_no int NOT NULL,
    hour timestamptz NOT NULL,
    sample_n int NOT NULL,
    min float8 NOT NULL,
    max float8 NOT NULL,
    sum float8 NOT NULL,
    last float8 NOT NULL,
    last_at timestamptz NOT NULL,
    PRIMARY KEY (device_no, metric_no, hour)
);
CREATE TABLE latest (
    device_no int NOT NULL,
    metric_no int NOT NULL,
    at timestamptz NOT NULL,
    value float8 NOT NULL,
    PRIMARY KEY (device_no, metric_no)
);

-- One stretch of one fault on one device. Recomputed from fault_event, so any arrival order
-- ends in the same rows; device, system, code and start stay the same while it is recomputed.
CREATE TABLE episode (
    episode_no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    device_no int NOT NULL REFERENCES device,
    system text NOT NULL,
    code text NOT NULL,
    started_at timestamptz NOT NULL,
    last_at timestamptz NOT NULL,
    ended_at timestamptz,
    raised_n int NOT NULL,
    cleared_n int NOT NULL,
    logged_n bigint NOT NULL,
    first_received_at timestamptz NOT NULL,
    CONSTRAINT episode_unique_start UNIQUE (device_no, system, code, started_at),
    CONSTRAINT episode_ends_after_start CHECK (ended_at IS NULL OR ended_at >= started_at),
    CONSTRAINT episode_counts CHECK (raised_n >= 0 AND cleared_n >= 0 AND logged_n >= 0)
);
CREATE INDEX episode_by_device ON episode (device_no, started_at DESC);
CREATE UNIQUE INDEX episode_open_once ON episode (device_no, system, code) WHERE ended_at IS NULL;

CREATE TABLE ticket (
    ticket_no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    device_no int NOT NULL REFERENCES device,
    tenant_no int NOT NULL REFERENCES tenant,
    cause text NOT NULL,
    state text NOT NULL DEFAULT 'new' CONSTRAINT ticket_state_word CHECK (state IN (
        'new', 'triaged', 'assigned', 'waiting', 'solved', 'verified', 'closed', 'void')),
    order_kind text NOT NULL CONSTRAINT ticket_order_kind_word CHECK (order_kind IN (
        'AU', 'akut AU', 'FU', 'support', 'supplier')),
    severity text NOT NULL
        CONSTRAINT ticket_severity_word CHECK (severity IN ('info', 'minor', 'major', 'critical')),
    usability text NOT NULL
        CONSTRAINT ticket_usability_word CHECK (usability IN ('usable', 'degraded', 'unusable')),
    fixer text NOT NULL
        CONSTRAINT ticket_fixer_word CHECK (fixer IN ('user', 'technician', 'supplier')),
    component text NOT NULL,
    title_sv text NOT NULL,
    title_en text NOT NULL,
    body_sv text NOT NULL,
    body_en text NOT NULL,
    started_at timestamptz NOT NULL,
    known_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    state_at timestamptz NOT NULL DEFAULT now(), -- when `state` last changed
    is_active boolean NOT NULL DEFAULT true, -- the fault lasts; false once all has cleared
    version int NOT NULL DEFAULT 1
);
CREATE UNIQUE INDEX ticket_one_open_per_cause ON ticket (device_no, cause)
    WHERE state NOT IN ('verified', 'closed', 'void');
CREATE INDEX ticket_queue ON ticket (tenant_no, known_at)
    WHERE state NOT IN ('verified', 'closed', 'void');
CREATE INDEX ticket_by_device ON ticket (device_no, known_at DESC);
CREATE INDEX ticket_worst_first ON ticket (
    array_position(ARRAY['critical', 'major', 'minor', 'info'], severity), known_at, ticket_no)
    WHERE state NOT IN ('verified', 'closed', 'void');
CREATE INDEX ticket_ended_newest ON ticket (known_at DESC, ticket_no DESC)
    WHERE state IN ('verified', 'closed', 'void');

CREATE TABLE ticket_event (
    ticket_no bigint NOT NULL REFERENCES ticket,
    event_no int NOT NULL,
    at timestamptz NOT NULL,
    kind text NOT NULL,
    who text NOT NULL,
    detail jsonb NOT NULL DEFAULT '{}',
    PRIMARY KEY (ticket_no, event_no)
);

CREATE TABLE ticket_episode (
    ticket_no bigint NOT NULL REFERENCES ticket,
    episode_no bigint NOT NULL REFERENCES episode ON DELETE CASCADE,
    PRIMARY KEY (ticket_no, episode_no)
);
CREATE INDEX ticket_episode_by_episode ON ticket_episode (episode_no);

-- What must leave the house, in order per aggregate; a dispatcher leases rows and sends.
CREATE TABLE outbox (
    outbox_no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id uuid NOT NULL DEFAULT gen_random_uuid() CONSTRAINT outbox_id_unique UNIQUE,
    aggregate text NOT NULL,
    kind text NOT NULL,
    payload jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    next_try_at timestamptz NOT NULL DEFAULT now(),
    attempts int NOT NULL DEFAULT 0,
    locked_until timestamptz,
    done_at timestamptz
);
CREATE INDEX outbox_waiting ON outbox (next_try_at) WHERE done_at IS NULL;

-- Shard ownership: 256 shards in equal slots; a slot's holder proves itself by the fence.
CREATE TABLE ingest_slot (
    slot smallint PRIMARY KEY,
    holder uuid,
    fence bigint NOT NULL DEFAULT 0,
    expires_at timestamptz NOT NULL DEFAULT '-infinity'
);
INSERT INTO ingest_slot (slot) SELECT generate_series(0, 3);
CREATE TABLE ingest_worker (
    worker uuid PRIMARY KEY,
    seen_at timestamptz NOT NULL
);
