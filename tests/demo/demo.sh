#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Three hosts on one machine: network namespaces on an underlay of their own, a flanneld in each, a container behind
# each. Shows the leases, pings every container from every other, measures, draws what happened, and removes it all.
#
#   demo.sh check BUILD  only say whether it could be run
#   demo.sh kernel BUILD only say what the kernel lacks for BACKEND, and fail, if it lacks something
#   demo.sh run BUILD    STORE=etcd: leases in an etcd; STORE=file: in a directory. KEEP=1: leave it running
#                        BACKEND=vxlan, host-gw, wireguard, ipip, udp or ipsec: how packets get from host to host
#   demo.sh stop BUILD   end what KEEP=1 left
#
# Nothing of the machine's own network is touched: no interface, route or rule outside the namespaces made here. Their
# names begin with DEMO_NAME, and so several demos may run at the same time.

set -euo pipefail

VERB=${1:?check, kernel, run or stop}
BUILD=$(realpath -m "${2:?directory with the programs}")
STORE=${STORE-etcd}
BACKEND=${BACKEND-vxlan}
KEEP=${KEEP:-0}
NAME=${DEMO_NAME:-fabric}
DIR=$(realpath -m "${DEMO_DIR:-/run/$NAME-demo}")
HOSTS=(1 2 3)
UNDERLAY=192.0.2.254
ETCD=http://$UNDERLAY:2379
NET=$NAME-net
PINGS=20
IPERF_SECONDS=${DEMO_IPERF_SECONDS:-3}
# What ends this one, and not another.
STOP="make demo-stop${DEMO_NAME:+ DEMO_NAME=$DEMO_NAME}${DEMO_DIR:+ DEMO_DIR=$DEMO_DIR}"

host() { echo "$NAME-h$1"; }
container() { echo "$NAME-c$1"; }
on() { ip netns exec "$@"; }
on_host() { local n=$1; shift; on "$(host "$n")" "$@"; }
ctl() { local n=$1; shift; on_host "$n" "$BUILD/fabricctl" "$@" --socket "$DIR/h$n/flanneld.sock"; }

# Nothing is taken from a flannel that this machine itself may run, neither its environment nor its file.
unset "${!FLANNELD_@}"
CONFIG_FILE=(--config-file /dev/null)

# The store, as flags of a daemon and as a word of the environment for fabricctl, whose --store is another flag.
case $STORE in
etcd) STORE_FLAGS=(--etcd-endpoints "$ETCD") STORE_ENV="FLANNELD_ETCD_ENDPOINTS=$ETCD" ;;
file) STORE_FLAGS=(--store "file:$DIR/store") STORE_ENV="FLANNELD_STORE=file:$DIR/store" ;;
esac
# The backend: its device, what goes over the underlay, and what one may take away to see it come back.
DEVICE= ROUTES='a route per peer'
case $BACKEND in
vxlan) DEVICE=flannel.1 WIRE='VXLAN, VNI 1' PORT=', UDP port 8472' ;;
host-gw) WIRE='as it is' PORT='' ;;
wireguard) DEVICE=flannel-wg ROUTES='one route for all' WIRE='encrypted' PORT=', UDP port 51820' ;;
ipip) DEVICE=flannel.ipip WIRE='IP in IP' PORT=', IP protocol 4' ;;
udp) DEVICE=flannel0 WIRE='IP in UDP' PORT=', UDP port 8285' ;;
ipsec) ROUTES='3 policies per peer' WIRE='ESP, encrypted' PORT=', IP protocol 50' ;;
esac
ctl_store() { on "$NET" env "$STORE_ENV" "$BUILD/fabricctl" "$@" "${CONFIG_FILE[@]}"; }

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
[[ -t 1 ]] || say() { printf '\n%s\n' "$*"; }

die() {
	printf 'demo: %s\n' "$*" >&2
	exit 1
}

# wait_until SECONDS WHAT COMMAND...: polls until the command succeeds.
wait_until() {
	local end=$((SECONDS + $1 * ${FLANNEL_SLOWNESS:-1})) what=$2
	shift 2
	until "$@" >/dev/null 2>&1; do
		((SECONDS < end)) || die "$what: not within the time given"
		sleep 0.02
	done
}

names() {
	local n
	for n in "${HOSTS[@]}"; do
		container "$n"
		host "$n"
	done
	echo "$NET"
}

# ---- end

# A process of ours, by the id we noted; the id may have been given to another since.
end_process() {
	local pid=$1 name=$2
	[[ $(cat "/proc/$pid/comm" 2>/dev/null) == "$name" ]] || return 0
	kill "$pid" 2>/dev/null || return 0
	for _ in {1..100}; do
		kill -0 "$pid" 2>/dev/null || return 0
		sleep 0.02
	done
	kill -9 "$pid" 2>/dev/null || true
}

clean_up() {
	local pid name
	if [[ -f $DIR/processes ]]; then
		# The last started first: the store outlives its clients.
		while read -r pid name; do
			end_process "$pid" "$name"
		done < <(tac "$DIR/processes")
	fi
	while read -r name; do
		[[ -e /run/netns/$name ]] || continue
		# What a daemon leaves behind for its packets' sake: a wireguard-go.
		ip netns pids "$name" | xargs -r kill 2>/dev/null
		ip netns del "$name"
	done < <(names)
	rm -rf "$DIR"
}

on_exit() {
	local status=$?
	trap - EXIT
	set +e
	if ((status && status < 128)); then
		for log in "$DIR"/*/log; do
			[[ -s $log ]] && { printf -- '--- end of %s\n' "$log"; tail -n 8 "$log"; } >&2
		done
	fi
	if ((status)) || [[ $KEEP != 1 ]]; then
		clean_up
	fi
	exit "$status"
}

# Hosts share nothing: in the mount namespace of "ip netns exec" each has a directory of its own where a wireguard-go has
# its sockets, or a /run, where a charon has socket and process id; what the demo has there stays in its place.
APART=
case $BACKEND in
wireguard) APART='mkdir -p /run/wireguard && mount -t tmpfs tmpfs /run/wireguard && ' ;;
ipsec)
	export DIR STRONGSWAN_CONF=$DIR/strongswan.conf
	APART='mount --bind "$DIR" /tmp && mount -t tmpfs tmpfs /run && mkdir -p "$DIR" && mount --move /tmp "$DIR" && '
	;;
esac

# start_process NAME LOG NAMESPACE COMMAND...: in the background, noted, so that it can be ended by its id.
start_process() {
	local name=$1 log=$2 namespace=$3
	shift 3
	setsid ip netns exec "$namespace" sh -c "$APART"'exec "$@"' sh "$@" >>"$log" 2>&1 </dev/null &
	echo "$! $name" >>"$DIR/processes"
	disown
}

# ---- begin

# A bridge with a MAC address of its own keeps it. Otherwise it takes the lowest of its ports, changes it when a port
# comes, and a host that knows the former one reaches nobody until it asks again, half a minute later.
BRIDGE_MAC=02:00:00:00:00:fe

make_underlay() {
	ip netns add "$NET"
	ip -n "$NET" -batch - <<-END
		link set lo up
		link add br0 address $BRIDGE_MAC type bridge
		addr add $UNDERLAY/24 dev br0
		link set br0 up
	END
}

start_etcd() {
	mkdir "$DIR/etcd"
	start_process etcd "$DIR/etcd/log" "$NET" etcd --data-dir "$DIR/etcd/data" \
		--listen-client-urls "$ETCD" --advertise-client-urls "$ETCD" \
		--listen-peer-urls http://127.0.0.1:2380 --log-level warn
	wait_until 20 "etcd serves" ctl_store store ping
}

# The directory needs no process: whoever opens it first makes it.
start_store() {
	[[ $STORE != etcd ]] || start_etcd
	local key=
	[[ $BACKEND != ipsec ]] || key=", \"PSK\": \"$(od -An -N48 -tx1 /dev/urandom | tr -d ' \n')\""
	ctl_store config set - >/dev/null <<<"{\"Network\": \"10.5.0.0/16\", \"Backend\": {\"Type\": \"$BACKEND\"$key}}" ||
		die "the network configuration cannot be written into the store"
}

start_host() {
	local n=$1 h
	h=$(host "$n")
	mkdir -p "$DIR/h$n"
	ip netns add "$h"
	ip -n "$NET" -batch - <<-END
		link add h$n type veth peer name eth0 netns $h
		link set h$n master br0 up
	END
	ip -n "$h" -batch - <<-END
		link set lo up
		addr add 192.0.2.$n/24 dev eth0
		link set eth0 up
		route add default via $UNDERLAY
	END
	on "$h" sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward; echo "0 2147483647" >/proc/sys/net/ipv4/ping_group_range'
	start_process flanneld "$DIR/h$n/log" "$h" "$BUILD/flanneld" "${STORE_FLAGS[@]}" "${CONFIG_FILE[@]}" \
		--node-name "h$n" --state-dir "$DIR/h$n/state" --subnet-file "$DIR/h$n/subnet.env" \
		--socket "$DIR/h$n/flanneld.sock"
}

subnet_file() { sed -n "s/^$2=//p" "$DIR/h$1/subnet.env"; }

# Sees all peers in its kernel, and has all tunnels where those are made by another program.
connected() {
	[[ $BACKEND != ipsec ]] || ctl "$1" status || return
	[[ $(ctl "$1" subnets -o json | jq '[.items[] | select(.kernel == "ok")] | length') -eq ${#HOSTS[@]} ]]
}

# The way of podman, containerd and Kubernetes: the plugin gets the namespace and a configuration, and does the rest.
attach_by_cni() {
	local n=$1
	[[ -x $BUILD/flannel ]] || return 1
	on_host "$n" env CNI_COMMAND=ADD CNI_CONTAINERID="demo$n" CNI_NETNS="/run/netns/$(container "$n")" \
		CNI_IFNAME=eth0 CNI_PATH="$BUILD" "$BUILD/flannel" >"$DIR/h$n/cni.json" 2>"$DIR/h$n/cni.err" <<-END
		{"cniVersion": "1.0.0", "name": "demo", "type": "flannel", "subnetFile": "$DIR/h$n/subnet.env",
		 "dataDir": "$DIR/h$n/cni", "ipam": {"dataDir": "$DIR/h$n/networks"},
		 "delegate": {"isDefaultGateway": true}}
	END
	jq -er '.ips[0].address | split("/")[0]' "$DIR/h$n/cni.json" >"$DIR/h$n/address"
}

attach_by_hand() {
	local n=$1 h c gateway mtu address
	h=$(host "$n") c=$(container "$n")
	gateway=$(subnet_file "$n" FLANNEL_SUBNET) mtu=$(subnet_file "$n" FLANNEL_MTU)
	address=${gateway%.*}.2
	ip -n "$h" -batch - <<-END
		link add cni0 address $BRIDGE_MAC mtu $mtu type bridge
		addr add $gateway dev cni0
		link set cni0 up
		link add c1 mtu $mtu type veth peer name eth0 mtu $mtu netns $c
		link set c1 master cni0 up
	END
	ip -n "$c" -batch - <<-END
		addr add $address/${gateway#*/} dev eth0
		link set eth0 up
		route add default via ${gateway%/*}
	END
	echo "$address" >"$DIR/h$n/address"
}

address() { cat "$DIR/h$1/address"; }

# ---- measure

# Writes "lost average-in-ms" for the path between the containers of two hosts.
ping_between() {
	local from=$1 to=$2
	on "$(container "$from")" ping -q -n -i 0.05 -c "$PINGS" -W 2 "$(address "$to")" >"$DIR/ping-$from-$to" 2>&1 || true
}

ping_all() {
	local from to pids=() pid
	for from in "${HOSTS[@]}"; do
		for to in "${HOSTS[@]}"; do
			((from == to)) && continue
			ping_between "$from" "$to" &
			pids+=("$!")
		done
	done
	for pid in "${pids[@]}"; do
		wait "$pid"
	done
}

ping_received() { sed -n 's/.* \([0-9]*\) received.*/\1/p' "$DIR/ping-$1-$2"; }
ping_ms() { sed -n 's|^rtt .* = [^/]*/\([^/]*\)/.*|\1|p' "$DIR/ping-$1-$2"; }

measure_throughput() {
	local from=$1 to=$2
	start_process iperf3 "$DIR/h$to/iperf" "$(container "$to")" iperf3 --server --one-off
	wait_until 5 "iperf3 listens" on "$(container "$to")" sh -c 'ss -ltn | grep -q :5201'
	on "$(container "$from")" iperf3 --client "$(address "$to")" --time "$IPERF_SECONDS" --json >"$DIR/iperf.json"
	jq -r '.end.sum_received.bits_per_second / 1e9 * 100 | round / 100' "$DIR/iperf.json" >"$DIR/throughput"
}

# ---- draw

# Padding counts bytes or characters as the locale has it, so it is done on ASCII and the lines are put in afterwards.
row() {
	local line
	printf -v line ' | %-27s |' "$@"
	printf ' %s\n' "${line//|/│}"
}

# per_host LABEL FUNCTION: a line with what the function says about each host.
per_host() {
	local n cells=()
	for n in "${HOSTS[@]}"; do
		cells+=("$(printf '%-12s %s' "$1" "$("$2" "$n")")")
	done
	row "${cells[@]}"
}

between() { row "    | $1" "    | $1" "    | $1"; }

tunnel_address() { subnet_file "$1" FLANNEL_SUBNET | sed 's|\.[0-9]*/.*|.0|'; }
gateway() { subnet_file "$1" FLANNEL_SUBNET; }
underlay() { echo "192.0.2.$1"; }

store_for_people() {
	case $STORE in
	etcd) echo "etcd at ${ETCD#http://}" ;;
	file) echo "leases in the directory $DIR/store" ;;
	esac
}

draw() {
	local n from to lost problem=0
	say "What you see"
	printf '\n '
	for n in "${HOSTS[@]}"; do printf ' ┌─ host h%s ───────────────────┐' "$n"; done
	printf '\n'
	per_host container address
	between veth
	per_host cni0 gateway
	between "$ROUTES"
	[[ -z $DEVICE ]] || per_host "$DEVICE" tunnel_address
	between "$WIRE"
	per_host eth0 underlay
	printf ' '
	for n in "${HOSTS[@]}"; do printf ' └─────┬───────────────────────┘'; done
	printf '\n        └───────────────────────────────┴───────────────────────────────┘\n'
	printf '             underlay 192.0.2.0/24%s; %s\n\n' "$PORT" "$(store_for_people)"
	printf '  %-39s %-12s %s\n' 'between the containers' 'round trip' 'lost'
	for from in "${HOSTS[@]}"; do
		for to in "${HOSTS[@]}"; do
			((from < to)) || continue
			lost=$((2 * PINGS - $(ping_received "$from" "$to") - $(ping_received "$to" "$from")))
			((lost == 0)) || problem=1
			printf '  h%s %-13s <──> h%s %-13s  %-12s %s of %s pings\n' "$from" "$(address "$from")" "$to" "$(address "$to")" \
				"$(ping_ms "$from" "$to") ms" "$lost" $((2 * PINGS))
		done
	done
	printf '\n  throughput  h1 ─> h2, TCP between containers for %s s: %s Gbit/s\n' "$IPERF_SECONDS" "$(cat "$DIR/throughput")"
	return "$problem"
}

say_how_to_look_around() {
	local store kernel breaks
	kernel="ip -n $(host 1) route"
	[[ $BACKEND != vxlan ]] || kernel+="; bridge -n $(host 1) fdb show dev $DEVICE"
	[[ $BACKEND != ipsec ]] || kernel+="; ip -n $(host 1) xfrm policy"
	breaks="ip -n $(host 1) link del $DEVICE"
	[[ $DEVICE ]] || breaks="ip -n $(host 1) route del $(subnet_file 2 FLANNEL_SUBNET | sed 's|\.[0-9]*/|.0/|')"
	case $STORE in
	etcd) store="ip netns exec $NET env ETCDCTL_API=3 etcdctl --endpoints $ETCD get --prefix /coreos.com" ;;
	file) store="cat $DIR/store/config $DIR/store/journal" ;;
	esac
	say "It is left running"
	cat <<-END

		  the leases              ip netns exec $(host 1) $BUILD/fabricctl subnets --socket $DIR/h1/flanneld.sock
		  is all well             ip netns exec $(host 1) $BUILD/fabricctl status --socket $DIR/h1/flanneld.sock
		  the store               $store
		  read without a daemon   ip netns exec $NET env $STORE_ENV $BUILD/fabricctl subnets --store ${CONFIG_FILE[*]}
		  a container             ip netns exec $(container 1) ping $(address 2)
		  the kernel              $kernel
		  what a daemon says      tail -f $DIR/h1/log

		  break something and look again: it comes back at once
		                          $breaks

		  end it                  $STOP
	END
}

# Whether it could be run, before anything is installed, built or made.
check() {
	local name
	[[ $STORE == etcd || $STORE == file ]] || die "STORE is \"$STORE\", must be etcd or file"
	[[ ${WIRE-} ]] || die "BACKEND is \"$BACKEND\", must be vxlan, host-gw, wireguard, ipip, udp or ipsec"
	((EUID == 0)) || die "must be run as root: it makes network namespaces"
	[[ ! -e $DIR/processes ]] || die "$DIR is there: a demo is still running or was broken off; end it with $STOP"
	[[ ! -e $DIR ]] || die "$DIR is there, and is not of a demo"
	while read -r name; do
		[[ ! -e /run/netns/$name ]] || die "there is a network namespace $name already; end an earlier demo with $STOP"
	done < <(names)
}

# What the backend's devices need, tried in a namespace of its own. Prints what is missing.
kernel() {
	local device=() spare=$NAME-probe key=0x0102030405060708090a0b0c0d0e0f1011121314
	case $BACKEND in
	wireguard)
		command -v wireguard-go >/dev/null && [[ -e /dev/net/tun ]] && return
		device=(type wireguard)
		;;
	ipip) device=(type ipip local 192.0.2.1) ;;
	udp) device=(type ipip local 192.0.2.1 encap fou encap-sport 8285 encap-dport 8285) ;;
	ipsec) device=(type veth) ;;
	*) return ;;
	esac
	ip netns add "$spare"
	ip -n "$spare" link add probe "${device[@]}" >/dev/null 2>&1 &&
		{ [[ $BACKEND != udp ]] || ip -n "$spare" fou add port 8285 ipproto 4 >/dev/null 2>&1; } &&
		{ [[ $BACKEND != ipsec ]] || ip -n "$spare" xfrm state add src 192.0.2.1 dst 192.0.2.2 proto esp spi 1 mode tunnel \
			aead 'rfc4106(gcm(aes))' "$key" 128 >/dev/null 2>&1; } ||
		die "Linux $(uname -r), or what of it is loaded, lacks what $BACKEND takes"
}

run() {
	local n how=cni
	local began=$EPOCHREALTIME
	check
	mkdir -p "$DIR"
	: >"$DIR/processes"
	trap on_exit EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM HUP

	case $STORE in
	etcd) say "Starting etcd and three hosts, a flanneld with $BACKEND on each" ;;
	file) say "Starting three hosts, a flanneld with $BACKEND on each; no etcd, the leases are in $DIR/store" ;;
	esac
	make_underlay
	cat >"$DIR/strongswan.conf" <<-END
		charon {
		  load = random nonce aes sha1 sha2 hmac kdf gmp openssl gcm kernel-netlink socket-default vici
		}
	END
	start_store
	for n in "${HOSTS[@]}"; do start_host "$n"; done
	for n in "${HOSTS[@]}"; do wait_until 40 "h$n knows all peers" connected "$n"; done
	for n in "${HOSTS[@]}"; do
		printf '  h%s  %s, ready %s after its start\n' "$n" "$(subnet_file "$n" FLANNEL_SUBNET)" \
			"$(sed -n 's/.* \([0-9]* ms\) after the start.*/\1/p' "$DIR/h$n/log")"
	done

	say "Attaching a container to each"
	for n in "${HOSTS[@]}"; do
		ip netns add "$(container "$n")"
		ip -n "$(container "$n")" link set lo up
		if [[ $how == cni ]] && ! attach_by_cni "$n"; then
			how=hand
			((n == 1)) || die "the CNI plugin failed on h$n: $(cat "$DIR/h$n/cni.json" "$DIR/h$n/cni.err")"
		fi
		[[ $how == cni ]] || attach_by_hand "$n"
		printf '  h%s  %s %s\n' "$n" "$(address "$n")" \
			"$([[ $how == cni ]] && echo 'by the CNI plugin' || echo 'by hand: the CNI plugin is not built or failed')"
	done

	say "fabricctl subnets, on h1"
	ctl 1 subnets | sed 's/^/  /'

	say "Pinging every container from every other, then TCP for $IPERF_SECONDS s"
	ping_all
	measure_throughput 1 2
	draw || die "pings were lost"
	LC_ALL=C awk -v a="$began" -v b="$EPOCHREALTIME" 'BEGIN { printf "  all of this     took %.1f s\n", b - a }'
	if [[ $KEEP == 1 ]]; then
		say_how_to_look_around
	else
		say "All of it is removed again; make demo$([[ $STORE == etcd ]] || echo " STORE=$STORE")$([[ $BACKEND == vxlan ]] || echo " BACKEND=$BACKEND") KEEP=1 leaves it running"
	fi
}

# It becomes a part of paths, and those of sockets must be short.
[[ $NAME =~ ^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$ ]] || die "DEMO_NAME is \"$NAME\", must be up to 32 letters, digits, - and _"

case $VERB in
check)
	check
	;;
kernel)
	((EUID == 0)) || die "must be run as root: it makes network namespaces"
	trap 'ip netns del "$NAME-probe" 2>/dev/null || true' EXIT
	kernel
	;;
run)
	run
	;;
stop)
	((EUID == 0)) || die "must be run as root"
	[[ -e $DIR/processes ]] || die "no demo is running: there is no $DIR/processes"
	clean_up
	echo "demo: ended, nothing is left"
	;;
*)
	die "check, kernel, run or stop"
	;;
esac
