# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
# shellcheck disable=SC2154,SC2034 # variables of lib.bash and contenders.bash
#
# The load of survive, and what callers saw.
#
# Owns fio, which writes 4 KiB here and there in the first $load_size MiB of $shown, 16 at a time, and reads all of it back; the
# probe, which asks for a block of an object that nobody else asks for, four times a second, until one is written; and the
# counts $errors and $mismatches.  fio ends at its first error, as a file system that goes read-only does.
load_size=64

# load_reset: nothing has been seen yet.  $error is the last that a caller was told, $told the last of the last load
load_reset() {
	errors=0 mismatches=0 error='' load_runs=0
	rm -rf "$work/load"
	mkdir "$work/load"
}

# load_begin: its process is $load
load_begin() {
	load_log=load/$((++load_runs))
	# its file has, of each 10 ms, the longest time that a request took
	background "$load_log" fio --name=load --filename="$shown" --thread --ioengine=libaio --direct=1 --iodepth=16 \
		--rw=randwrite --bs=4k --size="${load_size}M" --time_based --runtime=100000 \
		--verify=crc32c --verify_backlog=256 --verify_fatal=1 --verify_state_save=0 \
		--write_lat_log="$work/$load_log" --log_avg_msec=10 --log_max_value=1 --log_unix_epoch=1 \
		--disable_clat=1 --disable_slat=1
	load=$pid
	sleep 1
}

# load_end: and counts.  Fails when a request hung; it is freed only then, since that is one more error
load_end() {
	local log=$work/$load_log.log status=0
	kill "$load" 2>/dev/null
	wait_until 10 gone "$load" 2>/dev/null || status=1
	errors=$((errors + $(grep -c 'io_u error on file' "$log")))
	mismatches=$((mismatches + $(grep -c '^verify: \|verify failed' "$log")))
	told=$(error_in "$log" "$work/probe.log")
	error=${told:-$error}
	[ $status = 0 ] || abort_below "$client_mount"
	wait_until 10 gone "$load"
	forget "$load"
	return $status
}

# error_in LOG...: the last that a caller was told
error_in() {
	sed -n -e 's/^fio: io_u error on file [^:]*: \([^:]*\):.*/\1/p' -e 's/^dd: .*: //p' "$@" | tail -n 1 | sed \
		-e 's/Transport endpoint is not connected/ENOTCONN/' \
		-e 's/Software caused connection abort/ECONNABORTED/' \
		-e 's/Input.output error/EIO/'
}

# load_pause BEGIN: how many milliseconds a request took that was answered after that moment, at most; nothing if none was
load_pause() {
	awk -F '[ ,]+' -v begin="$1" '$1 >= begin && $2 > longest { longest = $2 } END { if (longest) printf "%.0f\n", longest / 1e6 }' \
		"$work/${load_log}_lat.1.log"
}

# ---- the probe ----

probe_begin() {
	rm -f "$work/probe.log" "$work/answered"
	background probe probe
	prober=$pid
}

probe_end() {
	end "$prober"
}

probe_answered() {
	[ -s "$work/answered" ]
}

# probe_time: when it was, in milliseconds
probe_time() {
	head -n 1 "$work/answered"
}

probe() {
	local n
	for ((n = 0; ; n++)); do
		probe_once $((load_size + n * 4 % (size - load_size))) &
		sleep 0.25
	done
}

# probe_once MIB
probe_once() {
	dd if=/dev/zero of="$shown" bs=4k count=1 seek=$(($1 * 256)) oflag=direct conv=notrunc status=none &&
		ms_now >>"$work/answered"
}
