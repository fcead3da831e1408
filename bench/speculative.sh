#!/bin/bash
#
# bench/speculative.sh - speculative decoding of two pairs of models (ten minutes on one idle core).
#
#   base   27 million parameters with a draft of 2.5 million, trained for STEPS (60) and 3 x STEPS steps on the first
#          2,000 bytes of tinyshakespeare, which the networks then know by heart
#   M      GPT-2's shape, 124 million parameters with its vocabulary, and a draft of 12 million: a step of training,
#          and the n-grams of the first 50,000 bytes, which know them by heart
#
# ROWS (12) pieces of 100 characters of the text a model has learnt are continued by TOKENS (64) tokens on one thread:
# without a draft, with it, and by lookup; greedy, and at temperature 1 ("text"). So are prompts that hold 400
# characters and the first 60 of them again, whose answer is a repetition ("repeat"). ROUNDS (3), in turn.
# Prints the median of the processor time of the session in ms for a row, and how many texts are those without a draft.
#
# PAIRS ("base M") and TYPES ("float32 bfloat16") of images. FOLDER keeps the cluster with its models for the next time.
set -euo pipefail

cd "$(dirname "$0")/.."
# shellcheck source=bench/server.sh
. bench/server.sh
data=$(realpath "${GPT_TEST_DATA:-../shared/data}")
rounds=${ROUNDS:-3} rows=${ROWS:-12} tokens=${TOKENS:-64} steps=${STEPS:-60}

settings()
{
	cat <<SETTINGS
gpt.nice = 0
gpt.threads = 1
gpt.max_memory = 6GB
gpt.prompt_cache = off
gpt.batching = off
fsync = off
SETTINGS
}

if [ -z "${FOLDER:-}" ]; then
	start_server speculative < <(settings)
else
	work=$FOLDER
	trap 'cluster_stop "$work"' EXIT
	if [ ! -d "$work/data" ]; then
		mkdir -p "$work"
		chmod 755 "$work"
		[ "$(id -u)" != 0 ] || chown "$(server_user)" "$work"
		cluster_tree "$work" .
		{ echo "shared_preload_libraries = 'gpt'" && settings; } | cluster_init "$work"
	fi
	[ "${INSTALL:-yes}" = no ] || make -s install DESTDIR="$work/tree"
	cluster_start "$work"
	psql=("$(cluster_bin "$work")/psql" -h "$(cat "$work/socket")" -U postgres -d postgres -X -q -v ON_ERROR_STOP=1)
	"${psql[@]}" -c 'CREATE EXTENSION IF NOT EXISTS gpt'
fi
psql+=(-At)
ask() { "${psql[@]}" -c "$1"; }

# train MODEL PAIR OPTIONS: unless it is there
train()
{
	[ "$(ask "SELECT count(*) FROM gpt_models WHERE model = '$1'")" = 0 ] || return 0
	job=$(ask "SELECT gpt_train('$1', 'SELECT body FROM play WHERE pair = ''$2''', '{\"context\": 256,
		\"batch_size\": 1, \"warmup_steps\": 5, \"dropout\": 0, \"threads\": 1, \"seed\": 1, $3}')")
	[ "$(ask "SELECT gpt_wait($job, '60 min')")" = succeeded ] || 
		{ ask "SELECT * FROM gpt_jobs WHERE job = $job" && exit 1; }
}

"${psql[@]}" >/dev/null <<SQL
\set text \`cat $data/corpora/tinyshakespeare.txt\`
CREATE TABLE IF NOT EXISTS play (pair text, body text);
TRUNCATE play;
INSERT INTO play SELECT pair, left(:'text', n) FROM (VALUES ('base', 2000), ('M', 50000), ('all', 500000)) v(pair, n);
CREATE TABLE IF NOT EXISTS answer (pair text, type text, task text, temperature float8, way text, i bigint, text text);
TRUNCATE answer;
SQL
for pair in ${PAIRS:-base M}; do
	if [ "$pair" = base ]; then
		[ "$(ask "SELECT count(*) FROM gpt_tokenizers WHERE tokenizer = 'play'")" = 1 ] ||
			ask "SELECT gpt_train_tokenizer('play', 'SELECT body FROM play WHERE pair = ''all''', '{\"vocabulary\": 4096}')" |
			xargs -I{} "${psql[@]}" -c "SELECT gpt_wait({})" >/dev/null
		network='"tokenizer": "play", "validation_fraction": 0, "ngrams": false'
		train base base "$network, \"layers\": 8, \"heads\": 8, \"channels\": 512, \"steps\": $steps, \"learning_rate\": 0.001"
		train base_draft base "$network, \"layers\": 4, \"heads\": 6, \"channels\": 192, \"steps\": $((3 * steps)),
			\"learning_rate\": 0.003"
	else
		[ "$(ask "SELECT count(*) FROM gpt_tokenizers WHERE tokenizer = 'gpt2'")" = 1 ] || "${psql[@]}" >/dev/null <<SQL
\set file \`cat $data/tokenizers/gpt2.tokenizer.json\`
SELECT gpt_import_tokenizer('gpt2', :'file');
SQL
		train M M '"tokenizer": "gpt2", "layers": 12, "heads": 12, "channels": 768, "steps": 1, "ngrams": true'
		train M_draft M '"tokenizer": "gpt2", "layers": 6, "heads": 6, "channels": 192, "steps": 1, "ngrams": true'
	fi
done
ask 'SELECT model, parameters, loss, validation_loss FROM gpt_models'
[ "$rounds" != 0 ] || exit 0

# ms PAIR TASK TEMPERATURE WAY: of the session's processor time for a row, in a new session that has the models
ms()
{
	local draft="'$1_draft'" at="37 + (i - 1) * (least(length(body), 6000) - 450) / $rows"
	[ "$4" != none ] || draft=NULL
	[ "$4" != prompt ] || draft="'prompt'"
	"${psql[@]}" <<SQL | tail -n 2 | paste -sd' ' | awk -v rows="$rows" '{ printf "%.1f", ($2 - $1) / 1e6 / rows }'
SELECT length(gpt_generate('$1', 'a', 2, 0, draft => $draft));
DELETE FROM answer WHERE pair = '$1' AND type = '$type' AND task = '$2' AND temperature = $3 AND way = '$4';
SELECT split_part(pg_read_file('/proc/self/schedstat'), ' ', 1);
INSERT INTO answer SELECT '$1', '$type', '$2', $3, '$4', i, gpt_generate('$1',
	CASE '$2' WHEN 'text' THEN substr(body, $at, 100)
		ELSE substr(body, $at, 400) || E'\n\n' || substr(body, $at, 60) END, $tokens, $3, seed => i, draft => $draft)
	FROM play, generate_series(1, $rows) i WHERE pair = '$1';
SELECT split_part(pg_read_file('/proc/self/schedstat'), ' ', 1);
SQL
}

for pair in ${PAIRS:-base M}; do
	for type in ${TYPES:-float32 bfloat16}; do
		ask "SELECT gpt_set_image_type('$pair', '$type'), gpt_set_image_type('${pair}_draft', '$type')" >/dev/null
		for ((round = 0; round < rounds; round++)); do
			for task in text repeat; do
				for temperature in 0 1; do
					for way in none draft prompt; do
						echo "$pair,$type,$task,$temperature $way $(ms "$pair" $task $temperature $way)"
					done
				done
			done
		done
	done
done | sort -k1,1 -k2,2 -k3,3n | awk -v rounds="$rounds" '
	{ key = $1 " " $2; if (++n[key] == int((rounds + 1) / 2)) median[key] = $3 }
	!($1 in known) { known[$1]; keys[++m] = $1 }
	END {
		for (i = 1; i <= m; i++) {
			k = keys[i]
			printf "%s: %s ms; draft %s ms, %.2f times as fast; lookup %s ms, %.2f\n", k, median[k " none"],
				median[k " draft"],
				median[k " none"] / median[k " draft"], median[k " prompt"], median[k " none"] / median[k " prompt"]
		}
	}'
ask "SELECT a.pair || ': ' || count(*) || ' texts with draft or lookup, ' || count(*) FILTER (WHERE a.text = b.text)
	|| ' as without' FROM answer a
	JOIN answer b USING (pair, type, task, temperature, i) WHERE a.way <> 'none' AND b.way = 'none' GROUP BY a.pair"
ask "SELECT pair || ': ' || avg((position(left(text, 40) IN body) > 0)::int)::numeric(4, 2)
	|| ' of greedy texts are of the play' FROM answer JOIN play USING (pair)
	WHERE temperature = 0 AND way = 'none' AND task = 'text' GROUP BY pair"
ask "SELECT model || ': ' || draft_tokens || ' tokens proposed, ' || draft_accepted || ' right'
	FROM gpt_stat_models WHERE draft_tokens > 0"
