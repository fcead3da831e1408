#!/bin/bash
#
# bench/minutes.sh [FOLDER] - how long a job with "minutes" takes, from its claim to its published version, beside so
# many processes that keep a core busy each (twice the sum of the minutes for each number of them).
#
# MINUTES ("1 3 10"), BUSY ("0 1 3"), OPTIONS (more options of the job, "preset": "small"), NICE (idle). FOLDER has a
# file that is read as one document a line; without one, 40,000 lines of made words. A line of the table: minutes asked,
# busy processes, seconds taken, per cent off, steps, epochs, note.
set -euo pipefail

[ -z "${1:-}" ] || folder=$(realpath "$1")
cd "$(dirname "$0")/.."
# shellcheck source=bench/server.sh
. bench/server.sh

start_server minutes <<SETTINGS
gpt.nice = ${NICE:-idle}
max_wal_size = '4GB'
SETTINGS
psql+=(-At)
busy=()
quiet()
{
	[ ${#busy[@]} = 0 ] || kill "${busy[@]}" 2>/dev/null || true
	busy=()
}
# shellcheck disable=SC2154
trap 'quiet; cluster_stop "$work"; cluster_stop_all "$work"; rm -rf "$work"' EXIT

"${psql[@]}" -c 'CREATE TABLE line (body text)'
if [ -n "${folder:-}" ]; then
	cat "$folder"/* | sed 's/\\/\\\\/g' | "${psql[@]}" -c 'COPY line FROM stdin'
else
	"${psql[@]}" -c "INSERT INTO line SELECT string_agg(md5((random() * 5000)::integer::text || j)::varchar(6), ' ')
		FROM generate_series(1, 40000) i, generate_series(1, 20) j GROUP BY i"
fi

echo '| minutes | busy processes | seconds | off | steps | epochs | note |'
echo '|---|---|---|---|---|---|---|'
for minutes in ${MINUTES:-1 3 10}; do
	for n in ${BUSY:-0 1 3}; do
		# In a session of their own: else, where autogroups are on, they would share one with this script.
		for _ in $(seq "$n"); do
			setsid bash -c 'while :; do :; done' &
			busy+=($!)
		done
		"${psql[@]}" <<SQL
SELECT gpt_train('m', 'SELECT body FROM line', '{"minutes": $minutes${OPTIONS:+, $OPTIONS}}') AS job \gset
SELECT gpt_wait(:job) AS state \gset
SELECT format('| %s | %s | %s | %s %% | %s | %s | %s |', $minutes, $n, round(seconds, 1), round(100 * (seconds / ($minutes * 60) - 1), 1), step,
	round((conditions ->> 'epochs')::numeric, 2), coalesce(error, note))
FROM (SELECT *, extract(epoch FROM finished_at - started_at) AS seconds FROM gpt_jobs) j WHERE job = :job;
SELECT gpt_drop_model(model) FROM gpt_models \g /dev/null
SQL
		quiet
	done
done
