# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
# shellcheck disable=SC2154,SC2034 # variables of lib.bash and survive
#
# Who takes part in survive: daemons, the client that makes a file of them, and what a human does when that is lost.
#
# Owns what is running, one contender at a time: daemon N is process daemon_pids[N] at daemon_addresses[N]; the client is
# process $client, mounted on $client_mount, and shows $shown.
#
# Each is given what it has against deaths: sheepfs and upstream's a second daemon, nbdfuse nbdkit's filter "retry",
# qemu-storage-daemon reconnect-delay.
declare -A contender_titles=(
	[lamb]="sheepfs, two lambs" [real]="sheepfs, real cluster" [upstream]="upstream's sheepfs, real cluster"
	[nbdfuse]="nbdfuse, nbdkit" [qsd]="qemu-storage-daemon, nbdkit"
)
declare -A contender_daemons=([lamb]=lambs [real]=gateways [upstream]=gateways [nbdfuse]=nbdkit [qsd]=nbdkit)
declare -A contender_client=([lamb]=sheepfs [real]=sheepfs [upstream]=upstream [nbdfuse]=nbdfuse [qsd]=qsd)

# contender_can_run NAME: what it needs is there
contender_can_run() {
	contender=${contender_titles[$1]}
	case $1 in
	real) needs SHEEP && needs DOG ;;
	upstream) needs SHEEP && needs DOG && needs UPSTREAM_SHEEPFS ;;
	nbdfuse) have nbdkit nbdfuse ;;
	qsd) have nbdkit qemu-storage-daemon ;;
	esac
}

# contender_begin NAME: with a volume of $size MiB, filled
contender_begin() {
	name=$1 daemons=${contender_daemons[$1]} kind=${contender_client[$1]}
	daemon_pids=() daemon_addresses=()
	"${daemons}_begin" && client_begin && fill "$shown" "$size"
}

contender_end() {
	client_end
	"${daemons}_end"
}

# contender_help: somebody starts what is dead, frees who hangs, and does what is necessary; $helped is what that was
contender_help() {
	local n
	for n in "${!daemon_pids[@]}"; do
		! gone "${daemon_pids[n]}" || daemon_again "$n"
	done
	if [ "$kind" = upstream ] && client_move 0 2>/dev/null && works; then
		helped="config/sheep_info is written"
		return
	fi
	helped="it is started again"
	abort_below "$client_mount"
	kill_now "$client"
	client_end
	client_begin
}

# works: a block can be written
works() {
	timeout 10 dd if=/dev/zero of="$shown" bs=4k count=1 seek=$((load_size * 256)) oflag=direct conv=notrunc status=none 2>/dev/null
}

# ---- clients: KIND_begin starts one ----

client_begin() {
	"${kind}_begin" || return 1
	client=$pid client_mount=${mounts[-1]}
}

client_end() {
	unmount "$client_mount"
	end "$client"
}

# client_worker: the process that does the I/O
client_worker() {
	if [ "$kind" = sheepfs ]; then
		worker_of "$client" bench
	else
		echo "$client"
	fi
}

# client_daemon: the number of the daemon that serves
client_daemon() {
	case $kind in
	sheepfs) number_of "$(worker_row 8)" ;;
	upstream) number_of "$(timeout 5 cat "$mnt/config/sheep_info")" ;;
	*) echo 0 ;;
	esac
}

number_of() {
	[ "$1" = "${daemon_addresses[0]}" ] && echo 0 || echo 1
}

# client_move N: to that daemon; the other one is a target, too, where there can be several
client_move() {
	local other=$((1 - $1)) text=${daemon_addresses[$1]}
	[ "$kind" != sheepfs ] || text+=,${daemon_addresses[other]}
	# shellcheck disable=SC2016 # the inner shell's variables
	timeout 20 bash -c 'echo "$1" >"$2"' - "$text" "$mnt/config/sheep_info"
}

# client_replace: another sheepfs takes the place of this one
client_replace() {
	local old=$client
	sheepfs_run --replace
	wait_until 60 gone "$old" && forget "$old" && client=$pid
}

# client_calm: nothing of what has happened is waited for any more
client_calm() {
	[ "$kind" != sheepfs ] || [ "$(worker_row 2) $(worker_row 7)" = "ready 0" ]
}

sheepfs_begin() {
	sheepfs_run || return 1
	shown=$mnt/volume/bench
	echo bench 2>/dev/null >"$mnt/vdi/mount" || { echo "bench ${size}M" >"$mnt/vdi/create" && echo bench >"$mnt/vdi/mount"; }
}

# sheepfs_run [OPTION...]
sheepfs_run() {
	start_sheepfs "$name" "${daemon_addresses[0]},${daemon_addresses[1]}" ${logs:+-d} "$@"
}

# worker_row FIELD: of status/workers
worker_row() {
	timeout 5 awk -v field="$1" '$1 == "bench" { print $field }' "$mnt/status/workers"
}

upstream_begin() {
	real_dog vdi create upstream "${size}M" >/dev/null 2>&1 # or it is there
	start_upstream upstream "${daemon_addresses[0]##*:}" upstream
}

nbdfuse_begin() {
	start_nbdfuse nbdfuse [ nbdkit --exit-with-parent --filter=retry nbd hostname=127.0.0.1 port="${daemon_addresses[0]##*:}" \
		retries=60 retry-delay=1 retry-exponential=no ]
}

qsd_begin() {
	start_qsd qsd "${daemon_addresses[0]##*:}" reconnect-delay=60
}

# ---- daemons: KIND_begin starts them, KIND_again N starts one that died where it was ----

daemon_again() {
	"${daemons}_again" "$1"
}

lambs_begin() {
	local n
	for n in 0 1; do
		start_lamb "lamb$n" store || return 1
		daemon_pids[n]=$pid daemon_addresses[n]=$address
	done
}

lambs_again() {
	start_lamb "lamb$1" store "${daemon_addresses[$1]##*:}" && daemon_pids[$1]=$pid
}

lambs_end() {
	end "${daemon_pids[0]}"
	end "${daemon_pids[1]}"
}

# Gateways that store nothing: a node that has copies and is stopped stops every client of the cluster.
gateways_begin() {
	local n
	[ ${#REAL_PIDS[@]} -gt 0 ] || start_real 2 || return 1
	for n in 0 1; do
		daemon_pids[n]=${REAL_PIDS[n + 3]} daemon_addresses[n]=127.0.0.1:${REAL_PORTS[n + 3]}
	done
}

# Not before the others have lost it: it would take the cluster down.
gateways_again() {
	local node=$(($1 + 3))
	wait_until 30 real_members 0 4 && real_run_again "$node" >&2 && wait_until 30 real_members 0 5 &&
		wait_until 30 real_running "$node" && daemon_pids[$1]=${REAL_PIDS[node]}
}

# The cluster stays for the next contender.
gateways_end() {
	:
}

nbdkit_begin() {
	truncate -s "${size}M" "$work/tmpfs/nbd.img"
	daemon_addresses[0]=127.0.0.1:$(free_port)
	nbdkit_again 0
}

nbdkit_again() {
	start_nbdkit nbdkit "${daemon_addresses[$1]##*:}" file "$work/tmpfs/nbd.img" && daemon_pids[$1]=$pid
}

nbdkit_end() {
	end "${daemon_pids[0]}"
	rm "$work/tmpfs/nbd.img"
}
