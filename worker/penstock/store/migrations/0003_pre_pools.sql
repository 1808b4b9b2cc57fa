-- Pools: budgets of a provider that workers share, of one job or of several. What was learned of one is
-- to outlive a restart of the server. What its members report is not: each says it again within a
-- second, so that table is unlogged, and their signs of life cost no write-ahead log.
-- No index on what changes with each sign of life, and room for it on the same page.

CREATE TABLE pool (
    key          text PRIMARY KEY,          -- its name, or a hash of whose budget it is
    leader       text,                      -- the member that shares it out; null: free
    leader_until timestamptz,               -- its lease; run out, any other member may lead
    term         bigint NOT NULL DEFAULT 0, -- +1 with each new leader; what an older one writes is void
    state        text,                      -- JSON, what was learned; null: nothing yet
    orders       jsonb,                     -- what the leader wants of each member, by its ID
    updated_at   timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50);

CREATE UNLOGGED TABLE pool_member (
    pool         text NOT NULL,
    member       text NOT NULL,             -- a worker's ID
    run          bigint NOT NULL,           -- the run it works on
    report       text NOT NULL,             -- JSON, what it saw of late
    seen_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (pool, member)
) WITH (fillfactor = 50);

-- Who leads reads what all members of its pool report, also those of other jobs; it changes nothing
-- there. Pools belong to nobody: any job may name one.
ALTER TABLE pool_member ENABLE ROW LEVEL SECURITY;
CREATE POLICY all_members ON pool_member FOR SELECT USING (true);
CREATE POLICY own ON pool_member USING (run = ANY (ARRAY(SELECT r.id FROM run r)));

SELECT set_config('search_path', format('%I, pg_temp', current_schema()), true);

-- What all jobs' roles may do with pools; goes with penstock_admit.
CREATE FUNCTION penstock_admit_to_pools(members name) RETURNS void
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    command text;
BEGIN
    FOREACH command IN ARRAY ARRAY[
        'SELECT ON pool, pool_member',
        'INSERT (key, leader, leader_until, term) ON pool',
        'UPDATE (leader, leader_until, term, state, orders, updated_at) ON pool',
        'INSERT, DELETE ON pool_member',
        'UPDATE (report, seen_at) ON pool_member'
    ] LOOP
        EXECUTE format('GRANT %s TO %I', command, members);
    END LOOP;
END $$;

REVOKE EXECUTE ON FUNCTION penstock_admit_to_pools FROM PUBLIC;
