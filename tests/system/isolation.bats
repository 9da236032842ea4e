#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# shellcheck disable=SC2030,SC2031,SC2154 # tests are subshells; variables of lib.bash
#
# A volume whose daemon does not answer stops itself: others and the tree stay quick, and aborting it
# frees its callers and nobody else's.

load lib

setup() {
	begin_test 90
	need fio
	start_lamb lamb
	start_sheepfs "$address"
	attached quiet 64M
	attached busy 64M
	dd if=/dev/urandom of="$mnt/volume/quiet" bs=1M count=64 oflag=direct conv=notrunc status=none
	dd if=/dev/urandom of="$mnt/volume/busy" bs=1M count=64 oflag=direct conv=notrunc status=none
	number=$(connection_of "$mnt/volume/quiet")
}

teardown() {
	end_test
}

# measure NAME: microseconds of the busy volume's reads (mean, 99th percentile) and of the tree
measure() {
	local line begin
	line=$(timeout 30 fio --name=busy --filename="$(volume busy)" --rw=randread --bs=4k --ioengine=libaio --direct=1 \
		--iodepth=4 --size=64M --time_based --runtime=2 --ramp_time=0.5 --output-format=terse --terse-version=3)
	same 0 "$(cut -d';' -f5 <<<"$line")"
	mean=$(cut -d';' -f16 <<<"$line")
	mean=${mean%.*}
	p99=$(cut -d';' -f30 <<<"$line")
	p99=${p99#*=}
	begin=$(now_ms)
	for _ in {1..50}; do
		tree_serves
	done
	tree=$((($(now_ms) - begin) * 1000 / 50))
	tell "$1: busy volume: mean $mean us, 99% $p99 us; three commands on the tree: $tree us"
}

# as_quick: against what was measured before; machines differ, hanging and being quick differ more
as_quick() {
	[ "$mean" -le $((mean_before * 4 + 5000)) ]
	[ "$p99" -le $((p99_before * 5 + 50000)) ]
	[ "$tree" -le $((tree_before * 4 + 20000)) ]
}

@test "a mute volume with more reads than its limit and all its slots used leaves the others as quick as before" {
	local mean p99 tree mean_before p99_before tree_before reader writers=() n verify verify_out waiting

	measure before
	mean_before=$mean p99_before=$p99 tree_before=$tree

	fault lamb mute-vdi=quiet
	client timeout -k 1 80 fio --name=quiet --filename="$(volume quiet)" --rw=randread --bs=4k --ioengine=libaio --direct=1 \
		--iodepth=128 --size=64M --time_based --runtime=60
	reader=$client
	for n in {1..40}; do
		client dd if=/dev/zero of="$mnt/volume/quiet" bs=4k seek="$((n * 300))" count=1 conv=notrunc status=none
		writers+=("$client")
	done
	sleep 1
	waiting=$(cat "$T/fusectl/$number/waiting")
	tell "requests waiting on the mute volume: $waiting"
	[ "$waiting" -gt 80 ]

	client timeout 60 fio --name=busy --filename="$(volume busy)" --rw=randwrite --bsrange=4k-256k --ioengine=libaio \
		--direct=1 --iodepth=8 --size=16M --offset=32M --verify=crc32c --do_verify=1 --verify_fatal=1
	verify=$client verify_out=$client_out
	wait_until 50 gone "$verify"
	grep -q 'err= 0' "$verify_out"

	measure during
	as_quick
	timeout 5 stat "$mnt/volume/quiet"
	timeout 5 df "$mnt/volume/busy"
	timeout 5 ls -l "$mnt/volume"
	gone "$reader" && fail "the reader of the mute volume ended"

	# its callers are freed, and nobody else
	client timeout 60 fio --name=busy --filename="$(volume busy)" --rw=randwrite --bsrange=4k-256k --ioengine=libaio \
		--direct=1 --iodepth=8 --size=16M --offset=32M --loops=2 --verify=crc32c --do_verify=1 --verify_fatal=1
	verify=$client verify_out=$client_out
	sleep 0.3
	abort_connection "$number"
	wait_until 5 gone "$reader"
	for n in "${writers[@]}"; do
		wait_until 5 gone "$n"
		wait "$n" && fail "a writer to the mute volume says that it wrote"
	done
	wait_until 50 gone "$verify"
	grep -q 'err= 0' "$verify_out"
	run ! grep -E 'verify:|io_u error' "$verify_out"
	tree_serves
}

@test "an aborted volume is detached and comes back" {
	fault lamb mute-vdi=quiet
	client dd if="$(volume quiet)" of=/dev/null bs=4k count=1 status=none
	sleep 0.5
	gone "$client" && fail "the reader did not wait"
	abort_connection "$number"
	wait_until 5 gone "$client"
	fault lamb
	detach quiet || echo "detached already: $error"
	attach quiet
	timeout 10 dd if="$(volume quiet)" of=/dev/null bs=1M count=8 status=none
	timeout 10 dd if="$(volume busy)" of=/dev/null bs=1M count=8 status=none
}

@test "a volume whose daemon is slow gets all its answers, in the end" {
	fault lamb mute-vdi=quiet
	client timeout 30 fio --name=quiet --filename="$(volume quiet)" --rw=randread --bs=4k --ioengine=libaio --direct=1 \
		--iodepth=128 --size=64M --number_ios=400
	sleep 6
	gone "$client" && fail "the reader did not wait"
	fault lamb
	wait_until 15 gone "$client"
	cat "$client_out"
	grep -q 'err= 0' "$client_out"
}
