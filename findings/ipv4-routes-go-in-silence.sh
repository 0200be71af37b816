#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Linux 6.18 (6.1 and 7.2 alike), iproute2 6.1.0: who listens for changes of routes (RTM_DELROUTE) while a device goes down.
#
# One would expect: every route that vanishes is notified, for both families, so that a listener knows the table without reading it again.
# What happens: IPv6 routes are told one by one; IPv4 routes over the device vanish without a word, and so they do with a device that
# is deleted and with the last address of a device. A listener must take the device's own notification as the news.
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

ip link add name deva type veth peer name enda
ip link set dev deva up
ip link set dev enda up
ip addr add 198.51.100.1/24 dev deva
ip -6 addr add 2001:db8::1/64 dev deva nodad
ip route add 192.0.2.0/24 via 198.51.100.9
ip -6 route add 2001:db8:9::/48 via 2001:db8::9
echo "Linux $(uname -r), $(ip -V)"
ip monitor route >"$work/told" &
listener=$!
# The listener is ready when it tells of a route that is made for that.
for _ in $(seq 100); do
	ip route replace 192.0.2.200/32 via 198.51.100.9
	ip route del 192.0.2.200/32
	grep -q 192.0.2.200 "$work/told" && break
	sleep 0.05
done
ip link set dev deva down
ip route add blackhole 192.0.2.201/32
for _ in $(seq 100); do grep -q 192.0.2.201 "$work/told" && break; sleep 0.05; done
kill "$listener"
echo "told when the device went down:"; grep '^Deleted' "$work/told" | grep -v 192.0.2.200 | sed 's/^/    /'
echo "IPv4 routes left over it: $(ip route show dev deva | wc -l)"
[ "$(ip route show dev deva | wc -l)" -eq 0 ]
if grep -q '^Deleted 192.0.2.0/24' "$work/told"; then exit 1; fi
grep -q '^Deleted 2001:db8:9::/48' "$work/told"
