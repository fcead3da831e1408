#!/bin/bash
#
# bench/servers.sh SAMPLE [RESULTS] - one model on 1, 2 and 4 servers, each with one thread and pinned to a core, over
# the loopback device and over simulated networks (bench/network.sh): time and processor time of a step, bytes sent,
# losses. Needs root, for the network namespaces.
#
# Each case is trained twice, for a number of steps and for three times as many; the difference of the two is free of
# connecting, reading and publishing. Rows are the lines of SAMPLE: "step" deals them out, DiLoCo has every n-th row on
# each server (DATA=dealt: it deals them out, too). MODELS (S; also M, XS), SERVERS (1 2 4), NETWORKS (loopback, or
# MBIT:MS; "loopback 10000:0.1 1000:1 100:50"), MODES (step, or steps between syncs of DiLoCo; "step 50"), TYPE
# (float32, the gradients of step), STEPS (8 in mode step, one round of DiLoCo), BATCH (4 sequences a micro-batch; 4
# micro-batches a step in mode step, 1 in DiLoCo), PRIORITY (of the servers before other work, -20 to 19:
# /proc/PID/autogroup). RESULTS gets a line for each case, which bench/scale.py reads: network, mode, type, model,
# servers, parameters, tokens a step, seconds a step, processor seconds a step (all servers), bytes a step (all
# servers), the most bytes that one server sends or receives a step, largest waiting share, validation loss.
set -euo pipefail

sample=$(realpath "${1:?the sample text is missing}")
results=$(realpath -m "${2:-build/bench/servers.tsv}")
cd "$(dirname "$0")/.."
# shellcheck source=bench/network.sh
. bench/network.sh
# shellcheck source=bench/server.sh
. bench/server.sh
# shellcheck source=bench/many_servers.sh
. bench/many_servers.sh
type=${TYPE:-float32} batch=${BATCH:-4} cores=$(nproc)
declare -A shape=([XS]='"layers": 4, "heads": 4, "channels": 128, "context": 128, "tokenizer": "bytes"'
	[S]='"layers": 6, "heads": 6, "channels": 384, "context": 256, "tokenizer": "bytes"'
	[M]='"layers": 12, "heads": 12, "channels": 768, "context": 256, "tokenizer": "bytes"')

work=$(mktemp -d /tmp/gpt-servers-XXXXXX)
chmod 755 "$work"
user=$(server_user)
mkdir -p "$(dirname "$results")"
sockets=() models=0
clean_up()
{
	[ -z "${priority_pid:-}" ] || kill "$priority_pid" 2>/dev/null || true
	cluster_stop_all "$work"
	network_down >/dev/null
	[ -z "${loopback:-}" ] || ip netns delete "$loopback"
	rm -rf "$work"
}
trap clean_up EXIT
cluster_tree "$work" .

# ---- servers ----

ask() { "$(cluster_bin "$work")/psql" -h "$work/$1" -U postgres -d postgres -X -q -At -v ON_ERROR_STOP=1 "${@:2}"; }

# make_server NUMBER: a cluster with the rows, stopped.
make_server()
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
max_wal_size = '2GB'
autovacuum = off
SETTINGS
	echo "host all all 0.0.0.0/0 scram-sha-256" | as_server tee -a "$folder/data/pg_hba.conf" >/dev/null
	sed -i '/^host.*127\.0\.0\.1.*trust/d' "$folder/data/pg_hba.conf"
}

# start_server_in NUMBER NAMESPACE ADDRESS
start_server_in()
{
	local data=$work/$1/data

	(cd / && HOME=/ ip netns exec "$2" taskset -c $((($1 - 1) % cores)) runuser -u "$user" -- \
		"$(cluster_bin "$work")/pg_ctl" -D "$data" -l "$data/server.log" -t 60 -w -s \
		-o "-k $work/$1 -c listen_addresses=$3 -c gpt.gradient_address=$3" start)
	sockets+=("$1")
}

# Rows, and on the first one the others as foreign servers.
fill()
{
	local number

	for number in $(seq "$largest"); do
		start_server_in "$number" "$loopback" "127.0.0.$number"
		ask "$number" <<SQL
CREATE EXTENSION gpt;
CREATE EXTENSION postgres_fdw;
ALTER ROLE postgres PASSWORD 'secret';
CREATE TABLE part (n integer, k integer);
CREATE TABLE line AS SELECT i AS id, body
	FROM string_to_table(pg_read_file('$work/sample'), E'\n') WITH ORDINALITY t (body, i) WHERE body <> '';
SQL
	done
	for number in $(seq 2 "$largest"); do
		ask 1 -c "CREATE SERVER server$number FOREIGN DATA WRAPPER postgres_fdw
				OPTIONS (host '127.0.0.$number', dbname 'postgres')" \
			-c "CREATE USER MAPPING FOR postgres SERVER server$number OPTIONS (user 'postgres', password 'secret')"
	done
	stop_servers
}

stop_servers()
{
	local number

	for number in "${sockets[@]}"; do
		as_server "$(cluster_bin "$work")/pg_ctl" -D "$work/$number/data" -m fast -w -s stop
	done
	sockets=()
}

# ---- counters ----

# Bytes that a machine has sent and received: "sent received". On the loopback device both are those of all servers.
bytes_of()
{
	if [ "$network" = loopback ]; then
		ip netns exec "$loopback" cat /sys/class/net/lo/statistics/tx_bytes /sys/class/net/lo/statistics/rx_bytes
	else
		ip netns exec "${machines[$1 - 1]}" cat /sys/class/net/gpt0/statistics/{tx,rx}_bytes
	fi | paste -s -d ' '
}

counters()
{
	local number

	for number in $(seq "$n"); do
		echo "$(processor_of "$number") $(bytes_of "$number")"
	done
}

# ---- one case ----

# train STEPS: prints seconds, then a line "processor sent received" for each server.
train()
{
	local names options job

	names=$(seq 2 "$n" | sed 's/.*/"server&"/' | paste -s -d ,)
	options="${shape[$model]}, \"batch_size\": $batch, \"threads\": 1, \"seed\": 1, \"patience\": 0, \"steps\": $1"
	options+=", \"validation_fraction\": 0.01"
	if [ "$mode" = step ]; then
		options+=", \"accumulate\": 4, \"sync\": \"step\", \"data\": \"dealt\""
		[ "$n" = 1 ] || options+=", \"gradient_type\": \"$type\""
	else
		options+=", \"accumulate\": 1"
		[ "$n" = 1 ] || options+=", \"sync\": $mode, \"data\": \"${DATA:-local}\""
	fi
	[ "$n" = 1 ] || options+=", \"servers\": [$names]"
	counters >"$work/before"
	models=$((models + 1))
	job=$(ask 1 -c "SELECT gpt_train('model$models',
		'SELECT body FROM line WHERE id % (SELECT max(n) FROM part) = (SELECT max(k) FROM part)', '{$options}')")
	if [ "$(ask 1 -c "SELECT gpt_wait($job)")" != succeeded ]; then
		ask 1 -c "SELECT error FROM gpt_jobs WHERE job = $job" >&2
		return 1
	fi
	wait_for_sessions "$n"
	sleep 0.2
	counters >"$work/after"
	ask 1 -F ' ' -c "SELECT extract(epoch FROM finished_at - started_at) FROM gpt_jobs WHERE job = $job"
	paste -d ' ' "$work/before" "$work/after" | awk '{ print $4 - $1, $5 - $2, $6 - $3 }'
}

one_case()
{
	local short long tokens parameters loss waiting context number address

	for number in $(seq "$n"); do
		address=127.0.0.$number
		[ "$network" = loopback ] || address=10.77.0.$number
		start_server_in "$number" "${machines[$number - 1]:-$loopback}" "$address"
		ask 1 -c "ALTER SERVER server$number OPTIONS (SET host '$address')" 2>/dev/null || true
		if [ "$mode" = step ] || [ "${DATA:-local}" = dealt ]; then set -- 1 0; else set -- "$n" $((number - 1)); fi
		ask "$number" -c 'TRUNCATE part' -c "INSERT INTO part VALUES ($1, $2)"
	done
	if [ "$mode" = step ]; then short=${STEPS:-8}; else short=$mode; fi
	long=$((3 * short))
	train 1 >/dev/null
	train "$short" >"$work/short"
	train "$long" >"$work/long"
	context=${shape[$model]#*\"context\": }
	context=${context%%,*}
	tokens=$((batch * context * 4))
	[ "$mode" = step ] || tokens=$((batch * context * n))
	parameters=$(ask 1 -c "SELECT parameters FROM gpt_models ORDER BY created_at DESC LIMIT 1")
	loss=$(ask 1 -c "SELECT validation_loss FROM gpt_models ORDER BY created_at DESC LIMIT 1")
	waiting=$(ask 1 -c "SELECT coalesce(max(waiting_share), 0) FROM gpt_job_servers" 2>/dev/null || echo 0)
	paste -d ' ' "$work/short" "$work/long" | awk -v OFS='\t' -v steps=$((long - short)) \
		-v loopback="$([ "$network" = loopback ] && echo 1 || echo 0)" \
		-v head="$network	$mode	$type	$model	$n	$parameters	$tokens" -v tail="$waiting	$loss" '
		NR == 1 { seconds = $2 - $1; next }
		{ processor += $4 - $1; sent = $5 - $2; got = $6 - $3; all = loopback ? sent : all + sent
		  most = sent > most ? sent : most; most = got > most ? got : most }
		END { print head, seconds / steps, processor / steps, all / steps, most / steps, tail }' | tee -a "$results"
	stop_servers
}

cp "$sample" "$work/sample"
chmod 644 "$work/sample"
largest=$(echo "${SERVERS:-1 2 4}" | tr ' ' '\n' | sort -n | tail -n 1)
loopback=gpt-$$-lo
ip netns add "$loopback" && ip -n "$loopback" link set lo up
for number in $(seq "$largest"); do make_server "$number"; done
fill
if [ -n "${PRIORITY:-}" ]; then
	keep_priority &
	priority_pid=$!
fi
for network in ${NETWORKS:-loopback 10000:0.1 1000:1 100:50}; do
	machines=()
	[ "$network" = loopback ] || network_up "${network%:*}" "${network#*:}" 0 "$largest"
	for model in ${MODELS:-S}; do
		for mode in ${MODES:-step 50}; do
			for n in ${SERVERS:-1 2 4}; do
				one_case
			done
		done
	done
	network_down
done
