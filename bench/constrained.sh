#!/bin/bash
#
# bench/constrained.sh - whether texts with a constraint are always valid, and what the constraint costs, with GPT-2's
# vocabulary of 50,257 (some minutes; DATA=../shared/data has the tokenizer).
#
# First PROMPTS (10,000) random prompts on a model of random weights (2 layers, 64 channels), a type for each in turn:
# values of gpt_generate_as, with max_tokens drawn between what the type needs and 40 more. Then a model of GPT-2's
# shape with random weights and a bfloat16 image, one thread (SHAPE="12 12 768"): for each constraint CALLS (6) texts
# with it, after one call, and as many tokens without. It compares the processor time of the session for a token, in
# ROUNDS (3) in turn. Prints the number of texts that are not valid, and the ratios.
set -euo pipefail

cd "$(dirname "$0")/.."
# shellcheck source=bench/server.sh
. bench/server.sh
data=${GPT_TEST_DATA:-${DATA:-../shared/data}}
prompts=${PROMPTS:-10000} calls=${CALLS:-6} rounds=${ROUNDS:-3}
read -r layers heads channels <<<"${SHAPE:-12 12 768}"

start_server constrained <<SETTINGS
gpt.nice = 0
gpt.threads = 1
fsync = off
max_wal_size = '4GB'
gpt.max_memory = '8GB'
gpt.max_image_size = '8GB'
SETTINGS
psql+=(-At)
cp "$data/tokenizers/gpt2.tokenizer.json" "$work/tokenizer.json"
chmod a+r "$work/tokenizer.json"

"${psql[@]}" >/dev/null <<SQL
SELECT gpt_import_tokenizer('gpt2', pg_read_binary_file('$work/tokenizer.json'));
CREATE TABLE line AS SELECT 'line ' || i || ' of the text' AS body FROM generate_series(1, 20) i;
SELECT gpt_train('tiny', 'SELECT body FROM line', '{"layers": 2, "heads": 2, "channels": 64, "context": 512, "tokenizer": "gpt2", "steps": 1,
	"batch_size": 1, "validation_fraction": 0, "ngrams": false}') AS job \gset
SELECT gpt_wait(:job);
CREATE TYPE mood AS ENUM ('sad', 'ok', 'it''s "fine"', 'größer als je zuvor');
CREATE DOMAIN plate AS text CHECK (VALUE ~ '^[A-Z]{1,3}-[A-Z]{1,2} \d{1,4}\$' AND length(VALUE) <= 9);
CREATE DOMAIN grade AS integer CHECK (VALUE BETWEEN 1 AND 6);
CREATE DOMAIN size AS varchar(4) CHECK (VALUE IN ('S', 'M', 'L', 'XXXL'));
CREATE TYPE item AS (name varchar(8), price numeric(6, 2), grade grade, moods mood[], day date);
CREATE TABLE kind (i int, type text, tokens int);
INSERT INTO kind SELECT row_number() OVER () - 1, * FROM (VALUES ('boolean', 3), ('smallint', 2), ('integer', 2), ('bigint', 2), ('numeric', 2),
	('numeric(5,2)', 2), ('real', 2), ('float8', 2), ('date', 10), ('time', 8), ('timestamp', 19), ('timestamptz', 20), ('uuid', 36), ('text', 1),
	('varchar(9)', 1), ('char(3)', 1), ('mood', 6), ('plate', 7), ('grade', 2), ('size', 2), ('integer[]', 4), ('plate[]', 12), ('item', 20),
	('item[]', 4), ('jsonb', 3)) t;
-- how many of so many prompts give a text that is not a value of the type, or none
CREATE FUNCTION wrong(first int, last int) RETURNS TABLE (type text, texts bigint, wrong bigint) LANGUAGE plpgsql AS \$\$
DECLARE
	prompt text;
	k kind;
	is_good boolean;
BEGIN
	CREATE TEMP TABLE seen (type text, is_good boolean) ON COMMIT DROP;
	FOR n IN first .. last LOOP
		SELECT * INTO k FROM kind WHERE i = n % 25;
		SELECT coalesce(string_agg(chr(32 + (random() * 600)::int), ''), '') INTO prompt FROM generate_series(1, n % 30);
		BEGIN
			EXECUTE format('SELECT (gpt_generate_as(\$1, \$2, NULL::%1\$s, \$3, \$4, \$5)::text::%1\$s)::text IS NOT NULL', k.type) INTO is_good
				USING 'tiny', prompt, k.tokens + (random() * 40)::int, (ARRAY[0, 0.7, 1, 3])[1 + n % 4], n;
		EXCEPTION WHEN OTHERS THEN
			RAISE NOTICE '%: %', k.type, SQLERRM;
			is_good := false;
		END;
		INSERT INTO seen VALUES (k.type, is_good);
	END LOOP;
	RETURN QUERY SELECT s.type, count(*), count(*) FILTER (WHERE NOT s.is_good) FROM seen s GROUP BY 1 ORDER BY 1;
END \$\$;
SQL
echo "$prompts random prompts on random weights: type, texts, not valid"
"${psql[@]}" -c "SELECT setseed(0.5)" -c "SELECT * FROM wrong(1, $prompts)" | tail -n +2 | tee "$work/wrong" | column -t -s '|'
awk -F'|' '{ texts += $2; wrong += $3 } END { printf "all: %d texts, %d not valid\n", texts, wrong; exit wrong > 0 }' "$work/wrong"

"${psql[@]}" >/dev/null <<SQL
SELECT gpt_train('m', 'SELECT body FROM line', '{"layers": $layers, "heads": $heads, "channels": $channels, "context": 128, "family": "gpt2", "optimizer": "adamw",
	"tokenizer": "gpt2", "steps": 1, "learning_rate": 1e-9, "batch_size": 1, "validation_fraction": 0, "ngrams": false}') AS job \gset
SELECT gpt_wait(:job);
SELECT gpt_set_image_type('m', 'bfloat16');
CREATE TABLE many_names AS SELECT array_agg('name ' || i * 7919 % 1000003) AS names FROM generate_series(1, 100000) i;
CREATE TABLE bound (name text, argument text);
INSERT INTO bound VALUES ('4 choices', 'choices => ARRAY[''very good'', ''good'', ''bad'', ''very bad indeed'']'),
	('100,000 choices', 'choices => (SELECT names FROM many_names)'),
	('date', 'pattern => ''\d{4}-\d{2}-\d{2}'''),
	('text of 40 to 90 letters', 'pattern => ''[A-Za-z ]{40,90}'''),
	('text of any 40 to 60 characters', 'pattern => ''.{40,60}'''),
	('object', format('schema => %L', '{"type": "object", "required": ["name", "age", "tags"], "properties": {"name": {"type": "string", "maxLength": 30},
		"age": {"type": "integer", "minimum": 0, "maximum": 130}, "tags": {"type": "array", "items": {"enum": ["red", "green", "blue"]}, "minItems": 1,
		"maxItems": 5}}}')),
	('list of any JSON', 'schema => ''{"type": "array", "minItems": 4, "maxItems": 9}''');
-- nanoseconds of the processor that the session has taken
CREATE FUNCTION taken() RETURNS bigint LANGUAGE sql VOLATILE AS \$\$ SELECT split_part(pg_read_file('/proc/self/schedstat'), ' ', 1)::bigint \$\$;
-- the time for a token with and without a constraint, each in turn
CREATE FUNCTION compare(argument text, calls int, rounds int) RETURNS TABLE (tokens bigint, with_it float8, without float8, first_call float8) LANGUAGE plpgsql AS \$\$
DECLARE
	begun bigint;
	n int;
BEGIN
	tokens := 0; with_it := 0; without := 0;
	PERFORM gpt_generate('m', 'This is ', 2);
	begun := taken();
	EXECUTE 'SELECT gpt_generate(''m'', ''This is '', 128, 1, seed => 0, ' || argument || ')';
	first_call := (taken() - begun) / 1e9;
	FOR i IN 1 .. calls * rounds LOOP
		begun := taken();
		EXECUTE 'SELECT g.tokens FROM gpt_generate_many(''m'', ''This is number ' || i || ' '', 1, 128, 1, seed => ' || i || ', ' || argument || ') g' INTO n;
		with_it := with_it + (taken() - begun) / 1e9;
		tokens := tokens + n;
		begun := taken();
		PERFORM gpt_generate_many('m', 'This is number ' || i || ' ', 1, n, 1, seed => i, logit_bias => '{"<|endoftext|>": -100}');
		without := without + (taken() - begun) / 1e9;
	END LOOP;
	RETURN NEXT;
END \$\$;
SQL
echo "constraint | tokens | ms a token with it, without | ratio | s of the first call"
"${psql[@]}" -c "SELECT name, tokens, round((1000 * with_it / tokens)::numeric, 2), round((1000 * without / tokens)::numeric, 2),
	round((with_it / without)::numeric, 3), round(first_call::numeric, 2) FROM bound, compare(argument, $calls, $rounds)" | column -t -s '|'

# gpt_extract on 100 rows that a small model has not seen, after 400 steps on 2,800 made-up offers of four forms.
echo "gpt_extract: share of articles, prices and colours that are right"
"${psql[@]}" <<'SQL' | tail -n 1
SELECT setseed(0.3);
CREATE TYPE offer AS (article text, price numeric(8, 2), colour text);
CREATE TABLE known_offer AS SELECT row_number() OVER () AS id, replace(replace(replace((ARRAY['Selling a %c %a for %p euros.', 'My %a, %c, has to go: %p EUR',
	'For %p euros you can have this %c %a!', '%p euros: %a (%c), hardly used'])[1 + (random() * 3.99)::int % 4], '%a', a), '%c', c), '%p', p::text) AS body,
	a AS article, p AS price, c AS colour
FROM (SELECT (ARRAY['bike', 'table', 'lamp', 'sofa', 'guitar', 'tent', 'camera', 'mirror', 'clock', 'chair'])[1 + (random() * 9.99)::int % 10] a,
	(ARRAY['red', 'blue', 'green', 'black', 'white', 'yellow'])[1 + (random() * 5.99)::int % 6] c, (1 + random() * 400)::numeric(8, 2) p
	FROM generate_series(1, 3000)) s;
SELECT gpt_train('offers', $$SELECT gpt_extract_prompt(body, NULL::offer) AS prompt, to_json(ROW(article, price, colour)::offer)::text AS completion
	FROM known_offer WHERE id <= 2800$$, '{"layers": 3, "heads": 4, "channels": 128, "context": 192, "tokenizer": "bytes", "steps": 400, "batch_size": 16,
	"threads": 1}') AS job \gset
SELECT gpt_wait(:job);
SELECT round(avg(((o).article = article)::int), 2), round(avg(((o).price = price)::int), 2), round(avg(((o).colour = colour)::int), 2)
FROM (SELECT *, gpt_extract('offers', body, NULL::offer) AS o FROM known_offer WHERE id > 2900 OFFSET 0) s;
SQL
