#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Linux 6.18 (6.1 and 7.2 alike), iproute2 6.1.0: an FDB entry of a VXLAN device that points at a nexthop group.
#
# One would expect: "bridge fdb replace MAC dev DEV dst ADDRESS" makes ADDRESS the place of MAC, whatever the entry said before, or
# fails; and "bridge fdb del MAC dev DEV dst ADDRESS" fails if there is no such entry.
# What happens: both are acknowledged with success, and the entry points at the nexthop group as before. Only a deletion without
# an address removes it. Whoever trusts the acknowledgement believes that a peer's place is right while its packets go elsewhere.
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

show() { bridge fdb show dev vx | sed 's/^/    /'; }

ip link add name under type veth peer name other
ip addr add 192.0.2.1/24 dev under
ip link set dev under up
ip link set dev other up
ip link add vx type vxlan id 1 dstport 8472 local 192.0.2.1 dev under nolearning
ip link set dev vx up
ip nexthop add id 20 via 192.0.2.9 fdb
ip nexthop add id 30 group 20 fdb
bridge fdb add 02:00:00:00:00:01 dev vx nhid 30 self permanent

echo "Linux $(uname -r), $(ip -V)"
echo "the entry points at a nexthop group:"; show
status=0
bridge fdb replace 02:00:00:00:00:01 dev vx dst 192.0.2.2 self permanent || status=$?
echo "replaced by an address: exit status $status, and the entry is:"; show
[ "$status" -eq 0 ]
bridge fdb show dev vx | grep -q '^02:00:00:00:00:01 nhid 30 '
bridge fdb del 02:00:00:00:00:01 dev vx dst 192.0.2.77 self || status=$?
echo "deleted with an address that it never had: exit status $status, and the entry is:"; show
[ "$status" -eq 0 ]
bridge fdb show dev vx | grep -q '^02:00:00:00:00:01 nhid 30 '
bridge fdb del 02:00:00:00:00:01 dev vx self
if bridge fdb show dev vx | grep -q '^02:00:00:00:00:01'; then exit 1; fi
echo "deleted without an address: gone"
