-- name: put_models
-- Copy the shipped model catalogue, so that device rows can refer to it.
INSERT INTO model (id, device_class, maker, name)
SELECT * FROM unnest(%(id)s::text[], %(device_class)s::text[], %(maker)s::text[], %(name)s::text[])
ON CONFLICT (id) DO UPDATE SET
    device_class = EXCLUDED.device_class, maker = EXCLUDED.maker, name = EXCLUDED.name;

-- name: put_metrics
-- Give every catalogued metric its number, and say why it is sent.
INSERT INTO metric (name, is_catalogued, purpose)
SELECT name, true, purpose
FROM unnest(%(name)s::text[], %(purpose)s::text[]) AS listed (name, purpose)
ON CONFLICT (name) DO UPDATE SET is_catalogued = true, purpose = EXCLUDED.purpose
WHERE NOT metric.is_catalogued OR metric.purpose <> EXCLUDED.purpose;

-- name: put_tenant
-- A tenant, made at first mention.
INSERT INTO tenant (id, name) VALUES (%(id)s, %(name)s) ON CONFLICT (id) DO NOTHING;

-- name: put_centre
-- A centre of a tenant, made at first mention.
INSERT INTO centre (tenant_no, id, name)
SELECT tenant_no, %(centre)s, %(name)s FROM tenant WHERE id = %(tenant)s
ON CONFLICT (tenant_no, id) DO NOTHING;

-- name: add_devices
-- Register devices; one that exists already is left as it is.
INSERT INTO device (id, tenant_no, centre_no, model_id, shard, status, serial, individual_no)
SELECT listed.id, tenant.tenant_no, centre.centre_no, listed.model_id, listed.shard,
    %(status)s, listed.serial, listed.individual_no
FROM unnest(%(id)s::text[], %(model_id)s::text[], %(shard)s::smallint[], %(serial)s::text[],
    %(individual_no)s::text[]) AS listed (id, model_id, shard, serial, individual_no)
JOIN tenant ON tenant.id = %(tenant)s
LEFT JOIN centre ON centre.tenant_no = tenant.tenant_no AND centre.id = %(centre)s
ON CONFLICT (id) DO NOTHING
RETURNING id;

-- name: owners_of
-- Whose these devices are, where they are registered.
SELECT device.id, tenant.id FROM device JOIN tenant USING (tenant_no)
WHERE device.id = ANY(%(ids)s::text[]);

-- name: set_device_status
-- Claim or revoke one device.
UPDATE device SET status = %(status)s WHERE id = %(id)s RETURNING device_no;

-- name: find_device
-- One device as `fjarrkoll device show` prints it.
SELECT device.id, tenant.id, device.model_id, device.status, device.shard, device.serial,
    device.individual_no, device.created_at
FROM device JOIN tenant USING (tenant_no) WHERE device.id = %(id)s;
