#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# shellcheck disable=SC2030,SC2031,SC2154 # tests are subshells; variables of lib.bash
#
# A virtual machine boots from a volume.

load lib

setup() {
	begin_test 90
	need qemu-system-x86_64 xxd
	start_lamb lamb
	start_sheepfs "$address"
	attached boot 64M
}

teardown() {
	end_test
}

# A boot sector of our own: reads sector 1, writes the text in it to the serial port, writes it back
# to sector 2, and ends the machine.
boot_sector() {
	{
		# xor ax,ax; ds = es = ss = 0; sp = 7c00; cld
		printf '31c08ed88ec08ed0bc007cfc'
		# int 13h: read 1 sector, cylinder 0, head 0, sector 2 of the first disk to 7e00; jc done
		printf 'b280b80102bb007eb90200b600cd137229'
		# si = 7e00; next: lodsb; test al,al; jz write; ah = al
		printf 'be007eac84c0741288c4'
		# wait until the serial port is ready; send; jmp next
		printf 'bafd03eca82074fb88e0baf803eeebe9'
		# write: int 13h: write 1 sector to sector 3
		printf 'b280b600b80103bb007eb90300cd13'
		# done: out 501h; hlt
		printf 'ba0105eef4ebfd'
	} | xxd -r -p
}

# boots CACHE [AIO]
boots() {
	local message="this came from volume/boot with cache=$1" status=0
	boot_sector | dd of="$mnt/volume/boot" conv=notrunc status=none
	printf '\x55\xaa' | dd of="$mnt/volume/boot" bs=1 seek=510 conv=notrunc status=none
	printf '%s\n\0' "$message" | dd of="$mnt/volume/boot" bs=512 seek=1 conv=notrunc status=none
	timeout 60 qemu-system-x86_64 -accel tcg -m 32 -nodefaults -display none -no-reboot \
		-device isa-debug-exit,iobase=0x501,iosize=2 -serial "file:$T/serial" \
		-drive "file=$mnt/volume/boot,format=raw,if=ide,cache=$1,aio=${2:-threads}" 2>"$T/qemu.log" 3>&- || status=$?
	[ "$status" != 124 ] || fail "the machine did not end"
	grep -a "$message" "$T/serial"
	# what the machine wrote
	dd if="$mnt/volume/boot" bs=512 skip=2 count=1 status=none | grep -a "$message"
}

@test "QEMU boots from a volume with cache=none" {
	boots none
}

@test "QEMU boots from a volume with cache=none and aio=native" {
	boots none native
}

@test "QEMU boots from a volume with cache=writeback" {
	boots writeback
}

@test "qemu-io writes, flushes and reads back in all cache modes" {
	need qemu-io
	local cache
	for cache in none writeback writethrough directsync; do
		timeout 20 qemu-io -f raw -t "$cache" -c 'write -P 0xa5 1M 3M' -c flush -c 'write -P 0x5a 2000k 100k' \
			-c 'read -P 0xa5 1M 900k' -c 'read -P 0x5a 2000k 100k' -c 'read -P 0 4M 1M' \
			-c 'write -P 0 1M 3M' -c flush "$mnt/volume/boot" >"$T/qemu.out"
		run ! grep -i -E 'fail|error' "$T/qemu.out"
	done
}
