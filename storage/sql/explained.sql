-- name: explained_episodes
-- Faults of a ticket's device around its own that got no ticket, since another fault explains
-- them; the oldest first. Looked up by number: in the order of time the planner would walk them all.
SELECT e.episode_no, e.system, e.code, e.started_at, e.last_at, e.ended_at, e.raised_n,
    e.cleared_n, e.logged_n, e.first_received_at
FROM episode AS e
WHERE e.episode_no = ANY(ARRAY(
    SELECT listed.episode_no::bigint
    FROM ticket AS k
    JOIN finding AS f ON f.device_no = k.device_no AND f.need = 'explained'
        AND f.last_at >= k.started_at - interval '1 hour'
    CROSS JOIN LATERAL jsonb_array_elements_text(f.detail -> 'episodes') AS listed (episode_no)
    WHERE k.ticket_no = %(ticket_no)s::bigint))
ORDER BY e.started_at, e.episode_no
LIMIT %(limit)s::int;
