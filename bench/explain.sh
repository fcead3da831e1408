#!/bin/bash
#
# bench/explain.sh FOLDER - whether the weights of gpt_explain are right (some minutes).
#
# FOLDER has NAME.train.csv and NAME.test.csv with columns label and text. Of each set (SETS) a classifier is trained on
# texts and labels (TRAIN: more options), and a language model on the texts (LANGUAGE: its options). ROWS (200) test
# rows of 4 to 60 words are explained. Prints for each model the share of the rows whose weights sum to the difference
# from the baseline within 1 %, and the largest gap; for classifiers also Spearman's correlation of the weights by
# gradients and by occlusion, over the words of a row, as mean and median of the rows, and how often both have the same
# top word. Then the planted cause: rows of 8 to 16 words of noise, in which one word (one of two for each of three
# labels) decides the label; printed is the share of 500 rows, which are not among the 1,000 learnt, in which it is the
# top word.
set -euo pipefail

folder=$(realpath "${1:?the folder with the CSV files is missing}")
cd "$(dirname "$0")/.."
# shellcheck source=bench/server.sh
. bench/server.sh
rows=${ROWS:-200}
train=${TRAIN:-}
language=${LANGUAGE:-'"ngrams": false, "steps": 100, "preset": "nano"'}

start_server explain <<SETTINGS
gpt.train_threads = ${THREADS:-1}
gpt.nice = 0
SETTINGS
psql+=(-At)

run()
{
	"${psql[@]}" -c "SELECT $1" >/dev/null
	[ "$("${psql[@]}" -c "SELECT gpt_wait(max(job)) FROM gpt_jobs")" = succeeded ] ||
		{ "${psql[@]}" -c "SELECT error FROM gpt_jobs ORDER BY job DESC LIMIT 1" >&2 && exit 1; }
}

# MODEL TABLE: the completeness of the sums of gpt_explain in the table.
complete()
{
	"${psql[@]}" -F ' ' -c "SELECT format('$1: %s rows, %s %% complete within 1 %%, largest gap %s %%', count(*),
			round(100 * avg((gap <= 0.01)::int), 1), round((100 * max(gap))::numeric, 2))
		FROM (SELECT abs(sum(weight) - min(score - baseline)) / abs(min(score - baseline)) AS gap FROM $2 GROUP BY id) g"
}

for name in ${SETS:-sms_spam trec6 sst2}; do
	"${psql[@]}" -c "CREATE TABLE train_$name (label text, text text)" -c "CREATE TABLE test_$name (label text, text text)"
	for part in train test; do
		"${psql[@]}" -c "\\copy ${part}_$name FROM '$folder/$name.$part.csv' CSV HEADER"
	done
	run "gpt_train('${name}_labels', 'SELECT text, label FROM train_$name', '{\"seed\": 1,
		\"threads\": 1${train:+, $train}}')"
	run "gpt_train('$name', 'SELECT text FROM train_$name', '{\"seed\": 1, \"threads\": 1, $language}')"
	"${psql[@]}" -c "CREATE TABLE chosen_$name AS SELECT row_number() OVER (ORDER BY md5(text)) AS id, text FROM test_$name
		WHERE (SELECT count(*) FROM gpt_segment(text)) BETWEEN 4 AND 60 ORDER BY md5(text) LIMIT $rows"
	"${psql[@]}" -c "CREATE TABLE ig_$name AS SELECT id, e.* FROM chosen_$name t, gpt_explain('${name}_labels', t.text) e"
	"${psql[@]}" -c "CREATE TABLE occ_$name AS SELECT id, e.* FROM chosen_$name t,
		gpt_explain('${name}_labels', t.text, method => 'occlusion') e"
	"${psql[@]}" -c "CREATE TABLE next_$name AS SELECT id, e.* FROM chosen_$name t, gpt_explain('$name', t.text) e"
	complete "$name, classifier" "ig_$name"
	complete "$name, language model" "next_$name"
	"${psql[@]}" -c "SELECT format('$name, classifier: '
			'Spearman with occlusion %s (median %s), same top word in %s %% of the rows',
			round(avg(rho)::numeric, 3), round((percentile_cont(0.5) WITHIN GROUP (ORDER BY rho))::numeric, 3),
				round(100 * avg(top::int), 1))
		FROM (SELECT corr(a, b) AS rho, bool_or(a = n AND b = n) AS top
			FROM (SELECT id, rank() OVER (PARTITION BY id ORDER BY g.weight) AS a,
				rank() OVER (PARTITION BY id ORDER BY o.weight) AS b,
				count(*) OVER (PARTITION BY id) AS n FROM ig_$name g JOIN occ_$name o USING (id, position)) r GROUP BY id) c"
done

"${psql[@]}" <<'SQL'
CREATE TABLE planted AS SELECT id, label, cause, 
	(SELECT string_agg(CASE WHEN k = place THEN cause ELSE word END, ' ' ORDER BY k) FROM (
		SELECT k, (string_to_array('the order came late and box was open with a small note from our shop about next week when they send more of these again '
			|| 'please call me back today we like green tea but not this kind river stone paper window', ' '))[1 + (hashint4(id * 97 + k) & 2147483647) % 43] AS word
		FROM generate_series(1, n_words) k) w) AS body
	FROM (SELECT id, label, causes[1 + id / 3 % 2] AS cause, 8 + id % 9 AS n_words,
		1 + (hashint4(id) & 2147483647) % (8 + id % 9) AS place
		FROM generate_series(1, 1500) id JOIN (VALUES (0, 'angry', '{refund,broken}'::text[]), 
			(1, 'happy', '{thanks,lovely}'), (2, 'neutral', '{invoice,address}')) v(l, label, causes)
		ON l = id % 3) r;
SQL
run "gpt_train('planted', 'SELECT body AS text, label FROM planted WHERE id <= 1000', '{\"seed\": 1,
	\"threads\": 1${train:+, $train}}')"
for method in gradients occlusion; do
	"${psql[@]}" -c "SELECT format('planted cause, $method: the top word of %s %% of %s rows',
		round(100 * avg((text = cause)::int), 1), count(*))
		FROM (SELECT DISTINCT ON (id) id, cause, e.text FROM planted, gpt_explain('planted', body, label, '$method') e
			WHERE id > 1000 ORDER BY id, weight DESC) t"
done
