# SPDX-License-Identifier: Apache-2.0
"""The peer guard and the checks on what comes out of the tunnel: each attack with them on and off.

That every attack is delivered with the guard off shows that these are attacks.
"""

import pathlib
import shutil
import socket

import pytest

from etcd import PREFIX
from fabric import CONFIG, DUAL
from netns import stays, wait_for
from traffic import (
    Inbox,
    counters,
    send_tunnel,
    set_elements,
    udp,
    vxlan,
    wait_addresses,
    wait_dropped,
)
from witness import lease_value, made_up_lease

BROADCAST = "ff:ff:ff:ff:ff:ff"
PORT = 7000
GUARD, SPOOF = 0, 1


class Scene:
    """Two hosts of a fabric with a container each, and a third machine on the underlay that is no part of it."""

    def __init__(self, lab, config=None, **flags):
        lab.start_etcd()
        lab.configure(config)
        self.h1, self.h2 = lab.hosts(2, daemons=True, ip_masq=True, **flags)
        self.outsider = lab.host()
        self.c1, self.c2 = self.h1.container(), self.h2.container()
        self.mac = self.h1.vtep_mac()
        # Nothing but our own rules shall decide.
        for host in (self.h1, self.h2):
            for device in ("all", "default", "eth0", "cni0", "flannel.1"):
                with host.namespace.entered():
                    pathlib.Path(f"/proc/sys/net/ipv4/conf/{device}/rp_filter").write_text("0\n", encoding="ascii")
        for namespace in lab.namespaces:
            wait_addresses(namespace)

    def overlay_address(self):
        """Of h1 on its tunnel device."""
        return next(a["local"] for a in self.h1.namespace.ip("-4", "addr", "show", "dev", "flannel.1")[0]["addr_info"])


def check(host, inbox, send, index, on):
    """With the guard on the packet is counted and not delivered, otherwise delivered."""
    before = counters(host)
    if on:
        send()
        wait_dropped(host, before, index)
        assert inbox.payloads() == []
    else:

        def arrives():
            send()
            return inbox.payloads()

        wait_for(arrives, 5, "the attack succeeds")
        assert counters(host) == before


@pytest.fixture(params=[True, False], ids=["on", "off"])
def guarded(request):
    return request.param


def test_an_outsider_reaches_no_container(lab, guarded):
    s = Scene(lab, peer_guard=guarded)
    frame = vxlan(s.mac, udp(s.c2.address, s.c1.address, PORT, b"evil"))
    with Inbox(s.c1.namespace, PORT) as inbox:
        check(s.h1, inbox, lambda: send_tunnel(s.outsider.namespace, s.h1.address, frame), GUARD, guarded)


def test_an_outsider_reaches_no_host_by_broadcast(lab, guarded):
    """It needs to guess nothing then. Behind the guard stands the check for unicast in broadcast."""
    s = Scene(lab, peer_guard=guarded, anti_spoofing=guarded)
    frame = vxlan(BROADCAST, udp(s.c2.address, s.overlay_address(), PORT, b"evil"))
    with Inbox(s.h1.namespace, PORT) as inbox:
        check(s.h1, inbox, lambda: send_tunnel(s.outsider.namespace, s.h1.address, frame), GUARD, guarded)


def test_another_vni_is_ignored_in_any_case(lab):
    s = Scene(lab, peer_guard=False)
    right, wrong = (vxlan(s.mac, udp(s.c2.address, s.c1.address, PORT, b"%d" % vni), vni) for vni in (1, 2))
    with Inbox(s.c1.namespace, PORT) as inbox:

        def arrives():
            send_tunnel(s.outsider.namespace, s.h1.address, wrong)
            send_tunnel(s.outsider.namespace, s.h1.address, right)
            return inbox.payloads()

        wait_for(arrives, 5, "the right VNI is delivered")
        assert set(inbox.payloads()) == {b"1"}


def test_a_container_sends_no_tunnel_packets(lab, guarded):
    """It would leave as its host, a peer: so it is dropped on its own host already."""
    s = Scene(lab, peer_guard=guarded)
    frame = vxlan(s.mac, udp("10.5.77.7", s.c1.address, PORT, b"evil"))
    with Inbox(s.c1.namespace, PORT) as inbox:
        check(s.h2, inbox, lambda: send_tunnel(s.c2.namespace, s.h1.address, frame), GUARD, guarded)


def test_a_container_with_a_peers_address_sends_no_tunnel_packets(lab, guarded):
    """The device it comes in from gives it away; to another host and to its own."""
    s = Scene(lab, peer_guard=guarded)
    # A third peer; the address of its own host no container can take, the kernel sees to that.
    key, value = f"{PREFIX}/subnets/10.5.0.0-24", lease_value("192.0.2.77", "02:00:00:00:00:01")
    lab.etcd.put(key, value)
    for host in (s.h1, s.h2):
        host.daemon.wait_peers(2)
    frame = vxlan(s.mac, udp("10.5.77.7", s.c1.address, PORT, b"evil"))
    with Inbox(s.c1.namespace, PORT) as inbox:
        check(
            s.h2,
            inbox,
            lambda: send_tunnel(s.c2.namespace, s.h1.address, frame, forged_source="192.0.2.77"),
            GUARD,
            guarded,
        )
    victim = s.h2.container()
    own = vxlan(s.h2.vtep_mac(), udp("10.5.77.7", victim.address, PORT, b"evil"))
    with Inbox(victim.namespace, PORT) as inbox:
        check(
            s.h2,
            inbox,
            lambda: send_tunnel(s.c2.namespace, s.h2.address, own, forged_source=s.h1.address),
            GUARD,
            guarded,
        )


def test_the_guard_stands_in_iptables_mode_too(lab, guarded):
    s = Scene(lab, peer_guard=guarded, traffic_mode="iptables")
    assert s.h1.daemon.status()["traffic"]["mode"] == "iptables"
    frame = vxlan(s.mac, udp(s.c2.address, s.c1.address, PORT, b"evil"))
    with Inbox(s.c1.namespace, PORT) as inbox:
        check(s.h1, inbox, lambda: send_tunnel(s.outsider.namespace, s.h1.address, frame), GUARD, guarded)


def test_ipv6_tunnels_are_guarded_alike(lab, guarded):
    s = Scene(lab, DUAL, peer_guard=guarded)
    mac = s.h1.vtep_mac("flannel-v6.1")
    frame = vxlan(mac, udp(s.c2.address6, s.c1.address6, PORT, b"evil"))
    with Inbox(s.c1.namespace, PORT, socket.AF_INET6) as inbox:
        check(s.h1, inbox, lambda: send_tunnel(s.outsider.namespace, s.h1.address6, frame), GUARD, guarded)
    with Inbox(s.c1.namespace, PORT, socket.AF_INET6) as inbox:
        check(s.h2, inbox, lambda: send_tunnel(s.c2.namespace, s.h1.address6, frame), GUARD, guarded)


@pytest.mark.parametrize("on", [True, False], ids=["on", "off"])
def test_a_peer_cannot_speak_as_our_own_containers(lab, on):
    s = Scene(lab, anti_spoofing=on)
    frame = vxlan(s.mac, udp(s.c1.address[: s.c1.address.rindex(".")] + ".99", s.c1.address, PORT, b"evil"))
    with Inbox(s.c1.namespace, PORT) as inbox:
        check(s.h1, inbox, lambda: send_tunnel(s.h2.namespace, s.h1.address, frame), SPOOF, on)


@pytest.mark.parametrize("on", [True, False], ids=["on", "off"])
def test_a_peer_sends_no_unicast_in_broadcast(lab, on):
    s = Scene(lab, anti_spoofing=on)
    frame = vxlan(BROADCAST, udp(s.c2.address, s.overlay_address(), PORT, b"evil"))
    with Inbox(s.h1.namespace, PORT) as inbox:
        check(s.h1, inbox, lambda: send_tunnel(s.h2.namespace, s.h1.address, frame), SPOOF, on)


@pytest.mark.parametrize("source", ["127.0.0.1", "169.254.1.1", "224.0.0.5", "255.255.255.255", "0.0.0.1"])
def test_impossible_sources_are_dropped_and_counted(lab, source):
    s = Scene(lab)
    frame = vxlan(s.mac, udp(source, s.c1.address, PORT, b"evil"))
    with Inbox(s.c1.namespace, PORT) as inbox:
        check(s.h1, inbox, lambda: send_tunnel(s.h2.namespace, s.h1.address, frame), SPOOF, True)


def test_impossible_sources_of_ipv6_are_dropped_and_counted(lab):
    """Loopback and multicast sources the kernel drops by itself, before any rule."""
    s = Scene(lab, DUAL)
    frame = vxlan(s.h1.vtep_mac("flannel-v6.1"), udp("fe80::7", s.c1.address6, PORT, b"evil"))
    with Inbox(s.c1.namespace, PORT, socket.AF_INET6) as inbox:
        check(s.h1, inbox, lambda: send_tunnel(s.h2.namespace, s.h1.address6, frame), SPOOF, True)


def test_drops_are_told(lab):
    s = Scene(lab, iptables_resync=1)
    frame = vxlan(s.mac, udp(s.c2.address, s.c1.address, PORT, b"evil"))
    assert s.h1.daemon.problems() == set()
    for _ in range(7):
        send_tunnel(s.outsider.namespace, s.h1.address, frame)
    wait_for(lambda: s.h1.daemon.metric("flannel_guard_dropped_packets_total") == 7, 5, "seven counted")
    status = s.h1.daemon.wait_status(lambda d: "packets-dropped" in {p["name"] for p in d["problems"]})
    assert status["traffic"]["guardDroppedPackets"] == 7
    # A table that is put back goes on counting where it was.
    s.h1.namespace.nft("delete chain inet flannel.1 fabric-postrtg")
    wait_for(lambda: s.h1.daemon.metric("flannel_rules_healed_total") == 1, 5, "the table is put back")
    assert counters(s.h1) == (7, 0)
    assert s.h1.daemon.metric("flannel_guard_dropped_packets_total") == 7


def test_the_set_follows_the_leases(lab):
    s = Scene(lab)
    assert set_elements(s.h1, "fabric-peers") == {s.h2.address}
    key, value = made_up_lease(7)
    key = PREFIX + key
    lab.etcd.put(key, value)
    wait_for(lambda: len(set_elements(s.h1, "fabric-peers")) == 2, 2, "a new peer's address is in the set")
    lab.etcd.delete(key)
    wait_for(lambda: set_elements(s.h1, "fabric-peers") == {s.h2.address}, 2, "and leaves it")
    s.outsider.start_daemon()
    wait_for(lambda: s.outsider.address in set_elements(s.h1, "fabric-peers"), 2, "a new host is in the set")
    assert s.h1.daemon.metric("flannel_guard_addresses") == 2


def test_two_leases_with_one_address_hold_it_both(lab):
    s = Scene(lab)
    keys = []
    taken = {host.daemon.key() for host in (s.h1, s.h2)}
    free = [k for k in (f"{PREFIX}/subnets/10.5.{n}.0-24" for n in range(1, 5)) if k not in taken]
    for number in (1, 2):
        keys.append(free[number])
        lab.etcd.put(keys[-1], lease_value("192.0.2.77", f"02:00:00:00:00:0{number}"))
    s.h1.daemon.wait_peers(3)
    assert set_elements(s.h1, "fabric-peers") == {s.h2.address, "192.0.2.77"}
    lab.etcd.delete(keys[0])
    s.h1.daemon.wait_peers(2)
    assert set_elements(s.h1, "fabric-peers") == {s.h2.address, "192.0.2.77"}
    lab.etcd.delete(keys[1])
    wait_for(lambda: set_elements(s.h1, "fabric-peers") == {s.h2.address}, 2, "the last holder is gone")


def test_elements_that_others_removed_or_added_are_set_right(lab):
    s = Scene(lab)
    s.h1.namespace.nft(f"delete element inet flannel.1 fabric-peers {{ {s.h2.address} }}")
    wait_for(lambda: set_elements(s.h1, "fabric-peers") == {s.h2.address}, 1, "the peer is back")
    s.h1.namespace.nft(f"add element inet flannel.1 fabric-peers {{ {s.outsider.address} }}")
    wait_for(lambda: set_elements(s.h1, "fabric-peers") == {s.h2.address}, 1, "the intruder is out")


def test_the_guard_outlives_daemon_and_store(lab):
    s = Scene(lab)
    lab.etcd.stop()
    s.h1.daemon.kill()
    frame = vxlan(s.mac, udp(s.c2.address, s.c1.address, PORT, b"evil"))
    with Inbox(s.c1.namespace, PORT) as inbox:
        check(s.h1, inbox, lambda: send_tunnel(s.outsider.namespace, s.h1.address, frame), GUARD, True)
        s.h1.daemon.start().wait_listening()
        check(s.h1, inbox, lambda: send_tunnel(s.outsider.namespace, s.h1.address, frame), GUARD, True)
        with lab.pinger(s.c1, s.c2) as pinger:
            wait_for(lambda: pinger.sent >= 20, 5, "pings")
        assert pinger.lost == 0, pinger.report()


def test_devices_of_containers_come_and_go(lab):
    s = Scene(lab)
    assert set_elements(s.h1, "container-devices") == {'"cni0"'}
    s.h1.namespace.ip_batch(
        ["link add p2p type veth peer name p2p0", "link set p2p up", "link set p2p0 up", f"route add {s.c1.address.rsplit('.', 1)[0]}.200/32 dev p2p"]
    )
    wait_for(lambda: set_elements(s.h1, "container-devices") == {'"cni0"', '"p2p"'}, 2, "a routed device is in")
    s.h1.daemon.restart()
    assert set_elements(s.h1, "container-devices") == {'"cni0"', '"p2p"'}
    assert s.h1.daemon.metric("flannel_rules_writes_total") == 0
    s.h1.namespace.ip_batch(["link set p2p down", "link set p2p name pod7", "link set pod7 up"])
    wait_for(lambda: set_elements(s.h1, "container-devices") == {'"cni0"', '"pod7"'}, 2, "its new name is in")
    s.h1.namespace.ip_do("link del pod7")
    wait_for(lambda: set_elements(s.h1, "container-devices") == {'"cni0"'}, 2, "and out")


def test_a_route_around_the_subnet_leads_to_no_container(lab):
    s = Scene(lab, CONFIG | {"SubnetMin": "10.5.16.0", "SubnetMax": "10.5.17.0"})
    host = s.h1 if s.c1.address.startswith("10.5.16.") else s.h2
    host.namespace.ip_batch(
        [
            "link add site type veth peer name p2p",
            "link set site up",
            "link set p2p up",
            "route add 10.5.16.0/20 dev site metric 9",
            "route add 10.5.16.200/32 dev p2p",
        ]
    )
    wait_for(lambda: '"p2p"' in set_elements(host, "container-devices"), 2, "a routed device is in")
    assert set_elements(host, "container-devices") == {'"cni0"', '"p2p"'}
    host.daemon.restart()
    assert set_elements(host, "container-devices") == {'"cni0"', '"p2p"'}


# The table as versions before this one made it, and what this one calls by the same names.
FORMER = """table inet flannel.1 {{
    comment "{mark}"
    counter guard-dropped {{ packets 5 bytes 500 }}
    counter spoofed-dropped {{ packets 0 bytes 0 }}
    set fabric-peers {{ type ipv4_addr; elements = {{ {peer} }}; }}
    set fabric-peers6 {{ type ipv6_addr; }}
    set container-devices {{ type ifname; elements = {{ "cni0" }}; }}
    set fabric-strangers {{ type ipv4_addr; size 256; flags dynamic,timeout; timeout 10m; }}
    set fabric-strangers6 {{ type ipv6_addr; size 256; flags dynamic,timeout; timeout 10m; }}
    chain fabric-tunnel {{
        iifname @container-devices counter name "guard-dropped" drop comment "tunnel packet of a container"
        ip saddr != @fabric-peers fib daddr type local counter name "guard-dropped" drop comment "tunnel packet of no peer"
    }}
    chain fabric-inner {{ ip saddr 127.0.0.0/8 counter name "spoofed-dropped" drop comment "impossible source"; }}
    chain fabric-guard {{
        type filter hook prerouting priority raw; policy accept;
        udp dport 8472 jump fabric-tunnel
        iifname "flannel.1" jump fabric-inner
    }}
    chain fabric-forward {{
        type filter hook forward priority filter; policy accept;
        ip saddr 10.5.0.0/16 accept comment "flanneld forward"
        ip daddr 10.5.0.0/16 accept comment "flanneld forward"
    }}
    chain fabric-postrtg {{
        type nat hook postrouting priority srcnat; policy accept;
        ip saddr 10.5.0.0/16 ip daddr != 224.0.0.0/4 masquerade fully-random comment "flanneld masq"
    }}
}}
"""


def test_the_table_of_a_former_version_is_replaced(lab):
    """In one step: no packet is lost, what was counted stays, and nothing of it is left."""
    s = Scene(lab)
    host = s.h1
    wanted = host.namespace.run("nft", "list", "table", "inet", "flannel.1")
    with lab.pinger(s.c1, s.c2) as pinger:
        host.daemon.kill()
        former = FORMER.format(mark=host.link()["ifalias"], peer=s.h2.address)
        host.namespace.nft("delete table inet flannel.1\n" + former)
        host.daemon.start().wait_ready()
        host.daemon.wait_status(lambda d: d["traffic"]["ok"])
    assert pinger.lost == 0, pinger.report()
    found = host.namespace.run("nft", "list", "table", "inet", "flannel.1")
    assert found.replace("packets 5 bytes 500", "packets 0 bytes 0") == wanted
    assert host.daemon.logged("rules-made")
    host.daemon.restart().wait_status(lambda d: d["traffic"]["ok"])
    assert host.daemon.metric("flannel_rules_writes_total") == 0


def test_tunnel_packets_at_another_device_are_judged_alike(lab):
    """Of a host with two ways: a peer's are taken where they come, a container's with a peer's address are not."""
    s = Scene(lab)
    h1, h2 = s.h1.namespace, s.h2.namespace
    h1.ip_batch([f"link add side type veth peer name side netns {h2.name}", "link set side up"])
    h2.ip_batch(["link set side up", f"route add {s.h1.address} dev side src {s.h2.address}"])
    h1.ip_do(f"route add {s.h2.address} dev side src {s.h1.address}")
    for host in (h1, h2):
        for device in ("all", "side"):
            host.sysctl(f"net.ipv4.conf.{device}.rp_filter", 0)
    before = counters(s.h1)
    s.c1.namespace.run("ping", "-c1", "-W2", s.c2.address)
    assert counters(s.h1) == before
    key, value = f"{PREFIX}/subnets/10.5.0.0-24", lease_value("192.0.2.77", "02:00:00:00:00:01")
    lab.etcd.put(key, value)
    s.h1.daemon.wait_peers(2)
    frame = vxlan(s.mac, udp("10.5.77.7", s.c1.address, PORT, b"evil"))
    with Inbox(s.c1.namespace, PORT) as inbox:
        check(s.h1, inbox, lambda: send_tunnel(s.c1.namespace, s.h1.address, frame, forged_source="192.0.2.77"), GUARD, True)


def test_other_protocols_at_the_port_are_nobodys_business(lab):
    """The guard sees UDP: a server of TCP at that number is open to all, as it was."""
    s = Scene(lab)
    before = counters(s.h1)
    with s.h1.namespace.entered():
        server = socket.create_server((s.h1.address, 8472))
    with server, s.outsider.namespace.connect(s.h1.address, 8472) as outside, s.c1.namespace.connect(s.h1.address, 8472):
        assert outside.getpeername()[1] == 8472
    assert counters(s.h1) == before


def test_tunnels_of_others_pass_through(lab):
    """A host that routes for machines with an overlay of their own on the same port."""
    s = Scene(lab)
    h1 = s.h1.namespace
    h1.ip_batch(["link add vm type veth peer name vm0 netns " + s.outsider.name, "addr add 172.31.0.1/24 dev vm", "link set vm up"])
    s.outsider.namespace.ip_batch(
        ["addr add 172.31.0.2/24 dev vm0", "link set vm0 up", "route replace 192.0.2.254 via 172.31.0.1"]
    )
    lab.underlay.ip_do(f"route add 172.31.0.0/24 via {s.h1.address}")
    before = counters(s.h1)
    with Inbox(lab.underlay, 8472) as inbox:

        def arrives():
            with s.outsider.namespace.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                sender.bind(("172.31.0.2", 0))
                sender.sendto(b"other", ("192.0.2.254", 8472))
            return inbox.payloads()

        wait_for(arrives, 5, "somebody else's tunnel packet passes")
    assert counters(s.h1) == before


def test_pings_flow_while_peers_come_and_go(lab):
    """A change of the set disturbs nobody."""
    s = Scene(lab)
    taken = {host.daemon.key() for host in (s.h1, s.h2)}
    keys = [f"{PREFIX}/subnets/10.5.{number}.0-24" for number in range(1, 60)]
    keys = [key for key in keys if key not in taken]
    with lab.pinger(s.c1, s.c2) as pinger:
        for number, key in enumerate(keys, 1):
            lab.etcd.put(key, lease_value(f"192.0.2.{100 + number}", f"02:00:00:00:01:{number:02x}"))
        wait_for(lambda: len(set_elements(s.h1, "fabric-peers")) == 1 + len(keys), 5, "all are in")
        for key in keys:
            lab.etcd.delete(key)
        wait_for(lambda: set_elements(s.h1, "fabric-peers") == {s.h2.address}, 5, "all are out")
    assert pinger.lost == 0, pinger.report()
    assert stays(lambda: s.h1.daemon.metric("flannel_rules_healed_total") == 0, 0.2, "nothing was healed") is None


def test_a_peer_is_let_in_before_its_route_and_out_after_it(lab):
    """In the order of the daemon's own system calls."""
    if not shutil.which("strace"):
        pytest.skip("strace is not installed")
    lab.start_etcd()
    lab.configure()
    host = lab.host()
    daemon = host.make_daemon()
    trace = lab.directory / "trace"
    daemon.wrapper = ["strace", "-D", "-qq", "-v", "-s", "65536", "-e", "trace=sendto", "-o", trace]
    daemon.start().wait_ready()
    key, value = made_up_lease(7)
    lab.etcd.put(PREFIX + key, value)
    wait_for(lambda: len(set_elements(host, "fabric-peers")) == 1, 5, "the peer is in")
    daemon.wait_peers(1)
    lab.etcd.delete(PREFIX + key)
    wait_for(lambda: not set_elements(host, "fabric-peers"), 5, "the peer is out")
    words = ("NEWSETELEM", "RTM_NEWROUTE", "RTM_DELROUTE", "DELSETELEM")
    found = [word for line in trace.read_text().splitlines() for word in words if word in line]
    assert found == list(words)
