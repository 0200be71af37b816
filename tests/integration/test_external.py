# SPDX-License-Identifier: Apache-2.0
"""Which interface and address face the other hosts."""

import pytest

import cni_support
from fabric import DUAL
from netns import wait_for


@pytest.fixture
def host(lab):
    """eth0 with the default route and 192.0.2.1; eth1 and lan0 besides."""
    lab.start_etcd()
    lab.configure()
    host = lab.host()
    host.namespace.ip_batch(
        [
            "link add eth1 type bridge",
            "addr add 198.51.100.1/24 dev eth1",
            "addr add 198.51.100.2/24 dev eth1",
            "link set eth1 up",
            "link add lan0 type bridge",
            "addr add 203.0.113.1/24 dev lan0",
            "link set lan0 up",
            "route add 10.99.0.0/16 via 203.0.113.254",
        ]
    )
    return host


def chosen(lab, host):
    """(interface, published address, source of the tunnel)"""
    data = host.link()["linkinfo"]["info_data"]
    return data["link"], lab.etcd.get(host.daemon.key()).json["PublicIP"], data["local"]


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ({}, ("eth0", "192.0.2.1", "192.0.2.1")),
        ({"iface": "eth1"}, ("eth1", "198.51.100.1", "198.51.100.1")),
        ({"iface": "198.51.100.2"}, ("eth1", "198.51.100.2", "198.51.100.2")),
        ({"iface": ["none0", "lan0", "eth1"]}, ("lan0", "203.0.113.1", "203.0.113.1")),
        ({"iface_regex": r"^203\.0\."}, ("lan0", "203.0.113.1", "203.0.113.1")),
        ({"iface_regex": ["^nothing$", "^eth1$"]}, ("eth1", "198.51.100.1", "198.51.100.1")),
        ({"iface": "none0", "iface_regex": "lan"}, ("lan0", "203.0.113.1", "203.0.113.1")),
        ({"iface_can_reach": "10.99.3.4"}, ("lan0", "203.0.113.1", "203.0.113.1")),
        ({"iface_can_reach": "198.51.100.77"}, ("eth1", "198.51.100.1", "198.51.100.1")),
        ({"public_ip": "203.0.113.1"}, ("lan0", "203.0.113.1", "203.0.113.1")),
        ({"public_ip": "203.0.113.200"}, ("eth0", "203.0.113.200", "192.0.2.1")),
        ({"iface": "eth1", "public_ip": "203.0.113.200"}, ("eth1", "203.0.113.200", "198.51.100.1")),
        ({"iface": "eth1", "public_ip": "198.51.100.2"}, ("eth1", "198.51.100.2", "198.51.100.2")),
    ],
    ids=lambda v: " ".join(f"{k}={x}" for k, x in v.items()) or "default route" if isinstance(v, dict) else "",
)
def test_choice(lab, host, flags, expected):
    host.start_daemon(**flags)
    assert chosen(lab, host) == expected


@pytest.mark.parametrize(
    ("flags", "word"),
    [
        ({"iface": "none0"}, "none0"),
        ({"iface_regex": "^none$"}, "^none$"),
        ({"iface_regex": "["}, "["),
    ],
    ids=str,
)
def test_nothing_matches(lab, host, flags, word):
    daemon = host.start_daemon(ready=False, **flags)
    wait_for(lambda: word in daemon.request("/readyz")[1], 5, "/readyz names it")
    assert daemon.request("/readyz")[0] == 503
    assert not lab.etcd.leases()


def test_interface_that_comes_later(lab, host):
    daemon = host.start_daemon(ready=False, iface="late0")
    wait_for(lambda: "late0" in daemon.request("/readyz")[1], 5, "/readyz names it")
    host.namespace.ip_batch(["link add late0 type bridge", "addr add 203.0.113.77/24 dev late0", "link set late0 up"])
    daemon.wait_ready(10)
    assert chosen(lab, host) == ("late0", "203.0.113.77", "203.0.113.77")


def test_a_link_local_address_is_taken_only_if_it_is_asked_for(lab):
    """A host that found no DHCP server gives itself one; peers behind a router could not reach it."""
    lab.start_etcd()
    lab.configure()
    host = lab.host()
    host.namespace.ip_batch(
        [
            "link add eth1 type bridge",
            "link set eth1 up",
            "addr add 169.254.7.7/16 dev eth1",
            "route replace default dev eth1",
        ]
    )
    daemon = host.start_daemon(ready=False)
    wait_for(lambda: "link-local; choose it with iface" in daemon.request("/readyz")[1], 5, "/readyz says so")
    assert not lab.etcd.leases()
    daemon.stop()
    host.start_daemon("chosen", iface="eth1")
    assert [l.json["PublicIP"] for l in lab.etcd.leases()] == ["169.254.7.7"]


def test_no_default_route(lab):
    lab.start_etcd()
    lab.configure()
    host = lab.host()
    host.namespace.ip_do("route del default")
    daemon = host.start_daemon(ready=False)
    wait_for(lambda: "iface" in daemon.request("/readyz")[1], 5, "/readyz says what to do")
    host.namespace.ip_do("route add default via 192.0.2.254")
    daemon.wait_ready(10)


def test_address_behind_nat_carries_traffic(lab):
    """h2 publishes an address that only the underlay's router has and translates to h2's own."""
    lab.start_etcd()
    lab.configure()
    lab.underlay.sysctl("net.ipv4.ip_forward", 1)
    lab.underlay.ip_do("addr add 203.0.113.2/32 dev br0")
    lab.underlay.nft(
        """table ip nat {
            chain pre { type nat hook prerouting priority -100; ip daddr 203.0.113.2 dnat to 192.0.2.2; }
        }"""
    )
    h1, h2 = lab.hosts(2)
    h1.start_daemon()
    h2.start_daemon(public_ip="203.0.113.2")
    assert h2.link()["linkinfo"]["info_data"]["local"] == "192.0.2.2"
    for host in (h1, h2):
        host.daemon.wait_peers(1)
    assert any(o[0] == "fdb" and o[3] == "203.0.113.2" for o in h1.objects())
    with lab.pinger(h1.container(), h2.container()) as pinger:
        wait_for(lambda: pinger.sent > 20, 5, "pings")
    assert pinger.lost == 0, pinger.report()


@pytest.mark.parametrize("flags", [{"iface": "lo"}, {"public_ip": "203.0.113.9"}], ids=str)
def test_an_address_on_lo(lab, flags):
    """As routed hosts have it: packets with it leave by another interface, and must fit there."""
    lab.start_etcd()
    lab.configure()
    h1, h2 = lab.hosts(2)
    h1.namespace.ip_do("addr add 203.0.113.9/32 dev lo")
    h2.namespace.ip_do("route add 203.0.113.9/32 via 192.0.2.1")
    if "iface" in flags:
        h1.namespace.ip_do("route del default")  # then the narrowest way out counts
    h1.start_daemon(**flags)
    h2.start_daemon()
    for host in (h1, h2):
        host.daemon.wait_peers(1)
    assert h1.daemon.environment_file()["FLANNEL_MTU"] == "1450"
    assert lab.etcd.get(h1.daemon.key()).json["Node"]["MTU"] == 1500
    with lab.pinger(h1.container(), h2.container()) as pinger:
        wait_for(lambda: pinger.sent > 20, 5, "pings")
    assert pinger.lost == 0, pinger.report()
    h1.namespace.ip_do("link set eth0 mtu 1400")
    wait_for(lambda: h1.daemon.environment_file()["FLANNEL_MTU"] == "1350", 5, "its change is followed")


def dual(lab):
    lab.start_etcd()
    lab.configure(DUAL)
    return lab.host()


def published(lab):
    """PublicIPv6 of every lease in the store."""
    return [lease.json.get("PublicIPv6") for lease in lab.etcd.leases()]


@pytest.mark.parametrize("flags", [{}, {"iface": "eth0"}, {"public_ipv6": "2001:db8:1::1"}, {"iface_regex": "^2001:|^192"}], ids=str)
def test_a_duplicate_address_is_never_published(lab, flags):
    """Another host has it: nothing that we send from it would come back. Said, and over when the address is free."""
    host = dual(lab)
    host.namespace.sysctl("net.ipv6.conf.eth0.accept_dad", 1)
    host.namespace.ip_do(f"addr del {host.address6}/64 dev eth0")
    lab.underlay.ip_do(f"addr add {host.address6}/64 dev br0 nodad")
    host.namespace.ip_do(f"addr add {host.address6}/64 dev eth0")
    wait_for(lambda: "dadfailed" in host.namespace.run("ip", "-6", "addr", "show", "dev", "eth0"), 5, "DAD fails")
    daemon = host.start_daemon(ready=False, **flags)
    wait_for(lambda: f"another host has the address {host.address6} too" in daemon.request("/readyz")[1], 5, "it is said")
    assert not lab.etcd.leases()
    lab.underlay.ip_do(f"addr del {host.address6}/64 dev br0")
    host.namespace.ip_do(f"addr del {host.address6}/64 dev eth0")
    host.namespace.ip_do(f"addr add {host.address6}/64 dev eth0")
    daemon.wait_ready(15)
    assert published(lab) == [host.address6]


def test_a_tentative_address_is_waited_for(lab):
    host = dual(lab)
    host.namespace.sysctl("net.ipv6.conf.eth0.accept_dad", 1)
    host.namespace.sysctl("net.ipv6.conf.eth0.dad_transmits", 4)
    host.namespace.ip_do(f"addr del {host.address6}/64 dev eth0")
    host.namespace.ip_do(f"addr add {host.address6}/64 dev eth0")
    daemon = host.start_daemon(ready=False)
    wait_for(lambda: "is still tentative" in daemon.request("/readyz")[1], 3, "it is said")
    assert not lab.etcd.leases()
    daemon.wait_ready(15)
    assert published(lab) == [host.address6]


def test_an_interface_that_is_down_is_waited_for(lab, host):
    host.namespace.ip_do("link set eth1 down")
    daemon = host.start_daemon(ready=False, iface="eth1")
    wait_for(lambda: "interface eth1 is down" in daemon.request("/readyz")[1], 5, "it is said")
    assert not lab.etcd.leases()
    host.namespace.ip_do("link set eth1 up")
    daemon.wait_ready(15)


def problem_text(daemon, name):
    return next((p["text"] for p in daemon.status()["problems"] if p["name"] == name), "")


@pytest.mark.parametrize(
    ("switch", "flags", "backend"),
    [("all", {}, "vxlan"), ("eth0", {"iface": "eth0"}, "vxlan"), ("eth0", {}, "host-gw")],
    ids=str,
)
def test_ipv6_that_is_switched_off(lab, switch, flags, backend):
    """IPv4 goes on, and the switch is named; IPv6 comes when it is switched on."""
    lab.start_etcd()
    lab.configure(DUAL | {"Backend": {"Type": backend}})
    h1, h2 = lab.hosts(2)
    h2.start_daemon()
    h1.namespace.sysctl(f"net.ipv6.conf.{switch}.disable_ipv6", 1)
    h1.start_daemon(**flags)
    for host in (h1, h2):
        host.daemon.wait_peers(1)
        assert host.daemon.status()["peersIgnored"] == 0
    assert f"net.ipv6.conf.{switch}.disable_ipv6 is 1" in problem_text(h1.daemon, "ipv6-off")
    assert h1.daemon.status()["verdict"] == "degraded"
    assert "FLANNEL_IPV6_SUBNET" not in h1.daemon.environment_file()
    assert sorted(p or "" for p in published(lab)) == ["", h2.address6]
    c1, c2 = h1.container(), h2.container()
    c2.address6 = None  # the other has none
    with lab.pinger(c1, c2) as pinger:
        wait_for(lambda: pinger.sent > 20, 5, "pings")
    assert pinger.lost == 0, pinger.report()
    h1.namespace.sysctl(f"net.ipv6.conf.{switch}.disable_ipv6", 0)
    h1.fill_eth0()
    wait_for(lambda: "FLANNEL_IPV6_SUBNET" in h1.daemon.environment_file(), 10, "containers get IPv6")
    h1.daemon.wait_ok()
    wait_for(lambda: sorted(p or "" for p in published(lab)) == [h1.address6, h2.address6], 5, "it is published")
    wait_for(lambda: h2.namespace.ip("-6", "route", "show", h1.daemon.subnet6()), 5, "h2 has a route there")
    # As the plugin does with the next container.
    h1.namespace.ip_do(f"addr add {h1.daemon.environment_file()['FLANNEL_IPV6_SUBNET']} dev cni0 nodad")
    with lab.pinger(h1.container(), h2.container()) as pinger:
        wait_for(lambda: pinger.sent > 40, 5, "pings")
    assert pinger.lost == 0, pinger.report()


def test_a_link_local_address_gives_way(lab):
    """Where the interface is given it is used as long as there is no other, and the other may take its time."""
    lab.start_etcd()
    lab.configure(DUAL)
    (h1,) = lab.hosts(1)
    h1.namespace.sysctl("net.ipv6.conf.eth0.disable_ipv6", 1)
    h1.start_daemon(iface="eth0")
    h1.namespace.sysctl("net.ipv6.conf.eth0.disable_ipv6", 0)
    wait_for(lambda: str(published(lab)[0]).startswith("fe80:"), 10, "the link-local address is published")
    h1.fill_eth0()
    wait_for(lambda: published(lab) == [h1.address6], 5, "the global one is published")
    h1.daemon.wait_ok()


@pytest.mark.parametrize("delegate", [{}, {"type": "ptp"}], ids=["bridge", "ptp"])
def test_ipv6_that_is_off_for_new_devices(lab, delegate):
    """Not for eth0, which was there before: what is made for the fabric has it on, and has it again."""
    lab.start_etcd()
    lab.configure(DUAL)
    h1, h2 = lab.hosts(2)
    h1.namespace.sysctl("net.ipv6.conf.default.disable_ipv6", 1)
    for host in (h1, h2):
        host.start_daemon()
    for host in (h1, h2):
        host.daemon.wait_peers(1)
    c2 = h2.container()
    with cni_support.Host(existing=h1.namespace.name, subnet_file=h1.daemon.subnet_file) as runtime:
        c1 = runtime.namespace()
        runtime.add(runtime.flannel(delegate={"isDefaultGateway": True} | delegate), c1)
        c1.ping(c2.address6)
        h1.namespace.run("sysctl", "-qw", "net/ipv6/conf/flannel-v6.1/disable_ipv6=1")
        wait_for(lambda: "IPv6 is disabled" in h1.daemon.log(), 5, "the kernel refuses what is put back")
        lab.wait_equal(10)
        h1.daemon.wait_ok()
        c1.ping(c2.address6)


def test_ipv6_alone_that_is_switched_off_is_waited_for(lab):
    lab.start_etcd()
    lab.configure({"EnableIPv4": False, "EnableIPv6": True, "IPv6Network": "fd10:5::/48", "Backend": {"Type": "vxlan"}})
    host = lab.host()
    host.namespace.sysctl("net.ipv6.conf.eth0.disable_ipv6", 1)
    daemon = host.start_daemon(ready=False)
    wait_for(lambda: "net.ipv6.conf.eth0.disable_ipv6" in daemon.request("/readyz")[1], 5, "the switch is named")
    host.namespace.sysctl("net.ipv6.conf.eth0.disable_ipv6", 0)
    host.fill_eth0()
    daemon.wait_ready()


def move_ipv6_to_eth1(lab, host):
    lab.cable(host.namespace, f"h{host.number}b", "eth1")
    host.namespace.ip_batch([f"addr del {host.address6}/64 dev eth0", f"addr add {host.address6}/64 dev eth1 nodad",
                             "route replace default via 2001:db8:1::fe dev eth1"])


APART_FLAGS = [
    {"iface": ["eth0", "eth1"]},
    {"iface": ["192.0.2.1", "2001:db8:1::1"]},
    {"iface_regex": ["^192[.]0", "^2001:"]},
    {"iface_regex": "^eth[01]$"},
    {"iface_can_reach": "192.0.2.2"},
    {"public_ip": "192.0.2.1"},
]


def test_each_family_has_an_interface_of_its_own(lab):
    """IPv4 over eth0 and IPv6 over eth1: a start finds both, however it is told, every time, and packets go."""
    lab.start_etcd()
    lab.configure(DUAL)
    h1, h2 = lab.hosts(2)
    move_ipv6_to_eth1(lab, h1)
    h1.namespace.ip_do("link set eth1 mtu 1400")
    for host in (h1, h2):
        host.start_daemon()
    for host in (h1, h2):
        host.daemon.wait_peers(1)
    link = lambda name: (h1.link(name)["linkinfo"]["info_data"]["link"], h1.link(name)["mtu"])
    assert [link("flannel.1"), link("flannel-v6.1")] == [("eth0", 1450), ("eth1", 1330)]
    assert sorted(published(lab)) == [h1.address6, h2.address6]
    assert h1.daemon.environment_file()["FLANNEL_MTU"] == "1330"
    status = h1.daemon.status()
    assert (status["externalInterface"], status["externalInterfaceV6"]) == ("eth0", "eth1")
    node = lab.etcd.get(h1.daemon.key()).json["Node"]
    assert (node["MTU"], node["MTUIPv6"]) == (1500, 1400)
    with lab.pinger(h1.container(), h2.container()) as pinger:
        wait_for(lambda: pinger.sent > 40, 5, "pings")
        for flags in ({}, *APART_FLAGS):
            h1.daemon.stop()
            # The last run's addresses would tell as well.
            (h1.daemon.flags["state_dir"] / "last-known.json").unlink(missing_ok=True)
            before = h1.daemon.flags
            h1.daemon.flags = before | flags
            h1.daemon.start().wait_ready()
            h1.daemon.wait_peers(1)
            h1.daemon.flags = before
            assert h1.daemon.metric("flannel_netlink_writes_total") == 0, flags
            assert sorted(published(lab)) == [h1.address6, h2.address6], flags
    assert pinger.lost == 0, pinger.report()


@pytest.mark.parametrize(("flags", "word"), [({}, "IPv6"), ({"iface": "eth0"}, "link-local")], ids=str)
def test_a_family_that_is_lost_holds_up_no_other(lab, flags, word):
    """IPv6 has lost its place: it stays as it was, and IPv4 moves all the same. No address of one link comes instead."""
    lab.start_etcd()
    lab.configure(DUAL)
    h1, h2 = lab.hosts(2)
    h1.start_daemon(**flags)
    h2.start_daemon()
    h1.daemon.wait_peers(1)
    c1, c2 = h1.container(), h2.container()
    c1.address6 = c2.address6 = None
    h1.namespace.ip_do(f"addr del {h1.address6}/64 dev eth0")
    wait_for(lambda: word in problem_text(h1.daemon, "underlay-lost"), 5, "it is said")
    h1.namespace.ip_batch(["addr add 192.0.2.81/24 dev eth0", f"addr del {h1.address}/24 dev eth0",
                           "addr replace 192.0.2.81/24 dev eth0", "route replace default via 192.0.2.254"])
    value = lambda: lab.etcd.get(h1.daemon.key()).json
    wait_for(lambda: value()["PublicIP"] == "192.0.2.81", 5, "IPv4 is followed")
    assert value()["PublicIPv6"] == h1.address6
    lab.wait_equal()
    with lab.pinger(c1, c2) as pinger:
        wait_for(lambda: pinger.sent > 20, 5, "pings")
    assert pinger.lost == 0, pinger.report()
    h1.namespace.ip_do(f"addr add {h1.address6}/64 dev eth0 nodad")
    h1.daemon.wait_ok()


@pytest.mark.parametrize("family", ["IPv4", "IPv6"])
def test_the_family_that_lacks_a_default_route_is_named(lab, family):
    host = dual(lab)
    host.namespace.ip_do(f"-{family[-1]} route del default")
    daemon = host.start_daemon(ready=False)
    wait_for(lambda: f"{family}: there is no default route" in daemon.request("/readyz")[1], 5, "it is named")
