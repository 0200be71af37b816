# SPDX-License-Identifier: Apache-2.0
"""The daemon keeps what the CNI plugin made, by running it; what is not right is named in status."""

import contextlib
import pathlib
import shutil
import signal

import pytest
from cni_support import Host

import fabric
from netns import stays, wait_for
from test_unit_file import confined

DELEGATE = {"isDefaultGateway": True, "hairpinMode": True, "macspoofchk": True, "ipMasq": True}
CONFIG = fabric.CONFIG | fabric.IPV6
HEAL_S = 5
ROUTED = {"type": "ptp", "hairpinMode": False, "macspoofchk": False}


@contextlib.contextmanager
def plugin_on(machine):
    with Host(existing=machine.name, subnet_file=machine.daemon.subnet_file) as host:
        host.data_dir = pathlib.Path(machine.daemon.flags["cni_data_dir"])
        yield host


@pytest.fixture
def machine(lab):
    lab.start_etcd()
    lab.configure(CONFIG)
    return lab.hosts(1, daemons=True)[0]


@pytest.fixture
def host(machine):
    with plugin_on(machine) as host:
        yield host


def attach(host, *ids, **delegate):
    conf = host.flannel(delegate=DELEGATE | delegate)
    namespaces = [host.namespace() for _ in ids]
    for id, ns in zip(ids, namespaces):
        ns.id, ns.conf, ns.prev = id, conf, host.add(conf, ns, id=id)
    return namespaces


def wait_right(host, *containers):
    """CHECK has nothing to say, and gateways answer."""
    for ns in containers:
        wait_for(lambda ns=ns: host.check(ns.conf, ns, ns.prev, id=ns.id).ok, HEAL_S, "CHECK is content")
        for ip in ns.prev["ips"]:
            # The kernel says that a link carries a moment after it is up.
            wait_for(lambda ns=ns, ip=ip: ns.ping(ip["gateway"], check=False), HEAL_S, f"{ip['gateway']} answers")


A_PORT = "$(ip -br link show master cni0 | head -n 1 | cut -d@ -f 1)"
A_LINK = "$(ip -br link show group 26220 | head -n 1 | cut -d@ -f 1)"
UNDONE = {
    "nft flush ruleset": "nft flush ruleset",
    "a table": "nft delete table bridge flannel-cni",
    "elements": "nft flush map inet flannel-cni masq4",
    "a rule": "nft flush chain bridge flannel-cni prerouting",
    "networking off": "ip addr flush dev cni0; ip link set cni0 down",
    "down": "ip link set cni0 down",
    "addresses": "ip addr flush dev cni0",
    "route": "ip route flush dev cni0; ip -6 route flush dev cni0 proto kernel",
    "one route": "ip route del $(ip route show dev cni0 | head -n 1 | cut -d ' ' -f 1) dev cni0",
    "ARP": "ip link set cni0 arp off",
    "a port down": f"ip link set {A_PORT} down",
    "a port off the bridge": f"ip link set {A_PORT} nomaster",
}
# Of a container that is behind no bridge.
UNDONE_ROUTED = {
    "down": f"ip link set {A_LINK} down",
    "addresses": f"ip addr flush dev {A_LINK} scope global",
    "routes": f"ip route flush dev {A_LINK} scope link; ip -6 route flush dev {A_LINK} proto boot",
}


def test_what_others_undo_is_put_back(machine, host):
    """One thing after the other, each within milliseconds, each with its line in the log."""
    daemon = machine.daemon
    containers = attach(host, "c1", "c2")
    for undone, command in UNDONE.items():
        daemon.log_start = daemon.log_file.stat().st_size
        host.ns.run("sh", "-c", command)
        wait_right(host, *containers)
        daemon.wait_log(r"cni-healed")
        wait_for(lambda: daemon.problems() <= {"fighting"}, HEAL_S, f"after {undone}: all is well")
        # Not in a row: each is undone for the first time.
        daemon.restart()


@pytest.mark.parametrize("undone", UNDONE_ROUTED)
def test_what_others_undo_of_a_routed_container_is_put_back(machine, host, undone):
    (ns,) = attach(host, "c1", **ROUTED)
    host.ns.run("sh", "-c", UNDONE_ROUTED[undone])
    wait_right(host, ns)
    machine.daemon.wait_log(r"cni-healed")
    wait_for(lambda: not machine.daemon.problems(), HEAL_S, "all is well")


def test_a_bridge_that_was_deleted(machine, host):
    containers = attach(host, "c1", "c2")
    host.ns.run("ip", "link", "del", "cni0")
    # Its MAC is another, which the containers are told.
    for ns in containers:
        wait_for(lambda ns=ns: ns.ping(ns.prev["ips"][0]["gateway"], check=False), HEAL_S, "the gateway is back")
    machine.daemon.wait_log("cni-healed.*cni0")
    assert sorted(host.veths()) == sorted(n for n, l in host.ns.links().items() if l.get("master") == "cni0")
    wait_for(lambda: machine.daemon.problems() == set(), HEAL_S, "all is well")


def test_another_mac_of_the_bridge_is_told_the_containers(machine, host):
    """As by a network manager with a policy for them. Who had the former one in mind would use it for 45 s."""
    (ns,) = attach(host, "c1")
    gateways = [ip["gateway"] for ip in ns.prev["ips"]]
    for gateway in gateways:
        wait_for(lambda g=gateway: ns.ping(g, check=False), HEAL_S, f"{gateway} answers")
    host.ns.run("ip", "link", "set", "cni0", "address", "02:00:00:00:77:01")
    for gateway in gateways:
        wait_for(lambda g=gateway: ns.ping(g, check=False), HEAL_S, f"{gateway} answers")


def test_a_bridge_that_has_lost_ipv6(machine, host):
    """The kernel takes it from interfaces with an MTU below 1280: why is said, and it comes back with the MTU."""
    (ns,) = attach(host, "c1")
    host.ns.run("ip", "link", "set", "cni0", "mtu", "1000")
    named = machine.daemon.wait_status(lambda s: [p for p in s["problems"] if p["name"] == "cni-not-kept"], what="it is named")
    assert "cni0 has no IPv6" in str(named) and "1280" in str(named)
    host.ns.run("ip", "link", "set", "cni0", "mtu", "1450")
    wait_right(host, ns)
    wait_for(lambda: not machine.daemon.problems(), 10, "all is well")


def test_what_was_undone_while_the_daemon_was_stopped(machine, host):
    containers = attach(host, "c1")
    assert machine.daemon.stop() == 0
    host.ns.run("nft", "flush", "ruleset")
    host.ns.run("ip", "addr", "flush", "dev", "cni0")
    machine.daemon.start().wait_ready()
    wait_right(host, *containers)


def test_attaching_and_detaching_costs_no_look(machine, host):
    """What the plugin does itself is no reason to run it."""
    attach(host, "c0")
    marker = machine.daemon.directory / "looked"
    plugin = machine.daemon.directory / "flannel"
    plugin.write_text(f"#!/bin/sh\necho >>{marker}\nexec {fabric.CNI_PLUGIN} \"$@\"\n")
    plugin.chmod(0o755)
    machine.daemon.flags |= {"cni_plugin": plugin, "log_level": "debug"}
    machine.daemon.restart()
    wait_for(marker.exists, HEAL_S, "the look at the start")
    (ns,) = attach(host, "c1")
    host.delete(ns.conf, ns, id="c1")
    (ns,) = attach(host, "c2", macspoofchk=False)
    host.delete(ns.conf, ns, id="c2")
    (ns,) = attach(host, "c3", **ROUTED)
    host.delete(ns.conf, ns, id="c3")
    stays(lambda: not machine.daemon.logged("cni-suspect"), 0.5, "one look")
    assert len(marker.read_text().splitlines()) == 1


def test_no_plugin(machine, host):
    """Named; all that it says is so."""
    containers = attach(host, "c1")
    machine.daemon.flags["cni_plugin"] = machine.daemon.directory / "none"
    machine.daemon.restart()
    status = machine.daemon.wait_status(lambda s: s["problems"], what="a problem")
    assert [(p["name"], p["severity"]) for p in status["problems"]] == [("cni-plugin-missing", "info")]
    assert str(machine.daemon.flags["cni_plugin"]) in status["problems"][0]["text"]
    host.ns.run("nft", "flush", "ruleset")
    status = machine.daemon.wait_status(lambda s: s["problems"] and s["problems"][0]["severity"] == "warning", what="a warning")
    assert "flannel-cni was changed by nft" in status["problems"][0]["text"]
    assert machine.daemon.logged("cni-plugin-missing")
    shutil.copy(fabric.CNI_PLUGIN, machine.daemon.flags["cni_plugin"])
    machine.daemon.signal(signal.SIGHUP)
    wait_right(host, *containers)
    wait_for(lambda: machine.daemon.problems() == set(), HEAL_S, "all is well")


@pytest.mark.parametrize("answer", ["", "echo CNI flannel plugin v1.7.1 >&2", "echo '{}'", "exit 3", "kill -9 $$"])
def test_another_plugin_of_that_name(machine, host, answer):
    attach(host, "c1")
    plugin = machine.daemon.directory / "flannel"
    plugin.write_text(f"#!/bin/sh\n{answer}\n")
    plugin.chmod(0o755)
    machine.daemon.flags["cni_plugin"] = plugin
    machine.daemon.restart()
    machine.daemon.wait_status(lambda s: [p["name"] for p in s["problems"]] == ["cni-plugin-failed"], what="it is named")


def test_without_records_nothing_is_said(lab, machine):
    machine.daemon.flags["cni_plugin"] = "/nonexistent"
    machine.daemon.restart()
    stays(lambda: machine.daemon.problems() == set(), 0.5, "all is well")


def test_what_cannot_be_put_back_is_named(machine, host):
    (ns,) = attach(host, "c1")
    machine.daemon.signal(signal.SIGSTOP)  # it would be quicker than the second command
    host.ns.run("sh", "-c", "ip link del cni0; ip link add cni0 type veth peer name other0")
    machine.daemon.signal(signal.SIGCONT)
    machine.daemon.wait_status(
        lambda s: [(p["severity"], p["text"]) for p in s["problems"] if p["name"] == "cni-not-kept"]
        == [("error", "cni0 exists and is not a bridge")],
        what="cni-not-kept",
    )
    host.ns.run("ip", "link", "del", "cni0")
    wait_for(lambda: ns.ping(ns.prev["ips"][0]["gateway"], check=False), 10, "the gateway is back")
    wait_for(lambda: machine.daemon.problems() == set(), HEAL_S, "all is well")


def test_who_undoes_it_again_and_again_is_named(machine, host):
    containers = attach(host, "c1")
    for _ in range(6):
        wait_for(lambda: "table inet flannel-cni" in host.ns.nft(), HEAL_S, "it is put back")
        host.ns.run("nft", "delete", "table", "inet", "flannel-cni")
    status = machine.daemon.wait_status(lambda s: any("fighting" == p["name"] for p in s["problems"]), what="a fight")
    text = next(p["text"] for p in status["problems"] if p["name"] == "fighting")
    assert "CNI plugin" in text and "nft (pid" in text
    wait_right(host, *containers)


def test_an_old_gateway_is_named(machine, host):
    """A gateway of a subnet that is another host's now; a name that ends with it."""
    attach(host, "c1")
    before = machine.daemon.problems()
    assert "old-gateway" not in before
    host.ns.run("ip", "addr", "add", "10.5.3.1/24", "dev", "cni0")
    status = machine.daemon.wait_status(lambda s: s["problems"], what="a problem")
    assert [(p["name"], p["severity"]) for p in status["problems"]] == [("old-gateway", "warning")]
    assert "cni0 has 10.5.3.1/24" in status["problems"][0]["text"]
    machine.daemon.restart()
    wait_for(lambda: machine.daemon.problems() == {"old-gateway"}, HEAL_S, "also after a start")
    host.ns.run("ip", "addr", "del", "10.5.3.1/24", "dev", "cni0")
    wait_for(lambda: machine.daemon.problems() == set(), HEAL_S, "it is over")


def test_under_the_shipped_unit(machine, host):
    """With its capabilities, and its read-only view of the records."""
    containers = attach(host, "c1")
    machine.daemon.stop()
    machine.daemon.wrapper = confined(machine.daemon.directory)
    machine.daemon.start().wait_ready()
    host.ns.run("nft", "flush", "ruleset")
    wait_right(host, *containers)
    host.ns.run("sh", "-c", UNDONE["networking off"])
    wait_right(host, *containers)
    # One address after the other may have been put back, which looks like a fight for some seconds.
    wait_for(lambda: machine.daemon.problems() <= {"fighting"}, HEAL_S, "all is well")
