#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# make check-boot: a Debian with systemd as its first process (systemd-nspawn), and our packages in it. boot.py says what is
# done there.
#
#   boot.sh SUITE [DIRECTORY]       DIRECTORY: where packages.sh has put packages before
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/minimal.sh"

suite=${1:-trixie}
reason=$(minimal_missing)
[ -n "$reason" ] || command -v systemd-nspawn >/dev/null ||
	reason="systemd-nspawn is not installed: apt-get install systemd-container"
if [ -n "$reason" ]; then
	echo "check-boot: skipped: $reason"
	echo "0 passed, 0 failed, 1 skipped"
	exit 0
fi

work=$(mktemp -d "${TMPDIR:-/tmp}/flannel-boot.XXXXXX")
trap 'rm -rf "$work"; [ -z "$root" ] || rm -rf --one-file-system "$root" "$root.console"' EXIT
if [ -n "${2:-}" ]; then
	cp -r "$2/now" "$2/next" "$work"
else
	"$here/packages.sh" "$suite" "$work"
fi

minimal_kept "$suite-docker" "$suite" '
	apt-get update -qq
	apt-get install -qq -y --no-install-recommends systemd systemd-sysv dbus iproute2 iputils-ping iptables nftables \
		procps etcd-server etcd-client docker.io docker-cli busybox-static
	apt-get clean'
cp -r "$work/now" "$work/next" "$root/root"
# What the packages depend on is got here: the machine has no network.
inside '' 'apt-get update -qq && apt-get install -qq -y --download-only ../now/*.deb >/dev/null'
rm -rf "$root/root/flannel"
cp -r "$here/guest/." "$root/"
cp "$here/../../README.md" "$here/../../docs/integrations/docker.md" "$root/root"
for unit in etcd.service systemd-timesyncd.service docker.service docker.socket containerd.service; do
	systemctl -q --root="$root" disable "$unit" 2>/dev/null || true
done
systemctl -q --root="$root" enable underlay.service systemd-networkd.service
: >"$root/etc/fstab"
rm -f "$root/etc/resolv.conf"
/usr/bin/python3 "$here/boot.py" "$root"
