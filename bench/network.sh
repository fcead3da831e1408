#!/bin/bash
#
# bench/network.sh - sourced by the benchmarks that need several machines: network namespaces on one machine, with a
# simulated network between them. Needs root.
#
# As a command: bench/network.sh [SECONDS] - measures what the simulation gives (ping, iperf3) in the three settings of
# docs/scale.md.

# network_up MBIT_PER_SECOND DELAY_MS LOSS COUNT: namespaces gpt-PID-1 ..., addresses 10.77.0.1 ...; the array
# `machines` has the names.
network_up()
{
	local i

	machines=()
	for i in $(seq "$4"); do
		machines+=("gpt-$$-$i")
		ip netns add "gpt-$$-$i" && ip -n "gpt-$$-$i" link set lo up || return 1
	done
	network_log=$(mktemp /tmp/gpt-network-XXXXXX)
	build/bench/network "$1" "$2" "$3" "${machines[@]}" >"$network_log" &
	network_pid=$!
	for _ in $(seq 100); do
		! grep -q ready "$network_log" || return 0
		kill -0 "$network_pid" 2>/dev/null || return 1
		sleep 0.02
	done
	return 1
}

# Ends it; prints what the lines carried.
network_down()
{
	local name

	[ -n "${network_pid:-}" ] || return 0
	kill "$network_pid" 2>/dev/null || true
	wait "$network_pid" 2>/dev/null || true
	network_pid=
	grep -v ready "$network_log" || true
	rm -f "$network_log"
	for name in "${machines[@]}"; do
		ip netns delete "$name" || true
	done
	machines=()
}

measure()
{
	local server rate

	network_up "$1" "$2" 0 2 || exit 1
	ip netns exec "${machines[0]}" ping -q -c 50 -i 0.01 10.77.0.2 | tail -n 1
	ip netns exec "${machines[1]}" iperf3 -s >/dev/null 2>&1 &
	server=$!
	sleep 0.3
	for flags in "" "-P 4" "--bidir"; do
		# shellcheck disable=SC2086
		rate=$(ip netns exec "${machines[0]}" iperf3 -J -t "$seconds" $flags -c 10.77.0.2 | python3 -c '
import json, sys
end = json.load(sys.stdin)["end"]
rates = [end[way]["bits_per_second"] / 1e6 for way in ("sum_received", "sum_received_bidir_reverse") if way in end]
print("%s Mbit/s, %d retransmits" % (" and ".join("%.0f" % r for r in rates), end["sum_sent"].get("retransmits", 0)))')
		echo "iperf3 ${flags:-one connection}: $rate"
	done
	kill "$server"
	wait "$server" 2>/dev/null || true
	network_down
}

if [ "${BASH_SOURCE[0]}" = "$0" ]; then
	set -euo pipefail
	cd "$(dirname "$0")/.."
	seconds=${1:-5}
	trap network_down EXIT
	for setting in "10000 0.1" "1000 1" "100 50"; do
		echo "---- ${setting% *} Mbit/s, ${setting#* } ms one way"
		# shellcheck disable=SC2086
		measure $setting
	done
fi
