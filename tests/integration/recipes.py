# SPDX-License-Identifier: Apache-2.0
"""Pages of docs/integrations: their files and commands, as they are printed, for tests that run them."""

import json
import re
import shutil

from fabric import ROOT
from netns import run, wait_for

BUSYBOX = "/bin/busybox"
# Of the second version alone, and not the other beside them: what LXC 7 wants.
CGROUP2 = "mount -t cgroup2 cgroup2 /sys/fs/cgroup && exec \"$@\""
LEFT = "cd /sys/fs/cgroup && find . -depth -type d -path './lxc.*{name}*' -exec rmdir {{}} +; rmdir lxc.pivot; ! ls -d ./lxc.*{name}*"


def block(page, after):
    """The indented lines that follow this line of the page."""
    text = (ROOT / "docs" / "integrations" / page).read_text().split(f"{after}\n\n")[1]
    return re.sub(r"^    ", "", re.match(r"(?:(?:    .*)?\n)+", text)[0].rstrip("\n") + "\n", flags=re.M)


def machine_root(directory):
    """A root file system that has busybox alone."""
    for name in ("bin", "etc", "usr", "proc", "sys", "dev", "run", "tmp"):
        (directory / name).mkdir(parents=True)
    shutil.copy(BUSYBOX, directory / "bin" / "busybox")
    (directory / "etc" / "os-release").write_text("ID=busybox\n")
    return directory


def write_netns_json(page, host, directory):
    """The page's configuration for the plugin, with the files and folders of this host's daemon. Its path."""
    conf = json.loads(block(page, "`/etc/flannel/netns.json`:"))
    conf |= {"subnetFile": str(host.daemon.subnet_file), "dataDir": str(host.daemon.flags["cni_data_dir"])}
    path = directory / "netns.json"
    path.write_text(json.dumps(conf | {"ipam": {"dataDir": str(directory / "networks")}}))
    return path


def reservations(directory):
    """Addresses that are taken there."""
    return {file.name for file in (directory / "networks").rglob("*") if file.name[0].isdigit()}


def remove_cgroups(name):
    """Which LXC leaves where it is not alone, of a container."""
    command = ("unshare", "-m", "sh", "-c", CGROUP2, "sh", "sh", "-c", LEFT.format(name=name))
    wait_for(lambda: run(*command, check=False).returncode == 0, 10, "no cgroups are left")
