#!/bin/bash
#
# bench/sessions.sh TOKENIZER - what sessions cost that share a model: time of the first call against the second one in
# new sessions, and memory of idle ones (about five minutes).
#
# TOKENIZER is a tokenizer.json, GPT-2's for the shape of M. LAYERS (12), HEADS (12), CHANNELS (768), CONTEXT (256),
# SESSIONS (100), ROUNDS (20). Weights are random but for one step. PSS shares each page among those that map it, so its
# sum over processes is what they take together; that of sessions which have done nothing is taken off.
set -euo pipefail

tokenizer=$(realpath "$1")
cd "$(dirname "$0")/.."
# shellcheck source=bench/server.sh
. bench/server.sh
sessions=${SESSIONS:-100} rounds=${ROUNDS:-20}

start_server sessions <<SETTINGS
gpt.nice = 0
fsync = off
max_connections = $((sessions + 10))
max_wal_size = '4GB'
gpt.max_memory = '8GB'
gpt.max_image_size = '8GB'
SETTINGS
psql+=(-At)
socket=$(cat "$work/socket")

cp "$tokenizer" "$work/tokenizer.json"
"${psql[@]}" >/dev/null <<SQL
\set json \`cat $work/tokenizer.json\`
SELECT gpt_import_tokenizer('t', :'json');
CREATE TABLE line AS SELECT 'line ' || i || ' of the text' AS body FROM generate_series(1, 20) i;
SELECT gpt_train('m', 'SELECT body FROM line', '{"layers": ${LAYERS:-12}, "heads": ${HEADS:-12}, "channels": ${CHANNELS:-768},
	"context": ${CONTEXT:-256}, "family": "gpt2", "optimizer": "adamw", "tokenizer": "t", "steps": 1, "batch_size": 1, "validation_fraction": 0}') AS job \gset
SELECT gpt_wait(:job);
\o
\timing on
\echo the call that makes the image:
SELECT gpt_score('m', 'line 5') > 0;
SQL

# Three texts of as many tokens, the call alone: a new session's first look for an operator would take the server 0.5 ms
# of its own. The third call is there to see how much two equal calls differ.
for _ in $(seq "$rounds"); do
	"${psql[@]}" <<'SQL' | sed -n 's/^Time: \([0-9.]*\) ms.*/\1/p' | paste -sd' '
\timing on
SELECT gpt_score('m', 'line 5');
SELECT gpt_score('m', 'time 6');
SELECT gpt_score('m', 'home 7');
SQL
done >"$work/times"
difference()
{
	awk "{ print $1 }" "$work/times" | sort -n | awk '{ a[NR] = $1 } END { printf "least %.1f, median %.1f, most %.1f ms\n", a[1], a[int((NR + 1) / 2)], a[NR] }'
}
echo "first call in a new session: $(difference '$1')"
echo "second call:                 $(difference '$2')"
echo "first less second:           $(difference '$1 - $2')"
echo "second less third:           $(difference '$2 - $3')"

# pss QUERY: kB of all sessions together, once each has run the query and is idle.
pss()
{
	local fifo=$work/fifo total pids

	rm -f "$fifo"
	mkfifo "$fifo"
	exec 9<>"$fifo"
	for _ in $(seq "$sessions"); do
		{ echo "$1;" && exec cat "$fifo"; } | PGAPPNAME=idle "${psql[@]}" >/dev/null 9>&- &
	done
	while [ "$("${psql[@]}" -c "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'idle' AND state = 'idle' AND query <> ''")" != "$sessions" ]; do
		sleep 0.2
	done
	pids=$("${psql[@]}" -c "SELECT pid FROM pg_stat_activity WHERE application_name = 'idle'")
	total=$(for pid in $pids; do grep '^Pss:' "/proc/$pid/smaps_rollup"; done | awk '{ total += $2 } END { print total }')
	"${psql[@]}" -c "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'idle'" >/dev/null
	exec 9>&-
	kill $(jobs -p) 2>/dev/null || true
	wait || true
	echo "$total"
}

image=$("${psql[@]}" -c "SELECT sum(size)::bigint / 1024 FROM gpt_images")
plain=$(pss "SELECT 1")
used=$(pss "SELECT gpt_score('m', 'line 5') > 0")
echo "PSS of $sessions sessions: $((plain / 1024)) MiB idle from the start, $((used / 1024)) MiB after a call; image $((image / 1024)) MiB"
echo "$(((used - plain) / 1024)) MiB more: $(bc <<<"scale=2; ($used - $plain) / $image") images, or the image and $(bc <<<"scale=2; ($used - $plain - $image) / 1024 / $sessions") MiB a session"
