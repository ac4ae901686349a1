-- name: rule_heads
-- Every rule: the version that was last switched, else the newest, and how it was switched.
SELECT v.rule_id, v.version, v.body, v.is_shipped, v.added_at, newest.version AS newest_version,
    coalesce(s.is_on, false) AS is_on, coalesce(s.switch_no, 0) AS switch_no, s.at AS switched_at,
    s.who AS switched_by, s.why AS switched_why
FROM (SELECT rule_id, max(version) AS version FROM rule_version GROUP BY rule_id) AS newest
LEFT JOIN LATERAL (
    SELECT * FROM rule_switch WHERE rule_switch.rule_id = newest.rule_id
    ORDER BY switch_no DESC LIMIT 1
) AS s ON true
JOIN rule_version AS v ON v.rule_id = newest.rule_id
    AND v.version = coalesce(s.version, newest.version)
WHERE (%(rule_id)s::text IS NULL OR v.rule_id = %(rule_id)s::text)
ORDER BY v.rule_id
LIMIT 1000;

-- name: rule_outcomes
-- What people found by the tickets of each rule, in the caller's reach.
SELECT rule_id, outcome, count(*) FROM ticket
WHERE rule_id IS NOT NULL AND outcome IS NOT NULL AND state IN ('solved', 'verified', 'closed')
    AND (%(rule_id)s::text IS NULL OR rule_id = %(rule_id)s::text)
GROUP BY rule_id, outcome;

-- name: rule_tickets
-- How many tickets each rule has opened since a time, in the caller's reach.
SELECT rule_id, count(*) FROM ticket
WHERE rule_id IS NOT NULL AND known_at >= %(since)s::timestamptz
    AND (%(rule_id)s::text IS NULL OR rule_id = %(rule_id)s::text)
GROUP BY rule_id;

-- name: rule_versions
-- The versions of one rule, the newest first.
SELECT version, is_shipped, added_at, body FROM rule_version
WHERE rule_id = %(rule_id)s::text
ORDER BY version DESC LIMIT 100;

-- name: rule_switches
-- How one rule was switched, the newest first.
SELECT switch_no, version, is_on, at, who, why, backtest_no FROM rule_switch
WHERE rule_id = %(rule_id)s::text
ORDER BY switch_no DESC LIMIT %(limit)s::int;

-- name: rule_backtests
-- The backtests of one rule, the newest first, before a given one.
SELECT backtest_no, version, from_at, to_at, ran_at, device_n, ticket_n, worst_day_share, result
FROM backtest
WHERE rule_id = %(rule_id)s::text AND backtest_no < %(before_no)s::bigint
ORDER BY backtest_no DESC LIMIT %(limit)s::int;

-- name: compared_backtests
-- The newest backtest of each of the newest versions of one rule, the oldest version first.
SELECT * FROM (
    SELECT DISTINCT ON (version) backtest_no, version, from_at, to_at, ran_at, device_n, ticket_n,
        worst_day_share, result
    FROM backtest WHERE rule_id = %(rule_id)s::text
    ORDER BY version DESC, ran_at DESC
    LIMIT %(limit)s::int
) AS newest ORDER BY version;

-- name: seen_devices
-- Which of these devices exist for the caller.
SELECT id FROM device WHERE id = ANY(%(ids)s::text[]);

-- name: hold_rule
-- One switch of a rule at a time, until COMMIT.
SELECT pg_advisory_xact_lock(hashtext('rule_switch'), hashtext(%(rule_id)s::text));

-- name: is_only_tenant
-- True if the rules are of one tenant alone.
SELECT is_only_tenant();
