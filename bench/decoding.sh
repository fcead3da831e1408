#!/bin/bash
#
# bench/decoding.sh - what prefixes, encoders and beams cost in generation (four minutes).
#
# Random weights of 384 channels, a vocabulary of 4,096 and one thread: a decoder and a prefix model of 8 blocks, an
# encoder_decoder of 4 and 4. Prompts of PROMPTS ("16 200") tokens are continued by TOKENS (32): ROWS (16) one by one,
# as many together, as many together with 4 beams, and one by one with BEAMS ("4 8") beams; WAYS ("alone 4") leaves some
# of these out. ROUNDS (3), in turn. Prints the median of the processor time of the session, in ms for a prompt, which
# other processes on the cores leave nearly as it is.
set -euo pipefail

cd "$(dirname "$0")/.."
# shellcheck source=bench/server.sh
. bench/server.sh
rounds=${ROUNDS:-3} prompts=${PROMPTS:-16 200} tokens=${TOKENS:-32} rows=${ROWS:-16} beams=${BEAMS:-4 8}

start_server decoding <<SETTINGS
gpt.nice = 0
gpt.threads = 1
fsync = off
SETTINGS
psql+=(-At)

# Words that are one token each: a prompt has as many tokens as words.
"${psql[@]}" >/dev/null <<SQL
SELECT setseed(0.5);
CREATE TABLE heap AS SELECT string_agg(' ' || translate(left(md5((i % 3007)::text), 5), '0123456789', 'ghijklmnop'), '') AS body
	FROM generate_series(1, 30000) i GROUP BY i % 300;
SELECT gpt_train_tokenizer('t', 'SELECT body FROM heap', '{"vocabulary": 4096}') AS job \gset
SELECT gpt_wait(:job);
CREATE TABLE pair AS SELECT 'line ' || i AS prompt, ' of the text' AS completion FROM generate_series(1, 20) i;
CREATE TABLE shape (model text, shape jsonb);
INSERT INTO shape VALUES ('decoder', '{"layers": 8}'), ('prefix', '{"layers": 8}'), ('encoder_decoder', '{"layers": 4, "encoder_layers": 4}');
SELECT gpt_train(model, 'SELECT prompt, completion FROM pair', shape || jsonb_build_object('architecture', model, 'heads', 6, 'channels', 384, 'context', 512, 'tokenizer', 't',
	'prompt_template', 'none', 'steps', 1, 'batch_size', 1, 'validation_fraction', 0, 'learning_rate', 1e-9)) FROM shape;
SELECT gpt_wait(job, '10 min') FROM gpt_jobs;
CREATE TABLE word AS SELECT row_number() OVER () AS i, w FROM (SELECT gpt_detokenize('t', ARRAY[id]) AS w FROM generate_series(256, 4095) id) s WHERE w ~ '^ [a-z]{2,5}\$';
CREATE FUNCTION words(n int) RETURNS text AS \$\$ SELECT string_agg(w, '') FROM (SELECT (random() * (SELECT count(*) - 1 FROM word))::int + 1 AS k
	FROM generate_series(1, n)) r JOIN word ON i = k \$\$ LANGUAGE sql VOLATILE;
CREATE TABLE input AS SELECT n, i, words(n) AS body FROM unnest(string_to_array('$prompts', ' ')::int[]) n, generate_series(1, $rows) i;
SQL

# ms MODEL PROMPT CALL: of the session's processor time for a row, in a new session that has the model
ms()
{
	"${psql[@]}" <<SQL | tail -n 2 | paste -sd' ' | awk -v rows="$rows" '{ printf "%.2f", ($2 - $1) / 1e6 / rows }'
SELECT gpt_generate('$1', 'a', 1);
SELECT split_part(pg_read_file('/proc/self/schedstat'), ' ', 1);
\o /dev/null
SELECT $3 FROM input WHERE n = $2;
\o
SELECT split_part(pg_read_file('/proc/self/schedstat'), ' ', 1);
SQL
}

call()
{
	case $1 in
	read) echo "gpt_generate('$2', body, 1)" ;;
	alone) echo "gpt_generate('$2', body, $tokens, temperature => 1, seed => i)" ;;
	together-beams) echo "gpt_generate('$2', array_agg(body), $tokens, beams => 4, length_penalty => 10)" ;;
	together) echo "gpt_generate('$2', array_agg(body), $tokens, temperature => 1, seed => 1)" ;;
	*) echo "gpt_generate('$2', body, $tokens, beams => $1, length_penalty => 10)" ;;
	esac
}

for ((round = 0; round < rounds; round++)); do
	for n in $prompts; do
		for way in ${WAYS:-read alone together together-beams $beams}; do
			for model in decoder prefix encoder_decoder; do
				echo "$n $way $model $(ms "$model" "$n" "$(call "$way" "$model")")"
			done
		done
	done
done | sort -k1,1n -k2,2 -k3,3 -k4,4n | awk '
	{ key = $1 " " $2 " " $3 }
	key != last { if (n) print last, t[int((n + 1) / 2)] " ms"; n = 0; last = key }
	{ t[++n] = $4 }
	END { print last, t[int((n + 1) / 2)] " ms" }'
