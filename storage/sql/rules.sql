-- name: put_version
-- A rule's text under its number. A number that is taken keeps its text: nothing is rewritten.
INSERT INTO rule_version (rule_id, version, digest, body, is_shipped, added_at, added_by)
VALUES (%(rule_id)s, %(version)s, %(digest)s, %(body)s, %(is_shipped)s, %(now)s, %(who)s)
ON CONFLICT (rule_id, version) DO NOTHING;

-- name: digest_of
-- What a stored version says, in short.
SELECT digest FROM rule_version WHERE rule_id = %(rule_id)s AND version = %(version)s;

-- name: never_switched
-- Shipped rules that nobody has decided on: they are turned on by the release that brings them.
SELECT DISTINCT rule_id FROM rule_version
WHERE is_shipped AND NOT EXISTS (
    SELECT FROM rule_switch WHERE rule_switch.rule_id = rule_version.rule_id
);

-- name: switch_rule
-- Turn a rule on or off from now on.
INSERT INTO rule_switch (rule_id, version, is_on, at, who, why, backtest_no)
VALUES (%(rule_id)s, %(version)s, %(is_on)s, %(now)s, %(who)s, %(why)s, %(backtest_no)s);

-- name: enabled
-- The rules that are on: the last switch of each counts.
SELECT rule_id, version, body FROM (
    SELECT DISTINCT ON (rule_id) rule_id, version, is_on FROM rule_switch
    ORDER BY rule_id, switch_no DESC
) AS newest JOIN rule_version USING (rule_id, version)
WHERE is_on ORDER BY rule_id;

-- name: newest_switch
-- Changes whenever a rule is turned on or off.
SELECT coalesce(max(switch_no), 0) FROM rule_switch;

-- name: listed
-- Every stored version: is it on, since when, by whom, and its newest backtest.
SELECT v.rule_id, v.version, v.is_shipped, v.added_at, v.body,
    coalesce(s.is_on AND s.version = v.version, false) AS is_on, s.at, s.who, s.why,
    b.backtest_no, b.ran_at, b.ticket_n, b.worst_day_share
FROM rule_version AS v
LEFT JOIN LATERAL (
    SELECT * FROM rule_switch WHERE rule_switch.rule_id = v.rule_id
    ORDER BY switch_no DESC LIMIT 1
) AS s ON true
LEFT JOIN LATERAL (
    SELECT * FROM backtest
    WHERE backtest.rule_id = v.rule_id AND backtest.version = v.version
    ORDER BY ran_at DESC LIMIT 1
) AS b ON true
ORDER BY v.rule_id, v.version;

-- name: body_of
-- One version's text.
SELECT body FROM rule_version WHERE rule_id = %(rule_id)s AND version = %(version)s;

-- name: newest_version
-- The highest number of a rule; NULL when there is none.
SELECT max(version) FROM rule_version WHERE rule_id = %(rule_id)s;

-- name: put_backtest
-- The result of a backtest, kept as the reason for what was turned on.
INSERT INTO backtest (rule_id, version, from_at, to_at, ran_at, who, took_s, device_n, ticket_n,
    worst_day_share, result)
VALUES (%(rule_id)s, %(version)s, %(from_at)s, %(to_at)s, %(ran_at)s, %(who)s, %(took_s)s,
    %(device_n)s, %(ticket_n)s, %(worst_day_share)s, %(result)s)
RETURNING backtest_no;

-- name: newest_backtest
-- The newest backtest of a version, if there is one.
SELECT backtest_no, from_at, to_at, ran_at, device_n, ticket_n, worst_day_share, result
FROM backtest WHERE rule_id = %(rule_id)s AND version = %(version)s
ORDER BY ran_at DESC LIMIT 1;
