# SPDX-License-Identifier: Apache-2.0
"""host-gw: every peer is the gateway to its subnet, as long as it is on the same link. And alloc: no data path at all."""

import json
import re

import pytest

from fabric import APART, DUAL
from fabricctl_support import ask
from netns import stays, wait_for

HOST_GW = {"Backend": {"Type": "host-gw"}}


@pytest.fixture
def gw3(lab):
    lab.start_etcd()
    lab.configure(DUAL | HOST_GW)
    return lab.hosts(3, daemons=True)


def enough(pinger, each=15):
    target = pinger.sent + each * len(pinger.flows)
    wait_for(lambda: pinger.sent >= target, 10, "pings")


def routes(host):
    """{(destination, gateway, device)} of the routes with our protocol, both families; altered ones have more."""
    return {
        (r["dst"], r.get("gateway"), r.get("dev"), *map(str, r.get("metrics", [])))
        for family in ("-4", "-6")
        for r in host.namespace.ip(family, "route", "show")
        if str(r.get("protocol")) == "102"
    }


def wanted(hosts, host):
    """What they are by what the others' daemons say."""
    return {
        (subnet, address, "eth0")
        for other in hosts
        if other is not host
        for subnet, address in ((other.daemon.subnet(), other.address), (other.daemon.subnet6(), other.address6))
    }


def heals(hosts, host, within_s=1.0):
    wait_for(lambda: routes(host) == wanted(hosts, host), within_s, "all routes, and no others")


def test_containers_reach_each_other_in_both_families(lab, gw3):
    with lab.pinger(*(host.container() for host in gw3)) as pinger:
        assert len(pinger.flows) == 12
        enough(pinger)
    assert pinger.lost == 0, pinger.report()
    for host in gw3:
        heals(gw3, host)
        assert not [link for link in host.namespace.ip("link", "show") if link["ifname"].startswith("flannel")]


def test_a_peer_with_a_smaller_underlay(lab, gw3):
    """The routes to it say how large packets may be; its own containers keep the MTU that they have."""
    h1, h2, h3 = gw3
    c1 = h1.container()
    h1.namespace.ip_do("link set eth0 mtu 1400")
    small = {(subnet, gateway, "eth0", "{'mtu': 1400}") for subnet, gateway, _ in wanted(gw3, h2) & wanted(gw3, h3)}
    assert len(small) == 2
    wait_for(lambda: small < routes(h2) and small < routes(h3), 5, "the routes to it have its MTU")
    assert len(routes(h2)) == 4 and not [r for r in routes(h1) if "mtu" in str(r)]
    wait_for(lambda: "containers-mtu" in h1.daemon.problems(), 5, "it is said")
    c2 = h2.container()
    answer = c2.namespace.run("ping", "-c2", "-i0.2", "-W1", "-s1450", "-M", "do", c1.address, check=False)
    assert "mtu = 1400" in answer.stdout or "mtu=1400" in answer.stdout + answer.stderr, answer.stdout
    h1.namespace.ip_do("link set eth0 mtu 1500")
    heals(gw3, h2, 5)
    wait_for(lambda: "containers-mtu" not in h1.daemon.problems(), 5, "it is over")


def test_lease_and_subnet_env_are_flannels(lab, gw3):
    h1 = gw3[0]
    record = lab.etcd.get(h1.daemon.key())
    value = {"PublicIP": h1.address, "PublicIPv6": h1.address6, "BackendType": "host-gw"}
    assert record.value.startswith(json.dumps(value, separators=(",", ":"))[:-1] + ',"Node":{"ID":')
    assert h1.daemon.environment_file()["FLANNEL_MTU"] == "1500"


def test_a_second_start_writes_nothing_and_loses_nothing(lab, gw3):
    h1, h2, _ = gw3
    monitor = h1.monitor()
    with lab.pinger(h1.container(), h2.container()) as pinger:
        monitor.events()
        h1.daemon.restart()
        h1.daemon.wait_peers(2)
        enough(pinger)
    assert pinger.lost == 0, pinger.report()
    assert h1.daemon.metric("flannel_netlink_writes_total") == 0
    assert not [e for e in monitor.events() if e[0].startswith("route")]


@pytest.mark.slow
def test_deleted_altered_and_stray_routes_heal(gw3):
    h1, h2, _ = gw3
    subnet, subnet6 = h2.daemon.subnet(), h2.daemon.subnet6()
    for line in (
        f"route del {subnet}",
        f"-6 route del {subnet6}",
        f"route replace {subnet} via 192.0.2.254 proto static",
        f"route replace {subnet} nexthop via 192.0.2.254 nexthop via 192.0.2.253",
        f"route replace {subnet} via {h2.address} proto 102 mtu 600",
        f"-6 route replace {subnet6} via 2001:db8:1::fe proto 102",
        "route add 10.5.99.0/24 via 192.0.2.254 proto 102",
        "route flush proto 102",
        "-6 route flush proto 102",
    ):
        h1.namespace.ip_do(line)
        heals(gw3, h1)
        assert len(h1.namespace.ip("route", "show", subnet)) == 1, line
    h1.daemon.wait_ok()


def test_a_flap_of_the_underlay_interface_takes_no_route_for_long(gw3):
    """The kernel drops the routes of an interface that is set down, the IPv4 ones without a notification."""
    h1 = gw3[0]
    for _ in range(3):
        h1.namespace.ip_do("link set eth0 down")
        h1.fill_eth0()
        heals(gw3, h1)
    # Both at once, so that the daemon never sees it down.
    h1.namespace.ip_batch(["link set eth0 down", "link set eth0 up", f"addr add {h1.address6}/64 dev eth0 nodad"])
    heals(gw3, h1)


def test_a_peer_behind_a_router_is_ignored_until_it_is_on_the_link(lab):
    lab.start_etcd()
    lab.configure(APART | HOST_GW)
    lab.second_segment()
    h1, h2, h3 = lab.host(), lab.host(), lab.host(segment=2)
    for host in (h1, h2, h3):
        host.start_daemon()
    for host in (h1, h2):
        host.daemon.wait_status(lambda s: s["peers"] == 2 and s["peersIgnored"] == 1)
        item = next(i for i in host.daemon.subnets() if i["publicIP"] == h3.address)
        assert item["kernel"] == "ignored"
        assert item["reason"] == f"{h3.address} is behind a router; host-gw needs it on the same link"
        assert len(routes(host)) == 1
        assert "peers-ignored" in host.daemon.problems()
    c1, c2 = h1.container(), h2.container()
    with lab.pinger(c1, c2) as pinger:
        # A second leg puts h1 and h3 on one link, and takes them apart again.
        lab.cable(h1.namespace, "leg", "eth1", bridge="br1")
        h1.namespace.ip_do("addr add 198.51.100.1/24 dev eth1")
        wait_for(lambda: (h3.daemon.subnet(), h3.address, "eth1") in routes(h1), 3, "h3 is used")
        h1.daemon.wait_ok()
        h1.namespace.ip_do("addr del 198.51.100.1/24 dev eth1")
        wait_for(lambda: len(routes(h1)) == 1, 3, "h3 is not used any more")
        h1.daemon.wait_status(lambda s: s["peersIgnored"] == 1)
        enough(pinger)
    assert pinger.lost == 0, pinger.report()


def test_an_address_that_is_not_the_hosts_own_is_refused(lab):
    lab.start_etcd()
    lab.configure(APART | HOST_GW)
    daemon = lab.host().start_daemon(ready=False, public_ip="203.0.113.9")
    wait_for(lambda: "public-ip is 203.0.113.9" in daemon.request("/readyz")[1], 5, "/readyz says why")
    assert not lab.etcd.leases()


def test_alloc_leases_and_leaves_the_kernel_alone(lab):
    lab.start_etcd()
    lab.configure(DUAL | {"Backend": {"Type": "alloc"}})
    h1, h2 = lab.hosts(2)
    monitor = h1.monitor()
    for host in (h1, h2):
        host.start_daemon()
    h1.daemon.wait_peers(1)
    assert [e for e in monitor.events() if e[0] != "neighbour or FDB"] == []
    assert lab.etcd.get(h1.daemon.key()).value.startswith(
        f'{{"PublicIP":"{h1.address}","PublicIPv6":"{h1.address6}","Node":{{"ID":'
    )
    assert h1.daemon.environment_file()["FLANNEL_MTU"] == "1500"
    h1.daemon.wait_ok()
    assert h1.daemon.metric("flannel_netlink_writes_total") == 0
    # Whose device has our subnet's address is whoever makes the data path: not flannel, which left nothing.
    base = h1.daemon.subnet().split("/")[0]
    h1.namespace.ip_batch(
        ["link add mine0 type vxlan id 7 dstport 4789", f"addr add {base}/32 dev mine0", "link set mine0 up"]
    )
    for _ in range(2):
        ask(h1, "sync")
        h1.daemon.restart()
    assert h1.link("mine0")


def test_a_backend_that_we_do_not_have(lab):
    lab.start_etcd()
    lab.configure(APART | {"Backend": {"Type": "GRE"}})
    host = lab.host()
    daemon = host.start_daemon(ready=False)
    expected = 'Backend.Type is "gre", must be one of: vxlan, host-gw, '
    wait_for(lambda: expected in daemon.request("/readyz")[1], 5, "/readyz lists those we have")
    assert re.search(re.escape(expected), daemon.log())
    stays(lambda: not lab.etcd.leases(), 0.3, "nothing is leased")
    # It waits for a configuration that it can use.
    lab.configure(APART | HOST_GW)
    daemon.wait_ready()


def test_from_host_gw_to_vxlan_and_back_leaves_nothing_behind(lab, gw3):
    """Host after host with a new configuration; in between those with different backends ignore each other."""
    subnets = [host.daemon.subnet() for host in gw3]
    lab.configure(DUAL)
    gw3[0].daemon.restart()
    for host in gw3:
        host.daemon.wait_status(lambda s, n=(2 if host is gw3[0] else 1): s["peersIgnored"] == n)
    for host in gw3[1:]:
        host.daemon.restart()
    for host in gw3:
        host.daemon.wait_ok()
    assert not any(o[2] == "eth0" for host in gw3 for o in routes(host))
    lab.wait_equal()
    lab.configure(DUAL | HOST_GW)
    for host in gw3:
        host.daemon.restart()
    for host in gw3:
        heals(gw3, host, 3)
        assert not host.link() and not host.link("flannel-v6.1")
    assert [host.daemon.subnet() for host in gw3] == subnets
    with lab.pinger(*(host.container() for host in gw3)) as pinger:
        enough(pinger)
    assert pinger.lost == 0, pinger.report()
