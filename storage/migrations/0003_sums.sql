-- Purpose: what a tenant may count. Alone, it counts the installation; among others, only itself.

-- True for staff of a tenant that has the installation to itself.
CREATE FUNCTION counts_all() RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT public.scope_is_staff() AND count(*) = 1 AND bool_and(t.tenant_no = public.scope_tenant())
    FROM tenant t
$$;

-- Backtests run over every tenant's devices and tickets, and their sums say how many there are.
CREATE POLICY only_tenant ON backtest TO fjarrkoll_api USING ((SELECT public.counts_all()));

-- The rest is planned as a part of the functions below, with their rights.
CREATE FUNCTION counted_ledgers() RETURNS SETOF ledger LANGUAGE sql STABLE AS $$
    SELECT l.* FROM public.ledger l JOIN public.device d USING (device_no)
    WHERE (SELECT public.scope_is_staff()) AND d.tenant_no = (SELECT public.scope_tenant())
        AND NOT (SELECT public.counts_all())
$$;
-- What is in quarantine still. `settled_n` is 1 where a ledger counts it too.
CREATE FUNCTION counted_messages()
RETURNS TABLE (reason text, message_n bigint, settled_n int, last_at timestamptz)
LANGUAGE sql STABLE AS $$
    SELECT q.reason, q.message_n, (q.epoch IS NOT NULL)::int, q.last_at
    FROM public.quarantine q
    WHERE (SELECT public.scope_is_staff()) AND q.tenant_id = (SELECT public.scope_tenant_id())
        AND NOT (SELECT public.counts_all())
        AND coalesce(q.replayed_as, '') NOT IN ('stored', 'duplicate')
        AND NOT EXISTS (SELECT FROM public.device d
            WHERE d.id = q.device_id AND d.tenant_no <> (SELECT public.scope_tenant()))
$$;
CREATE FUNCTION is_counted(wanted int) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT (SELECT public.counts_all()) OR EXISTS (SELECT FROM public.device d
        WHERE d.device_no = wanted AND d.tenant_no = (SELECT public.scope_tenant()))
$$;

-- The loss equation for whoever asks. A tenant alone sees each way in, counted at both ends. One
-- among others sees what its devices' ledgers say, and what came without a number that a ledger
-- could take: what is in a ledger is not counted again, and what a replay moved is in a ledger.
CREATE FUNCTION intake_sums() RETURNS TABLE (source text, received_n bigint, stored_n bigint,
    duplicate_n bigint, quarantined_n bigint, state_n bigint, updated_at timestamptz,
    receipt_delay_s float8, age_s float8)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp SET jit = off AS $$
    SELECT t.source, t.received_n, t.stored_n, t.duplicate_n, t.quarantined_n, t.state_n,
        t.updated_at, t.receipt_delay_s, t.age_s
    FROM intake_total t WHERE (SELECT public.counts_all())
    UNION ALL
    SELECT 'ledger', sum(l.received_n)::bigint, sum(l.stored_n)::bigint,
        sum(l.duplicate_n)::bigint, sum(l.quarantined_n)::bigint, NULL, max(l.last_at),
        NULL, NULL
    FROM counted_ledgers() l HAVING count(*) > 0
    UNION ALL
    SELECT 'unnumbered', sum(q.message_n - q.settled_n)::bigint, 0, 0,
        sum(q.message_n - q.settled_n)::bigint, NULL, max(q.last_at),
        NULL, NULL
    FROM counted_messages() q HAVING sum(q.message_n - q.settled_n) > 0
$$;

-- Why messages are in quarantine, for whoever asks. For one tenant among others, by the rows that
-- are kept; `unkept` are those that the ledgers count and the quotas had no room for.
CREATE FUNCTION quarantine_sums() RETURNS TABLE (reason text, message_n bigint)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp SET jit = off AS $$
    SELECT t.reason, t.message_n FROM quarantine_total t WHERE (SELECT public.counts_all())
    UNION ALL
    SELECT q.reason, sum(q.message_n)::bigint FROM counted_messages() q GROUP BY q.reason
    UNION ALL
    SELECT 'unkept', sum(l.quarantined_n)::bigint
        - (SELECT coalesce(sum(q.settled_n), 0) FROM counted_messages() q)
    FROM counted_ledgers() l HAVING count(*) > 0
$$;

-- What waits to be worked on: counts that name nobody. Slots are of the installation.
CREATE FUNCTION waiting_work(count_limit int) RETURNS TABLE (
    dirty_hour_n bigint, dirty_oldest_at timestamptz, inbox_n bigint, inbox_oldest_at timestamptz,
    outbox_n bigint, slots_held_n bigint, slot_n bigint)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp SET jit = off AS $$
    WITH hours AS (
        SELECT h.hour FROM dirty_hour h WHERE is_counted(h.device_no) LIMIT count_limit
    )
    SELECT
        (SELECT count(*) FROM hours),
        (SELECT min(hour) FROM hours),
        (SELECT count(*) FROM (SELECT FROM inbox i WHERE is_counted(i.device_no)
            LIMIT count_limit) x),
        (SELECT i.received_at FROM inbox i WHERE is_counted(i.device_no)
            ORDER BY i.inbox_no LIMIT 1),
        (SELECT count(*) FROM (SELECT FROM outbox WHERE done_at IS NULL
            AND ((SELECT public.counts_all())
                OR payload ->> 'tenant' = (SELECT public.scope_tenant_id()))
            LIMIT count_limit) x),
        (SELECT count(*) FROM ingest_slot WHERE expires_at > now()),
        (SELECT count(*) FROM ingest_slot)
$$;
