# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # variables of lib.bash and real.bash, and for the tests
#
# Two daemons of one cluster as sheepfs' targets, and the ways in which a daemon is lost: nodes of lamb on one
# store, or gateways of a real cluster of three nodes that store nothing themselves.
#
# They run in a network namespace of their own, which ends with its last process, behind a link of which packets
# can be lost.  After `load lib` and `load real`.  In teardown(): end_daemons, end_test, real_stop.

# daemons: their names; targets: for --sheep; daemon_lost[NAME]: the way in which it is lost now, or nothing
daemons=()
targets=
declare -A daemon_lost=()
# what they are: lamb, real
daemons_are=

# start_daemons WHAT: lamb or real
start_daemons() {
	daemons_are=$1
	start_network
	"start_$1_daemons"
	targets=$(daemon_address "${daemons[0]}"),$(daemon_address "${daemons[1]}")
	find_ways
}

start_lamb_daemons() {
	daemons=(1 2)
	lamb_store=1
	lamb_in=("${in_network[@]}")
	start_lamb 1 -b "$(daemon_host 1)"
	start_lamb 2 -b "$(daemon_host 2)"
}

start_real_daemons() {
	real_need
	daemons=(3 4)
	real_in=("${in_network[@]}")
	real_start 3 2 "$T"
	REAL_HOSTS[3]=$(daemon_host 3) REAL_HOSTS[4]=$(daemon_host 4)
	real_gateway 3
	real_gateway 4
}

daemon_address() {
	if [ "$daemons_are" = lamb ]; then
		echo "$(daemon_host "$1"):${lamb_ports[$1]}"
	else
		echo "$(daemon_host "$1"):${REAL_PORTS[$1]}"
	fi
}

daemon_pid() {
	if [ "$daemons_are" = lamb ]; then
		echo "${lamb_pids[$1]}"
	else
		echo "${REAL_PIDS[$1]}"
	fi
}

# The daemon that serves the volume now, or nothing.
daemon_of() {
	local name serves
	serves=$(awk -v name="$1" '$1 == name && $2 == "ready" { print $8 }' "$mnt/status/workers")
	for name in "${daemons[@]}"; do
		[ "$serves" != "$(daemon_address "$name")" ] || echo "$name"
	done
}

# ---- losing them ----

# ways: those that this kernel has
#	killed    kill -9
#	ended     SIGTERM
#	stopped   SIGSTOP; lamb outside of every lock of the store, which the other node needs
#	closed    its port and connections are gone, it lives on
#	unheard      what is sent to it is lost
#	unreachable  there is no way to it, and the kernel says so
# Before there are connections to them.
find_ways() {
	local connection ended=0
	ways=(killed ended stopped unheard unreachable)
	exec {connection}<>"/dev/tcp/${targets%%:*}/$(sed 's/,.*//; s/.*://' <<<"$targets")"
	"${in_network[@]}" ss -K -t "dport = :$(ss -tnH "dst = ${targets%%,*}" | awk '{ sub(/.*:/, "", $4); print $4 }')" &>/dev/null
	read -r -t 1 -u "$connection" 2>/dev/null || ended=$?
	# more than 128: nothing came, and it is still there
	if [ "$ended" != 0 ] && [ "$ended" -le 128 ]; then
		ways+=(closed)
	else
		tell "this kernel closes no connection for ss -K: the way \"closed\" is left out"
	fi
	exec {connection}<&-
}

# lose WAY DAEMON
lose() {
	daemon_lost[$2]=$1
	case $1 in
	killed) kill -KILL "$(daemon_pid "$2")" ;;
	ended) kill -TERM "$(daemon_pid "$2")" ;;
	stopped) stop_daemon "$2" ;;
	closed) "${in_network[@]}" ss -K -t -a "src = $(daemon_address "$2")" >/dev/null ;;
	unheard) ip neigh replace "$(daemon_host "$2")" lladdr 02:00:00:00:00:01 nud permanent dev "$link" ;;
	unreachable) ip route add unreachable "$(daemon_host "$2")/32" ;;
	esac
}

# regain DAEMON: however it was lost; it serves again
regain() {
	local way=${daemon_lost[$1]:-}
	unset "daemon_lost[$1]"
	case $way in
	stopped) continue_daemon "$1" ;;
	unheard) ip neigh del "$(daemon_host "$1")" dev "$link" ;;
	unreachable) ip route del unreachable "$(daemon_host "$1")/32" ;;
	closed)
		kill -KILL "$(daemon_pid "$1")"
		start_daemon_again "$1"
		;;
	killed | ended) start_daemon_again "$1" ;;
	esac
}

stop_daemon() {
	if [ "$daemons_are" = lamb ]; then
		fault "$1" freeze
		wait_until 20 is_stopped "$(daemon_pid "$1")"
	else
		kill -STOP "$(daemon_pid "$1")"
	fi
}

is_stopped() {
	grep -q '^State:.T' "/proc/$1/status"
}

continue_daemon() {
	kill -CONT "$(daemon_pid "$1")"
	[ "$daemons_are" != lamb ] || fault "$1"
}

start_daemon_again() {
	wait_until 20 gone "$(daemon_pid "$1")"
	if [ "$daemons_are" = lamb ]; then
		# a thread of it may hold the store's lock a little longer than its first thread lives
		wait "${lamb_pids[$1]}" 2>/dev/null || :
		# it may have been killed while it was stopped
		: >"$T/$1.fault"
		start_lamb "$1" -b "$(daemon_host "$1")"
	else
		# only when the others have lost it may it come back
		wait_until 20 real_members 0 4
		real_run_again "$1"
	fi
}

# In teardown(): what their namespace does not take with it
end_daemons() {
	local name
	for name in "${daemons[@]}"; do
		[ "${daemon_lost[$name]:-}" != unreachable ] || ip route del unreachable "$(daemon_host "$name")/32" || :
	done
}

# kill_cluster: all of it that lives, at one moment
kill_cluster() {
	local pid pids=()
	for pid in "${lamb_pids[@]}" "${REAL_PIDS[@]}"; do
		! is_daemon "$pid" || pids+=("$pid")
	done
	[ ${#pids[@]} != 0 ] || return 0
	kill -STOP "${pids[@]}"
	kill -KILL "${pids[@]}"
}

# is_daemon PID: of this test, and not who got the number of one that has ended
is_daemon() {
	local words
	{ mapfile -d '' words <"/proc/$1/cmdline"; } 2>/dev/null || return
	[[ ${words[0]} == "$lamb_program" || ${words[0]} == "${SHEEP:-}" ]] && [[ ${words[*]} == *"$T/"* ]]
}

# start_cluster_again: after that
start_cluster_again() {
	local name
	for name in "${daemons[@]}"; do
		case ${daemon_lost[$name]:-} in
		unheard | unreachable) regain "$name" ;;
		esac
	done
	daemon_lost=()
	if [ "$daemons_are" = real ]; then
		wait_until 10 real_ended "${REAL_PIDS[@]}"
		real_all_again
	else
		for name in "${daemons[@]}"; do
			start_daemon_again "$name"
		done
	fi
}

# ---- what the cluster itself says ----

# cluster_reads VOLUME SIZE: its bytes
cluster_reads() {
	if [ "$daemons_are" = lamb ]; then
		"$rawsheep" "$(daemon_address 1)" read "$1" 0 "$2"
	else
		real_dog vdi read "$1" 0 "$2"
	fi
}

# The locks that are held, a line each.
cluster_locks() {
	if [ "$daemons_are" = lamb ]; then
		"$rawsheep" "$(daemon_address 1)" states | grep 'state [23]' || :
	else
		real_dog vdi lock list | sed 1d
	fi
}

# ---- their network ----

# The link's other end is 198.18.x.y, for the second of each network of eight addresses of 198.18.0.0/15, which
# are nobody's but for tests.  in_network: what runs a command there
start_network() {
	local n=$(($$ % 16384)) holder said
	need ip ss nsenter unshare
	network=198.$((18 + n / 8192)).$((n / 32 % 256)).$((n % 32 * 8))
	# a process number has seven digits at most, a link's name fifteen characters
	link=sheepfs$$
	client unshare --net sleep 3600
	holder=$client
	in_network=(nsenter "--net=/proc/$holder/ns/net")
	wait_until 5 has_own_network "$holder"
	if ! said=$(ip link add "$link" type veth peer name uplink netns "$holder" 2>&1); then
		[[ $said != *'Unknown device type'* && $said != *'not supported'* ]] || skip "this kernel has no veth"
		fail "ip link add $link: $said"
	fi
	ip addr add "$(host_in_network 1)/29" dev "$link"
	ip link set "$link" up
	"${in_network[@]}" ip addr add "$(host_in_network 2)/29" dev uplink
	"${in_network[@]}" ip addr add "$(host_in_network 3)/29" dev uplink
	"${in_network[@]}" ip link set uplink up
	"${in_network[@]}" ip link set lo up
}

has_own_network() {
	[ "$(readlink "/proc/$1/ns/net")" != "$(readlink /proc/self/ns/net)" ]
}

host_in_network() {
	echo "${network%.*}.$((${network##*.} + $1))"
}

# daemon_host DAEMON: its address without the port
daemon_host() {
	host_in_network "$([ "$1" = "${daemons[0]}" ] && echo 2 || echo 3)"
}
