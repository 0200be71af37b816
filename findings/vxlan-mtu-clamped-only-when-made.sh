#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Linux 6.18 (6.1 and 7.2 alike), iproute2 6.1.0: a VXLAN device that is to have a larger MTU than its lower device can carry.
#
# One would expect: the same request gets the same answer when the device is made and when it is changed; and a lower device whose MTU
# shrinks takes the tunnel's along, or refuses.
# What happens: made with 1500 over 1500 bytes it is acknowledged and the device has 1450; the same value as a change is
# refused. When the lower device shrinks to 1400 the tunnel keeps its 1450; when the tunnel is moved onto a device with 1300 it shrinks
# to 1250 without having been asked, and stays so when it is moved back.
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

for pair in a b; do
	ip link add name "under$pair" type veth peer name "other$pair"
	ip link set dev "under$pair" up
	ip link set dev "other$pair" up
done
ip link set dev underb mtu 1300
echo "Linux $(uname -r), $(ip -V)"
mtu() { ip -o link show "$1" | sed 's/.* mtu \([0-9]*\) .*/\1/'; }
ip link add vx mtu 1500 type vxlan id 1 dstport 8472 local 192.0.2.1 dev undera nolearning
echo "made with mtu 1500 over 1500: accepted, mtu $(mtu vx)"
[ "$(mtu vx)" -eq 1450 ]
if ip link set dev vx mtu 1500 2>"$work/error"; then exit 1; fi
echo "changed to 1500: $(cat "$work/error")"
ip link set dev undera mtu 1400
echo "the lower device has 1400 now: mtu $(mtu vx)"
[ "$(mtu vx)" -eq 1450 ]
ip link set dev undera mtu 1500
ip link set dev vx type vxlan id 1 dev underb
echo "moved onto a device with 1300: mtu $(mtu vx)"
[ "$(mtu vx)" -eq 1250 ]
ip link set dev vx type vxlan id 1 dev undera
echo "moved back onto the one with 1500: mtu $(mtu vx)"
[ "$(mtu vx)" -eq 1250 ]
