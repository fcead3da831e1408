#!/bin/bash
#
# bench/find.sh DIRECTORY - whether the nearest training row has the label of a test row (some minutes a seed).
#
# DIRECTORY has banking77.train.csv and banking77.test.csv with columns label and text. Three searches by cosine:
# gpt_embed of a model that was trained on the texts alone; gpt_embed after a fine-tune on pairs of training rows with
# the same label (PAIRS of each row); and TF-IDF of characters (scikit-learn, where it is there). SEEDS (1 2 3), THREADS
# (2), PRETRAIN and FINETUNE (options: '"steps": 100'). TEST=dev measures on a fifth of the training rows instead, which
# are then left out of training: for choosing options.
set -euo pipefail

directory=$(realpath "${1:?the directory of the set is missing}")
cd "$(dirname "$0")/.."
# shellcheck source=bench/server.sh
. bench/server.sh
pretrain=${PRETRAIN:-}
finetune=${FINETUNE:-}

start_server find <<SETTINGS
gpt.train_threads = ${THREADS:-2}
gpt.nice = 0
client_min_messages = warning
SETTINGS
psql+=(-At)

run()
{
	"${psql[@]}" -c "SELECT $1" >/dev/null
	[ "$("${psql[@]}" -c "SELECT gpt_wait(max(job)) FROM gpt_jobs")" = succeeded ] ||
		{ "${psql[@]}" -c "SELECT error FROM gpt_jobs ORDER BY job DESC LIMIT 1" >&2 && exit 1; }
}

# The share of the rows of t whose nearest neighbour in r has their label.
share()
{
	"${psql[@]}" -c "DROP TABLE IF EXISTS r, t" \
		-c "CREATE TABLE r AS SELECT label, gpt_embed('$1', text) AS v FROM training" \
		-c "CREATE TABLE t AS SELECT label, gpt_embed('$1', text) AS v FROM test" >/dev/null
	"${psql[@]}" -c "COPY (SELECT 'r', label, array_to_string(v, ' ') FROM r
		UNION ALL SELECT 't', label, array_to_string(v, ' ') FROM t) TO STDOUT" |
		OPENBLAS_NUM_THREADS=1 /usr/bin/python3 -c '
import sys, numpy
rows = [line.rstrip("\n").split("\t") for line in sys.stdin]
part = numpy.array([row[0] for row in rows])
label = numpy.array([row[1] for row in rows])
vector = numpy.array([numpy.array(row[2].split(), dtype=numpy.float32) for row in rows])
nearest = (vector[part == "t"] @ vector[part == "r"].T).argmax(1)
print("%.4f with %d numbers" % ((label[part == "r"][nearest] == label[part == "t"]).mean(), vector.shape[1]))'
}

"${psql[@]}" -c "CREATE TABLE training (label text, text text)" \
	-c "CREATE TABLE test (label text, text text)" >/dev/null
for part in training test; do
	"${psql[@]}" -c "\\copy $part FROM '$directory/banking77.${part%ing}.csv' CSV HEADER" >/dev/null
done
if [ "${TEST:-test}" = dev ]; then
	"${psql[@]}" -c "TRUNCATE test" -c "WITH held AS (DELETE FROM training WHERE abs(hashtext(text)) % 5 = 0 RETURNING *)
		INSERT INTO test SELECT * FROM held" >/dev/null
fi
"${psql[@]}" -c "CREATE TABLE pair AS SELECT a.text AS query, b.text AS positive FROM training a CROSS JOIN LATERAL
	(SELECT text FROM training b WHERE b.label = a.label AND b.text <> a.text
		ORDER BY md5(a.text || b.text) LIMIT ${PAIRS:-4}) b" >/dev/null

for seed in ${SEEDS:-1 2 3}; do
	run "gpt_train('texts', 'SELECT text FROM training', '{\"seed\": $seed${pretrain:+, $pretrain}}')"
	echo "no labels, seed $seed: $(share texts)"
	run "gpt_finetune('texts', 'SELECT query, positive FROM pair', '{\"into\": \"pairs\",
		\"seed\": $seed${finetune:+, $finetune}}')"
	steps=$("${psql[@]}" -c "SELECT step FROM gpt_jobs ORDER BY job DESC LIMIT 1")
	echo "pairs, seed $seed: $(share pairs), $steps steps"
	"${psql[@]}" -c "SELECT gpt_drop_model('texts')" -c "SELECT gpt_drop_model('pairs')" >/dev/null
done

if /usr/bin/python3 -c 'import sklearn' 2>/dev/null; then
	"${psql[@]}" -c "COPY (SELECT 'r', label, text FROM training 
		UNION ALL SELECT 't', label, text FROM test) TO STDOUT CSV" |
		OPENBLAS_NUM_THREADS=1 /usr/bin/python3 -c '
import csv, sys, numpy
from sklearn.feature_extraction.text import TfidfVectorizer
rows = list(csv.reader(sys.stdin))
part = numpy.array([row[0] for row in rows])
label = numpy.array([row[1] for row in rows])
text = numpy.array([row[2] for row in rows])
for name, options in (("2 to 5", (2, 5)), ("2 to 4", (2, 4))):
    tfidf = TfidfVectorizer(analyzer="char_wb", ngram_range=options)
    known = tfidf.fit_transform(text[part == "r"])
    nearest = (tfidf.transform(text[part == "t"]) @ known.T).toarray().argmax(1)
    print("TF-IDF of %s characters: %.4f" % (name, (label[part == "r"][nearest] == label[part == "t"]).mean()))'
fi
