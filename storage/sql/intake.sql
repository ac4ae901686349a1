-- name: tune_session
-- A batch touches a few thousand keys of tables that grow with the fleet: always by index. Left
-- alone the planner reads the whole ledger for each batch, as long as it is not very large. So one
-- plan fits every batch, and a small batch does not wait for a plan of its own.
-- And a worker that freezes in a transaction holds ledger rows that its successor waits for.
SELECT set_config(name, setting, false) FROM (VALUES
    ('enable_seqscan', 'off'), ('enable_hashjoin', 'off'), ('enable_mergejoin', 'off'),
    ('jit', 'off'), ('plan_cache_mode', 'force_generic_plan'),
    ('idle_in_transaction_session_timeout', '3s'), ('statement_timeout', '8s')
) AS wanted (name, setting);

-- name: registry_version
-- What the resolved devices in memory are checked against, once a batch.
SELECT version FROM registry_version;

-- name: resolve_devices
-- The devices that a batch speaks of and this process has not met yet.
SELECT device.id, device.device_no, tenant.id, device.status, device.shard, model.device_class
FROM device JOIN tenant USING (tenant_no) JOIN model ON model.id = device.model_id
WHERE device.id = ANY(%(ids)s);

-- name: skewed_boots
-- Clock skews worth correcting, of the devices in a batch; nearly always none. The newest boot
-- comes with them whatever its skew: a record that names no boot belongs to it.
WITH skewed AS MATERIALIZED (
    SELECT device_no, boot, skew_ms FROM device_boot
    WHERE device_no = ANY(%(devices)s::int[]) AND (skew_ms > 30000 OR skew_ms < -30000)
)
SELECT device_no, boot, skew_ms FROM skewed
UNION
SELECT newest.device_no, newest.boot, newest.skew_ms
FROM (SELECT DISTINCT device_no FROM skewed) AS speaker
CROSS JOIN LATERAL (
    SELECT device_no, boot, skew_ms FROM device_boot
    WHERE device_boot.device_no = speaker.device_no ORDER BY boot DESC LIMIT 1
) AS newest;

-- name: catalogued_metrics
-- Numbers of the metrics that every tenant may use.
SELECT name, metric_no FROM metric WHERE is_catalogued;

-- name: tenant_metrics
-- Numbers of the metrics outside the catalogue that a tenant's devices already use.
SELECT metric.name, metric_no
FROM tenant_metric JOIN metric USING (metric_no) JOIN tenant USING (tenant_no)
WHERE tenant.id = %(tenant)s;

-- name: lock_tenant_metrics
-- One registration at a time per tenant, so that the limit holds under races.
SELECT tenant_no, pg_advisory_xact_lock(hashtext('tenant_metric'), tenant_no)
FROM tenant WHERE id = %(tenant)s;

-- name: add_metrics
-- Give numbers to metric names that nobody used before.
INSERT INTO metric (name) SELECT unnest(%(names)s::text[]) ON CONFLICT (name) DO NOTHING;

-- name: add_tenant_metrics
-- Note that this tenant uses these names; the per-tenant limit counts the rows.
INSERT INTO tenant_metric (tenant_no, metric_no)
SELECT %(tenant_no)s, metric_no FROM metric WHERE name = ANY(%(names)s)
ON CONFLICT DO NOTHING;

-- name: ensure_partition
-- Make the month that a sample falls in; a hypertable needs nothing.
SELECT ensure_sample_partition(%(month)s::date);

-- name: held_slots
-- Which slots of a batch are still ours. Not locked: a row lock held by one writer after another
-- would keep the lease from ever being renewed, and the ledger's locks keep a late commit harmless.
SELECT slot.slot FROM ingest_slot AS slot
JOIN unnest(%(slots)s::smallint[], %(fences)s::bigint[]) AS held (slot, fence) USING (slot, fence);

-- name: known_epochs
-- All epochs of devices that report their state: old epochs' gaps are closed by it.
SELECT device_no, epoch FROM ledger WHERE device_no = ANY(%(devices)s::int[]);

-- name: lock_ledger
-- Lock the ledger rows of a batch, in one order everywhere so that lanes never deadlock.
SELECT ledger.device_no, ledger.epoch, ledger.received::text, ledger.lost::text
FROM ledger
JOIN unnest(%(devices)s::int[], %(epochs)s::text[]) AS wanted (device_no, epoch)
    USING (device_no, epoch)
ORDER BY ledger.device_no, ledger.epoch
FOR UPDATE OF ledger;

-- name: open_ledger
-- First sight of an epoch: an empty row, which the caller then locks like any other.
INSERT INTO ledger (device_no, epoch, first_at, last_at)
SELECT device_no, epoch, %(at)s, %(at)s
FROM unnest(%(devices)s::int[], %(epochs)s::text[]) AS wanted (device_no, epoch)
ORDER BY device_no, epoch
ON CONFLICT (device_no, epoch) DO NOTHING;

-- name: write_ledger
-- What the batch changed: settled ranges, counters, and whether a gap is open.
UPDATE ledger SET
    received = changed.received::int8multirange,
    lost = changed.lost::int8multirange,
    is_gapped = changed.is_gapped,
    received_n = ledger.received_n + changed.received_n,
    stored_n = ledger.stored_n + changed.stored_n,
    duplicate_n = ledger.duplicate_n + changed.duplicate_n,
    quarantined_n = ledger.quarantined_n + changed.quarantined_n,
    last_at = GREATEST(ledger.last_at, %(at)s)
FROM unnest(
    %(devices)s::int[], %(epochs)s::text[], %(received)s::text[], %(lost)s::text[],
    %(gapped)s::boolean[], %(received_n)s::int[], %(stored_n)s::int[],
    %(duplicate_n)s::int[], %(quarantined_n)s::int[]
) AS changed (
    device_no, epoch, received, lost, is_gapped, received_n, stored_n, duplicate_n, quarantined_n
)
WHERE ledger.device_no = changed.device_no AND ledger.epoch = changed.epoch;

-- name: copy_samples
-- New samples; the ledger has already said that they are new.
COPY sample (at, received_at, device_no, clock, device_at, metric_no, value)
FROM STDIN (FORMAT BINARY);

-- name: copy_dirty_hours
-- Hours whose rollup must be made again.
COPY dirty_hour (hour, device_no) FROM STDIN (FORMAT BINARY);

-- name: insert_faults
-- The fault codes of new records.
INSERT INTO fault_event (device_no, epoch, seq, idx, system, code, state, count,
    at, device_at, received_at, clock, ctx)
SELECT * FROM unnest(
    %(device_no)s::int[], %(epoch)s::text[], %(seq)s::bigint[], %(idx)s::smallint[],
    %(system)s::text[], %(code)s::text[], %(state)s::text[], %(count)s::int[],
    %(at)s::timestamptz[], %(device_at)s::timestamptz[], %(received_at)s::timestamptz[],
    %(clock)s::smallint[], %(ctx)s::jsonb[]
);

-- name: insert_inbox
-- One piece of work for diagnostics per record with faults.
INSERT INTO inbox (device_no, epoch, seq, received_at)
SELECT * FROM unnest(
    %(device_no)s::int[], %(epoch)s::text[], %(seq)s::bigint[], %(received_at)s::timestamptz[]
);

-- name: known_in_quarantine
-- What is kept already: it counts up, and needs no room.
SELECT digest FROM quarantine WHERE digest = ANY(%(digests)s::bytea[]);

-- name: kept_in_quarantine
-- How much quarantine already keeps of these devices: the quota counts rows, not messages.
SELECT device_id, count(*) FROM quarantine
WHERE device_id = ANY(%(devices)s) GROUP BY device_id;

-- name: quarantine_is_full
-- The whole quarantine has a limit too; beyond it messages are counted and not kept.
SELECT count(*) >= %(limit)s FROM (SELECT 1 FROM quarantine LIMIT %(limit)s) AS kept;

-- name: insert_quarantine
-- Keep refused messages; the same bytes on the same topic only count up. `epoch` and `seq` say
-- that the ledger settled them by this message; what a replay took out of here begins anew.
INSERT INTO quarantine (digest, reason, detail, topic, tenant_id, device_id, content_type,
    payload, payload_size, epoch, seq, message_n, received_at, last_at)
SELECT * FROM unnest(
    %(digest)s::bytea[], %(reason)s::text[], %(detail)s::text[], %(topic)s::bytea[],
    %(tenant_id)s::text[], %(device_id)s::text[], %(content_type)s::text[],
    %(payload)s::bytea[], %(payload_size)s::int[], %(epoch)s::text[], %(seq)s::bigint[],
    %(message_n)s::bigint[], %(received_at)s::timestamptz[], %(last_at)s::timestamptz[]
)
ON CONFLICT (digest) DO UPDATE SET (reason, detail, epoch, seq, message_n, replayed_at, replayed_as)
    = (SELECT EXCLUDED.reason, EXCLUDED.detail, EXCLUDED.epoch, EXCLUDED.seq, EXCLUDED.message_n,
            NULL::timestamptz, NULL::text
        WHERE quarantine.replayed_as IN ('stored', 'duplicate')
        UNION ALL SELECT quarantine.reason, quarantine.detail,
            coalesce(quarantine.epoch, EXCLUDED.epoch), coalesce(quarantine.seq, EXCLUDED.seq),
            quarantine.message_n + EXCLUDED.message_n, quarantine.replayed_at,
            quarantine.replayed_as
        WHERE quarantine.replayed_as IS DISTINCT FROM 'stored'
            AND quarantine.replayed_as IS DISTINCT FROM 'duplicate'),
    last_at = GREATEST(quarantine.last_at, EXCLUDED.last_at);

-- name: count_quarantine
-- Every quarantined message counts, kept or not.
INSERT INTO quarantine_total (reason, message_n)
SELECT reason, message_n FROM unnest(%(reasons)s::text[], %(counts)s::bigint[])
    AS counted (reason, message_n) ORDER BY reason
ON CONFLICT (reason) DO UPDATE
    SET message_n = quarantine_total.message_n + EXCLUDED.message_n;

-- name: count_intake
-- The loss equation, per way in, and how long what was stored had been under way.
INSERT INTO intake_total AS total
    (source, received_n, stored_n, duplicate_n, quarantined_n, state_n, receipt_delay_s, age_s)
VALUES (%(source)s, %(received)s, %(stored)s, %(duplicate)s, %(quarantined)s, %(state)s,
    %(receipt_delay_s)s::float8, %(age_s)s::float8)
ON CONFLICT (source) DO UPDATE SET
    received_n = total.received_n + EXCLUDED.received_n,
    stored_n = total.stored_n + EXCLUDED.stored_n,
    duplicate_n = total.duplicate_n + EXCLUDED.duplicate_n,
    quarantined_n = total.quarantined_n + EXCLUDED.quarantined_n,
    state_n = total.state_n + EXCLUDED.state_n,
    receipt_delay_s = coalesce(EXCLUDED.receipt_delay_s, total.receipt_delay_s),
    age_s = coalesce(EXCLUDED.age_s, total.age_s),
    updated_at = now();

-- name: write_birth
-- A birth replaces what is known of this boot or an older one; a copy that the broker kept may
-- be older than what is known of its boot.
INSERT INTO device_state AS known (device_no, is_online, boot, epoch, clock, skew_ms, model, hw,
    fw, oldest_seq, next_seq, born_at, changed_at)
VALUES (%(device_no)s, true, %(boot)s, %(epoch)s, %(clock)s, %(skew_ms)s, %(model)s, %(hw)s,
    %(fw)s, %(oldest_seq)s, %(next_seq)s, %(at)s, %(at)s)
ON CONFLICT (device_no) DO UPDATE SET
    is_online = true, boot = EXCLUDED.boot, epoch = EXCLUDED.epoch, clock = EXCLUDED.clock,
    skew_ms = COALESCE(EXCLUDED.skew_ms, known.skew_ms), model = EXCLUDED.model,
    hw = EXCLUDED.hw, fw = EXCLUDED.fw, oldest_seq = EXCLUDED.oldest_seq,
    next_seq = EXCLUDED.next_seq, born_at = EXCLUDED.born_at, changed_at = EXCLUDED.changed_at
WHERE known.boot <= EXCLUDED.boot AND (NOT %(is_copy)s OR known.boot < EXCLUDED.boot);

-- name: write_will
-- A last will, or a goodbye. One whose boot is older than the newest birth is ignored.
INSERT INTO device_state AS known (device_no, is_online, boot, changed_at)
VALUES (%(device_no)s, false, %(boot)s, %(at)s)
ON CONFLICT (device_no) DO UPDATE SET
    is_online = false, boot = EXCLUDED.boot, changed_at = EXCLUDED.changed_at
WHERE known.boot <= EXCLUDED.boot AND (NOT %(is_copy)s OR known.boot < EXCLUDED.boot);

-- name: write_boot
-- The skew of a boot is the largest seen: a delay on the way only makes it smaller. Its versions are
-- told by each of its births alike, and were told when the first of them was.
INSERT INTO device_boot AS known (device_no, boot, skew_ms, born_at, fw, hw, told_at)
VALUES (%(device_no)s, %(boot)s, %(skew_ms)s, %(at)s, %(fw)s, %(hw)s, %(told_at)s)
ON CONFLICT (device_no, boot) DO UPDATE SET
    skew_ms = GREATEST(known.skew_ms, EXCLUDED.skew_ms), fw = GREATEST(known.fw, EXCLUDED.fw),
    hw = GREATEST(known.hw, EXCLUDED.hw), told_at = LEAST(known.told_at, EXCLUDED.told_at);

-- name: write_settings
-- The settings of births, one birth a device: each is the whole set. Only one of this boot or a
-- newer one than told them last; a birth without settings is not asked about, so it cannot make
-- settings of an older boot too old. `write_birth` has locked the device's state before this.
WITH told AS (
    SELECT * FROM unnest(%(device_no)s::int[], %(boot)s::bigint[], %(at)s::timestamptz[],
        %(is_copy)s::boolean[], %(left_out_n)s::int[]) AS t (device_no, boot, at, is_copy, left_out_n)
), taken AS (
    UPDATE device_state AS known
    SET settings_boot = told.boot, settings_left_out_n = told.left_out_n
    FROM told
    WHERE known.device_no = told.device_no
        AND (known.settings_boot IS NULL OR known.settings_boot < told.boot
            OR (known.settings_boot = told.boot AND NOT told.is_copy))
    RETURNING known.device_no, told.at
), named AS (
    SELECT taken.device_no, taken.at, s.name, s.value, s.is_care
    FROM taken JOIN unnest(%(of_device)s::int[], %(name)s::text[], %(value)s::jsonb[],
        %(is_care)s::boolean[]) AS s (device_no, name, value, is_care) USING (device_no)
), gone AS (
    DELETE FROM device_setting AS known USING taken
    WHERE known.device_no = taken.device_no AND NOT EXISTS (
        SELECT FROM named WHERE named.device_no = known.device_no AND named.name = known.name)
    RETURNING known.device_no, known.name, known.is_care, taken.at
), changed AS (
    SELECT named.* FROM named LEFT JOIN device_setting AS known USING (device_no, name)
    WHERE known.value IS DISTINCT FROM named.value
), kept AS (
    INSERT INTO device_setting AS known (device_no, name, value, is_care, since, reported_at)
    SELECT device_no, name, value, is_care, at, at FROM named ORDER BY device_no, name
    ON CONFLICT (device_no, name) DO UPDATE SET
        value = EXCLUDED.value, is_care = EXCLUDED.is_care,
        since = CASE WHEN known.value = EXCLUDED.value THEN known.since ELSE EXCLUDED.since END,
        reported_at = CASE WHEN known.value = EXCLUDED.value
            THEN greatest(known.reported_at, EXCLUDED.reported_at) ELSE EXCLUDED.reported_at END
)
INSERT INTO device_setting_change (device_no, name, value, is_care, at)
SELECT device_no, name, value, is_care, at FROM changed
UNION ALL
SELECT device_no, name, NULL, is_care, at FROM gone
ORDER BY device_no, name;
