#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# shellcheck disable=SC2154 # variables of lib.bash
#
# One worker in its jail, without master, front and FUSE: workerpeer plays them.  What it does with a
# good daemon, and the word with which it leaves a bad one.

load lib
load real

setup() {
	begin_test 120
	export WORKERPEER_UID=$uid_first
	start_lamb one
	lamb=$address
}

teardown() {
	real_stop
	end_test
}

# peer ADDRESS KIND NAME COMMAND...: its output is $output, its status $status
peer() {
	run timeout 60 "$build/tests/lib/workerpeer" "$SHEEPFS_LIBEXEC/sheepfs-worker" "$@" 3>&-
}

@test "the cluster worker creates and lists" {
	peer "$lamb" cluster - create alpha 67108864 0 create alpha 512 20 create odd 1000 0 \
		create large 8796093022208 22 list drain
	[ "$status" = 0 ]
	same ready "${lines[0]}"
	contains "${lines[1]}" 'answer ok: volume alpha was created: 64 MB in objects of 4.0 MB'
	contains "${lines[2]}" 'answer File exists: volume alpha was not created'
	contains "${lines[3]}" 'the next one is 1024'
	contains "${lines[4]}" 'it needs objects of 8.0 MB'
	contains "${lines[5]}" 'Creation time'
	[[ ${lines[6]} =~ ^"  alpha        0   64 MB  0.0 MB  0.0 MB "[-0-9]{10}" "[0-9:]{5}" " ]]
	same drained "${lines[7]}"
	same 'exit 0' "${lines[8]}"
}

@test "a worker has a uid of its own, no capability, a filter and an empty root" {
	peer "$lamb" cluster - status drain
	contains "$output" "Uid:	$uid_first	$uid_first	$uid_first	$uid_first"
	for set in Inh Prm Eff Bnd Amb; do
		contains "$output" "Cap$set:	0000000000000000"
	done
	contains "$output" 'NoNewPrivs:	1'
	contains "$output" 'Seccomp:	2'
	same 0 "${lines[-3]}"
}

@test "a worker that is started by hand says so" {
	run "$SHEEPFS_LIBEXEC/sheepfs-worker" volume x
	same 70 "$status"
	contains "$output" 'is started by sheepfs'
}

@test "a message that no table allows is the end of a worker" {
	peer "$lamb" cluster - bad wait
	same 'exit 73' "${lines[-1]}"
}

@test "bytes come back as they were written" {
	peer "$lamb" cluster - create disk 268435456 0 drain
	peer "$lamb" volume disk check 0 5000000 0 fill 1000 9000001 7 check 1000 9000001 7 flush \
		check 0 1000 0 check 9001001 1000000 0 drain
	[ "$status" = 0 ]
	same 'exit 0' "${lines[-1]}"
	peer "$lamb" volume disk check 1000 9000001 7 check 9001001 1000000 0 drain
	[ "$status" = 0 ]
}

@test "random load equals its copy, and many requests are in flight" {
	peer "$lamb" cluster - create disk 268435456 0 drain
	start_proxy count "$lamb"
	peer "$address" volume disk load 5 16 100 drain
	[ "$status" = 0 ]
	peer "$address" volume disk fill 0 104857600 3 bench 3 32 100 drain
	[ "$status" = 0 ]
	tell "${lines[3]}, at most $(proxy_count count total) in flight"
	[ "$(proxy_count count total)" -ge 24 ]
}

@test "what is no daemon is left with the right word, at once" {
	local mode
	start_proxy bad "$lamb"
	for mode in garbage:78 wrong-id:78 huge-length:78 short-header:76 close:76 mute:77; do
		proxy_mode bad "${mode%:*}"
		peer "$address" cluster - list drain
		same "exit ${mode#*:}" "${lines[-1]}"
		contains "$output" "the daemon at $address"
		contains "$output" elsewhere=1
		peer "$address" volume disk flush drain
		same "exit ${mode#*:}" "${lines[-1]}"
		contains "$output" elsewhere=1
	done
}

@test "a daemon that goes bad in the midst of I/O ends that generation" {
	local mode
	peer "$lamb" cluster - create disk 268435456 0 drain
	start_proxy bad "$lamb"
	for mode in garbage:78 wrong-id:78 huge-length:78 short-header:76 close:76; do
		proxy_mode bad pass
		peer "$lamb" volume disk fill 0 50000000 5 drain
		client "$build/tests/lib/workerpeer" "$SHEEPFS_LIBEXEC/sheepfs-worker" "$address" volume \
			disk bench 20 16 50 drain
		wait_until 5 grep -q ready "$client_out"
		sleep 0.5
		proxy_mode bad "${mode%:*}"
		wait_until 10 gone "$client"
		same "exit ${mode#*:}" "$(tail -n 1 "$client_out")"
		contains "$(cat "$client_out")" "<4>the daemon at $address"
		# the dead one's lock is still there, and the cluster worker takes it away
		peer "$lamb" volume disk drain
		contains "$output" 'refused Device or resource busy'
		peer "$lamb" cluster - release "$(sed -n 's/^locked //p' "$client_out")" drain
		contains "$output" 'answer ok'
	done
}

@test "a creation whose answer was lost is said to be unknown" {
	fault one drop-after=new-vdi:1
	peer "$lamb" cluster - create perhaps 67108864 22 drain
	contains "$output" 'volume perhaps may have been created or not'
	contains "$output" 'exit 76'
	# and nothing at all when the name's look-up was not answered
	start_proxy slow "$lamb"
	client "$build/tests/lib/workerpeer" "$SHEEPFS_LIBEXEC/sheepfs-worker" "$address" cluster - \
		sleep 1 create never 67108864 22 drain
	wait_until 5 grep -q ready "$client_out"
	proxy_mode slow stall
	wait_until 15 gone "$client"
	contains "$(cat "$client_out")" 'volume never was not created'
	contains "$(cat "$client_out")" 'exit 77'
	peer "$lamb" cluster - list drain
	contains "$output" perhaps
	same 0 "$(grep -c never <<<"$output")"
}

@test "one that asks for ever more connections is given as many as it may have, and its master lives" {
	local libexec=$T/libexec
	mkdir "$libexec"
	cp "$SHEEPFS_LIBEXEC/sheepfs-front" "$libexec"
	cp "$SHEEPFS_LIBEXEC/sheepfs-worker" "$libexec/true-worker"
	cp "$build/tests/lib/rogueworker" "$libexec/sheepfs-worker"
	SHEEPFS_LIBEXEC=$libexec start_sheepfs "$lamb"
	create one 16M
	refused vdi/mount one 'Operation not permitted' 'asked 96 times and was given 32 connections'
	refused vdi/mount one 'Operation not permitted' 'asked 96 times and was given 32 connections'
	tree_serves
}

# slow_without_more MODE: a slow daemon is asked for more connections while the proxy before it is in that mode; the volume goes
# on with those that it has, and its snapshots are not held up
slow_without_more() {
	need fio
	[ "${SHEEPFS_VARIANT:-plain}" = plain ] || skip "sanitizers are too slow to keep a slow daemon busy"
	start_proxy way "$lamb"
	start_sheepfs "$address" --debug
	attached one 64M
	fault one delay=write:10 delay=read:10
	proxy_mode way "$1"
	client fio --name=deep --filename="$(volume one)" --rw=randwrite --bs=4k --ioengine=libaio --direct=1 --iodepth=32 --size=24M \
		--verify=crc32c --verify_fatal=1 --verify_state_save=0
	wait_until 30 grep -q 'the daemon is slow: 10 more connections' "$sheepfs_log"
	sleep 0.5
	order vdi/snapshot 'one under-way'
	wait_until 60 gone "$client"
	wait "$client"
	never_failed
	run ! grep -q 'goes on after' "$sheepfs_log"
	detach one
}

@test "more connections that a slow daemon refuses" {
	slow_without_more refuse-new
}

@test "more connections on which a slow daemon says nothing" {
	slow_without_more mute-new
}

# Two nodes, two copies: a plain volume with data, its snapshots, clones, other sizes, a deleted one.
@test "on a real cluster vdi/list is what dog prints, and load equals its copy" {
	local rows
	real_need
	real_start 2
	peer "$real_address" cluster - create disk 268435456 0 create small 1048576 20 \
		create wide 1099511627776 23 create a-name-of-more-than-eight-bytes 512 31 drain
	[ "$status" = 0 ]
	peer "$real_address" volume disk load 4 16 100 drain
	[ "$status" = 0 ]
	real_dog vdi snapshot -s first disk
	real_dog vdi snapshot -s 2nd disk
	real_dog vdi clone -s first disk copy
	real_dog vdi create gone 64M
	real_dog vdi delete gone
	peer "$real_address" volume copy fill 4000000 9000000 3 check 4000000 9000000 3 drain
	[ "$status" = 0 ]
	peer "$real_address" cluster - list drain
	rows=$(printf '%s\n' "${output#*$'ready\n'}" | sed '/^drained$/,$d')
	diff <(real_dog vdi list) - <<<"$rows"
	[ "$(wc -l <<<"$rows")" = 8 ]
}
