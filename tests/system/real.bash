# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
#
# A real Sheepdog cluster for the system tests that ask for one.
#
# SHEEP and DOG name its daemon and its command line; without them these tests are skipped.  The nodes run on
# this host, each with a free loopback port, a zone and a store of its own, and find one another by the local
# cluster driver's shared file.  That file and the stores are in a new directory each time: nothing of an
# earlier cluster can be joined.  Of the host's, the driver uses the directory /tmp/sheepdog_locks, which it
# makes and leaves there.
#
# After `load lib`.  In teardown(): real_stop, whatever happened.  Never: kills by name, or a node that this
# process did not start.
REAL_PIDS=()
REAL_PORTS=()
REAL_STORES=()
# REAL_OPTIONS[NODE]: what else that node is started with; with -g it stores nothing
REAL_OPTIONS=()
# what else the cluster is formatted with
REAL_FORMAT=()
# REAL_HOSTS[NODE]: its address, if it is another than 127.0.0.1
REAL_HOSTS=()
# what runs daemon and dog, if they are not to run here: a command that becomes them
real_in=()
real_loggers=()

# real_need: skips the test where there is no real Sheepdog
real_need() {
	local program
	for program in "${SHEEP:-}" "${DOG:-}"; do
		if [ ! -f "$program" ] || [ ! -x "$program" ]; then
			skip "needs SHEEP and DOG"
		fi
	done
}

# real_start N [COPIES [DIR]]: N nodes, formatted with COPIES (default 2) and with locking, their files below
# DIR (default this test's own directory).  Sets REAL_PORTS and REAL_PIDS, and real_address to the first
# node's HOST:PORT; that one is exported, for the tests of a file whose setup_file() starts the cluster.
real_start() {
	local nodes=$1 copies=${2:-2} dir=${3:-${BATS_TEST_TMPDIR:-$BATS_FILE_TMPDIR}} node
	if [ "$copies" -gt "$nodes" ]; then
		fail "real_start: $copies copies need as many nodes, not $nodes"
		return 1
	fi
	if [ ${#REAL_PIDS[@]} != 0 ]; then
		fail "real_start: a cluster is running, real_stop comes first"
		return 1
	fi
	mkdir -p "$dir" && REAL_DIR=$(mktemp -d "$dir/real.XXXXXX") || return 1
	# the daemon cuts a longer one, and then two nodes may use the same
	if [ $((${#REAL_DIR} + 10)) -ge 108 ]; then
		fail "real_start: the path of a unix socket in $REAL_DIR is too long, set TMPDIR to a shorter one"
		return 1
	fi
	for ((node = 0; node < nodes; node++)); do
		real_start_node "$node" || return 1
	done
	export real_address=127.0.0.1:${REAL_PORTS[0]}
	for ((node = 0; node < nodes; node++)); do
		wait_until 10 real_members "$node" "$nodes" || return 1
	done
	real_dog cluster format -c "$copies" -l "${REAL_FORMAT[@]}" </dev/null || return 1
	for ((node = 0; node < nodes; node++)); do
		wait_until 10 real_running "$node" || return 1
	done
}

# real_dog ARGS...: dog, at the first node
real_dog() {
	"${real_in[@]}" timeout -k 1 120 "$DOG" "$@" -a 127.0.0.1 -p "${real_address##*:}" 3>&-
}

# real_stop: ends all nodes, by force if they take longer than 10 s
real_stop() {
	local pid nodes=()
	[ ${#REAL_PIDS[@]} != 0 ] || return 0
	for pid in "${REAL_PIDS[@]}"; do
		# not who got the number of a node that a test has killed
		grep -qzF "$REAL_DIR/" "/proc/$pid/cmdline" 2>/dev/null || continue
		nodes+=("$pid")
		kill -TERM "$pid" 2>/dev/null || :
	done
	REAL_PIDS=()
	REAL_PORTS=()
	# a test may have stopped one
	for pid in "${nodes[@]}"; do
		kill -CONT "$pid" 2>/dev/null || :
	done
	if ! wait_until 10 real_ended "${nodes[@]}"; then
		for pid in "${nodes[@]}"; do
			kill -KILL "$pid" 2>/dev/null || :
		done
	fi
	wait_until 10 real_ended "${nodes[@]}" "${real_loggers[@]}"
	real_loggers=()
}

# real_gateway NODE: one more node, which stores nothing.  Only in a formatted cluster
real_gateway() {
	REAL_OPTIONS[$1]=-g
	real_start_node "$1" && wait_until 10 real_running "$1"
}

# real_kill NODE...: at one moment
real_kill() {
	local node pids=()
	for node in "$@"; do
		pids+=("${REAL_PIDS[node]}")
	done
	kill -STOP "${pids[@]}"
	kill -KILL "${pids[@]}"
	wait_until 10 real_ended "${pids[@]}"
}

# real_all_again: all nodes, which have ended, as one cluster
real_all_again() {
	local node
	rm -f "$REAL_DIR/members"*
	for node in "${!REAL_PIDS[@]}"; do
		real_run_again "$node"
	done
	for node in "${!REAL_PIDS[@]}"; do
		wait_until 30 real_running "$node"
	done
}

# real_replicas_equal: every object is the same wherever it is
real_replicas_equal() {
	local store
	for store in "${REAL_STORES[@]}"; do
		find "$store/obj" -maxdepth 1 -type f -exec sha256sum {} + | sed 's|/.*/| |'
	done | sort -k 2 | uniq | awk '
		$2 == last { print "copies of " $2 " differ"; differ = 1 }
		{ last = $2; n++ }
		END { exit differ || !n }'
}

# real_check [-s TAG] VOLUME: dog finds nothing to mend
real_check() {
	local said
	said=$(real_dog vdi check "$@" </dev/null)
	[[ $said != *[Ff]ix* && $said != *lost* && $said != *[Ff]ail* ]] || fail "dog vdi check $*: $said"
}

# ---- their parts ----

# real_start_node NODE: and waits until it is a member.  Another try where somebody was faster at its port, or
# another cluster's node started at the same moment: both then clear the driver's directory, and one gives up.
real_start_node() {
	local node=$1 try port store pid
	for try in 1 2 3; do
		port=$(free_port)
		store=$REAL_DIR/$node.$try
		mkdir "$store"
		real_run "$node" "$port" "$store"
		pid=${REAL_PIDS[node]}
		wait_until 10 real_joined_or_ended "$node" || return 1
		if ! real_ended "$pid"; then
			# its only child writes its log, and outlives a killed node for a second
			read -r "real_loggers[$node]" <"/proc/$pid/task/$pid/children" || :
			return 0
		fi
		cat "$REAL_DIR/$node.out" "$store/sheep.log" >&2 || :
	done
	fail "node $node of the real cluster does not start"
}

# real_run NODE PORT STORE: starts its daemon
real_run() {
	local node=$1
	# -f: a child of this process, which reaps it.  The driver takes a zombie for a living member
	# -n: no O_SYNC, which matters when a host dies, not when a process does
	"${real_in[@]}" "$SHEEP" -f -n -b "${REAL_HOSTS[node]:-127.0.0.1}" -y "${REAL_HOSTS[node]:-127.0.0.1}" -p "$2" -z "$node" -c "local:$REAL_DIR/members" \
		${REAL_OPTIONS[node]:+"${REAL_OPTIONS[node]}"} "$3" >"$REAL_DIR/$node.out" 2>&1 3>&- </dev/null &
	REAL_PIDS[node]=$!
	REAL_PORTS[node]=$2
	REAL_STORES[node]=$3
	disown
	[ -z "${T:-}" ] || remember "${REAL_PIDS[node]}"
}

# real_run_again NODE: one that has ended, with the port and the store that it had
real_run_again() {
	real_run "$1" "${REAL_PORTS[$1]}" "${REAL_STORES[$1]}"
	wait_until 10 real_answers "$1"
	read -r "real_loggers[$1]" <"/proc/${REAL_PIDS[$1]}/task/${REAL_PIDS[$1]}/children" || :
}

# real_answers NODE: that node tells its cluster's status
real_answers() {
	[ -n "$(real_ask "$1" cluster info)" ]
}

real_joined_or_ended() {
	real_ended "${REAL_PIDS[$1]}" || real_members 0 $(($1 + 1))
}

# real_ended PID...: all of them, reaped or not
real_ended() {
	local pid
	for pid in "$@"; do
		if grep -q '^State:[[:space:]]*[^ZX]' "/proc/$pid/status" 2>/dev/null; then
			return 1
		fi
	done
}

# real_ask NODE ARGS...: dog, at that node
real_ask() {
	local node=$1
	shift
	"${real_in[@]}" timeout -k 1 5 "$DOG" "$@" -a "${REAL_HOSTS[node]:-127.0.0.1}" -p "${REAL_PORTS[node]}" 2>/dev/null 3>&- </dev/null
}

# real_members NODE N: that node knows of N members
real_members() {
	[ "$(real_ask "$1" node list -r | wc -l)" = "$2" ]
}

# real_running NODE: that node serves requests
real_running() {
	[[ $(real_ask "$1" cluster info -r) == running* ]]
}
