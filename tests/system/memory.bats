#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# shellcheck disable=SC2154 # variables of lib.bash
#
# Short of memory: what is dirty is written through processes that get no more memory themselves.

load lib

setup() {
	begin_test 100
	# a sanitizer's memory is its own
	[ "${SHEEPFS_VARIANT:-plain}" = plain ] || skip "a memory group is for the plain build"
	make_group
	start_lamb lamb
	start_sheepfs "$address"
}

teardown() {
	local status=0
	end_test || status=1
	[ -z "${group:-}" ] || wait_until 5 rmdir "$group" 2>/dev/null
	return "$status"
}

# group: a directory of the memory controller, of whichever version
make_group() {
	local root limit
	group=
	for root in /sys/fs/cgroup /sys/fs/cgroup/unified /sys/fs/cgroup/memory; do
		[[ $(stat -f -c %T "$root" 2>/dev/null) == cgroup* ]] || continue
		group=$root/sheepfs-test-$$
		mkdir "$group" 2>/dev/null || continue
		for limit in memory.max memory.limit_in_bytes; do
			! { echo 120M >"$group/$limit"; } 2>/dev/null || return 0
		done
		rmdir "$group"
	done
	group=
	skip "there is no memory controller for a group of our own"
}

# in_group COMMAND...: becomes it there
in_group() {
	echo "$BASHPID" >"$group/cgroup.procs"
	exec "$@"
}

dirty() {
	# shellcheck disable=SC2016 # the inner shell's variables
	in_group bash -c 'dd if=/dev/zero of="$1" bs=1M count=180 status=none && sync -f "$1"' dirty "$T/disk/zeros"
}

@test "180 MiB of dirty pages of an ext4 on a loop device in a memory group of 120 MiB are written, and nothing hangs" {
	local pid
	need mkfs.ext4 losetup
	attached one 256M
	mkfs.ext4 -q -F -e remount-ro "$(volume one)"
	mkdir "$T/disk"
	mount -o loop "$(volume one)" "$T/disk"
	noise "$T/noise" 3000000
	cp "$T/noise" "$T/disk/noise"
	for pid in "$sheepfs_pid" $(our_confined); do
		echo "$pid" >"$group/cgroup.procs"
	done
	client dirty
	wait_until 60 gone "$client"
	wait "$client" || fail "it failed: $(cat "$client_out")"
	cmp "$T/noise" "$T/disk/noise"
	unmount_disk "$T/disk"
	fsck.ext4 -fn "$(volume one)"
	detach one
	run ! grep -E 'has failed|out of memory|ended: it was killed' "$sheepfs_log"
}

# A caller of the kernel's memory, locked pages, and who is killed last; where that is permitted.
@test "processes on the data path are locked into memory, and not the first to be killed" {
	local pid locked
	attached one 16M
	for pid in "$(front_pid)" "$(worker_pid one)"; do
		if grep -q 'CAP_SYS_RESOURCE is needed' "$sheepfs_log"; then
			skip "what that takes is refused here (CAP_SYS_RESOURCE)"
		fi
		locked=$(awk '$1 == "VmLck:" { print $2 }' "/proc/$pid/status")
		[ "$locked" -gt 0 ]
		[ "$(cat "/proc/$pid/oom_score_adj")" -lt 0 ]
	done
	detach one
}
