#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# shellcheck disable=SC2030,SC2031,SC2034,SC2046,SC2154 # variables of lib.bash and daemons.bash
#
# Creations, clones, and snapshots of volumes that are not attached, while the cluster worker, the master or the daemon dies:
# each is done once, and its caller hears that it is done.

load lib
load real
load deaths
load daemons
load keeper

setup() { begin_test 120; }

teardown() {
	find_master
	end_daemons
	end_test
	real_stop
}

# begin WHAT [START [OPTION...]]: two daemons, and a sheepfs that is served by the first; a volume with a snapshot
begin() {
	start_daemons "$1"
	"${2:-start_kept}" "$targets" "${@:3}"
	attached base 4M object_size=1M
	noise "$T/before" 1500000
	dd if="$T/before" of="$(volume base)" bs=100k oflag=direct conv=notrunc status=none
	order vdi/snapshot 'base first'
	detach base
}

# held FILE TEXT: the order is given, and NEW_VDI is in the belly of the first daemon, which stopped
held() {
	order config/sheep_info "$targets"
	fault "${daemons[0]}" freeze=new-vdi:1
	daemon_lost["${daemons[0]}"]=stopped
	asked "$@"
	wait_until 10 is_stopped "$(daemon_pid "${daemons[0]}")"
}

# thawed WORDS: and the order is done, as these words say
thawed() {
	regain "${daemons[0]}"
	answered "$client" "$client_out"
	contains "$(cat "$client_out")" "$1"
}

other_cluster_worker() {
	local now
	now=$(cluster_pid)
	[ -n "$now" ] && [ "$now" != "$1" ]
}

# dropped KNOB: the first daemon is to close its connection once
dropped() {
	fault "${daemons[0]}" "$1"
	ends=$(cluster_worker_ends)
}

# it_was_dropped: that came to pass
it_was_dropped() {
	[ "$(cluster_worker_ends)" -gt "$ends" ]
	order config/sheep_info "$targets"
}

cluster_worker_ends() {
	grep -c 'the cluster worker ended: ' "$sheepfs_log" || :
}

# The next one is there, too.
kill_cluster_worker() {
	local before
	before=$(cluster_pid)
	kill -KILL "$before"
	wait_until 10 other_cluster_worker "$before"
}

# listed KIND NAME: how many of them; KIND is s, c or a blank
listed() {
	sed -n "s/^\\($1\\) \\($2\\) .*/\\2/p" "$mnt/vdi/list" | wc -l
}

is_listed() {
	[ "$(listed "$1" "$2")" = "$3" ]
}

# The orders of all tests; each was done exactly once, and well.
done_once() {
	same 1 "$(listed ' ' new)"
	same 1 "$(listed c copy)"
	same 2 "$(listed s base)"
	same 1 "$(listed ' ' base)"
	attach base@second
	attach copy
	attach new
	cmp -n 1500000 "$T/before" "$(volume base@second)"
	cmp -n 1500000 "$T/before" "$(volume copy)"
	cmp -n 16777216 "$(volume new)" /dev/zero
}

@test "the cluster worker dies, and the next one, while the daemon holds NEW_VDI" {
	begin lamb
	held vdi/create 'new 16M'
	kill_cluster_worker
	kill_cluster_worker
	thawed 'volume new was created: 16 MB'
	held vdi/clone 'base@first copy'
	kill_cluster_worker
	kill_cluster_worker
	thawed 'volume copy was created, a clone of snapshot base@first'
	held vdi/snapshot 'base second'
	kill_cluster_worker
	thawed 'snapshot base@second was taken'
	done_once
	# what the other daemon does not see yet may come, and is not ordered a second time
	detach base@second
	held vdi/snapshot 'base third'
	kill_cluster_worker
	kill_cluster_worker
	wait_until 20 gone "$client"
	status=0
	wait "$client" || status=$?
	same 1 "$status"
	contains "$(cat "$client_out")" 'was not taken when it was looked for, but a daemon that hangs may still'
	same 2 "$(listed s base)"
	regain "${daemons[0]}"
	wait_until 10 is_listed s base 3
	attach base@third
	cmp -n 1500000 "$T/before" "$(volume base@third)"
}

@test "the master dies, and the next one, while the daemon holds NEW_VDI" {
	begin lamb
	held vdi/create 'new 16M'
	kill_master
	kill_master
	thawed 'volume new was created: 16 MB'
	held vdi/clone 'base@first copy'
	kill_master
	kill_master
	thawed 'volume copy was created, a clone of snapshot base@first'
	held vdi/snapshot 'base second'
	kill_master
	kill_master
	thawed 'snapshot base@second was taken'
	done_once
}

# The kernel asks the next master for both, in whatever order: what a daemon still holds is not ordered by the volume's worker.
@test "the master dies while the daemon holds NEW_VDI of a snapshot, and the volume is about to be attached" {
	local snapshotter out status=0
	begin lamb start_kept -t 20
	noise "$T/after" 700000
	held vdi/snapshot 'base second'
	snapshotter=$client out=$client_out
	asked vdi/mount base
	kill_master
	wait_until 60 gone "$snapshotter"
	wait "$snapshotter" || status=$?
	same 1 "$status"
	contains "$(cat "$out")" 'was not taken when it was looked for'
	wait_until 60 gone "$client"
	answered "$client" "$client_out"
	dd if="$T/after" of="$(volume base)" bs=100k oflag=direct conv=notrunc status=none
	regain "${daemons[0]}"
	wait_until 10 is_listed s base 2
	dd if="$T/after" of="$(volume base)" bs=100k seek=20 oflag=direct conv=notrunc status=none
	detach base
	attach base
	cmp -n 700000 "$T/after" "$(volume base)"
	cmp -n 700000 -i 0:2048000 "$T/after" "$(volume base)"
	cmp -n 800000 -i 700000 "$T/before" "$(volume base)"
	same 1 "$(listed ' ' base)"
}

@test "it is replaced while the daemon holds NEW_VDI" {
	begin lamb start_sheepfs -t 1
	held vdi/create 'new 16M'
	replace "$targets"
	contains "$(cat "$T/mnt.log")" 'a command takes too long'
	thawed 'volume new was created: 16 MB'
	same 1 "$(listed ' ' new)"
}

@test "the daemon closes the connection instead of answering NEW_VDI, or of running it" {
	begin lamb
	dropped drop-after=new-vdi:1
	order vdi/create 'new 16M'
	contains "$sentence" 'volume new was created: 16 MB'
	it_was_dropped
	dropped drop-after=new-vdi:1
	order vdi/clone 'base@first copy'
	contains "$sentence" 'volume copy was created, a clone of snapshot base@first'
	it_was_dropped
	dropped drop-after=new-vdi:1
	order vdi/snapshot 'base second'
	contains "$sentence" 'snapshot base@second was taken'
	it_was_dropped
	done_once
	dropped drop-before=new-vdi:1
	order vdi/create 'another 16M'
	it_was_dropped
	dropped drop-before=new-vdi:1
	order vdi/clone 'base@first another-copy'
	it_was_dropped
	# nobody can tell that it will not be run: it is not ordered a second time
	dropped drop-before=new-vdi:1
	refused vdi/snapshot 'base third' 'Input/output error' 'was not taken when it was looked for' 'vdi/list'
	it_was_dropped
	order vdi/snapshot 'base third'
	same 1 "$(listed ' ' another)"
	same 1 "$(listed c another-copy)"
	same 3 "$(listed s base)"
}

@test "nothing was ordered before the name was looked up: what is there is somebody else's" {
	begin lamb
	create new 16M
	dropped drop-before=vdi-info:1
	refused vdi/create 'new 16M' 'File exists' 'a volume of that name exists'
	it_was_dropped
	dropped drop-before=vdi-info:2
	refused vdi/clone 'base@first new' 'File exists' 'a volume of that name exists'
	it_was_dropped
	dropped drop-before=vdi-info:1
	refused vdi/snapshot 'base first' 'File exists' 'there is one of that tag'
	it_was_dropped
	# the same, and nothing is in the way
	dropped drop-before=vdi-info:1
	order vdi/create 'other 16M'
	it_was_dropped
	dropped drop-before=vdi-info:1
	order vdi/snapshot 'base second'
	it_was_dropped
	# its tag is not written before that is recorded, either
	dropped drop-before=write:1
	refused vdi/snapshot 'base third' 'Input/output error' 'was not taken when it was looked for'
	it_was_dropped
	same 1 "$(listed ' ' other)"
	same 2 "$(listed s base)"
}

@test "the cluster worker, or the master, dies at any moment: a real cluster" {
	local n
	begin real
	for n in 1 2 3 4; do
		for command in "vdi/create n$n 16M" "vdi/clone base@first c$n" "vdi/snapshot base s$n"; do
			asked "${command%% *}" "${command#* }"
			sleep "0.0$((RANDOM % 60 + 10))"
			if [ $((n % 2)) = 0 ]; then
				kill_master
			else
				# none, when it has not been needed since the last one died
				kill -KILL $(cluster_pid) 2>/dev/null || :
			fi
			wait_until 60 gone "$client"
			# who died between the record and the order leaves a snapshot that was not taken
			if grep -q 'was not taken when it was looked for' "$client_out"; then
				order "${command%% *}" "${command#* }" || contains "$error" 'File exists'
			else
				answered "$client" "$client_out"
			fi
		done
	done
	for n in 1 2 3 4; do
		same 1 "$(listed ' ' "n$n")"
		same 1 "$(listed c "c$n")"
		attach "base@s$n"
		cmp -n 1500000 "$T/before" "$(volume "base@s$n")"
	done
	same 5 "$(listed s base)"
	same 1 "$(listed ' ' base)"
}
