#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# shellcheck disable=SC2012,SC2154 # variables of lib.bash and daemons.bash
#
# All of it at once: whatever may die, stop or move does, at random moments, under fio with O_DIRECT at depth 16 on
# one volume and a buffered writer on another; no error, nothing lost, nothing left over.
#
# A minute, or ten in the long suite.  SEED=N repeats the choices of a run that printed N.

load lib
load real
load deaths
load daemons
load keeper
load writer

setup() {
	need fio
	soak_time=$(many 60 600)
	seed=${SEED:-$RANDOM}
	begin_test $((soak_time + 240))
	tell "SEED=$seed, $soak_time s"
}

teardown() {
	find_master
	end_daemons
	end_test
	real_stop
}

size=32M
# their workers' uids: the generation that ends and the one that begins, of both, of what is being deleted, and some for the
# kernel's delays
uids_for_workers=14

# What can happen: a function each, which does it and comes back soon; those that are named twice happen more often.
events=(kill_worker kill_worker stop_worker kill_cluster_worker lose_daemon lose_daemon lose_daemon lose_cluster
	move take_snapshot take_snapshot delete_snapshot read_table read_table)
# and, in the first two thirds of the time, whose deaths begin with new memory
deaths=()

# ---- time ----

# agenda: "MILLISECONDS COMMAND...", what is to be done later
agenda=()

# later MILLISECONDS COMMAND...: from now
later() {
	agenda+=("$(($(now_ms) + $1)) ${*:2}")
}

# Does what is due.
run_agenda() {
	local entry now due=()
	now=$(now_ms)
	for entry in "${!agenda[@]}"; do
		if [ "${agenda[entry]%% *}" -le "$now" ]; then
			due+=("${agenda[entry]#* }")
			unset "agenda[entry]"
		fi
	done
	for entry in "${due[@]}"; do
		echo "$(date +%T.%3N) $entry" >>"$T/events.log"
		$entry
	done
}

# draw FROM TO: $drawn, a random number from FROM to TO
draw() {
	drawn=$(($1 + (RANDOM * 32768 + RANDOM) % ($2 - $1 + 1)))
}

# one_of WORD...: $drawn is one of them
one_of() {
	draw 1 $#
	drawn=${!drawn}
}

# ---- events ----

signal_all() {
	local pid
	for pid in "${@:2}"; do
		kill "-$1" "$pid" 2>/dev/null || :
	done
}

kill_worker() {
	one_of one two
	# shellcheck disable=SC2046 # none, or two when one is about to end
	signal_all KILL $(worker_pid "$drawn")
}

# The heartbeat finds it.
stop_worker() {
	one_of one two
	# shellcheck disable=SC2046
	signal_all STOP $(worker_pid "$drawn")
}

kill_cluster_worker() {
	# shellcheck disable=SC2046
	signal_all KILL $(cluster_pid)
}

# The one of our own.  One that had served for less than 2 s is started again after a while.
kill_lamb_child() {
	# shellcheck disable=SC2046
	signal_all KILL $(children lamb)
}

# Early deaths are counted: the fifth in a row is the last.
kill_a_front() {
	[ "$(now_ms)" -ge "$next_front" ] || return 0
	next_front=$(($(now_ms) + 2500))
	# shellcheck disable=SC2046
	signal_all KILL $(front_pid)
}

# Its front dies with it.
kill_the_master() {
	[ "$(now_ms)" -ge "$next_front" ] || return 0
	kill_master
	next_front=$(($(now_ms) + 2500))
}

lose_daemon() {
	local way daemon
	one_of "${ways[@]}"
	way=$drawn
	one_of "${daemons[@]}"
	daemon=$drawn
	draw 300 "${longest_loss[$way]}"
	if [ "${#daemon_lost[@]}" -lt "$lost_at_once" ] && [ -z "${daemon_lost[$daemon]:-}" ]; then
		lose "$way" "$daemon"
		later "$drawn" regain "$daemon"
	fi
}

lose_cluster() {
	kill_cluster
	draw 0 1500
	sleep "$(printf '%d.%03d' $((drawn / 1000)) $((drawn % 1000)))"
	start_cluster_again
}

move() {
	one_of "$targets" "${targets#*,},${targets%,*}" "${targets%,*}"
	ask config/sheep_info "$drawn"
}

take_snapshot() {
	one_of one two
	snapshots=$((snapshots + 1))
	ask vdi/snapshot "$drawn s$snapshots"
}

# Perhaps one that there is not, or that is being taken or deleted.
delete_snapshot() {
	local volume
	[ "$snapshots" != 0 ] || return 0
	one_of one two
	volume=$drawn
	draw 1 "$snapshots"
	ask vdi/delete "$volume@s$drawn"
}

read_table() {
	one_of vdi/list cluster/info node/list node/info status/workers status/failovers
	ask "$drawn"
}

# ---- commands ----

# ask FILE [TEXT]: in the background: reads it, or orders TEXT.  A line in asked.out: "OUTCOME: FILE TEXT: SENTENCE".
# At most eight at once.
ask() {
	local pid running=()
	for pid in "${asking[@]}"; do
		gone "$pid" || running+=("$pid")
	done
	asking=("${running[@]}")
	[ ${#asking[@]} -lt 8 ] || return 0
	ask_and_tell "$@" 3>&- &
	asking+=($!)
}

ask_and_tell() {
	local said outcome='done' status=0
	# shellcheck disable=SC2016 # the inner shell's variables
	said=$(timeout -k 1 60 bash -c '
		if [ -z "$2" ]; then
			cat "$1" >/dev/null
			exit
		fi
		exec 9<>"$1" || exit
		printf "%s\n" "$2" >&9
		status=$?
		cat <&9
		exit "$status"' ask "$mnt/$1" "${2:-}" 2>&1) || status=$?
	if [ "$status" = 124 ]; then
		outcome=hung
	elif [ "$status" != 0 ]; then
		outcome=$(head -n 1 <<<"$said")
		outcome=${outcome##*: }
	fi
	echo "$outcome: $1 ${2:-}: $(tail -n 1 <<<"$said")" >>"$T/asked.out"
}

# ---- what can leak ----

descriptors() {
	ls "/proc/$1/fd" | wc -l
}

# memory PID: kilobytes of its own
memory() {
	awk '$1 == "RssAnon:" { print $2 }' "/proc/$1/status"
}

# as_large WHO PID BEFORE: it has no more memory than it had; a megabyte is what can be free in it
as_large() {
	local now
	now=$(memory "$2")
	tell "the $1 has $now kB of its own, and had $3"
	# AddressSanitizer keeps what is freed: there this says nothing
	[ "${SHEEPFS_VARIANT:-plain}" != plain ] || [ "$now" -le $(($3 + 1024)) ] || fail "the $1 has grown"
}

# keeps_as_many NUMBER: the master, connections not counted
keeps_as_many() {
	[ "$(own_descriptors one two)" -le "$1" ]
}

# as_many PID NUMBER: descriptors
as_many() {
	[ "$(descriptors "$1")" -le "$2" ]
}

# nothing_waits: the kernel has no request left on any connection of ours
nothing_waits() {
	local path
	for path in $(our_mounts fuse); do
		[ "$(cat "$T/fusectl/$(connection_of "$path")/waiting")" = 0 ] || return 1
	done
}

# Front, cluster worker, a lamb of our own if there is one, and a worker for each of N volumes: no more, and no zombie.
has_children() {
	local all n=$((2 + $1))
	[ "$daemons_are" != own ] || n=$((n + 1))
	read -r -a all <"/proc/$sheepfs_pid/task/$sheepfs_pid/children"
	[ ${#all[@]} = "$n" ] && [ "$(our_confined | wc -l)" = "$n" ]
}

# in_flight NAME N: the volume's worker has so many requests
in_flight() {
	[ "$(awk -v name="$1" '$1 == name { print $6 }' "$mnt/status/workers")" = "$2" ]
}

# slots_are_free NAME N: so many slots of the front can be used at once: 64 by asynchronous requests, and 16 by others,
# which the kernel does not count; of a cached volume it takes all for asynchronous.
slots_are_free() {
	local daemon loads
	for daemon in "${daemons[@]}"; do
		lose stopped "$daemon"
	done
	client reads "$1" --ioengine=libaio --iodepth=64
	loads=("$client" "$client_out")
	client reads "$1" --ioengine=psync --numjobs=16 --thread
	loads+=("$client" "$client_out")
	wait_until 6 in_flight "$1" "$2"
	for daemon in "${daemons[@]}"; do
		regain "$daemon"
	done
	stop_rounds "${loads[@]}"
}

reads() {
	exec timeout 60 fio --name="$1" --filename="$(volume "$1")" --rw=randread --bs=4k --direct=1 --size="$size" \
		--io_size=1M --output=/dev/null "${@:2}"
}

# ---- the soak ----

# begin WHAT: two volumes on lamb, real, or own: a lamb of sheepfs' own; and their load
begin() {
	local start
	if [ "$1" = own ]; then
		daemons_are=own
		targets=lamb:$T/own
		events=(kill_worker kill_worker stop_worker kill_cluster_worker kill_lamb_child kill_lamb_child kill_lamb_child
			take_snapshot take_snapshot delete_snapshot read_table)
	else
		start_daemons "$1"
	fi
	if kernel_asks_again; then
		deaths=(kill_a_front kill_the_master)
		start=start_kept
	else
		start=start_sheepfs
	fi
	$start "$targets" --uids "$uid_first-$((uid_first + 2 + uids_for_workers))"
	attached one 64M object_size=1M
	order config/page_cache 1
	attached two 64M object_size=1M
	order config/page_cache 0
	master_descriptors=$(own_descriptors one two)
	front_descriptors=$(descriptors "$(front_pid)")
	next_front=0 snapshots=0 asking=()
	declare -gA longest_loss=([killed]=3000 [ended]=3000 [closed]=3000 [stopped]=9000 [unheard]=6000 [unreachable]=6000)
	: >"$T/asked.out"
	start_rounds one "$size" --ioengine=libaio --direct=1 --iodepth=16
	direct=("$client" "$client_out")
	start_rounds two "$size" --ioengine=psync --fsync=32
	buffered=("$client" "$client_out")
}

soak() {
	local begun=$SECONDS spent
	RANDOM=$seed
	master_memory='' front_memory=''
	while [ $((SECONDS - begun)) -lt "$soak_time" ]; do
		draw 200 1500
		sleep "$((drawn / 1000)).$(printf '%03d' $((drawn % 1000)))"
		run_agenda
		spent=$((SECONDS - begun))
		if [ "$spent" -lt $((soak_time * 2 / 3)) ]; then
			one_of "${events[@]}" "${deaths[@]}"
		else
			one_of "${events[@]}"
		fi
		happened[$drawn]=$((${happened[$drawn]:-0} + 1))
		echo "$(date +%T.%3N) $drawn" >>"$T/events.log"
		"$drawn"
		# the last ones have been of use for a while
		if [ -z "$master_memory" ] && [ "$spent" -ge $((soak_time * 3 / 4)) ]; then
			master_memory=$(memory "$sheepfs_pid")
			front_memory=$(memory "$(front_pid)")
		fi
		still_there "${direct[0]}"
		still_there "${buffered[0]}"
	done
}

# Nothing is lost any more, and all that was asked has its answer.
calm_down() {
	local daemon pid
	agenda=()
	for daemon in "${!daemon_lost[@]}"; do
		regain "$daemon"
	done
	for pid in "${asking[@]}"; do
		wait_until 70 gone "$pid"
	done
	order config/sheep_info "$targets"
	stop_rounds "${direct[@]}" "${buffered[@]}"
	wait_until 60 all_settled one
	wait_until 60 all_settled two
	finish_deletions
}

# Snapshots whose deletion was asked for, done or not.
doomed() {
	sed -n 's/^[^:]*: vdi.delete \([^:]*\): .*/\1/p' "$T/asked.out" | sort -u
}

# What was begun, and not finished in time, is.
finish_deletions() {
	local name
	while read -r name; do
		wait_until 60 is_deleted "$name"
	done < <(doomed)
}

is_deleted() {
	order vdi/delete "$1" >/dev/null || [ "$error" = 'No such file or directory' ]
}

tell_all() {
	local name told=
	for name in "${!happened[@]}"; do
		told+=" ${happened[$name]} $name,"
	done
	tell "events:${told%,}"
	tell "generations: $(awk 'NR > 1 { printf "%s %d, ", $1, $4 }' "$mnt/status/workers")rounds: one $(rounds_done one), two $(rounds_done two)"
	sed 's/^\([^:]*\): \([^ ]*\) .*/\2: \1/' "$T/asked.out" | sort | uniq -c | while read -r name; do
		tell "asked: $name"
	done
}

all_is_there() {
	local name
	never_failed
	always_proved
	for name in one two; do
		[ "$(rounds_done "$name")" -gt $((soak_time / 20)) ] || fail "$name: $(rounds_done "$name") rounds only"
		round_stands "$name" "$size"
		[ "$daemons_are" = own ] || cluster_reads "$name" 67108864 | cmp - "$(volume "$name")"
	done
	run ! grep '^hung' "$T/asked.out"
	sed -n 's/^done: vdi.snapshot \([a-z]*\) \(s[0-9]*\): .*/\1 \2/p' "$T/asked.out" >"$T/taken"
	while read -r name tag; do
		! doomed | grep -qx "$name@$tag" || continue
		awk -v name="$name" -v tag="$tag" '$1 == "s" && $2 == name && $0 ~ " " tag " " { n++ } END { exit n != 1 }' \
			"$mnt/vdi/list" || fail "snapshot $name@$tag was taken, they say: $(cat "$mnt/vdi/list")"
	done <"$T/taken"
}

nothing_leaked() {
	local n
	# the cluster worker is there
	cat "$mnt/vdi/list" >/dev/null
	wait_until 10 has_children 2
	wait_until 10 keeps_as_many "$master_descriptors"
	wait_until 10 as_many "$(front_pid)" "$front_descriptors"
	wait_until 10 nothing_waits
	# of a lamb of our own there is no stopping for long
	[ "$daemons_are" = own ] || slots_are_free one 80
	[ "$daemons_are" = own ] || slots_are_free two 64
	wait_until 10 nothing_waits
	as_large master "$sheepfs_pid" "$master_memory"
	as_large front "$(front_pid)" "$front_memory"
	same 3 "$(our_mounts fuse | wc -l)"
	[ "$daemons_are" = own ] || same 2 "$(cluster_locks | wc -l)"
	# every uid can be used
	for ((n = 3; n <= uids_for_workers; n++)); do
		attached "v$n" 4M
	done
	wait_until 10 has_children "$uids_for_workers"
	for ((n = 3; n <= uids_for_workers; n++)); do
		detach "v$n"
	done
	detach one
	detach two
	[ "$daemons_are" = own ] || same '' "$(cluster_locks)"
	wait_until 10 has_children 0
	same 1 "$(our_mounts fuse | wc -l)"
	if kernel_asks_again; then
		stop_is_the_end
	else
		stop_sheepfs
		same 0 "$exit_status"
	fi
}

soak_on() {
	declare -A happened=()
	lost_at_once=$2
	begin "$1"
	soak
	calm_down
	tell_all
	all_is_there
	nothing_leaked
}

@test "a soak of random deaths on nodes of lamb" {
	soak_on lamb 2
}

@test "a soak of random deaths on a lamb of sheepfs' own" {
	soak_on own 0
}

@test "a soak of random deaths on a real cluster" {
	real_need
	soak_on real 1
	real_check one
	real_check two
	real_replicas_equal
}
