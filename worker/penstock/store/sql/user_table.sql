-- name: table
-- The table that a user calls $1 (a name as in SQL, with or without its schema). read_only: the server, or
-- this user's part of it, takes no writes.
SELECT c.oid, c.relkind::text AS relkind, format('%I.%I', n.nspname, c.relname) AS name, current_user AS me,
       current_setting('transaction_read_only')::bool AS read_only
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid = to_regclass($1)

-- name: names
-- Tables that can be called by their name alone.
SELECT quote_ident(relname) AS name FROM pg_class
WHERE relkind IN ('r', 'p') AND pg_table_is_visible(oid) AND relnamespace <> 'pg_catalog'::regnamespace
ORDER BY relname LIMIT 1000

-- name: columns
-- The columns of table $1 that can be written to; types below domains. key_allowed, allowed: this user may
-- add rows with it and find them by it, and change it as well. cast: without a length, by which
-- a cast would cut what is too long. is_unique: an index that covers all rows holds this column alone,
-- and is checked at once.
WITH RECURSIVE type AS (
    SELECT oid AS asked, typname, typtype, typbasetype, typcategory
    FROM pg_type WHERE oid IN (SELECT atttypid FROM pg_attribute WHERE attrelid = $1)
    UNION ALL
    SELECT type.asked, t.typname, t.typtype, t.typbasetype, t.typcategory
    FROM type JOIN pg_type t ON t.oid = type.typbasetype WHERE type.typtype = 'd'
)
SELECT a.attname AS name, type.typname AS type, type.typcategory::text AS category,
       format_type(a.atttypid, -1) AS cast,
       has_column_privilege($1, a.attnum, 'SELECT')
           AND has_column_privilege($1, a.attnum, 'INSERT') AS key_allowed,
       has_column_privilege($1, a.attnum, 'SELECT') AND has_column_privilege($1, a.attnum, 'INSERT')
           AND has_column_privilege($1, a.attnum, 'UPDATE') AS allowed,
       a.attnotnull AND NOT a.atthasdef AND a.attidentity = '' AS must,
       coalesce(bool_or(i.indisunique), false) AS is_unique,
       coalesce(bool_or(i.indisprimary), false) AS is_primary
FROM pg_attribute a JOIN type ON type.asked = a.atttypid AND type.typtype <> 'd'
LEFT JOIN pg_index i ON i.indrelid = a.attrelid AND i.indnkeyatts = 1 AND i.indkey[0] = a.attnum
    AND i.indisunique AND i.indisvalid AND i.indimmediate AND i.indpred IS NULL
WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
GROUP BY a.attnum, a.attname, type.typname, type.typcategory, a.atttypid, a.attnotnull,
         a.atthasdef, a.attidentity
HAVING a.attidentity <> 'a' OR coalesce(bool_or(i.indisunique), false)
ORDER BY a.attnum
