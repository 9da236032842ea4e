#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# shellcheck disable=SC2030,SC2031,SC2034,SC2154 # tests are subshells; variables of lib.bash, and for it
#
# config/discover: members of the cluster as targets that nobody named.  The nodes are lambs on one store.

load lib
load writer

setup() {
	begin_test 90
	lamb_store=shared
	start_lamb a
	a=$address
	start_lamb b
	b=$address
}

teardown() {
	stop_writer
	end_test
}

# knows TARGET...: these members are targets, and no others, said the log last
knows() {
	local said
	said=$(grep 'members of the cluster that are targets' "$sheepfs_log" | tail -n 1)
	[ "$(printf '%s\n' "$@" | sort)" = "$(tr ',' '\n' <<<"${said##*: }" | sort)" ]
}

times_learnt() {
	[ "$(grep -c 'members of the cluster that are targets' "$sheepfs_log")" -ge "$1" ]
}

# waits NAME: its callers wait for a daemon, and nothing happens
waits() {
	local before
	wait_until 20 grep -q "^$1 *recovering" "$mnt/status/workers"
	before=$(cat "$T/acked")
	sleep 3
	same "$before" "$(cat "$T/acked")"
	still_there "$writer_pid"
	contains "$(worker_row "$1")" recovering
}

# goes_on: the writer is served again, to its end, and nothing is lost
goes_on() {
	local last
	wait_until 20 acked $(($(cat "$T/acked") + 40))
	stop_writer
	last=$(cat "$T/acked")
	holds "$(volume one)" "$last" "$last"
	never_failed
}

@test "the only daemon that was named is killed under load: the volume goes on at a member" {
	start_sheepfs "$a" --discover
	same 1 "$(cat "$mnt/config/discover")"
	attached one 64M object_size=1M
	wait_until 10 knows "$b"
	start_writer "$(volume one)"
	kill_lamb a
	wait_until 20 served_by one "$b"
	goes_on
	grep -E "volume one goes on after [0-9]+ ms: generation [0-9]+, through $b" "$sheepfs_log"
	contains "$(sed 1d "$mnt/status/failovers")" " $b "
	"$rawsheep" "$b" read one 0 67108864 | cmp - "$(volume one)"
	# so do the tables, orders and attaches
	contains "$(cat "$mnt/vdi/list")" ' one '
	same "$b" "$(cat "$mnt/config/sheep_info")"
	attached two 16M
	served_by two "$b"
	# nothing goes back by itself, and then the named one is as good as any
	start_lamb a
	sleep 1
	served_by one "$b"
	kill_lamb b
	wait_until 20 served_by one "$a"
	wait_until 20 served_by two "$a"
	wait_until 20 all_settled one
	detach one
}

# only_a_helps: without it the callers of volume one wait, and with it they go on
only_a_helps() {
	start_writer "$(volume one)"
	kill_lamb a
	waits one
	start_lamb a
	goes_on
	served_by one "$a"
}

@test "without config/discover it waits for the daemon that was named" {
	start_sheepfs "$a"
	same 0 "$(cat "$mnt/config/discover")"
	attached one 64M object_size=1M
	only_a_helps
	run ! grep 'members of the cluster' "$sheepfs_log"
}

@test "a member that --nodes does not permit is never dialled: it waits, and the log says why" {
	start_sheepfs "$a" --discover --nodes 127.0.0.2/32
	attached one 64M object_size=1M
	wait_until 10 grep -q "members of the cluster that are no targets.* $b; --nodes names more addresses" "$sheepfs_log"
	only_a_helps
	# once, not with every question
	sleep 6
	same 1 "$(grep -c 'members of the cluster that are no targets' "$sheepfs_log")"
}

@test "switched on and off while it runs; who joins and who leaves is known" {
	local c
	start_sheepfs "$a"
	attached one 64M object_size=1M
	order config/discover 1
	contains "$sentence" 'members of the cluster are targets'
	wait_until 10 knows "$b"
	start_lamb c
	c=$address
	wait_until 10 knows "$b" "$c"
	kill_lamb b
	wait_until 10 knows "$c"
	order config/discover 0
	same 0 "$(cat "$mnt/config/discover")"
	start_writer "$(volume one)"
	kill_lamb a
	waits one
	start_lamb a
	wait_until 20 acked $(($(cat "$T/acked") + 40))
	order config/discover 1
	wait_until 10 times_learnt 4
	kill_lamb a
	# said again it forgets nobody
	order config/discover 1
	wait_until 20 served_by one "$c"
	goes_on
	refused config/discover maybe 'Invalid argument' maybe '0 or 1'
	refused config/discover '' 'Invalid argument' usage
}

@test "what is written to config/sheep_info tells which members may be dialled" {
	kill_lamb a
	start_lamb a --unix "$T/sock"
	start_sheepfs "unix:$T/sock" --discover
	attached one 64M object_size=1M
	# beside a socket lies nobody
	wait_until 10 grep -q 'members of the cluster that are no targets' "$sheepfs_log"
	same 2 "$(sed 1d "$mnt/node/list" | wc -l)"
	order config/sheep_info "$a"
	wait_until 10 knows "$b"
	same 2 "$(grep -c '^ [01]' "$mnt/node/info")"
	kill_lamb a
	wait_until 20 served_by one "$b"
}

@test "a member that has become one of another cluster is no target, also for who comes new" {
	start_sheepfs "$a" --discover -t 3
	create one 16M
	create two 16M
	attach one
	wait_until 10 knows "$b"
	kill_lamb a
	kill_lamb b
	# somebody else's, at the same address, with volumes of the same names
	lamb_store=stranger
	start_lamb b
	"$rawsheep" "$b" create one 16777216
	"$rawsheep" "$b" create two 16777216
	sleep 1
	contains "$(worker_row one)" recovering
	refused vdi/mount two 'Connection timed out' "$b" 'another cluster'
	refused vdi/create 'three 16M' 'Connection timed out' "$b" 'another cluster'
	same 2 "$("$rawsheep" "$b" list | wc -l)"
	same '' "$("$rawsheep" "$b" states)"
	lamb_store=shared
	start_lamb a
	wait_until 20 served_by one "$a"
	attach two
}
