-- name: open_run
-- A new run of a job, in phase Planning; its number is $8, or the next when that is null. No row:
-- there is one of that number. $1 job, $2 result set ID, $3 manifest, $4 manifest's path, $5 existing,
-- $6 redrive reason, $7 driver, $9 owner.
INSERT INTO run (job, number, result_set, manifest, manifest_path, existing, redrive_reason,
                 driver, driver_seen, owner)
SELECT $1, coalesce($8::int, max(number) + 1, 1), $2, $3, $4, $5, $6, $7, now(), $9 FROM run WHERE job = $1
ON CONFLICT (job, number) DO NOTHING
RETURNING id

-- name: ensure_result_set
-- The result set of that name, made when it is not there, locked until the transaction ends: who
-- works on it and where it lives is decided by one at a time.
INSERT INTO result_set (name) VALUES ($1)
ON CONFLICT (name) DO UPDATE SET name = excluded.name
RETURNING id

-- name: add_items
-- The items of a small run, into the partition that such runs share: $1 run, then a column each.
INSERT INTO item (part, run, position, item_id, fingerprint, payload, error, kept)
SELECT 0, $1, n.*
FROM unnest($2::bigint[], $3::text[], $4::bytea[], $5::text[], $6::text[], $7::boolean[]) AS n

-- name: have_items
-- Whether an item stands already. $1 run, $2 position.
SELECT EXISTS (SELECT 1 FROM item WHERE part = 0 AND run = $1 AND position = $2)

-- name: begin_items
-- A table apart for the items of a large run, to be filled with COPY; then it becomes a partition.
SELECT penstock_begin_items($1)

-- name: end_items
SELECT penstock_end_items($1)

-- name: delete_items
-- What an earlier attempt to plan the run has stored, wherever that was.
DELETE FROM item WHERE part IN (0, $1::bigint) AND run = $1::bigint

-- name: place_results
-- The part that the results of run $1 are in, perhaps a new one. $2: the run is a large one.
SELECT penstock_place_results($1, $2)

-- name: analyze
-- $1 run, $2 item or result, $3 part.
SELECT penstock_analyze($1, $2, $3)

-- name: lock_result_set
SELECT part FROM result_set WHERE id = $1 FOR NO KEY UPDATE

-- name: working_on
-- A job, not $2, that has an unfinished run on result set $1.
SELECT job FROM run WHERE result_set = $1 AND job <> $2 AND phase NOT IN ('Complete', 'Failed')
ORDER BY id LIMIT 1

-- name: move_result_set
UPDATE result_set SET part = $2 WHERE id = $1

-- name: hold
-- A sign of life of driver $2 that plans the run, and a lock until the transaction ends. No row: the
-- run was taken away, or is planned. On a cluster it is the operator who was seen last: it keeps time.
UPDATE run SET driver_seen = CASE owner WHEN '' THEN now() ELSE driver_seen END WHERE id = $1 AND phase = 'Planning'
    AND nullif(driver, '')::jsonb IS NOT DISTINCT FROM nullif($2, '')::jsonb RETURNING id

-- name: claim_plan
-- Driver $2 plans the run from now on; who planned it before notices at its next step.
UPDATE run SET driver = $2, driver_seen = CASE owner WHEN '' THEN now() ELSE driver_seen END
WHERE id = $1 AND phase = 'Planning' RETURNING id

-- name: duplicates
-- Item IDs that occur more than once in a run, with their first positions; at most $3.
-- $1 items' part, $2 run.
SELECT item_id, (array_agg(position ORDER BY position))[1:3] AS positions
FROM item WHERE part = $1 AND run = $2 AND error IS NULL GROUP BY item_id HAVING count(*) > 1
ORDER BY min(position) LIMIT $3

-- name: number_duplicates
-- Items with the same content and no ID of their own: the second is called …-2, the third …-3.
UPDATE item i SET item_id = i.item_id || '-' || d.n
FROM (SELECT position, row_number() OVER (PARTITION BY item_id ORDER BY position) AS n
      FROM item WHERE part = $1 AND run = $2 AND error IS NULL) d
WHERE i.part = $1 AND i.run = $2 AND i.position = d.position AND d.n > 1

-- name: fail_duplicates
-- With onBadRecord failItem: the first of several items with one ID is kept, the others fail
-- in their place, under an ID of their own.
WITH again AS (
    SELECT position, first_value(position) OVER w AS first, row_number() OVER w AS n
    FROM item WHERE part = $1 AND run = $2 AND error IS NULL
    WINDOW w AS (PARTITION BY item_id ORDER BY position)
)
UPDATE item i SET item_id = i.item_id || '#' || i.position,
    error = 'duplicate ID: position ' || a.first || ' has it already', kept = false
FROM again a WHERE i.part = $1 AND i.run = $2 AND i.position = a.position AND a.n > 1

-- name: has_results
-- Whether a result set holds anything. $1 part, $2 result set.
SELECT EXISTS (SELECT 1 FROM result WHERE part = $1 AND result_set = $2)

-- name: count_items
-- What a run finds: $1 items' part, $2 items' run, $3 results' part, $4 result set, $5 run,
-- $6 existing, $7 redrive reason. broken: bad records; bad: with those that failed before and are not
-- asked for.
SELECT count(*) AS total,
       count(*) FILTER (WHERE open) AS open,
       count(broken) AS broken,
       count(*) FILTER (WHERE NOT open AND NOT kept
                              AND (broken IS NOT NULL OR succeeded IS FALSE)) AS bad,
       count(*) FILTER (WHERE open AND succeeded IS NULL) AS new,
       count(*) FILTER (WHERE open AND succeeded) AS changed,
       count(*) FILTER (WHERE open AND NOT succeeded) AS failed_before,
       count(*) FILTER (WHERE NOT open AND broken IS NULL AND (succeeded OR kept)) AS unchanged
FROM (
    SELECT r.succeeded, item.error AS broken, item.kept,
           item.error IS NULL AND NOT item.kept AND penstock_is_open(
               r.run, r.succeeded, r.fingerprint, concat_ws(': ', r.reason, r.error), $5,
               item.fingerprint, $6, $7) AS open
    FROM item LEFT JOIN result r
        ON r.part = $3 AND r.result_set = $4 AND r.item_id = item.item_id
    WHERE item.part = $1 AND item.run = $2
) found

-- name: drop_shards
DELETE FROM shard WHERE run = $1

-- name: make_shards
-- Cut the open items into shards of $8 items over $9 home slots. Other parameters as count_items.
WITH open AS (
    SELECT item.position, row_number() OVER (ORDER BY item.position) - 1 AS n
    FROM item LEFT JOIN result r
        ON r.part = $3 AND r.result_set = $4 AND r.item_id = item.item_id
    WHERE item.part = $1 AND item.run = $2 AND item.error IS NULL AND NOT item.kept
      AND penstock_is_open(
        r.run, r.succeeded, r.fingerprint, concat_ws(': ', r.reason, r.error), $5,
        item.fingerprint, $6, $7)
), cut AS (
    SELECT n / $8::bigint AS number, min(position) AS lo, max(position) + 1 AS hi
    FROM open GROUP BY 1
)
INSERT INTO shard (run, lo, hi, claimed, home)
SELECT $5, lo, hi, lo, number * $9::bigint / (max(number) OVER () + 1) FROM cut

-- name: make_shards_all
-- The same where every position from 0 to $2 is open: nothing to look at.
INSERT INTO shard (run, lo, hi, claimed, home)
SELECT $1, lo, least(lo + $3::bigint, $2::bigint), lo, lo * $4::bigint / $2::bigint
FROM generate_series(0, $2::bigint - 1, $3::bigint) AS lo

-- name: planned
-- The plan is whole: workers may start. $2 items' run, $3 part, $4 total, $5 skipped, $6 bad,
-- $7 counted.
UPDATE run SET phase = 'Running', items_run = $2, item_part = $3, total = $4, skipped = $5,
    bad = $6, counted = $7, planned_at = now()
WHERE id = $1 AND phase = 'Planning' RETURNING id
