-- name: set_contact
-- How people reach a centre. What is not given stays; what is given empty goes.
UPDATE centre AS c SET
    phone = CASE WHEN %(phone)s::text IS NULL THEN c.phone ELSE nullif(%(phone)s::text, '') END,
    hours = CASE WHEN %(hours)s::text IS NULL THEN c.hours ELSE nullif(%(hours)s::text, '') END,
    email = CASE WHEN %(email)s::text IS NULL THEN c.email ELSE nullif(%(email)s::text, '') END,
    link = CASE WHEN %(link)s::text IS NULL THEN c.link ELSE nullif(%(link)s::text, '') END
FROM tenant AS t
WHERE t.tenant_no = c.tenant_no AND t.id = %(tenant)s::text AND c.id = %(centre)s::text
RETURNING c.name, c.phone, c.hours, c.email, c.link;

-- name: contact_of
-- How people reach the centre that services a device; nothing where it has none.
SELECT c.name, c.phone, c.hours, c.email, c.link
FROM device AS d JOIN centre AS c USING (centre_no)
WHERE d.device_no = %(device_no)s::int;

-- name: put_unit
-- What a care unit is called.
INSERT INTO care_unit (tenant_no, id, name)
SELECT tenant_no, %(unit)s::text, %(name)s::text FROM tenant WHERE id = %(tenant)s::text
ON CONFLICT (tenant_no, id) DO UPDATE SET name = EXCLUDED.name
RETURNING id;

-- name: unit_names
-- What these care units are called, where it is known.
SELECT id, name FROM care_unit WHERE id = ANY(%(units)s::text[])
ORDER BY id LIMIT 1000;
