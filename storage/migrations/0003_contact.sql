-- Purpose: how people reach a centre, and what care units are called. Both may be unknown.

ALTER TABLE centre
    ADD COLUMN phone text CONSTRAINT centre_phone_digits CHECK (phone ~ '^\+?[0-9][0-9 -]{3,24}$'),
    ADD COLUMN hours text CONSTRAINT centre_hours_length CHECK (length(hours) BETWEEN 1 AND 200),
    ADD COLUMN email text
        CONSTRAINT centre_email_form CHECK (email ~ '^[^\s@]+@[^\s@]+$' AND length(email) <= 200),
    ADD COLUMN link text CONSTRAINT centre_link_https
        CHECK (link ~ '^https://[^\s"<>]+$' AND length(link) <= 300);

-- A unit is known by an id, such as a healthCareUnitHsaId, which tells a patient nothing.
CREATE TABLE care_unit (
    tenant_no int NOT NULL REFERENCES tenant,
    id text NOT NULL CONSTRAINT care_unit_id_length CHECK (length(id) BETWEEN 1 AND 80),
    name text NOT NULL CONSTRAINT care_unit_name_length CHECK (length(name) BETWEEN 1 AND 120),
    PRIMARY KEY (tenant_no, id)
);
ALTER TABLE care_unit ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_tenant ON care_unit TO fjarrkoll_api
    USING (tenant_no = (SELECT public.scope_tenant()));
GRANT SELECT ON care_unit TO fjarrkoll_api;
