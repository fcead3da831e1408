#!/bin/bash
#
# bench/drift.sh FOLDER - how often gpt_drift cries wolf, and how often it notices a shift (some minutes).
#
# FOLDER has sms_spam.{train,test}.csv and waimai_zh.{train,test}.csv (columns label, text). Of each set 40 % of the
# rows train a language model and a classifier; the others are a pool. Samples of 20, 100 and 500 rows are drawn from
# the pool TRIALS times (100; of 500 rows half as often): as they are; and a fifth of TRIALS times each with a shift:
#   labels    rows of the rarer label are three times as probable
#   half      each text ends after half of its characters
#   typos     one character in ten is another letter
#   mixed     one row in five comes from the other set
# Prints, by set, model, shift and number of rows, the share of the samples that have a verdict "moderate" or "drifted"
# in any measure, and in each measure.
set -euo pipefail

folder=$(realpath "${1:?the folder with the CSV files is missing}")
cd "$(dirname "$0")/.."
# shellcheck source=bench/server.sh
. bench/server.sh
trials=${TRIALS:-100}

start_server drift <<SETTINGS
gpt.train_threads = 1
gpt.nice = 0
SETTINGS
psql+=(-At)

"${psql[@]}" -c 'CREATE TABLE loaded (label text, body text);
	CREATE TABLE pool (set text, id int, label text, body text, trains boolean)'
for set in sms_spam waimai_zh; do
	"${psql[@]}" -c 'TRUNCATE loaded'
	cat "$folder/$set".{train,test}.csv | grep -vx 'label,text' | "${psql[@]}" -c '\copy loaded FROM STDIN (FORMAT csv)'
	"${psql[@]}" -c "INSERT INTO pool SELECT '$set', row_number() OVER (ORDER BY md5(body)), label, body,
		hashtext(body) % 10 IN (0, 1, 2, 3)
		FROM (SELECT DISTINCT label, body FROM loaded) l"
done
"${psql[@]}" <<'SQL' >/dev/null
CREATE TABLE found (set text, model text, shift text, n int, trial int, measure text, verdict text);

CREATE TABLE about AS SELECT set, count(*)::float8 AS n, (array_agg(label ORDER BY n_label))[1] AS rare
	FROM (SELECT set, label, count(*) OVER (PARTITION BY set, label) AS n_label FROM pool) p GROUP BY set;

-- A sample without repetition, by a number: rows with the largest u ^ (1 / weight) (Efraimidis and Spirakis 2006).
CREATE FUNCTION draw(set text, shift text, n int, trial int, OUT body text, OUT label text)
	RETURNS SETOF record LANGUAGE sql AS $$
	WITH taken AS (SELECT p.id, p.body, p.label FROM pool p JOIN about o ON o.set = p.set JOIN about a ON a.set = draw.set
		WHERE NOT p.trains AND (p.set = draw.set OR shift = 'mixed')
		ORDER BY ln(((('x' || left(md5(p.set || p.id || ' ' || trial), 8))::bit(32)::bigint & 4294967295) + 1)
			::float8 / 4294967297)
			/ CASE WHEN shift = 'labels' AND p.label = a.rare THEN 3.0
				WHEN p.set <> draw.set THEN 0.25 * a.n / o.n ELSE 1.0 END DESC LIMIT draw.n)
	SELECT CASE shift WHEN 'half' THEN left(t.body, (length(t.body) + 1) / 2)
		WHEN 'typos' THEN (SELECT string_agg(
			CASE WHEN (get_byte(h, (i % 16)::int) + i * 37) % 256 < 26 THEN chr(97 + (i * 7 % 26)::int) ELSE c END, '' ORDER BY i)
			FROM decode(md5(t.body), 'hex') h, regexp_split_to_table(t.body, '') WITH ORDINALITY s (c, i))
		ELSE t.body END, t.label FROM taken t $$;
CREATE PROCEDURE measure(set text, model text, shift text, n int, trials int) LANGUAGE plpgsql AS $$
BEGIN
	FOR trial IN 1 .. trials LOOP
		INSERT INTO found SELECT measure.set, measure.model, measure.shift, measure.n, trial, d.measure, d.verdict
			FROM gpt_drift(measure.model || '_' || measure.set, format('SELECT body%s FROM draw(%L, %L, %s, %s)',
				CASE measure.model WHEN 'class' THEN ', label' ELSE '' END, measure.set, measure.shift, measure.n, trial)) d
					WHERE d.verdict IS NOT NULL;
		COMMIT;
	END LOOP;
END $$;
SQL
for set in sms_spam waimai_zh; do
	"${psql[@]}" <<SQL >/dev/null
SET client_min_messages = warning;
SELECT gpt_train('text_$set', \$\$SELECT body FROM pool WHERE set = '$set' AND trains\$\$,
	'{"layers": 1, "heads": 2, "channels": 64, "context": 128, "vocabulary": 1024, "steps": ${STEPS:-100},
		"batch_size": 16, "validation_fraction": 0.2}') AS job \gset
SELECT gpt_wait(:job);
SELECT gpt_train('class_$set', \$\$SELECT body, label FROM pool WHERE set = '$set' AND trains\$\$,
	'{"layers": 1, "heads": 2, "channels": 64, "context": 128, "vocabulary": 1024, "steps": ${STEPS:-100},
		"batch_size": 16, "validation_fraction": 0.2}') AS job \gset
SELECT gpt_wait(:job);
SQL
	for model in text class; do
		for n in 20 100 500; do
			"${psql[@]}" -c "CALL measure('$set', '$model', 'none', $n, $((n == 500 ? trials / 2 : trials)))"
			for shift in labels half typos mixed; do
				"${psql[@]}" -c "CALL measure('$set', '$model', '$shift', $n, $((trials / 5)))"
			done
		done
	done >/dev/null
done
"${psql[@]}" -A -F ' ' -P tuples_only=off <<'SQL'
SELECT set, model, shift, n, count(DISTINCT trial) AS trials,
	round(count(DISTINCT trial) FILTER (WHERE verdict <> 'stable') / count(DISTINCT trial)::numeric, 2) AS any,
	(SELECT string_agg(measure || ' ' || share, ', ' ORDER BY measure) FROM (SELECT measure,
		round(count(DISTINCT trial) FILTER (WHERE verdict <> 'stable') / count(DISTINCT trial)::numeric, 2) AS share
		FROM found m WHERE (m.set, m.model, m.shift, m.n) = (f.set, f.model, f.shift, f.n) GROUP BY measure) s
			WHERE share > 0) AS measures
FROM found f GROUP BY set, model, shift, n ORDER BY shift <> 'none', shift, set, model, n;
SQL
