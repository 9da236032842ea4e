# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
# shellcheck disable=SC2154 # variables of lib.bash
#
# Load for the system tests: writers of which it is known what must be there afterwards.
#
# After `load lib`.  In teardown(), first: stop_writer.

# Writes block after block, one at a time: number k goes to place k % 32, each in an object of its own, and
# stands in $T/acked as soon as it is acknowledged.
writer() {
	local k=0
	while [ ! -e "$T/enough" ]; do
		k=$((k + 1))
		printf '%-4096d' "$k" | dd of="$1" bs=4096 seek=$((k % 32 * 256 + k % 7)) count=1 iflag=fullblock \
			oflag=direct conv=notrunc status=none || exit 1
		echo "$k" >"$T/acked.new"
		mv "$T/acked.new" "$T/acked"
	done
}

start_writer() {
	rm -f "$T/enough"
	echo 0 >"$T/acked"
	client writer "$1"
	writer_pid=$client
	wait_until 20 test "$(cat "$T/acked")" -ge 0
	wait_until 20 acked 40
}

acked() {
	[ "$(cat "$T/acked")" -ge "$1" ]
}

stop_writer() {
	[ -n "${T:-}" ] && [ -n "${writer_pid:-}" ] || return 0
	touch "$T/enough"
	wait_until 20 gone "$writer_pid"
	writer_pid=
}

# holds FILE FROM TO: what the file holds is what the writer had written after some number from FROM to TO, and
# nothing later: no block of an earlier number is missing
holds() {
	local k place last=0 found=()
	for ((place = 0; place < 32; place++)); do
		for ((k = 0; k < 7; k++)); do
			found+=("$(dd if="$1" bs=4096 skip=$((place * 256 + k)) count=1 status=none | tr -d '\0 ' | head -c 20)")
		done
	done
	for k in "${found[@]}"; do
		[ -z "$k" ] || [ "$k" -le "$last" ] || last=$k
	done
	[ "$last" -ge "$2" ] || fail "$1 holds nothing later than $last, but $2 was acknowledged before"
	[ "$last" -le "$3" ] || fail "$1 holds $last, but $3 was the last when it had been taken"
	for ((k = last; k > 0 && k > last - 224; k--)); do
		place=$((k % 32 * 7 + k % 7))
		[ "${found[place]}" = "$k" ] || fail "$1 holds $last, but at the place of $k stands '${found[place]}'"
	done
	tell "it holds writes up to $last; $2 before the command, $3 after it"
}

# ---- a file system ----

# Makes, syncs and removes files until it has been enough.
files() {
	local n=0
	while [ ! -e "$T/enough" ]; do
		n=$((n + 1))
		head -c $((n % 17 * 20000 + 100)) /dev/urandom >"$1/file$((n % 50))"
		[ $((n % 5)) != 0 ] || sync "$1/file$((n % 50))"
		[ $((n % 7)) != 0 ] || rm -f "$1/file$(((n + 13) % 50))"
	done
}

# ---- fio ----

# start_fio VOLUME SIZE SECONDS OPTION...: random blocks of 512 bytes to 256 KiB, written and verified again and
# again for so long; its output is $client_out
start_fio() {
	local name=$1 size=$2 seconds=$3
	shift 3
	client timeout $((seconds * 4 + 60)) fio --name="$name" --filename="$(volume "$name")" --rw=randwrite \
		--bsrange=512-256k --blockalign=512 --verify=crc32c --verify_backlog=256 --verify_fatal=1 --size="$size" \
		--time_based --runtime="$seconds" "$@"
}

# fio_is_content PID OUTPUT: it has ended, without an error of any kind
fio_is_content() {
	wait_until 60 gone "$1"
	run ! grep -E 'verify:|bad magic|io_u error|Input/output' "$2"
	grep -q 'err= 0' "$2" || fail "$(cat "$2")"
}
