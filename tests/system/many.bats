#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# shellcheck disable=SC2030,SC2031,SC2154 # tests are subshells; variables of lib.bash
#
# Two hundred volumes: all attached at once, I/O on all, all detached, and nothing is left; twice, with
# exactly as many uids as that takes.

load lib

count=200

setup() {
	begin_test 240
	start_lamb lamb
	# front, cluster worker, lamb, and one for each volume
	start_sheepfs "$address" --uids "$uid_first-$((uid_first + count + 2))"
	for n in $(seq "$count"); do
		echo "v$n 16M" >"$mnt/vdi/create"
	done
	front=$(front_pid)
}

teardown() {
	end_test
}

# at_once FUNCTION: for all numbers, 20 at a time
at_once() {
	local n pids=()
	for n in $(seq "$count"); do
		"$1" "$n" 3>&- &
		pids+=("$!")
		if [ ${#pids[@]} = 20 ]; then
			wait_for "${pids[@]}"
			pids=()
		fi
	done
	wait_for "${pids[@]}"
}

wait_for() {
	local pid
	for pid in "$@"; do
		wait "$pid"
	done
}

attach_one() {
	echo "v$1" >"$mnt/vdi/mount"
}

detach_one() {
	echo "v$1" >"$mnt/vdi/unmount"
}

# What is written to a volume is its own number, at places that depend on it.
io_on_one() {
	yes "volume $1" | head -c 65536 >"$T/data$1"
	dd if="$T/data$1" of="$mnt/volume/v$1" bs=64k seek=$(($1 % 100)) count=1 oflag=direct conv=notrunc,fsync status=none
}

check_one() {
	dd if="$mnt/volume/v$1" bs=64k skip=$(($1 % 100)) count=1 iflag=direct status=none | cmp - "$T/data$1"
}

descriptors() {
	find "/proc/$1/fd" -mindepth 1 | wc -l
}

rss_kib() {
	awk '/^VmRSS/ { print $2 }' "/proc/$1/status"
}

volume_mounts() {
	our_mounts fuse | grep -c /volume/ || :
}

workers() {
	children sheepfs-worker volume | wc -l
}

no_workers() {
	[ "$(workers)" = 0 ]
}

back_to() {
	[ "$(descriptors "$1")" -le "$2" ]
}

@test "200 volumes: attach all, I/O on all, detach all, nothing left, and once more" {
	local round took before_front before_master rss_front rss_master
	before_front=$(descriptors "$front")
	before_master=$(descriptors "$sheepfs_pid")
	for round in 1 2 3; do
		took=$(now_ms)
		at_once attach_one
		took=$(($(now_ms) - took))
		same "$count" "$(volume_mounts)"
		same "$count" "$(workers)"
		same "$count" "$(find "$mnt/volume" -type f | wc -l)"
		at_once io_on_one
		at_once check_one
		tell "round $round: attached in $took ms; front: $(descriptors "$front") descriptors, $(rss_kib "$front") KiB; master:" \
			"$(descriptors "$sheepfs_pid") descriptors, $(rss_kib "$sheepfs_pid") KiB"
		at_once detach_one
		same 0 "$(volume_mounts)"
		wait_until 5 no_workers
		same '' "$(ls "$mnt/volume")"
		# front, cluster worker: nobody else runs under our users
		same 2 "$(our_confined | wc -l)"
		wait_until 5 back_to "$front" "$before_front"
		wait_until 5 back_to "$sheepfs_pid" "$before_master"
		# what the first round made warm may stay, no more
		if [ "$round" = 1 ]; then
			rss_front=$(rss_kib "$front") rss_master=$(rss_kib "$sheepfs_pid")
		fi
	done
	# AddressSanitizer keeps what is freed: there this says nothing
	if [ "${SHEEPFS_VARIANT:-plain}" = plain ]; then
		[ "$(rss_kib "$front")" -le $((rss_front + 1500)) ] ||
			fail "the front grew from $rss_front to $(rss_kib "$front") KiB"
		[ "$(rss_kib "$sheepfs_pid")" -le $((rss_master + 1500)) ] ||
			fail "the master grew from $rss_master to $(rss_kib "$sheepfs_pid") KiB"
	fi
	run ! grep -iE 'error|killed|failed' "$sheepfs_log"
	# the uids were given back, each: otherwise the second round had found none
	at_once attach_one
	same "$count" "$(children sheepfs-worker volume | xargs -I{} awk '/^Uid/ { print $2 }' /proc/{}/status | sort -u | wc -l)"
}
