-- What Penstock keeps in PostgreSQL. Word list: docs/architecture.md.
-- Partitions are chosen by `part`: 0 is the one that small runs share; a large run (or result set)
-- has a partition of its own, made as a table and attached, so that dropping it is one statement.

CREATE TABLE result_set (
    id          int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name        text NOT NULL UNIQUE,
    part        int NOT NULL DEFAULT 0,
    created_at  timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE run (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job          text NOT NULL,
    number       int NOT NULL,              -- 1, 2, 3 … within the job
    result_set   int NOT NULL REFERENCES result_set,
    items_run    bigint,                    -- the run whose items these are: itself, or what it redrives
    item_part    int NOT NULL DEFAULT 0,
    phase        text NOT NULL DEFAULT 'Planning' CHECK (phase IN (
                     'Planning',            -- items are being read; not yet whole
                     'Running',             -- workers may claim shards
                     'Paused',              -- budget, quota or key: can go on once that is mended
                     'Suspended',           -- asked for
                     'Exporting',           -- every item is done, results are being written
                     'Complete', 'Failed')),
    reason       text NOT NULL DEFAULT '',  -- one CamelCase word
    message      text NOT NULL DEFAULT '',  -- a sentence for people
    manifest     text NOT NULL,             -- JSON of the BatchJob as it runs
    manifest_path text NOT NULL DEFAULT '', -- the file it came from; paths in it are relative to that
    existing     text NOT NULL CHECK (existing IN (
                     'skip',                -- same ID, same fingerprint, succeeded
                     'skipByID',            -- same ID, succeeded
                     'force',               -- nothing is skipped
                     'redrive')),           -- only what failed before
    redrive_reason text NOT NULL DEFAULT '',
    total        bigint NOT NULL DEFAULT 0,
    skipped      bigint NOT NULL DEFAULT 0,
    bad          bigint NOT NULL DEFAULT 0, -- failed while planning (onBadRecord: failItem)
    counted      text NOT NULL DEFAULT '{}', -- JSON of what plan found: new, changed, failedBefore,
                                            -- unchanged, badRecords
    suspend      boolean NOT NULL DEFAULT false,
    driver       text NOT NULL DEFAULT '',  -- JSON: who drives it on one machine; on a cluster, who
                                            -- plans it
    driver_seen  timestamptz,
    active_seconds double precision NOT NULL DEFAULT 0,
    output       text NOT NULL DEFAULT '',  -- where the results were written
    owner        text NOT NULL DEFAULT '',  -- on a cluster: UID of the BatchJob it belongs to
    revision     int NOT NULL DEFAULT 0,    -- raised with each edit of the manifest; workers see it
    created_at   timestamptz NOT NULL DEFAULT now(),
    planned_at   timestamptz,
    finished_at  timestamptz,
    UNIQUE (job, number)
);

CREATE TABLE item (
    part         int NOT NULL,
    run          bigint NOT NULL,
    position     bigint NOT NULL,
    item_id      text NOT NULL,
    fingerprint  bytea NOT NULL,
    payload      text NOT NULL,             -- the item as JSON, keys in input order
    error        text,                      -- why it is never tried (onBadRecord: failItem); null: it is
    PRIMARY KEY (part, run, position)
) PARTITION BY LIST (part);
CREATE TABLE item_shared PARTITION OF item FOR VALUES IN (0);

CREATE TABLE shard (
    run          bigint NOT NULL,
    lo           bigint NOT NULL,           -- positions [lo, hi); lo never changes and names the shard
    hi           bigint NOT NULL,           -- shrinks when another worker steals the rest
    claimed      bigint NOT NULL,           -- positions below this are in the owner's hands or done
    home         int NOT NULL DEFAULT 0,    -- the worker slot that looks here first
    owner        text,
    epoch        int NOT NULL DEFAULT 0,    -- +1 at each claim; what an older epoch writes is void
    lease_until  timestamptz,
    done         boolean NOT NULL DEFAULT false,
    strikes      int NOT NULL DEFAULT 0,    -- owners that died without one result since
    risky        bigint NOT NULL DEFAULT 0, -- positions below this were in the hands of one that died
    trial        bigint,                    -- the position being tried alone, after two strikes
    succeeded    bigint NOT NULL DEFAULT 0,
    failed       bigint NOT NULL DEFAULT 0,
    prompt_tokens     bigint NOT NULL DEFAULT 0,
    completion_tokens bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (run, lo)
) WITH (fillfactor = 50);                   -- room for updates on the same page: no index is touched
CREATE INDEX shard_open ON shard (run, home, lo) WHERE NOT done;

CREATE TABLE result (
    part         int NOT NULL,
    result_set   int NOT NULL,
    item_id      text NOT NULL,
    run          bigint NOT NULL,           -- the run that wrote it last; each run writes it once
    position     bigint NOT NULL,
    fingerprint  bytea NOT NULL,
    succeeded    boolean NOT NULL,
    attempts     int NOT NULL,
    reason       text,                      -- short, for grouping; only of a failure
    error        text,                      -- what the server said
    output       text,                      -- JSON; only of a success
    prompt_tokens     bigint NOT NULL DEFAULT 0,
    completion_tokens bigint NOT NULL DEFAULT 0,
    finished_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (part, result_set, item_id)
) PARTITION BY LIST (part);
CREATE INDEX result_failed ON result (part, result_set, run, position) WHERE NOT succeeded;
CREATE TABLE result_shared PARTITION OF result FOR VALUES IN (0);

CREATE TABLE worker (
    run          bigint NOT NULL,
    id           text NOT NULL,             -- slot and incarnation
    slot         int NOT NULL,
    started_at   timestamptz NOT NULL DEFAULT now(),
    seen_at      timestamptz NOT NULL DEFAULT now(),
    stats        text NOT NULL DEFAULT '{}', -- JSON, totals since it started (work/stats.py)
    PRIMARY KEY (run, id)
) WITH (fillfactor = 50);

-- Whether an item still has to be done, given what its result set holds for its ID (nulls: nothing).
-- One rule, used by plan (to count) and by the workers (to fetch); SQL functions are inlined.
CREATE FUNCTION penstock_is_open(
    result_run bigint, succeeded boolean, result_fingerprint bytea, result_error text,
    this_run bigint, item_fingerprint bytea, existing text, redrive_reason text
) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE
        WHEN result_run IS NULL THEN existing <> 'redrive' OR redrive_reason = ''
        WHEN result_run = this_run THEN false
        WHEN existing = 'force' THEN true
        WHEN existing = 'redrive' THEN
            NOT succeeded
            AND (redrive_reason = '' OR strpos(lower(result_error), lower(redrive_reason)) > 0)
        WHEN existing = 'skipByID' THEN NOT succeeded
        ELSE NOT (succeeded AND result_fingerprint = item_fingerprint)
    END
$$;
