# SPDX-License-Identifier: Apache-2.0
"""A file system of its own for programs of another Debian suite that look for everything at the usual places.

    root = SuiteRoot(netns, directory, tree, "/usr/lib/cni")
    root.sh("podman info")
    (root.inside / "run/flannel/subnet.env").write_text(...)

The programs are the suite's packages, unpacked (debian.py), with our plugin where it belongs; what they write lies in memory and is
gone with the mount namespace. Everything of ours has its usual path in there: subnet.env, records, reservations.
"""

import os
import pathlib
import shutil
import signal
import subprocess

import pytest
from cni_support import PLUGIN

SUBNET_FILE = "run/flannel/subnet.env"
TIMEOUT_S = 120
NEEDED = "unshare", "nsenter", "pivot_root"

# Programs, plugin and configuration from outside; all else is made afresh.
MAKE_ROOT = r"""
set -e
mount -t tmpfs none "$root"
mkdir -p "$root"/usr "$root"/etc "$root"/proc "$root"/sys "$root"/dev "$root"/run/flannel "$root"/tmp "$root"/var/tmp \
	"$root"/var/lib/cni "$root"/var/cache "$root"/var/log "$root"/root "$root"/shared
for link in bin sbin lib lib64; do ln -s usr/$link "$root"/$link; done
mount --bind "$tree"/usr "$root"/usr
mount --bind "$plugins" "$root"$plugin_directory
cp -a "$tree"/etc/. "$root"/etc/
mount --rbind /proc "$root"/proc
mount -t sysfs none "$root"/sys # of this network namespace
mount -t cgroup2 none "$root"/sys/fs/cgroup # crun and incus know no other
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


class SuiteRoot:
    """netns: path of the namespace; directory: an empty one of the test; plugin_directory: where ours lies in there."""

    def __init__(self, netns, directory, tree, plugin_directory):
        self.directory = directory / "shared"
        root, plugins = directory / "root", directory / "plugins"
        for folder in (self.directory, root, plugins):
            folder.mkdir()
        shutil.copy(PLUGIN, plugins / "flannel")
        (tree / plugin_directory.lstrip("/")).mkdir(exist_ok=True)
        places = {"root": root, "tree": tree, "plugins": plugins, "shared": self.directory, "plugin_directory": plugin_directory}
        self.keeper = subprocess.Popen(
            ["unshare", "-m", "--propagation", "private", "nsenter", f"--net={netns}", "sh", "-c", MAKE_ROOT],
            env=os.environ | {k: str(v) for k, v in places.items()}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        if self.keeper.stdout.readline() != b"ready\n":
            said = self.keeper.communicate()[1].decode()
            pytest.skip(f"no file system for other programs can be made here: {said[-300:]}")
        version = self.sh(f"{plugin_directory}/flannel", check=False)
        if "shared libraries" in version.stderr:  # those of sanitizers
            self.end()
            pytest.skip(f"not in that suite: {version.stderr.strip()[-300:]}")

    @property
    def inside(self):
        """It, seen from here."""
        return pathlib.Path(f"/proc/{self.keeper.pid}/root")

    def popen(self, command, **options):
        """A shell command in there, started."""
        return subprocess.Popen(
            ["nsenter", "-t", str(self.keeper.pid), "-m", "-n", "sh", "-ec", command],
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root"}, stdin=subprocess.DEVNULL, **options,
        )  # fmt: skip

    def sh(self, command, check=True):
        """What a shell command in there prints."""
        process = self.popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        with process:
            try:
                out, err = process.communicate(timeout=TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
        assert not check or process.returncode == 0, f"{command}: {out}{err}"
        return out if check else subprocess.CompletedProcess(command, process.returncode, out, err)

    def end(self):
        if self.keeper.poll() is None:
            self.keeper.send_signal(signal.SIGTERM)
        self.keeper.communicate()
