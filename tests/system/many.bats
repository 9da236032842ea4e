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

# Whose descriptors and memory are counted: front, cluster worker, master, lamb.
watched() {
	echo "$front" "$(cluster_pid)" "$sheepfs_pid" "${lamb_pids[lamb]}"
}

@test "200 volumes: attach all, I/O on all, detach all, nothing left, and once more" {
	local round took pid names=(front 'the cluster worker' 'the master' lamb) n
	for n in $(seq "$count"); do
		echo "v$n 16M" >"$mnt/vdi/create"
	done
	n=0
	declare -A before=() warm=() name=() more=()
	for pid in $(watched); do
		more[$pid]=1500
		before[$pid]=$(descriptors "$pid")
		name[$pid]=${names[n++]}
	done
	same 4 "${#name[@]}"
	# its threads keep the memory of payloads, each as much as it once needed: warm a little later
	more[${lamb_pids[lamb]}]=20000
	for round in 1 2 3 4; do
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
		# lamb keeps objects open that were used, as many as it may
		[ "$round" != 1 ] || before[${lamb_pids[lamb]}]=$(descriptors "${lamb_pids[lamb]}")
		for pid in "${!before[@]}"; do
			wait_until 5 back_to "$pid" "${before[$pid]}"
			# what the first round made warm may stay, no more
			if [ "$round" = 1 ] || { [ "$round" -lt 4 ] && [ "$pid" = "${lamb_pids[lamb]}" ]; }; then
				warm[$pid]=$(rss_kib "$pid")
			fi
		done
	done
	# nobody was replaced in the meantime, so all of that was theirs
	same "$(tr ' ' '\n' <<<"${!before[*]}" | sort)" "$(watched | tr ' ' '\n' | sort)"
	# AddressSanitizer keeps what is freed: there this says nothing
	if [ "${SHEEPFS_VARIANT:-plain}" = plain ]; then
		for pid in "${!before[@]}"; do
			tell "${name[$pid]}: ${warm[$pid]} KiB when it was warm, $(rss_kib "$pid") KiB after the last round"
			[ "$(rss_kib "$pid")" -le $((warm[$pid] + more[$pid])) ] ||
				fail "${name[$pid]} grew from ${warm[$pid]} to $(rss_kib "$pid") KiB"
		done
	fi
	run ! grep -iE 'error|killed|failed' "$sheepfs_log"
	# the uids were given back, each: otherwise the second round had found none
	at_once attach_one
	same "$count" "$(children sheepfs-worker volume | xargs -I{} awk '/^Uid/ { print $2 }' /proc/{}/status | sort -u | wc -l)"
}

# What a worker keeps of the inode is as much as the volume's size needs: an entry of four bytes for each object.
@test "the worker of a volume of 1 TiB, all of it allocated, keeps less than 6 MiB of its own" {
	local private
	# AddressSanitizer's own memory says nothing
	[ "${SHEEPFS_VARIANT:-plain}" = plain ] || skip "memory is counted for the plain build"
	attached large 1T
	dd if=/dev/zero of="$(volume large)" bs=4M count=16 oflag=direct conv=notrunc status=none
	detach large
	# nobody asks for the objects that there are not
	"$rawsheep" "$address" fill-index large
	attach large
	same 2147483648 "$(stat -c %b "$(volume large)")"
	dd if=/dev/zero of="$(volume large)" bs=4M count=16 oflag=direct conv=notrunc status=none
	dd if="$(volume large)" of=/dev/null bs=4M count=16 iflag=direct status=none
	private=$(awk '/^Private/ { n += $2 } END { print n + 0 }' "/proc/$(worker_pid large)/smaps_rollup")
	tell "$private KiB"
	[ "$private" -lt 6144 ]
}
