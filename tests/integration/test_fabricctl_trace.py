# SPDX-License-Identifier: Apache-2.0
"""fabricctl trace: where a packet stops, said by the kernel that stops it. Pings are the witness."""

import contextlib
import json
import socket
import time

import pytest

import wireguard
from etcd import PREFIX
from fabric import APART, IPV6
from fabricctl_support import FAILED, FOUND, NOT_FOUND, OK, USAGE, assert_three_lines, fabricctl
from netns import wait_for
from test_ipip import kernel_has_ipip

FORWARD = "type filter hook forward priority 0; policy"
OUTPUT = "type filter hook output priority 0; policy accept"


class World:
    """Two hosts with a container each."""

    def __init__(self, lab, config=APART | IPV6, **flags):
        lab.start_etcd()
        lab.configure(config)
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
    assert document["verdict"] == "unknown" and [s["step"] for s in document["steps"]][-2:] == ["peer", "host"]
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


def test_what_the_other_host_tells(world):
    etcd = world.lab.etcd
    known = (f"--etcd-endpoints={etcd.endpoints}",)
    key = f"{PREFIX}/health/{world.h2.daemon.status()['nodeID']}"

    def host(state, *words, args=known):
        document, steps = world.steps(*args)
        step = steps.get("host")
        well = step and document["verdict"] == "passes" and step["state"] == state
        return well and all(word in step["text"] for word in words) and step

    wait_for(lambda: host("ok", "h2 tells of itself, unchanged for ", ": ok"), 30, "h2 tells that all is well")
    assert world.trace(*known, status=OK).stdout.splitlines()[-1].split()[1:3] == ["host", "ok"]
    assert "host" not in world.steps()[1], "nobody said where the store is"
    assert "host" not in world.steps(*known, to="198.51.100.1")[1], "it is no other host's"
    assert ": ok" in world.steps(*world.store())[1]["host"]["text"]
    # Its containers are cut off, and it answers itself all the same: what it tells says so, and decides nothing.
    world.h2.namespace.nft(f"table inet mine {{ chain passing {{ {FORWARD} drop; }}; }}")
    step = wait_for(lambda: host("warning", "degraded, forward-blocked: ", "mine"), 60, "h2 tells of its chain")
    assert step["remedy"] == "on h2: fabricctl doctor"
    etcd.put(key, "no record")
    assert host("warning", "what h2 tells of itself is no record")
    etcd.delete(key)
    assert host("warning", "h2 tells nothing of itself")
    # A store that does not answer costs 200 ms, and trace is as good as without.
    member = etcd.members[0]
    member.pause()
    try:
        began = time.monotonic()
        assert host("warning", "what h2 tells of itself is not known: ", "not answered within 200 ms")
        assert time.monotonic() - began < 2
    finally:
        member.resume()


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


def live(world, *args, **options):
    """Where how many were seen, there and back: {"there": {device: number}, "back": {...}}; and all that --live says."""
    document, _ = world.steps("--live", *args, **options)
    seen = {"there": {}, "back": {}}
    for hop in document["live"]["hops"]:
        seen[hop["way"]][hop["at"]] = hop["seen"]
    return seen, document["live"]


def test_live(world):
    """From the container's own namespace; each device on the way sees all five, there and back."""
    assert world.pings() and world.pings(world.c2.address6)
    for tunnel, pair in ("flannel-v6.1", {"source": world.c1.address6, "to": world.c2.address6}), ("flannel.1", {}):
        devices = ("sender", "c2", "cni0", tunnel, "eth0")
        seen, said = live(world, status=OK, **pair)
        assert (said["verdict"], said["sent"], said["answered"]) == ("arrived", 5, 5) and 0 < said["rttSeconds"] < 1
        assert seen == {way: dict.fromkeys(devices, 5) for way in ("there", "back")}
    text = world.trace("--live", status=OK).stdout
    assert "\nsent: arrived: 5 of 5 answered\n  there  sender           5\n  there  c2               5\n" in text
    # That a port is closed is an answer too, of UDP and TCP.
    for protocol, sent in ("udp", 5), ("tcp", 1):
        seen, said = live(world, "--proto", protocol, "--port", "9", status=OK)
        assert (said["verdict"], said["sent"], said["answered"]) == ("arrived", sent, sent)
        assert all(seen[way][device] >= sent for way in seen for device in devices)
    # From this host itself, and to an address of this host.
    seen, said = live(world, source="192.0.2.1", to="192.0.2.2", status=OK)
    assert said["verdict"] == "arrived" and seen["there"] == {"sender": 5, "eth0": 5}
    seen, said = live(world, to="192.0.2.1", status=OK)
    assert said["verdict"] == "arrived" and seen["there"] == {"sender": 5, "c2": 5, "cni0": 5}
    assert world.trace("--live", "--proto", "udp", status=USAGE).stderr.startswith("fabricctl: --live with udp needs a --port")


# What is done where, between which devices packets vanish then, and words of the sentence.
LOSSES = {
    "forward chain": ("h1", f"nft 'table inet mine {{ chain passing {{ {FORWARD} accept; ip daddr 10.5.0.0/16 drop; }}; }}'", "nft delete table inet mine", "cni0", "flannel.1", "while it was passed on, on this host"),
    "FDB entry": ("h1", "bridge fdb del {mac} dev flannel.1", "bridge fdb replace {mac} dev flannel.1 dst 192.0.2.2 self", "flannel.1", "eth0", "in the tunnel's device or behind it"),
    "a bridge's rule": ("h1", "nft 'table bridge mine { chain in { type filter hook prerouting priority 0; ether type ip drop; }; }'", "nft delete table bridge mine", "c2", "cni0", "between port and bridge"),
    "the other host's rule": ("h2", "nft 'table inet mine { chain in { type filter hook input priority 0; udp dport 8472 drop; }; }'", "nft delete table inet mine", "eth0", None, "nothing came back for them: lost on the way, or on h2"),
    "the answers": ("h1", "nft 'table inet mine { chain in { type filter hook input priority 0; udp dport 8472 drop; }; }'", "nft delete table inet mine", "eth0", "flannel.1", "on their way back, as they came in on this host"),
    "the last rule": ("c1", "nft 'table inet mine { chain in { type filter hook input priority 0; drop; }; }'", "nft delete table inet mine", "c2", "sender", "on their way back, at the receiver"),
}  # fmt: skip


@pytest.mark.long(after=3)
@pytest.mark.parametrize("name", LOSSES)
def test_live_losses(world, name):
    """With the daemons dead, which would put some of it right."""
    where, do, undo, before, behind, words = LOSSES[name]
    place = {"mac": world.h2.vtep_mac()}
    assert wait_for(world.pings, 5, "pings")
    for host in (world.h1, world.h2):
        host.daemon.stop()
    namespace = getattr(world, where).namespace
    namespace.run("sh", "-c", filled(do, place))
    _, said = live(world, *world.store(), status=FOUND)
    vanished = f"vanished between {before} and {behind}, " if behind else f"left this host by {before} and "
    assert said["verdict"] == "lost" and said["answered"] == 0
    assert said["text"].startswith(f"5 of 5 {vanished}") and words in said["text"], said
    namespace.run("sh", "-c", filled(undo, place))
    assert live(world, *world.store(), status=OK)[1]["verdict"] == "arrived"


def test_live_partly(world):
    """Two of three are let through."""
    world.h1.namespace.nft(f"table inet mine {{ chain passing {{ {FORWARD} accept; ip daddr 10.5.0.0/16 icmp type echo-request numgen inc mod 5 0 drop; }}; }}")
    _, said = live(world, status=FOUND)
    assert (said["sent"], said["answered"], said["verdict"]) == (5, 4, "lost")
    assert said["text"].startswith("1 of 5 vanished between cni0 and flannel.1")


def test_live_where_no_answer_means_nothing(world):
    """A program takes UDP and says nothing."""
    with contextlib.closing(world.c2.namespace.socket(socket.AF_INET, socket.SOCK_DGRAM)) as taker:
        taker.bind((world.c2.address, 7777))
        _, said = live(world, "--proto", "udp", "--port", "7777", status=OK)
        assert said["verdict"] == "unknown" and "which who takes UDP need not do: on h2" in said["text"]
    # Who has no namespace cannot send.
    error = world.trace("--live", source=world.h1.daemon.subnet().replace(".0/24", ".200"), status=FAILED).stderr
    assert error.startswith("fabricctl: nothing was sent\n  no network namespace that may be entered has the sender's address")


BACKENDS = {
    "host-gw": (None, 5),
    "ipip": ("flannel.ipip", 5),
    "udp": ("flannel0", 5),
    "wireguard": ("flannel-wg", None),  # encrypted in the underlay
}


@pytest.mark.parametrize("backend", BACKENDS)
def test_live_backends(lab, backend):
    """Each device as it is; where the underlay has nothing to be told apart it says so, and nothing of where packets are lost."""
    if backend in ("ipip", "udp") and not kernel_has_ipip():
        pytest.skip("this kernel has no ipip; make check-guest has one that does")
    if backend == "wireguard" and not wireguard.kernel_has_wireguard():
        pytest.skip("this kernel has no WireGuard; make check-guest has one that does")
    world = World(lab, config=APART | {"Backend": {"Type": backend}}, probe_interval=0)
    wait_for(world.pings, 30, "pings")
    tunnel, at_eth0 = BACKENDS[backend]
    seen, said = live(world, status=OK)
    assert said["verdict"] == "arrived"
    devices = {"sender": 5, "c2": 5, "cni0": 5, "eth0": at_eth0} | ({tunnel: 5} if tunnel else {})
    assert seen == {"there": devices, "back": devices}
    world.h2.namespace.nft("table inet mine { chain pass { type filter hook forward priority 0; policy drop; }; }")
    text = live(world, status=FOUND)[1]["text"]
    assert "nothing came back for them" in text and " h2" in text, text
