#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# make check-packages SUITE=trixie: the packages are built on a minimal Debian of that suite (minimal.sh), judged by lintian,
# installed, tested by autopkgtest (debian/tests), upgraded, downgraded and purged; and built with rpm.
#
#   packages.sh SUITE DIRECTORY     only builds them, and puts them into DIRECTORY/now, those of a next version into /next
set -euo pipefail
. "$(dirname "$0")/minimal.sh"

suite=${1:?suite, for example trixie}
out=${2:-}
if reason=$(minimal_missing) && [ -n "$reason" ]; then
	echo "check-packages: skipped: $reason"
	exit 0
fi

minimal_kept "$suite-build" "$suite" '
	apt-get update -qq
	apt-get install -qq -y --no-install-recommends debhelper dpkg-dev lintian autopkgtest iproute2 iputils-ping procps rpm
	apt-get build-dep -qq -y --no-install-recommends .'
inside '' 'apt-get update -qq && apt-get build-dep -qq -y --no-install-recommends . >/dev/null'

# 0.1.0 and, of the same tree, what would be its next version.
# shellcheck disable=SC2016
inside --net '
	set -e
	build() {
		DEB_BUILD_OPTIONS="parallel=2 $1" dpkg-buildpackage -us -uc -b >../build.log 2>&1 || { tail -n 30 ../build.log; exit 1; }
		if grep -n "dpkg-.*: warning" ../build.log; then exit 1; fi
		mkdir "../$2"
		mv ../*.deb ../*.changes ../*.buildinfo "../$2"
	}
	build "" now
	sed -i "1s/(\(.*\))/(\1+next)/" debian/changelog
	build nocheck next
	git checkout -q debian/changelog
	lintian --fail-on error,warning ../now/*.changes'
echo "$suite: built, without a complaint of lintian"
if [ -n "$out" ]; then
	cp -r "$root/root/now" "$root/root/next" "$out"
	exit 0
fi

inside '' 'apt-get install -qq -y --no-install-recommends --download-only ../now/*.deb >/dev/null'
inside --net 'tests/debian/installed.sh'
inside --net 'tests/debian/rpm.sh'
