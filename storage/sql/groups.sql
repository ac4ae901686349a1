-- name: silent_peers
-- Devices in these groups that have been silent for longer than their model is, with the groups
-- they are in. Those in the workshop, in transport or in storage are left out.
SELECT d.device_no, heard.at, gateway.id, d.area, d.network, centre.id, d.model_id
FROM device AS d
JOIN unnest(%(models)s::text[], %(silences)s::interval[]) AS m (id, silence) ON m.id = d.model_id
LEFT JOIN device AS gateway ON gateway.device_no = d.gateway_no
LEFT JOIN centre ON centre.centre_no = d.centre_no
CROSS JOIN LATERAL (
    SELECT max(last_at) AS at FROM ledger WHERE ledger.device_no = d.device_no
) AS heard
WHERE d.tenant_no = %(tenant_no)s::int AND d.status = 'active'
    AND (gateway.id = ANY(%(gateways)s::text[]) OR d.area = ANY(%(areas)s::text[])
        OR d.network = ANY(%(networks)s::text[]) OR centre.id = ANY(%(centres)s::text[]))
    AND heard.at < %(now)s::timestamptz - m.silence
    AND heard.at > %(now)s::timestamptz - %(at_most)s::interval
    AND NOT EXISTS (SELECT FROM placement WHERE placement.device_no = d.device_no
        AND placement.place <> 'in_use' AND placement.until_at IS NULL)
ORDER BY d.device_no;

-- name: census
-- How many devices each of these groups has whose silence says something, and the tenant in all.
WITH counted AS (
    SELECT device.*, centre.id AS centre_id, gateway.id AS gateway_id
    FROM device
    LEFT JOIN centre USING (centre_no)
    LEFT JOIN device AS gateway ON gateway.device_no = device.gateway_no
    WHERE device.tenant_no = %(tenant_no)s::int AND device.status = 'active'
        AND device.model_id = ANY(%(models)s::text[])
)
SELECT 'all', '', count(*) FROM counted
UNION ALL
SELECT 'gateway', gateway_id, count(*) FROM counted
WHERE gateway_id = ANY(%(gateways)s::text[]) GROUP BY gateway_id
UNION ALL
SELECT 'area', area, count(*) FROM counted WHERE area = ANY(%(areas)s::text[]) GROUP BY area
UNION ALL
SELECT 'network', network, count(*) FROM counted
WHERE network = ANY(%(networks)s::text[]) GROUP BY network
UNION ALL
SELECT 'cell', network || ', ' || area, count(*) FROM counted
WHERE network = ANY(%(networks)s::text[]) AND area = ANY(%(areas)s::text[])
GROUP BY network, area
UNION ALL
SELECT 'centre', centre_id, count(*) FROM counted
WHERE centre_id = ANY(%(centres)s::text[]) GROUP BY centre_id;

-- name: silent_findings
-- The open findings about lost contact of these devices.
SELECT finding_no, device_no FROM finding
WHERE device_no = ANY(%(devices)s::int[]) AND about = 'contact' AND ended_at IS NULL;

-- name: over_groups
-- Untouched group tickets that hold devices, all of which are well again.
SELECT ticket.ticket_no FROM ticket
WHERE ticket.device_no IS NULL AND ticket.subject NOT LIKE 'model:%%' AND ticket.state = 'new'
    AND EXISTS (SELECT FROM ticket_finding AS link WHERE link.ticket_no = ticket.ticket_no)
    AND NOT EXISTS (SELECT FROM ticket_finding AS link JOIN finding AS f USING (finding_no)
        WHERE link.ticket_no = ticket.ticket_no AND f.device_no IS NOT NULL
            AND f.ended_at IS NULL)
ORDER BY ticket.ticket_no FOR UPDATE OF ticket SKIP LOCKED;

-- name: void_groups
-- Group tickets that nobody has to work on any more; the caller holds their rows.
UPDATE ticket SET state = 'void', state_at = %(now)s::timestamptz, is_active = false,
    updated_at = %(now)s::timestamptz, version = version + 1
WHERE ticket_no = ANY(%(tickets)s::bigint[]);

-- name: tenants_to_judge
-- Tenants whose fleet has not been judged up to a closed day; another process skips them.
SELECT tenant.tenant_no, tenant.id FROM tenant LEFT JOIN fleet_day USING (tenant_no)
WHERE coalesce(fleet_day.day, 0) < %(day)s::int
    AND pg_try_advisory_xact_lock(hashtext('judge_fleet'), tenant.tenant_no)
ORDER BY tenant.tenant_no LIMIT 1;

-- name: judged
-- A tenant's fleet has been judged up to a closed day.
INSERT INTO fleet_day (tenant_no, day) VALUES (%(tenant_no)s, %(day)s)
ON CONFLICT (tenant_no) DO UPDATE SET day = EXCLUDED.day;

-- name: fleet_devices
-- A tenant's devices as group rules compare them.
SELECT d.device_no, tenant.id, d.model_id, s.fw, d.batch, model.device_class
FROM device AS d JOIN tenant USING (tenant_no) JOIN model ON model.id = d.model_id
LEFT JOIN device_state AS s USING (device_no)
WHERE d.tenant_no = %(tenant_no)s::int AND d.status = 'active'
ORDER BY d.device_no;

-- name: faulted
-- Which components faulted on which devices, by findings that rest on reported faults. A storm
-- is one cause of its own and says nothing of a model or a batch.
SELECT component, array_agg(DISTINCT device_no) FROM finding
WHERE tenant_no = %(tenant_no)s::int AND device_no IS NOT NULL AND need = 'ticket'
    AND about LIKE '%%/%%' AND known_at >= %(from_at)s::timestamptz
    AND known_at < %(to_at)s::timestamptz AND started_at >= %(from_at)s::timestamptz
    AND NOT EXISTS (SELECT FROM ticket_finding AS link JOIN ticket USING (ticket_no)
        WHERE link.finding_no = finding.finding_no AND ticket.subject LIKE 'storm:%%')
GROUP BY component;

-- name: members
-- The findings of these devices about one component in a range: what a group's ticket links.
SELECT finding_no FROM finding
WHERE device_no = ANY(%(devices)s::int[]) AND component = %(component)s::text
    AND need = 'ticket' AND started_at >= %(from_at)s::timestamptz;
