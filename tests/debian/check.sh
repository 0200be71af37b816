#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# make check-debian SUITE=trixie: the README's commands, from a fresh clone of the present commit, on a minimal Debian of
# that suite (minimal.sh).
#
#   check.sh SUITE [COMMAND]...     each COMMAND is given to bash in the clone; without any: make demo, make check
#   PACKAGES="gcc-15 ..."           packages of that suite that are wanted besides
#
# Packages are installed with the machine's network; everything else runs in a network without any link, which also
# shows that it needs none.
set -euo pipefail
. "$(dirname "$0")/minimal.sh"

suite=${1:?suite, for example trixie}
shift
[ $# -gt 0 ] || set -- 'make demo' 'make -j2 check'

minimal_copy "$suite"
echo "$suite: $(git -C "$root/root/flannel" log -1 --format='%h %s')"
inside '' "make deps ${PACKAGES:+DEPS_TEST='$PACKAGES'}"
status=0
for command; do
	echo "$suite: $command"
	inside --net "$command" || status=$?
done
exit "$status"
