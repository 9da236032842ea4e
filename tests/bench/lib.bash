# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
# shellcheck disable=SC2034 # many variables here are for the benchmarks
#
# What the benchmarks share: the build, one tmpfs for everybody's data, daemons and clients on it, and an end that leaves nothing.
#
# Owns the way in which each contender is started, which is the one that is best for it.  What a function has started or found
# stands in the variables that its comment names.  Never: kills by name, or a process or mount that is not the benchmark's.
bench_dir=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
. "$bench_dir/../system/real.bash"
pids=() mounts=()

say() {
	printf 'bench: %s\n' "$*" >&2
}

# for real.bash
fail() {
	say "$@"
	return 1
}

# usage_of PROGRAM: its options, from its head
usage_of() {
	sed -n 's/^#\t--/  --/p' "$1" >&2
	exit 2
}

# begin_bench SIZE: the build is $build, all files are below $work, and $work/tmpfs is a tmpfs of that size
begin_bench() {
	[ "$(id -u)" = 0 ] || { echo "bench: mounting needs root: sudo $0" >&2; exit 1; }
	build=${SHEEPFS_BUILD:-}
	if [ -z "$build" ]; then
		cd "$bench_dir/../.." || exit 1
		build=$PWD/build/bench
		. packaging/setup.bash
		setup_install "${setup_build_packages[@]}" >&2 && setup_build "$PWD" "$build" all >&2 || exit 1
	fi
	[ -x "$build/master/sheepfs" ] || { echo "bench: there is no build in $build (SHEEPFS_BUILD)" >&2; exit 1; }
	export SHEEPFS_LIBEXEC=$build/libexec SHEEPFS_LAMB=$build/lamb/lamb LC_ALL=C
	have fio || exit 1
	work=$(mktemp -d /tmp/sheepfs-bench.XXXXXX)
	trap clean_up EXIT
	trap 'exit 130' INT TERM
	mkdir "$work/tmpfs" "$work/fusectl"
	mount -t tmpfs -o "size=$1" sheepfs-bench "$work/tmpfs" && mount -t fusectl fusectl "$work/fusectl" || exit 1
}

# Takes down what was started, the last first.
clean_up() {
	local all
	trap '' INT TERM
	while [ ${#mounts[@]} -gt 0 ]; do
		unmount "${mounts[-1]}"
	done
	while [ ${#pids[@]} -gt 0 ]; do
		all=("${pids[@]}")
		end "${all[-1]}"
	done
	real_stop
	umount -l "$work/tmpfs" "$work/fusectl" 2>/dev/null
	rm -rf --one-file-system "$work"
}

# ---- processes ----

# background LOG COMMAND...: its process is $pid
background() {
	local log=$1
	shift
	"$@" >>"$work/$log.log" 2>&1 </dev/null &
	pid=$!
	disown
	pids+=("$pid")
}

gone() {
	[ ! -d "/proc/$1" ] || grep -qs '^State:.[ZX]' "/proc/$1/status"
}

# end PID: by force, if it takes longer than 10 s
end() {
	kill "$1" 2>/dev/null
	kill -CONT "$1" 2>/dev/null
	wait_until 10 gone "$1" 2>/dev/null || kill -KILL "$1"
	forget "$1"
}

# kill_now PID
kill_now() {
	kill -KILL "$1" 2>/dev/null
	wait_until 10 gone "$1"
	forget "$1"
}

# forget PID: its number may be another's from now on
forget() {
	local i
	for i in "${!pids[@]}"; do
		[ "${pids[i]}" != "$1" ] || unset "pids[i]"
	done
}

# wait_until SECONDS COMMAND...: until it succeeds
wait_until() {
	local n tries=$(($1 * 20))
	shift
	for ((n = 0; n < tries; n++)); do
		"$@" 2>/dev/null && return 0
		sleep 0.05
	done
	say "gave up waiting for: $*"
	return 1
}

children_of() {
	cat "/proc/$1/task/$1/children"
}

# child_of PID WORDS: its children whose command line has these words in it
child_of() {
	local p
	for p in $(children_of "$1"); do
		tr '\0' ' ' <"/proc/$p/cmdline" 2>/dev/null | grep -q "$2" && echo "$p"
	done
}

# worker_of PID VOLUME: of that sheepfs
worker_of() {
	child_of "$1" "volume $2 "
}

front_of() {
	child_of "$1" sheepfs-front
}

# have PROGRAM...: they are installed; says what is left out without them
have() {
	local program
	for program in "$@"; do
		command -v "$program" >/dev/null && continue
		say "$program is not installed: without ${contender:-it}"
		return 1
	done
}

# needs VARIABLE: names a program; says what is left out without it
needs() {
	[ -x "${!1:-}" ] && return 0
	if [ -n "${!1:-}" ]; then
		say "without $contender: $1=${!1} is no program"
	else
		say "without $contender: $1 is not set"
	fi
	return 1
}

free_port() {
	local port
	for ((port = 10000 + RANDOM % 20000; ; port++)); do
		answers "$port" || break
	done
	echo "$port"
}

answers() {
	(exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

ms_now() {
	echo $((${EPOCHREALTIME/./} / 1000))
}

# fill FILE SIZE: with so many MiB of noise
fill() {
	local n noise=$work/tmpfs/noise
	[ -e "$noise" ] || head -c 64M /dev/urandom >"$noise"
	for ((n = 0; n < $2; n += 64)); do
		dd if="$noise" of="$1" bs=1M seek="$n" count=64 conv=notrunc oflag=direct status=none || return 1
	done
}

# ---- mounts ----

# unmount PATH: with what is mounted below it; by force, if somebody hangs there
unmount() {
	local i
	if ! timeout 20 umount -R "$1" 2>/dev/null; then
		abort_below "$1"
		umount -R -l "$1" 2>/dev/null
	fi
	for i in "${!mounts[@]}"; do
		[ "${mounts[i]}" != "$1" ] || unset "mounts[i]"
	done
}

# abort_below PATH: whoever waits for the FUSE connections that are mounted there gets an error
abort_below() {
	local number
	awk -v path="$1" '$5 == path || index($5, path "/") == 1 { split($3, n, ":"); print n[2] }' /proc/self/mountinfo |
		while read -r number; do
			echo 1 >"$work/fusectl/$number/abort"
		done 2>/dev/null
}

# ---- lamb, sheepfs ----

# start_lamb NAME STORE [PORT]: over TCP; its process is $pid, its address $address
start_lamb() {
	: >"$work/$1.log"
	background "$1" "$build/lamb/lamb" -p "${3:-0}" "$work/tmpfs/$2"
	wait_until 20 grep -q 'serving .* on' "$work/$1.log" || return 1
	address=$(sed -n 's/^lamb: serving .* on \([0-9.:]*\).*/\1/p' "$work/$1.log")
}

# start_sheepfs NAME TARGET[,TARGET...] [OPTION...]: its process is $pid, its mount point $mnt
start_sheepfs() {
	local name=$1 sheep=$2
	shift 2
	mnt=$work/$name.mnt
	mkdir -p "$mnt"
	background "$name.sheepfs" "$build/master/sheepfs" -f -s "$sheep" --log "$work/$name.log" "$@" "$mnt"
	mounts+=("$mnt")
	wait_until 20 test -e "$mnt/vdi/mount"
}

# ---- nbdkit and its clients ----

# start_nbdkit NAME PORT PLUGIN...: its process is $pid
start_nbdkit() {
	local name=$1 port=$2
	shift 2
	background "$name" nbdkit -f -p "$port" -i 127.0.0.1 "$@"
	wait_until 20 answers "$port"
}

# start_nbdfuse NAME SERVER...: its process is $pid, what it shows $shown
start_nbdfuse() {
	local name=$1
	shift
	mkdir -p "$work/$name.mnt"
	background "$name" nbdfuse "$work/$name.mnt" "$@"
	mounts+=("$work/$name.mnt")
	shown=$work/$name.mnt/nbd
	wait_until 20 test -s "$shown"
}

# start_qsd NAME PORT [OPTION]: its process is $pid, what it shows $shown; OPTION is one of the block driver nbd
start_qsd() {
	shown=$work/$1.file
	: >"$shown"
	background "$1" qemu-storage-daemon --blockdev \
		"driver=nbd,node-name=nbd,server.type=inet,server.host=127.0.0.1,server.port=$2,cache.direct=on${3:+,$3}" \
		--export "type=fuse,id=fuse,node-name=nbd,mountpoint=$shown,writable=on"
	mounts+=("$shown")
	wait_until 20 test -s "$shown"
}

# ---- a real cluster: see real.bash ----

# start_real GATEWAYS: three nodes with two copies on the tmpfs, and so many more that store nothing
start_real() {
	local node
	mkdir -p "$work/tmpfs/real"
	real_start 3 2 "$work/tmpfs/real" >&2 || return 1
	for ((node = 3; node < 3 + $1; node++)); do
		real_gateway "$node" || return 1
	done
}

# start_upstream NAME PORT VOLUME: its process is $pid, its mount point $mnt, what it shows $shown.
# It keeps its state below the current directory, and runs dog from the path.
start_upstream() {
	mnt=$work/$1.mnt
	rm -rf "$work/$1.state"
	mkdir -p "$mnt" "$work/$1.state"
	(
		cd "$work/$1.state" || exit 1
		PATH=$(dirname "$DOG"):$PATH exec setsid "$UPSTREAM_SHEEPFS" -f -a 127.0.0.1 -p "$2" "$mnt"
	) >>"$work/$1.log" 2>&1 </dev/null &
	pid=$!
	disown
	pids+=("$pid") mounts+=("$mnt")
	wait_until 20 test -e "$mnt/vdi/mount" || return 1
	echo "$3" >"$mnt/vdi/mount" || return 1
	shown=$mnt/volume/$3
	wait_until 20 test -s "$shown"
}
