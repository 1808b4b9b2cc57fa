-- name: sync
-- One statement a second and worker: report, lead when nobody else does, and read what there is.
-- $1 pool, $2 member, $3 run, $4 report, $5 lease. A run that was deleted leaves no member behind.
-- The row of a pool that another one leads is not touched, not even locked.
WITH seen AS (
    INSERT INTO pool_member (pool, member, run, report)
    SELECT $1, $2, id, $4 FROM run WHERE id = $3
    ON CONFLICT (pool, member) DO UPDATE SET report = excluded.report, seen_at = now()
    RETURNING member
), known AS (
    SELECT * FROM pool WHERE key = $1
), led AS (
    INSERT INTO pool AS p (key, leader, leader_until, term)
    SELECT $1, member, clock_timestamp() + $5::interval, 1 FROM seen
    WHERE NOT EXISTS (SELECT FROM known WHERE leader <> $2 AND leader_until >= now())
    ON CONFLICT (key) DO UPDATE SET
        leader = $2, leader_until = excluded.leader_until,
        term = p.term + (p.leader IS DISTINCT FROM $2)::int
    WHERE p.leader = $2 OR p.leader IS NULL OR p.leader_until < now()
    RETURNING term, state, orders
)
SELECT extract(epoch FROM clock_timestamp())::float8 AS now,
       led.term IS NOT NULL AS leads,
       coalesce(led.term, known.term, 0) AS term,
       coalesce(led.state, known.state) AS state,
       (coalesce(led.orders, known.orders) -> $2)::text AS orders
FROM (VALUES (true)) AS one LEFT JOIN known ON true LEFT JOIN led ON true

-- name: reports
-- What the members of pool $1 said last, and how many seconds ago; not those that are long gone.
SELECT member, report, extract(epoch FROM clock_timestamp() - seen_at)::float8 AS age
FROM pool_member WHERE pool = $1 AND seen_at > now() - interval '1 minute' ORDER BY member

-- name: order
-- What member $2 makes of pool $1 in its term $3: state $4, orders $5. No row: it does not lead (any
-- more), and nothing was written.
UPDATE pool SET state = $4, orders = $5::jsonb, updated_at = now()
WHERE key = $1 AND leader = $2 AND term = $3 AND leader_until > now() RETURNING key

-- name: leave
-- Member $2 of pool $1 stops on purpose; when it led, the next to come may lead at once.
WITH gone AS (
    DELETE FROM pool_member WHERE pool = $1 AND member = $2
)
UPDATE pool SET leader = NULL, leader_until = NULL WHERE key = $1 AND leader = $2

-- name: drop_members
-- Those unseen for a minute: they died.
DELETE FROM pool_member WHERE seen_at < now() - interval '1 minute'

-- name: drop_pools
-- Those unused for $1: limits that were learned so long ago may have changed.
DELETE FROM pool WHERE greatest(updated_at, leader_until) < now() - $1::interval
