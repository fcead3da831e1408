# bench/many_servers.sh - what the benchmarks of several servers share. Sourced; server NUMBER has the folder
# $work/NUMBER, and there are $largest. The caller has ask() of a server's number.

# Each process of a server has a session of its own, and so a group of its own, with priority $PRIORITY.
keep_priority()
{
	local number pid

	while sleep 0.3; do
		for number in $(seq "$largest"); do
			for pid in $(pgrep -P "$(head -n 1 "$work/$number/data/postmaster.pid" 2>/dev/null)" 2>/dev/null); do
				echo "$PRIORITY" >"/proc/$pid/autogroup"
			done
		done
	done 2>/dev/null
}

# Processor seconds of a server's processes, those that have ended included.
processor_of()
{
	local postmaster

	postmaster=$(head -n 1 "$work/$1/data/postmaster.pid")
	# shellcheck disable=SC2046 # a list of processes
	cat "/proc/$postmaster/stat" $(pgrep -P "$postmaster" | sed 's,.*,/proc/&/stat,') 2>/dev/null |
		awk -v first="$postmaster" '{ sub(/^[0-9]+ \(.*\) /, $1 " "); s += $13 + $14 + ($1 == first ? $15 + $16 : 0) }
			END { print s / 100 }'
}

# Waits until the sessions of a job have ended on servers 2 to $1, so that they are counted.
wait_for_sessions()
{
	local number

	for number in $(seq 2 "$1"); do
		until [ "$(ask "$number" -c "SELECT count(*) FROM pg_stat_activity
			WHERE application_name = 'gpt' AND backend_type = 'client backend'")" = 0 ]; do sleep 0.05; done
	done
}
