# SPDX-License-Identifier: Apache-2.0
"""DirectRouting: peers on the same link are routed to, the others get the tunnel, and that follows the kernel's routes."""

import pytest

import witness
from fabric import DUAL
from netns import wait_for

DIRECT = DUAL | {"Backend": {"Type": "vxlan", "DirectRouting": True}}


@pytest.fixture
def joined(lab):
    """h1 and h2 on one segment, h3 behind the router on the other."""
    lab.start_etcd()
    lab.configure(DIRECT)
    lab.second_segment()
    hosts = lab.host(), lab.host(), lab.host(segment=2)
    for host in hosts:
        host.start_daemon()
    for host in hosts:
        host.daemon.wait_peers(2)
    return hosts


def enough(pinger, each=15):
    target = pinger.sent + each * len(pinger.flows)
    wait_for(lambda: pinger.sent >= target, 10, "pings")


def families(peer):
    return (peer.daemon.subnet(), peer.address, "flannel.1"), (peer.daemon.subnet6(), peer.address6, "flannel-v6.1")


def objects(peer, direct):
    """What a host must have for this peer; `direct` is the device, or None for the tunnel. For both families."""
    expected = set()
    for subnet, address, device in families(peer):
        base = subnet.split("/", maxsplit=1)[0]
        if direct:
            expected.add(("route", direct, subnet, address))
        else:
            mac = peer.vtep_mac(device)
            expected |= {
                ("route", device, subnet, base), ("neighbour", device, base, mac), ("fdb", device, mac, address),
            }  # fmt: skip
    return expected


def has(host, *peers):
    """Waits until the host has exactly this: (peer, device or None) pairs and its own addresses."""
    own = {
        ("address", "flannel.1", host.daemon.subnet().replace("/24", "/32")),
        ("address", "flannel-v6.1", host.daemon.subnet6().replace("/64", "/128")),
    }
    want = own.union(*(objects(peer, direct) for peer, direct in peers))

    def equal():
        problem = witness.difference(want, host.objects())
        assert not problem, problem
        return True

    wait_for(equal, 3, f"the objects of {host.name}")


def test_direct_on_the_link_and_the_tunnel_behind_the_router(lab, joined):
    h1, h2, h3 = joined
    has(h1, (h2, "eth0"), (h3, None))
    has(h2, (h1, "eth0"), (h3, None))
    has(h3, (h1, None), (h2, None))
    with lab.pinger(*(host.container() for host in joined)) as pinger:
        enough(pinger)
    assert pinger.lost == 0, pinger.report()
    monitor = h1.monitor()
    h1.daemon.restart()
    h1.daemon.wait_peers(2)
    assert h1.daemon.metric("flannel_netlink_writes_total") == 0
    assert monitor.tunnel_events() == []


def test_a_changed_route_is_followed_both_ways_without_a_loss(lab, joined):
    """A host route over the router makes the peer a distant one, its deletion a near one again."""
    h1, h2, h3 = joined
    c1, c2, c3 = (host.container() for host in joined)
    for flag in ("accept_redirects",):
        h1.namespace.sysctl(f"net.ipv4.conf.all.{flag}", 0)
    with lab.pinger(c1, c2, c3) as pinger:
        for _ in range(3):
            h1.namespace.ip_do(f"route add {h2.address}/32 via 192.0.2.254")
            h1.namespace.ip_do(f"-6 route add {h2.address6}/128 via 2001:db8:1::fe")
            has(h1, (h2, None), (h3, None))
            enough(pinger, 10)
            h1.namespace.ip_do(f"route del {h2.address}/32")
            h1.namespace.ip_do(f"-6 route del {h2.address6}/128")
            has(h1, (h2, "eth0"), (h3, None))
            enough(pinger, 10)
        h1.daemon.wait_ok()
    assert pinger.lost == 0, pinger.report()


def test_a_second_leg_makes_a_distant_peer_a_near_one(lab, joined):
    h1, h2, h3 = joined
    c1, c3 = h1.container(), h3.container()
    with lab.pinger(c1, c3) as pinger:
        lab.cable(h1.namespace, "leg", "eth1", bridge="br1")
        h1.namespace.ip_batch(["addr add 198.51.100.1/24 dev eth1", "addr add 2001:db8:2::1/64 dev eth1 nodad"])
        has(h1, (h2, "eth0"), (h3, "eth1"))
        enough(pinger)
        h1.namespace.ip_batch(["addr del 198.51.100.1/24 dev eth1", "addr del 2001:db8:2::1/64 dev eth1"])
        has(h1, (h2, "eth0"), (h3, None))
        enough(pinger)
    # Addresses that are gone take routes over them along before anybody is told. That is seen to when the kernel tells of
    # the addresses, however busy the machine is, and not by the comparison half a minute later.
    late = {number for flow in pinger.flows for number in flow.lost()}
    assert len(late) < 200, pinger.report()


def test_a_flap_of_the_interface_that_direct_routes_use(lab, joined):
    h1, h2, h3 = joined
    for _ in range(2):
        h1.namespace.ip_do("link set eth0 down")
        h1.fill_eth0()
        has(h1, (h2, "eth0"), (h3, None))
    with lab.pinger(*(host.container() for host in joined)) as pinger:
        enough(pinger)
    assert pinger.lost == 0, pinger.report()


def test_turned_on_and_off_again(lab, joined):
    """Host after host restarts; the others use whatever they find, nothing is left behind, nothing is lost."""
    containers = [host.container() for host in joined]
    with lab.pinger(*containers) as pinger:
        lab.configure(DUAL)
        for host in joined:
            host.daemon.restart()
        lab.wait_equal()
        enough(pinger)
        lab.configure(DIRECT)
        for host in joined:
            host.daemon.restart()
        h1, h2, h3 = joined
        has(h1, (h2, "eth0"), (h3, None))
        enough(pinger)
    assert pinger.lost == 0, pinger.report()
