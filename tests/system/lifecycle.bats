#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# shellcheck disable=SC2030,SC2031,SC2154 # tests are subshells; variables of lib.bash
#
# From the command line to the last umount: starting, stopping, and what is left by a crash.

load lib

setup() {
	begin_test 60
	start_lamb lamb
}

teardown() {
	end_test
}

# background OPTION...: starts it without -f; the daemon is remembered as mnt
background() {
	local pid status=0
	mkdir -p "$T/mnt"
	timeout 15 "$sheepfs_program" --log "$T/mnt.log" --uids "$(uid_range)" "$@" "$T/mnt" >"$T/start.out" 2>"$T/start.err" \
		3>&- </dev/null || status=$?
	for pid in $(masters_at "$T/mnt"); do
		sheepfs_pids[mnt]=$pid
		remember "$pid"
	done
	use_sheepfs mnt
	return "$status"
}

# Processes named sheepfs with this mount point as their last argument.
masters_at() {
	local file
	[ -n "$1" ] || fail "which mount point?"
	for file in /proc/[0-9]*/comm; do
		[ "$(cat "$file" 2>/dev/null)" = sheepfs ] || continue
		file=${file%/comm}
		[ "$(tr '\0' '\n' 2>/dev/null <"$file/cmdline" | tail -n 1)" = "$1" ] && echo "${file#/proc/}"
	done
	:
}

# nothing_left NAME...: of these sheepfs
nothing_left() {
	same '' "$(our_mounts fuse)"
	wait_until 3 no_confined
	same '' "$(masters_at "$mnt")"
	if [ -e /run/mount/utab ]; then
		run ! grep -F "TARGET=$T/" /run/mount/utab
	fi
}

# A line for people about it is in the log or on the terminal.
logged() {
	grep -q -- "$1" "$sheepfs_log" "$T/mnt.out" 2>/dev/null
}

@test "--help and --version" {
	local option
	for option in -h --help; do
		run -0 timeout 5 "$sheepfs_program" "$option"
		contains "$output" MOUNTPOINT
		contains "$output" --sheep
	done
	for option in -V --version; do
		run -0 timeout 5 "$sheepfs_program" "$option"
		contains "$output" sheepfs
		same 1 "${#lines[@]}"
	done
}

@test "it goes to the background when the mount serves, and lets go of the terminal" {
	background -s "$address"
	mounted "$mnt"
	tree_serves
	[ -n "$sheepfs_pid" ]
	same '' "$(cat "$T/start.err")"
	# of another session, with nothing of ours open
	run ! grep -E "^$sheepfs_pid .* $(ps -o sid= -p $$) *$" <(ps -o pid=,sid= -p "$sheepfs_pid")
	same '' "$(find "/proc/$sheepfs_pid/fd" -lname "$T/start.*")"
	attached one 16M
	stop_background
	nothing_left
}

stop_background() {
	kill -TERM "$sheepfs_pid"
	wait_until 15 gone "$sheepfs_pid"
}

@test "a failure before it serves is one line and a non-zero exit, also without -f" {
	use_sheepfs mnt
	run ! background -s "$address" --log "$T/no/log"
	same 1 "$(wc -l <"$T/start.err")"
	nothing_left
	run ! env SHEEPFS_LIBEXEC="$T/nowhere" timeout 10 "$sheepfs_program" -s "$address" "$T/mnt" 3>&-
	contains "$output" "$T/nowhere"
	same 1 "${#lines[@]}"
	nothing_left
}

# journalled FILE OPTION...: starts it as systemd does, with FILE for the journal
journalled() {
	local journal=$1
	shift
	mkdir -p "$T/mnt"
	JOURNAL_STREAM=${stream:-$(stat -L -c %d:%i "$journal")} "$sheepfs_program" -f --uids "$(uid_range)" "$@" "$T/mnt" \
		>"$T/start.out" 2>>"$journal" 3>&- </dev/null &
	sheepfs_pids[mnt]=$!
	remember "$!"
	use_sheepfs mnt
}

@test "a log that is the journal has levels, and leaves time and name to it" {
	: >"$T/journal.out"
	journalled "$T/journal.out" -s "$address" -d
	wait_until 10 serving mnt
	attached one 16M
	kill -KILL "$(worker_pid one)"
	wait_until 10 grep -q 'volume one goes on' "$T/journal.out"
	grep -q '^<4>volume one: generation 1 ended' "$T/journal.out"
	grep -q '^<6>mount one by user 0: ' "$T/journal.out"
	# what children say goes through the master, and has one level
	grep -q '^<7>worker one\[[0-9]*\]: [^<]' "$T/journal.out"
	same '' "$(grep -v '^<[3-7]>[^<]' "$T/journal.out")"
	same '' "$(grep "$(date +%Y-)" "$T/journal.out")"
	stop_sheepfs
	# from the first line on
	: >"$T/journal.out"
	SHEEPFS_LIBEXEC="$T/nowhere" journalled "$T/journal.out" -s "$address"
	wait_until 5 gone "$sheepfs_pid"
	grep -q "^<3>.*$T/nowhere" "$T/journal.out"
	: >"$T/journal.out"
	journalled "$T/journal.out" --timeout soon
	wait_until 5 gone "$sheepfs_pid"
	grep -q '^<3>--timeout: "soon"' "$T/journal.out"
	# the journal's, but not where descriptor 2 leads
	: >"$T/journal.out"
	stream=1:1 journalled "$T/journal.out" -s "$address"
	wait_until 10 serving mnt
	grep -q '^sheepfs: .* is served by process' "$T/journal.out"
}

@test "a journal that is not read stops nobody" {
	local n
	mkfifo "$T/journal"
	exec 8<>"$T/journal"
	journalled "$T/journal" -s "$address" -d
	wait_until 10 serving mnt
	attached one 16M
	# more than a pipe takes
	for n in {1..300}; do
		cat "$mnt/vdi/list" "$mnt/config/sheep_info" >"$T/table"
	done
	grep -q one "$T/table"
	# it is full
	same 0 "$(timeout 5 dd of="$T/journal" oflag=nonblock if=/dev/zero bs=4k count=1 status=none 2>/dev/null && echo 1 || echo 0)"
	stop_sheepfs
	exec 8>&-
	nothing_left
}

@test "the daemon need not be up at the start" {
	kill_lamb lamb
	start_sheepfs "$address" -t 2
	tree_serves
	refused vdi/mount one 'Connection timed out' "$address"
	start_lamb lamb
	attached one 16M
}

@test "-a and -p name one daemon, and 127.0.0.1:7000 is the default" {
	mkdir -p "$T/mnt"
	"$sheepfs_program" -f -a 127.0.0.1 -p "${lamb_ports[lamb]}" --uids "$(uid_range)" "$T/mnt" >"$T/mnt.out" 2>&1 3>&- &
	# shellcheck disable=SC2034 # of lib.bash
	sheepfs_pids[mnt]=$!
	use_sheepfs mnt
	wait_until 10 serving mnt
	attached one 16M
	contains "$(cat "$mnt/config/sheep_info")" "$address"
	run -0 "$sheepfs_program" --help
	contains "$output" 127.0.0.1:7000
}

@test "a daemon on a unix socket, and one after another on the list" {
	start_lamb second --unix "$T/second.sock"
	kill_lamb second
	start_lamb second --unix "$T/second.sock"
	start_sheepfs "127.0.0.1:$(free_port),unix:$T/second.sock"
	attached one 16M
	contains "$(cat "$mnt/config/sheep_info")" "$T/second.sock"
	dd if=/dev/urandom of="$(volume one)" bs=1M count=8 conv=notrunc status=none
}

@test "SIGTERM flushes, unmounts and leaves nothing" {
	start_sheepfs "$address"
	attached one 16M
	attached two 16M
	noise "$T/noise" 1000000
	dd if="$T/noise" of="$(volume one)" bs=1000000 conv=notrunc status=none
	stop_sheepfs
	same 0 "$exit_status"
	nothing_left
	"$rawsheep" "$address" read one 0 1000000 | cmp - "$T/noise"
}

@test "SIGINT does the same" {
	local status=0
	start_sheepfs "$address"
	attached one 16M
	kill -INT "$sheepfs_pid"
	wait_until 15 gone "$sheepfs_pid"
	wait "$sheepfs_pid" || status=$?
	same 0 "$status"
	nothing_left
}

@test "SIGTERM names what is still in use, and ends" {
	start_sheepfs "$address"
	attached one 16M
	attached two 16M
	client tail -f "$(volume one)"
	sleep 0.3
	stop_sheepfs
	nothing_left
	logged 'one.*use' || logged 'use.*one'
	run ! grep -E 'two.* in use' "$sheepfs_log"
	wait_until 5 test ! -e "$mnt/volume"
}

@test "SIGTERM while a daemon is mute ends in bounded time" {
	start_sheepfs "$address" -t 2
	attached one 16M
	dd if=/dev/urandom of="$(volume one)" bs=1M count=1 conv=notrunc status=none
	fault lamb mute
	client dd if="$(volume one)" of=/dev/null bs=4k count=1 status=none
	sleep 0.3
	stop_sheepfs
	nothing_left
	wait_until 5 gone "$client"
	fault lamb
}

@test "SIGTERM when the daemon has just died" {
	start_sheepfs "$address" -t 1
	attached one 16M
	attached two 16M
	dd if=/dev/urandom of="$(volume one)" bs=1M count=1 conv=notrunc status=none
	kill_lamb lamb
	stop_sheepfs
	same 0 "$exit_status"
	nothing_left
}

@test "volumes whose daemon is gone are detached by SIGTERM, too, and what waits for them ends" {
	start_sheepfs "$address" -t 1
	attached one 16M
	attached two 16M
	kill_lamb lamb
	wait_until 5 grep -q 'volume one: generation 1 ended' "$sheepfs_log"
	wait_until 5 grep -q 'volume two: generation 1 ended' "$sheepfs_log"
	client dd if="$(volume one)" of=/dev/null bs=4k count=1 status=none
	client tail -f "$(volume two)"
	sleep 0.5
	still_there "${clients[0]}"
	stop_sheepfs
	same 0 "$exit_status"
	nothing_left
	wait_until 5 gone "${clients[0]}"
	[ -s "$T/client-0.out" ] # it was told an error
}

@test "volumes that failed are detached by SIGTERM, too" {
	local name
	start_sheepfs "$address" -t 1
	for name in one two; do
		attached "$name" 16M
	done
	# shellcheck disable=SC2016 # the inner shell's variable
	client bash -c 'exec sleep 1000 <"$1"' holder "$(volume two)"
	sleep 0.3
	for name in one two; do
		"$rawsheep" "$address" delete "$name"
		kill -KILL "$(worker_pid "$name")"
		wait_until 10 grep -q "volume $name has failed" "$sheepfs_log"
	done
	fails_with 'Input/output error' dd if="$(volume one)" of=/dev/null bs=4k count=1
	stop_sheepfs
	same 0 "$exit_status"
	nothing_left
}

@test "a stale mount of a crash is cleaned up at the next start" {
	start_sheepfs "$address"
	attached one 16M
	kill -KILL "$sheepfs_pid"
	wait_until 5 gone "$sheepfs_pid"
	wait_until 5 no_confined
	fails_with 'Transport endpoint is not connected' ls "$mnt/vdi"
	mounted "$mnt"
	start_sheepfs "$address"
	tree_serves
	same '' "$(ls "$mnt/volume")"
	same 1 "$(our_mounts fuse | wc -l)"
	logged 'cleaned up'
}

@test "a mount point of something else is refused" {
	mkdir -p "$T/mnt"
	mount -t tmpfs tmpfs "$T/mnt"
	run ! background -s "$address"
	same 1 "$(wc -l <"$T/start.err")"
	contains "$(cat "$T/start.err")" "$T/mnt"
	contains "$(cat "$T/start.err")" tmpfs
	umount "$T/mnt"
	same '' "$(our_mounts)"
}

@test "a mount point that a living sheepfs serves is refused, and goes on serving" {
	start_sheepfs "$address"
	attached one 16M
	run ! timeout 10 "$sheepfs_program" -s "$address" --uids "$(uid_range)" "$mnt" 3>&-
	contains "$output" "$mnt"
	same 1 "${#lines[@]}"
	tree_serves
	dd if="$(volume one)" of=/dev/null bs=4k count=1 status=none
	same 2 "$(our_mounts fuse | wc -l)"
}

@test "a mount point that is a file or is not there is refused" {
	touch "$T/file"
	run ! timeout 10 "$sheepfs_program" -s "$address" "$T/file" 3>&-
	contains "$output" "$T/file"
	run ! timeout 10 "$sheepfs_program" -s "$address" "$T/nosuch" 3>&-
	contains "$output" "$T/nosuch"
}

@test "a plain user is told that root is needed" {
	need setpriv
	mkdir -p "$T/mnt"
	run ! setpriv --reuid=65533 --regid=65533 --clear-groups timeout 10 "$sheepfs_program" -s "$address" "$T/mnt" 3>&-
	contains "$output" root
}

@test "umount MOUNTPOINT without volumes ends it" {
	start_sheepfs "$address"
	timeout 10 umount "$mnt"
	wait_until 10 gone "$sheepfs_pid"
	wait "$sheepfs_pid"
	nothing_left
}

@test "umount MOUNTPOINT with volumes takes them down with it" {
	local helper=$build/packaging/umount.sheepfs
	[ -x "$helper" ] || helper=$BATS_TEST_DIRNAME/../../packaging/umount.sheepfs
	test -x "$helper"
	grep -q overlay /proc/filesystems || skip "this kernel has no overlay"
	mkdir "$T/helper"
	cp "$helper" "$T/helper/umount.sheepfs"
	# where umount(8) looks for it, in a mount namespace of the test's own
	cat >"$T/script" <<-EOT
		set -e
		. "$BATS_TEST_DIRNAME/lib.bash"
		T=$T uid_next=$uid_next
		declare -A sheepfs_pids
		mount -t overlay overlay -o "lowerdir=$T/helper:\$(readlink -f /sbin)" "\$(readlink -f /sbin)"
		start_sheepfs "$address"
		attached one 16M
		attached two 16M
		dd if=/dev/urandom of="\$(volume one)" bs=1M count=2 conv=notrunc status=none
		timeout 20 umount "\$mnt"
		wait_until 10 gone "\$sheepfs_pid"
		wait "\$sheepfs_pid"
		not_mounted "\$mnt"
		[ -z "\$(our_mounts fuse)" ]
		echo all down
	EOT
	sed -i 's/bats_require_minimum_version/:/' "$T/script"
	run -0 timeout 50 unshare --mount --propagation private bash -c "bats_require_minimum_version() { :; }; . '$T/script'" 3>&-
	contains "$output" 'all down'
	wait_until 3 no_confined
}

@test "umount MOUNTPOINT while a volume is in use is refused, and it goes on" {
	start_sheepfs "$address"
	attached one 16M
	client tail -f "$(volume one)"
	sleep 0.3
	run ! timeout 10 umount "$mnt"
	tree_serves
	dd if="$(volume one)" of=/dev/null bs=4k count=1 status=none
	kill "$client" 2>/dev/null || :
}

@test "umount -R takes everything down" {
	start_sheepfs "$address"
	attached one 16M
	timeout 10 umount -R "$mnt"
	wait_until 10 gone "$sheepfs_pid"
	wait "$sheepfs_pid"
	nothing_left
}

@test "the cluster worker's end disturbs nobody, and the next command has a new one" {
	start_sheepfs "$address"
	attached one 16M
	kill -KILL "$(cluster_pid)"
	dd if=/dev/urandom of="$(volume one)" bs=1M count=2 conv=notrunc status=none
	wait_until 5 grep -q one "$mnt/vdi/list"
	attached two 16M
}

@test "when the master is killed, nobody of its own survives it" {
	start_sheepfs "$address"
	attached one 16M
	client tail -f "$(volume one)"
	sleep 0.2
	kill -KILL "$sheepfs_pid"
	wait_until 3 no_confined
	wait_until 3 fails_with '' stat -f "$mnt"
	kill "$client" 2>/dev/null || :
	umount -l "$(volume one)"
	umount "$mnt"
}

@test "two of them side by side" {
	start_sheepfs "$address"
	attached one 16M
	start_sheepfs -n second "$address"
	attached two 16M
	same two "$(ls "$mnt/volume")"
	stop_sheepfs second
	use_sheepfs mnt
	same one "$(ls "$mnt/volume")"
	dd if=/dev/urandom of="$(volume one)" bs=1M count=2 conv=notrunc status=none
}
