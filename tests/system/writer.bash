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

# Makes, syncs and removes files until it has been enough, or something fails.
files() {
	local n=0
	while [ ! -e "$T/enough" ]; do
		n=$((n + 1))
		head -c $((n % 17 * 20000 + 100)) /dev/urandom >"$1/file$((n % 50))" || exit 1
		[ $((n % 5)) != 0 ] || sync "$1/file$((n % 50))" || exit 1
		[ $((n % 7)) != 0 ] || rm -f "$1/file$(((n + 13) % 50))" || exit 1
	done
}

# is_writable DIRECTORY: its ext4 is, and has met no error: since Linux 6.12 that leaves "rw", and adds "emergency_ro"
is_writable() {
	local options
	options=$(awk -v path="$1" '$2 == path && $3 == "ext4" { print $4 }' /proc/mounts)
	[[ ,$options, == *,rw,* && ,$options, != *,emergency_ro,* ]] || fail "the ext4 at $1 is '$options'"
}

# ---- fio ----

# start_fio VOLUME SIZE SECONDS OPTION...: random blocks of 512 bytes to 256 KiB, written and verified again and
# again for so long; its output is $client_out
start_fio() {
	local name=$1 size=$2 seconds=$3
	shift 3
	client timeout $((seconds * 4 + 60)) fio --name="$name" --filename="$(volume "$name")" --rw=randwrite \
		--bsrange=512-256k --blockalign=512 --verify=crc32c --verify_backlog=256 --verify_fatal=1 \
		--verify_state_save=0 --size="$size" --time_based --runtime="$seconds" "$@"
}

# fio_is_content PID OUTPUT: it has ended, without an error of any kind
fio_is_content() {
	wait_until 60 gone "$1"
	run ! grep -E 'verify:|bad magic|io_u error|Input/output' "$2"
	grep -q 'err= 0' "$2" || fail "$(cat "$2")"
}

# ---- fio, of which all is known ----

# start_rounds VOLUME SIZE OPTION...: fio in rounds, until stop_rounds().  A round writes each block of the first
# SIZE bytes once, in random order, and looks at it soon; then at all of them once more.  A block of an earlier
# round, of another place, or torn is found: it holds its offset and its round's number.
start_rounds() {
	rm -f "$T/enough"
	client rounds "$@"
}

rounds() {
	local n fio how
	trap 'kill "$fio"; exit 1' TERM
	for ((n = 1; ; n++)); do
		for how in --verify_backlog=64 --verify_only; do
			fio_round "$n" "$@" "$how" &
			fio=$!
			wait "$fio" || return
		done
		echo "$n" >"$T/$1.round"
		[ ! -e "$T/enough" ] || return 0
	done
}

# fio_round N VOLUME SIZE OPTION...: in a process that becomes it
fio_round() {
	local number
	printf -v number '%08x' "$1"
	exec timeout 600 fio --name="$2" --filename="$(volume "$2")" --size="$3" --rw=randwrite --bsrange=512-256k \
		--blockalign=512 --verify=pattern --verify_pattern="%o0x$number" --verify_interval=512 --verify_fatal=1 \
		--verify_state_save=0 --randseed="$((${seed:-1} + $1))" --output=/dev/null "${@:4}"
}

# rounds_done VOLUME: how many so far
rounds_done() {
	cat "$T/$1.round" 2>/dev/null || echo 0
}

# another_round VOLUME N: there are more than N
another_round() {
	[ "$(rounds_done "$1")" -gt "$2" ]
}

# stop_rounds PID OUTPUT...: the rounds that they are in are their last; fio found nothing wrong
stop_rounds() {
	touch "$T/enough"
	while [ $# != 0 ]; do
		wait_until 60 gone "$1"
		wait "$1" || fail "fio: status $?: $(cat "$2")"
		same '' "$(cat "$2")"
		shift 2
	done
}

# round_stands VOLUME SIZE OPTION...: what the last round wrote is there
round_stands() {
	(fio_round "$(rounds_done "$1")" "$@" --verify_only)
}
