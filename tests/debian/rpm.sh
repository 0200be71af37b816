#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# In the system where packages.sh built Debian's: the same with rpm, and what is in them.
set -euo pipefail
cd "$(dirname "$0")/../.."

make -s -j2 rpm >/tmp/rpm.log 2>&1 || { tail -n 20 /tmp/rpm.log; exit 1; }
for name in flanneld fabricctl flannel-cni; do
	echo "$name:"
	rpm -qlp build/rpm/RPMS/*/"$name"-[0-9]*.rpm | grep -v -e '/doc/flannel/' -e '/licenses/' -e '/flannel/schema/' | sed 's/\.gz$//' | sort
done >/tmp/rpm.files
diff - /tmp/rpm.files <<'FILES' || { echo "  FAILED: the packages for rpm have other files"; exit 1; }
flanneld:
/etc/flannel
/etc/flannel/flanneld.conf
/usr/lib/NetworkManager/conf.d/10-flannel.conf
/usr/lib/systemd/network/10-flannel.network
/usr/lib/systemd/system/flanneld.service
/usr/sbin/flanneld
/usr/sbin/mk-docker-opts
/usr/share/doc/flannel
/usr/share/man/man8/flanneld.8
/usr/share/man/man8/mk-docker-opts.8
fabricctl:
/usr/bin/fabricctl
/usr/share/bash-completion/completions/fabricctl
/usr/share/fish/vendor_completions.d/fabricctl.fish
/usr/share/flannel/schema
/usr/share/man/man1/fabricctl.1
/usr/share/zsh/site-functions/_fabricctl
flannel-cni:
/usr/libexec/cni
/usr/libexec/cni/flannel
/usr/libexec/netavark
/usr/libexec/netavark/flannel
FILES
diff <(ls docs/schema) <(rpm -qlp build/rpm/RPMS/*/fabricctl-[0-9]*.rpm | sed -n 's|.*/flannel/schema/||p' | LC_ALL=C.UTF-8 sort)
[ "$(rpm -qcp build/rpm/RPMS/*/flanneld-[0-9]*.rpm)" = /etc/flannel/flanneld.conf ]
echo "  rpm: three packages, with the files they are to have"
