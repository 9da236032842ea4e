#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# shellcheck disable=SC2154 # variables of lib.bash
#
# Helpers that are stopped, and not dead: each is found, ended and followed by the next one.  Workers: restart.bats.

load lib
load deaths

setup() {
	begin_test 120
}

teardown() {
	end_test
}

# written NAME: a block of it, within 20 s
written() {
	timeout 20 dd if=/dev/zero of="$(volume "$1")" bs=4k count=1 oflag=direct conv=notrunc status=none
}

@test "a front that is stopped is ended, and its callers go on" {
	local pid
	kernel_asks_again || skip "this kernel cannot ask another front what one did not answer"
	start_lamb lamb
	start_sheepfs "$address"
	attached one 16M
	sleep 2.5 # one that was of no use counts
	pid=$(front_pid)
	stopped "$pid"
	client dd if=/dev/zero of="$(volume one)" bs=64k count=16 oflag=direct conv=notrunc status=none
	wait_until 20 another_front "$pid"
	wait_until 20 gone "$client"
	same '' "$(cat "$client_out")"
	grep 'ended: it was stopped; .*callers wait for the next one' "$sheepfs_log"
	written one
	detach one
}

@test "a lamb of ours that is stopped is ended, and its volumes go on with the next one" {
	local pid
	mkdir -m 0700 "$T/own"
	start_sheepfs "lamb:$T/own"
	attached one 16M
	pid=$(children lamb)
	stopped "$pid"
	client dd if=/dev/zero of="$(volume one)" bs=64k count=16 oflag=direct conv=notrunc status=none
	wait_until 30 gone "$client"
	same '' "$(cat "$client_out")"
	gone "$pid"
	grep 'it was stopped' "$sheepfs_log"
	never_failed
	detach one
}

@test "a cluster worker that is stopped is ended, and tables are made by the next one" {
	local pid
	start_lamb lamb
	start_sheepfs "$address"
	cat "$mnt/vdi/list" >/dev/null
	pid=$(cluster_pid)
	stopped "$pid"
	wait_until 15 gone "$pid"
	timeout 20 cat "$mnt/vdi/list" >/dev/null
	grep 'the cluster worker ended: it was stopped' "$sheepfs_log"
}

# on_two_nodes: of lamb, $a and $b; volume one is at the first
on_two_nodes() {
	lamb_store=shared
	start_lamb a
	a=$address
	start_lamb b
	b=$address
	start_sheepfs "$a,$b"
	attached one 16M object_size=1M
}

@test "config/fenced counts also while no daemon serves" {
	on_two_nodes
	fault a freeze
	client dd if=/dev/zero of="$(volume one)" bs=64k count=1 oflag=direct conv=notrunc status=none
	wait_until 20 served_by one "$b"
	still_there "$client"
	kill_lamb b
	wait_until 10 grep -q 'volume one: generation 2 ended' "$sheepfs_log"
	order config/fenced "$a"
	contains "$sentence" "volumes that waited for $a: 1"
	still_there "$client"
	start_lamb b
	wait_until 20 gone "$client"
	same '' "$(cat "$client_out")"
	wait_until 10 all_settled one
	grep "generation 1 is settled: the daemon at $a will never run again, it was said (config/fenced)" "$sheepfs_log"
	kill -CONT "${lamb_pids[a]}"
	detach one
}

@test "config/sheep_info moves a volume away from a mute daemon, before that is found to be one" {
	on_two_nodes
	noise "$T/noise" 65536
	fault a freeze
	client dd if="$T/noise" of="$(volume one)" bs=64k count=1 oflag=direct conv=notrunc status=none
	sleep 0.5
	order config/sheep_info "$b,$a"
	wait_until 4 served_by one "$b"
	run ! grep 'does not answer any more' "$sheepfs_log"
	# what concerns another object is done, the other is not known to be over
	timeout 10 dd if="$T/noise" of="$(volume one)" bs=64k count=1 seek=32 oflag=direct conv=notrunc status=none
	still_there "$client"
	kill -CONT "${lamb_pids[a]}"
	fault a
	wait_until 20 gone "$client"
	same '' "$(cat "$client_out")"
	cmp -n 65536 "$T/noise" "$(volume one)"
	cmp -n 65536 "$T/noise" "$(volume one)" 0 2097152
	never_failed
	detach one
}
