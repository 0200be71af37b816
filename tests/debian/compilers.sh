#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# make check-compilers SUITE=sid: everything, the tests too, is compiled by each compiler of that suite that is younger than
# ours, and none has a word to say; with the last of them the unit tests run.
#
#   compilers.sh SUITE [COMPILER]...    such as gcc-15, clang-21; without any: all that the suite has
set -euo pipefail
. "$(dirname "$0")/minimal.sh"

suite=${1:?suite, for example sid}
shift
reason=$(minimal_missing)
if [ -n "$reason" ]; then
	echo "check-compilers: skipped: $reason"
	exit 0
fi
minimal_kept "$suite-compilers" "$suite" '
	make deps DEPS_DEMO= DEPS_TEST=python3
	for n in 14 15 16; do apt-get install -qq -y --no-install-recommends gcc-$n || true; done
	for n in 19 20 21 22; do apt-get install -qq -y --no-install-recommends clang-$n || true; done
	apt-get clean'
[ $# -gt 0 ] || set -- $(cd "$root/usr/bin" && ls gcc-[0-9][0-9] clang-[0-9][0-9] | sort -t- -k2n)
status=0
for compiler; do
	if inside --net "nice make -s -k -j2 BUILD=build-$compiler CC=$compiler WERROR=1 all unit-programs fuzz-programs \
			>/tmp/log 2>&1 || { grep -E '(error|warning):' /tmp/log | head -n 20; exit 1; }"; then
		echo "$compiler: no warning"
	else
		echo "$compiler: FAILED"
		status=1
	fi
done
inside --net "nice make -s BUILD=build-$compiler CC=$compiler unit | tail -n 20" || status=1
exit "$status"
