# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
# shellcheck disable=SC2034 # many variables here are for the tests
#
# What the system tests share: daemons, mounts, commands, and an end that leaves nothing behind.
#
# Every test has its own directory $T, its own lamb on a free port, its own mount point and its own
# range of uids.  A watchdog aborts this test's FUSE connections when its time is up, so that no
# caller hangs for ever.  end_test() takes everything down and fails when something is left.
#
# Never: kills by name, touches a mount, loop device or connection that this test did not make.
bats_require_minimum_version 1.5.0

build=${SHEEPFS_BUILD:?names the build directory}
sheepfs_program=$build/master/sheepfs
lamb_program=$build/lamb/lamb
rawsheep=$build/tests/lib/rawsheep
sheepproxy=$build/tests/lib/sheepproxy
export SHEEPFS_LIBEXEC=$build/libexec SHEEPFS_LAMB=$build/lamb/lamb LC_ALL=C

# ---- small things ----

fail() {
	printf '%s\n' "$*" >&2
	return 1
}

# For what a test wants to be read even when it passes.
tell() {
	printf '# %s\n' "$*" >&3
}

need() {
	local command
	for command in "$@"; do
		command -v "$command" >/dev/null || skip "$command is not installed"
	done
}

need_root() {
	[ "$(id -u)" = 0 ] || skip "mounting needs root"
}

# wait_until SECONDS COMMAND...: until it succeeds
wait_until() {
	local i tries=$(($1 * 20))
	shift
	for ((i = 0; i < tries; i++)); do
		"$@" && return 0
		sleep 0.05
	done
	fail "gave up waiting for: $*"
}

# gone PID: it lives no more, whoever is to reap it
gone() {
	[ ! -d "/proc/$1" ] || grep -q '^State:.Z' "/proc/$1/status" 2>/dev/null
}

# still_there PID: it has not ended yet
still_there() {
	! gone "$1" || fail "process $1 has ended already"
}

# milliseconds since an arbitrary moment
now_ms() {
	echo $((${EPOCHREALTIME/./} / 1000))
}

# many SMALL LARGE: the number that suits this run: LARGE where SHEEPFS_LONG is set
many() {
	echo "$([ -n "${SHEEPFS_LONG:-}" ] && echo "$2" || echo "$1")"
}

contains() {
	[[ $1 == *"$2"* ]] || fail "expected '$2' in: $1"
}

same() {
	[ "$1" = "$2" ] || fail "expected '$1', found '$2'"
}

# ---- the test's frame ----

# begin_test [SECONDS]: in setup()
begin_test() {
	need_root
	[ -c /dev/fuse ] || skip "there is no /dev/fuse"
	T=$(mktemp -d "${TMPDIR:-/tmp}/sheepfs-test.XXXXXX")
	chmod 755 "$T"
	: >"$T/pids"
	# a range of uids for each test's sheepfs; they tell whose a process is
	uid_first=$((100000000 + $$ % 4000000 * 400))
	uid_next=$uid_first
	clients=()
	declare -gA lamb_pids=() lamb_ports=() sheepfs_pids=() proxy_pids=()
	lamb_in=()
	mkdir "$T/fusectl"
	mount -t fusectl fusectl "$T/fusectl"
	mkfifo "$T/watchdog.fifo"
	limit "${1:-60}"
}

# limit SECONDS: from now
limit() {
	stop_watchdog
	watchdog "$1" <>"$T/watchdog.fifo" >>"$T/watchdog.log" 2>&1 3>&- &
	watchdog_pid=$!
}

stop_watchdog() {
	[ -n "${watchdog_pid:-}" ] || return 0
	kill "$watchdog_pid" 2>/dev/null || :
	wait "$watchdog_pid" 2>/dev/null || :
	watchdog_pid=
}

# Sleeps in a builtin, so that there is no child to leave behind.
watchdog() {
	local pid born
	trap - EXIT ERR
	read -r -t "$1" _ || :
	echo "the time of $1 s is up: aborting the connections of this test"
	abort_all
	while read -r pid born; do
		[ "$(born "$pid")" != "$born" ] || kill -KILL "$pid" 2>/dev/null || :
	done <"$T/pids"
}

# remember PID: for the watchdog
remember() {
	echo "$1 $(born "$1")" >>"$T/pids"
}

# born PID: when, in the kernel's ticks: who gets its number later is another one
born() {
	sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d ' ' -f 20
}

# our_mounts [TYPE-PATTERN]: mount points below $T, the last made first
our_mounts() {
	awk -v dir="$T/" -v type="${1:-.}" 'index($5, dir) == 1 {
		for (i = 7; $i != "-"; i++);
		if ($(i + 1) ~ type && $(i + 1) != "fusectl") print $5 }' /proc/self/mountinfo | tac
}

# The number of the FUSE connection that is mounted there.
connection_of() {
	awk -v path="$1" '$5 == path { split($3, n, ":"); c = n[2] } END { if (c) print c; else exit 1 }' \
		/proc/self/mountinfo
}

# abort_connection NUMBER
abort_connection() {
	echo 1 >"$T/fusectl/$1/abort"
}

abort_all() {
	local path number
	for path in $(our_mounts fuse); do
		# only what is mounted now: numbers are given to others at once
		number=$(connection_of "$path") && abort_connection "$number"
	done
}

our_loops() {
	losetup --list --noheadings --raw --output NAME,BACK-FILE | awk -v dir="$T/" 'index($2, dir) == 1 { print $1 }'
}

# unmount_disk DIRECTORY: and waits for its loop device, which the kernel lets go a little later
unmount_disk() {
	umount "$1"
	wait_until 10 no_loops
}

no_loops() {
	[ -z "$(our_loops)" ]
}

# Processes that run under the uids of this test.
our_confined() {
	grep -s '^Uid:' /proc/[0-9]*/status | awk -v first="$uid_first" -v last="$((uid_first + 399))" \
		'$2 >= first && $2 <= last { split($1, p, "/"); print p[3] }'
}

no_confined() {
	[ -z "$(our_confined)" ]
}

show_logs() {
	local file
	for file in "$T"/*.log "$T"/*.out; do
		[ -s "$file" ] || continue
		echo "---- ${file##*/}"
		tail -n 60 "$file" | cut -c1-300
	done
}

# Where SHEEPFS_KEEP names a directory, the logs of a test that failed are kept there.
keep_logs() {
	[ -n "${SHEEPFS_KEEP:-}" ] && [ -z "${BATS_TEST_COMPLETED:-}" ] || return 0
	mkdir -p "$SHEEPFS_KEEP"
	(cd "$T" && find . -xdev \( -name '*.log' -o -name '*.out' \) -type f -exec cp --parents -t "$SHEEPFS_KEEP" {} +)
}

# In teardown(): everything down, and nothing left.
end_test() {
	local pid path loop left=()
	[ -n "${T:-}" ] || return 0
	stop_watchdog
	show_logs
	keep_logs
	for pid in "${clients[@]}"; do
		kill "$pid" 2>/dev/null || :
	done
	for path in $(our_mounts '^(ext|tmpfs|overlay)'); do
		timeout 10 umount "$path" || left+=("the mount $path")
	done
	for loop in $(our_loops); do
		losetup -d "$loop" || left+=("the loop device $loop")
	done
	for pid in "${sheepfs_pids[@]}"; do
		end_process "$pid" 15 || left+=("sheepfs, process $pid, after SIGTERM")
	done
	# now by force
	abort_all
	for pid in "${clients[@]}"; do
		end_process "$pid" 2 || left+=("a client, process $pid")
	done
	for path in $(our_mounts); do
		left+=("the mount $path")
		umount -l "$path" || :
	done
	for loop in $(our_loops); do
		losetup -d "$loop" || :
	done
	for pid in "${proxy_pids[@]}" "${lamb_pids[@]}"; do
		end_process "$pid" 5 || left+=("a daemon, process $pid")
	done
	wait_until 2 no_confined 2>/dev/null || :
	for pid in $(our_confined); do
		left+=("a confined process: $pid $(cat "/proc/$pid/comm" 2>/dev/null)")
		kill -KILL "$pid" 2>/dev/null || :
	done
	if grep -F "TARGET=$T/" /run/mount/utab 2>/dev/null; then
		left+=("a line in /run/mount/utab")
		flock /run/mount/utab.lock sed -i "\\|TARGET=$T/|d" /run/mount/utab
	fi
	[ ! -s "$T/watchdog.log" ] || left+=("time: $(cat "$T/watchdog.log")")
	if grep -s -E 'ERROR: (Address|Leak)Sanitizer|runtime error:' "$T"/*.log "$T"/*.out; then
		left+=("a sanitizer's report")
	fi
	umount "$T/fusectl"
	rm -rf --one-file-system "$T"
	[ ${#left[@]} = 0 ] || fail "left behind: $(printf '%s; ' "${left[@]}")"
}

# end_process PID SECONDS: SIGTERM, wait, SIGKILL; fails if the last was needed
end_process() {
	local pid=$1
	if ! gone "$pid"; then
		kill -TERM "$pid" 2>/dev/null || :
		if ! wait_until "$2" gone "$pid" 2>/dev/null; then
			kill -KILL "$pid" 2>/dev/null || :
			wait_until 5 gone "$pid" || :
			return 1
		fi
	fi
}

# client COMMAND...: runs it in the background; its process is $client, its output $client_out
client() {
	client_out=$T/client-${#clients[@]}.out
	"$@" >"$client_out" 2>&1 3>&- </dev/null &
	client=$!
	clients+=("$client")
	remember "$client"
}

# ---- lamb ----

# start_lamb NAME [OPTION...]: a lamb on store $T/NAME.store, or on that of the lamb $lamb_store, as another node
# of its cluster; run by the command lamb_in, if any.  Its address is $address.  Started again, it has the port it
# had.  Its knobs are set by fault().
start_lamb() {
	local name=$1 line
	shift
	: >>"$T/$name.fault"
	: >"$T/$name.ready"
	"${lamb_in[@]}" "$lamb_program" -p "${lamb_ports[$name]:-0}" --fault-file "$T/$name.fault" "$@" \
		"$T/${lamb_store:-$name}.store" \
		>"$T/$name.ready" 2>>"$T/$name.log" 3>&- </dev/null &
	lamb_pids[$name]=$!
	remember "$!"
	wait_until 10 lamb_ready "$name"
	line=$(<"$T/$name.ready")
	line=${line##* on }
	address=${line%% *}
	lamb_ports[$name]=${address##*:}
}

lamb_ready() {
	if gone "${lamb_pids[$1]}"; then
		return 1
	fi
	grep -q serving "$T/$1.ready"
}

# kill_lamb NAME
kill_lamb() {
	kill -KILL "${lamb_pids[$1]}"
	wait_until 5 gone "${lamb_pids[$1]}"
	# a thread of it may hold the store's lock a little longer than its first thread lives
	wait "${lamb_pids[$1]}" 2>/dev/null || :
}

# fault NAME [KNOB[=VALUE]]...: these knobs and no others, from now on
fault() {
	local name=$1 before
	shift
	printf '%s\n' "$@" >"$T/$name.fault"
	before=$(times_read "$name")
	kill -HUP "${lamb_pids[$name]}"
	wait_until 5 read_again "$name" "$before"
}

times_read() {
	grep -c 'knobs read again' "$T/$1.log" || :
}

read_again() {
	[ "$(times_read "$1")" -gt "$2" ]
}

# ---- sheepproxy ----

# start_proxy NAME TARGET: its address is $address
start_proxy() {
	local name=$1
	mkfifo "$T/$name.control"
	: >"$T/$name.out"
	"$sheepproxy" 0 "$2" --control "$T/$name.control" --count "$T/$name.count" \
		>"$T/$name.out" 2>"$T/$name.log" 3>&- </dev/null &
	proxy_pids[$name]=$!
	remember "$!"
	wait_until 5 grep -q sheepproxy: "$T/$name.out"
	address=$(sed 's/^sheepproxy: //' "$T/$name.out")
}

# proxy_mode NAME MODE
proxy_mode() {
	echo "$2" >"$T/$1.control"
	wait_until 5 proxy_in_mode "$1" "$2"
}

proxy_in_mode() {
	[ "$(tail -n 1 "$T/$1.log")" = "sheepproxy: mode $2" ]
}

# proxy_count NAME WORD: peak, total or requests
proxy_count() {
	sleep 0.3
	sed "s/.*$2 \([0-9]*\).*/\1/" "$T/$1.count"
}

# listening PORT: somebody does, on IPv4 loopback
listening() {
	local hex
	printf -v hex '%04X' "$1"
	awk -v port="$hex" '{ split($2, a, ":") } $4 == "0A" && a[2] == port { found = 1 } END { exit !found }' \
		/proc/net/tcp
}

# A port on which nobody listens, outside of the range that the kernel gives away by itself.
free_port() {
	local port
	for ((port = 10000 + RANDOM % 20000; ; port++)); do
		listening "$port" || break
	done
	echo "$port"
}

# ---- sheepfs ----

# start_sheepfs [-n NAME] TARGETS [OPTION...]: mounts at $T/NAME (default mnt), and makes it $mnt
start_sheepfs() {
	local name=mnt targets
	if [ "$1" = -n ]; then
		name=$2
		shift 2
	fi
	targets=$1
	shift
	mkdir -p "$T/$name"
	"$sheepfs_program" -f -s "$targets" -t 10 --log "$T/$name.log" --uids "$(uid_range)" "$@" "$T/$name" \
		>"$T/$name.out" 2>&1 3>&- </dev/null &
	uid_next=$((uid_next + 50))
	sheepfs_pids[$name]=$!
	remember "$!"
	use_sheepfs "$name"
	wait_until 10 serving "$name"
}

# The next sheepfs' --uids.
uid_range() {
	echo "$uid_next-$((uid_next + 49))"
}

# use_sheepfs NAME: what $mnt, attach and so on mean from now on
use_sheepfs() {
	mnt=$T/$1
	sheepfs_log=$T/$1.log
	sheepfs_pid=${sheepfs_pids[$1]:-}
}

mounted() {
	connection_of "$1" >/dev/null
}

not_mounted() {
	! mounted "$1"
}

serving() {
	gone "${sheepfs_pids[$1]}" && return 1
	mounted "$T/$1" && timeout 5 test -e "$T/$1/vdi/mount"
}

# stop_sheepfs [NAME]: with SIGTERM; its exit status is $exit_status
stop_sheepfs() {
	local pid=${sheepfs_pids[${1:-mnt}]}
	kill -TERM "$pid"
	wait_until 20 gone "$pid"
	exit_status=0
	wait "$pid" || exit_status=$?
}

# children PROGRAM [ARGUMENT]: processes under $sheepfs_pid that run it, by their command lines
children() {
	local pid args all
	read -r -a all <"/proc/$sheepfs_pid/task/$sheepfs_pid/children" || :
	for pid in "${all[@]}"; do
		{ args=$(tr '\0' ' ' <"/proc/$pid/cmdline"); } 2>/dev/null || continue
		[[ $args == *"$1 ${2:-}"* ]] && echo "$pid"
	done
	:
}

# own_descriptors VOLUME...: the master's, without the duplicates of these volumes' connections: how many those are depends on
# how slow their daemon is
own_descriptors() {
	local n volume
	n=$(find "/proc/$sheepfs_pid/fd" -type l | wc -l)
	for volume in "$@"; do
		n=$((n - $(find "/proc/$(worker_pid "$volume")/fd" -lname 'socket:*' | wc -l)))
	done
	echo "$n"
}

front_pid() {
	children sheepfs-front
}

worker_pid() {
	children sheepfs-worker "volume $1 "
}

cluster_pid() {
	children sheepfs-worker cluster
}

# ---- commands ----

# order FILE TEXT: writes TEXT to the control file.  Afterwards $sentence is what the same open file
# says about it, $error the errno in words, empty when it was done.
order() {
	local status=0
	# shellcheck disable=SC2016 # the inner shell's variables
	sentence=$(timeout -k 1 30 bash -c '
		exec 9<>"$1" || exit 3
		printf "%s\n" "$2" >&9
		status=$?
		cat <&9
		exit "$status"' order "$mnt/$1" "$2" 2>"$T/order.err" 3>&-) || status=$?
	error=$(sed -n 's/.*write error: //p' "$T/order.err")
	[ "$status" = 0 ] || [ -n "$error" ] || error="no errno: status $status, $(cat "$T/order.err")"
	echo "$2 > $1: ${error:-done}: $sentence"
	return "$status"
}

# asked FILE TEXT: as order(), in the background; a control file that was open when the front died is opened again
asked() {
	# shellcheck disable=SC2016 # the inner shell's variables
	client timeout 60 bash -c 'for try in 1 2 3; do
			exec 9<>"$1" && echo "$2" >&9
			status=$?
			sentence=$(cat <&9 2>&1)
			[ "$status" != 0 ] && [[ $sentence == *Stale* ]] || break
		done
		echo "$sentence"
		exit "$status"' asked "$mnt/$1" "$2"
}

# answered PID OUTPUT: what was asked is done
answered() {
	wait "$1" || fail "it failed: $(cat "$2")"
}

# refused FILE TEXT ERRNO [WORD...]: the command fails with this errno (a glob), and the sentence has
# these words in it
refused() {
	local file=$1 text=$2 wanted=$3 word
	shift 3
	if order "$file" "$text"; then
		fail "'$text' > $file was done: $sentence"
	fi
	# shellcheck disable=SC2053 # a pattern
	[[ $error == $wanted ]] || fail "'$text' > $file: expected '$wanted', found '$error'"
	[ -n "$sentence" ] || fail "'$text' > $file: no sentence"
	same 1 "$(wc -l <<<"$sentence")"
	for word in "$@"; do
		contains "$sentence" "$word"
	done
}

create() {
	order vdi/create "$*"
}

# attach NAME: as it is typed
attach() {
	order vdi/mount "$1"
	mounted "$mnt/volume/$1" || fail "volume/$1 is not mounted"
}

detach() {
	order vdi/unmount "$1"
}

# attached NAME SIZE: creates and attaches
attached() {
	create "$@"
	attach "$1"
}

volume() {
	echo "$mnt/volume/$1"
}

# went_on NAME N: the volume has had at least N failovers
went_on() {
	[ "$(grep -c "volume $1 goes on after" "$sheepfs_log")" -ge "$2" ]
}

# No volume of this sheepfs, and no caller got an error.
never_failed() {
	run ! grep -E 'has failed|EIO' "$sheepfs_log"
}

# All of the past was settled by proof, never because it had been waited for so long.
always_proved() {
	run ! grep -e '--fence-timeout' "$sheepfs_log"
}

# worker_row NAME: what status/workers says about it
worker_row() {
	grep "^$1 " "$mnt/status/workers"
}

# all_settled NAME: nothing of an earlier generation is waited for any more
all_settled() {
	[ "$(awk -v name="$1" '$1 == name { print $2, $7 }' "$mnt/status/workers")" = 'ready 0' ]
}

# served_by NAME TARGET
served_by() {
	awk -v name="$1" -v target="$2" '$1 == name && $2 == "ready" && $8 == target { found = 1 } END { exit !found }' \
		"$mnt/status/workers"
}

# start_reader FILE: reads its beginning again and again, until stop_reader(), which fails when it met an error
start_reader() {
	rm -f "$T/enough"
	# shellcheck disable=SC2016 # the inner shell's variables
	client bash -c 'while [ ! -e "$2" ]; do dd if="$1" of=/dev/null bs=4k count=256 status=none || exit; done; echo fine' \
		reader "$1" "$T/enough"
	reader_pid=$client reader_out=$client_out
}

stop_reader() {
	touch "$T/enough"
	wait_until 20 gone "$reader_pid"
	same fine "$(cat "$reader_out")"
}

# The tree answers: both what the front knows and what the master tells.
tree_serves() {
	timeout 5 cat "$mnt/vdi/mount" >/dev/null && timeout 5 cat "$mnt/config/sheep_info" >/dev/null &&
		timeout 5 ls -l "$mnt/vdi" >/dev/null
}

# fails_with ERRNO-TEXT COMMAND...: it fails, and says so
fails_with() {
	local wanted=$1 status=0 said
	shift
	said=$(timeout -k 1 20 "$@" 2>&1) || status=$?
	[ "$status" != 0 ] || fail "did not fail: $*"
	contains "$said" "$wanted"
}

# noise FILE SIZE: bytes that look like nothing else
noise() {
	head -c "$2" /dev/urandom >"$1"
}

# digest FILE [OFFSET SIZE]: of all of it, or of so many bytes
digest() {
	local sum
	if [ $# = 1 ]; then
		sum=$(timeout 60 sha256sum "$1")
	else
		sum=$(timeout 60 dd if="$1" bs=1M iflag=skip_bytes,count_bytes skip="$2" count="$3" status=none | sha256sum)
	fi
	echo "${sum%% *}"
}
