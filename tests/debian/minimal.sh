# SPDX-License-Identifier: Apache-2.0
#
# To be sourced: minimal Debian systems of any suite, for what is tested on them. Needs root, debootstrap, and an apt that
# works: source, proxies and keys are those of this machine's.
#
#   minimal_missing                 what this machine lacks, as a line, or nothing
#   minimal_copy SUITE              $root: a copy of that suite's minimal system with a fresh clone of the present commit
#                                   in /root/flannel; removed when the script ends
#   minimal_kept NAME SUITE COMMAND     the same of a system that is kept as NAME: the minimal one after COMMAND, done once
#   inside '' COMMAND               bash runs it in the clone, as root of that system, with the machine's network
#   inside --net COMMAND            the same without any: a network namespace without a link
#
# Systems are kept in a cache outside the tree, each run works on a copy. The first process inside is ours: when it
# ends, however it ends, the kernel ends the others and takes the mounts away.

tree=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cache=${XDG_CACHE_HOME:-/var/cache}/flannel-debian
root=
trap '[ -z "$root" ] || rm -rf --one-file-system "$root"' EXIT

minimal_missing() {
	if [ "$(id -u)" != 0 ]; then
		echo "needs root: makes a root file system and namespaces"
	elif ! command -v debootstrap >/dev/null; then
		echo "debootstrap is not installed: apt-get install debootstrap"
	elif [ -z "$(archive)" ]; then
		echo "apt has no source of Debian's main archive"
	fi
}

# The one source of this machine's apt that has Debian's main archive.
archive() {
	apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' 'Label: Debian' | head -n 1
}

proxy() {
	apt-config shell value "Acquire::$1::Proxy" | sed -n "s/^value='\(.*\)'$/\1/p"
}

bootstrap() {
	local suite=$1 base=$cache/$1 script=/usr/share/debootstrap/scripts/$1
	# A suite younger than this debootstrap is made the way sid is.
	[ -e "$script" ] || script=/usr/share/debootstrap/scripts/sid
	rm -rf --one-file-system "$base.part"
	http_proxy=$(proxy http) https_proxy=$(proxy https) debootstrap --variant=minbase \
		--include=ca-certificates,git,make "$suite" "$base.part" "$(archive)" "$script" >"$base.log" 2>&1 ||
		{ tail -n 20 "$base.log" >&2; exit 1; }
	echo "deb $(archive) $suite main" >"$base.part/etc/apt/sources.list"
	mv "$base.part" "$base"
}

minimal_copy() {
	mkdir -p "$cache"
	[ -d "$cache/$1" ] || bootstrap "$1"
	copy "$1"
	git clone -q --no-hardlinks "$tree" "$root/root/flannel"
}

copy() {
	root=$(mktemp -d "$cache/$1.XXXXXX")
	cp -a "$cache/$1/." "$root"
	cp -L /etc/resolv.conf "$root/etc/resolv.conf"
	apt-config dump | grep -E '^Acquire::(http|https|Check-)' >"$root/etc/apt/apt.conf.d/90machine" || true
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

inside() {
	unshare --mount --propagation private --pid --fork --kill-child ${1:+"$1"} -- bash -c "
		set -e
		$(declare -f furnish)
		${1:+ip link set lo up}
		furnish '$root'
		exec /usr/bin/env -i HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
			LANG=C.UTF-8 TERM=dumb DEBIAN_FRONTEND=noninteractive bash -c 'cd /root/flannel && eval \"\$1\"' - \"\$1\"" - "$2"
}

# $root: a copy of the system called $1, which is $2's minimal one on which bash did $3 once, with the machine's network.
minimal_kept() {
	if [ ! -d "$cache/$1" ]; then
		minimal_copy "$2"
		inside '' "$3" >"$cache/$1.log" 2>&1 || { tail -n 20 "$cache/$1.log" >&2; exit 1; }
		rm -rf "$root/root/flannel"
		mv "$root" "$cache/$1"
	fi
	minimal_copy "$1"
}
