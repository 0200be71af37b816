# SPDX-License-Identifier: Apache-2.0
"""Pages of docs/integrations: their files and commands, as they are printed, for tests that run them."""

import json
import re
import shutil

from fabric import ROOT

BUSYBOX = "/bin/busybox"


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
