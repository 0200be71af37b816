#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# make check-reproducible: two builds of the present commit, which differ in directory, time zone, language, umask, home,
# number of jobs and time, give the same bytes: what is installed, the archive, the bill of materials, and, where
# debhelper is there, Debian's packages.
set -euo pipefail

tree=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/flannel-reproducible.XXXXXX")
trap 'rm -rf "$work"' EXIT

# build DIRECTORY UMASK JOBS VARIABLE=VALUE...: the outcome lies in DIRECTORY/out then.
build() {
	local directory=$1 mask=$2 jobs=$3
	shift 3
	mkdir -p "$directory"
	git clone -q --no-hardlinks "$work/commit" "$directory/tree"
	(
		umask "$mask"
		cd "$directory/tree"
		make() { env -i PATH="$PATH" CCACHE_DISABLE=1 "$@" make -s -j "$jobs" BUILD=made "${goals[@]}" >/dev/null; }
		goals=(all dist sbom)
		make "$@"
		goals=(install "DESTDIR=$directory/out/installed")
		make "$@"
		cp made/*.tar.gz made/*.spdx.json "$directory/out"
		if command -v dh_install >/dev/null && command -v dpkg-buildpackage >/dev/null; then
			env -i PATH="$PATH" CCACHE_DISABLE=1 "$@" DEB_BUILD_OPTIONS="nocheck parallel=$jobs" \
				dpkg-buildpackage -us -uc -b >"$directory/log" 2>&1 || { tail -n 20 "$directory/log"; exit 1; }
			cp ../*.deb "$directory/out"
		fi
	)
}

# The same for both, whatever happens to the tree meanwhile.
git clone -q --no-hardlinks "$tree" "$work/commit"
build "$work/one" 022 1 HOME=/root TZ=UTC LC_ALL=C
build "$work/another/and-a-longer-path" 077 3 HOME=/nonexistent TZ=Pacific/Kiritimati LC_ALL=C.UTF-8 USER=somebody

sums() {
	(cd "$1" && find . -type f -print0 | sort -z | xargs -0 sha256sum)
}

sums "$work/one/out" >"$work/first"
sums "$work/another/and-a-longer-path/out" >"$work/second"
diff "$work/first" "$work/second" || { echo "two builds differ"; exit 1; }
echo "$(wc -l <"$work/first") files, $(grep -c '\.deb$' "$work/first") of them packages: two builds are the same"
