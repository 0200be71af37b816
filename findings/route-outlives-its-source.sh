#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Linux 6.18 (6.1 and 7.2 alike), iproute2 6.1.0: routes with a preferred source address ("src") that is deleted with its device.
#
# One would expect: all routes whose source address the host no longer has go together, since packets cannot be sent by them.
# What happens: a route whose source is the primary address of the deleted device goes; one whose source was a secondary address of
# the same device stays. "ip route get" still answers with the address that is gone, and connect() fails with ENETUNREACH.
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
	ip link add name "dev$pair" type veth peer name "end$pair"
	ip link set dev "dev$pair" up
	ip link set dev "end$pair" up
done
ip addr add 198.51.100.1/24 dev deva
ip addr add 203.0.113.1/24 dev devb
ip addr add 203.0.113.2/24 dev devb
ip route add 192.0.2.0/25 via 198.51.100.9 src 203.0.113.1
ip route add 192.0.2.128/25 via 198.51.100.9 src 203.0.113.2
echo "Linux $(uname -r), $(ip -V)"
echo "before:"; ip route show root 192.0.2.0/24 | sed 's/^/    /'
ip link del dev devb
echo "the device of the source addresses is deleted:"; ip route show root 192.0.2.0/24 | sed 's/^/    /'
if ip route show 192.0.2.0/25 | grep -q .; then exit 1; fi
ip route show 192.0.2.128/25 | grep -q 'src 203.0.113.2'
if ip addr show | grep -q 203.0.113; then exit 1; fi
ip route get 192.0.2.130 | grep -q 'src 203.0.113.2'
python3 - <<'END'
import errno, socket
try:
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).connect(("192.0.2.130", 9))
    raise SystemExit("connected")
except OSError as error:
    print("connect():", error.strerror)
    assert error.errno == errno.ENETUNREACH
END
