# SPDX-License-Identifier: Apache-2.0
"""docs/integrations/systemd-nspawn.md: its files and its commands, with the real program."""

import ipaddress
import json
import os
import re
import shutil
import subprocess

import pytest

import debian
from fabric import APART, CNI_PLUGIN
from recipes import BUSYBOX, block, machine_root, reservations, write_netns_json

PAGE = "systemd-nspawn.md"
pytestmark = pytest.mark.skipif(not shutil.which(BUSYBOX), reason=f"{BUSYBOX} is not installed")


@pytest.fixture
def pair(lab):
    lab.start_etcd()
    lab.configure(APART)
    return lab.hosts(2, daemons=True)


@pytest.fixture
def page(lab, pair, tmp_path):
    """run(command): as the page has it, on h1, with other names for what is the machine's own."""
    h1 = pair[0]
    name = f"{lab.prefix}-web"
    netns_json = write_netns_json(PAGE, h1, tmp_path)
    script = tmp_path / "fabric-netns"
    script.write_text(
        block(PAGE, "`/usr/local/sbin/fabric-netns`, executable:")
        .replace("/etc/flannel/netns.json", str(netns_json))
        .replace("/usr/lib/cni", str(CNI_PLUGIN.parent))
    )
    script.chmod(0o755)
    root = machine_root(tmp_path / "root")
    nspawn = debian.program("systemd-nspawn", debian.OWN, "systemd-container")
    if (said := subprocess.run([nspawn, "--version"], capture_output=True, text=True, check=False)).returncode:
        pytest.skip(f"systemd-nspawn does not run on this machine: {said.stderr.strip()[:200]}")

    def run(command, more=""):
        text = re.sub("^systemd-nspawn", nspawn, command).replace("/var/lib/machines/web", str(root)).replace(" web", f" {name}").replace("netns/web", f"netns/{name}")
        environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
        return h1.namespace.run("sh", "-c", text.replace("=web", f"={name}") + more, env=environment, check=False)

    yield run
    subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)


def test_the_page(page, pair, tmp_path):
    """The machine has the address that the plugin told, and reaches a container of another host, which sees that address."""
    h1, h2 = pair
    container = h2.container()
    up, nspawn, down = block(PAGE, "The plugin answers `up` with the address. Then").splitlines()
    told = page(up)
    assert told.returncode == 0, told
    address = ipaddress.ip_interface(json.loads(told.stdout)["ips"][0]["address"])
    assert str(address.network) == h1.daemon.subnet()
    inside = f"exec 2>&1; ip -4 addr show dev eth0; ping -c 3 -W 2 {container.address}"
    container.namespace.nft(f"table ip seen {{ chain in {{ type filter hook input priority 0; ip saddr {address.ip} counter; }}; }}")
    ran = page(nspawn, f" --quiet --register=no --keep-unit {BUSYBOX} sh -c 'PATH=/bin; busybox --install -s /bin; {inside}'")
    assert ran.returncode == 0 and f"inet {address} " in ran.stdout, f"{ran.returncode}\n{ran.stdout}\n{ran.stderr}"
    mtu = h1.daemon.environment_file()["FLANNEL_MTU"]
    assert f"mtu {mtu} " in ran.stdout and "3 packets received" in ran.stdout
    assert "packets 3 " in container.namespace.run("nft", "list", "table", "ip", "seen")
    assert reservations(tmp_path) == {str(address.ip)}, "its address is reserved while it is there"
    assert page(down).returncode == 0 and reservations(tmp_path) == set()
    again = page(up)
    assert again.returncode == 0 and page(down).returncode == 0
