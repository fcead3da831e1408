#!/bin/bash
#
# bench/stats.sh - what the statistics of gpt_stat_models cost a short call (about a minute): the processor's
# instructions, counted by valgrind in a server of one session that runs STATEMENTS (20) statements and then twice as
# many, of the SQL function, and of the functions that count. The clock, which a run without statistics would read too,
# is among them. Two models: one with a single layer of 32 channels, far below any in use, and the smallest preset.
set -euo pipefail

cd "$(dirname "$0")/.."
# shellcheck source=bench/server.sh
. bench/server.sh
statements=${STATEMENTS:-20}
counting='(call_run|cache|stats)[.]c:(gpt_run_(begin|start|wait|end)|gpt_cache_count_call|gpt_stats_(begin|end)|at_transaction_end)'

start_server stats <<SETTINGS
autovacuum = off
gpt.nice = 0
SETTINGS
"${psql[@]}" >/dev/null <<'SQL'
CREATE TABLE line AS SELECT 'line number ' || i AS body FROM generate_series(1, 60) i;
SELECT gpt_train('tiny', 'SELECT body FROM line',
	'{"layers": 1, "heads": 1, "channels": 32, "context": 64, "tokenizer": "bytes", "batch_size": 4,
		"steps": 2}') AS job \gset
SELECT gpt_wait(:job);
SELECT gpt_train('nano', 'SELECT body FROM line', '{"preset": "nano", "tokenizer": "bytes", "batch_size": 4,
	"steps": 2}') AS job \gset
SELECT gpt_wait(:job);
SQL
cluster_stop "$work"
bin=$(cluster_bin "$work")

# count CALL N: instructions of the function in N statements, and those in the functions that count
count()
{
	local out=$work/data/callgrind.out

	for ((i = 0; i < $2; i++)); do echo "SELECT $1"; done >"$work/statements"
	chmod a+r "$work/statements"
	rm -f "$out"
	as_server valgrind --tool=callgrind --callgrind-out-file="$out" "$bin/postgres" --single -D "$work/data" \
		-c shared_preload_libraries=gpt postgres <"$work/statements" >/dev/null 2>&1
	callgrind_annotate --inclusive=yes --threshold=100 --auto=no "$out" | tr -d , | awk -v counting="$counting" -v call=":${1%%(*} " '
		index($0, call) && $1 > all { all = $1 }
		match($0, counting) { name = substr($0, RSTART, RLENGTH); if ($1 > most[name]) most[name] = $1 }
		END { for (name in most) part += most[name]; print all, part }'
}

for call in "gpt_score('tiny', 'line 5')" "gpt_generate('tiny', 'line', 1, temperature => 0)" \
	"gpt_score('nano', 'line 5')"; do
	count "$call" 1 >/dev/null # makes the image
	echo "$(count "$call" "$statements") $(count "$call" $((2 * statements)))" |
		awk -v n="$statements" -v call="$call" '{ printf "%s: %d instructions a call, and %d that count (%.2f %%)\n",
			call, ($3 - $1) / n, ($4 - $2) / n, 100 * ($4 - $2) / ($3 - $1) }'
done
