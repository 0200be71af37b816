#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# debhelper 13.11.4 (Debian 12): dh_installsystemd for a service that a person switches on, not the package.
#
# One would expect: --no-enable and --no-start keep the installation from switching the service on, and a service that runs since a
# person wanted it is treated as any other one: an upgrade leaves it running, a removal stops it.
# What happens: with --no-start an upgrade stops the running service and nothing starts it again; with --restart-after-upgrade besides
# it is restarted if it ran. In both cases the removal does not stop it: the daemon runs on when its files are gone. Such a package
# needs a prerm of its own.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
apt-get -o APT::Sandbox::User=root download -qq debhelper=13.11.4 libdebhelper-perl=13.11.4 >/dev/null
for package in *.deb; do dpkg -x "$package" tools; done
export PERL5LIB=$work/tools/usr/share/perl5 DH_DATAFILE_DIR=$work/tools/usr/share/debhelper DH_AUTOSCRIPTDIR=$work/tools/usr/share/debhelper/autoscripts

# What maintainer scripts do to the service with these options.
show() {
	rm -rf "$work/package"
	mkdir -p "$work/package/debian/something/lib/systemd/system"
	cd "$work/package"
	printf 'Source: something\nBuild-Depends: debhelper-compat (= 13)\n\nPackage: something\nArchitecture: all\n' >debian/control
	printf '[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n' >debian/something/lib/systemd/system/something.service
	perl "$work/tools/usr/bin/dh_installsystemd" "$@"
	snippets=debian/.debhelper/generated/something
	upgrade="leaves alone"
	if grep -qs stop "$snippets/preinst.service"; then upgrade=stops; fi
	if grep -qs "invoke try-restart" "$snippets/postinst.service"; then upgrade="restarts if it runs"; fi
	if grep -qs "_dh_action=restart" "$snippets/postinst.service"; then upgrade=restarts; fi
	removal="leaves alone"
	if grep -qs stop "$snippets/prerm.service"; then removal=stops; fi
	echo "upgrade $upgrade, removal $removal"
}

echo "debhelper 13.11.4, what is done to the service that runs:"
while IFS='|' read -r options expected; do
	# shellcheck disable=SC2086
	seen=$(show $options)
	printf '    %-52s %s\n' "${options:-no option}" "$seen"
	[ "$seen" = "$expected" ]
done <<'LIST'
|upgrade restarts, removal stops
--no-enable --no-start|upgrade stops, removal leaves alone
--no-enable --no-start --restart-after-upgrade|upgrade restarts if it runs, removal leaves alone
LIST
