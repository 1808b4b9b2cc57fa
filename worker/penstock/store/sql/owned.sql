-- name: runs
-- Runs that belong to BatchJobs of the cluster whose owners begin with $1, without their manifests.
SELECT run.id, run.job, run.number, run.owner, run.phase, s.name AS result_set,
       EXISTS (SELECT 1 FROM run other
               WHERE other.result_set = run.result_set AND other.owner <> run.owner) AS shared
FROM run JOIN result_set s ON s.id = run.result_set
WHERE starts_with(run.owner, $1) ORDER BY run.job, run.number

-- name: manifest
SELECT manifest FROM run WHERE id = $1
