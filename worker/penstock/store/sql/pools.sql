-- What each does stands with the functions (migrations/0004_pre_pools_kept_apart.sql).

-- name: sync
-- $1 pool, $2 member, $3 run, $4 report, $5 lease.
SELECT * FROM penstock_pool_sync($1, $2, $3, $4, $5)

-- name: reports
-- Of pool $1, for member $2 that leads it.
SELECT * FROM penstock_pool_reports($1, $2)

-- name: order
-- What member $2 makes of pool $1 in its term $3: state $4, orders $5.
SELECT penstock_pool_order($1, $2, $3, $4, $5)

-- name: leave
-- Member $2 of pool $1 stops on purpose.
SELECT penstock_pool_leave($1, $2)

-- name: drop_members
-- Those unseen for a minute: they died.
DELETE FROM pool_member WHERE seen_at < now() - interval '1 minute'

-- name: drop_pools
-- Those unused for $1: limits that were learned so long ago may have changed.
DELETE FROM pool WHERE greatest(updated_at, leader_until) < now() - $1::interval
