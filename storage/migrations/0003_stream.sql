-- Purpose: tell those who listen that a ticket changed, or that a device came or went. Ids only:
-- what a listener may see of them it reads within its own reach.

-- The transaction that last changed a ticket. A reader who has seen all transactions below some
-- number misses nothing by asking for that number and above, whatever the order of commits.
ALTER TABLE ticket ADD COLUMN changed_xid bigint NOT NULL DEFAULT 0;
CREATE INDEX ticket_by_change ON ticket (tenant_no, changed_xid);

CREATE FUNCTION tell_ticket() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.changed_xid := pg_current_xact_id()::text::bigint;
    PERFORM pg_notify('fjarrkoll_change', 't' || NEW.ticket_no);
    RETURN NEW;
END $$;
CREATE TRIGGER ticket_told BEFORE INSERT OR UPDATE ON ticket
    FOR EACH ROW EXECUTE FUNCTION tell_ticket();

CREATE FUNCTION tell_device() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('fjarrkoll_change', 'd' || NEW.device_no);
    RETURN NULL;
END $$;
CREATE TRIGGER device_first_told AFTER INSERT ON device_state
    FOR EACH ROW EXECUTE FUNCTION tell_device();
-- A birth that repeats what is known costs nothing: the condition is checked before the function.
CREATE TRIGGER device_told AFTER UPDATE ON device_state
    FOR EACH ROW WHEN (OLD.is_online IS DISTINCT FROM NEW.is_online)
    EXECUTE FUNCTION tell_device();
