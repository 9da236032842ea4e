# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # variables of lib.bash, and for the tests
#
# A sheepfs whose master may be killed: under something that keeps its descriptors, as systemd does
# (tests/lib/keeper.c plays that part); or replaced.
#
# After `load lib`.  In teardown(), before end_test: find_master.

keeper=$build/tests/lib/keeper

# What serves now may be another process than the one that was started.
find_master() {
	local pid
	[ -z "${T:-}" ] || pid=$(serving_pid 2>/dev/null)
	[ -z "${pid:-}" ] || sheepfs_pids[mnt]=$pid
}

# The process that serves $T/mnt now: of those that said so the last that lives, since an old one may go on after a new one.
serving_pid() {
	local pid last=
	if [ -s "$T/kept/pid" ]; then
		cat "$T/kept/pid"
	else
		for pid in $(sed -n "s|.*sheepfs\[\([0-9]*\)\]: $T/mnt is served by process.*|\1|p" "$T/mnt.log"); do
			gone "$pid" || last=$pid
		done
		echo "$last"
	fi
}

follow() {
	sheepfs_pids[mnt]=$(serving_pid)
	remember "${sheepfs_pids[mnt]}"
	use_sheepfs mnt
}

# start_kept TARGETS [OPTION...]: under the keeper
start_kept() {
	mkdir -p "$T/kept" "$T/mnt"
	"$keeper" "$T/kept" "$sheepfs_program" -f -s "$1" -t 10 --log "$T/mnt.log" --uids "$(uid_range)" "${@:2}" "$T/mnt" \
		>"$T/kept.out" 2>&1 3>&- </dev/null &
	keeper_pid=$!
	: >>"$T/kept.out"
	clients+=("$keeper_pid")
	remember "$keeper_pid"
	wait_until 10 ready_times 1
	follow
}

ready_times() {
	[ "$(grep -c '^ready' "$T/kept.out")" -ge "$1" ]
}

# kill_master: and waits until the next one serves
kill_master() {
	local n
	n=$(grep -c '^ready' "$T/kept.out")
	kill -KILL "$sheepfs_pid"
	wait_until 20 ready_times $((n + 1))
	follow
}

# replace TARGETS [OPTION...]: one without a keeper by a new one, which goes to the background
replace() {
	timeout 60 "$sheepfs_program" -s "$1" -t 10 --log "$T/mnt.log" --uids "$(uid_range)" --replace "${@:2}" "$T/mnt" \
		2>"$T/replace.out" 3>&-
	follow
}

# SIGTERM unmounts, the keeper ends with it, and nobody is left anything.
stop_is_the_end() {
	kill -TERM "$sheepfs_pid"
	wait_until 20 gone "$keeper_pid"
	same 'exited with 0, 0 descriptors are kept' "$(tail -n 1 "$T/kept.out")"
	not_mounted "$mnt"
}
