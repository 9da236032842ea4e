#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# shellcheck disable=SC2154 # variables of lib.bash
#
# ./demo: from nothing to a disk with files on it, the same again, down, up, away.

load lib

setup() {
	begin_test 200
	need mkfs.ext4 losetup blkid ps
	top=$BATS_TEST_DIRNAME/../..
	export SHEEPFS_DEMO_DIR=$T/demo SHEEPFS_DEMO_BUILD=$SHEEPFS_BUILD
	# the build that is tested, as it is configured
	export SHEEPFS_DEMO_NO_BUILD=1
}

teardown() {
	"$top/demo" --stop >/dev/null 2>&1 3>&- || true
	end_test
}

@test "the demo sets up, finds its data again, stops, starts and cleans up" {
	run "$top/demo" 3>&-
	[ "$status" = 0 ]
	contains "$output" 'making an ext4'
	contains "$output" 'sheepfs-worker volume demo'
	# on the embedded default
	contains "$(tr '\0' ' ' <"/proc/$(cat "$T/demo/sheepfs.pid")/cmdline")" "lamb:$T/demo/store"
	[ -n "$(find "$T/demo/disk/include" -name stdio.h)" ]

	run "$top/demo" 3>&-
	[ "$status" = 0 ]
	contains "$output" 'found on it what an earlier run copied'
	[[ $output != *'making an ext4'* ]]

	run "$top/demo" --stop
	[ "$status" = 0 ]
	run ! grep "$T/demo" /proc/self/mountinfo

	run "$top/demo" 3>&-
	[ "$status" = 0 ]
	contains "$output" 'found on it what an earlier run copied'
	cmp /usr/include/stdio.h "$T/demo/disk/include/stdio.h"

	run "$top/demo" --clean
	[ "$status" = 0 ]
	[ ! -e "$T/demo" ]
	run ! grep "$T/demo" /proc/self/mountinfo
}

@test "the demo takes down what a killed sheepfs left" {
	"$top/demo" >/dev/null 3>&-
	umount "$T/demo/disk"
	kill -KILL "$(cat "$T/demo/sheepfs.pid")"
	wait_until 5 gone "$(cat "$T/demo/sheepfs.pid")"
	run "$top/demo" --clean
	[ "$status" = 0 ]
	[ ! -e "$T/demo" ]
	run ! grep "$T/demo" /proc/self/mountinfo
}
