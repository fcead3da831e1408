#!/bin/bash
#
# bench/anomaly.sh CSV - odd rows found by how unlikely a model holds them to be (about a quarter of an hour).
#
# CSV is bgl_2k.csv: 2,000 lines of a log, of which 143 are alerts (columns line, anomaly, alert_category, message). Two
# splits: trained on the normal ones of the odd lines and measured on the even lines; trained on the normal ones of the first
# 1,000 lines and measured on the rest. gpt_train with RECIPE, seeds 1 to 3; gpt_score is the detector, and its metric the one
# with the best mean AUC over both splits on the lines of the training sides, alerts among them, which no model was
# trained on. Prints the AUC of every metric on both sides, and the mean over the seeds of the chosen one.
set -euo pipefail

csv=$(realpath "${1:?the CSV file is missing}")
cd "$(dirname "$0")/.."
# shellcheck source=bench/server.sh
. bench/server.sh
recipe=${RECIPE:-'"minutes": 1, "tokenizer": "bytes", "family": "modern", "preset": "mini", "dropout": 0.1'}

start_server anomaly <<SETTINGS
gpt.train_threads = ${THREADS:-2}
gpt.nice = 0
SETTINGS
psql+=(-At)

"${psql[@]}" -c 'CREATE TABLE log (line int, anomaly int, category text, message text)'
"${psql[@]}" -c '\copy log FROM STDIN (FORMAT csv, HEADER)' <"$csv"
"${psql[@]}" <<'SQL'
CREATE TABLE split AS
	SELECT 'odd/even' AS split, line, anomaly = 1 AS anomaly, message, line % 2 = 1 AS is_train FROM log
	UNION ALL SELECT 'first 1,000/rest', line, anomaly = 1, message, line <= 1000 FROM log;
CREATE TABLE auc (split text, seed int, metric text, is_train boolean, auc float8);
SQL

for seed in ${SEEDS:-1 2 3}; do
	for split in odd/even 'first 1,000/rest'; do
		"${psql[@]}" <<SQL >/dev/null
SET client_min_messages = warning;
SELECT gpt_train('m', \$\$SELECT message FROM split WHERE split = '$split' AND is_train AND NOT anomaly\$\$, '{$recipe, "seed": $seed}') AS job \gset
SELECT gpt_wait(:job);
-- Area under the curve by ranks (Mann and Whitney 1947), ties counted half.
INSERT INTO auc
SELECT '$split', $seed, metric, is_train, (sum(rank) FILTER (WHERE anomaly) - n1 * (n1 + 1) / 2) / (n1 * n0)
FROM (SELECT metric, is_train, anomaly, count(*) FILTER (WHERE anomaly) OVER w AS n1, count(*) FILTER (WHERE NOT anomaly) OVER w AS n0,
		rank() OVER (PARTITION BY metric, is_train ORDER BY score) + (count(*) OVER (PARTITION BY metric, is_train, score) - 1) / 2.0 AS rank
	FROM (SELECT metric, is_train, anomaly, (CASE WHEN metric LIKE '%logprob' THEN -1 ELSE 1 END) * coalesce(gpt_score('m', message, metric), 0) AS score
		FROM split, unnest(ARRAY['mean_logprob', 'logprob', 'bits_per_byte', 'max_surprise']) metric WHERE split = '$split') s
	WINDOW w AS (PARTITION BY metric, is_train)) r
GROUP BY metric, is_train, n1, n0;
SELECT gpt_drop_model('m');
SQL
	done
done
"${psql[@]}" -F '  ' <<SQL
SELECT split, metric, 'training side', round(avg(auc) FILTER (WHERE is_train)::numeric, 4), 'other side',
	string_agg(round(auc::numeric, 4)::text, ' ' ORDER BY seed) FILTER (WHERE NOT is_train) FROM auc GROUP BY split, metric ORDER BY 1, 2;
SELECT format('%s by %s: mean AUC %s of %s seeds; {%s}', split, metric, round(avg(auc)::numeric, 4), count(*), \$\$$recipe\$\$)
FROM auc WHERE NOT is_train AND metric = (SELECT metric FROM auc WHERE is_train GROUP BY metric ORDER BY avg(auc) DESC LIMIT 1)
GROUP BY split, metric ORDER BY split DESC;
SQL
