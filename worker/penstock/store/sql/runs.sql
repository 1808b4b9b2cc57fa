-- name: lock_job
-- One command at a time decides what happens to a job; until the transaction ends. $1 job.
SELECT pg_advisory_xact_lock(hashtextextended($1, 7301944))

-- name: latest
-- The newest run of a job, with its result set's name and part.
SELECT run.*, s.name AS result_set_name, s.part AS result_part,
       driver_seen > now() - interval '20 seconds' AS driver_fresh
FROM run JOIN result_set s ON s.id = run.result_set
WHERE job = $1 ORDER BY number DESC LIMIT 1

-- name: by_id
SELECT run.*, s.name AS result_set_name, s.part AS result_part,
       driver_seen > now() - interval '20 seconds' AS driver_fresh
FROM run JOIN result_set s ON s.id = run.result_set
WHERE run.id = $1

-- name: before
-- The newest run of job $1 with a number below $2.
SELECT run.*, s.name AS result_set_name, s.part AS result_part, false AS driver_fresh
FROM run JOIN result_set s ON s.id = run.result_set
WHERE job = $1 AND number < $2 ORDER BY number DESC LIMIT 1

-- name: newest
-- The newest run of a job as far as the operator has to know it again and again; it keeps its time.
-- $2: the phases whose time counts. A gap of more than half a minute is an outage of whoever looks,
-- not work. While a pod that plans has the row, nobody waits for it: the next look counts for both.
WITH found AS (
    SELECT id, number, revision, owner, existing, phase, active_seconds, created_at, finished_at
    FROM run WHERE job = $1 ORDER BY number DESC LIMIT 1
), free AS (
    SELECT run.id FROM run JOIN found USING (id) FOR NO KEY UPDATE OF run SKIP LOCKED
), kept AS (
    UPDATE run SET driver_seen = now(), active_seconds = active_seconds + CASE
        WHEN phase = ANY ($2::text[]) AND driver_seen > now() - interval '30 seconds'
        THEN extract(epoch FROM now() - driver_seen) ELSE 0 END
    FROM free WHERE run.id = free.id RETURNING active_seconds
)
SELECT id, number, revision, owner, existing, phase, extract(epoch FROM created_at)::float8 AS started,
       extract(epoch FROM finished_at)::float8 AS finished,
       coalesce((SELECT active_seconds FROM kept), active_seconds) AS seconds,
       (SELECT count(*) FROM shard WHERE shard.run = found.id AND NOT done) AS shards
FROM found

-- name: jobs
-- Every job's newest run.
SELECT DISTINCT ON (job) id FROM run ORDER BY job, number DESC

-- name: take_over
-- An interrupted run goes on under a new driver, with the manifest as it is now. $5: the driver that
-- was found dead; when another command has taken over meanwhile there is no row.
-- $2 driver, $3 manifest, $4 its path.
UPDATE run SET driver = $2, driver_seen = now(), manifest = $3, manifest_path = $4,
    phase = CASE WHEN phase IN ('Paused', 'Suspended') THEN 'Running' ELSE phase END,
    reason = '', message = '', suspend = false
WHERE id = $1 AND driver IN ($2, $5) RETURNING id

-- name: driver_alive
-- The sign of life of driver $2; $3 seconds is the run's working time so far. Returns what was asked
-- of the run. No row: it was deleted, or has another driver now.
UPDATE run SET driver_seen = now(), active_seconds = $3
WHERE id = $1 AND driver = $2 RETURNING phase, reason, message, suspend

-- name: driver_gone
UPDATE run SET driver = '', driver_seen = NULL, active_seconds = $3 WHERE id = $1 AND driver = $2

-- name: driven_by
-- Whether driver $2 has the run.
SELECT EXISTS (SELECT 1 FROM run WHERE id = $1 AND driver = $2)

-- name: set_phase
-- Move a run on to phase $3 unless it has left the phases $2 already.
UPDATE run SET phase = $3, reason = $4, message = $5,
    finished_at = CASE WHEN $3 IN ('Complete', 'Failed') THEN now() ELSE finished_at END
WHERE id = $1 AND phase = ANY ($2::text[]) RETURNING id

-- name: begin_export
-- Running, Paused, Suspended -> Exporting, when every shard is done. A row: it is so now.
UPDATE run SET phase = 'Exporting', reason = '', message = ''
WHERE id = $1 AND phase IN ('Running', 'Paused', 'Suspended')
  AND NOT EXISTS (SELECT 1 FROM shard WHERE shard.run = $1 AND NOT done) RETURNING id

-- name: settle_skipped
-- At the end what neither succeeded nor failed was skipped (another job may have done it meanwhile).
UPDATE run SET skipped = greatest(0, total - bad
    - (SELECT coalesce(sum(succeeded + failed), 0) FROM shard WHERE shard.run = $1))
WHERE id = $1

-- name: set_output
UPDATE run SET output = $2 WHERE id = $1

-- name: edit
UPDATE run SET manifest = $2, revision = revision + 1 WHERE id = $1

-- name: set_suspend
UPDATE run SET suspend = $2 WHERE id = $1

-- name: totals
-- Counts of a run from its shards.
SELECT coalesce(sum(succeeded), 0)::bigint AS succeeded, coalesce(sum(failed), 0)::bigint AS failed,
       coalesce(sum(prompt_tokens), 0)::bigint AS prompt_tokens,
       coalesce(sum(completion_tokens), 0)::bigint AS completion_tokens
FROM shard WHERE run = $1

-- name: watched
-- What changes of a run while it is under way, with its totals and what its workers said last (fresh:
-- those heard from just now); without the manifest, which may hold all its items.
SELECT run.phase, run.reason, run.message, run.suspend, run.total, run.skipped, run.bad,
       run.active_seconds, run.output, t.*, w.*
FROM run, LATERAL (
    SELECT coalesce(array_agg(stats), '{}') AS workers,
           coalesce(array_agg(stats) FILTER (WHERE seen_at > now() - interval '5 seconds'), '{}')
           AS fresh
    FROM worker WHERE worker.run = run.id
) w, LATERAL (
    SELECT coalesce(sum(succeeded), 0)::bigint AS succeeded,
           coalesce(sum(failed), 0)::bigint AS failed,
           coalesce(sum(prompt_tokens), 0)::bigint AS prompt_tokens,
           coalesce(sum(completion_tokens), 0)::bigint AS completion_tokens
    FROM shard WHERE shard.run = run.id
) t WHERE run.id = $1

-- name: half_planned
-- Runs that were not planned to the end, or are being planned.
SELECT id FROM run WHERE phase = 'Planning'

-- name: forget_half_planned
DELETE FROM run WHERE id = $1 AND phase = 'Planning'

-- name: orphans
-- Partitions, and tables made to become one, that nothing refers to: whoever made or dropped them
-- was interrupted. Their numbers are never given again.
SELECT parent, part FROM (
    SELECT 'item' AS parent, substring(relname FROM '^item_([0-9]+)$')::bigint AS part
    FROM pg_class WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace
    UNION ALL
    SELECT 'result', substring(relname FROM '^result_([0-9]+)$')::bigint
    FROM pg_class WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace
) found
WHERE part IS NOT NULL AND CASE parent
    WHEN 'item' THEN NOT EXISTS (SELECT 1 FROM run WHERE id = found.part)
    ELSE NOT EXISTS (SELECT 1 FROM result_set s WHERE s.part = found.part) END

-- name: failures
-- Failed items of a run by reason, the ten most frequent. $1 results' part, $2 result set, $3 run.
SELECT reason, count(*) AS count FROM result
WHERE part = $1 AND result_set = $2 AND run = $3 AND NOT succeeded
GROUP BY reason ORDER BY count(*) DESC, reason LIMIT 10

-- name: workers
-- What the workers of a run said last; fresh: heard from in the last seconds.
SELECT id, slot, stats, seen_at > now() - interval '5 seconds' AS fresh FROM worker WHERE run = $1

-- name: worker_seen
-- A worker's sign of life with its totals. Returns what its run wants of it; nothing is left of a run
-- that was deleted.
WITH seen AS (
    INSERT INTO worker (run, id, slot, stats) SELECT id, $2, $3, $4 FROM run WHERE id = $1
    ON CONFLICT (run, id) DO UPDATE SET stats = excluded.stats, seen_at = now()
)
SELECT phase, suspend, reason, message, revision FROM run WHERE id = $1

-- name: worker_gone
-- Keep the totals of workers that ended, but do not count them as alive. $2 worker IDs.
UPDATE worker SET seen_at = now() - interval '1 hour' WHERE run = $1 AND id = ANY ($2::text[])

-- name: old_runs
-- Finished runs that a newer run of their job replaces, or that ended more than $1 ago, and whose
-- items no run that is kept works on.
SELECT id FROM run r
WHERE phase IN ('Complete', 'Failed') AND finished_at < now() - $1::interval
  AND EXISTS (SELECT 1 FROM run n WHERE n.job = r.job AND n.number > r.number)
  AND NOT EXISTS (SELECT 1 FROM run n WHERE n.items_run = r.id AND n.id <> r.id
                  AND NOT (n.phase IN ('Complete', 'Failed')
                           AND n.finished_at < now() - $1::interval
                           AND EXISTS (SELECT 1 FROM run m WHERE m.job = n.job AND m.number > n.number)))
