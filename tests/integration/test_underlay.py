# SPDX-License-Identifier: Apache-2.0
"""The network below changes: devices, peers and what is published follow, the subnet stays."""

import contextlib
import re
import socket
import threading
import time

import pytest

from fabric import DUAL
from netns import run, stays, wait_for


@pytest.fixture
def pair(lab):
    """Two hosts of a dual-stack fabric with a container each."""
    lab.start_etcd()
    lab.configure(DUAL)
    h1, h2 = lab.hosts(2, daemons=True)
    return h1, h2, h1.container(), h2.container()


def enough(pinger, each=15):
    target = pinger.sent + each * len(pinger.flows)
    wait_for(lambda: pinger.sent >= target, 10, "pings")


def reach(lab, *containers):
    """Both ways and in all families, without a loss."""
    with lab.pinger(*containers) as pinger:
        enough(pinger)
    assert pinger.lost == 0, pinger.report()


@pytest.fixture
def untouched(pair):
    """Fails if a tunnel device of any host is another one at the end, or has another MAC address."""
    devices = ("flannel.1", "flannel-v6.1")
    before = [[(l["ifindex"], l["address"]) for l in map(host.link, devices)] for host in pair[:2]]
    yield
    assert [[(l["ifindex"], l["address"]) for l in map(host.link, devices)] for host in pair[:2]] == before


def tunnel(host, device="flannel.1"):
    link = host.link(device)
    data = link["linkinfo"]["info_data"] if link else {}
    return data.get("link"), data.get("local", data.get("local6"))


def default_route(host, interface):
    host.namespace.ip_do(f"route replace default via 192.0.2.254 dev {interface}")
    host.namespace.ip_do("-6 route del default")
    host.namespace.ip_do(f"-6 route add default via 2001:db8:1::fe dev {interface}")


def published(lab, host):
    value = lab.etcd.get(host.daemon.key()).json
    return value["PublicIP"], value["PublicIPv6"]


def follows(lab, host, address, address6, interface="eth0"):
    wait_for(lambda: published(lab, host) == (address, address6), 5, f"{address} and {address6} are published")
    wait_for(lambda: tunnel(host) == (interface, address), 3, f"flannel.1 is on {interface} with {address}")
    wait_for(lambda: tunnel(host, "flannel-v6.1") == (interface, address6), 3, f"the same with {address6}")


@pytest.fixture
def unmoved(pair):
    """Fails if any host has another subnet at the end."""
    before = [(host.daemon.subnet(), host.daemon.subnet6()) for host in pair[:2]]
    yield
    assert [(host.daemon.subnet(), host.daemon.subnet6()) for host in pair[:2]] == before


def test_another_address_moves_nothing(lab, pair):
    """Linux lists the newest IPv6 address first; neither a running daemon nor the next start must fall for it."""
    h1, h2, c1, c2 = pair
    monitor = h1.monitor()
    with lab.pinger(c1, c2) as pinger:
        h1.namespace.ip_batch(["addr add 192.0.2.77/24 dev eth0", "addr add 2001:db8:1::77/64 dev eth0 nodad"])
        enough(pinger, 30)
        h1.daemon.restart()
        h1.daemon.wait_peers(1)
        enough(pinger)
    assert pinger.lost == 0, pinger.report()
    assert published(lab, h1) == (h1.address, h1.address6)
    assert h1.daemon.metric("flannel_netlink_writes_total") == 0
    assert monitor.tunnel_events() == []


def test_changed_addresses(lab, pair, unmoved, untouched):
    """First the new, then the old is taken away; and once the other way round."""
    h1, h2, c1, c2 = pair
    h1.namespace.ip_batch(
        [
            "addr add 192.0.2.81/24 dev eth0",
            "addr add 2001:db8:1::81/64 dev eth0 nodad",
            f"addr del {h1.address}/24 dev eth0",
            f"addr del {h1.address6}/64 dev eth0",
            "addr replace 192.0.2.81/24 dev eth0",
            "route replace default via 192.0.2.254",
        ]
    )
    follows(lab, h1, "192.0.2.81", "2001:db8:1::81")
    lab.wait_equal()
    reach(lab, c1, c2)
    h1.namespace.ip_batch(["addr del 192.0.2.81/24 dev eth0", "addr del 2001:db8:1::81/64 dev eth0"])
    wait_for(lambda: "underlay-lost" in h1.daemon.problems(), 5, "the loss is shown")
    h1.fill_eth0()
    follows(lab, h1, h1.address, h1.address6)
    lab.wait_equal()
    reach(lab, c1, c2)
    h1.daemon.wait_ok()


def test_a_new_source_address_is_not_a_new_device(lab, pair, unmoved, untouched):
    """What the tunnel's own end is called changes nothing of what is on it: no route, no neighbour, no FDB entry."""
    h1, h2, c1, c2 = pair
    monitor = h1.monitor()
    h1.namespace.ip_batch(["addr add 192.0.2.81/24 dev eth0", f"addr del {h1.address}/24 dev eth0",
                           "addr replace 192.0.2.81/24 dev eth0", "route replace default via 192.0.2.254"])
    follows(lab, h1, "192.0.2.81", h1.address6)
    lab.wait_equal()
    reach(lab, c1, c2)
    events = monitor.tunnel_events()
    assert not [e for e in events if e[0] != "link"], events


def second_interface(lab, host, name="eth1"):
    """Another leg in the same segment, up and without addresses."""
    lab.cable(host.namespace, f"{name}h", name)


MOVES = [
    "addr del 192.0.2.1/24 dev eth0",
    "addr del 2001:db8:1::1/64 dev eth0",
    "addr add 192.0.2.1/24 dev eth1",
    "addr add 2001:db8:1::1/64 dev eth1 nodad",
]


@pytest.mark.parametrize("way", ["default route", "iface-regex for the address", "iface-regex for names", "iface"])
def test_addresses_that_move_to_another_interface(lab, way):
    lab.start_etcd()
    lab.configure(DUAL)
    flags = {
        "default route": {},
        "iface-regex for the address": {"iface_regex": "^192\\.0\\.2\\.|^2001:db8:1:"},
        "iface-regex for names": {"iface_regex": ["^lan[0-9]$", "^eth[0-9]$"]},
        "iface": {"iface": ["lan0", "eth0", "eth1"]},
    }[way]
    h1, h2 = lab.hosts(2)
    h1.start_daemon(**flags)
    h2.start_daemon()
    h1.daemon.wait_peers(1)
    c1, c2 = h1.container(), h2.container()
    subnets = h1.daemon.subnet(), h1.daemon.subnet6()
    second_interface(lab, h1)
    h1.namespace.ip_batch(MOVES)
    if way == "default route":
        default_route(h1, "eth1")
    if "names" in way or way == "iface":
        # An interface that has lost its addresses still has its name: only its going makes room for the next.
        wait_for(lambda: "underlay-lost" in h1.daemon.problems(), 5, "the loss is shown")
        h1.namespace.ip_do("link set eth0 name gone0")
    follows(lab, h1, h1.address, h1.address6, "eth1")
    lab.wait_equal()
    reach(lab, c1, c2)
    assert (h1.daemon.subnet(), h1.daemon.subnet6()) == subnets
    h1.daemon.wait_ok()


def test_an_interface_that_is_deleted_and_made_again(lab, pair, unmoved):
    """The kernel takes the tunnel devices along."""
    h1, h2, c1, c2 = pair
    macs = h1.vtep_mac(), h1.vtep_mac("flannel-v6.1")
    h1.namespace.ip_do("link del eth0")
    wait_for(lambda: {"underlay-lost", "device-failed"} <= h1.daemon.problems(), 5, "both are shown")
    assert h1.daemon.request("/readyz")[0] == 503
    lab.cable(h1.namespace, "h1", "eth0")
    h1.fill_eth0()
    lab.wait_equal(10)
    assert (h1.vtep_mac(), h1.vtep_mac("flannel-v6.1")) == macs
    reach(lab, c1, c2)
    h1.daemon.wait_ok()


def test_an_interface_that_comes_back_under_another_name(lab):
    """With iface-regex on the address, and no default route whose change would tell."""
    lab.start_etcd()
    lab.configure()
    h1, h2 = lab.hosts(2)
    for host in (h1, h2):
        host.namespace.ip_do("route del default")
        host.start_daemon(iface_regex="^192\\.0\\.2\\.")
    h1.daemon.wait_peers(1)
    c1, c2 = h1.container(), h2.container()
    h1.namespace.ip_do("link del eth0")
    wait_for(lambda: "underlay-lost" in h1.daemon.problems(), 5, "the loss is shown")
    second_interface(lab, h1, "lan7")
    h1.namespace.ip_do("addr add 192.0.2.1/24 dev lan7")
    wait_for(lambda: tunnel(h1) == ("lan7", "192.0.2.1"), 5, "flannel.1 is on lan7")
    lab.wait_equal()
    reach(lab, c1, c2)
    h1.daemon.wait_ok()


def test_what_the_kernel_does_not_tell_is_looked_for(lab):
    """A place in the underlay that cannot be found is looked for again by itself: nothing tells of a new rule."""
    lab.start_etcd()
    lab.configure()
    h1 = lab.host()
    rule = "rule add to 198.51.100.7 lookup 100"
    h1.namespace.ip_batch(["route add default via 192.0.2.254 table 100", "route del default", rule])
    h1.start_daemon(iface_can_reach="198.51.100.7")
    h1.daemon.wait_ok()
    h1.namespace.ip_do(rule.replace("add", "del"))
    h1.namespace.ip_do("addr add 192.0.2.78/24 dev eth0")  # something to look at
    wait_for(lambda: "198.51.100.7" in str(h1.daemon.status()["problems"]), 5, "no place is found")
    h1.namespace.ip_do(rule)
    wait_for(lambda: not h1.daemon.problems(), 8, "it is found again, long before the next comparison")


def test_a_renamed_interface_is_the_same(lab, pair, unmoved, untouched):
    h1, h2, c1, c2 = pair
    h1.namespace.ip_do("link set eth0 down")
    h1.namespace.ip_batch(["link set eth0 name lan0", "link set lan0 up", "addr replace 2001:db8:1::1/64 dev lan0 nodad",
                           "route replace default via 192.0.2.254", "route replace default via 2001:db8:1::fe"])
    wait_for(lambda: h1.daemon.status()["externalInterface"] == "lan0", 5, "its name is shown")
    lab.wait_equal()
    reach(lab, c1, c2)
    h1.daemon.wait_ok()


@pytest.mark.parametrize("flags", [{"iface": "eth0"}, {"iface_regex": "^eth"}], ids=str)
def test_a_renamed_interface_that_was_asked_for_by_name(lab, flags):
    """It is followed by its index, which is said once; somebody else who takes the name is not it."""
    lab.start_etcd()
    lab.configure(DUAL)
    h1, h2 = lab.hosts(2)
    h1.start_daemon(**flags)
    h2.start_daemon()
    h1.daemon.wait_peers(1)
    c1, c2 = h1.container(), h2.container()
    ifindex = h1.link()["ifindex"]
    h1.namespace.ip_batch(["link set eth0 down", "link set eth0 name lan0", "link set lan0 up",
                           "addr replace 2001:db8:1::1/64 dev lan0 nodad", "route replace default via 192.0.2.254",
                           "route replace default via 2001:db8:1::fe dev lan0"])  # fmt: skip
    wait_for(lambda: h1.daemon.status()["externalInterface"] == "lan0", 5, "its name is shown")
    lab.wait_equal()
    h1.daemon.wait_ok()
    h1.namespace.ip_do("addr add 192.0.2.78/24 dev lan0")  # something to look at once more
    reach(lab, c1, c2)
    assert h1.link()["ifindex"] == ifindex and not h1.daemon.problems()
    assert len(re.findall("eth0 -> lan0.*same interface as eth0, which was asked for", h1.daemon.log())) == 1
    second_interface(lab, h1, "eth0")
    wait_for(lambda: "interface eth0 has no IPv4 address" in str(h1.daemon.status()["problems"]), 5, "eth0 is asked for")
    reach(lab, c1, c2)


@pytest.mark.slow
def test_mtu_down_and_up(lab, pair, unmoved):
    h1, h2, c1, c2 = pair
    with lab.pinger(c1, c2) as pinger:
        for lower in (1400, 9000, 1350, 1500):
            h1.namespace.ip_do(f"link set eth0 mtu {lower}")
            wait_for(lambda m=lower: h1.link()["mtu"] == m - 50, 3, f"flannel.1 follows {lower}")
            wait_for(lambda m=lower: h1.link("flannel-v6.1")["mtu"] == m - 70, 3, f"flannel-v6.1 follows {lower}")
            wait_for(
                lambda m=lower: h1.daemon.environment_file()["FLANNEL_MTU"] == str(m - 70), 3, "subnet.env follows"
            )
            enough(pinger, 5)
    assert pinger.lost == 0, pinger.report()
    lab.wait_equal()
    h1.daemon.wait_ok()
    assert not re.search(r"watch-lost|store-lost", h1.daemon.log()), "the store's connections stay"


def route_mtus(host, subnet):
    """MTU that the routes to a host's subnets (IPv4, IPv6) carry; None: the device's."""
    routes = [host.namespace.ip(family, "route", "show", net)[0] for family, net in zip(("-4", "-6"), subnet)]
    return [next((m["mtu"] for m in route.get("metrics", []) if "mtu" in m), None) for route in routes]


def carries(sender, receiver, size):
    """Whether so many bytes in one TCP connection arrive within 3 s. A path that swallows large packets stops them."""
    done = []
    with receiver.namespace.socket(socket.AF_INET, socket.SOCK_STREAM) as server:
        server.bind((receiver.address, 0))
        server.listen()
        server.settimeout(3)
        with sender.namespace.socket(socket.AF_INET, socket.SOCK_STREAM) as client:
            client.settimeout(3)
            client.connect(server.getsockname())
            peer = server.accept()[0]
            peer.settimeout(3)
            writer = threading.Thread(target=lambda: client.sendall(bytes(size)), daemon=True)
            writer.start()
            left = size
            with contextlib.suppress(TimeoutError):
                while left and (data := peer.recv(65536)):
                    left -= len(data)
            done.append(left == 0)
            peer.close()
            writer.join(5)
    return done[0]


def test_a_peer_with_a_smaller_underlay(lab, pair, unmoved):
    """Its packets would be lost on the last link without a word: the routes that lead there say how large they may be."""
    h1, h2, c1, c2 = pair
    subnets = h1.daemon.subnet(), h1.daemon.subnet6()
    key = h1.daemon.key()
    mtus = lambda: [lab.etcd.get(key).json["Node"].get(name) for name in ("MTU", "MTUIPv6")]
    assert mtus() == [1500, 1500] and route_mtus(h2, subnets) == [None, None]
    # The container keeps what it was made with; what it announces to others as its limit is too much.
    h1.namespace.ip_do("link set eth0 mtu 1400")
    wait_for(lambda: mtus() == [1400, 1400], 5, "it is published")
    wait_for(lambda: route_mtus(h2, subnets) == [1350, 1330], 5, "the routes to it carry it")
    lab.wait_equal()
    assert h1.daemon.logged(r"underlay-changed.* mtu 1500 -> 1400.*mtu 1430 -> 1330, those that run keep 1430")
    assert h2.daemon.logged(r"MTU 1500 -> 1400, IPv6 MTU 1500 -> 1400")
    problem = h1.daemon.wait_status(lambda s: "containers-mtu" in [p["name"] for p in s["problems"]], 3)["problems"][0]
    assert "1 container was attached with an MTU of 1430" in problem["text"] and "1330 now" in problem["text"]
    assert problem["severity"] == "info" and h1.daemon.status()["verdict"] == "ok"
    for sender, receiver in ((c2, c1), (c1, c2)):
        assert carries(sender, receiver, 300_000), f"{sender.name} to {receiver.name}"
    # Healed as everything else, and said as what it is.
    h2.namespace.ip_do(f"route replace {subnets[0]} via {subnets[0].split('/')[0]} dev flannel.1 onlink proto 102")
    h2.namespace.ip_do(f"-6 route replace {subnets[1]} via {subnets[1].split('/')[0]} dev flannel-v6.1 onlink mtu 1300")
    wait_for(lambda: route_mtus(h2, subnets) == [1350, 1330], 5, "the routes carry it again")
    wait_for(lambda: h2.daemon.logged("drift-healed.*mtu 1330"), 5, "the log names it")
    # A start finds all as it should be, and a container that goes takes the problem along.
    h2.daemon.restart()
    h2.daemon.wait_peers(1)
    assert h2.daemon.metric("flannel_netlink_writes_total") == 0
    h1.namespace.ip_do("link del c2")
    wait_for(lambda: "containers-mtu" not in h1.daemon.problems(), 3, "nothing is left of before")
    h1.namespace.ip_do("link set eth0 mtu 1500")
    wait_for(lambda: route_mtus(h2, subnets) == [None, None], 5, "the routes carry nothing again")
    lab.wait_equal()


def test_an_mtu_too_small_for_ipv6_costs_nothing_for_good(lab, pair, unmoved):
    """Inner packets of IPv6 do not fit: it is taken down, shown, and back when it is over."""
    h1, h2, c1, c2 = pair
    with lab.pinger(c1, c2) as pinger:
        flows = [f for f in pinger.flows if f.family == 4]
        h1.namespace.ip_do("link set eth0 mtu 1340")
        wait_for(lambda: h1.daemon.status()["verdict"] != "ok", 3, "it is shown")
        enough(pinger, 10)
        h1.namespace.ip_do("link set eth0 mtu 1500")
        wait_for(lambda: (h1.link("flannel-v6.1") or {}).get("mtu") == 1430, 3, "flannel-v6.1 is back")
        lab.wait_equal(5)
        h1.daemon.wait_ok()
    assert not any(f.lost() for f in flows), pinger.report()
    reach(lab, c1, c2)


def test_the_default_route_moves(lab, pair, unmoved):
    h1, h2, c1, c2 = pair
    second_interface(lab, h1)
    h1.namespace.ip_batch(["addr add 192.0.2.91/24 dev eth1", "addr add 2001:db8:1::91/64 dev eth1 nodad"])
    stays(lambda: tunnel(h1) == ("eth0", h1.address), 0.4, "the tunnel is on eth0")
    default_route(h1, "eth1")
    follows(lab, h1, "192.0.2.91", "2001:db8:1::91", "eth1")
    lab.wait_equal()
    reach(lab, c1, c2)


def test_a_flap_of_the_underlay_interface(lab, pair, unmoved):
    """IPv6 addresses go when an interface is set down. They come back by whoever configures it, the rest by us."""
    h1, h2, c1, c2 = pair
    before = [h1.link(name)["ifindex"] for name in ("flannel.1", "flannel-v6.1")]
    for _ in range(3):
        h1.namespace.ip_do("link set eth0 down")
        h1.fill_eth0()
    lab.wait_equal()
    reach(lab, c1, c2)
    assert [h1.link(name)["ifindex"] for name in ("flannel.1", "flannel-v6.1")] == before
    h1.daemon.wait_ok()


def test_public_addresses_behind_nat_stay_while_the_real_ones_change(lab):
    """The router translates; the host's own address changes below that, and what is published does not."""
    lab.start_etcd()
    lab.configure()
    lab.underlay.sysctl("net.ipv4.ip_forward", 1)
    lab.underlay.ip_do("addr add 203.0.113.2/32 dev br0")
    # Without connection tracking, which would remember where packets went before.
    rule = """table ip nat {
        chain pre { type filter hook prerouting priority -300; ip daddr 203.0.113.2 ip daddr set %s; }
    }"""
    lab.underlay.nft(rule % "192.0.2.2")
    h1, h2 = lab.hosts(2)
    h1.start_daemon()
    h2.start_daemon(public_ip="203.0.113.2")
    h1.daemon.wait_peers(1)
    c1, c2 = h1.container(), h2.container()
    subnet = h2.daemon.subnet()
    reach(lab, c1, c2)
    h2.namespace.ip_batch(
        ["addr add 192.0.2.82/24 dev eth0", "addr del 192.0.2.2/24 dev eth0", "addr replace 192.0.2.82/24 dev eth0",
         "route replace default via 192.0.2.254"]
    )  # fmt: skip
    lab.underlay.nft("flush table ip nat\n" + rule % "192.0.2.82")
    wait_for(lambda: tunnel(h2) == ("eth0", "192.0.2.82"), 5, "packets leave with the new address")
    wait_for(lambda: lab.etcd.get(h2.daemon.key()).json["Node"].get("Source") == "192.0.2.82", 5, "peers are told")
    assert lab.etcd.get(h2.daemon.key()).json["PublicIP"] == "203.0.113.2"
    lab.wait_equal()
    reach(lab, c1, c2)
    assert h2.daemon.subnet() == subnet


def test_a_change_costs_no_look_at_all_routes(lab, pair):
    """A router has a million of them; which default route is in use can be asked for."""
    h1 = pair[0]
    lines = (f"route add blackhole 172.{16 + (n >> 12)}.{n >> 4 & 255}.{(n & 15) << 4}/28 proto 99" for n in range(40000))
    run("ip", "-n", h1.namespace.name, "-batch", "-", input="\n".join(lines))
    h1.daemon.wait_ok()

    def calls():
        return h1.daemon.metric("flannel_netlink_system_calls_total")

    last = [calls(), time.monotonic()]

    def at_rest():
        """So many routes at once overrun the monitor, after which everything is compared."""
        if calls() != last[0]:
            last[:] = [calls(), time.monotonic()]
        return time.monotonic() - last[1] > 1

    wait_for(at_rest, 20, "the routes were looked at")
    for number in (1, 2, 3):
        before = calls()
        h1.namespace.ip_do(f"addr add 192.0.2.{100 + number}/24 dev eth0")
        wait_for(lambda: calls() > before, 5, "the daemon looks at the underlay")
        assert calls() - before < 40, "40000 routes alone would be more"
    assert tunnel(h1) == ("eth0", h1.address)


@pytest.mark.parametrize("table", ["main", "another"])
def test_routes_that_hide_the_default_route(lab, pair, unmoved, table):
    """A VPN that takes all traffic leaves the default route in place, and the fabric on it."""
    h1, h2, c1, c2 = pair
    second_interface(lab, h1)
    h1.namespace.ip_batch(["addr add 192.0.2.91/24 dev eth1", "addr add 2001:db8:1::91/64 dev eth1 nodad"])
    where = "" if table == "main" else "table 77"
    h1.namespace.ip_batch(
        [f"route add {half} via 192.0.2.254 dev eth1 {where}" for half in ("0.0.0.0/1", "128.0.0.0/1")]
        + [f"route add {half} via 2001:db8:1::fe dev eth1 {where}" for half in ("::/1", "8000::/1")]
    )
    if table != "main":
        for family in ("-4", "-6"):
            h1.namespace.run("ip", family, "rule", "add", "table", "77")
    stays(lambda: tunnel(h1) == ("eth0", h1.address), 0.4, "the tunnel is on eth0")
    h1.daemon.restart()
    h1.daemon.wait_peers(1)
    assert tunnel(h1) == ("eth0", h1.address)
    assert published(lab, h1) == (h1.address, h1.address6)
    assert h1.daemon.metric("flannel_netlink_writes_total") == 0


def test_an_underlay_too_small_for_ipv6(lab):
    """IPv4 goes on; IPv6, whose 1280 bytes do not fit, is left out, named with the number it needs, and comes back."""
    lab.start_etcd()
    lab.configure(DUAL)
    h1, h2 = lab.hosts(2)
    h1.namespace.ip_do("link set eth0 mtu 1280")
    for host in (h1, h2):
        host.start_daemon()
    for host in (h1, h2):
        host.daemon.wait_peers(1)
        wait_for(lambda h=host: h.daemon.status()["peersIgnored"] == 0, 5, "both are used")
    assert "mtu-too-small" in h1.daemon.problems() and not h2.daemon.problems()
    text = next(p["text"] for p in h1.daemon.status()["problems"] if p["name"] == "mtu-too-small")
    assert "1280" in text and "1350" in text
    environment = h1.daemon.environment_file()
    assert environment["FLANNEL_MTU"] == "1230" and "FLANNEL_IPV6_SUBNET" not in environment
    assert sorted(lease.json.get("PublicIPv6") or "" for lease in lab.etcd.leases()) == ["", h2.address6]
    assert h1.link() and not h1.link("flannel-v6.1")
    c1, c2 = h1.container(), h2.container()
    for one, other in ((c1, c2), (c2, c1)):
        one.namespace.run("ping", "-c", "3", "-i", "0.1", "-W", "2", "-s", "1202", "-M", "do", other.address)
    # And while it runs, in both directions.
    h1.namespace.ip_do("link set eth0 mtu 1500")
    h1.daemon.wait_ok()
    wait_for(lambda: "FLANNEL_IPV6_SUBNET" in h1.daemon.environment_file(), 5, "containers get IPv6 again")
    wait_for(lambda: h1.link("flannel-v6.1"), 5, "the device is made")
    lab.wait_equal()
    h1.namespace.ip_do("link set eth0 mtu 1340")
    wait_for(lambda: not h1.link("flannel-v6.1"), 5, "the device goes")
    wait_for(lambda: "FLANNEL_IPV6_SUBNET" not in h1.daemon.environment_file(), 5, "and the subnet")
    assert "mtu-too-small" in h1.daemon.problems()
