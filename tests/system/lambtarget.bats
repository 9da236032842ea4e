#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# shellcheck disable=SC2030,SC2031,SC2154 # tests are subshells; variables of lib.bash
#
# The target lamb:/store: sheepfs starts a lamb on that directory, confines it, starts it again when it
# dies, and ends it.

load lib

setup() {
	begin_test 60
}

teardown() {
	end_test
}

lamb_pid() {
	children --child
}

status() {
	awk -v field="$2:" '$1 == field { $1 = ""; print substr($0, 2) }' "/proc/$1/status"
}

store_uid() {
	stat -c %u "$T/store"
}

nothing_in_run() {
	[ -z "$(find /run -maxdepth 1 -name 'sheepfs.*' -newer "$T/fusectl" 2>/dev/null)" ]
}

@test "all that a person without a cluster needs" {
	start_sheepfs "lamb:$T/store"
	attached disk 256M
	noise "$T/noise" 20000000
	dd if="$T/noise" of="$(volume disk)" bs=1M conv=notrunc,fsync status=none
	cmp -n 20000000 "$T/noise" "$(volume disk)"
	order vdi/snapshot 'disk one'
	order vdi/clone 'disk@one two'
	attach two
	cmp -n 20000000 "$T/noise" "$(volume two)"
	same "lamb:$T/store" "$(cat "$mnt/config/sheep_info")"
	same 4 "$(wc -l <"$mnt/vdi/list")"
	contains "$(cat "$mnt/cluster/info")" 'running'
	# an orderly end, and all of it is there again
	stop_sheepfs
	same 0 "$exit_status"
	wait_until 5 no_confined
	nothing_in_run
	start_sheepfs "lamb:$T/store"
	attach disk
	cmp -n 20000000 "$T/noise" "$(volume disk)"
}

@test "it goes to the background when its lamb serves" {
	mkdir "$T/mnt"
	"$sheepfs_program" -s "lamb:$T/store" --log "$T/mnt.log" --uids "$(uid_range)" "$T/mnt"
	sheepfs_pids[mnt]=$(sed -n 's/.*is served by process //p' "$T/mnt.log")
	remember "${sheepfs_pids[mnt]}"
	use_sheepfs mnt
	grep "lamb:$T/store is served by lamb" "$sheepfs_log"
	create a 16M
}

@test "its lamb is another user, without a right, that sees the store and nothing else" {
	local pid set uid fd target
	start_sheepfs "lamb:$T/store"
	attached disk 16M
	pid=$(lamb_pid)
	uid=$((uid_first + 2))
	same "$uid $uid $uid $uid" "$(status "$pid" Uid)"
	same "$uid" "$(store_uid)"
	for set in CapInh CapPrm CapEff CapBnd CapAmb; do
		same 0000000000000000 "$(status "$pid" "$set")"
	done
	same 1 "$(status "$pid" NoNewPrivs)"
	same 2 "$(status "$pid" Seccomp)"
	same '' "$(status "$pid" Groups)"
	same "$(ls -A "$T/store")" "$(ls -A "/proc/$pid/root/")"
	same 1 "$(wc -l <"/proc/$pid/mountinfo")"
	same '0 0' "$(awk '/^Max processes/ { print $3, $4 }' "/proc/$pid/limits")"
	same lo "$(awk -F: 'NR > 2 { gsub(/ /, "", $1); print $1 }' "/proc/$pid/net/dev")"
	for set in net mnt pid ipc uts; do
		[ "$(readlink "/proc/$pid/ns/$set")" != "$(readlink "/proc/$sheepfs_pid/ns/$set")" ]
	done
	same 0 "$(stat -c %u "/proc/$pid/environ")" # it cannot be traced
	for fd in "/proc/$pid/fd"/*; do
		target=$(readlink "$fd")
		case $target in
		socket:* | pipe:* | anon_inode:* | /dev/null | / | /new | /nodes | /obj.1 | /obj.1/*) ;;
		*) fail "lamb holds $target" ;;
		esac
	done
	# volumes' workers come after it
	[ "$(status "$(worker_pid disk)" Uid | cut -d' ' -f1)" -gt "$uid" ]
	contains "$(ps -o args= -p "$pid")" "lamb --child $T/store"
}

@test "its death is one line and a new one; a volume goes on through that" {
	local n pid
	start_sheepfs "lamb:$T/store"
	attached disk 64M
	noise "$T/noise" 5000000
	dd if="$T/noise" of="$(volume disk)" bs=1M conv=notrunc,fsync status=none
	for n in 1 2 3; do
		pid=$(lamb_pid)
		kill -KILL "$pid"
		wait_until 5 another_lamb "$pid"
		same "$n" "$(grep -c 'its lamb ended: it was killed by signal 9' "$sheepfs_log")"
		cmp -n 5000000 "$T/noise" "$(volume disk)"
		went_on disk "$n"
		grep "volume disk goes on after .* generation $((n + 1)), through lamb:$T/store" "$sheepfs_log"
		noise "$T/noise" 5000000
		dd if="$T/noise" of="$(volume disk)" bs=1M conv=notrunc status=none
		cmp -n 5000000 "$T/noise" "$(volume disk)"
	done
	run ! grep 'volume disk has failed' "$sheepfs_log"
	detach disk
	attach disk
	cmp -n 5000000 "$T/noise" "$(volume disk)"
	# tables and commands find the new one by themselves
	contains "$(cat "$mnt/vdi/list")" disk
	create more 16M
}

another_lamb() {
	local pid
	pid=$(lamb_pid)
	[ -n "$pid" ] && [ "$pid" != "$1" ]
}

# pretender WORK: a program that is the real lamb, but does WORK in the second life of it
pretender() {
	cat >"$T/pretender" <<-END
		#!/bin/bash
		echo >>"$T/lives"
		if [ "\$(wc -l <"$T/lives")" = 2 ]; then
			$1
			sleep 1000
		fi
		exec "$lamb_program" "\$@"
	END
	chmod 755 "$T/pretender"
}

# replaced WORK WORD: the second lamb does WORK; the log has this WORD for it, and the third serves
replaced() {
	local pid
	pretender "$1"
	SHEEPFS_LAMB=$T/pretender start_sheepfs "lamb:$T/store"
	create before 16M
	pid=$(front_pid)
	kill -KILL "$(lamb_pid)"
	wait_until 10 grep -F "its lamb ended: $2" "$sheepfs_log"
	wait_until 10 twice_served
	create after 16M
	same 3 "$(wc -l <"$T/lives")"
	# nothing else gave way
	same "$pid" "$(front_pid)"
}

@test "a lamb that sends garbage is killed, and a new one serves" {
	replaced 'printf garbage >&3' 'a message of it was refused'
}

@test "a lamb that says what is not its to say is killed, and a new one serves" {
	# a head of a kind that there is not, and 16 KiB of nothing
	replaced 'head -c 16384 /dev/zero >&3' 'a message of it was refused'
}

@test "a lamb that dies again and again is started more and more slowly" {
	local pid last='' kills=0 end
	start_sheepfs "lamb:$T/store"
	end=$(($(now_ms) + 4000))
	while [ "$(now_ms)" -lt "$end" ]; do
		pid=$(lamb_pid)
		if [ -n "$pid" ] && [ "$pid" != "$last" ]; then
			# while it serves, which is no merit yet
			wait_until 5 grep -q "is served by lamb, process $pid" "$sheepfs_log"
			kill -KILL "$pid"
			last=$pid
			kills=$((kills + 1))
		fi
		sleep 0.01
	done
	# at once, then after 0.2, 0.4, 0.8 and 1.6 s
	[ "$kills" -ge 4 ] && [ "$kills" -le 6 ] || fail "it was started $kills times in 4 s"
	wait_until 10 another_lamb "$last"
	create a 16M
}

@test "it ends with sheepfs, however that ends" {
	local pid
	start_sheepfs "lamb:$T/store"
	pid=$(lamb_pid)
	kill -KILL "$sheepfs_pid"
	wait_until 5 gone "$pid"
	nothing_in_run
	wait_until 5 no_confined
	# the lock outlives the last lamb by a moment
	client flock "$T/store" -c 'echo held; exec sleep 0.5'
	wait_until 5 grep -q held "$client_out"
	start_sheepfs "lamb:$T/store" # cleans the mount up
	wait_until 10 lamb_serves
	create a 16M
	grep 'stale mount' "$sheepfs_log"
}

# That of the present sheepfs; what the mount point says may be the last one's.
lamb_serves() {
	grep -qF "sheepfs[$sheepfs_pid]: lamb:$T/store is served by lamb" "$sheepfs_log" && serving mnt
}

twice_served() {
	[ "$(grep -c 'is served by lamb' "$sheepfs_log")" = 2 ] && serving mnt
}

@test "a store that another user made is handed over, links and strangers are not" {
	start_lamb old
	"$rawsheep" "$address" create disk 16777216
	echo hello | "$rawsheep" "$address" write disk 0 6
	end_process "${lamb_pids[old]}" 10
	mv "$T/old.store" "$T/store"
	echo secret >"$T/secret"
	ln -s "$T/secret" "$T/store/link"
	ln "$T/secret" "$T/store/hard"
	same 0 "$(store_uid)"
	start_sheepfs "lamb:$T/store"
	same $((uid_first + 2)) "$(store_uid)"
	same 0 "$(find "$T/store" -type f -uid 0 ! -name hard | wc -l)"
	same 0 "$(stat -c %u "$T/secret")"
	attach disk
	same hello "$(head -c 5 "$(volume disk)")"
	stop_sheepfs
	# and root's lamb serves it as before
	mv "$T/store" "$T/old.store"
	start_lamb old
	"$rawsheep" "$address" list | grep disk
}

# not_started WORD OPTION...: it fails at its start, soon, with this in its words
not_started() {
	local word=$1 status=0 begin
	shift
	mkdir -p "$T/none"
	begin=$(now_ms)
	timeout 20 "$sheepfs_program" --uids "$(uid_range)" --log "$T/none.log" "$@" "$T/none" >"$T/none.out" 2>&1 ||
		status=$?
	[ "$status" != 0 ] || fail "it started: $*"
	[ $(($(now_ms) - begin)) -lt 2500 ] || fail "that took $(($(now_ms) - begin)) ms: $*"
	contains "$(cat "$T/none.out")" "$word"
	not_mounted "$T/none"
}

@test "stores that cannot be are refused at the start, by name" {
	local long
	mkdir "$T/full"
	echo precious >"$T/full/file"
	not_started "lamb:$T/full is not a lamb store and not empty (it holds \"file\")" -s "lamb:$T/full"
	same 0 "$(stat -c %u "$T/full")$(stat -c %u "$T/full/file" | tr -d 0)"
	not_started 'it is no directory' -s "lamb:$T/full/file"
	not_started 'make the directory above it' -s "lamb:$T/no/where"
	not_started 'begins with "/"' -s lamb:relative
	long=$(printf 'x%.0s' {1..130})
	not_started 'at most' -s "lamb:/$long"
	mkdir "$T/newer"
	printf 'lamb store 99\n' >"$T/newer/config"
	not_started 'made by another version of lamb' -s "lamb:$T/newer"
	SHEEPFS_LAMB=$T/nosuch not_started 'SHEEPFS_LAMB' -s "lamb:$T/store"
	# without such a target it is not needed
	SHEEPFS_LAMB=$T/nosuch start_sheepfs 127.0.0.1:1
}

@test "a store whose files have other names is not taken from their owner" {
	start_lamb old
	"$rawsheep" "$address" create disk 16777216
	end_process "${lamb_pids[old]}" 10
	cp -al "$T/old.store" "$T/links"
	not_started 'copy the store with cp -a' -s "lamb:$T/links"
	# nothing was changed
	same '' "$(find "$T/links" ! -uid 0)"
	cp -a "$T/links" "$T/copy"
	start_sheepfs "lamb:$T/copy"
	attach disk
	same '' "$(find "$T/links" ! -uid 0)"
	not_started 'is in use by another lamb' -s "lamb:$T/new,lamb:$T/new"
}

@test "a store serves one at a time" {
	start_lamb first
	not_started "is in use by another lamb" -s "lamb:$T/first.store"
	end_process "${lamb_pids[first]}" 10
	start_sheepfs "lamb:$T/first.store"
	not_started "is in use by another lamb" -s "lamb:$T/first.store"
	create still 16M
}

@test "beside other targets, in their order" {
	start_lamb other
	start_sheepfs "lamb:$T/store,$address"
	create here 16M
	contains "$(cat "$mnt/vdi/list")" here
	run ! grep here < <("$rawsheep" "$address" list)
	same "lamb:$T/store" "$(cat "$mnt/config/sheep_info")"
	stop_sheepfs
	start_sheepfs "127.0.0.1:1,lamb:$T/store"
	contains "$(cat "$mnt/vdi/list")" here
}

# on_store: all that its volumes may ask of it, in one life of the lamb of $T/store
on_store() {
	local pid
	start_sheepfs "lamb:$T/store"
	pid=$(lamb_pid)
	attached disk 64M
	noise "$T/noise" 20000000
	dd if="$T/noise" of="$(volume disk)" bs=1M conv=notrunc,fsync status=none
	dd if="$(volume disk)" bs=4M iflag=direct status=none | cmp -n 20000000 - "$T/noise"
	order vdi/snapshot 'disk one'
	# a part of an object that is the snapshot's from now on
	dd if=/dev/zero of="$(volume disk)" bs=4k count=1 seek=3 conv=notrunc,fsync status=none
	dd if=/dev/zero of="$T/noise" bs=4k count=1 seek=3 conv=notrunc status=none
	dd if="$(volume disk)" bs=4M iflag=direct status=none | cmp -n 20000000 - "$T/noise"
	order vdi/snapshot 'disk two'
	order vdi/clone 'disk@two more'
	attach more
	cmp -n 20000000 "$T/noise" "$(volume more)"
	same 5 "$(wc -l <"$mnt/vdi/list")"
	contains "$(cat "$mnt/node/info")" Total
	detach more
	detach disk
	same "$pid" "$(lamb_pid)"
	run ! grep -E 'its jail killed it|its lamb ended' "$sheepfs_log"
}

@test "all that volumes ask, on a store that is on a disk" {
	mkdir "$T/store"
	case $(stat -f -c %T "$T/store") in
	tmpfs | ramfs) skip 'temporary directories are in memory' ;;
	esac
	on_store
}

@test "all that volumes ask, on a store that is in memory" {
	mkdir "$T/store"
	mount -t tmpfs -o size=256M tmpfs "$T/store"
	on_store
	stop_sheepfs
	wait_until 5 no_confined
	umount "$T/store"
}

@test "fio verify through it" {
	need fio
	start_sheepfs "lamb:$T/store"
	attached disk 64M
	timeout 50 fio --name=disk --filename="$(volume disk)" --rw=randrw --bsrange=512-1M --blockalign=512 \
		--verify=crc32c --ioengine=libaio --direct=1 --iodepth=32 --size=64M >"$T/fio.out" 2>&1
	grep -q 'err= 0' "$T/fio.out"
	run ! grep -E 'its jail killed it|its lamb ended' "$sheepfs_log"
}
