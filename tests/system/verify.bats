#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# shellcheck disable=SC2030,SC2031,SC2154 # tests are subshells; variables of lib.bash
#
# What is read is what was written: fio's checksums, overlapping writers, odd offsets, holes.

load lib

setup() {
	begin_test 120
	need fio perl
	start_lamb lamb
}

teardown() {
	end_test
}

# verify_options VOLUME: random blocks of 512 bytes to 1 MiB, written and then verified
verify_options() {
	printf '%s\n' --name="$1" --filename="$(volume "$1")" --rw=randwrite --bsrange=512-1M --blockalign=512 \
		--verify=crc32c --do_verify=1 --verify_fatal=1 --randrepeat=0 --group_reporting --size="${2:-96M}"
}

# no_mismatch FILE...: fio's own verdict
no_mismatch() {
	local file
	for file in "$@"; do
		run ! grep -E 'verify:|bad magic|io_u error|Input/output' "$file"
		grep -q 'err= 0' "$file"
	done
}

@test "O_DIRECT, depth 32, two volumes side by side: no mismatch" {
	local options a b
	start_sheepfs "$address"
	attached one 256M
	attached two 256M
	mapfile -t options < <(verify_options one)
	client timeout 100 fio "${options[@]}" --ioengine=libaio --direct=1 --iodepth=32
	a=$client a_out=$client_out
	mapfile -t options < <(verify_options two)
	client timeout 100 fio "${options[@]}" --ioengine=libaio --direct=1 --iodepth=32
	b=$client
	wait "$a"
	wait "$b"
	no_mismatch "$a_out" "$client_out"
}

@test "buffered, two volumes side by side: no mismatch" {
	local options a
	start_sheepfs "$address"
	attached one 256M
	attached two 256M
	mapfile -t options < <(verify_options one 24M)
	client timeout 100 fio "${options[@]}" --ioengine=libaio --iodepth=32 --direct=0 --numjobs=3 --offset_increment=32M
	a=$client a_out=$client_out
	mapfile -t options < <(verify_options two 24M)
	client timeout 100 fio "${options[@]}" --ioengine=psync --direct=0 --numjobs=3 --offset_increment=32M --fsync=16
	wait "$a"
	wait "$client"
	no_mismatch "$a_out" "$client_out"
}

@test "a daemon that answers in random order: no mismatch" {
	local options
	fault lamb shuffle delay=create:3 delay=write:1
	start_sheepfs "$address"
	attached one 256M
	mapfile -t options < <(verify_options one 64M)
	timeout 100 fio "${options[@]}" --ioengine=libaio --direct=1 --iodepth=32 >"$T/fio.out" 2>&1
	no_mismatch "$T/fio.out"
}

@test "overlapping writers: the result is one of the writes" {
	local round w sums=() found writers
	start_sheepfs "$address"
	attached one 64M object_size=1M
	# late and shuffled answers keep writes in flight together
	fault lamb shuffle delay=write:10 delay=create:10
	for w in 0 1 2 3 4 5; do
		noise "$T/noise.$w" 262144
		sums+=("$(digest "$T/noise.$w")")
	done
	for round in 1 2 3 4 5 6 7 8; do
		writers=()
		for w in 0 1 2 3 4 5; do
			# rounds 1 to 4 meet on a hole, the others on data
			dd if="$T/noise.$w" of="$mnt/volume/one" bs=256k seek=$((round % 4 * 4 + 1)) oflag=direct \
				conv=notrunc status=none 3>&- &
			writers+=("$!")
		done
		wait "${writers[@]}"
		found=$(digest "$mnt/volume/one" $(((round % 4 * 4 + 1) * 262144)) 262144)
		contains "${sums[*]}" "$found"
	done
}

@test "partly overlapping writers: the common part is one of theirs" {
	local round a b found left right
	start_sheepfs "$address"
	attached one 64M object_size=1M
	fault lamb shuffle delay=write:10 delay=create:10
	noise "$T/a" 131072
	noise "$T/b" 131072
	left=$(head -c 65536 "$T/b" | sha256sum)
	right=$(tail -c 65536 "$T/a" | sha256sum)
	for round in 1 2 3 4 5 6 7 8 9 10; do
		dd if="$T/a" of="$mnt/volume/one" bs=128k seek=$((round * 8)) oflag=direct conv=notrunc status=none 3>&- &
		a=$!
		dd if="$T/b" of="$mnt/volume/one" bs=131072 seek=$((round * 1048576 + 65536)) oflag=direct,seek_bytes \
			conv=notrunc status=none 3>&- &
		b=$!
		wait "$a" "$b"
		found=$(dd if="$mnt/volume/one" bs=64k skip=$((round * 16 + 1)) count=1 status=none | sha256sum)
		[ "$found" = "$left" ] || [ "$found" = "$right" ]
		# what only one of them wrote
		cmp -n 65536 "$T/a" "$mnt/volume/one" 0 $((round * 1048576))
		cmp -n 65536 "$T/b" "$mnt/volume/one" 65536 $((round * 1048576 + 131072))
	done
}

@test "writes and reads at any offset and of any length are those of an ordinary file" {
	start_sheepfs "$address"
	attached one 16M object_size=1M
	truncate -s 16M "$T/mirror"
	# shellcheck disable=SC2016 # perl's variables
	timeout 100 perl -e '
		use strict; use Fcntl;
		my ($size, @f) = 16 << 20;
		for (@ARGV) { sysopen(my $h, $_, O_RDWR) or die "$_: $!"; push @f, $h }
		open(my $noise, "<", "/dev/urandom") or die;
		for my $i (1 .. 400) {
			my $n = int(rand($i % 4 ? 9000 : 2000000)) + 1;
			my $o = int(rand($size - $n));
			sysread($noise, my $b, $n) == $n or die;
			my $r;
			for my $f (@f) {
				sysseek($f, $o, 0);
				my $done = 0;
				while ($done < $n) {
					my $w = syswrite($f, $b, $n - $done, $done) or die "write of $n at $o: $!";
					$done += $w;
				}
			}
			$n = int(rand(300000)) + 1; $o = int(rand($size));
			my @r;
			for my $f (@f) {
				my ($r, $done) = ("", 0);
				sysseek($f, $o, 0);
				while ($done < $n) {
					my $m = sysread($f, $r, $n - $done, $done);
					defined $m or die "read of $n at $o: $!";
					last unless $m;
					$done += $m;
				}
				push @r, $r;
			}
			$r[0] eq $r[1] or die "read of $n at $o differs";
		}' "$(volume one)" "$T/mirror"
	cmp "$(volume one)" "$T/mirror"
}

@test "mmap: what is stored there is on the volume" {
	start_sheepfs "$address"
	attached one 16M
	if ! timeout 60 fio --name=map --filename="$(volume one)" --ioengine=mmap --rw=randwrite --bs=4k --size=4M \
		--verify=crc32c --do_verify=1 --verify_fatal=1 >"$T/fio.out" 2>&1; then
		run ! grep -q 'No such device' "$T/fio.out"
		# shellcheck disable=SC2154 # set by run
		[ "$status" != 0 ] || fail "mmap failed"
		skip "this kernel has no shared mmap of direct-I/O files"
	fi
	no_mismatch "$T/fio.out"
	detach one
	attach one
	timeout 60 fio --name=map --filename="$(volume one)" --ioengine=psync --rw=randwrite --bs=4k --size=4M \
		--verify=crc32c --verify_only=1 >"$T/fio.out" 2>&1
	no_mismatch "$T/fio.out"
}

@test "a hole reads as zeros and asks the daemon nothing" {
	local before after
	start_proxy proxy "$address"
	start_sheepfs "$address"
	attached one 64M
	dd if=/dev/urandom of="$mnt/volume/one" bs=4k seek=8192 count=1 conv=notrunc status=none
	before=$(proxy_count proxy requests)
	dd if="$mnt/volume/one" bs=1M count=32 status=none | cmp -n 33554432 - /dev/zero
	after=$(proxy_count proxy requests)
	same "$before" "$after"
	# and the proxy is on the way at all
	dd if="$mnt/volume/one" of=/dev/null bs=4k skip=8192 count=1 status=none
	[ "$(proxy_count proxy requests)" -gt "$after" ]
}

@test "fsync and a killed daemon: what was acknowledged is there" {
	start_sheepfs "$address"
	attached one 64M
	noise "$T/noise" 5000000
	dd if="$T/noise" of="$mnt/volume/one" bs=300000 seek=3 conv=notrunc,fsync status=none
	kill_lamb lamb
	start_lamb lamb
	"$rawsheep" "$address" read one 900000 5000000 >"$T/raw"
	cmp "$T/raw" "$T/noise"
}
