# SPDX-License-Identifier: Apache-2.0
"""The default route moves to where no peer is: the fabric stays, says so, and loses nothing."""

import pytest

from netns import stays, wait_for


@pytest.fixture
def pair(lab):
    """Two hosts whose default route has a metric, as DHCP gives it, with a container each."""
    lab.start_etcd()
    lab.configure()
    h1, h2 = lab.hosts(2)
    for host in (h1, h2):
        host.namespace.ip_batch(["route del default", "route add default via 192.0.2.254 metric 100"])
    for host in (h1, h2):
        host.start_daemon()
    for host in (h1, h2):
        host.daemon.wait_peers(1)
    return h1, h2, h1.container(), h2.container()


VETH = ["link add v1 type veth peer name p1 netns {other}", "link set v1 up", "addr add 169.254.7.7/16 dev v1"]
VPN = ["link add vpn0 type bridge", "addr add 172.16.0.2/32 dev vpn0", "link set vpn0 up"]
DOCKER = ["link add docker0 type bridge", "addr add 172.17.0.1/16 dev docker0", "link set docker0 up"]
SHAPES = {
    "container": (VETH, "route add default dev v1 scope link", "v1"),
    "container without another default": (VETH, "route replace default dev v1 scope link metric 100", "v1"),
    "bridge": ([], "route add default dev cni0 metric 5", "cni0"),
    "bridge without another default": ([], "route replace default dev cni0 metric 100", "cni0"),
    "Docker's bridge without another default": (DOCKER, "route replace default dev docker0 metric 100", "docker0"),
    "VPN": (VPN, "route add default dev vpn0 metric 50", "vpn0"),
    "VPN without another default": (
        [*VPN, "route add 203.0.113.7/32 via 192.0.2.254"], "route replace default dev vpn0 metric 100", "vpn0"),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_default_route_that_leads_to_no_peer(lab, pair, shape):
    h1, h2, c1, c2 = pair
    before, route, name = SHAPES[shape]
    key = h1.daemon.key()
    with lab.pinger(c1, c2) as pinger:
        h1.namespace.ip_batch([line.format(other=c1.namespace.name) for line in before] + [route])
        problem = lambda: [p for p in h1.daemon.status()["problems"] if p["name"] == "default-route-elsewhere"]
        stays(lambda: lab.etcd.get(key).json["PublicIP"] == h1.address, 1, "the address is published")
        wait_for(problem, 3, "it is said")
        assert name in problem()[0]["text"] and problem()[0]["severity"] == "info"
        assert h1.daemon.status()["verdict"] == "ok"
        target = pinger.sent + 20
        wait_for(lambda: pinger.sent > target, 5, "pings")
        h1.daemon.restart()
        h1.daemon.wait_peers(1)
        target = pinger.sent + 20
        wait_for(lambda: pinger.sent > target, 5, "pings")
    assert pinger.lost == 0, pinger.report()
    assert lab.etcd.get(key).json["PublicIP"] == h1.address
    h1.namespace.ip_do(route.replace(" add ", " del ").replace(" replace ", " del "))
    h1.namespace.ip_do("route replace default via 192.0.2.254 metric 100")
    wait_for(lambda: not problem(), 3, "it is over")


def test_an_interface_that_is_named_is_used(lab, pair):
    h1 = pair[0]
    h1.namespace.ip_batch(VPN)
    h1.daemon.flags["iface"] = "vpn0"
    h1.daemon.restart()
    wait_for(lambda: lab.etcd.get(h1.daemon.key()).json["PublicIP"] == "172.16.0.2", 3, "the VPN's address is published")
