-- Purpose: least privilege for what 0002 adds.

REVOKE EXECUTE ON FUNCTION refuse_new_order_kind FROM PUBLIC;

GRANT SELECT ON loan, placement, rule_version, rule_switch, rule_bound, backtest, agreement,
    agenda, finding, ticket_finding, ticket_clock, ticket_pause
    TO fjarrkoll_diagnose, fjarrkoll_api;
-- Diagnostics concludes and keeps the clocks; what is on is decided by people.
GRANT INSERT, UPDATE, DELETE ON agenda, finding, ticket_finding TO fjarrkoll_diagnose;
GRANT INSERT, UPDATE ON ticket_clock, ticket_pause TO fjarrkoll_diagnose;
GRANT SELECT, INSERT, UPDATE ON fleet_day TO fjarrkoll_diagnose;
