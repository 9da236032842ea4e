#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# shellcheck disable=SC2030,SC2031,SC2034,SC2154 # variables of lib.bash and daemons.bash
#
# vdi/delete: of volumes and snapshots, on lamb and on a real cluster; what is deleted leaves no data, what was made from it
# and from which it was made stays whole; and it is done once, and finished, whatever dies meanwhile.

load lib
load real
load deaths
load daemons
load keeper

setup() {
	begin_test 150
}

teardown() {
	find_master
	end_daemons
	end_test
	real_stop
}

# ---- what there is ----

# vid_of NAME: of the volume, not of its snapshots; eight digits
vid_of() {
	printf '%08x' "0x$(awk -v name="$1" '/^[c ] / { sub(/^[c ] /, "") } $1 == name {
		for (i = 2; $i !~ /^[0-9][0-9]:[0-9][0-9]$/; i++);
		print $(i + 1) }' "$mnt/vdi/list")"
}

# objects_of VID: how many data objects it has, on all nodes
objects_of() {
	find "$T" -xdev -path "*/obj*/$1*" -type f | wc -l
}

listed() {
	awk '{ sub(/^[sc ] /, ""); print $1 }' "$mnt/vdi/list" | grep -cx "$1" || :
}

# written NAME [SEED]: every other object of a volume with objects of 4 KiB, so that each is a run of its own
written() {
	fio --name=w --filename="$(volume "$1")" --ioengine=libaio --direct=1 --iodepth=16 --bs=4k --rw=write:4k \
		--io_size=600k --size=1200k --randseed="${2:-1}" --end_fsync=1 --minimal >/dev/null
}

# begin WHAT [START]: two daemons, and a sheepfs
begin() {
	need fio
	start_daemons "$1"
	"${2:-start_sheepfs}" "$targets"
}

# family: the snapshot s of the volume base; of that a clone, kept, and the volume itself, which has objects of its own as
# well; all detached
family() {
	attached base 4M object_size=4K
	written base 1
	order vdi/snapshot 'base s'
	order vdi/clone 'base@s kept'
	written_again base
	detach base
	attach kept
	sum=$(digest "$(volume kept)")
	detach kept
	base=$(vid_of base)
}

# written_again NAME: some of what is inherited, and some more
written_again() {
	dd if=/dev/urandom of="$(volume "$1")" bs=4k count=20 seek=100 oflag=direct conv=notrunc status=none
}

kept_is_whole() {
	attach kept
	same "$sum" "$(digest "$(volume kept)")"
	detach kept
}

# gone_for_good: base is, with its data; nobody else lost any, nor does who gave them when that goes, too
gone_for_good() {
	same 1 "$(listed base)"
	same 0 "$(objects_of "$base")"
	relatives_are_whole
	nothing_is_left
}

relatives_are_whole() {
	kept_is_whole
	order vdi/delete base@s
	contains "$sentence" 'volume base@s was deleted'
	same 0 "$(listed base)"
	kept_is_whole
	refused vdi/delete base 'No such file or directory' base
	same 0 "$(cluster_locks | wc -l)"
	order vdi/delete kept
	same 0 "$(listed kept)"
}

# No data object, of whatever volume.
nothing_is_left() {
	same '' "$(find "$T" -xdev -path '*/obj*/00*' -type f)"
}

# ---- deletions ----

deleted() {
	begin "$1"
	attached one 64M
	dd if=/dev/urandom of="$(volume one)" bs=1M count=10 conv=notrunc,fsync status=none
	refused vdi/delete one 'Device or resource busy' one vdi/unmount
	detach one
	one=$(vid_of one)
	[ "$(objects_of "$one")" -ge 3 ]
	order vdi/delete one
	contains "$sentence" "volume one was deleted (vid $(printf '%x' "0x$one"))"
	same 0 "$(listed one)"
	same 0 "$(objects_of "$one")"
	same '' "$(ls "$mnt/volume")"
	refused vdi/delete one 'No such file or directory' one
	refused vdi/mount one 'No such file or directory' one
	# the name is free, and holds nothing of before
	attached one 16M
	cmp -n 16777216 "$(volume one)" /dev/zero
	detach one
	# one that holds nothing, and one whose name is not plain
	order vdi/delete one
	create 'a%2Fb%40c' 16M
	order vdi/delete 'a%2Fb%40c'
	same 1 "$(wc -l <"$mnt/vdi/list")"
	same 0 "$(cluster_locks | wc -l)"
	never_failed
}

@test "a volume is deleted, with its data: lamb" {
	deleted lamb
}

@test "a volume is deleted, with its data: a real cluster" {
	deleted real
	real_replicas_equal
	same 0 "$(real_dog vdi list -r | wc -l)"
}

relatives() {
	begin "$1"
	family
	# by its number while it is attached by its tag
	attach base@s
	refused vdi/delete base@1 'Device or resource busy' base@s
	refused vdi/delete base@s 'Device or resource busy' base@s
	refused vdi/delete base@nosuch 'No such file or directory' base@nosuch
	detach base@s
	order vdi/delete base
	contains "$sentence" 'volume base was deleted'
	gone_for_good
	# the snapshot first, while its volume is attached and written
	family
	attach base
	order vdi/delete base@1
	written_again base
	sum2=$(digest "$(volume base)")
	kept_is_whole
	detach base
	attach base
	same "$sum2" "$(digest "$(volume base)")"
	detach base
	order vdi/delete kept
	attach base
	same "$sum2" "$(digest "$(volume base)")"
	detach base
	order vdi/delete base
	nothing_is_left
	never_failed
}

@test "what a volume was made from, and what was made from it, stays whole: lamb" {
	relatives lamb
}

@test "what a volume was made from, and what was made from it, stays whole: a real cluster" {
	relatives real
	real_replicas_equal
}

@test "a hyper volume is deleted as well: a real cluster" {
	begin real
	real_dog vdi create -y hyper 1G </dev/null
	head -c 8M /dev/urandom | real_dog vdi write hyper
	[ "$(objects_of "$(vid_of hyper)")" -ge 2 ]
	refused vdi/mount hyper 'Operation not supported' hyper
	order vdi/delete hyper
	same 0 "$(listed hyper)"
	nothing_is_left
	real_members 0 5
}

@test "what another sheepfs has attached is not deleted" {
	start_lamb lamb
	start_sheepfs -n other "$address"
	attached one 16M
	dd if=/dev/urandom of="$(volume one)" bs=1M count=4 conv=notrunc,fsync status=none
	sum=$(digest "$(volume one)")
	start_sheepfs "$address"
	refused vdi/delete one 'Device or resource busy' one locked
	use_sheepfs other
	same "$sum" "$(digest "$(volume one)")"
	detach one
	use_sheepfs mnt
	order vdi/delete one
}

# They would empty the same entries: one of them does.
two_delete() {
	begin "$1"
	family
	start_sheepfs -n other "$(daemon_address "${daemons[1]}")"
	use_sheepfs mnt
	[ "$1" != lamb ] || fault 1 delay=write:15
	asked vdi/delete base@s
	one=$client one_out=$client_out
	use_sheepfs other
	asked vdi/delete base@s
	two=$client two_out=$client_out
	wait_until 40 gone "$one"
	wait_until 40 gone "$two"
	tell "$(cat "$one_out" "$two_out" | grep -v 'write error')"
	same 1 "$(cat "$one_out" "$two_out" | grep -c 'volume base@s was deleted')"
	cat "$one_out" "$two_out" | grep -E 'Device or resource busy|No such file or directory'
	if [ "$1" = lamb ]; then
		cat "$one_out" "$two_out" | grep 'snapshot base@s (vid .*) is locked'
		fault 1
	fi
	use_sheepfs other
	kept_is_whole
	attach base
	dd if="$(volume base)" of=/dev/null bs=64k status=none
	detach base
	order vdi/delete base
	kept_is_whole
	order vdi/delete kept
	use_sheepfs mnt
	same 0 "$(cluster_locks | wc -l)"
	nothing_is_left
}

@test "two sheepfs delete one snapshot at once: one of them does: lamb" {
	two_delete lamb
}

@test "two sheepfs delete one snapshot at once: one of them does: a real cluster" {
	two_delete real
	real_replicas_equal
}

@test "a cluster that uses vids again: a real cluster" {
	REAL_FORMAT=(-R)
	begin real
	family
	order vdi/delete base
	kept_is_whole
	order vdi/delete base@s
	order vdi/delete kept
	nothing_is_left
	attached base 4M
	detach base
	order vdi/delete base
	same 0 "$(real_dog vdi list -r | wc -l)"
	never_failed
}

@test "a deletion may take longer than --timeout, as long as something is done" {
	begin lamb
	attached base 8M object_size=4K
	fio --name=w --filename="$(volume base)" --ioengine=libaio --direct=1 --iodepth=16 --bs=4k --rw=write:4k \
		--io_size=2000k --size=4000k --end_fsync=1 --minimal >/dev/null
	detach base
	base=$(vid_of base)
	fault 1 delay=write:30
	timed=$(now_ms)
	order vdi/delete base
	[ $(($(now_ms) - timed)) -gt 10000 ]
	same 0 "$(objects_of "$base")"
	# the last step, which is one, may be late: then that is what is told
	create base 16M
	fault 1 delay=delete-vdi:11500
	order vdi/delete base
	contains "$sentence" 'volume base was deleted'
}

@test "who mounts, makes or snapshots it meanwhile waits, and finds it gone" {
	start_lamb lamb
	start_sheepfs "$address"
	create one 16M
	fault lamb delay=delete-vdi:1500
	asked vdi/delete one
	deleter=$client
	wait_until 5 grep -q '^one .* deleting ' "$mnt/status/workers"
	asked vdi/mount one
	mounter=$client mounter_out=$client_out
	asked vdi/create 'one 32M'
	creator=$client creator_out=$client_out
	wait "$deleter"
	has_failed "$mounter"
	contains "$(cat "$mounter_out")" 'there is no volume one'
	wait "$creator" || fail "it failed: $(cat "$creator_out")"
	attach one
	same 33554432 "$(stat -c %s "$(volume one)")"
}

# ---- deaths ----

# deletion_begins: of base, slowly, and waits until it is under way: its lock is there, and the master knows that it is ours
deletion_begins() {
	local locks
	locks=$(cluster_locks | wc -l)
	[ "$daemons_are" != lamb ] || fault 1 delay=write:15
	asked vdi/delete "${1:-base}"
	deleter=$client deleter_out=$client_out
	wait_until 10 is_locked_or_over "$locks"
	sleep 0.1
}

is_locked_or_over() {
	[ "$(cluster_locks | wc -l)" -gt "$1" ] || gone "$deleter"
}

# has_failed PID: with an error
has_failed() {
	wait_until 60 gone "$1"
	! wait "$1" || fail "it was done"
}

is_deleted() {
	wait_until 60 gone "$deleter"
	wait "$deleter" || fail "it failed: $(cat "$deleter_out")"
	# the sentence is read later: another front does not know the open file
	same 1 "$(grep -c 'volume base was deleted\|Stale file handle' "$deleter_out")"
	same 1 "$(wc -l <"$deleter_out")"
	same 1 "$(grep -c ': delete base by user 0: volume base was deleted' "$sheepfs_log")"
	[ "$daemons_are" != lamb ] || gone "$(daemon_pid 1)" || fault 1
	same 1 "$(grep -c 'delete base by user' "$sheepfs_log")"
}

workers_die() {
	local n pid
	begin "$1"
	family
	deletion_begins
	for ((n = 0; n < 4; n++)); do
		[ "$1" = real ] || sleep 0.2
		pid=$(worker_pid base)
		! gone "$deleter" || break
		[ -z "$pid" ] || kill -KILL "$pid"
	done
	tell "workers that died of it: $(grep -c 'the next one goes on with its deletion' "$sheepfs_log" || :)"
	is_deleted
	gone_for_good
}

@test "its workers die: it is deleted once: lamb" {
	workers_die lamb
	[ "$(grep -c 'the next one goes on with its deletion' "$sheepfs_log")" -ge 2 ]
}

@test "its workers die: it is deleted once: a real cluster" {
	workers_die real
	[ "$(grep -c 'the next one goes on with its deletion' "$sheepfs_log")" -ge 1 ]
	real_replicas_equal
}

daemon_dies() {
	begin "$1"
	family
	wait_until 20 served_first
	deletion_begins
	sleep 0.3
	lose killed "${daemons[0]}"
	is_deleted
	regain "${daemons[0]}"
	# a real daemon empties an entry first, and removes its object later: what it did not get to stays for good
	[ "$1" = lamb ] || { relatives_are_whole && return; }
	gone_for_good
}

served_first() {
	[ "$(cat "$mnt/config/sheep_info")" = "$(daemon_address "${daemons[0]}")" ]
}

@test "its daemon is killed: it is deleted through the other one: lamb" {
	daemon_dies lamb
	grep -E 'goes on with its deletion' "$sheepfs_log"
}

@test "its daemon is killed: it is deleted through the other one: a real cluster" {
	daemon_dies real
	real_replicas_equal
}

# What the stopped daemon has in its belly empties an entry: nobody may empty it again before that is past.
daemon_stops() {
	begin "$1"
	family
	deletion_begins
	sleep 0.3
	lose stopped "${daemons[0]}"
	wait_until 30 gone "$deleter"
	if wait "$deleter"; then
		fail "it was deleted while a daemon could still empty entries: $(cat "$deleter_out")"
	fi
	contains "$(cat "$deleter_out")" 'volume base is not deleted yet'
	grep -c 'Connection timed out' "$deleter_out"
	grep "$(daemon_address "${daemons[0]}") was asked may still run" "$sheepfs_log"
	same 1 "$(cluster_locks_elsewhere)"
	kept_is_whole
	refused vdi/delete base@s 'Device or resource busy' base 'may still run'
	run ! grep 'the lock (vid 0)' "$sheepfs_log"
	regain "${daemons[0]}"
	order vdi/delete base
	gone_for_good
	always_proved
}

cluster_locks_elsewhere() {
	[ "$daemons_are" = real ] && { cluster_locks | wc -l; return; }
	"$rawsheep" "$(daemon_address 2)" states | grep -c 'state [23]' || :
}

@test "its daemon stops: nothing is emptied twice, and it is finished later: lamb" {
	daemon_stops lamb
}

@test "its daemon stops amid the deletion of a snapshot: nothing is emptied twice, by whatever name: lamb" {
	begin lamb
	family
	deletion_begins base@s
	sleep 0.3
	lose stopped 1
	has_failed "$deleter"
	contains "$(cat "$deleter_out")" 'volume base@s is not deleted yet'
	refused vdi/delete base@1 'Device or resource busy' base@s 'may still run'
	same 1 "$(cluster_locks_elsewhere)"
	kept_is_whole
	regain 1
	order vdi/delete base@s
	always_proved
	kept_is_whole
	order vdi/delete base
	kept_is_whole
	order vdi/delete kept
	nothing_is_left
}

# Both go on at the same moment, and the deletion waits until its volume is settled.
attached_volume_daemon_dies() {
	local n
	begin "$1"
	for n in 1 2 3; do
		family
		attach base
		client bash -c "while [ ! -e '$T/enough$n' ]; do dd if=/dev/urandom of='$(volume base)' bs=4k count=20 seek=100 oflag=direct conv=notrunc status=none || exit 1; done"
		writer=$client writer_out=$client_out
		order config/sheep_info "$targets"
		wait_until 20 served_by base "$(daemon_address "${daemons[0]}")"
		[ "$1" != lamb ] || fault 1 delay=write:15
		asked vdi/delete base@s
		deleter=$client deleter_out=$client_out
		wait_until 10 grep -q '^base@s .* deleting .*[1-9]' "$mnt/status/workers"
		# a lock that is just being asked for may stay with the daemon's death: its caller hears EBUSY then
		[ "$1" = lamb ] || sleep 0.05
		[ "$1" != lamb ] || sleep "0.$((RANDOM % 5 + 1))"
		lose killed "${daemons[0]}"
		wait_until 60 gone "$deleter"
		wait "$deleter" || fail "it failed: $(cat "$deleter_out")"
		contains "$(cat "$deleter_out")" 'volume base@s was deleted'
		touch "$T/enough$n"
		wait "$writer" || fail "the writer died: $(cat "$writer_out")"
		regain "${daemons[0]}"
		wait_until 20 all_settled base
		dd if="$(volume base)" of=/dev/null bs=64k status=none
		detach base
		kept_is_whole
		order vdi/delete base
		order vdi/delete kept
	done
}

@test "its daemon is killed, and its volume is attached and written: lamb" {
	attached_volume_daemon_dies lamb
	nothing_is_left
}

@test "its daemon is killed, and its volume is attached and written: a real cluster" {
	attached_volume_daemon_dies real
	real_replicas_equal
}

@test "aborted while its lock is asked for: the lock is given back" {
	begin lamb
	create base 16M
	order vdi/snapshot 'base s'
	fault 1 delay=lock-vdi:1000
	asked vdi/delete base@s
	deleter=$client deleter_out=$client_out
	wait_until 5 grep -q '^base@s ' "$mnt/status/workers"
	sleep 0.3
	order config/abort base@s
	has_failed "$deleter"
	fault 1
	sleep 1.5
	same 0 "$(cluster_locks | wc -l)"
	order vdi/delete base@s
	# and one that is over is over
	fault 1 delay=release-vdi:1500
	asked vdi/delete base
	deleter=$client deleter_out=$client_out
	wait_until 10 no_such_vdi base
	sleep 0.2
	order config/abort base
	wait "$deleter" || fail "it failed: $(cat "$deleter_out")"
	contains "$(cat "$deleter_out")" 'volume base was deleted'
	fault 1
}

@test "the front dies: it is deleted once, and its caller hears it" {
	kernel_asks_again || skip "this kernel cannot ask another front what one did not answer"
	begin lamb
	family
	deletion_begins
	kill_front
	sleep 0.2
	kill_front
	is_deleted
	gone_for_good
}

@test "the master dies: it is deleted once, and its caller hears it" {
	kernel_asks_again || skip "this kernel cannot ask another front what one did not answer"
	begin lamb start_kept
	family
	deletion_begins
	kill_master
	sleep 0.3
	kill_master
	is_deleted
	grep 'the next one goes on with its deletion\|is settled' "$sheepfs_log"
	gone_for_good
	stop_is_the_end
}

@test "the master dies amid the deletion of a snapshot whose volume is attached and written" {
	kernel_asks_again || skip "this kernel cannot ask another front what one did not answer"
	begin lamb start_kept
	family
	attach base
	client bash -c "while [ ! -e '$T/enough' ]; do dd if=/dev/urandom of='$(volume base)' bs=4k count=20 seek=100 oflag=direct conv=notrunc status=none || exit 1; done"
	writer=$client writer_out=$client_out
	fault 1 delay=write:15
	asked vdi/delete base@s
	deleter=$client deleter_out=$client_out
	wait_until 10 grep -q '^base@s .* deleting .*[1-9]' "$mnt/status/workers"
	sleep 0.4
	kill_master
	sleep 0.4
	kill_master
	wait_until 60 gone "$deleter"
	wait "$deleter" || fail "it failed: $(cat "$deleter_out")"
	contains "$(cat "$deleter_out")" 'volume base@s was deleted'
	fault 1
	touch "$T/enough"
	wait "$writer" || fail "the writer died: $(cat "$writer_out")"
	dd if="$(volume base)" of=/dev/null bs=64k status=none
	detach base
	kept_is_whole
	order vdi/delete base
	order vdi/delete kept
	nothing_is_left
	stop_is_the_end
}

@test "aborted, and the master dies before that is over: nobody goes on with it" {
	kernel_asks_again || skip "this kernel cannot ask another front what one did not answer"
	begin lamb start_kept
	family
	deletion_begins
	sleep 0.2
	fault 1 delay=write:15 delay=release-vdi:2500
	order config/abort base
	wait_until 5 gone "$deleter"
	has_failed "$deleter"
	# its lock is still being released
	grep '^base .* deleting' "$mnt/status/workers"
	kill_master
	fault 1
	sleep 1
	same 2 "$(listed base)"
	same 0 "$(grep -c ': delete base by user 0: volume base was deleted' "$sheepfs_log")"
	order vdi/delete base
	gone_for_good
	stop_is_the_end
}

@test "the master dies when all is done and nobody was told: that counts as done" {
	kernel_asks_again || skip "this kernel cannot ask another front what one did not answer"
	begin lamb start_kept
	create base 16M
	fault 1 delay=release-vdi:2500
	asked vdi/delete base
	deleter=$client deleter_out=$client_out
	# it is gone in the cluster, and its lock is being released
	wait_until 10 no_such_vdi base
	still_there "$deleter"
	kill_master
	is_deleted
	same 0 "$(listed base)"
	same 0 "$(cluster_locks | wc -l)"
	stop_is_the_end
}

no_such_vdi() {
	! "$rawsheep" "$(daemon_address 2)" list | grep -q " $1 "
}

@test "a sheepfs is replaced: it is deleted once, and its caller hears it" {
	kernel_asks_again || skip "this kernel cannot ask another front what one did not answer"
	begin lamb
	family
	deletion_begins
	replace "$targets"
	is_deleted
	gone_for_good
}

@test "sheepfs is stopped: it is finished when it is asked for again" {
	begin lamb
	family
	deletion_begins
	sleep 0.2
	stop_sheepfs
	same 0 "$exit_status"
	has_failed "$deleter"
	grep -E 'volume base (is not deleted yet|was not deleted).*sheepfs is about to end' "$sheepfs_log"
	fault 1
	start_sheepfs "$targets"
	order vdi/delete base
	gone_for_good
}

@test "config/abort frees who waits for a deletion; what is left can be deleted" {
	begin lamb
	family
	deletion_begins
	order config/abort base
	wait_until 10 gone "$deleter"
	has_failed "$deleter"
	# it may not have begun
	grep -E 'volume base (is not deleted yet|was not deleted)' "$deleter_out"
	fault 1
	order vdi/delete base
	gone_for_good
}
