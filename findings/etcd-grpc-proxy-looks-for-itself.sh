#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# etcd 3.5.30 (etcd-server 3.5.30-2 of Debian sid) beside etcd 3.5.16 (3.5.16-4 of Debian 13): `etcd grpc-proxy start` with --listen-addr and
# without --advertise-client-url, which a proxy that registers nowhere (no --resolver-prefix) has no use for.
#
# One would expect: the proxy serves at the address that it listens at, as 3.5.16 does.
# What happens: 3.5.30 dials the default of --advertise-client-url, 127.0.0.1:23790, where it does not listen, for five seconds, and ends
# with a deadline that was exceeded, before it has served anybody. Told the address that it listens at, it serves.
set -euo pipefail
work=$(mktemp -d)
pids=()
trap 'kill "${pids[@]}" 2>/dev/null || true; wait; rm -rf "$work"' EXIT
cd "$work"
archive=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' 'Label: Debian' | head -n 1)

fetch() { # SUITE VERSION
	local here=$work/$1
	mkdir -p "$here"/{state/lists/partial,cache/archives/partial,out}
	echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $archive $1 main" >"$here/sources.list"
	: >"$here/status"
	local options=(-qq -o APT::Sandbox::User=root -o "Dir::Etc::SourceList=$here/sources.list" -o Dir::Etc::SourceParts=/dev/null
		-o "Dir::State=$here/state" -o "Dir::Cache=$here/cache" -o "Dir::State::status=$here/status")
	apt-get "${options[@]}" update >/dev/null
	(cd "$here/out" && apt-get "${options[@]}" download "etcd-server=$2" >/dev/null && dpkg -x ./*.deb .)
}

fetch trixie 3.5.16-4
fetch sid 3.5.30-2

# Ports that nobody has now.
ports=($(python3 -c '
import socket
held = [socket.create_server(("127.0.0.1", 0)) for _ in range(5)]
print(*(s.getsockname()[1] for s in held))'))
client=http://127.0.0.1:${ports[0]} peer=http://127.0.0.1:${ports[1]}
"$work/trixie/out/usr/bin/etcd" --data-dir "$work/data" --listen-client-urls "$client" --advertise-client-urls "$client" \
	--listen-peer-urls "$peer" --initial-advertise-peer-urls "$peer" --initial-cluster "default=$peer" >"$work/etcd.log" 2>&1 &
pids+=($!)

# Whether somebody serves there within fifteen seconds.
serves() {
	python3 -c '
import sys, time, urllib.request
end = time.monotonic() + 15
while time.monotonic() < end:
    try:
        urllib.request.urlopen(sys.argv[1] + "/metrics", timeout=1).read()
        sys.exit(print("yes"))
    except OSError:
        time.sleep(0.05)
print("no")' "$1"
}

[ "$(serves "$client")" = yes ]

proxy() { # SUITE PORT [OPTION]
	"$work/$1/out/usr/bin/etcd" grpc-proxy start --endpoints "127.0.0.1:${ports[0]}" --listen-addr "127.0.0.1:$2" ${3:+"$3"} \
		>"$work/proxy.$2.log" 2>&1 &
	pids+=($!)
}

proxy trixie "${ports[2]}"
proxy sid "${ports[3]}"
ending=$!
proxy sid "${ports[4]}" "--advertise-client-url=127.0.0.1:${ports[4]}"
old=$(serves "http://127.0.0.1:${ports[2]}") new=$(serves "http://127.0.0.1:${ports[3]}") told=$(serves "http://127.0.0.1:${ports[4]}")
status=0
[ "$new" = yes ] || wait "$ending" || status=$?
echo "3.5.16 serves: $old"
echo "3.5.30 serves: $new; exit status $status: $(tail -n 1 "$work/proxy.${ports[3]}.log" | cut -c 1-80)"
echo "3.5.30 that was told where it listens serves: $told"
[ "$old $new $told" = "yes no yes" ]
