#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# In the system where packages.sh built them, without a network: what the packages do to it, and what they leave.
set -euo pipefail
cd "$(dirname "$0")/../.."

files() {
	find / -xdev \( -path /proc -o -path /root -o -path /tmp -o -path /run -o -path /var/cache -o -path /var/log \
		-o -path /var/lib/dpkg -o -path /var/lib/apt \) -prune -o -print | sort
}

say() {
	printf '  %s\n' "$1"
}

fail() {
	printf '  FAILED: %s\n' "$1"
	exit 1
}

apt() {
	apt-get "$@" >/tmp/apt.log 2>&1 || { tail -n 20 /tmp/apt.log; fail "apt-get $*"; }
}

conf=/etc/flannel/flanneld.conf
ours="flanneld fabricctl flannel-cni"
# What they need stays: only what they bring themselves is looked at. autopkgtest is there already.
apt install -y --no-install-recommends ../now/*.deb
size=$(dpkg-query -W -f '${Installed-Size}\n' $ours | awk '{ sum += $1 } END { print sum }')
# 3.8 MB on Debian 13, of which the plugin with its libraries in it is 1.3.
[ "$size" -le 4200 ] || fail "installed size $size KB"
say "installed: $size KB"
dpkg --verify $ours
apt purge -y $ours
files >/tmp/before

PYTHONDONTWRITEBYTECODE=1 autopkgtest --ignore-restrictions=isolation-machine --no-built-binaries ../now/*.deb . -- null >/tmp/autopkgtest.log 2>&1 ||
	{ tail -n 40 /tmp/autopkgtest.log; fail "autopkgtest"; }
grep -E ' +(PASS|SKIP|FAIL)' /tmp/autopkgtest.log | sort -u | sed 's/^/  autopkgtest: /'
if grep -qE ' +SKIP' /tmp/autopkgtest.log; then fail "a test of the packages was not run"; fi

apt install -y --no-install-recommends ../now/*.deb
echo 'etcd-endpoints = http://192.0.2.10:2379' >>$conf
for version in next now; do
	apt install -y --no-install-recommends --allow-downgrades ../$version/*.deb
	grep -q 192.0.2.10 $conf || fail "$conf lost what was written into it"
	[ -z "$(find /etc/flannel -name '*.dpkg-*')" ] || fail "an unchanged $conf was taken for a new one"
done
say "$conf outlives upgrade and downgrade"

mkdir -p /var/lib/flannel /run/flannel /var/lib/cni/flannel
touch /var/lib/flannel/node-id /run/flannel/subnet.env /var/lib/cni/flannel/c1
apt remove -y $ours
grep -q 192.0.2.10 $conf || fail "removing took $conf"
[ -e /var/lib/flannel/node-id ] || fail "removing took the state"
apt purge -y $ours
files >/tmp/after
diff <(grep -v '^/var/lib/cni$' /tmp/before) <(grep -v '^/var/lib/cni$' /tmp/after) || fail "left over after purge"
[ ! -e /run/flannel ] || fail "/run/flannel is left over"
say "purge leaves nothing"
