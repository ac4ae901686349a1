-- Purpose: rules, findings, loans, placements, deadlines and what people do with tickets.

-- What groups devices when many fail at once. Coarse on purpose: an area, never an address.
ALTER TABLE device
    ADD COLUMN area text,
    ADD COLUMN network text,
    ADD COLUMN batch text,
    ADD COLUMN in_service_on date;
CREATE INDEX device_centre ON device (centre_no);

-- One person's time with one device. `person` is a pseudonym; `basic_needs` are coarse flags
-- from the prescriber: what the person cannot do while the device stands still.
CREATE TABLE loan (
    loan_no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    device_no int NOT NULL REFERENCES device,
    person text,
    basic_needs text[] NOT NULL DEFAULT '{}' CONSTRAINT loan_basic_needs_words CHECK (
        basic_needs <@ ARRAY['sole_mobility', 'breathing_support', 'communication', 'eating',
            'toilet', 'transfer', 'position_change']),
    started_at timestamptz NOT NULL,
    ended_at timestamptz,
    CONSTRAINT loan_ends_after_start CHECK (ended_at IS NULL OR ended_at >= started_at)
);
CREATE UNIQUE INDEX loan_one_current ON loan (device_no) WHERE ended_at IS NULL;
CREATE INDEX loan_by_device ON loan (device_no, started_at DESC);

-- Where a device is when it is not with its user. Outside `in_use` it is quiet: what it reports
-- is kept, and opens no tickets.
CREATE TABLE placement (
    placement_no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    device_no int NOT NULL REFERENCES device,
    place text NOT NULL CONSTRAINT placement_place_word
        CHECK (place IN ('in_use', 'workshop', 'transport', 'storage')),
    from_at timestamptz NOT NULL,
    until_at timestamptz,
    who text NOT NULL,
    why text NOT NULL DEFAULT '',
    CONSTRAINT placement_ends_after_start CHECK (until_at IS NULL OR until_at >= from_at)
);
CREATE UNIQUE INDEX placement_one_current ON placement (device_no) WHERE until_at IS NULL;
CREATE INDEX placement_by_device ON placement (device_no, from_at DESC);

-- A rule's text is kept as it was checked, so that a finding can always be traced to it.
CREATE TABLE rule_version (
    rule_id text NOT NULL CONSTRAINT rule_id_wellformed CHECK (rule_id ~ '^[a-z0-9._-]{1,40}$'),
    version int NOT NULL CONSTRAINT rule_version_positive CHECK (version > 0),
    digest text NOT NULL,
    body text NOT NULL,
    is_shipped boolean NOT NULL,
    added_at timestamptz NOT NULL,
    added_by text NOT NULL,
    PRIMARY KEY (rule_id, version)
);
CREATE TABLE backtest (
    backtest_no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    rule_id text NOT NULL,
    version int NOT NULL,
    from_at timestamptz NOT NULL,
    to_at timestamptz NOT NULL,
    ran_at timestamptz NOT NULL,
    who text NOT NULL,
    took_s real NOT NULL,
    device_n int NOT NULL,
    ticket_n int NOT NULL,
    worst_day_share double precision NOT NULL,
    result jsonb NOT NULL,
    FOREIGN KEY (rule_id, version) REFERENCES rule_version
);
CREATE INDEX backtest_newest ON backtest (rule_id, version, ran_at DESC);

-- Append-only: who turned which rule on or off, when and why. The last row of a rule counts.
CREATE TABLE rule_switch (
    switch_no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    rule_id text NOT NULL,
    version int NOT NULL,
    is_on boolean NOT NULL,
    at timestamptz NOT NULL,
    who text NOT NULL,
    why text NOT NULL,
    backtest_no bigint REFERENCES backtest,
    FOREIGN KEY (rule_id, version) REFERENCES rule_version
);
CREATE INDEX rule_switch_newest ON rule_switch (rule_id, switch_no DESC);

-- Devices whose metrics are to be looked at, from which moment on, and when. Marks made again
-- change nothing, so the table grows with what changed, not with how often.
CREATE TABLE agenda (
    device_no int PRIMARY KEY REFERENCES device,
    from_at timestamptz NOT NULL,
    due_at timestamptz NOT NULL
);
CREATE INDEX agenda_due ON agenda (due_at, device_no);

-- What an enabled rule concluded about one device, or about a group (`device_no` NULL). A
-- function of what is stored, reconciled like episodes: any arrival order ends in the same rows.
CREATE TABLE finding (
    finding_no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_no int NOT NULL REFERENCES tenant,
    device_no int REFERENCES device,
    subject text NOT NULL, -- 'device', or the group: 'model:x/fw:y'
    rule_id text NOT NULL,
    rule_version int NOT NULL,
    about text NOT NULL, -- what of the device: 'rnet.ics/2C00', a metric, 'contact'
    cause text NOT NULL,
    need text NOT NULL CONSTRAINT finding_need_word
        CHECK (need IN ('ticket', 'held', 'history', 'care', 'quiet', 'explained')),
    severity text NOT NULL
        CONSTRAINT finding_severity_word CHECK (severity IN ('info', 'minor', 'major', 'critical')),
    usability text NOT NULL
        CONSTRAINT finding_usability_word CHECK (usability IN ('usable', 'degraded', 'unusable')),
    fixer text NOT NULL
        CONSTRAINT finding_fixer_word CHECK (fixer IN ('user', 'technician', 'supplier')),
    component text NOT NULL,
    order_hint text, -- the order kind the rule asks for; NULL: by the class of the device
    started_at timestamptz NOT NULL,
    last_at timestamptz NOT NULL,
    ended_at timestamptz,
    known_at timestamptz NOT NULL,
    occurrence_n bigint NOT NULL DEFAULT 1,
    confidence double precision NOT NULL
        CONSTRAINT finding_confidence_share CHECK (confidence BETWEEN 0 AND 1),
    detail jsonb NOT NULL DEFAULT '{}',
    CONSTRAINT finding_ends_after_start CHECK (ended_at IS NULL OR ended_at >= started_at),
    CONSTRAINT finding_has_subject CHECK ((device_no IS NULL) = (subject <> 'device')),
    FOREIGN KEY (rule_id, rule_version) REFERENCES rule_version
);
CREATE UNIQUE INDEX finding_unique_start
    ON finding (device_no, rule_id, about, started_at) WHERE device_no IS NOT NULL;
CREATE UNIQUE INDEX finding_unique_group_start
    ON finding (tenant_no, subject, rule_id, about, started_at) WHERE device_no IS NULL;
CREATE INDEX finding_by_cause ON finding (device_no, cause, started_at DESC);
CREATE INDEX finding_by_about ON finding (tenant_no, about, started_at) WHERE need = 'ticket';
CREATE INDEX finding_silent ON finding (device_no) WHERE about = 'contact' AND ended_at IS NULL;
CREATE INDEX finding_by_rule ON finding (rule_id, finding_no DESC);
CREATE INDEX finding_newest ON finding (tenant_no, known_at DESC, finding_no DESC);

-- The last closed day whose fleet each tenant's group rules have judged, as an ordinal from
-- 0001-01-01.
CREATE TABLE fleet_day (
    tenant_no int PRIMARY KEY REFERENCES tenant,
    day int NOT NULL
);

-- Tickets may be about a group: a storm, a silent area, a bad batch. They link the singles.
ALTER TABLE ticket
    ALTER COLUMN device_no DROP NOT NULL,
    ADD COLUMN subject text NOT NULL DEFAULT 'device',
    ADD COLUMN rule_id text,
    ADD COLUMN rule_version int,
    ADD COLUMN confidence double precision NOT NULL DEFAULT 1
        CONSTRAINT ticket_confidence_share CHECK (confidence BETWEEN 0 AND 1),
    ADD COLUMN user_sv text NOT NULL DEFAULT '',
    ADD COLUMN user_en text NOT NULL DEFAULT '',
    ADD COLUMN detail jsonb NOT NULL DEFAULT '{}', -- ruled out, likely part, numbers
    ADD COLUMN assignee text,
    ADD COLUMN waiting_reason text,
    ADD COLUMN urgent_because text[] NOT NULL DEFAULT '{}', -- why `akut AU` is proposed
    ADD COLUMN urgent_answer text CONSTRAINT ticket_urgent_answer_word
        CHECK (urgent_answer IN ('confirmed', 'declined')),
    ADD COLUMN replaces_no bigint REFERENCES ticket, -- the void ticket of another order kind
    ADD COLUMN repeats_no bigint REFERENCES ticket, -- the repair this one follows too soon
    ADD COLUMN incident_no bigint REFERENCES ticket, -- the group ticket that holds this single
    ADD COLUMN released_at timestamptz, -- a group ticket that ended has given its singles free
    ADD COLUMN is_withdrawn boolean NOT NULL DEFAULT false, -- void by diagnostics: answers nothing
    ADD COLUMN outcome text CONSTRAINT ticket_outcome_word CHECK (outcome IN (
        'real_fault', 'no_fault_found', 'user_error', 'part_replaced', 'solved_remotely')),
    ADD COLUMN outcome_part text,
    ADD COLUMN outcome_minutes int CONSTRAINT ticket_outcome_minutes_range
        CHECK (outcome_minutes BETWEEN 0 AND 100000),
    ADD COLUMN policy_id text,
    ADD COLUMN policy_version int,
    ADD COLUMN policy_clause text,
    ADD CONSTRAINT ticket_has_subject CHECK ((device_no IS NULL) = (subject <> 'device')),
    ADD CONSTRAINT ticket_waits_for_a_reason
        CHECK ((state = 'waiting') = (waiting_reason IS NOT NULL)),
    ADD CONSTRAINT ticket_assigned_to_somebody CHECK (state <> 'assigned' OR assignee IS NOT NULL);
CREATE UNIQUE INDEX ticket_one_open_per_group ON ticket (tenant_no, subject, cause)
    WHERE device_no IS NULL AND state NOT IN ('verified', 'closed', 'void');
CREATE INDEX ticket_solved_by_cause ON ticket (cause, state_at DESC)
    WHERE outcome IS NOT NULL;
CREATE INDEX ticket_by_rule ON ticket (rule_id) WHERE outcome IS NOT NULL;
CREATE INDEX ticket_by_replaced ON ticket (replaces_no) WHERE replaces_no IS NOT NULL;
CREATE INDEX ticket_to_release ON ticket (ticket_no)
    WHERE device_no IS NULL AND released_at IS NULL;
CREATE INDEX ticket_by_incident ON ticket (incident_no) WHERE incident_no IS NOT NULL;

-- The kind of an order decides who pays and which deadline binds; it is annulled, never changed.
CREATE FUNCTION refuse_new_order_kind() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the order kind of ticket % never changes: void it and open a linked one',
        OLD.ticket_no USING ERRCODE = 'check_violation', CONSTRAINT = 'ticket_order_kind_fixed';
END $$;
CREATE TRIGGER ticket_order_kind_fixed BEFORE UPDATE OF order_kind ON ticket
    FOR EACH ROW WHEN (OLD.order_kind IS DISTINCT FROM NEW.order_kind)
    EXECUTE FUNCTION refuse_new_order_kind();

CREATE TABLE ticket_finding (
    ticket_no bigint NOT NULL REFERENCES ticket,
    finding_no bigint NOT NULL REFERENCES finding ON DELETE CASCADE,
    PRIMARY KEY (ticket_no, finding_no)
);
CREATE INDEX ticket_finding_by_finding ON ticket_finding (finding_no);

-- Which agreement a tenant, or one of its centres, works by from a date on.
CREATE TABLE agreement (
    agreement_no int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_no int NOT NULL REFERENCES tenant,
    centre_no int REFERENCES centre,
    policy_id text NOT NULL,
    from_at timestamptz NOT NULL,
    who text NOT NULL
);
CREATE UNIQUE INDEX agreement_unique ON agreement (tenant_no, coalesce(centre_no, 0), from_at);

-- One deadline of one ticket. `notify_at` is when the prescriber's notice is drafted.
CREATE TABLE ticket_clock (
    ticket_no bigint NOT NULL REFERENCES ticket,
    clock text NOT NULL CONSTRAINT ticket_clock_word CHECK (clock IN ('start', 'finish')),
    due_at timestamptz NOT NULL,
    notify_at timestamptz NOT NULL,
    notified_at timestamptz,
    stopped_at timestamptz, -- what was promised is done, or the ticket was made void
    breached_at timestamptz,
    PRIMARY KEY (ticket_no, clock)
);
CREATE INDEX ticket_clock_to_notify ON ticket_clock (notify_at)
    WHERE stopped_at IS NULL AND notified_at IS NULL;
CREATE INDEX ticket_clock_to_breach ON ticket_clock (due_at)
    WHERE stopped_at IS NULL AND breached_at IS NULL;

-- When the clocks of a ticket stood still, and by which allowed reason.
CREATE TABLE ticket_pause (
    ticket_no bigint NOT NULL REFERENCES ticket,
    from_at timestamptz NOT NULL,
    until_at timestamptz,
    reason text NOT NULL,
    PRIMARY KEY (ticket_no, from_at),
    CONSTRAINT ticket_pause_ends_after_start CHECK (until_at IS NULL OR until_at >= from_at)
);
CREATE UNIQUE INDEX ticket_pause_one_open ON ticket_pause (ticket_no) WHERE until_at IS NULL;
