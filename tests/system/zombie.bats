#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# shellcheck disable=SC2034,SC2154 # variables of lib.bash and daemons.bash
#
# Zombie writes, driven on purpose: a daemon stops with a write in its belly, which it will do when it goes on, long
# after it was abandoned, or after who had sent it is dead.  What is written over the same block meanwhile is answered
# only when that is past, and stands: on nodes of lamb and on a real cluster.

load lib
load real
load deaths
load daemons

setup() {
	begin_test 150
}

teardown() {
	end_daemons
	end_test
	real_stop
}

block=65536
# the object of which it is, and another one that does not exist either
object=5
another=9

# begin WHAT [OPTION...]: lamb or real: X is in the belly of the daemon that served
begin() {
	start_daemons "$1"
	start_sheepfs "$targets" "${@:2}"
	attached one 16M object_size=1M
	wait_until 20 served_by one "$(daemon_address "${daemons[0]}")"
	zombie=${daemons[0]}
	noise "$T/old" "$block"
	noise "$T/new" "$block"
	noise "$T/aside" "$block"
	if [ "$1" = lamb ]; then
		# it stops when it has read it
		fault "$zombie" freeze=create:1
		daemon_lost["$zombie"]=stopped
		write_block "$T/old" "$object"
		wait_until 10 is_stopped "$(daemon_pid "$zombie")"
	else
		lose stopped "$zombie"
		write_block "$T/old" "$object"
		# all that the kernel has got for it
		wait_until 10 has_got "$zombie" "$block"
	fi
	writing_x=$client x_out=$client_out
	still_there "$writing_x"
}

# write_block FILE OBJECT: in the background; a process that becomes dd
write_block() {
	client dd if="$1" of="$(volume one)" bs="$block" seek=$(($2 * 1048576 / block)) count=1 oflag=direct \
		conv=notrunc status=none
}

# has_got DAEMON BYTES: they wait to be read by it
has_got() {
	local most
	most=$("${in_network[@]}" ss -tnH "src = $(daemon_address "$1")" | awk '$2 > most { most = $2 } END { print most + 0 }')
	[ "$most" -ge "$2" ]
}

# write_y: over X, and it is not answered
write_y() {
	write_block "$T/new" "$object"
	writing_y=$client y_out=$client_out
	sleep 2
	is_stopped "$(daemon_pid "$zombie")"
	still_there "$writing_x"
	still_there "$writing_y"
}

# was_written PID OUTPUT: and without an error
was_written() {
	wait_until 40 gone "$1"
	wait "$1" || fail "a write failed: $(cat "$2")"
	same '' "$(cat "$2")"
}

# block_is FILE OBJECT: as sheepfs reads it, past its caches
block_is() {
	dd if="$(volume one)" bs="$block" skip=$(($2 * 1048576 / block)) count=1 iflag=direct status=none | cmp - "$1"
}

# holds FILE OBJECT: the same as the cluster reads it, too
holds() {
	block_is "$1" "$2"
	cluster_reads one 16777216 | tail -c +$(($2 * 1048576 + 1)) | head -c "$block" | cmp - "$1"
}

# y_stands WHAT: the zombie goes on, does what it was asked, and Y stands
y_stands() {
	regain "$zombie"
	was_written "$writing_x" "$x_out"
	was_written "$writing_y" "$y_out"
	wait_until 40 all_settled one
	holds "$T/new" "$object"
	# nor does anything come later
	sleep 1
	holds "$T/new" "$object"
	never_failed
	always_proved
	detach one
	[ "$1" = lamb ] || { real_check one && real_replicas_equal; }
}

# ---- it is abandoned ----

abandoned() {
	local begin
	begin "$1"
	begin=$(now_ms)
	wait_until 40 went_on one 1
	tell "it was abandoned $(($(now_ms) - begin)) ms after it had stopped"
	grep 'volume one: generation 1 ended: the daemon does not answer any more' "$sheepfs_log"
	[ "$(daemon_of one)" != "$zombie" ]
	write_y
	# nothing was asked about this one
	write_block "$T/aside" "$another"
	was_written "$client" "$client_out"
	still_there "$writing_y"
	run ! all_settled one
	block_is "$T/aside" "$another"
	y_stands "$1"
	grep -E "volume one: generation 1 is settled: the daemon at $(daemon_address "$zombie") has ended all that it was asked" \
		"$sheepfs_log"
}

@test "abandoned by its client: a node of lamb" {
	abandoned lamb
}

@test "abandoned by its client: a gateway of a real cluster" {
	real_need
	abandoned real
}

# ---- who had sent it dies ----

worker_died() {
	begin "$1"
	kill -KILL "$(worker_pid one)"
	wait_until 10 grep -q 'volume one: generation 1 ended: it was killed' "$sheepfs_log"
	write_y
	y_stands "$1"
}

@test "its worker is killed: a node of lamb" {
	worker_died lamb
}

@test "its worker is killed: a gateway of a real cluster" {
	real_need
	worker_died real
}

front_died() {
	kernel_asks_again || skip "this kernel cannot ask another front what one did not answer"
	begin "$1"
	kill_front
	write_y
	y_stands "$1"
}

@test "the front is killed: a node of lamb" {
	front_died lamb
}

@test "the front is killed: a gateway of a real cluster" {
	real_need
	front_died real
}

# ---- it is waited for no longer ----

@test "it hangs for longer than --fence-timeout: Y is answered, the log says what is risked, and that happens" {
	begin lamb --fence-timeout 3
	wait_until 40 went_on one 1
	write_block "$T/new" "$object"
	writing_y=$client y_out=$client_out
	was_written "$writing_y" "$y_out"
	was_written "$writing_x" "$x_out"
	is_stopped "$(daemon_pid "$zombie")"
	contains "$(grep "volume one: generation 1 is settled: the daemon at $(daemon_address "$zombie") could be neither reached nor proved dead" "$sheepfs_log")" \
		'may overwrite what is written from now on'
	block_is "$T/new" "$object"
	# what was risked happens: the zombies of this file do write
	regain "$zombie"
	wait_until 10 block_is "$T/old" "$object"
	holds "$T/old" "$object"
	never_failed
	detach one
}
