#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# shellcheck disable=SC2030,SC2031,SC2154 # tests are subshells; variables of lib.bash
#
# Object sizes other than 4 MiB, against another client of the same cluster.

load lib
load real

setup() {
	begin_test 120
}

teardown() {
	local status=0
	end_test || status=$?
	real_stop || status=$?
	return "$status"
}

# raw_read NAME and raw_write NAME OFFSET SIZE: by another client
lamb_read() { "$rawsheep" "$address" read "$1" 0 33554432; }
lamb_write() { "$rawsheep" "$address" write "$1" "$2"; }
dog_read() { real_dog vdi read "$1" 0 33554432; }
dog_write() { real_dog vdi write "$1" "$2" "$3"; }

# round_trip READ WRITE: for each object size
round_trip() {
	local size offset name
	noise "$T/noise" 3000000
	for size in 1M 8M 64K; do
		name=with-$size
		if ! create "$name" 32M "object_size=$size"; then
			[ "$size" = 64K ] && continue # a real cluster starts at 1 MiB
			return 1
		fi
		attach "$name"
		truncate -s 32M "$T/mirror"
		for offset in 0 1000000 8000001 30554432; do
			dd if="$T/noise" of="$mnt/volume/$name" bs=700001 seek="$offset" oflag=seek_bytes conv=notrunc status=none
			dd if="$T/noise" of="$T/mirror" bs=700001 seek="$offset" oflag=seek_bytes conv=notrunc status=none
		done
		cmp "$mnt/volume/$name" "$T/mirror"
		detach "$name"
		"$1" "$name" >"$T/raw"
		cmp "$T/raw" "$T/mirror"
		# the other way round: an overwrite and a new object
		for offset in 2000000 20000000; do
			"$2" "$name" "$offset" 3000000 <"$T/noise"
			dd if="$T/noise" of="$T/mirror" bs=700001 seek="$offset" oflag=seek_bytes conv=notrunc status=none
		done
		attach "$name"
		cmp "$mnt/volume/$name" "$T/mirror"
		detach "$name"
		rm "$T/mirror"
	done
}

@test "objects of 1 MiB, 8 MiB and 64 KiB, against a raw client on lamb" {
	start_lamb lamb
	start_sheepfs "$address"
	round_trip lamb_read lamb_write
}

@test "objects of 1 MiB and 8 MiB, against dog on a real cluster" {
	real_need
	real_start 1 1
	start_sheepfs "$real_address"
	round_trip dog_read dog_write
}

@test "vdi/create refuses object sizes that cannot be" {
	start_lamb lamb
	start_sheepfs "$address"
	refused vdi/create 'odd 32M object_size=3M' 'Invalid argument' object
	refused vdi/create 'odd 32M object_size=4G' '*' object
	refused vdi/create 'odd 32M object_size=' 'Invalid argument'
	refused vdi/create 'odd 2P object_size=1M' '*' object
	refused vdi/create 'odd 0' 'Invalid argument'
	refused vdi/create 'odd 10Q' 'Invalid argument' 10Q
	refused vdi/create odd 'Invalid argument'
	run ! grep -q odd "$mnt/vdi/list"
}
