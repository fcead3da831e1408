-- examples/verdicts.sql - what the demo promises, computed from the views and the model: verdict, whether it holds, numbers.
WITH curve AS (
	SELECT log.step, log.validation_loss FROM gpt_train_log log JOIN gpt_jobs job USING (job)
	WHERE job.model = 'shakespeare' AND log.validation_loss IS NOT NULL
), loss AS (
	SELECT (SELECT validation_loss FROM curve ORDER BY step LIMIT 1) AS first,
		(SELECT validation_loss FROM curve ORDER BY step DESC LIMIT 1) AS last
), usual AS (
	SELECT percentile_cont(0.99) WITHIN GROUP (ORDER BY perplexity) AS p99 FROM scored WHERE kind = 'unseen speech'
), foreign_row AS (
	SELECT min(perplexity) AS lowest, count(*) AS n FROM scored WHERE kind <> 'unseen speech'
), shuffle AS (
	SELECT count(*) FILTER (WHERE perplexity > original) AS higher, count(*) AS n FROM shuffled
), text AS (
	SELECT count(DISTINCT g.body) AS different, count(*) FILTER (WHERE position(g.body IN s.body) > 0) AS copied
	FROM generated g, sample s
)
SELECT 'validation loss fell below 0.6 of the first' AS verdict, coalesce(last < 0.6 * first, false) AS holds,
	format('%s of %s is %s', round(last::numeric, 3), round(first::numeric, 3), round((last / first)::numeric, 3)) AS numbers
FROM loss
UNION ALL
SELECT 'every planted row lies above the 99th percentile of unseen speeches', coalesce(lowest > p99, false),
	format('lowest of %s rows %s, 99th percentile %s', n, round(lowest), round(p99)) FROM usual, foreign_row
UNION ALL
SELECT 'shuffled words raise the perplexity of at least 95 % of speeches', n > 0 AND higher >= 0.95 * n,
	format('%s of %s', higher, n) FROM shuffle
UNION ALL
SELECT 'three generated texts differ and are no part of the sample', different = 3 AND copied = 0,
	format('%s different, %s copied', different, copied) FROM text;
