#!/bin/bash
#
# bench/classify.sh DIRECTORY - accuracy and calibration of classifiers on five sets of rows (half a minute to two a set
# and seed).
#
# DIRECTORY has NAME.train.csv and NAME.test.csv with columns label and text. A model is trained on texts and labels
# (TRAIN) and measured by gpt_evaluate. With PRETRAIN (such as '"epochs": 10') it is trained on the texts alone first,
# and fine-tuned on texts and labels (FINETUNE; some minutes more). SETS, SEEDS (1 2 3), THREADS (2). TEST=dev measures
# on a fifth of the training rows instead, which are then left out of training: for choosing options. Where python3 has
# scikit-learn (JUDGE), its LinearSVC on TF-IDF of words and letters, naive Bayes and, where it is installed, fastText
# learn the same rows.
set -euo pipefail

directory=$(realpath "${1:?the directory of the sets is missing}")
cd "$(dirname "$0")/.."
# shellcheck source=bench/server.sh
. bench/server.sh
train=${TRAIN:-}
pretrain=${PRETRAIN:-}
finetune=${FINETUNE:-}
judge=${JUDGE:-/usr/bin/python3}

start_server classify <<SETTINGS
gpt.train_threads = ${THREADS:-2}
gpt.nice = 0
SETTINGS
psql+=(-At)

run()
{
	"${psql[@]}" -c "SELECT $1" >/dev/null
	[ "$("${psql[@]}" -c "SELECT gpt_wait(max(job)) FROM gpt_jobs")" = succeeded ] ||
		{ "${psql[@]}" -c "SELECT error FROM gpt_jobs ORDER BY job DESC LIMIT 1" >&2 && exit 1; }
}

for name in ${SETS:-sms_spam trec6 sst2 banking77 waimai_zh}; do
	"${psql[@]}" -c "CREATE TABLE train_$name (label text, text text)" -c "CREATE TABLE test_$name (label text, text text)"
	for part in train test; do
		"${psql[@]}" -c "\\copy ${part}_$name FROM '$directory/$name.$part.csv' CSV HEADER"
	done
	if [ "${TEST:-test}" = dev ]; then
		"${psql[@]}" -c "TRUNCATE test_$name" -c "WITH held AS (DELETE FROM train_$name WHERE abs(hashtext(text)) % 5 = 0 RETURNING *)
			INSERT INTO test_$name SELECT * FROM held"
	fi
	for seed in ${SEEDS:-1 2 3}; do
		started=$(date +%s)
		if [ -z "$pretrain" ]; then
			middle=$started
			run "gpt_train('${name}_labels', 'SELECT text, label FROM train_$name', '{\"seed\": $seed${train:+, $train}}')"
		else
			run "gpt_train('$name', 'SELECT text FROM train_$name', '{\"seed\": $seed${pretrain:+, $pretrain}}')"
			middle=$(date +%s)
			run "gpt_finetune('$name', 'SELECT text, label FROM train_$name', '{\"into\": \"${name}_labels\", \"seed\": $seed${finetune:+, $finetune}}')"
		fi
		"${psql[@]}" -F ' ' -c "SELECT format('%s, seed $seed: accuracy %s, calibration error %s, macro F1 %s, loss %s of %s rows; %s + %s s, %s of %s steps', '$name',
			round(max(value) FILTER (WHERE metric = 'accuracy')::numeric, 4),
			round(max(value) FILTER (WHERE metric = 'calibration_error')::numeric, 4),
			round(max(value) FILTER (WHERE metric = 'macro_f1')::numeric, 4),
			round(max(value) FILTER (WHERE metric = 'loss')::numeric, 4), max(value) FILTER (WHERE metric = 'documents'),
			$middle - $started, $(date +%s) - $middle, (SELECT conditions->>'best_step' FROM gpt_jobs ORDER BY job DESC LIMIT 1),
			(SELECT step FROM gpt_jobs ORDER BY job DESC LIMIT 1))
			FROM gpt_evaluate('${name}_labels', 'SELECT text, label FROM test_$name')"
		"${psql[@]}" -c "SELECT gpt_drop_model(model) FROM gpt_models WHERE model IN ('$name', '${name}_labels')" >/dev/null
	done
	if "$judge" -c "import sklearn" 2>/dev/null; then
		for part in train test; do
			"${psql[@]}" -c "\\copy ${part}_$name TO '$work/$name.$part.csv' CSV HEADER"
		done
		"$judge" bench/classify.py "$work" "$name"
	else
		echo "$name: no scikit-learn for $judge"
	fi
done
