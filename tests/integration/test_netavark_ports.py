# SPDX-License-Identifier: Apache-2.0
"""Ports that the plugin publishes itself: whoever asks, by the words of netavark."""

import concurrent.futures
import json
import re
import shutil
import subprocess
import threading

import pytest

from cni_support import PLUGIN, command
from fabric import SANITIZED
from netavark import Failed
from test_netavark import direct, host, pass_away, eth0  # noqa: F401 the fixtures

ECHO = """
import socket, sys
family = socket.AF_INET6 if sys.argv[2] == "6" else socket.AF_INET
s = socket.create_server(("::" if family == socket.AF_INET6 else "0.0.0.0", int(sys.argv[1])), family=family)
print("ready", flush=True)
while True:
    c, peer = s.accept()
    c.sendall(peer[0].encode())
    c.close()
"""
ASK = """
import socket, sys
s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 2, source_address=(sys.argv[3], 0) if len(sys.argv) > 3 else None)
print(s.recv(100).decode())
"""


class Server:
    """Says to everybody which address it saw."""

    def __init__(self, ns, port, family=4):
        with ns.entered():
            self.process = subprocess.Popen(["/usr/bin/python3", "-c", ECHO, str(port), str(family)], stdout=subprocess.PIPE)
        assert self.process.stdout.readline() == b"ready\n"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


def ask(ns, address, port, *source):
    """The address that the server saw; None: no connection."""
    return ns.run("/usr/bin/python3", "-c", ASK, address, str(port), *source, check=False).strip() or None


def mapping(host_port, container_port, **more):
    return {"host_port": host_port, "container_port": container_port, "host_ip": "", "protocol": "tcp", "range": 1} | more


@pytest.fixture
def world(direct):  # noqa: F811
    """direct.client: another host, at 192.0.2.2; this one is 192.0.2.1 and 198.51.100.1 there."""
    client = direct.client = direct.namespace()
    direct.ns.run("ip", "link", "add", "up0", "type", "veth", "peer", "name", "up0", "netns", client.name)
    for ns, number in ((direct.ns, 1), (client, 2)):
        ns.run("ip", "addr", "add", f"192.0.2.{number}/24", "dev", "up0")
        ns.run("ip", "addr", "add", f"2001:db8::{number}/64", "dev", "up0", "nodad")
        ns.run("ip", "link", "set", "up0", "up")
        ns.run("ip", "link", "set", "lo", "up")
    direct.ns.run("ip", "addr", "add", "198.51.100.1/32", "dev", "lo")
    client.run("ip", "route", "add", "198.51.100.1", "via", "192.0.2.1")
    direct.write_fabric(v6_network="fd05::/48", v6_subnet="fd05:0:0:17::1/64", ipmasq=False)
    direct.ns.run("sysctl", "-qw", "net.ipv6.conf.all.forwarding=1")
    return direct


@pytest.mark.parametrize("mode", ["bridge", "ptp"])
def test_published_port(world, mode):
    network = world.network(options={"mode": mode})
    ns, other = world.namespace(), world.namespace()
    ns.run("ip", "link", "set", "lo", "up")
    world.plugin("setup", ns.path, request=world.direct("c1", network, ports=[mapping(8080, 80)]))
    world.plugin("setup", other.path, request=world.direct("c2", network))
    with Server(ns, 80):
        assert ask(world.client, "192.0.2.1", 8080) == "192.0.2.2", "the server sees who asks"
        assert ask(world.client, "198.51.100.1", 8080) == "192.0.2.2"
        assert ask(world.client, "192.0.2.1", 8081) is None
        for address in ("192.0.2.1", "127.0.0.1", "127.0.0.9"):
            assert ask(world.ns, address, 8080), f"from the host itself, by {address}"
        assert ask(other, "192.0.2.1", 8080), "from a neighbour, by the host's address"
        assert ask(ns, "192.0.2.1", 8080), "from itself"
        assert ask(other, "10.5.17.2", 80) == "10.5.17.3", "a neighbour directly, as himself"
    with Server(ns, 80, 6):
        assert ask(world.client, "2001:db8::1", 8080) == "2001:db8::2"
        assert ask(world.ns, "2001:db8::1", 8080)
        world.plugin("teardown", ns.path, request=world.direct("c1", network, ports=[mapping(8080, 80)]))
        assert ask(world.client, "192.0.2.1", 8080) is None
    world.plugin("teardown", other.path, request=world.direct("c2", network))
    assert world.leftovers() == {}


def test_published_on_one_address(world):
    ns, second = world.namespace(), world.namespace()
    world.plugin("setup", ns.path, request=world.direct("c1", ports=[mapping(8080, 80, host_ip="198.51.100.1")]))
    world.plugin("setup", second.path, request=world.direct("c2", ports=[mapping(8080, 81, host_ip="127.0.0.1")]))
    with Server(ns, 80), Server(second, 81):
        assert ask(world.client, "198.51.100.1", 8080) == "192.0.2.2"
        assert ask(world.client, "192.0.2.1", 8080) is None
        assert ask(world.ns, "127.0.0.1", 8080) and ask(world.ns, "127.0.0.2", 8080) is None


def test_published_range(world):
    ns = world.namespace()
    world.plugin("setup", ns.path, request=world.direct("c1", ports=[mapping(8000, 9000, range=1000)]))
    with Server(ns, 9000), Server(ns, 9999):
        assert ask(world.client, "192.0.2.1", 8000) and ask(world.client, "192.0.2.1", 8999)
    world.plugin("teardown", ns.path, request=world.direct("c1"))
    assert world.leftovers() == {}


def test_containers_do_not_get_at_the_hosts_localhost(world):
    """What a published port opens for the host must not open 127.0.0.1 for the containers."""
    ns = world.namespace()
    world.plugin("setup", ns.path, request=world.direct("c1", ports=[mapping(8080, 80)]))
    ns.run("sysctl", "-qw", "net.ipv4.conf.eth0.route_localnet=1")
    ns.run("ip", "route", "del", "local", "127.0.0.0/8", "dev", "lo", "table", "local", check=False)
    ns.run("ip", "route", "add", "127.0.0.0/8", "via", "10.5.17.1", "dev", "eth0")
    with Server(world.ns, 7777):
        assert ask(world.ns, "127.0.0.1", 7777) == "127.0.0.1"
        assert ask(ns, "127.0.0.1", 7777, "10.5.17.2") is None
        assert ask(ns, "10.5.17.1", 7777) == "10.5.17.2"
        world.ns.run("nft", "flush", "chain", "inet", "flannel-cni", "publish-guard")
        assert ask(ns, "127.0.0.1", 7777, "10.5.17.2") == "10.5.17.2", "it was the guard"


def test_port_of_another_at_one_address(world):
    """All addresses have this one among them, so that it would be taken from the first, or from the second."""
    ns, second = world.namespace(), world.namespace()
    everywhere, here = mapping(8080, 80), mapping(8080, 80, host_ip="127.0.0.1")
    for first, other in ((everywhere, here), (here, everywhere)):
        world.plugin("setup", ns.path, request=world.direct("c1", ports=[first]))
        with pytest.raises(Failed, match="port 8080/tcp of the host is published for container c1 already"):
            world.plugin("setup", second.path, request=world.direct("c2", ports=[other]))
        world.plugin("teardown", ns.path, request=world.direct("c1"))
    # Another address, or another port there, is nobody's.
    world.plugin("setup", ns.path, request=world.direct("c1", ports=[here]))
    elsewhere = [mapping(8080, 80, host_ip="127.0.0.2"), mapping(8081, 80)]
    world.plugin("setup", second.path, request=world.direct("c2", ports=elsewhere))


def test_port_of_another(world):
    """It is the first one's while he lives; a dead one's is taken over."""
    ns, second = world.namespace(), world.namespace()
    world.plugin("setup", ns.path, request=world.direct("c1", ports=[mapping(8080, 80)]))
    with pytest.raises(Failed, match="port 8080/tcp of the host is published for container c1 already"):
        world.plugin("setup", second.path, request=world.direct("c2", ports=[mapping(8080, 80)]))
    assert world.records() == ["c1@eth0"]
    world.plugin("setup", second.path, request=world.direct("c2", ports=[mapping(8080, 80, protocol="udp")]))
    world.plugin("teardown", second.path, request=world.direct("c2"))
    pass_away(world, ns, 0)
    world.plugin("setup", second.path, request=world.direct("c2", ports=[mapping(8080, 80)]))
    with Server(second, 80):
        assert ask(world.client, "192.0.2.1", 8080) == "192.0.2.2"


def test_port_of_the_dead_leads_to_nobody(direct):  # noqa: F811
    """The last address is taken from a dead container: his port must not lead to whoever gets it."""
    direct.write_fabric(network="10.5.0.0/16", subnet="10.5.17.1/30")
    ns, second = direct.namespace(), direct.namespace()
    direct.plugin("setup", ns.path, request=direct.direct("c1", ports=[mapping(8080, 80)]))
    pass_away(direct, ns, 0)
    said = direct.plugin("setup", second.path, request=direct.direct("c2"))
    assert said["interfaces"]["eth0"]["subnets"][0]["ipnet"] == "10.5.17.2/30"
    with Server(second, 80):
        assert ask(direct.ns, "10.5.17.2", 80) and ask(direct.ns, "10.5.17.1", 8080) is None


@pytest.mark.skipif(SANITIZED, reason="the leak sanitizer does not work under strace")
@pytest.mark.skipif(not shutil.which("strace"), reason="strace, which slows a setup down, is not installed")
def test_port_wanted_by_two_at_once(direct, tmp_path):  # noqa: F811
    """One setup is slow: whenever in its course the other comes, one of the two has the port, and the other is refused."""
    plugin = direct.plugins / "flannel"
    real = plugin.rename(direct.plugins / "flannel-real")
    slow = f'strace -qq -o /dev/null -e trace=sendmsg,sendto -e inject=sendmsg,sendto:delay_exit=30000 {real} "$@"'
    plugin.write_text(f'#!/bin/sh\ncase $(head -c 22 {tmp_path}/who) in slow) exec {slow};; *) exec {real} "$@";; esac\n')
    plugin.chmod(0o755)
    spaces = {name: direct.namespace() for name in ("slow", "fast")}
    ports = [mapping(8080, 80)]

    def setup(name):
        (tmp_path / "who").write_text(name)
        return direct.plugin("setup", spaces[name].path, request=direct.direct(name, ports=ports), check=False)

    for number in range(6):
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            first = pool.submit(setup, "slow")
            threading.Event().wait(0.04 + 0.06 * number)
            said = {"fast": setup("fast"), "slow": first.result()}
        (winner,) = [name for name, answer in said.items() if "error" not in answer]
        (loser,) = set(said) - {winner}
        assert f"published for container {winner} already" in said[loser]["error"]
        assert re.search(rf"tcp . 8080 .*id: {winner}\"", direct.ns.nft())
        for name, ns in spaces.items():
            direct.plugin("teardown", ns.path, request=direct.direct(name))


def test_port_of_a_family_that_the_container_has_not(direct):  # noqa: F811
    ns = direct.namespace()
    with pytest.raises(Failed, match="port 8080 cannot be published at ::1: the container has no address of this family"):
        direct.plugin("setup", ns.path, request=direct.direct("c1", ports=[mapping(8080, 80, host_ip="::1")]))
    assert direct.leftovers() == {}


def test_port_at_the_loopback_address_of_ipv6(direct):  # noqa: F811
    direct.write_fabric(v6_network="fd05::/48", v6_subnet="fd05:0:0:17::1/64")
    ns = direct.namespace()
    with pytest.raises(Failed, match="port 8080 cannot be published at ::1: the kernel passes nothing on"):
        direct.plugin("setup", ns.path, request=direct.direct("c1", ports=[mapping(8080, 80, host_ip="::1")]))
    assert direct.leftovers() == {}
    direct.plugin("setup", ns.path, request=direct.direct("c1", ports=[mapping(8080, 80, host_ip="127.0.0.1")]))
    with Server(ns, 80):
        assert ask(direct.ns, "127.0.0.1", 8080)


def test_published_port_comes_back(world):
    """Somebody flushes the rule set, or one element: it is found, and put back."""
    ns = world.namespace()
    world.plugin("setup", ns.path, request=world.direct("c1", ports=[mapping(8080, 80)]))
    with Server(ns, 80):
        for undo in (
            ["flush", "ruleset"],
            ["flush", "map", "inet", "flannel-cni", "published4"],
            ["flush", "chain", "inet", "flannel-cni", "publish-in"],
        ):
            world.ns.run("nft", *undo)
            assert ask(world.client, "192.0.2.1", 8080) is None
            with world.ns.entered():
                report = json.loads(command(str(PLUGIN), "keep", str(world.data_dir)))
                again = json.loads(command(str(PLUGIN), "keep", str(world.data_dir)))
            assert report["repaired"] and not report["failed"] and not again["repaired"]
            assert ask(world.client, "192.0.2.1", 8080)


def test_rule_set_reads_well(world):
    ns = world.namespace()
    world.plugin("setup", ns.path, request=world.direct("c1", ports=[mapping(8080, 80), mapping(53, 5353, protocol="udp", host_ip="198.51.100.1")]))
    text = " ".join(world.ns.nft().split())
    for part in (
        "type inet_proto . inet_service : ipv4_addr . inet_service",
        "10.5.17.2 . 80",
        "dnat ip to meta l4proto . th dport map @published4",
        "ct status dnat iifname . oifname . ip daddr @returning4 masquerade",
        'iifname != "lo" ip daddr 127.0.0.0/8 drop',
    ):
        assert part in text, f"{part} is not in\n{text}"
    # Protocols are numbers where no /etc/protocols names them.
    assert re.search(r"(tcp|6) \. 8080", text) and re.search(r"198\.51\.100\.1 \. (udp|17) \. 53", text)


@pytest.mark.parametrize(
    "bad, message",
    [
        ({"host_port": 65536}, "host_port"),
        ({"container_port": 0}, "container_port"),
        ({"protocol": "icmp"}, 'protocol is "icmp", must be tcp, udp or sctp'),
        ({"host_ip": "localhost"}, "hostIP"),
        ({"host_port": 65000, "range": 1000}, "end beyond 65535"),
        ({"range": 2000}, "count"),
    ],
)
def test_ports_that_are_none(direct, bad, message):  # noqa: F811
    ns = direct.namespace()
    with pytest.raises(Failed, match=message):
        direct.plugin("setup", ns.path, request=direct.direct("c1", ports=[mapping(8080, 80) | bad]))
    with pytest.raises(Failed, match="must be a list"):
        direct.plugin("setup", ns.path, request=direct.direct("c1", ports={}))
    with pytest.raises(Failed, match="published twice"):
        direct.plugin("setup", ns.path, request=direct.direct("c1", ports=[mapping(8080, 80, range=3), mapping(8082, 80)]))
    assert direct.leftovers() == {}


def test_cni_has_the_ports_too(world):
    """The capability portMappings: one engine."""
    ns = world.namespace()
    conf = world.flannel(delegate={"isDefaultGateway": True, "hairpinMode": True})
    conf["runtimeConfig"] = {"portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]}
    result = world.add(conf, ns)
    with Server(ns, 80):
        assert ask(world.client, "192.0.2.1", 8080) == "192.0.2.2"
    assert world.check(conf, ns, result).ok
    world.ns.run("nft", "flush", "map", "inet", "flannel-cni", "published4")
    assert "published4" in world.check(conf, ns, result).message
    world.delete(conf, ns)
    assert world.leftovers() == {}


def test_published_by_the_real_netavark(host):  # noqa: F811
    ns = host.namespace()
    host.setup("c1", ns, ports=[mapping(8080, 80, protocol="tcp,udp")])
    with Server(ns, 80):
        assert ask(host.ns, "10.5.17.1", 8080)
    host.teardown("c1", ns, ports=[mapping(8080, 80, protocol="tcp,udp")])
    assert host.leftovers() == {}
