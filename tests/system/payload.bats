#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# shellcheck disable=SC2030,SC2031,SC2154 # tests are subshells; variables of lib.bash
#
# The data path: payload goes through shared memory, not through a socket between front and worker;
# many requests are in flight, over several connections.

load lib

setup() {
	begin_test 60
	start_lamb lamb
}

teardown() {
	end_test
}

# Bytes that went over the sockets of one kind, in both directions, by an strace -y of one process.
# Sockets are told apart by number: strace_bytes FILE INODES
strace_bytes() {
	awk -v inodes="$2" '
		BEGIN { split(inodes, list, " "); for (i in list) wanted[list[i]] = 1 }
		match($0, /\[[0-9]+/) && / = [0-9]+$/ {
			inode = substr($0, RSTART + 1, RLENGTH - 1)
			if (inode in wanted) sum += $NF
		}
		END { print sum + 0 }' "$1"
}

# Inodes of the SEQPACKET sockets that a process holds, and of its other sockets.
packet_sockets() {
	sockets_of "$1" | sort | comm -12 - <(awk '$5 == "0005" { print $7 }' /proc/net/unix | sort) | xargs
}

stream_sockets() {
	sockets_of "$1" | sort | comm -23 - <(awk '$5 == "0005" { print $7 }' /proc/net/unix | sort) | xargs
}

sockets_of() {
	find "/proc/$1/fd" -lname 'socket:*' -printf '%l\n' | tr -dc '0-9\n'
}

@test "reads and writes of 1 MiB move no payload through a socket between front and worker" {
	need strace
	local front worker tracer pid bytes=$((48 << 20)) between
	start_sheepfs "$address"
	attached one 64M
	front=$(front_pid)
	worker=$(worker_pid one)
	for pid in "$front" "$worker"; do
		client strace -q -y -e trace=network,read,write,readv,writev,pread64,pwrite64,splice,vmsplice,tee,process_vm_readv,process_vm_writev \
			-e signal=none -o "$T/strace.$pid" -p "$pid"
	done
	wait_until 5 traced "$front"
	wait_until 5 traced "$worker"
	dd if=/dev/zero of="$mnt/volume/one" bs=1M count=48 oflag=direct conv=notrunc status=none
	dd if="$mnt/volume/one" of=/dev/null bs=1M count=48 iflag=direct status=none
	for tracer in "${clients[@]}"; do
		kill -INT "$tracer"
		wait_until 5 gone "$tracer"
	done
	for pid in "$front" "$worker"; do
		between=$(strace_bytes "$T/strace.$pid" "$(packet_sockets "$pid")")
		tell "process $pid: $between bytes through its message sockets for $((2 * bytes)) bytes of I/O"
		# the headers did go there
		[ "$between" -gt 1000 ]
		[ "$between" -lt 200000 ]
		run ! grep -E '^(splice|vmsplice|tee|process_vm)' "$T/strace.$pid"
	done
	# and the trace would have seen the payload: the worker's daemon sockets and the front's device
	[ "$(strace_bytes "$T/strace.$worker" "$(stream_sockets "$worker")")" -ge $((2 * bytes)) ]
	[ "$(awk '/dev\/fuse/ && / = [0-9]+$/ { sum += $NF } END { print sum }' "$T/strace.$front")" -ge $((2 * bytes)) ]
}

traced() {
	[ "$(awk '$1 == "TracerPid:" { print $2 }' "/proc/$1/status")" != 0 ]
}

@test "random reads at depth 32 keep as many requests in flight, over several connections" {
	need fio
	local total peak
	start_proxy proxy "$address"
	start_sheepfs "$address"
	attached one 64M
	dd if=/dev/urandom of="$mnt/volume/one" bs=1M count=64 oflag=direct conv=notrunc status=none
	timeout 30 fio --name=depth --filename="$(volume one)" --rw=randread --bs=4k --ioengine=libaio --direct=1 \
		--iodepth=32 --size=64M --time_based --runtime=2 >"$T/fio.out"
	grep -q 'err= 0' "$T/fio.out"
	total=$(proxy_count proxy total)
	peak=$(proxy_count proxy peak)
	tell "at most $total requests in flight to the daemon, at most $peak on one connection"
	[ "$total" -ge 24 ]
	[ "$peak" -lt "$total" ]
}

@test "random writes at depth 32 keep many in flight as well" {
	need fio
	local total
	start_proxy proxy "$address"
	start_sheepfs "$address"
	attached one 64M
	dd if=/dev/urandom of="$mnt/volume/one" bs=1M count=64 oflag=direct conv=notrunc status=none
	timeout 30 fio --name=depth --filename="$(volume one)" --rw=randwrite --bs=4k --ioengine=libaio --direct=1 \
		--iodepth=32 --size=64M --time_based --runtime=2 >"$T/fio.out"
	grep -q 'err= 0' "$T/fio.out"
	total=$(proxy_count proxy total)
	tell "at most $total requests in flight to the daemon"
	[ "$total" -ge 24 ]
}

# connections VOLUME: of its worker, to daemons
connections() {
	stream_sockets "$(worker_pid "$1")" | wc -w
}

has_connections() {
	[ "$(connections "$1")" = "$2" ]
}

@test "a volume has four connections, and ten more once its daemon is slow while much is in flight" {
	need fio
	start_sheepfs "$address"
	attached one 64M
	wait_until 5 has_connections one 4
	dd if=/dev/urandom of="$mnt/volume/one" bs=1M count=64 oflag=direct conv=notrunc status=none
	# slow, but few at a time
	fault lamb delay=read:10 delay=write:10
	dd if="$(volume one)" of=/dev/null bs=64k count=100 iflag=direct status=none
	has_connections one 4
	timeout 50 fio --name=deep --filename="$(volume one)" --rw=randwrite --bs=4k --ioengine=libaio --direct=1 \
		--iodepth=32 --size=16M --verify=crc32c --verify_fatal=1 >"$T/fio.out"
	grep -q 'err= 0' "$T/fio.out"
	has_connections one 14 || fail "$(connections one) connections"
	# the next worker begins with four, and the first one's fourteen are settled
	kill -KILL "$(worker_pid one)"
	wait_until 10 went_on one 1
	wait_until 5 has_connections one 4
	timeout 50 fio --name=deep --filename="$(volume one)" --rw=randread --bs=4k --ioengine=libaio --direct=1 \
		--iodepth=32 --size=16M --verify=crc32c --verify_only >"$T/fio.out"
	grep -q 'err= 0' "$T/fio.out"
}

@test "requests reach the daemon in the size in which they came" {
	local before
	start_proxy proxy "$address"
	start_sheepfs "$address"
	attached one 64M
	dd if=/dev/urandom of="$mnt/volume/one" bs=1M count=16 oflag=direct conv=notrunc status=none
	before=$(proxy_count proxy requests)
	dd if="$mnt/volume/one" of=/dev/null bs=1M count=16 iflag=direct status=none
	# 16 reads of 1 MiB, none of which meets an object's border
	same 16 $(($(proxy_count proxy requests) - before))
}

@test "an idle volume costs little memory" {
	local n
	start_sheepfs "$address"
	attached one 64M
	dd if=/dev/urandom of="$mnt/volume/one" bs=1M count=64 oflag=direct conv=notrunc status=none
	for n in {1..20}; do
		attached "idle$n" 64M
	done
	tell "resident: front $(resident "$(front_pid)") kB, an idle volume's worker $(resident "$(worker_pid idle7)") kB"
	[ -n "${SHEEPFS_VARIANT:-}" ] && [ "$SHEEPFS_VARIANT" != plain ] && skip "sanitizers need memory of their own"
	[ "$(resident "$(worker_pid idle7)")" -lt 24000 ]
}

resident() {
	awk '$1 == "VmRSS:" { print $2 }' "/proc/$1/status"
}
