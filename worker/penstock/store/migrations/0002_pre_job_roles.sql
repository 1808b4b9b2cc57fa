-- On a cluster each job may work under a database role of its own (store/roles.py), which reaches the
-- rows of its own runs and nothing else. Row-level security does not concern the owner of the tables:
-- for local runs and for the operator everything stays as it was.
-- Result sets are shared by the jobs that name the same one, so their results are visible to each.

-- The role that works on it; empty: none. Collated as names are, so that the index serves the policy.
ALTER TABLE run ADD COLUMN role text COLLATE "C" NOT NULL DEFAULT '';
CREATE INDEX run_role ON run (role);

ALTER TABLE run ENABLE ROW LEVEL SECURITY;
ALTER TABLE item ENABLE ROW LEVEL SECURITY;
ALTER TABLE shard ENABLE ROW LEVEL SECURITY;
ALTER TABLE worker ENABLE ROW LEVEL SECURITY;
ALTER TABLE result_set ENABLE ROW LEVEL SECURITY;
ALTER TABLE result ENABLE ROW LEVEL SECURITY;

-- The one rule. Those below ask `run`, and so see no more than it lets them. As arrays, which depend
-- on nothing in the row, they are made once a statement and not once a row.
CREATE POLICY own ON run USING (role = current_user::text);
CREATE POLICY own ON item USING (run = ANY (ARRAY(SELECT r.id FROM run r)));
CREATE POLICY own ON shard USING (run = ANY (ARRAY(SELECT r.id FROM run r)));
CREATE POLICY own ON worker USING (run = ANY (ARRAY(SELECT r.id FROM run r)));
CREATE POLICY own ON result_set USING (id = ANY (ARRAY(SELECT r.result_set FROM run r)));
CREATE POLICY own ON result
    USING (result_set = ANY (ARRAY(SELECT r.result_set FROM run r)))
    WITH CHECK (result_set = ANY (ARRAY(SELECT r.result_set FROM run r))
                AND run = ANY (ARRAY(SELECT r.id FROM run r)));

-- Partitions need an owner of the tables. What planning does with them are functions that run as the
-- owner, for whom the run belongs to. Nothing that a caller has made may stand in for what they name.
SELECT set_config('search_path', format('%I, pg_temp', current_schema()), true);

-- Raises insufficient_privilege unless the run is being planned and is the caller's. The functions
-- that ask run as the owner, so the caller is who logged in.
CREATE FUNCTION penstock_check_planning(this_run bigint) RETURNS void
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF NOT EXISTS (
        SELECT 1 FROM run JOIN pg_class tables ON tables.oid = 'run'::regclass
        WHERE run.id = this_run AND run.phase = 'Planning'
          AND (run.role = session_user::text OR pg_has_role(session_user, tables.relowner, 'MEMBER'))
    ) THEN
        RAISE insufficient_privilege USING MESSAGE =
            format('run %s is not being planned, or not by %s', this_run, session_user);
    END IF;
END $$;

-- Whether a table is a partition already.
CREATE FUNCTION penstock_is_attached(partition text) RETURNS boolean
LANGUAGE sql STABLE SET search_path FROM CURRENT AS $$
    SELECT EXISTS (SELECT 1 FROM pg_inherits WHERE inhrelid = to_regclass(quote_ident(partition)))
$$;

-- A table shaped like `parent`, without its indexes, not yet a partition. `also`: what more than its
-- part is true of all its rows.
CREATE FUNCTION penstock_make_apart(parent text, part int, also text) RETURNS void
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE partition text := parent || '_' || part;
BEGIN
    EXECUTE format('DROP TABLE IF EXISTS %I', partition);
    EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING DEFAULTS)', partition, parent);
    EXECUTE format('ALTER TABLE %I ADD CONSTRAINT %I CHECK (part = %s AND %s)',
                   partition, partition || '_part', part, also);
END $$;

-- Index a table made apart by its key (faster after loading) and make it a partition: with its CHECK
-- that takes no scan and only a brief lock. Nothing when it is one already.
CREATE FUNCTION penstock_attach(parent text, part int, key text) RETURNS void
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE partition text := parent || '_' || part;
BEGIN
    IF penstock_is_attached(partition) THEN
        RETURN;
    END IF;
    EXECUTE format('ALTER TABLE %I ADD PRIMARY KEY (%s)', partition, key);
    EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES IN (%s)', parent, partition, part);
    EXECUTE format('ALTER TABLE %I DROP CONSTRAINT %I', partition, partition || '_part');
END $$;

-- A table of its own for the items of a large run, that its planner may COPY into. When an earlier
-- attempt had come so far that it is a partition already, that one.
CREATE FUNCTION penstock_begin_items(this_run bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE partition text := 'item_' || this_run;
BEGIN
    PERFORM penstock_check_planning(this_run);
    IF NOT penstock_is_attached(partition) THEN
        PERFORM penstock_make_apart('item', this_run::int, 'run = ' || this_run);
    END IF;
    EXECUTE format('GRANT SELECT, INSERT ON %I TO %I', partition, session_user);
END $$;

-- Its items are whole: it becomes a partition, which is reached through `item` alone.
CREATE FUNCTION penstock_end_items(this_run bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE partition text := 'item_' || this_run;
BEGIN
    PERFORM penstock_check_planning(this_run);
    PERFORM penstock_attach('item', this_run::int, 'part, run, position');
    IF session_user <> current_user THEN
        EXECUTE format('REVOKE ALL ON %I FROM %I', partition, session_user);
    END IF;
END $$;

-- The part that the results of a run are in. A large run gives its result set a partition of its own
-- while that is still empty, and nobody else works on it: they would go on writing to the old one.
-- The set stays locked until the transaction ends: where it lives is decided by one at a time.
CREATE FUNCTION penstock_place_results(this_run bigint, large boolean) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    mine run;
    place int;
BEGIN
    PERFORM penstock_check_planning(this_run);
    SELECT * INTO mine FROM run WHERE id = this_run;
    SELECT s.part INTO place FROM result_set s WHERE s.id = mine.result_set FOR NO KEY UPDATE;
    IF NOT large OR place <> 0
        OR EXISTS (SELECT 1 FROM result r WHERE r.part = 0 AND r.result_set = mine.result_set)
        OR EXISTS (SELECT 1 FROM run other
                   WHERE other.result_set = mine.result_set AND other.job <> mine.job
                     AND other.phase NOT IN ('Complete', 'Failed')) THEN
        RETURN place;
    END IF;
    -- Each number is given once: whoever drops an old partition cannot hit a new one.
    place := nextval(pg_get_serial_sequence('result_set', 'id'));
    PERFORM penstock_make_apart('result', place, 'result_set = ' || mine.result_set);
    PERFORM penstock_attach('result', place, 'part, result_set, item_id');
    UPDATE result_set s SET part = place WHERE s.id = mine.result_set;
    RETURN place;
END $$;

-- Figures for the query planner on one partition of items or results; 0 is the shared one.
CREATE FUNCTION penstock_analyze(this_run bigint, parent text, part int) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    PERFORM penstock_check_planning(this_run);
    IF parent NOT IN ('item', 'result') THEN
        RAISE insufficient_privilege USING MESSAGE = format('%I has no partitions', parent);
    END IF;
    EXECUTE format('ANALYZE %I', parent || '_' || CASE part WHEN 0 THEN 'shared' ELSE part::text END);
END $$;

-- What all jobs' roles may do, given to the group they are in; called by who owns the tables. Who can
-- do what the pods of a job do needs no more than this, and no right on a partition.
CREATE FUNCTION penstock_admit(members name) RETURNS void
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    command text;
BEGIN
    IF NOT has_database_privilege(members, current_database(), 'CONNECT') THEN
        EXECUTE format('GRANT CONNECT ON DATABASE %I TO %I', current_database(), members);
    END IF;
    IF NOT has_schema_privilege(members, current_schema(), 'USAGE') THEN
        EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', current_schema(), members);
    END IF;
    FOREACH command IN ARRAY ARRAY[
        'SELECT ON run, item, shard, worker, result_set, result',
        'UPDATE (phase, reason, message, driver, driver_seen, items_run, item_part, total, skipped,'
            || ' bad, counted, planned_at, finished_at, output) ON run',
        'INSERT, DELETE ON item, shard, worker',
        'UPDATE (item_id, error) ON item',
        'UPDATE (hi, claimed, owner, epoch, lease_until, done, strikes, risky, trial, succeeded,'
            || ' failed, prompt_tokens, completion_tokens) ON shard',
        'UPDATE (seen_at, stats) ON worker',
        'INSERT ON result',
        'UPDATE (run, position, fingerprint, succeeded, attempts, reason, error, output,'
            || ' prompt_tokens, completion_tokens, finished_at) ON result',
        'EXECUTE ON FUNCTION penstock_begin_items, penstock_end_items, penstock_place_results,'
            || ' penstock_analyze'
    ] LOOP
        EXECUTE format('GRANT %s TO %I', command, members);
    END LOOP;
END $$;

REVOKE EXECUTE ON FUNCTION penstock_check_planning, penstock_is_attached, penstock_make_apart,
    penstock_attach, penstock_begin_items, penstock_end_items, penstock_place_results,
    penstock_analyze, penstock_admit FROM PUBLIC;
