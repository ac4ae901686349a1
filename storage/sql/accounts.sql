-- name: totals
-- The loss equation over all ways in, and what came of it.
SELECT COALESCE(sum(received_n), 0)::bigint, COALESCE(sum(stored_n), 0)::bigint,
    COALESCE(sum(duplicate_n), 0)::bigint, COALESCE(sum(quarantined_n), 0)::bigint,
    (SELECT count(*) FROM fault_event), (SELECT count(*) FROM episode),
    (SELECT count(*) FROM ticket)
FROM intake_total;

-- name: quarantined_by_reason
-- Quarantined messages, kept or only counted.
SELECT reason, message_n FROM quarantine_total ORDER BY reason;

-- name: ledger
-- Every ledger row, for a check of the whole.
SELECT device.id, ledger.epoch, ledger.received::text, ledger.lost::text
FROM ledger JOIN device USING (device_no);

-- name: server
-- What server this is.
SELECT current_setting('server_version'),
    (SELECT extversion FROM pg_extension WHERE extname = 'timescaledb');

-- name: work_left
-- What diagnostics could do now and has not done yet.
SELECT (SELECT count(*) FROM inbox WHERE due_at <= now()), (SELECT count(*) FROM dirty_hour);
