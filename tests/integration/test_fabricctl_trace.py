# SPDX-License-Identifier: Apache-2.0
"""fabricctl trace: where a packet stops, said by the kernel that stops it. Pings are the witness."""

import json

import pytest

from fabric import APART, IPV6
from fabricctl_support import FOUND, NOT_FOUND, OK, USAGE, assert_three_lines, fabricctl
from netns import wait_for

FORWARD = "type filter hook forward priority 0; policy"
OUTPUT = "type filter hook output priority 0; policy accept"


class World:
    """Two hosts with a container each."""

    def __init__(self, lab, **flags):
        lab.start_etcd()
        lab.configure(APART | IPV6)
        self.lab = lab
        self.h1, self.h2 = lab.hosts(2)
        for host in (self.h1, self.h2):
            host.namespace.sysctl("net.ipv4.ping_group_range", "0 0")
            host.start_daemon(ready=False, **flags)
        for host in (self.h1, self.h2):
            host.daemon.wait_ready().wait_peers(1)
        self.c1, self.c2 = self.h1.container(), self.h2.container()

    def pings(self, address=None):
        argv = ("ping", "-c1", "-W0.3", address or self.c2.address)
        return self.c1.namespace.run(*argv, check=False).returncode == 0

    def trace(self, *args, source=None, to=None, status=None):
        args = ("trace", source or self.c1.address, to or self.c2.address, "--config-file=/dev/null", *args)
        done = fabricctl(*args, f"--socket={self.h1.daemon.socket_path}", where=self.h1)
        assert status is None or done.returncode == status, f"{done.returncode}\n{done.stdout}{done.stderr}"
        assert done.returncode not in (OK, FOUND) or not done.stderr, done.stderr
        return done

    def store(self):
        return ("--store", f"--etcd-endpoints={self.lab.etcd.endpoints}", f"--state-dir={self.h1.daemon.flags['state_dir']}")

    def steps(self, *args, **options):
        document = json.loads(self.trace("-o", "json", *args, **options).stdout)
        assert document["kind"] == "Trace"
        return document, {s["step"]: s for s in document["steps"]}


@pytest.fixture
def world(lab):
    return World(lab, probe_interval=1)


def test_what_passes(world):
    assert world.pings() and world.pings(world.c2.address6)
    document = wait_for(lambda: (d := world.steps()[0])["verdict"] == "passes" and d, 10, "the peer answers")
    names = [s["step"] for s in document["steps"]]
    assert names == "source forwarding route filter tunnel underlay neighbour filter mtu peer".split()
    steps = {s["step"]: s["text"] for s in document["steps"]}
    assert "cni0, port c2" in steps["source"] and "proto 1" in steps["route"] and "dev flannel.1 onlink" in steps["route"]
    assert world.h2.vtep_mac() in steps["tunnel"] and "192.0.2.2" in steps["tunnel"] and "h2 answers" in steps["peer"]
    assert document["stopsAt"] is None and all(s["state"] == "ok" for s in document["steps"])
    text = world.trace(status=OK).stdout.splitlines()
    assert text[0] == "passes: nothing here stops it" and len(text) == 11
    # The other family, what is not forwarded, what ends here, what leaves the fabric.
    assert world.steps(source=world.c1.address6, to=world.c2.address6, status=OK)[0]["verdict"] == "passes"
    own = world.steps(source="192.0.2.1", status=OK)[1]
    assert "this host's own, on eth0" in own["source"]["text"] and "forwarding" not in own
    here = world.steps("--proto", "tcp", "--port", "80", to="192.0.2.1", status=OK)[0]["steps"][-1]
    assert here["step"] == "device" and "for this host itself" in here["text"]
    out = world.steps("--port=443", to="198.51.100.1", status=OK)[0]
    assert [s["step"] for s in out["steps"]][-2:] == ["neighbour", "mtu"] and out["protocol"] == 6


# What is done to h1, undone by, the step that stops the packet, words of it, and of the remedy.
FAULTS = {
    "rule": ("ip rule add to 10.5.0.0/16 prohibit pref 100", "ip rule del pref 100", "route", "100: from all to 10.5.0.0/16 prohibit", ""),
    "blackhole": ("ip route add blackhole {c2}/32", "ip route del blackhole {c2}/32", "route", "blackhole", "ip rule"),
    "another's route": ("ip route add {c2}/32 via 192.0.2.254", "ip route del {c2}/32", "route", "{c2}/32 via 192.0.2.254 dev eth0 proto 3, which is not the fabric's", ""),
    "another's table": (
        "ip route add default via 192.0.2.254 table 77; ip rule add from 10.5.0.0/16 lookup 77 pref 90",
        "ip rule del pref 90; ip route del default table 77",
        "route",
        "for ip rule 90: from 10.5.0.0/16 lookup 77",
        "",
    ),
    "forwarding": ("sysctl -qw net/ipv4/conf/cni0/forwarding=0", "sysctl -qw net/ipv4/conf/cni0/forwarding=1", "forwarding", "cni0.forwarding is 0", "sysctl -w net/ipv4/conf/cni0/forwarding=1"),
    "forward chain": (f"nft 'table inet mine {{ chain passing {{ {FORWARD} accept; ip daddr 10.5.0.0/16 drop; }}; }}'", "nft delete table inet mine", "filter", "chain passing of table inet mine, rule 1", "nft -a list ruleset"),
    "output chain": (f"nft 'table ip mine {{ chain out {{ {OUTPUT}; udp dport 8472 drop; }}; }}'", "nft delete table ip mine", "filter", "stops the tunnel's packet", ""),
    "neighbour": ("ip neigh del {net} dev flannel.1", "ip neigh replace {net} lladdr {mac} dev flannel.1 nud permanent", "tunnel", "no neighbour entry for {net}", "fabricctl sync"),
    "FDB entry": ("bridge fdb del {mac} dev flannel.1", "bridge fdb replace {mac} dev flannel.1 dst 192.0.2.2 self", "tunnel", "no FDB entry for {mac}", ""),
    "wrong FDB entry": ("bridge fdb replace {mac} dev flannel.1 dst 192.0.2.99 self", "bridge fdb replace {mac} dev flannel.1 dst 192.0.2.2 self", "tunnel", "192.0.2.99, but its lease says 192.0.2.2", ""),
    "port": ("ip link set c2 down", "ip link set c2 up", "source", "cni0 is up and has no carrier: no port of it is up", ""),
}  # fmt: skip


def filled(text, place):
    for name, value in place.items():
        text = text.replace(f"{{{name}}}", value)
    return text


FIRST = ["rule", "another's route", "forward chain", "FDB entry"]


@pytest.mark.long(after=1)
@pytest.mark.parametrize("names", [FIRST, [name for name in FAULTS if name not in FIRST]], ids=["first", "others"])
def test_what_stops_a_packet(world, names):
    """With the daemon dead, which would put most of it right; whose the addresses are comes from the store."""
    place = {
        "c1": world.c1.address,
        "c2": world.c2.address,
        "net": world.h2.daemon.subnet().split("/")[0],
        "mac": world.h2.vtep_mac(),
    }
    world.h1.daemon.stop()
    document, _ = world.steps(*world.store(), status=OK)
    assert document["verdict"] == "unknown" and document["steps"][-1]["step"] == "peer"
    for name in names:
        do, undo, step, words, remedy = FAULTS[name]
        assert wait_for(world.pings, 5, f"before {name}: pings")
        world.h1.namespace.run("sh", "-c", filled(do, place))
        assert not world.pings(), name
        document, _ = world.steps(*world.store(), status=FOUND)
        stop = document["steps"][-1]
        assert (document["verdict"], document["stopsAt"], stop["step"], stop["state"]) == ("stops", step, step, "stops"), f"{name}: {stop}"
        assert filled(words, place) in stop["text"], f"{name}: {stop}"
        assert remedy in (stop["remedy"] or ""), f"{name}: {stop}"
        world.h1.namespace.run("sh", "-c", filled(undo, place))


def test_links_that_are_down(world):
    """What the kernel itself takes away with a link."""
    world.h1.daemon.stop()
    world.h1.namespace.ip_do("link set flannel.1 down")
    assert not world.pings()
    document, _ = world.steps(*world.store(), status=FOUND)
    assert document["stopsAt"] == "route" and "not the fabric's" in document["steps"][-1]["text"]
    world.h1.namespace.ip_batch(["link set cni0 down"])
    text = world.trace(*world.store(), status=FOUND).stdout
    assert text.startswith("stops at source: ") and "cni0 is down" in text and "try: ip link set cni0 up" in text
    world.h1.namespace.ip_batch(["link del cni0"])
    text = world.trace(*world.store(), status=FOUND).stdout
    assert "no device of it leads there" in text and "try: flannel keep" in text


@pytest.mark.long
def test_the_other_host_does_not_answer(world):
    wait_for(lambda: world.steps()[0]["verdict"] == "passes", 10, "the peer answers")
    world.h2.namespace.nft("table inet mine { chain in { type filter hook input priority 0; policy accept; udp dport 8472 drop; }; }")
    text = wait_for(lambda: (d := world.trace()).returncode == FOUND and d.stdout, 15, "it stops at the peer")
    assert text.startswith("stops at peer: h2 answers in the underlay, and not through the tunnel")


def test_what_cannot_be_traced(world):
    error = world.trace(source=world.c2.address, to=world.c1.address, status=NOT_FOUND).stderr
    assert_three_lines(error, f"{world.c2.address} is not on this host", "only the kernel of the host", "on h2: fabricctl trace")
    for args in (["10.5.1.1"], ["10.5.1.1", "fd10:5::1"], ["x", "y"], ["10.5.1.1", "10.5.1.2", "--proto", "gre"],
                 ["10.5.1.1", "10.5.1.2", "--port", "0"], ["10.5.1.1", "10.5.1.2", "--port", "65536"],
                 ["10.5.1.1", "10.5.1.2", "--proto", "icmp", "--port", "7"]):  # fmt: skip
        done = fabricctl("trace", *args)
        assert done.returncode == USAGE and "fabricctl help trace" in done.stderr, done.stderr
    # Without daemon and store the kernel is asked all the same.
    world.h1.daemon.stop()
    text = world.trace(status=OK).stdout
    assert "whose addresses these are is not known: flanneld at" in text and "dev flannel.1 onlink" in text
