#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Linux 6.18, nftables 1.0.6, iputils 20221126: a flow that a router masquerades, and what becomes of it when rules go.
#
# One would expect: a flow is translated as its first packet was, since no later one looks at a rule of NAT; conntrack knows how, and
# forgets it only in time. What happens: the same flow leaves with its inner source as soon as, in that network namespace, no rule is
# left that asks conntrack for anything, whatever it is (tracking is off then), or no chain of type nat (nobody translates then); and it
# is translated again when there is one of each, however empty or other it may be. Who empties the ruleset and loads it anew lets
# packets of running flows out untranslated in between, and a TCP connection can be reset by the answer to one late acknowledgement.
set -euo pipefail
if [ "${1:-}" != inside ]; then
	work=$(mktemp -d)
	trap 'rm -rf "$work"' EXIT
	cd "$work"
	apt-get -o APT::Sandbox::User=root download -qq nftables=1.0.6-2+deb12u2 libnftables1=1.0.6-2+deb12u2 libnftnl11=1.2.4-2 libmnl0=1.0.4-3 \
		libjansson4=2.14-2 libxtables12=1.8.9-2 iproute2=6.1.0-3 libbpf1=1:1.1.2-0+deb12u1 iputils-ping=3:20221126-1+deb12u1 >/dev/null
	for package in *.deb; do dpkg -x "$package" .; done
	export PATH="$work/bin:$work/sbin:$work/usr/sbin:$PATH" LD_LIBRARY_PATH="$work/usr/lib/$(uname -m)-linux-gnu:$work/lib/$(uname -m)-linux-gnu"
	cd "$OLDPWD"
	# A network namespace of its own, which ends with the process: nothing outside is touched.
	unshare -n "$BASH" "$0" inside
	exit
fi

# This namespace is the router; the other two end with the processes that hold them.
hold() { unshare -n sleep 300 & held=$!; while [ "$(readlink /proc/$held/ns/net)" = "$(readlink /proc/$$/ns/net)" ]; do sleep 0.01; done; }
hold; inner=$held
hold; outer=$held
trap 'kill $inner $outer' EXIT
inside() { nsenter --net="/proc/$1/ns/net" "${@:2}"; }
ip link add to-inner type veth peer name eth0 netns "$inner"
ip link add to-outer type veth peer name eth0 netns "$outer"
for link in to-inner to-outer; do ip link set $link up; done
ip addr add 10.0.0.1/24 dev to-inner
ip addr add 192.0.2.1/24 dev to-outer
inside "$inner" ip addr add 10.0.0.2/24 dev eth0
inside "$inner" ip link set eth0 up
inside "$inner" ip route add default via 10.0.0.1
inside "$outer" ip addr add 192.0.2.2/24 dev eth0
inside "$outer" ip link set eth0 up
sysctl -qw net.ipv4.ip_forward=1
inside "$outer" nft -f - <<'RULES'
table ip seen {
	counter translated { }
	counter plain { }
	chain c { type filter hook input priority 0; ip saddr 192.0.2.1 counter name translated; ip saddr 10.0.0.2 counter name plain; }
}
RULES
seen() { inside "$outer" nft list counter ip seen "$1" | sed -n 's/.*packets \([0-9]*\).*/\1/p'; }
echo "Linux $(uname -r), $(nft --version | cut -d' ' -f2)"
nft add table ip nat
nft add chain ip nat post '{ type nat hook postrouting priority srcnat; }'
nft add rule ip nat post masquerade
nft add table ip other
nft add chain ip other post '{ type nat hook postrouting priority srcnat + 10; }'

# One ping, and so one flow. What its next packets are seen as.
inside "$inner" ping -n -q -i 0.2 192.0.2.2 >/dev/null & flow=$!
trap 'kill $flow $inner $outer' EXIT
say() {
	local before after
	# One may be on its way.
	sleep 0.3
	before="$(seen translated) $(seen plain)"
	for _ in $(seq 100); do
		after="$(seen translated) $(seen plain)"
		[ "$after" = "$before" ] || break
		sleep 0.05
	done
	if [ "${after% *}" != "${before% *}" ]; then as=translated; else as=plain; fi
	echo "$1: $as"
	[ "$as" = "$2" ]
}

say "with the rule" translated
nft add table ip watch
nft add chain ip watch c '{ type filter hook forward priority 0; }'
nft add rule ip watch c ct state new counter
nft flush chain ip nat post
say "the rule is gone, another one asks conntrack" translated
nft flush chain ip watch c
say "no rule asks conntrack" plain
nft add rule ip watch c ct state new counter
say "one does again" translated
nft delete table ip nat
say "the chain is gone, another, empty one of type nat is left" translated
nft delete table ip other
say "no chain of type nat is left" plain
nft add table ip other
nft add chain ip other post '{ type nat hook postrouting priority srcnat; }'
say "an empty one is there again" translated
