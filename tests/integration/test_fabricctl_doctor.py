# SPDX-License-Identifier: Apache-2.0
"""fabricctl doctor: what is in the way on this host, by the daemon's judgement or without it, and what --fix does."""

import contextlib
import json
import pathlib
import re
import subprocess

import pytest
from cni_support import Host

from fabric import APART, CNI_PLUGIN
from fabricctl_support import FOUND, OK, USAGE, fabricctl
from netns import wait_for


class World:
    def __init__(self, lab, stack):
        lab.start_etcd()
        lab.configure(APART)
        self.lab = lab
        self.machine, self.other = lab.hosts(2, daemons=True, probe_interval=0)
        self.daemon = self.machine.daemon
        self.ns = self.machine.namespace
        self.plugin = stack.enter_context(Host(existing=self.machine.name, subnet_file=self.daemon.subnet_file))
        self.plugin.data_dir = pathlib.Path(self.daemon.flags["cni_data_dir"])
        self.container = self.plugin.namespace()
        result = self.plugin.add(self.plugin.flannel(delegate={"isDefaultGateway": True}), self.container, id="c1")
        self.address, self.gateway = result["ips"][0]["address"].split("/")[0], result["ips"][0]["gateway"]
        self.daemon.wait_ok()

    def doctor(self, *args, status=None, where=None):
        flags = self.daemon.flags
        done = fabricctl(
            "doctor", "--config-file=/dev/null", f"--socket={self.daemon.socket_path}", f"--state-dir={flags['state_dir']}",
            f"--subnet-file={flags['subnet_file']}", f"--cni-plugin={CNI_PLUGIN}", f"--cni-data-dir={flags['cni_data_dir']}",
            *args, where=where or self.machine, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert status is None or done.returncode == status, f"{done.returncode}\n{done.stdout}{done.stderr}"
        return done

    def found(self, *args, status=FOUND):
        """{check: (state, text, remedy)} of what is not ok."""
        document = json.loads(self.doctor("-o", "json", *args, status=status).stdout)
        assert document["kind"] == "Doctor"
        items = {i["check"]: (i["state"], i["text"], i["remedy"]) for i in document["items"] if i["state"] != "ok"}
        assert (document["errors"] + document["warnings"] > 0) == bool(items)
        return items


@pytest.fixture
def world(lab):
    with contextlib.ExitStack() as stack:
        yield World(lab, stack)


def test_all_is_well(world):
    lines = world.doctor(status=OK).stdout.splitlines()
    assert re.fullmatch(r"0 errors, 0 warnings in \d checks", lines[0])
    assert all(line.startswith("ok ") for line in lines[1:]), lines
    assert {line.split()[1] for line in lines[1:]} >= {"daemon", "subnet-file", "forwarding", "rp_filter", "containers", "peers"}
    text = "\n".join(lines)
    assert "1 attached by the CNI plugin, behind cni0" in text and "packets to 1 of them" in text
    assert "nothing that is safe to do" in world.doctor("--fix", status=OK).stdout


def test_what_the_daemon_says(world):
    """Its problems, each with the command that it names."""
    world.ns.nft("table inet mine { chain passing { type filter hook forward priority 0; policy drop; }; }")
    wait_for(lambda: "forward-blocked" in world.daemon.problems(), 5, "the daemon notices")
    state, text, remedy = world.found()["forward-blocked"]
    assert state == "error" and "chain passing of table inet mine" in text and remedy.startswith("nft insert rule inet mine passing")


def test_switches_and_what_is_done_about_them(world):
    for key, value, name, state in (("ip_forward", 0, "forwarding", "error"), ("conf/flannel.1/rp_filter", 1, "rp_filter", "warning")):
        world.ns.run("sysctl", "-qw", f"net/ipv4/{key}={value}")
        assert world.found()[name][0] == state
    assert world.found()["rp_filter"][2] == "sysctl -w net/ipv4/conf/flannel.1/rp_filter=2"
    # Nothing is done that was not shown and agreed to.
    assert "--yes" in world.doctor("--fix", status=USAGE).stderr
    shown = world.doctor("--fix", "--dry-run", status=FOUND).stdout
    assert "what is safe to do, and is not done now\n  sysctl -w net/ipv4/ip_forward=1\n" in shown
    assert set(world.found()) >= {"forwarding", "rp_filter"}
    text = world.doctor("--fix", "--yes", status=OK).stdout
    assert text.endswith("checks\n") and "done; now 0 errors, 0 warnings" in text
    assert world.ns.run("sysctl", "-n", "net.ipv4.ip_forward").strip() == "1"


class ManagedHost:
    """The host with what systemd-networkd writes down of a device, in a mount namespace of its own."""

    def __init__(self, host, state):
        self.namespace = host.namespace
        links = "/run/systemd/netif/links"
        script = f"mount -t tmpfs none /run; mkdir -p {links}; echo ADMIN_STATE={state} >{links}/{host.link()['ifindex']}; exec \"$@\""
        self.wrapper = ["unshare", "-m", "sh", "-c", script, "sh"]


def test_who_manages_the_devices(world):
    text = world.doctor(where=ManagedHost(world.machine, "configured"), status=FOUND).stdout
    assert re.search(r"^warning  networkd .* manages flannel\.1: ", text, re.M), text
    text = world.doctor(where=ManagedHost(world.machine, "unmanaged"), status=OK).stdout
    assert re.search(r"^ok .* networkd ", text, re.M), text


@pytest.mark.long
def test_with_the_daemon_dead(world):
    """The kernel and files say it; who the peers are is known from the last known state."""
    wait_for((pathlib.Path(world.daemon.flags["state_dir"]) / "last-known.json").exists, 10, "the state is written")
    world.daemon.stop()
    assert set(world.found()) == {"daemon"}
    assert world.found()["daemon"][2] == "systemctl start flanneld"
    world.ns.ip_do(f"route del {world.other.daemon.subnet()} dev flannel.1")
    state, text, _ = world.found()["peers"]
    assert state == "error" and "which is not the fabric's, takes packets for" in text
    world.ns.ip_do("link set cni0 down")
    state, text, remedy = world.found()["containers"]
    assert state == "error" and "is down" in text and remedy == f"{CNI_PLUGIN} keep {world.plugin.data_dir}"
    assert not world.container.ping(world.gateway, check=False)
    document = json.loads(world.doctor("--fix", "--yes", "-o", "json", status=FOUND).stdout)
    assert document["done"] == [remedy]
    wait_for(lambda: world.container.ping(world.gateway, check=False), 5, "the container reaches its gateway again")
    assert "containers" not in world.found()
    world.ns.ip_do(f"link del {world.plugin.veths()[0]}")
    assert world.found()["containers"] == ("warning", "1 of 1 attached have lost their interface, and hold their addresses", "fabricctl pods")
    world.daemon.subnet_file.write_text("FLANNEL_SUBNET=nonsense\n")
    assert "FLANNEL_SUBNET" in world.found()["subnet-file"][1]
    world.daemon.subnet_file.unlink()
    assert world.found()["subnet-file"][0] == "error"


def test_bad_command_lines(world):
    assert "--fix" in world.doctor("--dry-run", status=USAGE).stderr
    assert fabricctl("doctor", "now").returncode == USAGE
