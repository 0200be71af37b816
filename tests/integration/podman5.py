# SPDX-License-Identifier: Apache-2.0
"""podman 5 of Debian 13, in a file system of its own with our plugin where the package puts it.

The programs are the suite's packages, unpacked; what they write lies in memory and is gone with the mount namespace.
Everything of ours has its usual path in there: the daemon's subnet.env, records, reservations.
"""

import os
import pathlib
import shutil
import signal
import subprocess

import pytest
from cni_support import PLUGIN

import debian

PACKAGES = ("dash", "coreutils", "grep", "mount", "podman", "crun", "netavark", "nftables", "iproute2", "procps", "libnl-route-3-200", "libmnl0", "libjansson4")
PLUGIN_DIRECTORY = "/usr/lib/netavark"
SUBNET_FILE = "run/flannel/subnet.env"
TIMEOUT_S = 120

# Programs, plugin and configuration from outside; all else is made afresh.
MAKE_ROOT = r"""
set -e
mount -t tmpfs none "$root"
mkdir -p "$root"/usr "$root"/etc "$root"/proc "$root"/sys "$root"/dev "$root"/run/flannel "$root"/tmp "$root"/var/tmp \
	"$root"/var/lib/cni "$root"/root "$root"/shared
for link in bin sbin lib lib64; do ln -s usr/$link "$root"/$link; done
mount --bind "$tree"/usr "$root"/usr
mount --bind "$plugins" "$root"$plugin_directory
cp -a "$tree"/etc/. "$root"/etc/
mount --rbind /proc "$root"/proc
mount --rbind /sys "$root"/sys
mount -t cgroup2 none "$root"/sys/fs/cgroup # crun knows no other
mount --rbind /dev "$root"/dev
mount --bind "$shared" "$root"/shared
echo root:x:0:0:root:/root:/bin/sh >"$root"/etc/passwd
echo root:x:0: >"$root"/etc/group
mkdir "$root"/outside
cd "$root"
# Not chroot: who enters a container would be in the root of the mount namespace, which has to be this one.
pivot_root . outside
umount -l /outside
rmdir /outside
echo ready
exec sleep infinity
"""

CONFIGURATION = """
[network]
network_backend = "netavark"
firewall_driver = "nftables"
[engine]
runtime = "crun"
cgroup_manager = "cgroupfs"
events_logger = "file"
[containers]
cgroups = "disabled"
default_ulimits = ["nofile=1024:1024", "nproc=1000:1000"]
"""


def tree():
    root = debian.unpacked("trixie", *PACKAGES, dependencies=True)
    (root / PLUGIN_DIRECTORY.lstrip("/")).mkdir(exist_ok=True)
    return root


class Podman:
    """`host` is a cni_support.Host, whose namespace and subnet.env it has; directory: shared with it as /shared."""

    def __init__(self, host):
        self.host = host
        self.directory = host.directory / "shared"
        self.root = host.directory / "root"
        plugins = host.directory / "plugins"
        for directory in (self.directory, self.root, plugins):
            directory.mkdir()
        shutil.copy(PLUGIN, plugins / "flannel")
        places = {"root": self.root, "tree": tree(), "plugins": plugins, "shared": self.directory, "plugin_directory": PLUGIN_DIRECTORY}
        self.keeper = subprocess.Popen(
            ["unshare", "-m", "--propagation", "private", "nsenter", f"--net={host.ns.path}", "sh", "-c", MAKE_ROOT],
            env=os.environ | {k: str(v) for k, v in places.items()}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        if self.keeper.stdout.readline() != b"ready\n":
            said = self.keeper.communicate()[1].decode()
            pytest.skip(f"no file system for podman can be made here: {said[-300:]}")
        (self.inside / "etc/containers/containers.conf").write_text(CONFIGURATION)
        shutil.copy(host.subnet_file, self.inside / SUBNET_FILE)

    @property
    def inside(self):
        """Its file system, seen from here."""
        return pathlib.Path(f"/proc/{self.keeper.pid}/root")

    def sh(self, command, check=True):
        """A shell command in there; what it prints."""
        result = subprocess.run(
            ["nsenter", "-t", str(self.keeper.pid), "-m", "-n", "sh", "-ec", command],
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root"}, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=TIMEOUT_S,
        )  # fmt: skip
        assert not check or result.returncode == 0, f"{command}: {result.stdout}{result.stderr}"
        return result.stdout if check else result

    def __call__(self, *argv, check=True):
        return self.sh("podman --storage-driver vfs " + " ".join(argv), check)

    def records(self, network):
        """Names of what is recorded and reserved there."""
        places = (self.inside / f"var/lib/cni/flannel/@{network}", self.inside / f"var/lib/cni/networks/{network}")
        return sorted(f.name for d in places if d.exists() for f in d.iterdir() if f.name not in ("lock", "last_reserved_ip.0"))

    def end(self):
        if self.keeper.poll() is None:
            self("rm", "-f", "-a", "-t", "0", check=False)
            self.keeper.send_signal(signal.SIGTERM)
        self.keeper.communicate()
