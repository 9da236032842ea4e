#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# shellcheck disable=SC2030,SC2031,SC2154 # tests are subshells; variables of lib.bash
#
# A volume file behaves like a block device, whatever tools of ordinary files do to it.

load lib

setup() {
	begin_test 60
	start_lamb lamb
	start_sheepfs "$address"
	attached one 16M object_size=1M
	file=$(volume one)
	noise "$T/before" 16777216
	dd if="$T/before" of="$file" bs=1M conv=notrunc status=none
}

teardown() {
	end_test
}

# as_written: the bytes and the size are those of $T/before
as_written() {
	same 16777216 "$(stat -c %s "$file")"
	cmp "$file" "$T/before"
}

@test "dd without conv=notrunc truncates nothing" {
	noise "$T/new" 100000
	dd if="$T/new" of="$file" bs=100000 status=none
	dd if="$T/new" of="$T/before" bs=100000 conv=notrunc status=none
	as_written
}

@test "dd with a seek and without conv=notrunc truncates nothing" {
	# dd truncates to the offset itself: that is a size which the volume has not
	noise "$T/new" 100000
	dd if="$T/new" of="$file" bs=100000 seek=20 status=none || :
	same 16777216 "$(stat -c %s "$file")"
	cmp -n 2000000 "$file" "$T/before"
	cmp "$file" "$T/before" 2100000 2100000
}

@test "cp onto it writes its bytes and truncates nothing" {
	noise "$T/new" 3000000
	cp "$T/new" "$file"
	dd if="$T/new" of="$T/before" bs=1M conv=notrunc status=none
	as_written
	noise "$T/before" 16777216
	cp "$T/before" "$file"
	as_written
}

@test "a shell's > changes nothing" {
	: >"$file"
	as_written
	echo hello >"$file"
	printf 'hello\n' | dd of="$T/before" conv=notrunc status=none
	as_written
}

@test "truncate to 0 or to its own size is accepted, to another refused, and the log says what to do" {
	truncate -s 0 "$file"
	as_written
	truncate -s 16777216 "$file"
	as_written
	fails_with 'Operation not permitted' truncate -s 1M "$file"
	fails_with 'Operation not permitted' truncate -s 17M "$file"
	fails_with 'Operation not permitted' truncate -s 1 "$file"
	as_written
	wait_until 2 grep -q vdi/resize "$sheepfs_log"
}

@test "the end: reading ends, writing past it is ENOSPC" {
	noise "$T/new" 1048576
	same 0 "$(dd if="$file" bs=1M skip=16 status=none | wc -c)"
	same 512 "$(dd if="$file" bs=1 skip=16776704 count=100000 status=none | wc -c)"
	same 512 "$(dd if="$file" bs=1M iflag=skip_bytes,direct skip=16776704 status=none | wc -c)"
	fails_with 'No space left on device' dd if="$T/new" of="$file" bs=4k seek=4096 count=1 conv=notrunc
	fails_with 'No space left on device' dd if="$T/new" of="$file" bs=1M seek=100 count=1 conv=notrunc
	fails_with 'No space left on device' dd if="$T/new" of="$file" oflag=append bs=4k count=1 conv=notrunc
	as_written
	# over the end: what fits may be written, nothing else happens
	fails_with 'No space left on device' dd if="$T/new" of="$file" bs=1M oflag=seek_bytes seek=16252928 conv=notrunc
	same 16777216 "$(stat -c %s "$file")"
	cmp -n 16252928 "$file" "$T/before"
	# a device that is full to the last byte
	fails_with 'No space left on device' bash -c "cat /dev/zero >'$file'"
	cmp -n 16777216 "$file" /dev/zero
	same 16777216 "$(stat -c %s "$file")"
}

@test "stat and du tell the true size and what is used" {
	attached thin 1G
	same 1073741824 "$(stat -c %s "$(volume thin)")"
	same 0 "$(stat -c %b "$(volume thin)")"
	dd if="$T/before" of="$(volume thin)" bs=1M count=1 seek=100 conv=notrunc status=none
	wait_until 3 blocks_are 8192 "$(volume thin)"
	same 4096 "$(du -k "$(volume thin)" | cut -f1)"
	# and again after an attach
	detach thin
	attach thin
	blocks_are 8192 "$(volume thin)"
	same 'regular file 600 0:0' "$(stat -c '%F %a %u:%g' "$(volume thin)")"
}

blocks_are() {
	[ "$(stat -c %b "$2")" = "$1" ]
}

@test "df works on the tree and on a volume" {
	timeout 5 df "$mnt"
	timeout 5 df "$file"
	# all there is; the host may have mounts that fail, not of ours
	run timeout 5 df
	[ "$status" != 124 ]
	[[ $output != *"df: $T"* ]]
}

@test "it can be given to somebody with chown and chmod, and to nobody else" {
	need setpriv
	chmod 755 "$T"
	fails_with 'Permission denied' setpriv --reuid=65533 --regid=65533 --clear-groups dd if="$file" of=/dev/null count=1
	chown 65533:65533 "$file"
	chmod 640 "$file"
	same '640 65533:65533' "$(stat -c '%a %u:%g' "$file")"
	setpriv --reuid=65533 --regid=65533 --clear-groups dd if="$T/before" of="$file" bs=4k count=1 conv=notrunc status=none
	fails_with 'Permission denied' setpriv --reuid=65532 --regid=65532 --clear-groups dd if="$file" of=/dev/null count=1
	as_written
}

@test "it can be neither removed nor renamed nor linked, and volume/ takes no other file" {
	run ! rm -f "$file"
	run ! mv "$file" "$mnt/volume/two"
	run ! ln "$file" "$mnt/volume/two"
	run ! touch "$mnt/volume/two"
	run ! mkdir "$mnt/volume/dir"
	same one "$(ls "$mnt/volume")"
	as_written
}

@test "fallocate and hole punching answer at once, and lose nothing when refused" {
	fallocate -p -o 1M -l 1M "$file" 2>/dev/null || :
	if ! cmp -s "$file" "$T/before"; then
		# it was done: then those bytes and no others are zero
		dd if=/dev/zero of="$T/before" bs=1M seek=1 count=1 conv=notrunc status=none
	fi
	as_written
	run ! fallocate -o 16M -l 1M "$file"
	as_written
}

@test "a loop device with and without direct I/O" {
	need losetup mkfs.ext4
	local direct loop
	mkdir "$T/disk"
	for direct in on off; do
		loop=$(losetup --find --show --direct-io="$direct" "$file")
		same 16777216 "$(blockdev --getsize64 "$loop")"
		mkfs.ext4 -q -F "$loop"
		mount "$loop" "$T/disk"
		cp "$BATS_TEST_DIRNAME/lib.bash" "$T/disk/"
		sync -f "$T/disk"
		umount "$T/disk"
		losetup -d "$loop"
		wait_until 10 no_loops
		mount -o loop,ro "$file" "$T/disk"
		cmp "$BATS_TEST_DIRNAME/lib.bash" "$T/disk/lib.bash"
		unmount_disk "$T/disk"
	done
}

@test "a detach while it is in use is EBUSY, and it goes on" {
	client tail -f "$file"
	sleep 0.3
	refused vdi/unmount one 'Device or resource busy' one
	as_written
	kill "$client"
	wait_until 5 gone "$client"
	detach one
	run ! test -e "$file"
}
