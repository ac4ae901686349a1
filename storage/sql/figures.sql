-- name: ticket_facts
-- Tickets that the key figures of a time may count, in the caller's reach.
SELECT ticket_no, device_no, centre_id, area, device_class, component, order_kind, state, known_at,
    solved_at, outcome, minutes, policy_id, policy_version, start_due_at, start_stopped_at,
    finish_due_at, finish_stopped_at, came_back
FROM figured_tickets(%(low)s::timestamptz, %(high)s::timestamptz, %(limit)s::int);

-- name: first_minutes
-- Mean minutes of the first tickets that were solved here, and how many there are.
SELECT noted_n, mean_minutes FROM first_minutes(%(before)s::timestamptz, %(tickets)s::int);

-- name: minutes_between
-- What was noted of the tickets that were first solved in a time.
SELECT noted_n, sum_min, mean_min, median_min
FROM minutes_between(%(low)s::timestamptz, %(high)s::timestamptz, %(centre)s::text);

-- name: signs
-- Devices in the caller's reach whose counters went far from those of their model.
SELECT device_id, individual_no, model_id, area, metric, from_at, until_at, count, hours, median,
    limit_value, peer_n, sign_n
FROM signs_of_use(%(driven)s::text, %(counted)s::text[], %(least_h)s::float8,
    %(least_peers)s::int, %(least_count)s::float8, %(fence)s::float8, %(least_ratio)s::float8,
    %(limit)s::int);

-- name: sign_months
-- What some of these counters did month by month.
SELECT device_id, metric, month, count, hours
FROM months_of_use(%(devices)s::text[], %(metrics)s::text[], %(from_ats)s::timestamptz[],
    %(until_ats)s::timestamptz[], %(driven)s::text, %(as_of)s::timestamptz);

-- name: centres
-- The centres of the caller's tenant.
SELECT centre_no, id, name FROM centre ORDER BY name, id LIMIT 200;
