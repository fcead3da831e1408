#!/bin/bash
#
# bench/judging.sh DIRECTORY - numbers of texts, and labels of pairs of texts, on held-out rows (some minutes a seed).
#
# DIRECTORY has sst2.train.csv and banking77.train.csv (label, text), and the same with test. Numbers: the mood of a
# sentence as 0 or 1, by regression. Pairs: whether two questions have the same intent. Trained by gpt_train from the
# rows alone, with default options, and with TRAIN ('"steps": 500') if given. SEEDS (1 2 3), THREADS (2), MINUTES (of a
# training; chosen by default); JUDGES=1 also fits linear models of scikit-learn on TF-IDF of words and runs of letters.
set -euo pipefail

directory=$(realpath "${1:?the directory of the sets is missing}")
cd "$(dirname "$0")/.."
# shellcheck source=bench/server.sh
. bench/server.sh
options=${MINUTES:+, \"minutes\": $MINUTES}${TRAIN:+, $TRAIN}

start_server judging <<SETTINGS
gpt.train_threads = ${THREADS:-2}
gpt.nice = 0
SETTINGS
psql+=(-At -F ' ')
/usr/bin/python3 bench/judging.py "$directory" "$work"

"${psql[@]}" -c "CREATE TABLE train_number (label float8, body text)" -c "CREATE TABLE test_number (label float8, body text)" \
	-c "CREATE TABLE train_pair (first text, second text, label int)" -c "CREATE TABLE test_pair (first text, second text, label int)"
for part in train test; do
	"${psql[@]}" -c "\\copy ${part}_number FROM '$directory/sst2.$part.csv' CSV HEADER" -c "\\copy ${part}_pair FROM '$work/pairs.$part.csv' CSV"
done
for kind in number pair; do
	for seed in ${SEEDS:-1 2 3}; do
		"${psql[@]}" -c "SELECT gpt_train('$kind', 'SELECT * FROM train_$kind', '{\"seed\": $seed$options}')" >/dev/null
		[ "$("${psql[@]}" -c "SELECT gpt_wait(max(job)) FROM gpt_jobs")" = succeeded ] ||
			{ "${psql[@]}" -c "SELECT error FROM gpt_jobs ORDER BY job DESC LIMIT 1" >&2 && exit 1; }
		"${psql[@]}" -c "SELECT '$kind, seed $seed:', string_agg(metric || ' ' || round(value::numeric, 4), ', '),
			(SELECT format('after %s of %s steps', conditions->>'best_step', step) FROM gpt_jobs ORDER BY job DESC LIMIT 1)
			FROM gpt_evaluate('$kind', 'SELECT * FROM test_$kind')
			WHERE label IS NULL AND metric IN ('loss', 'accuracy', 'ece', 'rmse', 'r2', 'spearman', 'baseline_rmse')"
		"${psql[@]}" -c "SELECT gpt_drop_model('$kind')" >/dev/null
	done
done
