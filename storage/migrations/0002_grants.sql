-- Purpose: least privilege for what 0002 adds.

REVOKE EXECUTE ON FUNCTION refuse_new_order_kind FROM PUBLIC;

GRANT SELECT ON loan, placement, rule_version, rule_switch, backtest, agreement,
    agenda, finding, ticket_finding, ticket_clock, ticket_pause
    TO fjarrkoll_diagnose, fjarrkoll_api;
-- Diagnostics concludes and keeps the clocks; what is on is decided by people.
GRANT INSERT, UPDATE, DELETE ON agenda, finding, ticket_finding TO fjarrkoll_diagnose;
GRANT INSERT, UPDATE ON ticket_clock, ticket_pause TO fjarrkoll_diagnose;
GRANT SELECT, INSERT, UPDATE ON fleet_day TO fjarrkoll_diagnose;

-- What people do with tickets, loans and places goes through the API.
GRANT UPDATE (state, state_at, assignee, waiting_reason, outcome, outcome_part, outcome_minutes,
    urgent_answer, incident_no, updated_at, version, policy_id, policy_version, policy_clause)
    ON ticket TO fjarrkoll_api;
GRANT INSERT ON ticket, ticket_event, outbox TO fjarrkoll_api;
GRANT UPDATE (ticket_no) ON ticket_episode, ticket_finding TO fjarrkoll_api;
GRANT INSERT, UPDATE ON ticket_clock, ticket_pause TO fjarrkoll_api;
GRANT INSERT ON loan, placement TO fjarrkoll_api;
GRANT INSERT, UPDATE ON agenda TO fjarrkoll_api;
GRANT UPDATE (ended_at, basic_needs) ON loan TO fjarrkoll_api;
GRANT UPDATE (until_at) ON placement TO fjarrkoll_api;
GRANT UPDATE (area, network, batch, in_service_on) ON device TO fjarrkoll_api;
