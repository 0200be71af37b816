# SPDX-License-Identifier: Apache-2.0
"""The fast path: packets between containers past bridge, routing and packet filter, and never the wrong ones."""

import contextlib
import errno
import ipaddress
import os
import random as randomness
import re
import select
import signal
import socket
import threading

import pytest

import fast_path
import packets
import test_traffic
from fabric import BRIDGE_MAC, DUAL, FABRICCTL
from netns import SLOWNESS, stays, wait_for
from traffic import Echo, family_of, mac_bytes, seen, udp, wait_addresses


class World:
    """Two hosts with the fast path on; two containers on the first, one on the second."""

    def __init__(self, lab, **flags):
        self.lab = lab
        lab.start_etcd()
        lab.configure(DUAL)
        self.h1, self.h2 = fast_path.start(lab, **flags)
        self.c1, self.c3 = self.h1.container(), self.h1.container()
        self.c2 = self.h2.container()
        for namespace in lab.namespaces:
            wait_addresses(namespace)
        fast_path.wait_known(self.c1, self.c2, self.c3)
        fast_path.wait_on(self.h1, self.h2)


@pytest.fixture
def world(lab):
    return World(lab, ip_masq=True)


def test_datagrams_take_it(world):
    before = [fast_path.taken(h) for h in (world.h1, world.h2)]
    for a, b in ((world.c1.address, world.c2.address), (world.c1.address6, world.c2.address6)):
        assert seen(world.c1.namespace, b, world.c2.namespace) == a
        assert seen(world.c2.namespace, a, world.c1.namespace) == b
    now = [fast_path.taken(h) for h in (world.h1, world.h2)]
    for b, n in zip(before, now):
        assert n["out"] >= b["out"] + 2 and n["in"] >= b["in"] + 2


def other_rules(host, verb):
    """Somebody else's rules, which accept everything: for their sake the path is off."""
    if verb == "add":
        host.namespace.nft("table inet other { chain c { type filter hook forward priority 5; counter accept; }; }")
    else:
        host.namespace.nft("delete table inet other")


def unlimited_errors(host):
    for key, value in (("ipv4.icmp_ratelimit", 0), ("ipv4.icmp_ratemask", 0), ("ipv6.icmp.ratelimit", 0)):
        host.namespace.sysctl(f"net.{key}", value)
    for key in ("icmp_msgs_per_sec", "icmp_msgs_burst"):
        with contextlib.suppress(OSError):  # of the whole machine, in older kernels
            host.namespace.sysctl(f"net.ipv4.{key}", 1 << 20)


def show_difference(a, b):
    only = [f"only {name}: {f.hex()[:240]}" for name, x, y in (("fast", a, b), ("ordinary", b, a)) for f in sorted(set(x) - set(y))[:5]]
    return f"{len(a)} and {len(b)} packets\n" + "\n".join(only)


@pytest.mark.parametrize("seed", range(4))
def test_random_packets_arrive_as_by_the_ordinary_way(lab, seed):
    """The same packets both ways, byte for byte, at every container; what is wrong with some is met by the same answer."""
    count = int(os.environ.get("FAST_PATH_PACKETS", "5000"))
    random = randomness.Random(seed)
    # Without masquerade, which chooses ports at random; but connections are tracked, for the sake of this.
    world = World(lab)
    for host in (world.h1, world.h2):
        host.namespace.nft("table inet nat { chain c { type nat hook postrouting priority srcnat; ip daddr 203.0.113.1 masquerade; }; }")
        unlimited_errors(host)
    # What arrives is not answered: only what the hosts say of packets is of interest.
    for c in (world.c1, world.c2, world.c3):
        c.namespace.nft("table inet s { chain i { type filter hook input priority 0; policy drop; icmpv6 type 135-136 accept; }; }")
    # Some packets are larger than the tunnel takes.
    for c, port in ((world.c1, "c2"), (world.c3, "c3")):
        c.namespace.ip_do("link set eth0 mtu 1500")
        world.h1.namespace.ip_do(f"link set {port} mtu 1500")
    gateways = [str(ipaddress.ip_interface(world.h1.daemon.environment_file()[k]).ip) for k in ("FLANNEL_SUBNET", "FLANNEL_IPV6_SUBNET")]
    destinations = {
        4: [gateways[0], "10.5.240.9", "192.0.2.2", "127.0.0.1", "224.0.0.9", "255.255.255.255", "0.0.0.0"],
        6: [gateways[1], "fd10:5:ffff::9", "2001:db8:1::2", "::1", "ff02::9", "::"],
    }
    ends = [packets.End(c) for c in (world.c1, world.c2, world.c3)]
    try:
        made = packets.frames(random, count, ends, BRIDGE_MAC, destinations)
        before = [fast_path.taken(h) for h in (world.h1, world.h2)]
        fast = packets.send_all(made, ends)
        now = [fast_path.taken(h) for h in (world.h1, world.h2)]
        for host in (world.h1, world.h2):
            other_rules(host, "add")
            fast_path.wait_off(host, "other")
        ordinary = packets.send_all(made, ends)
    finally:
        for end in ends:
            end.close()
    for name, a, b in zip("c1 c2 c3".split(), fast, ordinary):
        assert a == b, f"{name}: {show_difference(a, b)}"
        assert len(a) > count / 8
    for b, n, ways in zip(before, now, (("out", "in", "local"), ("out", "in"))):
        for way in ways:
            assert n[way] - b[way] > count / 40, (way, b, n)


# ---- off where somebody else would judge the packets

OBSTACLES = {
    "forward": ("table inet other { chain c { type filter hook forward priority 5; counter accept; }; }", "chain c of table inet other"),
    "policy": ("table ip other { chain c { type filter hook forward priority 5; policy drop; ip saddr 10.5.0.0/16 accept; }; }", "table ip other"),
    "prerouting": ("table ip6 other { chain c { type filter hook prerouting priority -150; counter; }; }", "table ip6 other"),
    "bridge": ("table bridge other { chain c { type filter hook forward priority 0; counter; }; }", "table bridge other"),
    "ingress": ('table netdev other { chain c { type filter hook ingress device "cni0" priority 0; counter; }; }', "table netdev other"),
    "masquerade": (
        "table ip other { chain c { type nat hook postrouting priority srcnat; ip saddr 10.5.0.0/16 masquerade; }; }",
        "may translate",
    ),
    "redirect": ("table ip other { chain c { type nat hook prerouting priority dstnat; tcp dport 80 redirect to :8080; }; }", "may translate"),
}


@pytest.mark.parametrize("name", OBSTACLES)
def test_rules_of_others_turn_it_off(world, name):
    rules, reason = OBSTACLES[name]
    world.h1.namespace.nft(rules)
    fast_path.wait_off(world.h1, reason, 3)
    before = fast_path.taken(world.h1)
    # Where bridged packets are translated too, the address is another.
    assert seen(world.c1.namespace, world.c3.address, world.c3.namespace)
    assert fast_path.taken(world.h1) == before
    assert fast_path.status(world.h2)["on"]
    assert "fast-path-off" in world.h1.daemon.problems()
    table = rules.split("{")[0]
    world.h1.namespace.nft(f"delete {table}")
    fast_path.wait_on(world.h1, deadline_s=3)
    assert seen(world.c1.namespace, world.c3.address, world.c3.namespace) == world.c1.address
    assert fast_path.taken(world.h1) != before


@pytest.mark.parametrize("program", ["iptables", "iptables-legacy", "ip6tables-legacy"])
def test_rules_of_iptables_turn_it_off(world, program):
    """In the old form too, which the kernel reports to nobody."""
    world.h1.namespace.run(program, "-A", "FORWARD", "-j", "ACCEPT")
    fast_path.wait_off(world.h1, "FORWARD" if program == "iptables" else "legacy", 3)
    world.h1.namespace.run(program, "-D", "FORWARD", "-j", "ACCEPT")
    # An empty chain is nobody's word.
    fast_path.wait_on(world.h1, deadline_s=3)


def test_what_does_not_concern_it_leaves_it_on(world):
    """Chains without rules, chains for the host's own packets, and translation of other addresses."""
    world.h1.namespace.nft(
        "table inet other {"
        " chain a { type filter hook forward priority 5; };"
        " chain b { type filter hook input priority 5; counter; };"
        " chain d { type filter hook output priority 5; counter; };"
        " chain e { type nat hook prerouting priority dstnat; ip daddr 10.96.0.10 tcp dport 80 counter dnat ip to 10.5.1.2:8080; };"
        " chain f { type nat hook postrouting priority srcnat; ip saddr 10.5.0.0/16 ip daddr != 10.5.0.0/16 masquerade; };"
        "}"
    )
    stays(lambda: fast_path.status(world.h1)["on"], 1, "the path is on")
    assert "fast path: off" not in world.h1.daemon.log()


def test_policies_of_ipsec_turn_it_off(world):
    world.h1.namespace.ip_do("xfrm policy add src 10.5.0.0/16 dst 10.5.0.0/16 dir fwd priority 9")
    fast_path.wait_off(world.h1, "IPsec", 3)
    world.h1.namespace.ip_do("xfrm policy flush")
    fast_path.wait_on(world.h1, deadline_s=3)


# ---- translated connections


def test_service_addresses(world):
    """As kube-proxy makes them: an address that leads to a container elsewhere and one here, for clients of both hosts."""
    targets = {"10.96.0.10": world.c2, "10.96.0.11": world.c3}
    for host in (world.h1, world.h2):
        lines = [f"ip daddr {vip} tcp dport 80 dnat to {c.address}:8080;" for vip, c in targets.items()]
        host.namespace.nft(
            "table ip kube { chain pre { type nat hook prerouting priority dstnat; %s };"
            " chain post { type nat hook postrouting priority srcnat; meta mark & 0x4000 == 0x4000 masquerade; }; }" % " ".join(lines)
        )
    assert all(fast_path.status(h)["on"] for h in (world.h1, world.h2))
    for vip, server in targets.items():
        clients = [c for c in (world.c1, world.c2, world.c3) if c is not server]
        if server is world.c3:
            # A container of the same bridge answers past the host, which could not translate it back: so it is without, too.
            clients.remove(world.c1)
        for client in clients:
            with server.namespace.entered():
                listener = socket.create_server((server.address, 8080))
            with listener, client.namespace.connect(vip, 80) as connection:
                peer, address = listener.accept()
                with peer:
                    assert address[0] == client.address
                    check_stream(connection, peer)
                    # The same two ends without translation, at the same time, and fast.
                    before = fast_path.taken(client.host)
                    with client.namespace.connect(server.address, 8080) as direct:
                        other, address = listener.accept()
                        with other:
                            assert address[0] == client.address
                            check_stream(direct, other)
                    assert fast_path.taken(client.host)["out"] > before["out"]
                    check_stream(connection, peer)


def test_published_ports_and_the_way_out(world):
    """A port of the host that leads to a container, and what leaves the network: both translated, both as ever."""
    world.h1.namespace.nft(
        "table ip maps { chain pre { type nat hook prerouting priority dstnat;"
        f" ip daddr {world.h1.address} tcp dport 8081 dnat to {world.c1.address}:8080; }}; }}"
    )
    assert fast_path.status(world.h1)["on"]
    outside = world.lab.underlay
    with world.c1.namespace.entered():
        listener = socket.create_server((world.c1.address, 8080))
    with listener:
        for client in (outside, world.c2.namespace):
            with client.connect(world.h1.address, 8081) as connection:
                peer, _ = listener.accept()
                with peer:
                    check_stream(connection, peer)
    with Echo(outside, world.c1.namespace, "192.0.2.254") as echo:
        assert echo.peer[0] == world.h1.address and echo.works()


def check_stream(a, b, size=300000):
    """Bytes of more than a few segments each way, as sent."""
    for one, other in ((a, b), (b, a)):
        data = os.urandom(size)
        sender = threading.Thread(target=one.sendall, args=(data,))
        sender.start()
        other.settimeout(20 * SLOWNESS)
        got = b""
        while len(got) < size:
            got += other.recv(size - len(got))
        sender.join()
        assert got == data


def test_streams_take_it(world):
    """TCP with large aggregates, both families, across hosts and on one; nothing is lost or altered, and it is the fast path."""
    for server in (world.c2, world.c3):
        for address in server.addresses:
            way = "local" if server is world.c3 else "out"
            before = fast_path.taken(world.h1)
            with Echo(server.namespace, world.c1.namespace, address) as echo:
                check_stream(echo.client, echo.server, 5000000)
            assert fast_path.taken(world.h1)[way] > before[way] + 20


# ---- what the kernel would say on the way


def test_hops_and_sizes_are_answered(world):
    """A packet that ends on the way, or is too large, is met by the same error as ever."""
    c1, c2 = world.c1.namespace, world.c2
    for address, v in ((c2.address, 4), (c2.address6, 6)):
        assert "Time to live exceeded" in c1.run("ping", f"-{v}", "-c1", "-t1", "-W5", address, check=False).stdout or v == 6
        gateway = c1.run("ip", f"-{v}", "route", "show", "default").split()[2]
        assert ends_at(c1, address, 1) == gateway
        assert ends_at(c1, address, 2) not in (None, gateway)
    c1.ip_do("link set eth0 mtu 1500")
    world.h1.namespace.ip_do("link set c2 mtu 1500")
    for address in (c2.address, c2.address6):
        with c1.socket(family_of(address), socket.SOCK_DGRAM) as s:
            v6 = family_of(address) == socket.AF_INET6
            s.setsockopt(socket.IPPROTO_IPV6 if v6 else socket.IPPROTO_IP, 23 if v6 else 10, 2)  # MTU_DISCOVER, DO
            s.connect((address, 7000))

            def too_large(s=s):
                with contextlib.suppress(ConnectionError):
                    s.send(b"x" * 1440)
                return False

            def refused():
                try:
                    return too_large()
                except OSError as e:
                    return e.errno == errno.EMSGSIZE

            wait_for(refused, 5, "the size of the way is told")


def ends_at(namespace, address, hops):
    """The address of who says that a datagram ended there."""
    v6 = family_of(address) == socket.AF_INET6
    with namespace.socket(family_of(address), socket.SOCK_DGRAM) as s:
        s.setsockopt(socket.IPPROTO_IPV6 if v6 else socket.IPPROTO_IP, 16 if v6 else socket.IP_TTL, hops)
        s.setsockopt(socket.IPPROTO_IPV6 if v6 else socket.IPPROTO_IP, 25 if v6 else 11, 1)  # RECVERR
        s.settimeout(0.5)

        def told():
            with contextlib.suppress(OSError):
                s.sendto(b"x", (address, 7000))
            select.select([s], [], [], 0.5)
            _, ancillary, _, _ = s.recvmsg(512, 512, socket.MSG_ERRQUEUE)
            data = ancillary[0][2]
            return socket.inet_ntop(family_of(address), data[24:40] if v6 else data[20:24])

        return wait_for(told, 10, f"an error from hop {hops}")


# ---- containers that move


def test_an_address_moves_to_another_link(world):
    """To a container with another interface: packets arrive there, and not where the address was."""
    h1, c1, c3, c2 = world.h1, world.c1, world.c3, world.c2
    assert seen(c2.namespace, c3.address, c3.namespace) == c2.address
    c3.namespace.ip_do(f"addr del {c3.address}/24 dev eth0")
    c1.namespace.ip_do(f"addr add {c3.address}/24 dev eth0")
    announce(c1, c3.address)
    wait_for(lambda: seen(c2.namespace, c3.address, c1.namespace, tries=1), 5, "the new one gets what is sent to it")
    before = fast_path.taken(h1)

    def arrives_fast():
        assert seen(c2.namespace, c3.address, c1.namespace) == c2.address
        return fast_path.taken(h1)["in"] > before["in"]

    wait_for(arrives_fast, 5, "it is known at its new place")


def announce(container, address):
    """By an ARP answer to all, as the CNI plugin does it."""
    mac = mac_bytes(next(link["address"] for link in container.namespace.ip("link", "show") if link["ifname"] == "eth0"))
    ip = socket.inet_aton(address)
    with container.namespace.socket(socket.AF_PACKET, socket.SOCK_RAW) as s:
        s.bind(("eth0", 0x0806))
        s.send(b"\xff" * 6 + mac + bytes.fromhex("08060001080006040002") + mac + ip + mac + ip)


@pytest.mark.parametrize("daemon", ["runs", "stopped"])
def test_a_container_is_replaced(world, daemon):
    """By one of the same address and MAC address, behind another link, also while no daemon is there to notice."""
    c2, c3, h1 = world.c2, world.c3, world.h1
    mac = next(link["address"] for link in c3.namespace.ip("link", "show") if link["ifname"] == "eth0")
    assert seen(c2.namespace, c3.address, c3.namespace) == c2.address
    if daemon == "stopped":
        assert h1.daemon.stop() == 0
    h1.namespace.ip_do("link del c3")
    h1.namespace.ip_batch(
        [f"link add c9 mtu 1430 type veth peer name eth0 mtu 1430 address {mac} netns {c3.namespace.name}", "link set c9 master cni0 up"]
    )
    gateway = h1.daemon.environment_file()["FLANNEL_SUBNET"].split("/")[0]
    c3.namespace.ip_batch(["link set eth0 up", f"addr add {c3.address}/24 dev eth0", f"route add default via {gateway}"])
    h1.namespace.wait_forwarding("c9")
    c3.namespace.run("ping", "-c1", "-W5", gateway)
    assert seen(c2.namespace, c3.address, c3.namespace) == c2.address
    assert seen(world.c1.namespace, c3.address, c3.namespace) == world.c1.address
    assert seen(c3.namespace, c2.address, c2.namespace) == c3.address


def test_a_container_cannot_take_anothers_address(world):
    """What it sends with another source is not shortened: the ordinary way decides."""
    c1, c2, c3 = world.c1, world.c2, world.c3
    before = fast_path.outcomes(world.h1)
    with c1.namespace.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as s:
        s.sendto(udp(c3.address, c2.address, 7000, b"forged"), (c2.address, 0))
    now = fast_path.outcomes(world.h1)
    assert now["source"] == before["source"] + 1 and now["out"] == before["out"]


# ---- others at the same devices


def test_others_at_tc_are_not_passed_by(world):
    """A filter or a queue at a container's link or at the bridge: those packets go the ordinary way, until it is gone."""
    h1, c1, c2 = world.h1.namespace, world.c1, world.c2
    for device, refused in (("c2", 2), ("cni0", 1)):
        h1.run("tc", "qdisc", "add", "dev", device, "clsact")
        wait_for(lambda: fast_path.status(world.h1)["refused"] == refused, 3, "the container is left out")
        assert device in fast_path.status(world.h1)["refusedReason"]
        before = fast_path.taken(world.h1)
        assert seen(c1.namespace, c2.address, c2.namespace) == c1.address
        assert seen(c2.namespace, c1.address, c1.namespace) == c2.address
        assert fast_path.taken(world.h1) == before
        h1.run("tc", "qdisc", "del", "dev", device, "clsact")
        wait_for(lambda: fast_path.status(world.h1)["containers"] == 4, 3, "all are in again")
    h1.run("tc", "qdisc", "add", "dev", "flannel.1", "clsact")
    fast_path.wait_off(world.h1, "flannel.1 has a queue of kind clsact", 3)
    h1.run("tc", "qdisc", "del", "dev", "flannel.1", "clsact")
    fast_path.wait_on(world.h1, deadline_s=3)


def test_others_at_tcx_are_not_passed_by(world):
    """The same of programs that share the hook with ours, and that the kernel reports to nobody."""
    for device, refused in (("c2", 2), ("cni0", 1)):
        stranger = fast_path.attach_stranger(world.h1, device)
        wait_for(lambda: fast_path.status(world.h1)["refused"] == refused, 4, "the container is left out")
        before = fast_path.taken(world.h1)
        assert seen(world.c1.namespace, world.c2.address, world.c2.namespace) == world.c1.address
        assert fast_path.taken(world.h1) == before
        os.close(stranger)
        wait_for(lambda: fast_path.status(world.h1)["containers"] == 4, 4, "all are in again")
    stranger = fast_path.attach_stranger(world.h1, "flannel.1")
    fast_path.wait_off(world.h1, "flannel.1 has a program at tcx that is not ours", 4)
    os.close(stranger)
    fast_path.wait_on(world.h1, deadline_s=4)


# ---- the daemon comes and goes


def test_it_outlives_the_daemon(world):
    """Stopped, killed, started again: not a datagram is lost, and all the time they take the path."""
    c1, c2, h1 = world.c1, world.c2, world.h1
    with fast_path.Datagrams(c1, c2) as stream:
        h1.daemon.restart()
        h1.daemon.kill()
        before = stream.received()
        wait_for(lambda: stream.received() > before + 50, 5, "datagrams arrive without a daemon")
        h1.daemon.start().wait_ready()
        fast_path.wait_on(h1)
    assert stream.lost() == 0
    # Nearly all: those of the moment when a new daemon has not looked yet are among them.
    assert fast_path.taken(h1)["out"] > stream.sent * 0.9


def test_off_takes_all_of_it_away(world):
    """By the option, and when the network is another: nothing of it is left in the kernel."""
    directory = fast_path.directory(world.h1)
    assert (directory / "settings").exists()
    # What a daemon of this host left for a network that it is no longer in.
    other = directory.with_name("flannel_7")
    other.mkdir()
    (other / "owner").symlink_to(os.readlink(directory / "owner"))
    stranger = directory.with_name("flannel_8")
    stranger.mkdir()
    (stranger / "owner").symlink_to("flanneld 0000000000000000")
    world.h1.daemon.flags["fast_path"] = "auto"
    world.h1.daemon.restart()
    wait_for(lambda: not directory.exists() and not other.exists(), 5, "the pins are gone")
    assert stranger.exists()
    before = fast_path.taken(world.h2)
    assert seen(world.c1.namespace, world.c2.address, world.c2.namespace) == world.c1.address
    assert fast_path.taken(world.h2)["in"] > before["in"]
    status = fast_path.status(world.h1)
    assert not status["on"] and "auto" in status["reason"]
    assert "fast-path-off" not in world.h1.daemon.problems()


def test_who_sees_whom(lab):
    """The table of the traffic rules' tests."""
    fast_path.mount(lab)
    w = test_traffic.World(lab, "nftables", fast_path="on")
    fast_path.skip_without(w.h1)
    fast_path.wait_known(w.c1, w.c2, w.c3)
    fast_path.wait_on(w.h1, w.h2)
    for version in (4, 6):
        test_traffic.check_table(w, version)
    assert fast_path.taken(w.h1)["out"] and fast_path.taken(w.h1)["local"] and fast_path.taken(w.h2)["in"]


def test_two_networks_on_one_host(lab):
    """Each has its programs, and neither takes the other's packets."""
    lab.start_etcd()
    lab.configure(DUAL)
    lab.configure({"Network": "10.6.0.0/16", "Backend": {"Type": "vxlan", "VNI": 2, "Port": 8473}}, prefix="/second")
    h1, h2 = fast_path.start(lab)
    for h in (h1, h2):
        h.start_daemon("second", etcd_prefix="/second", fast_path="on")
    for h in (h1, h2):
        h.daemons["second"].wait_peers(1)
    a1, a2 = h1.container(), h2.container()
    b1, b2 = (second_container(h) for h in (h1, h2))
    fast_path.wait_known(a1, a2)
    for name in ("", "second"):
        for h in (h1, h2):
            wait_for(lambda h=h, name=name: h.daemons[name].status()["fastPath"]["on"], 10, f"{h.name} {name} is on")
    for x, y in ((a1, a2), (b1, b2)):
        assert seen(x.namespace, y.address, y.namespace) == x.address
        assert seen(y.namespace, x.address, x.namespace) == y.address
    for daemon in h1.daemons.values():
        wait_for(lambda d=daemon: d.status()["fastPath"]["containers"] > 0, 5, "its container is known")
        assert len(list((daemon.flags["fast_path_dir"]).iterdir())) == 1


def second_container(host):
    environment = host.daemons["second"].environment_file()
    host.bridge_for(environment, "cni1")
    before = host.bridge_for
    host.bridge_for = lambda e: before(e, "cni1")
    try:
        container = host.container(host.daemons["second"])
    finally:
        del host.bridge_for
    host.containers.remove(container)
    gateway = container.namespace.run("ip", "-4", "route", "show", "default").split()[2]
    container.namespace.run("ping", "-c1", "-W5", gateway)
    return container


def test_it_is_put_right(world):
    """What others do to its maps and links is undone, and counted."""
    h1 = world.h1
    directory = fast_path.directory(h1)
    number = next(link["ifindex"] for link in h1.namespace.ip("link", "show") if link["ifname"] == "c2")
    (directory / f"link-{number}").unlink()
    wait_for(lambda: (directory / f"link-{number}").exists(), 5, "the link is back")
    h1.daemon.process.send_signal(signal.SIGSTOP)
    fast_path.take_out(h1, world.c1.address)
    h1.daemon.process.send_signal(signal.SIGCONT)
    wait_for(lambda: fast_path.status(h1)["healed"] == 1, 5, "the address is back")
    assert h1.daemon.metric("flannel_fast_path_healed_total") == 1
    before = fast_path.taken(h1)
    assert seen(world.c1.namespace, world.c2.address, world.c2.namespace) == world.c1.address
    assert fast_path.taken(h1)["out"] > before["out"]


def test_a_trace_sees_what_it_passes_by(world):
    """Packets that are sent along are not called lost where they did not come by."""
    arguments = (FABRICCTL, "--socket", world.h1.daemon.socket_path, "trace", world.c1.address, world.c2.address)
    text = world.h1.namespace.run(*arguments, "--live", "--proto", "tcp", "--port", "9", env=os.environ | world.h1.daemon.environment)
    assert "sent: arrived: " in text and re.search(r"there  cni0 +0, passed by on the fast path", text)


def test_auto_is_off(lab):
    lab.start_etcd()
    lab.configure()
    h1, h2 = lab.hosts(2, daemons=True)
    assert h1.daemon.status()["fastPath"]["mode"] == "auto" and not h1.daemon.status()["fastPath"]["on"]
    assert not h1.namespace.run("tc", "qdisc", "show").count("clsact")


@pytest.mark.skipif(fast_path.kernel_has_tcx(), reason="this kernel can")
def test_where_the_kernel_cannot_it_is_off_and_said(lab):
    lab.mount_bpf()
    lab.start_etcd()
    lab.configure(DUAL)
    h1, h2 = lab.hosts(2, daemons=True, fast_path="on")
    c1, c2 = h1.container(), h2.container()
    fast_path.wait_off(h1, "Linux 6.6", 5)
    assert "fast-path-off" in h1.daemon.problems()
    assert seen(c1.namespace, c2.address, c2.namespace) == c1.address


@pytest.mark.parametrize("backend", [{"Type": "host-gw"}, {"Type": "vxlan", "DirectRouting": True}])
def test_other_ways_to_peers(lab, backend):
    """There is no tunnel to lead into: all goes the ordinary way, and arrives."""
    lab.start_etcd()
    lab.configure(DUAL | {"Backend": backend})
    h1, h2 = fast_path.start(lab)
    c1, c2 = h1.container(), h2.container()
    assert seen(c1.namespace, c2.address, c2.namespace) == c1.address
    assert seen(c2.namespace, c1.address, c1.namespace) == c2.address
    assert fast_path.taken(h1)["out"] == fast_path.taken(h2)["in"] == 0
    if backend["Type"] == "host-gw":
        fast_path.wait_off(h1, "no tunnel")
