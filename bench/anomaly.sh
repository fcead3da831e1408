#!/bin/bash
#
# bench/anomaly.sh CSV [LOG] - odd rows found by how unlikely a model holds them to be (about a quarter of an hour).
#
# CSV is bgl_2k.csv: 2,000 lines of a log, of which 143 are alerts (columns line, anomaly, alert_category, message). Two
# splits: trained on the normal ones of the odd lines and measured on the even lines; trained on the normal ones of the
# first 1,000 lines and measured on the rest. gpt_train with RECIPE, seeds 1 to 3; gpt_score is the detector, and its
# metric the one with the best mean AUC over both splits on the lines of the training sides, alerts among them, which no
# model was trained on. Prints the AUC of every metric on both sides, with and without the end, and the mean over the
# seeds of the chosen one.
#
# LOG is OpenSSH_2k.log: the lines of a process are a session, whose text is one row. Trained on every other session;
# the rest are normal, and the same cut after one of their lines must be found. SEEDS= leaves the first part out;
# CUT_SEEDS are those of the second, CUT_RECIPE its options.
set -euo pipefail

csv=$(realpath "${1:?the CSV file is missing}")
log=$([ -z "${2:-}" ] || realpath "$2")
cd "$(dirname "$0")/.."
# shellcheck source=bench/server.sh
. bench/server.sh
recipe=${RECIPE:-'"minutes": 1, "tokenizer": "bytes", "family": "modern", "optimizer": "adamw", "preset": "mini", "dropout": 0.1'}
cut_recipe=${CUT_RECIPE:-'"minutes": 1, "tokenizer": "bytes", "context": 512, "family": "modern", "preset": "nano", "dropout": 0.1'}
seeds=${SEEDS-1 2 3}

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
CREATE TABLE auc (split text, seed int, metric text, ends boolean, is_train boolean, auc float8);

-- Area under the curve by ranks (Mann and Whitney 1947), ties counted half.
CREATE FUNCTION measure(split text, seed int) RETURNS void LANGUAGE sql AS $$
INSERT INTO auc
SELECT measure.split, measure.seed, metric, ends, is_train, (sum(rank) FILTER (WHERE anomaly) - n1 * (n1 + 1) / 2) / (n1 * n0)
FROM (SELECT metric, ends, is_train, anomaly, count(*) FILTER (WHERE anomaly) OVER w AS n1, count(*) FILTER (WHERE NOT anomaly) OVER w AS n0,
		rank() OVER (PARTITION BY metric, ends, is_train ORDER BY score) + (count(*) OVER (PARTITION BY metric, ends, is_train, score) - 1) / 2.0 AS rank
	FROM (SELECT metric, ends, is_train, anomaly, (CASE WHEN metric LIKE '%logprob' THEN -1 ELSE 1 END)
				* coalesce(gpt_score('m', message, metric, include_end => ends), 0) AS score
		FROM split s, unnest(ARRAY['mean_logprob', 'logprob', 'bits_per_byte', 'max_surprise']) metric, unnest(ARRAY[false, true]) ends
		WHERE s.split = measure.split) s
	WINDOW w AS (PARTITION BY metric, ends, is_train)) r
GROUP BY metric, ends, is_train, n1, n0 $$;
SQL

# run SPLIT SEED OPTIONS
run()
{
	"${psql[@]}" <<SQL >/dev/null
SET client_min_messages = warning;
SELECT gpt_train('m', \$\$SELECT message FROM split WHERE split = '$1' AND is_train AND NOT anomaly\$\$, '{$3, "seed": $2}') AS job \gset
SELECT gpt_wait(:job);
SELECT measure('$1', $2);
SELECT gpt_drop_model('m');
SQL
}

for seed in $seeds; do
	for split in odd/even 'first 1,000/rest'; do
		run "$split" "$seed" "$recipe"
	done
done
if [ -n "$log" ]; then
	"${psql[@]}" -c 'CREATE TABLE raw (line int GENERATED ALWAYS AS IDENTITY, text text)'
	"${psql[@]}" -c "\\copy raw (text) FROM STDIN (FORMAT csv, DELIMITER E'\\x01', QUOTE E'\\x02')" <"$log"
	"${psql[@]}" <<'SQL'
CREATE TABLE session AS
	SELECT row_number() OVER (ORDER BY min(line)) AS session, array_agg(message ORDER BY line) AS lines
	FROM (SELECT line, m[1] AS pid, m[2] AS message FROM raw, regexp_match(text, 'sshd\[(\d+)\]: (.*)') m) l GROUP BY pid;
INSERT INTO split
	SELECT 'cut sessions', session, false, array_to_string(lines, E'\n'), session % 2 = 1 FROM session
	UNION ALL
	SELECT 'cut sessions', session, true, array_to_string(lines[:1 + abs(hashint8(session)::bigint) % (cardinality(lines) - 1)], E'\n'), session % 2 = 1
	FROM session WHERE cardinality(lines) > 1;
SQL
	for seed in ${CUT_SEEDS:-1}; do
		run 'cut sessions' "$seed" "$cut_recipe"
	done
fi
"${psql[@]}" -F '  ' <<SQL
SELECT split, metric, CASE WHEN ends THEN 'with the end' ELSE 'without' END, 'training side', round(avg(auc) FILTER (WHERE is_train)::numeric, 4), 'other side',
	string_agg(round(auc::numeric, 4)::text, ' ' ORDER BY seed) FILTER (WHERE NOT is_train) FROM auc GROUP BY split, metric, ends ORDER BY 1, 2, ends;
SELECT format('%s by %s: mean AUC %s of %s seeds; {%s}', split, metric, round(avg(auc)::numeric, 4), count(*), \$\$$recipe\$\$)
FROM auc WHERE split <> 'cut sessions' AND NOT ends AND NOT is_train
	AND metric = (SELECT metric FROM auc WHERE split <> 'cut sessions' AND NOT ends AND is_train GROUP BY metric ORDER BY avg(auc) DESC LIMIT 1)
GROUP BY split, metric ORDER BY split DESC;
SQL
