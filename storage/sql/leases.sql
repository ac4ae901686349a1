-- name: beat
-- This worker is alive, by the database's clock.
INSERT INTO ingest_worker (worker, seen_at) VALUES (%(worker)s, clock_timestamp())
ON CONFLICT (worker) DO UPDATE SET seen_at = EXCLUDED.seen_at;

-- name: bury
-- Workers that have been silent for ten leases are no longer of interest.
DELETE FROM ingest_worker WHERE seen_at < clock_timestamp() - %(lease)s::interval * 10;

-- name: lock_slots
-- One worker at a time decides who holds what; slots in use by a batch are waited for.
SELECT slot, holder, fence, expires_at > clock_timestamp() FROM ingest_slot
ORDER BY slot FOR UPDATE;

-- name: count_workers
-- Workers that share the slots now.
SELECT count(*) FROM ingest_worker WHERE seen_at > clock_timestamp() - %(lease)s::interval;

-- name: renew_slots
-- Keep what we hold for another lease.
UPDATE ingest_slot SET expires_at = clock_timestamp() + %(lease)s::interval
WHERE slot = ANY(%(slots)s) AND holder = %(worker)s;

-- name: take_slots
-- Take slots that are free or whose holder fell silent; the fence outdates its late commits.
UPDATE ingest_slot
SET holder = %(worker)s, fence = fence + 1, expires_at = clock_timestamp() + %(lease)s::interval
WHERE slot = ANY(%(slots)s);

-- name: free_slots
-- Give slots up at once, for another worker to take.
UPDATE ingest_slot SET holder = NULL, fence = fence + 1, expires_at = '-infinity'
WHERE slot = ANY(%(slots)s) AND holder = %(worker)s;

-- name: leave
-- A worker that stops in good order does not count for the share any more.
DELETE FROM ingest_worker WHERE worker = %(worker)s;
