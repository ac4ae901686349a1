-- name: gapped_ledger
-- Ledger rows with holes, and rows whose written gaps may have closed, in these shards; the next
-- of them after a device, since a sweep takes so many at a time and goes round.
SELECT ledger.device_no, ledger.epoch, ledger.received::text, ledger.lost::text,
    tenant.id, device.id
FROM ledger JOIN device USING (device_no) JOIN tenant USING (tenant_no)
WHERE device.shard = ANY(%(shards)s::smallint[]) AND ledger.device_no > %(after)s
    AND (ledger.is_gapped OR (ledger.device_no, ledger.epoch) IN (
        SELECT device_no, epoch FROM gap WHERE closed_at IS NULL))
ORDER BY ledger.device_no
FETCH FIRST %(limit)s ROWS WITH TIES;

-- name: open_gaps
-- The gaps written down and not closed, of some devices.
SELECT device_no, epoch, gap_no, low, high, opened_at, asked_at FROM gap
WHERE closed_at IS NULL AND device_no = ANY(%(devices)s::int[]);

-- name: insert_gaps
-- Write down new gaps.
INSERT INTO gap (device_no, epoch, low, high, opened_at)
SELECT * FROM unnest(%(device_no)s::int[], %(epoch)s::text[], %(low)s::bigint[],
    %(high)s::bigint[], %(opened_at)s::timestamptz[])
ON CONFLICT DO NOTHING;

-- name: close_gaps
-- Say how gaps ended.
UPDATE gap SET closed_at = %(at)s, closed_as = ended.closed_as
FROM unnest(%(gap_no)s::bigint[], %(closed_as)s::text[]) AS ended (gap_no, closed_as)
WHERE gap.gap_no = ended.gap_no AND gap.closed_at IS NULL;

-- name: note_asked
-- A gap was asked for once more.
UPDATE gap SET asked_n = asked_n + 1, asked_at = %(at)s WHERE gap_no = ANY(%(gap_no)s::bigint[]);
