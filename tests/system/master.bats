#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# shellcheck disable=SC2012,SC2030,SC2031,SC2154 # variables of lib.bash
#
# The master may be killed, restarted and replaced without an unmount: under something that keeps its descriptors, as
# systemd does (tests/lib/keeper.c plays that part), and with --replace.  Callers see a pause, and a command is done once.

load lib
load deaths
load keeper
load mapper
load writer

setup() {
	begin_test 170
	kernel_asks_again || skip "this kernel cannot ask another front what one did not answer"
	start_lamb a
	here=$address
}

teardown() {
	stop_writer
	find_master
	end_test
}

# load_begins: fio with checksums on one, direct and deep, and an ext4 on a loop device on two
load_begins() {
	need fio mkfs.ext4 losetup
	attached one 64M
	attached two 64M
	mkfs.ext4 -q -F -e remount-ro "$(volume two)"
	mkdir "$T/disk"
	mount -o loop "$(volume two)" "$T/disk"
	start_rounds one 24M --ioengine=libaio --direct=1 --iodepth=16
	direct=$client direct_out=$client_out
	client bash -c "while [ ! -e '$T/enough' ]; do dd if=/dev/urandom of='$T/disk/a' bs=64k count=16 conv=fsync status=none && cp '$T/disk/a' '$T/disk/b' || exit 1; done"
	buffered=$client buffered_out=$client_out
}

load_was_well() {
	still_there "$direct"
	still_there "$buffered"
	stop_rounds "$direct" "$direct_out"
	wait "$buffered" || fail "the writer died: $(cat "$buffered_out")"
	is_writable "$T/disk"
	unmount_disk "$T/disk"
	fsck.ext4 -fn "$(volume two)"
	never_failed
}

@test "20 deaths of the master under fio with checksums and an ext4 on a loop device: a pause each" {
	local n fds
	start_kept "$here"
	load_begins
	fds=$(own_descriptors one two)
	for ((n = 0; n < 20; n++)); do
		sleep "0.$((RANDOM % 8 + 1))"
		kill_master
	done
	load_was_well
	went_on one 20
	grep 'sheepfs was restarted' "$mnt/status/failovers"
	same 2 "$(ls "$mnt/volume" | wc -l)"
	wait_until 10 all_settled one
	# what is kept does not grow: the tree, the state, and for a volume its device and its connections
	sleep 1
	[ "$(own_descriptors one two)" -le $((fds + 8)) ]
	detach one
	detach two
	kill_master
	same 0 "$(ls "$mnt/volume" | wc -l)"
	grep -E 'started [0-9]+ with 2 descriptors' "$T/kept.out"
	stop_is_the_end
}

# state_names N: the living generation, with so many connections
state_names() {
	local fd
	for fd in "/proc/$sheepfs_pid/fd"/*; do
		if [[ $(readlink "$fd") == *memfd:sheepfs-state* ]]; then
			grep -aqE "^past 1 [0-9]+ .* $1\$" "$fd" && return
		fi
	done
	return 1
}

@test "connections that a slow daemon was given later are handed on with the first ones" {
	local writer
	[ "${SHEEPFS_VARIANT:-plain}" = plain ] || skip "sanitizers are too slow to keep a slow daemon busy"
	start_kept "$here"
	attached one 64M
	state_names 4
	fault a delay=write:10 delay=read:10
	client fio --name=deep --filename="$(volume one)" --rw=randwrite --bs=4k --ioengine=libaio --direct=1 --iodepth=32 \
		--size=48M --verify=crc32c --verify_fatal=1 --verify_state_save=0
	writer=$client
	wait_until 30 state_names 14
	kill_master
	wait_until 10 went_on one 1
	grep 'generation 1 is settled' "$sheepfs_log"
	run ! grep 'was not handed on' "$sheepfs_log"
	fault a
	wait_until 60 gone "$writer"
	wait "$writer"
	never_failed
	detach one
	stop_is_the_end
}

@test "one that dies while it takes over is followed by the next, and nothing is missing" {
	local n pid
	# a node of the same cluster, so that the state tells of members as well
	lamb_store=a start_lamb b
	start_kept "$here" --discover
	wait_until 10 grep -q 'members of the cluster that are targets' "$sheepfs_log"
	load_begins
	for ((n = 0; n < 24; n++)); do
		# the next one has a process at once; it serves some 30 ms later
		pid=$(<"$T/kept/pid")
		kill -KILL "$pid"
		wait_until 5 another_process "$pid"
		sleep "0.0$((n % 4))$((RANDOM % 10))"
		[ $((n % 6)) != 5 ] || sleep 1
	done
	wait_until 20 tree_is_served
	follow
	load_was_well
	same 2 "$(ls "$mnt/volume" | wc -l)"
	run ! grep 'was not handed on' "$sheepfs_log"
	detach one
	detach two
	stop_is_the_end
}

another_process() {
	[ "$(<"$T/kept/pid")" != "$1" ]
}

tree_is_served() {
	timeout 2 test -e "$T/mnt/vdi/mount"
}

@test "one that hangs is ended by the watchdog, and the next one goes on" {
	local n begin
	start_kept "$here"
	load_begins
	# one that is not silent is left alone
	sleep 8
	run ! grep watchdog "$T/kept.out"
	for n in 1 2; do
		begin=$(now_ms)
		kill -STOP "$sheepfs_pid"
		wait_until 40 ready_times $((n + 1))
		tell "the next one served $(($(now_ms) - begin)) ms after it had been stopped"
		grep "^the watchdog ends $sheepfs_pid: " "$T/kept.out"
		same "$n" "$(grep -c '^killed by signal 9' "$T/kept.out")"
		follow
		sleep 1
	done
	load_was_well
	went_on one 2
	same 2 "$(ls "$mnt/volume" | wc -l)"
	run ! grep 'was not handed on' "$sheepfs_log"
	detach one
	detach two
	stop_is_the_end
}

@test "a lamb of ours dies with the master: the connections to it are kept all the same, as evidence" {
	start_kept "lamb:$T/own"
	here=lamb:$T/own
	load_begins
	for _ in 1 2 3; do
		sleep 1
		kill_master
	done
	load_was_well
	went_on one 3
	run ! grep 'was not handed on' "$sheepfs_log"
	detach one
	detach two
	stop_is_the_end
}

@test "an end that comes during a handover is the end, for both" {
	local pid
	start_sheepfs "$here"
	attached one 16M
	fault a delay=new-vdi:3000
	asked vdi/create 'new 16M'
	sleep 0.3
	"$sheepfs_program" -f -s "$here" --log "$T/new.log" --uids "$(uid_range)" --replace "$T/mnt" \
		>"$T/new.out" 2>&1 3>&- </dev/null &
	pid=$!
	remember "$pid"
	wait_until 5 grep -q 'takes over' "$sheepfs_log"
	abort_connection "$(connection_of "$mnt")"
	wait_until 20 gone "$sheepfs_pid"
	wait_until 20 gone "$pid"
	# in order, and not by a signal
	exit_status=0
	wait "$sheepfs_pid" || exit_status=$?
	same 1 "$exit_status"
	! wait "$pid" || fail "it says that it took over"
	contains "$(cat "$T/new.out")" 'did not hand it over'
	not_mounted "$mnt"
	fault a
}

@test "SIGTERM after a death unmounts everything" {
	start_kept "$here"
	attached one 16M
	kill_master
	attach_is_refused_twice one
	stop_is_the_end
}

attach_is_refused_twice() {
	refused vdi/mount "$1" 'File exists' already
}

@test "20 replacements under load: a pause each; the old one ends, the new one has its options" {
	local n old
	start_sheepfs "$here"
	load_begins
	for ((n = 0; n < 20; n++)); do
		sleep "0.$((RANDOM % 5 + 1))"
		old=$sheepfs_pid
		replace "$here" --io-timeout "$n"
		wait_until 5 gone "$old"
		[ "$sheepfs_pid" != "$old" ]
	done
	load_was_well
	same 19 "$(cat "$mnt/config/io_timeout")"
	same 20 "$(grep -c 'takes over' "$sheepfs_log")"
	detach one
	detach two
	same 1 "$(grep -c "TARGET=$T/mnt " /run/mount/utab)"
	umount "$mnt"
	wait_until 10 gone "$sheepfs_pid"
}

@test "what is open, mapped, owned, written to a knob and was a result stays" {
	local fd
	noise "$T/noise" 3000000
	start_kept "$here"
	attached one 64M
	dd if="$T/noise" of="$(volume one)" bs=1M conv=notrunc,fsync status=none
	chmod 640 "$(volume one)"
	chown 1234:5678 "$(volume one)"
	order config/io_timeout 77
	order config/page_cache 1
	exec {fd}<>"$(volume one)"
	head -c 1000000 <&"$fd" | cmp -n 1000000 - "$T/noise"
	attached two 16M
	dd if="$T/noise" of="$(volume two)" bs=1M conv=notrunc,fsync status=none
	start_mapper "$(volume two)"
	mapping_before 1
	kill_master
	mapping_after 1 "$here" two "$T/noise"
	dd bs=1000000 count=1 status=none iflag=fullblock <&"$fd" | cmp - <(tail -c +1000001 "$T/noise" | head -c 1000000)
	mapping_before 2
	kill_master
	mapping_after 2 "$here" two "$T/noise"
	stop_mapper
	exec {fd}<&-
	same '640 1234 5678 67108864' "$(stat -c '%a %u %g %s' "$(volume one)")"
	same 77 "$(cat "$mnt/config/io_timeout")"
	same 1 "$(cat "$mnt/config/page_cache")"
	cmp -n 3000000 "$T/noise" "$(volume one)"
	detach one
	detach two
	stop_is_the_end
}

@test "commands in flight when the master dies are done once" {
	start_kept "$here"
	attached one 16M
	dd if=/dev/urandom of="$(volume one)" bs=1M count=4 conv=notrunc,fsync status=none
	fault a delay=new-vdi:1500
	asked vdi/snapshot 'one first'
	sleep 0.5
	kill_master
	answered "$client" "$client_out"
	contains "$(cat "$client_out")" 'one@first'
	same 1 "$(grep -c '^s one ' "$mnt/vdi/list")"
	asked vdi/create 'new 16M'
	sleep 0.5
	kill_master
	answered "$client" "$client_out"
	contains "$(cat "$client_out")" 'volume new was created'
	fault a
	same 1 "$(grep -c ' new ' "$mnt/vdi/list")"
	detach one
	stop_is_the_end
}

@test "members of the cluster that were learnt are targets of the next one, while the daemon that named them is gone" {
	local there
	lamb_store=a start_lamb b
	there=$address
	start_kept "$here" --discover
	attached one 16M
	wait_until 10 grep "members of the cluster that are targets.*: $there" "$sheepfs_log"
	kill_lamb a
	wait_until 20 served_by one "$there"
	kill_master
	wait_until 20 went_on one 2
	served_by one "$there"
	dd if=/dev/zero of="$(volume one)" bs=64k count=4 oflag=direct conv=notrunc status=none
}

@test "with commands that have begun a replacement waits; those that have not are the next one's" {
	start_sheepfs "$here"
	attached one 16M
	fault a delay=new-vdi:2000
	asked vdi/snapshot 'one first'
	local first=$client first_out=$client_out
	asked vdi/create 'new 16M'
	local second=$client second_out=$client_out
	asked vdi/snapshot 'one second'
	local third=$client third_out=$client_out
	sleep 0.5
	replace "$here"
	fault a
	answered "$first" "$first_out"
	answered "$second" "$second_out"
	answered "$third" "$third_out"
	same 2 "$(grep -c '^s one ' "$mnt/vdi/list")"
	same 1 "$(grep -c ' new ' "$mnt/vdi/list")"
	detach one
}

# helpers_with PROGRAM SCRIPT: a directory of helper programs, where PROGRAM is that script
helpers_with() {
	mkdir -p "$T/helpers"
	ln -sf "$SHEEPFS_LIBEXEC"/sheepfs-* "$T/helpers"
	rm "$T/helpers/$1"
	printf '#!/bin/bash\n%s\n' "$2" >"$T/helpers/$1"
	chmod 755 "$T/helpers/$1"
}

# in_vain WORD...: a replacement with these helpers fails, and the old one goes on
in_vain() {
	local old=$sheepfs_pid
	if SHEEPFS_LIBEXEC=$T/helpers timeout 60 "$sheepfs_program" -s "$here" --log "$T/new.log" --uids "$(uid_range)" \
		"$@" --replace "$T/mnt" 2>"$T/new.out" 3>&- </dev/null; then
		fail "it took over: $(cat "$T/new.log")"
	fi
	still_there "$old"
	wait_until 10 worker_row one
	tree_serves
}

@test "a new one that cannot serve is not missed: the old one goes on, whenever that ends" {
	local n pid
	start_sheepfs "$here"
	load_begins
	# its front dies at once, time and again
	helpers_with sheepfs-front 'exit 1'
	in_vain
	grep 'this one goes on' "$sheepfs_log"
	# its front hangs: it gives up, and its end unmounts nothing
	helpers_with sheepfs-front 'exec sleep 4'
	in_vain --timeout 1
	# it is killed or ended at any moment before it serves
	for n in 1 2 3 4 5 6; do
		SHEEPFS_LIBEXEC=$T/helpers "$sheepfs_program" -f -s "$here" --log "$T/new.log" --uids "$(uid_range)" \
			--replace "$T/mnt" >"$T/new.out" 2>&1 3>&- </dev/null &
		pid=$!
		sleep "0.0$n"
		# the one before may still be on its way down, and then this one is refused
		kill "-$([ $((n % 2)) = 0 ] && echo KILL || echo TERM)" "$pid" 2>/dev/null || :
		wait_until 10 gone "$pid"
		wait "$pid" 2>/dev/null || :
		still_there "$sheepfs_pid"
	done
	# one that can serve can still do it
	SHEEPFS_LIBEXEC=$build/libexec replace "$here"
	load_was_well
	detach one
	detach two
}

@test "one that hangs before it serves is killed, and the old one goes on" {
	local pid
	[ -n "${SHEEPFS_LONG:-}" ] || skip "it takes a minute: SHEEPFS_LONG=1"
	start_sheepfs "$here"
	attached one 16M
	helpers_with sheepfs-front 'exec sleep 60'
	SHEEPFS_LIBEXEC=$T/helpers "$sheepfs_program" -f -s "$here" --log "$T/new.log" --uids "$(uid_range)" --replace "$T/mnt" \
		>"$T/new.out" 2>&1 3>&- </dev/null &
	pid=$!
	remember "$pid"
	wait_until 10 grep 'takes over' "$sheepfs_log"
	sleep 0.5
	kill -STOP "$pid"
	wait_until 60 gone "$pid"
	wait "$pid" 2>/dev/null || :
	grep 'it did not serve in time; this one goes on' "$sheepfs_log"
	wait_until 10 went_on one 1
	dd if=/dev/zero of="$(volume one)" bs=4k count=1 conv=notrunc,fsync status=none
	detach one
}

# slow_lamb: a lamb that does not begin while $T/slow is there, and ends while $T/broken is
slow_lamb() {
	cat >"$T/slow-lamb" <<-END
		#!/bin/sh
		[ ! -e "$T/broken" ] || exit 1
		while [ -e "$T/slow" ]; do sleep 0.1; done
		exec "$lamb_program" "\$@"
	END
	chmod 755 "$T/slow-lamb"
}

@test "a new one whose lamb does not serve yet serves no other volume, either: the old one goes on when it ends" {
	local new acknowledged
	slow_lamb
	mkdir -m 0700 "$T/own"
	start_sheepfs "$here"
	attached one 64M object_size=1M
	start_writer "$(volume one)"
	: >"$T/slow"
	SHEEPFS_LAMB=$T/slow-lamb "$sheepfs_program" -f -s "$here,lamb:$T/own" -t 10 --log "$T/mnt.log" --uids "$(uid_range)" --replace "$T/mnt" \
		>"$T/new.out" 2>&1 3>&- </dev/null &
	new=$!
	remember "$new"
	clients+=("$new")
	wait_until 10 grep -q "is served by process $new" "$sheepfs_log"
	sleep 1.5
	# its callers wait: the old one does not know of another generation
	run ! went_on one 1
	kill -KILL "$new"
	wait_until 20 went_on one 1
	still_there "$sheepfs_pid"
	acknowledged=$(cat "$T/acked")
	wait_until 20 acked $((acknowledged + 40))
	stop_writer
	acknowledged=$(cat "$T/acked")
	holds "$(volume one)" "$acknowledged" "$acknowledged"
	never_failed
	rm "$T/slow"
}

@test "a lamb of ours that cannot start when another master goes on: the mounts stay, and it is tried again" {
	slow_lamb
	mkdir -m 0700 "$T/own"
	SHEEPFS_LAMB=$T/slow-lamb start_kept "lamb:$T/own"
	attached one 16M
	client dd if=/dev/urandom of="$(volume one)" bs=64k count=20000 oflag=direct conv=notrunc status=none
	: >"$T/broken"
	kill -KILL "$sheepfs_pid"
	wait_until 20 grep -q 'its lamb ended: .*; it is started again' "$sheepfs_log"
	follow
	mounted "$(volume one)"
	still_there "$client"
	rm "$T/broken"
	wait_until 30 went_on one 1
	never_failed
	kill "$client"
	wait_until 10 gone "$client"
	detach one
	stop_is_the_end
}

@test "root that connects to a sheepfs' socket and says nothing holds up no volume, and others for five seconds" {
	local begin
	start_sheepfs "$here"
	create one 16M
	# shellcheck disable=SC2016 # perl's variables
	client perl -MSocket -e 'socket(S, AF_UNIX, SOCK_SEQPACKET, 0) && connect(S, pack_sockaddr_un($ARGV[0])) || die $!;
		$| = 1; print "connected\n"; sysread(S, $_, 1); print "closed\n"' "/run/sheepfs/$(connection_of "$mnt").sock"
	wait_until 5 grep -q connected "$client_out"
	begin=$(now_ms)
	attach one
	detach one
	[ $(($(now_ms) - begin)) -lt 4000 ]
	still_there "$client"
	begin=$(now_ms)
	replace "$here"
	tell "it was replaced after $(($(now_ms) - begin)) ms"
	grep -q closed "$client_out"
	tree_serves
}

@test "who may not: others than root, a mount point without sheepfs, a service, a dead one" {
	need setpriv
	mkdir "$T/plain"
	run "$sheepfs_program" --replace "$T/plain"
	[ "$status" != 0 ]
	contains "$output" 'there is no sheepfs at'
	start_sheepfs "$here"
	run setpriv --reuid 1234 --clear-groups "$sheepfs_program" --replace "$T/mnt"
	[ "$status" != 0 ]
	contains "$output" 'need root'
	same '700 root' "$(stat -c '%a %U' /run/sheepfs)"
	local socket
	socket=/run/sheepfs/$(connection_of "$mnt").sock
	run setpriv --reuid 1234 --clear-groups ncat -U "$socket"
	[ "$status" != 0 ]
	stop_sheepfs
	[ ! -e "$socket" ]
	start_kept "$here"
	run timeout 20 "$sheepfs_program" -s "$here" --replace "$T/mnt"
	[ "$status" != 0 ]
	contains "$output" 'systemctl restart'
	tree_serves
	stop_is_the_end
}

@test "a state of another version is refused with a word, and the mounts end" {
	start_kept "$here"
	attached one 16M
	spoil_state
	kill -KILL "$sheepfs_pid"
	wait_until 20 ready_times 2
	follow
	grep 'it is of version 9, and this sheepfs knows version [0-9]* only' "$sheepfs_log"
	same 0 "$(ls "$mnt/volume" | wc -l)"
	attached two 16M
	detach two
	stop_is_the_end
}

# The head of the memory file, through the master's own descriptor.
spoil_state() {
	local fd
	for fd in "/proc/$sheepfs_pid/fd"/*; do
		if [[ $(readlink "$fd") == *memfd:sheepfs-state* ]]; then
			printf 'sheepfs-state 9' | dd of="$fd" bs=15 count=1 conv=notrunc status=none
			return
		fi
	done
	fail "there is no state"
}

@test "an attach that the master's death interrupts is done by the next one, or its lock is left and its caller hears that" {
	local n done=()
	start_kept "$here"
	for n in 1 2 3 4 5 6 7 8; do
		create "v$n" 16M
	done
	for n in 1 2 3 4 5 6 7 8; do
		asked vdi/mount "v$n"
		sleep "0.0$((RANDOM % 5))"
		kill_master
		if ! wait "$client"; then
			# between the lock and our record of it: nobody can know whose it is, and the sentence says so
			contains "$(cat "$client_out")" 'or by one that died'
			not_mounted "$(volume "v$n")"
			continue
		fi
		done+=("$n")
		mounted "$(volume "v$n")"
		dd if=/dev/zero of="$(volume "v$n")" bs=4k count=1 conv=notrunc,fsync status=none
	done
	[ ${#done[@]} -ge 5 ]
	for n in "${done[@]}"; do
		asked vdi/unmount "v$n"
		sleep "0.0$((RANDOM % 5))"
		kill_master
		answered "$client" "$client_out"
		not_mounted "$mnt/volume/v$n"
	done
	stop_is_the_end
}
