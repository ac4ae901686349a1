-- name: enter
-- Whose rows this transaction may see. Local to the transaction, so a pooled connection keeps none.
SELECT
    set_config('fjarrkoll.tenant', %(tenant)s::text, true),
    set_config('fjarrkoll.tenant_no', coalesce(tenant_no_of(%(tenant)s::text), -1)::text, true),
    set_config('fjarrkoll.reach', %(reach)s::text, true),
    set_config('fjarrkoll.reach_key',
        CASE WHEN %(reach)s::text = 'centre'
            THEN coalesce(centre_no_of(%(tenant)s::text, %(key)s::text), -1)::text
            ELSE %(key)s::text END, true),
    set_config('fjarrkoll.subject', %(subject)s::text, true);

-- name: counts_all
-- True where the caller's tenant is alone, so that what it counts is the whole installation.
SELECT counts_all();
