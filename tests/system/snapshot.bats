#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# shellcheck disable=SC2030,SC2031,SC2034,SC2154 # tests are subshells; variables of lib.bash
#
# vdi/snapshot and vdi/clone: of attached and detached volumes, under load, on lamb and on a real
# cluster.  A snapshot holds exactly what was acknowledged before it; an ext4 on a clone of it is whole.

load lib
load real
load writer

setup() {
	begin_test 120
}

teardown() {
	stop_writer
	end_test
	real_stop
}

on_lamb() {
	start_lamb lamb
	start_sheepfs "$address"
}

on_real_cluster() {
	real_need
	real_start 3 2 "$T"
	start_sheepfs "$real_address"
}

# snapshots_under_load VOLUME: each is the writer's past, also after later ones
snapshots_under_load() {
	local n before=() after=()
	start_writer "$(volume "$1")"
	for n in 1 2 3; do
		before[n]=$(cat "$T/acked")
		order vdi/snapshot "$1 s$n"
		after[n]=$(($(cat "$T/acked") + 1)) # one more may be on its way into that file
		wait_until 20 acked $((after[n] + 30))
	done
	stop_writer
	for n in 1 2 3; do
		attach "$1@s$n"
		holds "$(volume "$1@s$n")" "${before[n]}" "${after[n]}"
		order vdi/clone "$1@s$n clone$n"
		attach "clone$n"
		cmp "$(volume "$1@s$n")" "$(volume "clone$n")"
	done
	holds "$(volume "$1")" "$(cat "$T/acked")" "$(cat "$T/acked")"
	# and after another attach
	detach "$1"
	attach "$1"
	holds "$(volume "$1")" "$(cat "$T/acked")" "$(cat "$T/acked")"
}

@test "snapshots under load hold what was acknowledged before, and nothing later" {
	on_lamb
	attached disk 64M object_size=1M
	snapshots_under_load disk
}

@test "the same on a real cluster; dog agrees" {
	local n
	on_real_cluster
	attached disk 64M object_size=1M
	snapshots_under_load disk
	for n in 1 2 3; do
		real_dog vdi read -s "s$n" disk 0 67108864 >"$T/raw"
		cmp "$T/raw" "$(volume "disk@s$n")"
		real_check -s "s$n" disk
		real_check "clone$n"
	done
	real_check disk
	# each was one snapshot, and the volume is the only working VDI of its name
	same 3 "$(real_dog vdi list -r disk | grep -c ^s)"
	same 1 "$(real_dog vdi list -r disk | grep -vc ^s)"
}

# ---- fio at depth 16 ----

deep=(--ioengine=libaio --direct=1 --iodepth=16 --bsrange=512-4k --do_verify=0)

# deep_snapshots VOLUME SIZE: one amid each of some rounds of fio, of whose writes each is logged with its time
deep_snapshots() {
	local n before=() after=()
	fio_round_here 1 "$@" "${deep[@]}"
	for n in 2 3 4; do
		client fio_round "$n" "$@" "${deep[@]}" --write_lat_log="$T/round$n" --log_offset=1 --log_unix_epoch=1
		sleep "0.$((RANDOM % 4 + 6))"
		before[n]=$(date +%s%3N)
		order vdi/snapshot "$1 r$n"
		after[n]=$(date +%s%3N)
		wait_until 60 gone "$client"
		wait "$client" || fail "fio: status $?: $(cat "$client_out")"
	done
	for n in 2 3 4; do
		attach "$1@r$n"
		holds_acknowledged "$(volume "$1@r$n")" "$n" "${before[n]}" "${after[n]}"
	done
	fio_round_here 4 "$@" "${deep[@]}" --verify_only --do_verify=1
}

fio_round_here() {
	(fio_round "$@")
}

# holds_acknowledged FILE N BEFORE AFTER: all that round N's log says was acknowledged before that millisecond, and nothing
# that was begun after the other one; of the rest, whole sectors of this round or of the last
holds_acknowledged() {
	od -An -v -w512 -tu4 --endian=little "$1" | awk -v n="$2" -v before="$3" -v after="$4" -v log_file="$T/round$2_lat.1.log" '
		# its three words again and again: the offset of the write (of less than 16 MB), 0, and the round, first byte first
		function round_of_sector(i, found) {
			for (i = 4; i <= NF; i++)
				if ($i != $(i - 3))
					return "torn"
			for (i = 1; i <= 3; i++)
				if ($i >= 16777216)
					found = $i / 16777216
			return found
		}
		BEGIN {
			while ((getline line <log_file) > 0) {
				split(line, f, /, */)
				for (sector = f[5] / 512; sector < (f[5] + f[4]) / 512; sector++) {
					if (f[1] < before - 1)
						wanted[sector] = n
					else if (f[1] - f[2] / 1e6 > after + 1)
						wanted[sector] = n - 1
				}
			}
		}
		{
			sector = NR - 1
			found = round_of_sector()
			known[wanted[sector]]++
			if (wanted[sector] ? found != wanted[sector] : found != n && found != n - 1) {
				print "sector " sector " is " found ", not of round " (wanted[sector] ? wanted[sector] : n)
				exit bad = 1
			}
		}
		END {
			if (bad)
				exit 1
			printf "round %d: %d sectors were acknowledged before, %d begun after, %d between\n", n, known[n], known[n - 1], known[""]
			exit !(known[n] > 100 && known[n - 1] > 100)
		}' >"$T/sectors" || fail "$1: $(cat "$T/sectors")"
	tell "$(cat "$T/sectors")"
}

@test "under fio at depth 16 each snapshot holds what was acknowledged before, and nothing later" {
	need fio
	on_lamb
	attached disk 16M object_size=1M
	fault lamb delay=write:3
	deep_snapshots disk 16M
}

@test "under fio at depth 16, on a real cluster; dog agrees" {
	local n
	need fio
	on_real_cluster
	attached disk 16M object_size=1M
	deep_snapshots disk 16M
	for n in 2 3 4; do
		real_dog vdi read -s "r$n" disk 0 16777216 | cmp - "$(volume "disk@r$n")"
		real_check -s "r$n" disk
	done
	real_check disk
}

# ---- a file system ----

# filesystem_under_load: an ext4 on a loop device, files being made all the time
filesystem_under_load() {
	local n
	attached disk 256M
	mkfs.ext4 -q -F "$(volume disk)"
	mkdir -p "$T/disk" "$T/clone"
	mount -o loop "$(volume disk)" "$T/disk"
	client files "$T/disk"
	writer_pid=$client
	for n in 1 2; do
		sleep 1.5
		noise "$T/disk/synced$n" 3000000
		sync "$T/disk/synced$n"
		order vdi/snapshot "disk fs$n"
		order vdi/clone "disk@fs$n fsclone$n"
	done
	sleep 0.5
	stop_writer
	wait "$client" || fail "the writer failed: $(cat "$client_out")"
	for n in 1 2; do
		attach "fsclone$n"
		# its mount replays the journal; then nothing is to be mended
		mount -o loop "$(volume "fsclone$n")" "$T/clone"
		cmp "$T/disk/synced$n" "$T/clone/synced$n"
		[ "$n" = 2 ] || [ ! -e "$T/clone/synced2" ] || fail "the first snapshot holds what came after it"
		unmount_disk_of_clone
		e2fsck -fn "$(volume "fsclone$n")"
	done
	unmount_disk "$T/disk"
	e2fsck -fn "$(volume disk)"
}

# Its loop device goes a little later; the other disk's stays.
unmount_disk_of_clone() {
	umount "$T/clone"
	wait_until 10 one_loop
}

one_loop() {
	[ "$(our_loops | wc -l)" = 1 ]
}

@test "an ext4 on a clone of a snapshot that was taken under load is whole" {
	on_lamb
	filesystem_under_load
}

@test "the same on a real cluster" {
	on_real_cluster
	filesystem_under_load
	real_check disk
	real_check fsclone2
}

@test "fio verify goes on while snapshots are taken" {
	need fio
	on_lamb
	attached disk 32M object_size=1M
	client timeout 60 fio --name=disk --filename="$(volume disk)" --rw=randrw --bsrange=512-256k --blockalign=512 \
		--verify=crc32c --ioengine=libaio --direct=1 --iodepth=16 --size=32M --time_based --runtime=8
	for n in 1 2 3 4 5; do
		sleep 1
		order vdi/snapshot "disk n$n"
	done
	wait_until 30 gone "$client"
	grep -q 'err= 0' "$client_out"
}

# ---- detached ----

# Under load: another volume is written all the time.
detached() {
	attached other 64M object_size=1M
	start_writer "$(volume other)"
	create disk 16M object_size=1M
	attach disk
	noise "$T/noise" 5000000
	dd if="$T/noise" of="$(volume disk)" bs=1M conv=notrunc,fsync status=none
	detach disk
	order vdi/snapshot 'disk monday%20noon'
	contains "$sentence" 'snapshot disk@monday%20noon was taken'
	attach disk
	dd if=/dev/zero of="$(volume disk)" bs=1M count=16 conv=notrunc,fsync status=none
	attach disk@monday%20noon
	cmp -n 5000000 "$T/noise" "$(volume disk@monday%20noon)"
	order vdi/clone 'disk@1 a%2Fcopy'
	contains "$sentence" 'volume a%2Fcopy was created, a clone of snapshot disk@1'
	attach a%2Fcopy
	cmp "$(volume disk@monday%20noon)" "$(volume a%2Fcopy)"
	# a clone of a clone's snapshot
	dd if="$T/noise" of="$(volume a%2Fcopy)" bs=1000 seek=7000 count=100 conv=notrunc,fsync status=none
	order vdi/snapshot 'a%2Fcopy %37'
	order vdi/clone 'a%2Fcopy@%37 third'
	attach third
	cmp "$(volume third)" "$(volume a%2Fcopy)"
	stop_writer
	holds "$(volume other)" "$(cat "$T/acked")" "$(cat "$T/acked")"
}

@test "of volumes that are not attached; clones of clones; odd names" {
	on_lamb
	detached
}

@test "the same on a real cluster; locks follow the volume" {
	local locks
	on_real_cluster
	detached
	real_dog vdi read -s 'monday noon' disk 0 16777216 | cmp - "$(volume disk@monday%20noon)"
	real_dog vdi read a/copy 0 16777216 | cmp - "$(volume a%2Fcopy)"
	for name in disk a/copy third; do
		real_check "$name"
	done
	real_check -s 'monday noon' disk
	same 's =' "$(real_dog vdi list -r a/copy | cut -c1 | tr '\n' ' ' | sed 's/ $//')"
	# the lock of an attached volume is its working VDI's, before and after
	order vdi/snapshot 'disk tuesday'
	locks=$(real_dog vdi lock list)
	same "$(grep -c '^  disk ' <<<"$locks")" 1
	contains "$(grep '^  disk ' <<<"$locks")" "$(real_dog vdi list -r disk | awk '$1 == "=" { print $8 }')"
	run ! grep -E '^  disk .*(monday|tuesday)' <<<"$locks"
	detach disk
	run ! grep '^  disk ' < <(real_dog vdi lock list)
}

# ---- what cannot be ----

@test "refusals name what is wrong, and change nothing" {
	on_lamb
	attached disk 16M
	order vdi/snapshot 'disk one'
	cp "$mnt/vdi/list" "$T/before"
	refused vdi/snapshot 'disk one' 'File exists' disk@one
	refused vdi/snapshot 'nosuch one' 'No such file or directory' nosuch
	refused vdi/snapshot 'disk' 'Invalid argument' 'a tag'
	refused vdi/snapshot 'disk 7' 'Invalid argument' '%31'
	refused vdi/snapshot 'disk@one two' 'Invalid argument' 'NAME TAG'
	refused vdi/clone 'disk copy' 'Invalid argument' 'NAME@TAG'
	refused vdi/clone 'disk@two copy' 'No such file or directory' disk@two
	refused vdi/clone 'disk@9 copy' 'No such file or directory' disk@9
	refused vdi/clone 'disk@one disk' 'File exists' disk
	refused vdi/clone 'disk@one a b' 'Invalid argument' 'a b'
	refused vdi/create 'new 1G copies=40' 'Invalid argument' 40
	refused vdi/create 'new 1G copies=3:1' 'Invalid argument' '4:2'
	refused vdi/create 'new 1G copies=2:1' 'Invalid argument' 'the cluster has 1'
	detach disk
	refused vdi/snapshot 'disk one' 'File exists' disk@one
	cmp "$T/before" "$mnt/vdi/list"
	for file in snapshot clone; do
		contains "$(cat "$mnt/vdi/$file")" "usage: echo NAME"
		same 600 "$(stat -c %a "$mnt/vdi/$file")"
	done
}

@test "a volume that has failed takes no snapshot" {
	on_lamb
	attached disk 16M
	"$rawsheep" "$address" delete disk
	kill -KILL "$(worker_pid disk)"
	wait_until 10 grep -q 'volume disk has failed' "$sheepfs_log"
	refused vdi/snapshot 'disk one' 'Input/output error' 'vdi/unmount'
	detach disk
	attached disk 16M
	order vdi/snapshot 'disk one'
}

@test "a volume whose daemon is gone is snapshotted when there is one again" {
	on_lamb
	attached disk 16M
	noise "$T/noise" 1000000
	dd if="$T/noise" of="$(volume disk)" bs=1M conv=notrunc,fsync status=none
	kill_lamb lamb
	wait_until 10 grep -q 'volume disk: generation 1 ended' "$sheepfs_log"
	client order vdi/snapshot 'disk one'
	sleep 1
	still_there "$client"
	start_lamb lamb
	wait_until 20 gone "$client"
	contains "$(cat "$client_out")" 'snapshot disk@one was taken'
	dd if=/dev/zero of="$(volume disk)" bs=1M count=1 conv=notrunc,fsync status=none
	attach disk@one
	cmp -n 1000000 "$T/noise" "$(volume disk@one)"
	cmp -n 1000000 /dev/zero "$(volume disk)"
}

@test "a worker that dies while it takes one: the next one finds it, and it is taken once" {
	on_lamb
	attached disk 16M
	fault lamb delay=new-vdi:1500
	client order_in_background vdi/snapshot 'disk one'
	sleep 0.5
	kill -KILL "$(worker_pid disk)"
	wait_until 20 gone "$client"
	contains "$(cat "$client_out")" 'snapshot disk@one was taken'
	fault lamb
	# it was executed all the same, once
	same 1 "$(grep -c '^s disk ' "$mnt/vdi/list")"
	dd if=/dev/zero of="$(volume disk)" bs=1M count=1 conv=notrunc,fsync status=none
	refused vdi/snapshot 'disk one' 'File exists' disk@one
	detach disk
	attach disk@one
}

# dies_at_the_lock: the worker is killed while the lock of the successor is asked for
dies_at_the_lock() {
	on_lamb
	attached disk 16M
	noise "$T/noise" 1000000
	dd if="$T/noise" of="$(volume disk)" bs=1M conv=notrunc,fsync status=none
	fault lamb delay=lock-vdi:1500
	client order_in_background vdi/snapshot 'disk one'
	wait_until 10 grep -q 'snapshot disk@one was taken' "$sheepfs_log"
	sleep 0.3
	kill -KILL "$(worker_pid disk)"
	wait_until 20 gone "$client"
	contains "$(cat "$client_out")" 'snapshot disk@one was taken'
}

@test "a worker that dies while it takes the lock of what the volume has become: the next one takes it" {
	dies_at_the_lock
	fault lamb
	wait_until 10 went_on disk 1
	dd if="$(volume disk)" bs=1M count=1 status=none | cmp -n 1000000 "$T/noise" -
	wait_until 10 grep -q 'volume disk: generation 1 is settled' "$sheepfs_log"
	start_sheepfs -n other "$address"
	refused vdi/mount disk 'Device or resource busy' 'lock'
	use_sheepfs mnt
	same 1 "$(grep -c '^s disk ' "$mnt/vdi/list")"
	detach disk
	use_sheepfs other
	attach disk
	cmp -n 1000000 "$T/noise" "$(volume disk)"
}

# Who asks for a lock says so before: what the dead one had is not taken for somebody else's.
@test "the same, when the dead one had it: the next one knows that it is ours" {
	dies_at_the_lock
	wait_until 20 went_on disk 1
	fault lamb
	cmp -n 1000000 "$T/noise" "$(volume disk)"
	same 1 "$(grep -c '^s disk ' "$mnt/vdi/list")"
	detach disk
	# and given back with it
	attach disk
	cmp -n 1000000 "$T/noise" "$(volume disk)"
}

order_in_background() {
	order "$@" || :
}

@test "many commands on one volume at once run one after the other" {
	local n pids=()
	on_lamb
	attached disk 16M
	for n in 1 2 3 4 5 6; do
		order vdi/snapshot "disk t$n" >"$T/order$n.out" 2>&1 3>&- &
		pids+=("$!")
	done
	order vdi/clone 'disk@1 early' >"$T/early.out" 2>&1 3>&- &
	pids+=("$!")
	order vdi/unmount disk >"$T/unmount.out" 2>&1 3>&- &
	pids+=("$!")
	for n in "${pids[@]}"; do
		wait "$n" || :
	done
	cat "$T"/order?.out "$T/early.out" "$T/unmount.out"
	same 6 "$(cat "$T"/order?.out | grep -c 'was taken')"
	contains "$(cat "$T/unmount.out")" 'done'
	same 6 "$(grep -c '^s disk ' "$mnt/vdi/list")"
	same 1 "$(grep -c '^  disk ' "$mnt/vdi/list")"
}

@test "a stop that comes while a snapshot is taken finishes it" {
	on_lamb
	attached disk 16M
	fault lamb delay=new-vdi:800
	client order_in_background vdi/snapshot 'disk one'
	sleep 0.3
	stop_sheepfs
	same 0 "$exit_status"
	fault lamb
	start_sheepfs "$address"
	same 1 "$(grep -c '^s disk ' "$mnt/vdi/list")"
	attach disk # its lock was released
}

# ---- copies ----

@test "copies and erasure codes on a real cluster" {
	need fio
	on_real_cluster
	create one 16M copies=1
	create three 16M copies=3 object_size=1M
	create ec 16M copies=2:1
	create default 16M
	refused vdi/create 'wide 16M copies=4:2' 'Invalid argument' 'needs 4 nodes'
	same 1 "$(real_dog vdi list -r one | cut -d' ' -f9)"
	same 3 "$(real_dog vdi list -r three | cut -d' ' -f9)"
	same 2:1 "$(real_dog vdi list -r ec | cut -d' ' -f9)"
	same 2 "$(real_dog vdi list -r default | cut -d' ' -f9)"
	for name in one three ec; do
		attach "$name"
		timeout 60 fio --name="$name" --filename="$(volume "$name")" --rw=randwrite --bs=64k --verify=crc32c \
			--do_verify=1 --ioengine=libaio --direct=1 --iodepth=8 --size=16M >"$T/fio.out" 2>&1
		grep -q 'err= 0' "$T/fio.out"
	done
	order vdi/snapshot 'ec frozen'
	order vdi/clone 'ec@frozen ec2'
	attach ec2
	cmp "$(volume ec2)" "$(volume ec)"
	same 2:1 "$(real_dog vdi list -r ec2 | cut -d' ' -f9)"
}
