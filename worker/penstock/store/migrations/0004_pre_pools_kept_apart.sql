-- Whoever knows the key of a pool may join it with a run of its own, and nobody else learns anything
-- of it or changes it. The tables of pools are reached by four functions alone, which run as the owner
-- and ask who logged in; a job's role has no rights on the tables themselves any more, so that keys
-- cannot be listed.
--
-- Their bodies are of the standard's kind (BEGIN ATOMIC): what they name is bound here and now, so
-- nothing that somebody makes later in any schema can stand in for it. Those of 0002 are made anew with
-- every name qualified, for the same reason.

SELECT set_config('search_path', format('%I, pg_temp', current_schema()), true);

DROP POLICY all_members ON pool_member;
DROP POLICY own ON pool_member;
ALTER TABLE pool ENABLE ROW LEVEL SECURITY;

-- Until when nothing passes, as this member was told (seconds since the epoch): all have to hear it
-- sooner than the leader could tell them.
ALTER TABLE pool_member ADD COLUMN resume_at float8
    GENERATED ALWAYS AS ((report::json ->> 'retryAt')::float8) STORED;

-- Whether a run is of whoever logged in.
CREATE FUNCTION penstock_is_mine(this_run bigint) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT EXISTS (
        SELECT FROM run JOIN pg_class tables ON tables.oid = run.tableoid
        WHERE run.id = this_run
          AND (run.role = session_user::text OR pg_has_role(session_user, tables.relowner, 'MEMBER'))
    );
END;

-- Report, lead when nobody else does, and read what there is. A run that was deleted, or is another's,
-- leaves no member behind and reads nothing; nor does a member that another run has already.
-- The row of a pool that another one leads is not touched, not even locked.
CREATE FUNCTION penstock_pool_sync(
    this_pool text, this_member text, this_run bigint, said text, lease interval
) RETURNS TABLE (
    now float8, leads boolean, term bigint, state text, orders text, resume_at float8
)
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    WITH seen AS (
        INSERT INTO pool_member AS m (pool, member, run, report)
        SELECT this_pool, this_member, this_run, said WHERE penstock_is_mine(this_run)
        ON CONFLICT (pool, member) DO UPDATE SET report = excluded.report, seen_at = pg_catalog.now()
        WHERE m.run = excluded.run
        RETURNING member
    ), known AS (
        SELECT p.* FROM seen JOIN pool p ON p.key = this_pool
    ), led AS (
        INSERT INTO pool AS p (key, leader, leader_until, term)
        SELECT this_pool, member, clock_timestamp() + least(lease, interval '1 minute'), 1 FROM seen
        WHERE NOT EXISTS (
            SELECT FROM known WHERE leader <> this_member AND leader_until >= pg_catalog.now()
        )
        ON CONFLICT (key) DO UPDATE SET
            leader = this_member, leader_until = excluded.leader_until,
            term = p.term + (p.leader IS DISTINCT FROM this_member)::int
        WHERE p.leader = this_member OR p.leader IS NULL OR p.leader_until < pg_catalog.now()
        RETURNING p.term, p.state, p.orders
    )
    SELECT extract(epoch FROM clock_timestamp())::float8,
           led.term IS NOT NULL,
           coalesce(led.term, known.term, 0),
           coalesce(led.state, known.state),
           (coalesce(led.orders, known.orders) -> this_member)::text,
           coalesce((
               SELECT max(told.resume_at) FROM seen, pool_member told WHERE told.pool = this_pool
           ), 0)
    FROM (VALUES (true)) AS one LEFT JOIN known ON true LEFT JOIN led ON true;
END;

-- What the members of a pool said last, and how many seconds ago, for who leads it; not those that are
-- long gone.
CREATE FUNCTION penstock_pool_reports(this_pool text, this_member text)
RETURNS TABLE (member text, report text, age float8)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT told.member, told.report,
           extract(epoch FROM clock_timestamp() - told.seen_at)::float8
    FROM pool p
    JOIN pool_member me ON me.pool = p.key AND me.member = p.leader
    JOIN pool_member told ON told.pool = p.key AND told.seen_at > now() - interval '1 minute'
    WHERE p.key = this_pool AND p.leader = this_member AND penstock_is_mine(me.run)
    ORDER BY told.member;
END;

-- What a member makes of a pool that it leads in this term. False: it does not lead (any more), and
-- nothing was written.
CREATE FUNCTION penstock_pool_order(
    this_pool text, this_member text, this_term bigint, learned text, wanted jsonb
) RETURNS boolean
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    WITH written AS (
        UPDATE pool p SET state = learned, orders = wanted, updated_at = now()
        FROM pool_member me
        WHERE p.key = this_pool AND p.leader = this_member AND p.term = this_term
          AND p.leader_until > now()
          AND me.pool = p.key AND me.member = p.leader AND penstock_is_mine(me.run)
        RETURNING 1
    )
    SELECT EXISTS (SELECT FROM written);
END;

-- A member stops on purpose; when it led, the next to come may lead at once.
CREATE FUNCTION penstock_pool_leave(this_pool text, this_member text) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    WITH gone AS (
        DELETE FROM pool_member m
        WHERE m.pool = this_pool AND m.member = this_member AND penstock_is_mine(m.run)
        RETURNING m.member
    )
    UPDATE pool p SET leader = NULL, leader_until = NULL
    FROM gone WHERE p.key = this_pool AND p.leader = gone.member;
END;

REVOKE EXECUTE ON FUNCTION penstock_is_mine, penstock_pool_sync, penstock_pool_reports,
    penstock_pool_order, penstock_pool_leave FROM PUBLIC;

-- What all jobs' roles may do with pools; goes with penstock_admit.
CREATE OR REPLACE FUNCTION penstock_admit_to_pools(members name) RETURNS void
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    EXECUTE format('REVOKE ALL ON pool, pool_member FROM %I', members);
    EXECUTE format('GRANT EXECUTE ON FUNCTION penstock_pool_sync, penstock_pool_reports,'
                   ' penstock_pool_order, penstock_pool_leave TO %I', members);
END $$;

-- Who was admitted before.
SELECT penstock_admit_to_pools(people.rolname)
FROM (SELECT DISTINCT (aclexplode(relacl)).grantee FROM pg_class WHERE oid = 'pool'::regclass) AS given
JOIN pg_roles people ON people.oid = given.grantee
WHERE starts_with(people.rolname::text, 'penstock_jobs_');

-- The functions of 0002 that run as the owner, and what they call, made anew: no schema is searched but
-- PostgreSQL's own. In their bodies `here.` stands for the schema of the tables, `here_name` for its name.
DO $make$
DECLARE body text;
BEGIN
FOREACH body IN ARRAY ARRAY[$$
CREATE OR REPLACE FUNCTION here.penstock_check_planning(this_run bigint) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $f$
BEGIN
    IF NOT EXISTS (
        SELECT FROM here.run WHERE run.id = this_run AND run.phase = 'Planning'
    ) OR NOT here.penstock_is_mine(this_run) THEN
        RAISE insufficient_privilege USING MESSAGE =
            format('run %s is not being planned, or not by %s', this_run, session_user);
    END IF;
END $f$
$$, $$
CREATE OR REPLACE FUNCTION here.penstock_is_attached(partition text) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $f$
    SELECT EXISTS (
        SELECT FROM pg_inherits WHERE inhrelid = to_regclass(format('%I.%I', here_name, partition))
    )
$f$
$$, $$
CREATE OR REPLACE FUNCTION here.penstock_make_apart(parent text, part int, also text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $f$
DECLARE partition text := format('%s_%s', parent, part);
BEGIN
    EXECUTE format('DROP TABLE IF EXISTS %I.%I', here_name, partition);
    EXECUTE format('CREATE TABLE %1$I.%2$I (LIKE %1$I.%3$I INCLUDING DEFAULTS)',
                   here_name, partition, parent);
    EXECUTE format('ALTER TABLE %I.%I ADD CONSTRAINT %I CHECK (part = %s AND %s)',
                   here_name, partition, format('%s_part', partition), part, also);
END $f$
$$, $$
CREATE OR REPLACE FUNCTION here.penstock_attach(parent text, part int, key text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $f$
DECLARE partition text := format('%s_%s', parent, part);
BEGIN
    IF here.penstock_is_attached(partition) THEN
        RETURN;
    END IF;
    EXECUTE format('ALTER TABLE %I.%I ADD PRIMARY KEY (%s)', here_name, partition, key);
    EXECUTE format('ALTER TABLE %1$I.%2$I ATTACH PARTITION %1$I.%3$I FOR VALUES IN (%4$s)',
                   here_name, parent, partition, part);
    EXECUTE format('ALTER TABLE %I.%I DROP CONSTRAINT %I',
                   here_name, partition, format('%s_part', partition));
END $f$
$$, $$
CREATE OR REPLACE FUNCTION here.penstock_begin_items(this_run bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $f$
DECLARE partition text := format('item_%s', this_run);
BEGIN
    PERFORM here.penstock_check_planning(this_run);
    IF NOT here.penstock_is_attached(partition) THEN
        PERFORM here.penstock_make_apart('item', this_run::int, format('run = %s', this_run));
    END IF;
    EXECUTE format('GRANT SELECT, INSERT ON %I.%I TO %I', here_name, partition, session_user);
END $f$
$$, $$
CREATE OR REPLACE FUNCTION here.penstock_end_items(this_run bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $f$
DECLARE partition text := format('item_%s', this_run);
BEGIN
    PERFORM here.penstock_check_planning(this_run);
    PERFORM here.penstock_attach('item', this_run::int, 'part, run, position');
    IF session_user <> current_user THEN
        EXECUTE format('REVOKE ALL ON %I.%I FROM %I', here_name, partition, session_user);
    END IF;
END $f$
$$, $$
CREATE OR REPLACE FUNCTION here.penstock_place_results(this_run bigint, large boolean) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $f$
DECLARE
    mine here.run;
    place int;
BEGIN
    PERFORM here.penstock_check_planning(this_run);
    SELECT * INTO mine FROM here.run WHERE run.id = this_run;
    SELECT s.part INTO place FROM here.result_set s WHERE s.id = mine.result_set FOR NO KEY UPDATE;
    IF NOT large OR place <> 0
        OR EXISTS (SELECT FROM here.result r WHERE r.part = 0 AND r.result_set = mine.result_set)
        OR EXISTS (SELECT FROM here.run other
                   WHERE other.result_set = mine.result_set AND other.job <> mine.job
                     AND other.phase NOT IN ('Complete', 'Failed')) THEN
        RETURN place;
    END IF;
    -- Each number is given once: whoever drops an old partition cannot hit a new one.
    place := nextval(pg_get_serial_sequence(format('%I.result_set', here_name), 'id'));
    PERFORM here.penstock_make_apart('result', place, format('result_set = %s', mine.result_set));
    PERFORM here.penstock_attach('result', place, 'part, result_set, item_id');
    UPDATE here.result_set s SET part = place WHERE s.id = mine.result_set;
    RETURN place;
END $f$
$$, $$
CREATE OR REPLACE FUNCTION here.penstock_analyze(this_run bigint, parent text, part int) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $f$
BEGIN
    PERFORM here.penstock_check_planning(this_run);
    IF parent NOT IN ('item', 'result') THEN
        RAISE insufficient_privilege USING MESSAGE = format('%I has no partitions', parent);
    END IF;
    EXECUTE format('ANALYZE %I.%I', here_name,
                   format('%s_%s', parent, CASE part WHEN 0 THEN 'shared' ELSE part::text END));
END $f$
$$] LOOP
    body := replace(body, 'here_name', quote_literal(current_schema()));
    EXECUTE replace(body, 'here.', format('%I.', current_schema()));
END LOOP;
END $make$;
