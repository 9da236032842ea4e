#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# shellcheck disable=SC2154 # variables of lib.bash
#
# A volume is a disk on Debian 12's own kernel, Linux 6.1, in a virtual machine: see tests/vm/run.

load lib

@test "Debian 12's kernel 6.1 in a virtual machine: ext4 on a loop device, fio's checksums, a clean stop" {
	local vm=$BATS_TEST_DIRNAME/../vm reason line
	need qemu-system-x86_64 cpio depmod fio mkfs.ext4
	# 77: it cannot be had here; anything else is a failure
	reason=$("$vm/kernel" 6.1 2>&1) || { [ $? = 77 ] && skip "$reason"; }
	SHEEPFS_VM_SECONDS=220 run "$vm/run" 6.1 "$vm/job-61.sh" "$sheepfs_program" "$lamb_program" \
		"$SHEEPFS_LIBEXEC/sheepfs-front" "$SHEEPFS_LIBEXEC/sheepfs-worker" "$build/tests/lib/keeper" 3>&-
	while read -r line; do
		tell "$line"
	done <<<"$output"
	[ "$status" = 0 ]
	contains "$output" 'kernel 6.1.'
	contains "$output" 'stopped; nothing is left'
}
