# SPDX-License-Identifier: Apache-2.0
"""podman 5 of Debian 13, in a file system of its own with our plugin where the package puts it."""

import shutil

import debian
from suite_root import SUBNET_FILE, SuiteRoot

PACKAGES = ("dash", "coreutils", "grep", "mount", "podman", "crun", "netavark", "nftables", "iproute2", "procps", "libjansson4")

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


class Podman(SuiteRoot):
    """`host` is a cni_support.Host, whose namespace and subnet.env it has; directory: shared with it as /shared."""

    def __init__(self, host):
        self.host = host
        tree = debian.unpacked("trixie", *PACKAGES, dependencies=True)
        super().__init__(host.ns.path, host.directory, tree, "/usr/lib/netavark")
        (self.inside / "etc/containers/containers.conf").write_text(CONFIGURATION)
        shutil.copy(host.subnet_file, self.inside / SUBNET_FILE)

    def __call__(self, *argv, check=True):
        return self.sh("podman --storage-driver vfs " + " ".join(argv), check)

    def records(self, network):
        """Names of what is recorded and reserved there."""
        places = (self.inside / f"var/lib/cni/flannel/@{network}", self.inside / f"var/lib/cni/networks/{network}")
        return sorted(f.name for d in places if d.exists() for f in d.iterdir() if f.name not in ("lock", "last_reserved_ip.0"))

    def end(self):
        if self.keeper.poll() is None:
            self("rm", "-f", "-a", "-t", "0", check=False)
        super().end()
