-- name: place
-- Where roles are made, and whether this user may: the database, the schema of the tables, and
-- whether everybody may create objects there.
SELECT current_database() AS database, current_schema() AS schema,
       (SELECT rolcreaterole OR rolsuper FROM pg_roles WHERE rolname = current_user) AS allowed,
       has_schema_privilege('public', current_schema(), 'CREATE') AS open

-- name: lock
-- One at a time makes or drops roles of this database, until the transaction ends.
SELECT pg_advisory_xact_lock(7301944002)

-- name: known
-- Whether there is a role $1.
SELECT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = $1)

-- name: is_member
-- Whether role $1 is in group $2.
SELECT pg_has_role($1::text, $2::text, 'MEMBER')

-- name: is_admitted
-- Whether group $1 has its rights in this database, which may have been set up anew meanwhile.
SELECT has_table_privilege($1::text, 'result', 'INSERT')
   AND has_function_privilege($1::text, 'penstock_pool_leave(text, text)', 'EXECUTE')

-- name: admit
SELECT penstock_admit($1::name), penstock_admit_to_pools($1::name)

-- name: give_runs
-- Runs of owner $1 are worked on by role $2.
UPDATE run SET role = $2 WHERE owner = $1 AND role <> $2

-- name: unused
-- Members of group $1 (names that begin with $2) that no run names: its BatchJob is gone.
SELECT member.rolname AS role
FROM pg_auth_members m
JOIN pg_roles member ON member.oid = m.member
JOIN pg_roles people ON people.oid = m.roleid
WHERE people.rolname = $1 AND starts_with(member.rolname::text, $2)
  AND NOT EXISTS (SELECT 1 FROM run WHERE run.role = member.rolname::text)
ORDER BY member.rolname

-- name: may_act_for
-- Whether this user has the rights of role $1: only then may it end its sessions.
SELECT pg_has_role($1::text, 'USAGE')

-- name: end_sessions
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = $1

-- name: check
-- Nothing, unless a role does not find the tables or may not read them.
SELECT FROM run LIMIT 0
