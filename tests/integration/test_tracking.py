# SPDX-License-Identifier: Apache-2.0
"""The tunnel's packets go past connection tracking, unless a rule of others needs them there: the kernel's own list of
connections is the witness, and pings, which no switch may cost."""

import contextlib

import pytest

import fabric
from fabric import DUAL
from netns import wait_for
from traffic import ruleset, seen

INPUT = "type filter hook input priority filter; policy"
OUTPUT = "type filter hook output priority filter; policy"
OUTSIDE = "192.0.2.254"


def connections(host, port=8472):
    """What the kernel tracks on this host of the tunnel's packets."""
    text = host.namespace.run("cat", "/proc/net/nf_conntrack")
    return [line for line in text.splitlines() if f"dport={port} " in line]


class World:
    def __init__(self, lab, config=None, **flags):
        lab.start_etcd()
        lab.configure(config)
        self.lab = lab
        self.h1, self.h2 = lab.hosts(2)
        for host in (self.h1, self.h2):
            host.start_daemon(ready=False, iptables_resync=1, ip_masq=True, **flags)
        for host in (self.h1, self.h2):
            host.daemon.wait_peers(1)
            host.daemon.wait_ok()
        self.c1, self.c2 = self.h1.container(), self.h2.container()

    def ping(self, address=None):
        self.c1.namespace.run("ping", "-c1", "-W2", address or self.c2.address)

    def traffic(self):
        return self.h1.daemon.status()["traffic"]

    def wait_tracked(self, *words):
        """For the sake of what has these words in it."""
        reason = wait_for(lambda: self.traffic()["tunnelTrackedReason"], 5, "tracked, and said why")
        for word in words:
            assert word in reason
        assert self.traffic()["tunnelTracked"]
        assert self.h1.daemon.metric("flannel_tunnel_tracked") == 1
        assert "notrack" not in ruleset(self.h1)

    def wait_untracked(self):
        wait_for(lambda: not self.traffic()["tunnelTracked"], 5, "not tracked")
        assert self.h1.daemon.metric("flannel_tunnel_tracked") == 0
        assert "notrack" in ruleset(self.h1)


@pytest.fixture
def world(lab):
    return World(lab)


@pytest.mark.parametrize("guard", [True, False], ids=["guard", "no guard"])
def test_tunnel_packets_are_not_tracked(lab, guard):
    """Those of containers are, so that there is something to see."""
    w = World(lab, DUAL, peer_guard=guard)
    for address in w.c2.addresses:
        w.ping(address)
    for host in (w.h1, w.h2):
        assert w.c1.address in host.namespace.run("cat", "/proc/net/nf_conntrack")
        assert connections(host) == []
    assert seen(w.c1.namespace, OUTSIDE, lab.underlay) == w.h1.address
    w.wait_untracked()


def test_one_key_turns_it_off_and_on(world):
    world.wait_untracked()
    daemon = world.h1.daemon
    with world.lab.pinger(world.c1, world.c2) as pinger:
        for off in (True, False):
            daemon.flags["tunnel_notrack"] = not off
            daemon.restart().wait_ok()
            if off:
                world.wait_tracked("tunnel-notrack says so")
                world.ping()
                assert connections(world.h1)
            else:
                world.wait_untracked()
            daemon.restart().wait_ok()
            assert daemon.metric("flannel_rules_writes_total") == 0
    assert pinger.lost == 0, pinger.report()


def test_nothing_is_tracked_that_would_not_be(lab):
    """Where nobody tracks anything there is no rule for it; who asks for connections brings it."""
    w = World(lab)
    for host in (w.h1, w.h2):
        host.daemon.flags["ip_masq"] = False
        host.daemon.restart().wait_ok()
    w.wait_tracked("no rule needs any connection tracked")
    w.h1.namespace.nft("table inet mine { chain c { type filter hook forward priority 0; ct state new accept; }; }")
    w.wait_untracked()
    w.h1.namespace.nft("delete table inet mine")
    w.wait_tracked("no rule needs any connection tracked")
    assert w.h1.daemon.metric("flannel_rules_healed_total") == 0


# What needs the tunnel's packets tracked, and who is named.
NEEDS = {
    "new and established": (
        f"table inet mine {{ chain in {{ {INPUT} drop; iif lo accept; ct state established,related accept;"
        " udp dport 8472 ct state new accept; tcp dport 2379 accept; icmp type echo-request accept; }; }",
        "chain in of table inet mine looks at connections",
    ),
    "only valid ones": (
        f"table inet mine {{ chain in {{ {INPUT} accept; ct state != {{ new, established, related }} drop; }}; }}",
        "chain in of table inet mine looks at connections",
    ),
    "invalid errors": (
        f"table inet mine {{ chain in {{ {INPUT} accept; ct state invalid drop; }}; }}",
        "errors of ICMP that answer tunnel packets",
    ),
    "output": (
        f"table ip mine {{ chain out {{ {OUTPUT} accept; ct state new,established,related,invalid accept; drop; }}; }}",
        "chain out of table ip mine looks at connections before it lets pass tunnel packets that go out",
    ),
    "a set of strangers behind": (
        f"table inet mine {{ set bad {{ type ipv4_addr; }}; chain in {{ {INPUT} accept; ct state established accept;"
        " tcp dport 22 drop; ip saddr @bad drop; ip ttl 3 drop; }; }",
        "chain in of table inet mine",
    ),
    "translated in": (
        "table ip mine { chain pre { type nat hook prerouting priority dstnat; udp dport 8472 dnat to 192.0.2.99:8473; }; }",
        None,
    ),
    "translated out": (
        "table ip mine { chain post { type nat hook postrouting priority srcnat; oifname eth0 masquerade; }; }",
        "chain post of table ip mine may translate addresses of tunnel packets that go out",
    ),
    "a published port": (
        'table ip mine { map ports { type inet_proto . inet_service : ipv4_addr; elements = { udp . 8472 : 10.5.1.9 }; };'
        " chain pre { type nat hook prerouting priority dstnat; fib daddr type local dnat to meta l4proto . th dport map @ports; }; }",
        None,
    ),
}
# What does not.
NO_NEED = {
    "policy accept": f"table inet mine {{ chain in {{ {INPUT} accept; ct state established accept; tcp dport 22 drop; }}; }}",
    "accepted before": f"table inet mine {{ chain in {{ {INPUT} drop; udp dport 8472 accept; icmp type destination-unreachable accept;"
    " icmpv6 type packet-too-big accept; ct state established,related accept; tcp dport 2379 accept; icmp type echo-request accept;"
    " meta l4proto { icmp, ipv6-icmp } accept; }; }",
    "other ports' NAT": "table ip mine { chain pre { type nat hook prerouting priority dstnat; udp dport 53 redirect to :5353; };"
    ' chain post { type nat hook postrouting priority srcnat; ip saddr 172.17.0.0/16 oifname != "docker0" masquerade; }; }',
    "a map of ports": "table ip mine { map ports { type inet_proto . inet_service : ipv4_addr; elements = { udp . 53 : 10.5.1.9, tcp . 8472 : 10.5.1.9 }; };"
    " chain pre { type nat hook prerouting priority dstnat; fib daddr type local dnat to meta l4proto . th dport map @ports; }; }",
    "a set of others": f"table inet mine {{ set bad {{ type ipv4_addr; flags interval; elements = {{ 198.51.100.0/24 }}; }};"
    f" chain in {{ {INPUT} accept; ip saddr @bad drop; ct state established accept; tcp dport 22 drop; }}; }}",
}


@pytest.mark.parametrize("name", [name for name, (_, said) in NEEDS.items() if said])
def test_what_others_need_is_kept(world, name):
    """No longer than they need it, and said: in status, and by doctor."""
    rules, said = NEEDS[name]
    world.wait_untracked()
    world.h1.namespace.nft(rules)
    world.wait_tracked(said)
    world.ping()
    assert connections(world.h1)
    assert world.h1.daemon.logged("tunnel-tracked: .*" + said.split(" of table")[0])
    assert world.h1.daemon.metric("flannel_rules_healed_total") == 0
    world.h1.daemon.restart().wait_ok()
    world.wait_tracked(said)
    assert world.h1.daemon.metric("flannel_rules_writes_total") == 0
    world.h1.namespace.nft(f"delete table {rules.split('{')[0].split(maxsplit=1)[1]}")
    world.wait_untracked()
    world.ping()


@pytest.mark.parametrize("name", [name for name, (_, said) in NEEDS.items() if not said])
def test_a_translation_of_the_port_is_noticed(world, name):
    """It takes the tunnel away, as it did before there was a rule of ours: but not more than that."""
    world.h1.namespace.nft(NEEDS[name][0])
    world.wait_tracked("chain pre of table ip mine may translate addresses of tunnel packets that come in")
    world.h1.namespace.nft("delete table ip mine")
    world.wait_untracked()


@pytest.mark.parametrize("name", NO_NEED)
def test_what_others_do_not_need(world, name):
    """Rules are looked at after half a second: what is added last is what was looked at when it is noticed."""
    before = world.h1.daemon.log().count("tunnel-")
    world.h1.namespace.nft(NO_NEED[name])
    world.h1.namespace.nft("table inet last { chain c { type filter hook forward priority 0; policy drop; }; }")
    world.h1.daemon.wait_status(lambda s: any("table inet last" in p["text"] for p in s["problems"]))
    world.wait_untracked()
    assert world.h1.daemon.log().count("tunnel-") == before
    world.h1.namespace.nft("delete table inet last")
    world.h1.daemon.wait_ok()
    world.ping()


KUBE = """*filter
:KUBE-FIREWALL - [0:0]
:KUBE-EXTERNAL-SERVICES - [0:0]
-A INPUT -m conntrack --ctstate NEW -m comment --comment "kubernetes externally-visible service portals" -j KUBE-EXTERNAL-SERVICES
-A INPUT -j KUBE-FIREWALL
-A OUTPUT -m conntrack --ctstate NEW -j KUBE-EXTERNAL-SERVICES
-A OUTPUT -j KUBE-FIREWALL
-A KUBE-FIREWALL ! -s 127.0.0.0/8 -d 127.0.0.0/8 -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP
COMMIT
*nat
:KUBE-SERVICES - [0:0]
:KUBE-POSTROUTING - [0:0]
:KUBE-NODEPORTS - [0:0]
:DOCKER - [0:0]
-A PREROUTING -j KUBE-SERVICES
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A OUTPUT -j KUBE-SERVICES
-A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER
-A POSTROUTING -j KUBE-POSTROUTING
-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
-A KUBE-SERVICES -d 10.96.0.10/32 -p udp -m udp --dport 53 -j DNAT --to-destination 10.5.1.9:53
-A KUBE-SERVICES -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS
-A KUBE-NODEPORTS -p tcp -m tcp --dport 30080 -j DNAT --to-destination 10.5.1.9:80
-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN
-A KUBE-POSTROUTING -j MASQUERADE --random-fully
-A DOCKER ! -i docker0 -p udp -m udp --dport 5353 -j DNAT --to-destination 172.17.0.2:53
COMMIT
"""


@pytest.mark.parametrize("kind", ["iptables", "iptables-legacy"])
def test_rules_of_kube_proxy_and_docker(world, kind):
    """They look at connections, and the tunnel passes all the same: until a container has its port."""
    restore = kind + "-restore"
    if world.h1.namespace.run(kind, "-S", check=False).returncode:
        pytest.skip(f"{kind} does not work here")
    world.h1.namespace.run(restore, input=KUBE)
    publish = "-t nat {} DOCKER ! -i docker0 -p udp -m udp --dport 8472 -j DNAT --to-destination 172.17.0.2:53"
    world.h1.namespace.run(kind, *publish.format("-A").split())
    world.wait_tracked("may translate addresses of tunnel packets that come in")
    world.h1.namespace.run(kind, *publish.format("-D").split())
    world.wait_untracked()
    world.ping()
    # A script that hardens a host, in another table.
    harden = "-t mangle {} PREROUTING -m conntrack --ctstate INVALID -j DROP"
    world.h1.namespace.run(kind, *harden.format("-A").split())
    world.wait_tracked("errors of ICMP")
    world.h1.namespace.run(kind, *harden.format("-D").split())
    world.wait_untracked()


def test_switching_loses_nothing(world):
    """To and fro, while packets flow: connections that are known, and those that are not."""
    rules = NEEDS["invalid errors"][0]
    with world.lab.pinger(world.c1, world.c2) as pinger:
        for _ in range(3):
            world.h1.namespace.nft(rules)
            world.wait_tracked()
            world.h1.namespace.nft("delete table inet mine")
            world.wait_untracked()
    assert pinger.lost == 0, pinger.report()


def test_tunnels_of_others_are_left_alone(world):
    """What merely passes through is tracked, so that it may be translated."""
    h1 = world.h1.namespace
    h1.ip_batch(["link add vm type veth peer name vm0", "addr add 172.31.0.1/24 dev vm", "link set vm up", "link set vm0 up"])
    before = connections(world.h1)
    assert before == []
    with contextlib.closing(world.lab.underlay.socket(2, 2)) as s:
        world.lab.underlay.ip_do(f"route add 172.31.0.0/24 via {world.h1.address}")
        s.bind((OUTSIDE, 0))

        def tracked():
            s.sendto(b"other", ("172.31.0.2", 8472))
            return connections(world.h1)

        h1.ip_do("neigh replace 172.31.0.2 lladdr 02:00:00:00:00:77 dev vm")
        wait_for(tracked, 5, "somebody else's tunnel packet is tracked")


def test_peers_that_come_are_tried(lab):
    """Of no peer it is not known that no rule translates; of those that there are it is."""
    lab.start_etcd()
    lab.configure()
    first = lab.host()
    first.namespace.nft(
        "table ip mine { chain post { type nat hook postrouting priority srcnat; ip daddr 192.0.2.0/24 accept; masquerade; }; }"
    )
    first.start_daemon(iptables_resync=1, ip_masq=True)
    daemon = first.daemon
    daemon.wait_status(lambda s: "may translate" in s["traffic"]["tunnelTrackedReason"])
    second = lab.host()
    second.start_daemon(ip_masq=True)
    daemon.wait_peers(1)
    daemon.wait_status(lambda s: not s["traffic"]["tunnelTracked"])
    assert daemon.metric("flannel_rules_healed_total") == 0


def test_doctor_and_status_say_it(world):
    def said(*command):
        return world.h1.namespace.run(fabric.FABRICCTL, f"--socket={world.h1.daemon.socket_path}", *command, check=False).stdout

    assert "not of tunnel packets" in said("status")
    world.h1.namespace.nft(NEEDS["invalid errors"][0])
    world.wait_tracked()
    assert "of tunnel packets too: chain in of table inet mine" in said("status")
    assert "the kernel tracks tunnel packets: chain in of table inet mine" in said("doctor")
