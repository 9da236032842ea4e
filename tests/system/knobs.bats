#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# shellcheck disable=SC2030,SC2031,SC2154 # tests are subshells; variables of lib.bash
#
# config/page_cache and config/object_cache: values that are read and written, for volumes attached from
# then on; and the options that they begin with.

load lib

setup() {
	begin_test 60
	start_lamb lamb
}

teardown() {
	kill -CONT "${lamb_pids[lamb]}" 2>/dev/null || :
	end_test
}

knob() {
	timeout 5 cat "$mnt/config/$1"
}

# Is what was read once found again while the daemon is stopped?
is_cached() {
	local status=0
	dd if="$(volume "$1")" of=/dev/null bs=64k count=4 status=none
	kill -STOP "${lamb_pids[lamb]}"
	client dd if="$(volume "$1")" of=/dev/null bs=64k count=4 status=none
	wait_until 2 gone "$client" 2>/dev/null || status=1
	kill -CONT "${lamb_pids[lamb]}"
	wait_until 10 gone "$client"
	return "$status"
}

@test "knobs are read and written, upstream's way" {
	local file
	start_sheepfs "$address"
	for file in page_cache object_cache; do
		same 644 "$(stat -c %a "$mnt/config/$file")"
		same 0 "$(knob "$file")"
		echo 1 >"$mnt/config/$file"
		same 1 "$(knob "$file")"
		# as an unprivileged user: read, not written
		same 1 "$(setpriv --reuid=65534 --clear-groups cat "$mnt/config/$file")"
		run ! setpriv --reuid=65534 --clear-groups bash -c "echo 0 >'$mnt/config/$file'"
		echo 0 >"$mnt/config/$file"
		same 0 "$(knob "$file")"
		refused "config/$file" maybe 'Invalid argument' maybe '0 or 1'
		refused "config/$file" '' 'Invalid argument' usage
		same 0 "$(knob "$file")"
		order "config/$file" 7
		same 1 "$(knob "$file")"
	done
	contains "$sentence" 'without effect'
	grep "page_cache 1 by user 0: volumes that are attached from now on are cached" "$sheepfs_log"
}

@test "one open of a knob: its value, then the sentence about what was written" {
	start_sheepfs "$address"
	exec 9<>"$mnt/config/page_cache"
	same 0 "$(cat <&9)"
	echo 1 >&9
	contains "$(cat <&9)" 'are cached in the page cache'
	exec 9>&-
	same 1 "$(knob page_cache)"
}

@test "a volume that is attached with the page cache on is cached, one attached before is not" {
	start_sheepfs "$address"
	attached direct 16M
	dd if=/dev/urandom of="$(volume direct)" bs=1M count=1 conv=notrunc status=none
	echo 1 >"$mnt/config/page_cache"
	attached cached 16M
	noise "$T/noise" 1000000
	dd if="$T/noise" of="$(volume cached)" bs=100k conv=notrunc,fsync status=none
	is_cached cached
	run ! is_cached direct
	cmp -n 1000000 "$T/noise" "$(volume cached)"
	# written through: another reader of the cluster sees it at once
	"$rawsheep" "$address" read cached 0 1000000 | cmp - "$T/noise"
	# direct I/O beside it is coherent, both ways
	dd if=/dev/zero of="$(volume cached)" bs=4096 count=8 oflag=direct conv=notrunc status=none
	cmp -n 32768 "$(volume cached)" /dev/zero
	echo x | dd of="$(volume cached)" conv=notrunc status=none
	same x "$(dd if="$(volume cached)" bs=4096 count=1 iflag=direct status=none | head -c 1)"
	# detached and attached again, nothing old is found
	detach cached
	noise "$T/other" 1000000
	run ! cmp -s "$T/noise" "$T/other"
	"$rawsheep" "$address" write cached 0 <"$T/other"
	attach cached
	cmp -n 1000000 "$T/other" "$(volume cached)"
	cmp "$(volume cached)" <("$rawsheep" "$address" read cached 0 16777216)
}

@test "a file system and mmap on a cached volume" {
	need fio
	start_sheepfs "$address" -k
	same 1 "$(knob page_cache)"
	same 0 "$(knob object_cache)"
	attached disk 64M
	timeout 50 fio --name=map --filename="$(volume disk)" --ioengine=mmap --rw=randwrite --bs=4k --size=16M \
		--verify=crc32c --do_verify=1 >"$T/fio.out" 2>&1
	grep -q 'err= 0' "$T/fio.out"
	mkfs.ext4 -q -F "$(volume disk)"
	mkdir "$T/disk"
	mount -o loop "$(volume disk)" "$T/disk"
	noise "$T/disk/file" 5000000
	cp "$T/disk/file" "$T/copy"
	unmount_disk "$T/disk"
	detach disk
	attach disk
	e2fsck -fn "$(volume disk)"
	mount -o loop "$(volume disk)" "$T/disk"
	cmp "$T/disk/file" "$T/copy"
	unmount_disk "$T/disk"
}

@test "volumes work with the object cache asked for; fsync asks the daemon to flush" {
	start_sheepfs "$address" --objectcache
	same 1 "$(knob object_cache)"
	attached disk 16M
	noise "$T/noise" 3000000
	dd if="$T/noise" of="$(volume disk)" bs=1M conv=notrunc,fsync status=none
	dd if="$T/noise" of="$(volume disk)" bs=1M conv=notrunc,fsync status=none
	cmp -n 3000000 "$T/noise" "$(volume disk)"
	# a flush that is lost ends the generation; the next one asks again
	fault lamb drop-before=flush:1
	detach disk
	attach disk
	noise "$T/noise" 3000000
	dd if="$T/noise" of="$(volume disk)" bs=1M conv=notrunc,fsync status=none
	went_on disk 1
	grep 'volume disk: generation 1 ended: ' "$sheepfs_log"
	run ! grep 'volume disk has failed' "$sheepfs_log"
	cmp -n 3000000 "$T/noise" "$(volume disk)"
	"$rawsheep" "$address" read disk 0 3000000 | cmp - "$T/noise"
}
