-- name: claim_shards
-- Take up to $4 shards that nobody holds (or whose lease ran out, when $6) for owner $2.
-- $1 run, $3 home slot: its shards first, others only when it has none; $5 lease, $7 shards that $2
-- knows to hold: what else is in its name it was given in an answer that got lost, and takes now. The
-- epoch rises, so a former owner is fenced.
-- A lease that ran out is believed only when the server has been up longer than a lease: after an
-- outage every lease looks expired.
WITH at_home AS MATERIALIZED (
    SELECT lo FROM shard
    WHERE run = $1 AND NOT done AND home = $3 AND lo <> ALL ($7::bigint[])
      AND (owner IS NULL OR owner = $2
           OR ($6 AND lease_until < now() AND pg_postmaster_start_time() < now() - $5::interval))
    ORDER BY home, lo LIMIT $4 FOR UPDATE SKIP LOCKED
), elsewhere AS MATERIALIZED (
    SELECT lo FROM shard
    WHERE run = $1 AND NOT done AND lo <> ALL ($7::bigint[])
      AND (owner IS NULL OR owner = $2
           OR ($6 AND lease_until < now() AND pg_postmaster_start_time() < now() - $5::interval))
      AND NOT EXISTS (SELECT 1 FROM at_home)
    ORDER BY home, lo LIMIT $4 FOR UPDATE SKIP LOCKED
), pick AS (
    SELECT lo FROM at_home UNION ALL SELECT lo FROM elsewhere
)
UPDATE shard s SET
    strikes = s.strikes + (s.owner <> $2 IS TRUE)::int,
    risky = CASE WHEN s.owner <> $2 THEN greatest(s.risky, s.claimed) ELSE s.risky END,
    owner = $2, epoch = s.epoch + 1, lease_until = now() + $5::interval, claimed = s.lo
FROM pick WHERE s.run = $1 AND s.lo = pick.lo
RETURNING s.lo, s.hi, s.epoch, s.strikes, s.risky, s.trial

-- name: steal
-- Take the unclaimed half of the shard with most left: it ends at mid, a new one begins there.
-- $1 run, $2 thief, $3 lease. No row: nothing worth stealing.
WITH victim AS (
    SELECT lo, hi, home, strikes, risky, claimed + (hi - claimed) / 2 AS mid FROM shard
    WHERE run = $1 AND NOT done AND owner IS NOT NULL AND owner <> $2 AND hi - claimed >= 2
    ORDER BY hi - claimed DESC LIMIT 1 FOR UPDATE SKIP LOCKED
), cut AS (
    UPDATE shard s SET hi = victim.mid FROM victim WHERE s.run = $1 AND s.lo = victim.lo
)
INSERT INTO shard (run, lo, hi, claimed, home, owner, epoch, lease_until, strikes, risky)
SELECT $1, mid, hi, mid, home, $2, 1, now() + $3::interval, strikes, risky FROM victim
RETURNING lo, hi, epoch, strikes, risky, trial

-- name: fetch_items
-- Move the claim of a shard on to $4 and read the items on the way that still have to be done.
-- $1 run, $2 shard, $3 epoch, $5 items' part, $6 items' run, $7 result set, $8 its part,
-- $9 existing, $10 redrive reason, $11 first position. No row: fenced. One row with a null position:
-- nothing to do on this stretch. Results are looked up one by one, as in results.sql.
WITH moved AS (
    UPDATE shard SET claimed = greatest(claimed, least(hi, $4))
    WHERE run = $1 AND lo = $2 AND epoch = $3 RETURNING claimed, hi
)
SELECT moved.claimed, moved.hi, i.position, i.item_id, i.fingerprint, i.payload
FROM moved LEFT JOIN LATERAL (
    SELECT item.position, item.item_id, item.fingerprint, item.payload FROM item
    LEFT JOIN LATERAL (
        SELECT * FROM result
        WHERE part = $8 AND result_set = $7 AND result.item_id = item.item_id OFFSET 0
    ) r ON true
    WHERE item.part = $5 AND item.run = $6 AND item.error IS NULL AND NOT item.kept
      AND item.position >= $11 AND item.position < least(moved.hi, $4)
      AND penstock_is_open(r.run, r.succeeded, r.fingerprint, concat_ws(': ', r.reason, r.error),
                           $1, item.fingerprint, $9, $10)
    ORDER BY item.position
) i ON true

-- name: checkpoint
-- One statement: lock the shards that are still mine, insert the results from those, renew the
-- leases and count what was inserted. Safe to send again: what stands already is not counted twice.
-- $1 run, $2 result set, $3 its part, $4 lease; shards: $5 lo, $6 epoch, $7 finished;
-- results: $8 shard, $9 position, $10 item ID, $11 fingerprint, $12 succeeded, $13 attempts,
-- $14 reason, $15 error, $16 output, $17 prompt tokens, $18 completion tokens.
-- Rows: shards that are mine; one that is missing has a newer owner.
WITH mine AS MATERIALIZED (
    SELECT s.lo, s.hi, s.claimed, d.finished FROM shard s
    JOIN unnest($5::bigint[], $6::int[], $7::bool[]) AS d(lo, epoch, finished)
      ON s.lo = d.lo AND s.epoch = d.epoch
    WHERE s.run = $1 ORDER BY s.lo FOR UPDATE OF s
), written AS (
    INSERT INTO result AS r (part, result_set, item_id, run, position, fingerprint, succeeded,
                             attempts, reason, error, output, prompt_tokens, completion_tokens)
    SELECT $3, $2, n.item_id, $1, n.position, n.fingerprint, n.succeeded, n.attempts,
           n.reason, n.error, n.output, n.prompt_tokens, n.completion_tokens
    FROM unnest($8::bigint[], $9::bigint[], $10::text[], $11::bytea[], $12::bool[], $13::int[],
                $14::text[], $15::text[], $16::text[], $17::bigint[], $18::bigint[])
         AS n(lo, position, item_id, fingerprint, succeeded, attempts,
              reason, error, output, prompt_tokens, completion_tokens)
    JOIN mine ON mine.lo = n.lo
    ON CONFLICT (part, result_set, item_id) DO UPDATE SET
        run = excluded.run, position = excluded.position, fingerprint = excluded.fingerprint,
        succeeded = excluded.succeeded, attempts = excluded.attempts, reason = excluded.reason,
        error = excluded.error, output = excluded.output, prompt_tokens = excluded.prompt_tokens,
        completion_tokens = excluded.completion_tokens, finished_at = now()
    WHERE r.run <> excluded.run
    RETURNING r.position, r.succeeded, r.prompt_tokens, r.completion_tokens
), counted AS (
    SELECT mine.lo, count(*) FILTER (WHERE w.succeeded) AS succeeded,
           count(*) FILTER (WHERE NOT w.succeeded) AS failed,
           coalesce(sum(w.prompt_tokens), 0)::bigint AS prompt_tokens,
           coalesce(sum(w.completion_tokens), 0)::bigint AS completion_tokens
    FROM mine JOIN written w ON w.position >= mine.lo AND w.position < mine.hi
    GROUP BY mine.lo
)
UPDATE shard s SET
    lease_until = now() + $4::interval,
    succeeded = s.succeeded + coalesce(c.succeeded, 0),
    failed = s.failed + coalesce(c.failed, 0),
    prompt_tokens = s.prompt_tokens + coalesce(c.prompt_tokens, 0),
    completion_tokens = s.completion_tokens + coalesce(c.completion_tokens, 0),
    strikes = CASE WHEN c.lo IS NULL THEN s.strikes ELSE 0 END,
    trial = CASE WHEN c.lo IS NULL THEN s.trial ELSE NULL END,
    done = m.finished AND m.claimed >= m.hi
FROM mine m LEFT JOIN counted c ON c.lo = m.lo
WHERE s.run = $1 AND s.lo = m.lo
RETURNING s.lo, s.hi, s.done

-- name: try_alone
-- Say that one position is being tried by itself: should its owner die now, it was this item.
UPDATE shard SET trial = $4 WHERE run = $1 AND lo = $2 AND epoch = $3 RETURNING lo

-- name: renew
-- Keep the leases of shards $2 with epochs $3; rows are those that are still mine.
UPDATE shard s SET lease_until = now() + $4::interval
FROM unnest($2::bigint[], $3::int[]) AS d(lo, epoch)
WHERE s.run = $1 AND s.lo = d.lo AND s.epoch = d.epoch
RETURNING s.lo

-- name: release
-- Give back what an owner still holds, with its work so far counted: it stopped on purpose.
UPDATE shard SET owner = NULL, lease_until = NULL, trial = NULL
WHERE run = $1 AND owner = $2 AND NOT done

-- name: release_dead
-- Give back what workers that are known to be dead held; at once, without waiting for the lease.
-- $2 owners, or null for all; $3: their work may have killed them (a strike).
UPDATE shard SET owner = NULL, lease_until = NULL, epoch = epoch + 1,
    strikes = strikes + $3::bool::int,
    risky = CASE WHEN $3 THEN greatest(risky, claimed) ELSE risky END,
    trial = CASE WHEN $3 THEN trial ELSE NULL END
WHERE run = $1 AND NOT done AND owner IS NOT NULL AND ($2::text[] IS NULL OR owner = ANY ($2))

-- name: unfinished
-- Whether any shard is still open.
SELECT EXISTS (SELECT 1 FROM shard WHERE run = $1 AND NOT done)
