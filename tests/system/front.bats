#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# shellcheck disable=SC2012,SC2154 # variables of lib.bash
#
# The front may die at any moment: open files, mappings and positions go on, callers see a pause, and what was asked is
# done once.  On kernels without FUSE_NOTIFY_RESEND (before 6.9) the mounts end with it: vm61.bats.

load lib
load deaths
load mapper
load writer

setup() {
	begin_test 170
	kernel_asks_again || skip "this kernel cannot ask another front what one did not answer"
	start_lamb lamb
	start_sheepfs "$address"
}

teardown() {
	end_test
}

@test "25 deaths under fio with checksums, direct and buffered, on two volumes" {
	local n direct direct_out
	need fio
	attached one 64M
	order config/page_cache 1
	attached two 64M
	start_rounds one 24M --ioengine=libaio --direct=1 --iodepth=16
	direct=$client direct_out=$client_out
	start_rounds two 24M --ioengine=psync --fsync=32
	for ((n = 0; n < 25; n++)); do
		sleep "0.$((RANDOM % 5 + 1))"
		kill_front
		# each third time it was of use for a while
		[ $((n % 3)) != 0 ] || sleep 2
	done
	still_there "$direct"
	still_there "$client"
	stop_rounds "$direct" "$direct_out" "$client" "$client_out"
	same 25 "$(grep -c 'front [0-9]* ended: .*; callers wait for the next one' "$sheepfs_log")"
	same '' "$(grep 'has failed' "$sheepfs_log" || :)"
	tree_serves
	detach one
	detach two
	no_worker_is_left
}

no_worker_is_left() {
	wait_until 5 has_children 3
}

# lamb is not one of them
has_children() {
	[ "$(wc -w <"/proc/$sheepfs_pid/task/$sheepfs_pid/children")" -lt "$1" ]
}

@test "open files, positions, mappings and what stat says go on" {
	local fd reader n
	noise "$T/noise" 3000000
	attached one 64M
	dd if="$T/noise" of="$(volume one)" bs=1M conv=notrunc,fsync status=none
	chmod 640 "$(volume one)"
	chown 1234:5678 "$(volume one)"
	exec {fd}<>"$(volume one)"
	head -c 1000000 <&"$fd" | cmp -n 1000000 - "$T/noise"
	# shellcheck disable=SC2016 # perl's
	client perl -e 'open(F, "+<", $ARGV[0]) or die $!; seek(F, 4096, 0); $| = 1;
		while (1) { sysseek(F, 4096, 0); sysread(F, $b, 65536) == 65536 or die "read: $!"; print "."; }' \
		"$(volume one)"
	reader=$client reader_out=$client_out
	order config/page_cache 1
	attached two 16M
	dd if="$T/noise" of="$(volume two)" bs=1M conv=notrunc,fsync status=none
	start_mapper "$(volume two)"
	for n in 1 2 3; do
		mapping_before "$n"
		kill_front
		mapping_after "$n" "$address" two "$T/noise"
		sleep 0.5
	done
	stop_mapper
	# dd starts where the shell's descriptor stands
	dd bs=1000000 count=1 status=none iflag=fullblock <&"$fd" | cmp - <(tail -c +1000001 "$T/noise" | head -c 1000000)
	exec {fd}<&-
	same '640 1234 5678 67108864' "$(stat -c '%a %u %g %s' "$(volume one)")"
	if gone "$reader"; then
		fail "the reader died: $(tail -c 300 "$reader_out")"
	fi
	kill "$reader"
	wait_until 5 gone "$reader"
	cmp -n 3000000 "$T/noise" "$(volume one)"
	detach one
	detach two
}

@test "an ext4 on a loop device never goes read-only" {
	local n deaths
	need mkfs.ext4 losetup
	deaths=$(many 8 50)
	attached one 64M
	mkfs.ext4 -q -F -e remount-ro "$(volume one)"
	mkdir "$T/disk"
	mount -o loop "$(volume one)" "$T/disk"
	client bash -c "while :; do dd if=/dev/urandom of='$T/disk/a' bs=64k count=16 conv=fsync status=none && cp '$T/disk/a' '$T/disk/b' || exit 1; done"
	for ((n = 0; n < deaths; n++)); do
		sleep 0.4
		kill_front
		[ $((n % 3)) != 2 ] || sleep 2
	done
	if gone "$client"; then
		fail "the writer died: $(cat "$client_out")"
	fi
	kill "$client"
	wait_until 5 gone "$client"
	noise "$T/noise" 1000000
	cp "$T/noise" "$T/disk/noise"
	is_writable "$T/disk"
	unmount_disk "$T/disk"
	fsck.ext4 -fn "$(volume one)"
	detach one
}

# in_flight COMMAND...: what is done while a command waits for lamb
in_flight() {
	sleep 0.6
	kill_front
}

@test "commands in flight are answered once, and done once" {
	attached one 16M
	dd if=/dev/urandom of="$(volume one)" bs=1M count=4 conv=notrunc,fsync status=none
	fault lamb delay=new-vdi:1500
	# of a volume that is not attached, of one that is, and two deaths for one command
	asked vdi/create 'new 16M'
	in_flight
	answered "$client" "$client_out"
	contains "$(cat "$client_out")" 'volume new was created'
	asked vdi/snapshot 'one first'
	in_flight
	answered "$client" "$client_out"
	contains "$(cat "$client_out")" 'one@first'
	sleep 2
	asked vdi/clone 'one@first copy'
	in_flight
	kill_front
	answered "$client" "$client_out"
	contains "$(cat "$client_out")" 'volume copy was created'
	fault lamb
	same 1 "$(grep -c '^s one ' "$mnt/vdi/list")"
	same 1 "$(grep -c ' new ' "$mnt/vdi/list")"
	same 1 "$(grep -c 'c copy ' "$mnt/vdi/list")"
	fault lamb delay=lock-vdi:1500
	asked vdi/mount new
	in_flight
	answered "$client" "$client_out"
	mounted "$(volume new)"
	fault lamb
	# a table that was asked for is made
	fault lamb delay=read-vdis:1500
	client cat "$mnt/vdi/list"
	in_flight
	answered "$client" "$client_out"
	contains "$(cat "$client_out")" copy
	same 1 "$(grep -c 'create new by' "$sheepfs_log")"
	same 1 "$(grep -c 'snapshot one@first by' "$sheepfs_log")"
}

@test "the front dies while a volume is being attached: it is attached" {
	local n
	create one 16M
	fault lamb delay=lock-vdi:100
	for ((n = 0; n < 8; n++)); do
		asked vdi/mount one
		# about when it is mounted
		sleep "0.1$((RANDOM % 50 + 10))"
		kill_front
		answered "$client" "$client_out"
		mounted "$(volume one)"
		dd if="$(volume one)" of=/dev/null bs=4k count=1 iflag=direct status=none
		detach one
		# one that dies again and again within two seconds is the last
		sleep 2.1
	done
	same 8 "$(grep -c ': mount one by user' "$sheepfs_log")"
}

@test "the front dies between a volume's mount and the first word of its connection: that begins anew" {
	local front
	create one 16M
	fault lamb delay=lock-vdi:700
	front=$(front_pid)
	asked vdi/mount one
	sleep 0.3
	# the mount waits for the front, then the master is late, and so is the front
	kill -STOP "$front"
	sleep 0.8
	kill -STOP "$sheepfs_pid"
	kill -CONT "$front"
	wait_until 5 mounted "$(volume one)"
	kill -STOP "$front"
	kill -CONT "$sheepfs_pid"
	sleep 0.3
	kill -KILL "$front"
	answered "$client" "$client_out"
	grep 'volume one: the front died while it was attached; that begins anew' "$sheepfs_log"
	same 1 "$(grep -c ': mount one by user' "$sheepfs_log")"
	contains "$(cat "$client_out")" 'volume one is attached'
	dd if="$(volume one)" of=/dev/null bs=4k count=1 iflag=direct status=none
	tree_serves
	detach one
}

@test "an open control file is stale, and one that is opened again works" {
	local fd
	exec {fd}<>"$mnt/vdi/create"
	kill_front
	fails_with 'Stale file handle' bash -c "cat <&$fd"
	fails_with 'Stale file handle' bash -c "echo 'x 16M' >&$fd"
	exec {fd}<&-
	create x 16M
	tree_serves
}

@test "while no daemon is there: callers wait on through the front's death, and get what they asked for" {
	noise "$T/noise" 1000000
	attached one 16M
	dd if="$T/noise" of="$(volume one)" bs=1M conv=notrunc,fsync status=none
	kill_lamb lamb
	client cmp -n 1000000 "$T/noise" "$(volume one)"
	sleep 0.5
	kill_front
	sleep 0.5
	if gone "$client"; then
		fail "it did not wait: $(cat "$client_out")"
	fi
	same -rw------- "$(stat -c %A "$(volume one)")"
	start_lamb lamb
	wait_until 20 gone "$client"
	answered "$client" "$client_out"
}

@test "SIGTERM and umount after many deaths: nothing is left" {
	local n
	attached one 16M
	attached two 16M
	for n in 1 2 3 4 5 6; do
		kill_front
		sleep 2.2
	done
	same 2 "$(ls "$mnt/volume" | wc -l)"
	detach one
	stop_sheepfs
	same 0 "$exit_status"
	not_mounted "$mnt"
}

@test "one that dies at once, time and again, is the last: the mounts end" {
	local n
	attached one 16M
	for ((n = 0; n < 300; n++)); do
		if gone "$sheepfs_pid"; then
			break
		fi
		kill -KILL "$(front_pid)" 2>/dev/null || :
		sleep 0.1
	done
	wait_until 10 gone "$sheepfs_pid"
	not_mounted "$mnt"
	grep 'the front ended' "$sheepfs_log"
}
