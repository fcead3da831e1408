#!/bin/bash
#
# bench/tree_networks.sh - steps along a tree (bench/tree.c) by 1, 2 and 4 members, each pinned to a core, on the
# loopback device and on simulated networks (bench/network.sh; as root). MODELS (S), STEPS (4), LEAVES (4), MEMBERS (1 2
# 4), NETWORKS (loopback 10000:0.1 1000:1 100:50), WIRES (float32 bfloat16), and the variables of bench/tree.c; PREFIX
# is a command before each run. Prints seconds of the median step and of the best one, those of the slowest member,
# processor seconds of a step of all members, the most bytes that one sends, the largest waiting, and the hash of the
# parameters.
set -euo pipefail

cd "$(dirname "$0")/.."
# shellcheck source=bench/network.sh
. bench/network.sh
meeting=
trap 'network_down >/dev/null; rm -rf "$meeting"' EXIT

# All members of one run, in $meeting/out.
members()
{
	local member at=() pids=()

	for ((member = 0; member < $2; member++)); do
		[ ${#machines[@]} = 0 ] || at=(ip netns exec "${machines[member]}" env "ADDRESS=10.77.0.$((member + 1))")
		taskset -c $((member % $(nproc))) ${at[@]+"${at[@]}"} build/bench/tree "$1" "${STEPS:-4}" "${LEAVES:-4}" \
			"$member" "$2" "$meeting" >>"$meeting/out" &
		pids+=($!)
	done
	for member in "${pids[@]}"; do wait "$member"; done
}

if [ "${1:-}" = members ]; then
	meeting=$4
	read -r -a machines <<<"${MACHINES:-}"
	trap - EXIT
	members "$2" "$3"
	exit
fi
most=$(echo "${MEMBERS:-1 2 4}" | tr ' ' '\n' | sort -n | tail -n 1)
for network in ${NETWORKS:-loopback 10000:0.1 1000:1 100:50}; do
	machines=()
	[ "$network" = loopback ] || network_up "${network%:*}" "${network#*:}" 0 "$most"
	for model in ${MODELS:-S}; do
		for wire in ${WIRES:-float32 bfloat16}; do
			for n in ${MEMBERS:-1 2 4}; do
				[ "$n$wire" != 1bfloat16 ] || continue
				meeting=$(mktemp -d)
				# shellcheck disable=SC2086 # a command of several words
				MACHINES="${machines[*]-}" WIRE=$wire timeout 300 ${PREFIX:-} \
					bench/tree_networks.sh members "$model" "$n" "$meeting"
				sed 's/[:,]//g' "$meeting/out" | awk -v head="$network $wire $model" -v n="$n" '
					$6 > median { median = $6 } $11 > best { best = $11 } { processor += $13 }
					$15 > waited { waited = $15 } $17 > sent { sent = $17 }
					hash != "" && hash != $NF { same = "DIFFERENT" } { hash = $NF }
					END { printf "%s members %d median %.3f s best %.3f s processor %.3f s " \
						"sent %.1f MB waited %.3f s %s %s\n",
						head, n, median / 1000, best / 1000, processor / 1000, sent, waited / 1000, hash, same }'
				rm -rf "$meeting"
			done
		done
	done
	network_down
done
