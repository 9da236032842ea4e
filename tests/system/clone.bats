#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# shellcheck disable=SC2030,SC2031,SC2154 # tests are subshells; variables of lib.bash
#
# Copy-on-write: a clone, and a volume after a snapshot, read as the snapshot did and diverge on write;
# the snapshot, attached read-only beside it, does not change.

load lib

setup() {
	begin_test 60
	start_lamb lamb
	start_sheepfs "$address"
	create base 16M object_size=1M
	attach base
	# data in some objects, holes in others, the last one half written
	noise "$T/noise" 4718592
	dd if="$T/noise" of="$mnt/volume/base" bs=512k seek=3 conv=notrunc status=none
	detach base
	"$rawsheep" "$address" snapshot base golden
}

teardown() {
	end_test
}

# A copy of what it should be, with the same write made to both.  diverge FILE MIRROR
diverge() {
	local offset
	noise "$T/other" 200000
	# inside an inherited object, over two of them, in a hole, from inherited into a hole
	for offset in 1600000 2000000 9000000 6200000; do
		dd if="$T/other" of="$1" bs=200000 seek="$offset" oflag=seek_bytes conv=notrunc status=none
		dd if="$T/other" of="$2" bs=200000 seek="$offset" oflag=seek_bytes conv=notrunc status=none
	done
	cmp "$1" "$2"
}

@test "a clone reads as its snapshot and diverges on write; the snapshot stays" {
	local before
	"$rawsheep" "$address" clone base@golden copy
	attach base@golden
	attach copy
	before=$(digest "$(volume base@golden)")
	same "$before" "$(digest "$(volume copy)")"
	cp "$(volume copy)" "$T/mirror"
	diverge "$(volume copy)" "$T/mirror"
	same "$before" "$(digest "$(volume base@golden)")"
	# another attach, and another client, see the same
	detach copy
	attach copy
	cmp "$(volume copy)" "$T/mirror"
	"$rawsheep" "$address" read copy 0 16777216 >"$T/raw"
	cmp "$T/raw" "$T/mirror"
	attach base
	same "$before" "$(digest "$(volume base)")"
}

@test "the volume itself goes on after its snapshot" {
	local before
	attach base
	attach base@golden
	before=$(digest "$(volume base@golden)")
	cp "$(volume base)" "$T/mirror"
	diverge "$(volume base)" "$T/mirror"
	same "$before" "$(digest "$(volume base@golden)")"
}

@test "a snapshot is read-only, whoever asks" {
	attach base@golden
	contains "$sentence" read-only
	same 16777216 "$(stat -c %s "$(volume base@golden)")"
	run ! timeout 5 dd if="$T/noise" of="$mnt/volume/base@golden" bs=4k count=1 conv=notrunc
	run ! timeout 5 bash -c ": > '$mnt/volume/base@golden'"
	run ! timeout 5 truncate -s 0 "$mnt/volume/base@golden"
	cmp -n 4718592 "$T/noise" "$(volume base@golden)" 0 1572864
}

@test "a snapshot by its number, and one after another" {
	attach base
	dd if=/dev/zero of="$mnt/volume/base" bs=1M count=16 conv=notrunc status=none
	detach base
	"$rawsheep" "$address" snapshot base zeros
	attach base@1
	attach base@2
	attach base@zeros
	cmp -n 4718592 "$T/noise" "$(volume base@1)" 0 1572864
	cmp -n 16777216 "$(volume base@2)" /dev/zero
	cmp "$(volume base@2)" "$(volume base@zeros)"
}

@test "fio verify on a clone while its snapshot is read" {
	need fio
	"$rawsheep" "$address" clone base@golden copy
	attach copy
	attach base@golden
	client timeout 30 bash -c "while sha256sum '$mnt/volume/base@golden'; do :; done"
	timeout 50 fio --name=copy --filename="$(volume copy)" --rw=randwrite --bsrange=512-1M --blockalign=512 \
		--verify=crc32c --do_verify=1 --verify_fatal=1 --ioengine=libaio --direct=1 --iodepth=32 --size=16M \
		--loops=3 >"$T/fio.out" 2>&1
	kill "$client"
	wait_until 5 gone "$client"
	grep -q 'err= 0' "$T/fio.out"
	[ "$(cut -d' ' -f1 "$client_out" | sort -u | wc -l)" = 1 ]
}
