-- name: agreements
-- Which policy binds the tenant and its centres from when, the newest first.
SELECT c.id AS centre_id, a.policy_id, a.from_at, a.who,
    a.from_at <= now() AND NOT EXISTS (SELECT FROM agreement AS later
        WHERE later.tenant_no = a.tenant_no AND later.from_at <= now()
            AND later.centre_no IS NOT DISTINCT FROM a.centre_no AND later.from_at > a.from_at)
        AS is_in_force
FROM agreement AS a LEFT JOIN centre AS c USING (centre_no)
ORDER BY a.from_at DESC, a.agreement_no DESC
LIMIT 500;
