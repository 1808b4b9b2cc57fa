-- name: rows
-- Rows of a run for export, in input order, positions from $6 on, at most $7.
-- $1 items' part, $2 items' run, $3 results' part, $4 result set, $5 run.
-- A result of an earlier run counts only where this run did not have to do the item.
-- Each item looks its result up by the key (OFFSET 0 keeps it so): of a table that was filled a
-- moment ago the planner knows nothing, and would compare every item with every result.
SELECT item.position, item.item_id, item.payload, item.error AS bad, item.kept, r.run = $5 AS mine, r.succeeded,
       r.attempts, r.reason, r.error, r.output,
       r.run IS NOT NULL AND NOT penstock_is_open(
           r.run, r.succeeded, r.fingerprint, concat_ws(': ', r.reason, r.error), $5,
           item.fingerprint, $8, $9) AS settled
FROM item LEFT JOIN LATERAL (
    SELECT * FROM result
    WHERE part = $3 AND result_set = $4 AND result.item_id = item.item_id OFFSET 0
) r ON true
WHERE item.part = $1 AND item.run = $2 AND item.position >= $6
ORDER BY item.position LIMIT $7
