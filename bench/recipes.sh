#!/bin/bash
#
# bench/recipes.sh DATA - what gpt_train makes of twelve tasks in MINUTES (3) each, by RECIPES (default): about forty
# minutes a recipe.
#
# DATA is the folder of test data (GPT_TEST_DATA), from which bench/recipes.py makes the rows. A recipe is words joined
# by "-": default changes nothing; bytes, bpe or chars is the tokenizer; gpt2 or modern the family; adamw or muon the
# optimizer; nano, mini or small the preset; batch64 is 64 rows; and dropout0.1, vocabulary1024, learning_rate0.01,
# epochs30 or seed2 the option of that name. steps500 comes in place of the minutes. TASKS are the twelve, and tolstoy,
# shakespeare and wikitext. Prompts are measured by the share of greedy completions that are exact, texts by bits a
# byte, both on rows that were held out before. Prints a line for each as it comes, which also goes to RESULTS where
# that is set. THREADS (1); ROWS, where it is set, are learnt at most; OPTIONS are further members of the JSON object,
# for all recipes.
set -euo pipefail

data=$(realpath "${1:?the folder of test data is missing}")
cd "$(dirname "$0")/.."
# shellcheck source=bench/server.sh
. bench/server.sh
minutes=${MINUTES:-3}

start_server recipes <<SETTINGS
gpt.train_threads = ${THREADS:-1}
gpt.nice = 0
SETTINGS
psql+=(-At)
mkdir "$work/rows"
python3 bench/recipes.py "$data" "$work/rows"

# The options of a recipe, as members of a JSON object, each after a comma.
options_of()
{
	local word

	for word in ${1//-/ }; do
		case $word in
			default) ;;
			bytes | bpe | chars) printf ', "tokenizer": "%s"' "$word" ;;
			gpt2 | modern) printf ', "family": "%s"' "$word" ;;
			adamw | muon) printf ', "optimizer": "%s"' "$word" ;;
			nano | mini | small) printf ', "preset": "%s"' "$word" ;;
			batch[0-9]*) printf ', "batch_size": %s' "${word#batch}" ;;
			[a-z_]*[0-9]) printf ', "%s": %s' "${word%%[0-9]*}" "${word#"${word%%[0-9]*}"}" ;;
			*) echo "recipes: \"$word\" is no word of a recipe" >&2 && return 1 ;;
		esac
	done
}

measure()
{
	local task=$1 recipe=$2 columns=$3 options started

	options="${OPTIONS:+, $OPTIONS}$(options_of "$recipe")"
	case $recipe in
		*steps[0-9]*) options="{${options#, }}" ;;
		*) options="{\"minutes\": $minutes$options}" ;;
	esac
	started=$(date +%s.%N)
	"${psql[@]}" -c "SELECT gpt_train('m', 'SELECT $columns FROM $task${ROWS:+ LIMIT $ROWS}', '$options')" >/dev/null
	[ "$("${psql[@]}" -c "SELECT gpt_wait(max(job)) FROM gpt_jobs")" = succeeded ] ||
		{ "${psql[@]}" -c "SELECT error FROM gpt_jobs ORDER BY job DESC LIMIT 1" >&2 && return 1; }
	"${psql[@]}" -F ', ' <<SQL
SELECT '$task${ROWS:+ $ROWS}', '$recipe', $minutes AS minutes, round(extract(epoch FROM clock_timestamp()) - $started) AS seconds,
	coalesce(round(100 * max(value) FILTER (WHERE metric = 'exact_match')::numeric, 1) || ' % exact', '-'),
	round(max(value) FILTER (WHERE metric = 'bits_per_byte')::numeric, 3) || ' bits a byte',
	split_part(m.tokenizer, '@', 1) || ' ' || m.vocabulary, m.parameters || ' parameters', m.context || ' context',
	(j.conditions ->> 'batch_size')::int * (j.conditions ->> 'accumulate')::int || ' rows a step', 'dropout ' || (j.conditions ->> 'dropout'),
	j.step || ' of ' || j.steps || ' steps', round((j.conditions ->> 'epochs')::numeric * j.step / j.steps, 1) || ' epochs',
	round((j.conditions ->> 'tokens_per_second')::numeric) || ' tokens/s'
FROM gpt_models m, gpt_jobs j, gpt_evaluate('m', 'SELECT $columns FROM ${task}_test') e
WHERE m.model = 'm' AND j.job = (SELECT max(job) FROM gpt_jobs) GROUP BY m.tokenizer, m.vocabulary, m.parameters, m.context, j.conditions, j.step, j.steps;
SELECT gpt_drop_model('m') \g /dev/null
SQL
}

for task in ${TASKS:-translation text_to_sql dates sums reversing sorting numerals headline poems names stories logs}; do
	columns=$(head -n 1 "$work/rows/$task.train.csv" | tr -d '\r')
	"${psql[@]}" -c "CREATE TABLE $task (${columns//,/ text,} text)" -c "CREATE TABLE ${task}_test (LIKE $task)"
	"${psql[@]}" -c "\\copy $task FROM '$work/rows/$task.train.csv' CSV HEADER" -c "\\copy ${task}_test FROM '$work/rows/$task.test.csv' CSV HEADER"
	for recipe in ${RECIPES:-default}; do
		measure "$task" "$recipe" "$columns" | tee -a "${RESULTS:-/dev/null}"
	done
done
