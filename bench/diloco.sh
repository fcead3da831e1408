#!/bin/bash
#
# bench/diloco.sh SAMPLE - how well servers with rows of their own learn together, against one server with all rows.
#
# CASES ("1:16:488 2:8:488 4:4:488") are servers : sequences of 256 tokens a step and server : steps. So each of these
# three reads as many tokens; more cases of one server tell what smaller batches learn. Rows are pieces of SAMPLE of
# eight paragraphs; each 20th one is held out, of the others each server has every n-th. Prints a line for each case:
# servers, sequences, steps, SYNC, processor seconds of all servers, training loss, loss on the rows held out (nats a
# token), sha256 of the weights.
#
# BASE=sequences:steps trains a model with all rows on one server first, and each case is a fine-tune of it.
#
# SYNC is 50, a number of steps, or '"step"': then DATA is dealt, each step has 4 micro-batches of that many sequences,
# and gradients travel as float32. DATA is local unless it says dealt, SHAPE and OPTIONS are options of gpt_train in JSON
# (model S). All servers run on core CORE (0), one thread each; PRIORITY of theirs before other work
# (/proc/PID/autogroup).
set -euo pipefail

sample=$(realpath "${1:?the sample text is missing}")
cd "$(dirname "$0")/.."
# shellcheck source=scripts/cluster.sh
. scripts/cluster.sh
# shellcheck source=bench/many_servers.sh
. bench/many_servers.sh
shape=${SHAPE:-'"layers": 6, "heads": 6, "channels": 384'}
sync=${SYNC:-50} data=${DATA:-local}
models=0
work=$(mktemp -d /tmp/gpt-diloco-XXXXXX)
chmod 755 "$work"
user=$(server_user)
largest=$(echo "${CASES:-1:16:488 2:8:488 4:4:488}" | tr ' ' '\n' | sort -n | tail -n 1 | cut -d : -f 1)
clean_up()
{
	[ -z "${priority_pid:-}" ] || kill "$priority_pid" 2>/dev/null || true
	cluster_stop_all "$work"
	[ -z "${KEEP:-}" ] || cp -r "$work" "$KEEP"
	rm -rf "$work"
}
trap clean_up EXIT
cluster_tree "$work" .
cp "$sample" "$work/sample"
chmod 644 "$work/sample"

ask()
{
	"$(cluster_bin "$work")/psql" -h "$(cat "$work/$1/socket")" -U postgres -d postgres -X -q -At \
		-v ON_ERROR_STOP=1 "${@:2}"
}

# Each server has all rows; table part says which of them are its own.
start_one()
{
	local folder=$work/$1

	mkdir "$folder"
	ln -s ../tree "$folder/tree"
	chown "$user" "$folder"
	cluster_init "$folder" <<SETTINGS
shared_preload_libraries = 'gpt'
fsync = off
gpt.nice = 0
gpt.train_threads = 1
gpt.threads = 1
gpt.gradient_address = '127.0.0.1'
max_wal_size = '2GB'
autovacuum = off
SETTINGS
	taskset -c "${CORE:-0}" bash -c '. scripts/cluster.sh; cluster_start "$1"' - "$folder"
	ask "$1" <<SQL
CREATE EXTENSION gpt;
CREATE EXTENSION postgres_fdw;
CREATE TABLE part (n integer, k integer);
CREATE TABLE piece AS SELECT i / 8 AS id, string_agg(body, E'\n\n' ORDER BY i) AS body
	FROM regexp_split_to_table(pg_read_file('$work/sample'), E'\n[ \t]*\n') WITH ORDINALITY t (body, i) GROUP BY 1;
CREATE VIEW line AS SELECT body FROM piece, part WHERE id % 20 <> 0 AND (id - id / 20) % n = k;
SQL
}

# Processor seconds of all servers.
processor()
{
	local number

	for number in $(seq "$largest"); do processor_of "$number"; done | awk '{ s += $1 } END { print s }'
}

one_case()
{
	local n=$1 sequences=$2 steps=$3 number options job names call before after accumulate

	for number in $(seq "$n"); do
		if [ "$data" = dealt ] || [ "$sync" = '"step"' ]; then set -- 1 0; else set -- "$n" $((number - 1)); fi
		ask "$number" -c 'TRUNCATE part' -c "INSERT INTO part VALUES ($1, $2)"
	done
	accumulate=$(((sequences + 15) / 16))
	options="\"steps\": $steps, \"batch_size\": $((sequences / accumulate))"
	[ -n "$base" ] || options+=", $shape, \"context\": 256, \"tokenizer\": \"bytes\""
	options+=', "threads": 1, "seed": 1, "patience": 0, "validation_fraction": 0, "publish": "last", "ngrams": "false"'
	if [ "$sync" = '"step"' ]; then
		options+=', "sync": "step", "accumulate": 4'
		[ "$n" = 1 ] || options+=', "data": "dealt"'
	else
		options+=", \"accumulate\": $accumulate"
		[ "$n" = 1 ] || options+=", \"sync\": $sync, \"data\": \"$data\""
	fi
	names=$(seq 2 "$n" | sed 's/.*/"server&"/' | paste -s -d ,)
	call=gpt_train
	if [ -n "$base" ]; then
		call=gpt_finetune
		ask 1 -c "SELECT gpt_copy_model('m1', 'm$((models + 1))')" >/dev/null
		[ "$n" = 1 ] || ask 1 -c "SELECT gpt_distribute('m$((models + 1))', '{$names}')" >/dev/null
	fi
	[ "$n" = 1 ] || options+=", \"servers\": [$names]"
	models=$((models + 1))
	before=$(processor)
	job=$(ask 1 -c "SELECT $call('m$models', 'SELECT body FROM line', '{$options${OPTIONS:+, $OPTIONS}}')")
	if [ "$(ask 1 -c "SELECT gpt_wait($job)")" != succeeded ]; then
		ask 1 -c "SELECT error FROM gpt_jobs WHERE job = $job" >&2
		return 1
	fi
	wait_for_sessions "$n"
	after=$(processor)
	ask 1 -F '	' <<SQL
SELECT $n, $sequences, $steps, '$sync', round($after - $before), round(m.loss::numeric, 4),
	(SELECT round(value::numeric, 4) FROM gpt_evaluate('m$models', 'SELECT body FROM piece WHERE id % 20 = 0')
		WHERE metric = 'loss'),
	encode(sha256(substr(f, 9 + get_byte(f, 0) + 256 * get_byte(f, 1) + 65536 * get_byte(f, 2))), 'hex')
FROM gpt_models m, lo_get(m.weights) f WHERE m.model = 'm$models';
SQL
}

for number in $(seq "$largest"); do start_one "$number"; done
for number in $(seq 2 "$largest"); do
	ask 1 -c "CREATE SERVER server$number FOREIGN DATA WRAPPER postgres_fdw
			OPTIONS (host '$(cat "$work/$number/socket")', dbname 'postgres')" \
		-c "CREATE USER MAPPING FOR postgres SERVER server$number OPTIONS (user 'postgres')"
done
if [ -n "${PRIORITY:-}" ]; then
	keep_priority &
	priority_pid=$!
fi
base=
if [ -n "${BASE:-}" ]; then
	one_case 1 "${BASE%:*}" "${BASE#*:}"
	base=1
fi
for case in ${CASES:-1:16:488 2:8:488 4:4:488}; do
	IFS=: read -r n sequences steps <<<"$case"
	one_case "$n" "$sequences" "$steps"
done
