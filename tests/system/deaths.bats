#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# shellcheck disable=SC2154 # variables of lib.bash and daemons.bash
#
# Workers, fronts, masters and daemons die in all ways, again and again, under fio with O_DIRECT at depth 16 on one volume and a
# buffered writer on another, on nodes of lamb and on a real cluster: one road for all of them (PROCESSES.md), callers see a
# pause, and nothing is lost.

load lib
load real
load deaths
load daemons
load keeper
load writer

setup() {
	begin_test "$(many 170 1800)"
	need fio
}

teardown() {
	find_master
	end_daemons
	end_test
	real_stop
}

# begin WHAT [START]: lamb or real; START is how sheepfs is started
begin() {
	start_daemons "$1"
	"${2:-start_sheepfs}" "$targets"
	attached one 64M object_size=1M
	order config/page_cache 1
	attached two 64M object_size=1M
	start_rounds one 24M --ioengine=libaio --direct=1 --iodepth=16
	direct=$client direct_out=$client_out
	start_rounds two 24M --ioengine=psync --fsync=32
	buffered=$client buffered_out=$client_out
}

# nothing_lost WHAT: and nothing is left over
nothing_lost() {
	local name
	still_there "$direct"
	still_there "$buffered"
	stop_rounds "$direct" "$direct_out" "$buffered" "$buffered_out"
	tell "rounds: one $(rounds_done one), two $(rounds_done two)"
	wait_until 30 all_settled one
	wait_until 30 all_settled two
	never_failed
	always_proved
	for name in one two; do
		cluster_reads "$name" 67108864 | cmp - "$(volume "$name")"
	done
	same 2 "$(cluster_locks | wc -l)"
	detach one
	detach two
	same 0 "$(cluster_locks | wc -l)"
	[ "$1" = lamb ] || { real_check one && real_check two && real_replicas_equal; }
}

# ---- workers ----

workers_die() {
	local n name deaths stops
	deaths=$(many 4 50) stops=$(many 1 10)
	begin "$1"
	for ((n = 0; n < deaths; n++)); do
		sleep "0.$((RANDOM % 5 + 2))"
		next_generation killed one
		next_generation killed two
	done
	for ((n = 0; n < stops; n++)); do
		next_generation stopped one
		next_generation stopped two
	done
	for name in one two; do
		same "$deaths" "$(grep -c "volume $name: generation [0-9]* ended: it was killed by signal 9" "$sheepfs_log")"
		same "$stops" "$(grep -c "volume $name: generation [0-9]* ended: it was stopped" "$sheepfs_log")"
	done
	nothing_lost "$1"
}

@test "workers are killed and stopped on nodes of lamb" {
	workers_die lamb
}

@test "workers are killed and stopped on a real cluster" {
	real_need
	workers_die real
}

# ---- fronts ----

fronts_die() {
	local n deaths
	kernel_asks_again || skip "this kernel cannot ask another front what one did not answer"
	deaths=$(many 6 50)
	begin "$1"
	for ((n = 0; n < deaths; n++)); do
		sleep "0.$((RANDOM % 5 + 1))"
		kill_front
		# each third time it was of use for a while
		[ $((n % 3)) != 0 ] || sleep 2
	done
	same "$deaths" "$(grep -c 'front [0-9]* ended: .*; callers wait for the next one' "$sheepfs_log")"
	nothing_lost "$1"
}

@test "fronts are killed on nodes of lamb" {
	fronts_die lamb
}

@test "fronts are killed on a real cluster" {
	real_need
	fronts_die real
}

# ---- masters ----

masters_die() {
	local n deaths
	kernel_asks_again || skip "this kernel cannot ask another front what one did not answer"
	deaths=$(many 3 20)
	begin "$1" start_kept
	for ((n = 0; n < deaths; n++)); do
		sleep "0.$((RANDOM % 8 + 1))"
		kill_master
	done
	same "$deaths" "$(grep -c '^killed by signal 9' "$T/kept.out")"
	went_on one "$deaths"
	run ! grep 'was not handed on' "$sheepfs_log"
	nothing_lost "$1"
	stop_is_the_end
}

@test "masters are killed on nodes of lamb" {
	masters_die lamb
}

@test "masters are killed on a real cluster" {
	real_need
	masters_die real
}

masters_are_replaced() {
	local n old times
	kernel_asks_again || skip "this kernel cannot ask another front what one did not answer"
	times=$(many 3 20)
	begin "$1"
	for ((n = 0; n < times; n++)); do
		sleep "0.$((RANDOM % 8 + 1))"
		old=$sheepfs_pid
		replace "$targets"
		wait_until 5 gone "$old"
		[ "$sheepfs_pid" != "$old" ]
	done
	same "$times" "$(grep -c 'takes over' "$sheepfs_log")"
	nothing_lost "$1"
}

@test "masters are replaced on nodes of lamb" {
	masters_are_replaced lamb
}

@test "masters are replaced on a real cluster" {
	real_need
	masters_are_replaced real
}

# ---- daemons ----

# lost_while_it_serves WAY: until another one serves, and it is back
lost_while_it_serves() {
	local daemon times
	wait_until 60 serves one
	daemon=$(daemon_of one)
	times=$(grep -c 'volume one goes on after' "$sheepfs_log" || :)
	if [ "$1" = all ]; then
		kill_cluster
		start_cluster_again
		wait_until 60 went_on one $((times + 1))
	else
		lose "$1" "$daemon"
		wait_until 60 went_on one $((times + 1))
		[ "$(daemon_of one)" != "$daemon" ]
		regain "$daemon"
	fi
	tell "$1: $(sed -n 's/.*volume one goes on after \([0-9]*\) ms.*/\1/p' "$sheepfs_log" | tail -n 1) ms"
	wait_until 60 all_settled one
	wait_until 60 all_settled two
}

serves() {
	[ -n "$(daemon_of "$1")" ]
}

daemons_die() {
	local n way times rounds
	times=$(many 1 17)
	begin "$1"
	for ((n = 0; n < times; n++)); do
		for way in "${ways[@]}" all; do
			rounds=$(rounds_done one)
			lost_while_it_serves "$way"
			wait_until 60 another_round one "$rounds"
		done
	done
	tell "$times times each of: ${ways[*]} all"
	nothing_lost "$1"
}

@test "nodes of lamb are lost in every way" {
	daemons_die lamb
}

@test "gateways of a real cluster are lost in every way, and no copy differs" {
	real_need
	daemons_die real
}
