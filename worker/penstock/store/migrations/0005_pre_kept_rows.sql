-- Items that are skipped because the table their results go to has what it needs of them already
-- (`output.postgres.skipWhere`), whatever the result set knows of them.
ALTER TABLE item ADD COLUMN kept boolean NOT NULL DEFAULT false;
