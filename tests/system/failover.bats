#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# shellcheck disable=SC2030,SC2031,SC2154 # tests are subshells; variables of lib.bash
#
# A real cluster of three nodes with two copies, and two gateways that store nothing, which are sheepfs' targets:
# they die, hang and come back under fio's checksums, and so does the whole cluster.

load lib
load real
load writer

setup() {
	begin_test 120
	real_need
	need fio
	real_start 3 2 "$T"
	real_gateway 3
	real_gateway 4
	first=127.0.0.1:${REAL_PORTS[3]}
	second=127.0.0.1:${REAL_PORTS[4]}
}

teardown() {
	end_test
	real_stop
}

# on_gateways [OPTION...]: with a volume
on_gateways() {
	start_sheepfs "$first,$second" "$@"
	attached one 128M
	served_by one "$first"
}

# load_for SECONDS: on the first half of the volume
load_for() {
	start_fio one 64M "$1" --ioengine=libaio --direct=1 --iodepth=16
	fio=$client fio_out=$client_out
	sleep 1
}

# nothing_lost: fio has ended, and dog and the stores say the same
nothing_lost() {
	fio_is_content "$fio" "$fio_out"
	never_failed
	wait_until 30 all_settled one
	real_dog vdi read one 0 134217728 | cmp - "$(volume one)"
	real_check one
	real_replicas_equal
}

# lock_is_held: and once
lock_is_held() {
	same 1 "$(real_dog vdi lock list | grep -c '^  one ')"
}

@test "the gateway in use is killed, again and again: the next one is used, and no copy differs" {
	on_gateways
	load_for 12
	real_kill 3
	wait_until 30 served_by one "$second"
	grep -E "volume one goes on after [0-9]+ ms: generation 2, through $second" "$sheepfs_log"
	# only when the others have lost it may it come back
	wait_until 20 real_members 0 4
	real_run_again 3
	wait_until 20 real_members 0 5
	sleep 1
	real_kill 4
	wait_until 30 served_by one "$first"
	wait_until 20 real_members 0 4
	real_run_again 4
	nothing_lost
	grep -E "volume one: generation 1 is settled: the daemon at $first died, and the cluster went on without it" "$sheepfs_log"
	lock_is_held
	detach one
	run ! lock_is_held
}

@test "the only gateway that was named is killed: with config/discover a member is used that nobody named" {
	local target
	start_sheepfs "$first" --discover
	attached one 128M
	wait_until 10 grep -q 'members of the cluster that are targets' "$sheepfs_log"
	load_for 8
	real_kill 3
	wait_until 30 went_on one 1
	target=$(awk '$1 == "one" { print $8 }' "$mnt/status/workers")
	contains " ${REAL_PORTS[*]} " " ${target##*:} "
	[ "$target" != "$first" ]
	contains "$(sed 1d "$mnt/status/failovers")" " $target "
	contains "$(cat "$mnt/vdi/list")" ' one '
	nothing_lost
	lock_is_held
}

@test "the gateway in use hangs: what it was not asked goes on elsewhere, the rest when it is settled" {
	local begin
	on_gateways
	# whole blocks: dd ends a part of one with an fsync, which waits for all that was asked before
	noise "$T/noise" 20971520
	# so that no creation is under way when it hangs
	dd if=/dev/zero of="$(volume one)" bs=1M count=64 oflag=direct conv=notrunc status=none
	load_for 14
	begin=$(now_ms)
	kill -STOP "${REAL_PIDS[3]}"
	wait_until 40 went_on one 1
	# a place that the one that hangs was asked nothing about
	client dd if="$T/noise" of="$(volume one)" bs=1M seek=70 oflag=direct conv=notrunc status=none
	wait_until 20 gone "$client"
	tell "another place was written to $(($(now_ms) - begin)) ms after the gateway had hung"
	[ $(($(now_ms) - begin)) -lt 20000 ]
	same '' "$(cat "$client_out")"
	served_by one "$second"
	grep 'volume one: generation 1 ended: the daemon does not answer any more' "$sheepfs_log"
	run ! all_settled one
	kill -CONT "${REAL_PIDS[3]}"
	wait_until 30 all_settled one
	grep -E "volume one: generation 1 is settled: the daemon at $first has ended all that it was asked" "$sheepfs_log"
	nothing_lost
	cmp -n 20971520 "$T/noise" "$(volume one)" 0 73400320
	lock_is_held
}

@test "the gateway in use hangs for longer than --fence-timeout: the log says what is risked" {
	on_gateways --fence-timeout 3
	load_for 10
	kill -STOP "${REAL_PIDS[3]}"
	wait_until 40 grep -E "volume one: generation 1 is settled: the daemon at $first could be neither reached nor proved dead" \
		"$sheepfs_log"
	contains "$(grep 'generation 1 is settled' "$sheepfs_log")" 'may overwrite what is written from now on'
	# it never comes back here: then all of it is as it must be
	real_kill 3
	wait_until 20 real_members 0 4
	nothing_lost
}

@test "config/fenced frees what waits for a gateway that hangs" {
	on_gateways --fence-timeout 0
	load_for 10
	kill -STOP "${REAL_PIDS[3]}"
	wait_until 40 served_by one "$second"
	sleep 2
	run ! all_settled one
	refused config/fenced "$second" 'No such file or directory' "$second"
	order config/fenced "$first"
	contains "$sentence" "volumes that waited for $first: 1"
	wait_until 20 all_settled one
	grep "volume one: generation 1 is settled: the daemon at $first will never run again, it was said (config/fenced)" \
		"$sheepfs_log"
	real_kill 3 # nor does it
	wait_until 20 real_members 0 4
	nothing_lost
}

@test "config/sheep_info moves to and fro under load" {
	on_gateways
	load_for 10
	for _ in 1 2 3 4; do
		order config/sheep_info "$second"
		wait_until 20 served_by one "$second"
		same "$second" "$(cat "$mnt/config/sheep_info")"
		sleep 0.5
		order config/sheep_info "$first,$second"
		wait_until 20 served_by one "$first"
		sleep 0.5
	done
	nothing_lost
	lock_is_held
}

@test "all nodes are killed and started again: I/O goes on, and the lock is held again" {
	on_gateways
	load_for 10
	real_kill 0 1 2 3 4
	sleep 1
	still_there "$fio"
	contains "$(worker_row one)" recovering
	real_all_again
	wait_until 40 went_on one 1
	nothing_lost
	lock_is_held
	detach one
	run ! lock_is_held
}
