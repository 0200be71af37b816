#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# podman 5.4.2 with netavark 1.14.0 (podman 5.4.2+ds1-2+b2, netavark 1.14.0-2 of Debian 13): `podman network create -o mode=unmanaged`, which
# is for a bridge that somebody else made and keeps, named by --interface-name.
#
# One would expect: with --subnet the network of that bridge's own address can be said, since the containers are to be on it; or without
# --subnet it is taken from the bridge.
# What happens: while the bridge is there with an address, its subnet is refused as "already used on the host"; without --subnet podman takes another
# one, of which the bridge has no address. The same command is accepted before the bridge is made. A macvlan network on the same link may
# have that subnet at any time.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
if [ "${1:-}" != inside ]; then
	cd "$work"
	archive=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' 'Label: Debian' | head -n 1)
	mkdir -p state/lists/partial cache/archives/partial debs root
	echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $archive trixie main" >sources.list
	: >status
	options=(-qq -o APT::Sandbox::User=root -o "Dir::Etc::SourceList=$work/sources.list" -o Dir::Etc::SourceParts=/dev/null
		-o "Dir::State=$work/state" -o "Dir::Cache=$work/cache" -o "Dir::State::status=$work/status")
	apt-get "${options[@]}" update >/dev/null
	(cd debs && apt-get "${options[@]}" download podman=5.4.2+ds1-2+b2 netavark=1.14.0-2 libc6 libsubid5 libsqlite3-0 libgpgme11t64 \
		libseccomp2 libaudit1 libselinux1 libsemanage2 libcrypt1 libacl1 libattr1 libpam0g libbsd0 libassuan9 libgpg-error0 \
		libcap-ng0 libpcre2-8-0 libsepol2 libbz2-1.0 libmd0 >/dev/null)
	for package in debs/*.deb; do dpkg -x "$package" root; done
	cd "$OLDPWD"
	# Namespaces of its own, which end with the process: nothing outside is touched.
	ROOT=$work/root unshare -n -m "$BASH" "$0" inside
	exit
fi

export HOME=$work XDG_RUNTIME_DIR=$work CONTAINERS_CONF=$work/containers.conf PODMAN_IGNORE_CGROUPSV1_WARNING=1
printf '[network]\nnetwork_backend = "netavark"\n[engine]\nhelper_binaries_dir = ["%s/usr/lib/podman"]\n' "$ROOT" >"$CONTAINERS_CONF"
libraries=$ROOT/usr/lib/$(uname -m)-linux-gnu

podman() {
	"$libraries"/ld-linux*.so.? --library-path "$libraries" "$ROOT/usr/bin/podman" --root "$work/storage" --runroot "$work/run" \
		--storage-driver vfs --network-config-dir "$work/networks" "$@"
}

create() { # NAME OPTION...: what it says, or that it is done
	if podman network create --interface-name fabric0 "${@:2}" "$1" >"$work/said" 2>&1; then
		echo accepted
	else
		grep -o 'subnet .* already used.*' "$work/said" || cat "$work/said"
	fi
	podman network rm "$1" >/dev/null 2>&1 || true
}

unmanaged=(-d bridge -o mode=unmanaged --subnet 10.5.17.0/24 --gateway 10.5.17.1)
before=$(create before "${unmanaged[@]}")
ip link add fabric0 type bridge
ip addr add 10.5.17.1/24 dev fabric0
ip link set fabric0 up
there=$(create there "${unmanaged[@]}")
podman network create -d bridge -o mode=unmanaged --interface-name fabric0 chosen >/dev/null
chosen=$(podman network inspect chosen | sed -n 's/.*"subnet": "\(.*\)".*/\1/p')
podman network rm chosen >/dev/null
macvlan=$(create macvlan -d macvlan --subnet 10.5.17.0/24)
podman --version
echo "before the bridge is there: $before"
echo "when it is there: $there"
echo "without --subnet: $chosen"
echo "macvlan on the same link: $macvlan"
[ "$before $macvlan" = "accepted accepted" ] && [[ $there == *"already used on the host"* ]] && [ -n "$chosen" ] && [ "$chosen" != 10.5.17.0/24 ]
