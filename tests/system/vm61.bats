#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
#
# Debian 12's own kernel, Linux 6.1, in a virtual machine (see tests/vm/run): a volume is a disk there.

load lib

@test "Debian 12's kernel 6.1, in a virtual machine: attach, ext4 on a loop device, fio's checksums, a clean stop" {
	local vm=$BATS_TEST_DIRNAME/../vm reason
	need qemu-system-x86_64 cpio depmod fio mkfs.ext4
	reason=$("$vm/kernel" 6.1 2>&1) || skip "$reason"
	SHEEPFS_VM_SECONDS=220 run "$vm/run" 6.1 "$vm/job-61.sh" "$build/master/sheepfs" "$build/libexec/sheepfs-front" \
		"$build/libexec/sheepfs-worker" "$build/lamb/lamb"
	while read -r line; do
		tell "$line"
	done <<<"$output"
	# shellcheck disable=SC2154 # set by run
	[ "$status" = 0 ]
	contains "$output" "kernel 6.1."
	contains "$output" "stopped; nothing is left"
}
