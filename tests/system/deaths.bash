# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
# shellcheck disable=SC2154 # variables of lib.bash
#
# How the processes of sheepfs die in tests, and when the next ones serve.
#
# After `load lib`.

# next_generation HOW NAME: what HOW does to its worker is the end of that; another one serves
next_generation() {
	local before
	before=$(grep -c "volume $2 goes on after" "$sheepfs_log" || :)
	"$1" "$(worker_pid "$2")"
	wait_until 20 went_on "$2" $((before + 1))
}

killed() {
	kill -KILL "$1"
}

stopped() {
	kill -STOP "$1"
}

# Can this kernel ask another front what one did not answer?
kernel_asks_again() {
	case $(uname -r) in
	[0-5].* | 6.[0-8].*) return 1 ;;
	esac
}

# kill_front: and waits for the next one
kill_front() {
	local pid
	pid=$(front_pid)
	kill -KILL "$pid"
	wait_until 10 another_front "$pid"
}

another_front() {
	local pid
	pid=$(front_pid)
	[ -n "$pid" ] && [ "$pid" != "$1" ]
}
