#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Linux 6.18 (6.1 and 7.2 alike), iproute2 6.1.0: neighbours that were made "nud permanent" by hand.
#
# One would expect: permanent means that an entry stays until somebody deletes it; the device's own MAC address has nothing to do with
# the addresses of its neighbours.
# What happens: changing the MAC address of the device, or switching ARP off on it, deletes the permanent neighbours as well
# (each is notified). FDB entries of the same device and the IPv4 routes over it stay.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
if [ "${1:-}" != inside ]; then
	cd "$work"
	apt-get -o APT::Sandbox::User=root download -qq iproute2=6.1.0-3 libbpf1=1:1.1.2-0+deb12u1 libmnl0=1.0.4-3 >/dev/null
	for package in *.deb; do dpkg -x "$package" .; done
	export PATH="$work/bin:$work/sbin:$PATH" LD_LIBRARY_PATH="$work/usr/lib/$(uname -m)-linux-gnu"
	cd "$OLDPWD"
	# A network namespace of its own, which ends with the process: nothing outside is touched.
	unshare -n "$BASH" "$0" inside
	exit
fi

ip link add vx type vxlan id 1 dstport 8472 nolearning
ip addr add 10.5.2.0/32 dev vx
ip link set dev vx up
make() {
	ip neigh replace 10.5.1.0 lladdr 02:00:00:00:00:01 dev vx nud permanent
	bridge fdb replace 02:00:00:00:00:01 dev vx dst 192.0.2.2 self permanent
	ip route replace 10.5.1.0/24 via 10.5.1.0 dev vx onlink
}
look() {
	echo "$1: $(ip neigh show dev vx nud permanent | wc -l) permanent neighbours," \
		"$(bridge fdb show dev vx | grep -c '^02:00:00:00:00:01') FDB entries, $(ip route show 10.5.1.0/24 | wc -l) routes"
}
echo "Linux $(uname -r), $(ip -V)"
make; look "made"
[ "$(ip neigh show dev vx nud permanent | wc -l)" -eq 1 ]
ip link set dev vx address 02:00:00:00:00:99
look "after another MAC address of the device"
[ "$(ip neigh show dev vx nud permanent | wc -l)" -eq 0 ]
[ "$(bridge fdb show dev vx | grep -c '^02:00:00:00:00:01')" -eq 1 ]
[ "$(ip route show 10.5.1.0/24 | wc -l)" -eq 1 ]
make; look "made again"
ip link set dev vx arp off
look "after arp off"
[ "$(ip neigh show dev vx | grep -c PERMANENT)" -eq 0 ]
