#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# make check-debian SUITE=trixie: the README's commands, from a fresh clone of the present commit, on a minimal Debian of
# that suite. Needs root, debootstrap, and an apt that works: source, proxies and keys are those of this machine's.
#
#   debian.sh SUITE [COMMAND]...     each COMMAND is given to bash in the clone; without any: make demo, make check
#
# The minimal system is kept in a cache outside the tree, each run works on a copy of it. Packages are installed with
# the machine's network; everything else runs in namespaces of its own (mount, pid, network without any link), which
# also shows that it needs no network. The first process of them is ours: when it ends, however it ends, the kernel ends
# the others and takes the mounts away.
set -euo pipefail

suite=${1:?suite, for example trixie}
shift
[ $# -gt 0 ] || set -- 'make demo' 'make -j2 check'
tree=$(cd "$(dirname "$0")/.." && pwd)
cache=${XDG_CACHE_HOME:-/var/cache}/flannel-debian
base=$cache/$suite

# The one source of this machine's apt that has Debian's main archive.
archive() {
	apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' 'Label: Debian' | head -n 1
}

bootstrap() {
	local uri part=$base.part script=/usr/share/debootstrap/scripts/$suite
	uri=$(archive)
	[ -n "$uri" ] || { echo "apt has no source of Debian's main archive" >&2; exit 1; }
	# A suite younger than this debootstrap is made the way sid is.
	[ -e "$script" ] || script=/usr/share/debootstrap/scripts/sid
	rm -rf --one-file-system "$part"
	http_proxy=$(proxy http) https_proxy=$(proxy https) debootstrap --variant=minbase \
		--include=ca-certificates,git,make "$suite" "$part" "$uri" "$script" >"$base.log" 2>&1 ||
		{ tail -n 20 "$base.log" >&2; exit 1; }
	echo "deb $uri $suite main" >"$part/etc/apt/sources.list"
	mv "$part" "$base"
}

proxy() {
	apt-config shell value "Acquire::$1::Proxy" | sed -n "s/^value='\(.*\)'$/\1/p"
}

# What another mount namespace must have to be a machine: $1 is its root.
furnish() {
	mount --bind "$1" "$1"
	mount -t proc proc "$1/proc"
	mount -t sysfs sysfs "$1/sys"
	mount --rbind /sys/fs/cgroup "$1/sys/fs/cgroup"
	mount --rbind /dev "$1/dev"
	mount -t tmpfs -o mode=1777 tmpfs "$1/dev/shm"
	mount -t tmpfs -o mode=755 tmpfs "$1/run"
	mount -t tmpfs -o mode=1777 tmpfs "$1/tmp"
	# Not chroot: who enters the namespace later (nsenter, containerd) must find the same root.
	cd "$1"
	mkdir -p .machine
	pivot_root . .machine
	umount -l .machine
	rmdir .machine
}

# In namespaces of its own: $1 = --net or nothing, $2 = the root, then the command.
inside() {
	unshare --mount --propagation private --pid --fork --kill-child ${1:+"$1"} -- bash -c "
		set -e
		$(declare -f furnish)
		ip link set lo up
		furnish '$2'
		exec /usr/bin/env -i HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
			LANG=C.UTF-8 TERM=dumb bash -c 'cd /root/flannel && eval \"\$1\"' - \"\$1\"" - "$3"
}

mkdir -p "$cache"
[ -d "$base" ] || bootstrap
root=$(mktemp -d "$cache/$suite.XXXXXX")
trap 'rm -rf --one-file-system "$root"' EXIT
cp -a "$base/." "$root"
cp -L /etc/resolv.conf "$root/etc/resolv.conf"
apt-config dump | grep -E '^Acquire::(http|https|Check-)' >"$root/etc/apt/apt.conf.d/90machine" || true
git clone -q --no-hardlinks "$tree" "$root/root/flannel"

echo "$suite: $(git -C "$root/root/flannel" log -1 --format='%h %s')"
inside '' "$root" 'make deps'
status=0
for command; do
	echo "$suite: $command"
	inside --net "$root" "$command" || status=$?
done
exit "$status"
