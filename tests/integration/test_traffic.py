# SPDX-License-Identifier: Apache-2.0
"""Masquerade and forwarding: who is seen by whom under which address, the same table in every mode."""

import ipaddress
import socket
import struct

import pytest

import cni_support
import fabric
from fabric import DUAL
from netns import wait_for
from traffic import Echo, ruleset, seen, wait_addresses

# How the host filters before the daemon comes, and what mode that means.
MODES = {
    "nftables": ([], "nftables"),
    "iptables-nft": ([("iptables", "-P", "FORWARD", "DROP"), ("ip6tables", "-P", "FORWARD", "DROP")], "iptables"),
    "iptables-legacy": (
        [("iptables-legacy", "-P", "FORWARD", "DROP"), ("ip6tables-legacy", "-P", "FORWARD", "DROP")],
        "iptables",
    ),
}
EXCLUDED = {4: "198.51.100.7", 6: "2001:db8:51::7"}
OUTSIDE = {4: "192.0.2.254", 6: "2001:db8:1::fe"}


class World:
    """Two hosts with a container each, a third container, and the world outside, which knows ways back."""

    def __init__(self, lab, mode, config=None, make_daemon=fabric.Host.make_daemon, **flags):
        commands, self.mode = MODES[mode]
        self.kind = mode
        lab.start_etcd()
        lab.configure(config or DUAL)
        self.h1, self.h2 = lab.hosts(2)
        for host in (self.h1, self.h2):
            for command in commands:
                if host.namespace.run(*command, check=False).returncode:
                    pytest.skip(f"{command[0]} does not work here")
            make_daemon(host, ip_masq=True, ip_masq_exclude=["198.51.100.0/24", "2001:db8:51::/48"], **flags).start()
        for host in (self.h1, self.h2):
            host.daemon.wait_peers(1)
            host.daemon.wait_status(lambda s: s["traffic"]["ok"], what="traffic rules stand")
            assert host.daemon.status()["traffic"]["mode"] == self.mode
        self.c1, self.c2, self.c3 = self.h1.container(), self.h2.container(), self.h1.container()
        self.outside = lab.underlay
        environment = self.h1.daemon.environment_file()
        ways = {"FLANNEL_SUBNET": self.h1.address, "FLANNEL_IPV6_SUBNET": self.h1.address6}
        self.outside.ip_batch(
            [
                "addr add 198.51.100.7/32 dev lo",
                "addr add 2001:db8:51::7/128 dev lo nodad",
                *(f"route add {ipaddress.ip_interface(environment[k]).network} via {via}" for k, via in ways.items() if k in environment),
                # To the other host's containers by the same door.
                f"route add 10.5.0.0/16 via {self.h1.address}",
                f"route add fd10:5::/48 via {self.h1.address6}",
            ]
        )

        for namespace in lab.namespaces:
            wait_addresses(namespace)

    def at(self, container, version):
        return container.address if version == 4 else container.address6

    def host_address(self, host, version):
        return host.address if version == 4 else host.address6

    def tunnel_address(self, host, version):
        """Of the host on its tunnel device: the subnet's first."""
        environment = host.daemon.environment_file()
        key = "FLANNEL_SUBNET" if version == 4 else "FLANNEL_IPV6_SUBNET"
        return str(ipaddress.ip_interface(environment[key]).network.network_address)


@pytest.fixture(params=list(MODES))
def world(lab, request):
    return World(lab, request.param)


def check_table(w, version, **others):
    """The table of cases: each line says who sends to whom, and under which address that is seen. `others`: `tunnel`: the
    address that a host has on the way to others' containers, None: it has no way there."""
    c1, c2, c3 = (w.at(c, version) for c in (w.c1, w.c2, w.c3))
    h1, h2 = (w.host_address(h, version) for h in (w.h1, w.h2))
    outside, excluded = OUTSIDE[version], EXCLUDED[version]
    n1, n2 = w.c1.namespace, w.c2.namespace
    found, wanted = {}, {}

    def case(name, want, *args, **options):
        found[name] = seen(*args, **options)
        wanted[name] = want

    case("container to container on one host", c1, n1, c3, w.c3.namespace)
    case("container to container across hosts", c1, n1, c2, n2)
    case("container to its own host", c1, n1, h1, w.h1.namespace)
    case("container to another host", h1, n1, h2, w.h2.namespace)
    case("container to the outside", h1, n1, outside, w.outside)
    case("container to an excluded network", c1, n1, excluded, w.outside)
    case("outside to a container here", outside, w.outside, c1, n1, source=outside)
    first = w.tunnel_address(w.h1, version)
    tunnel = others.get("tunnel", first)
    case("outside through this host to a container elsewhere", tunnel, w.outside, c2, n2, source=outside)
    case("host to a remote container", tunnel, w.h1.namespace, c2, n2)
    case("host with its own address to a remote container", tunnel, w.h1.namespace, c2, n2, source=h1)
    case("host to its own container with its own address", h1, w.h1.namespace, c1, n1, source=h1)
    gateway = str(ipaddress.ip_address(first) + 1)
    case("host with a container's address to the outside", h1, w.h1.namespace, outside, w.outside, source=gateway)
    assert found == wanted


def test_addresses_as_the_receivers_see_them(world):
    check_table(world, 4)
    check_table(world, 6)


def test_multicast_keeps_its_source(world):
    h1 = world.h1.namespace
    gateway = str(ipaddress.ip_address(world.tunnel_address(world.h1, 4)) + 1)
    index = next(link["ifindex"] for link in h1.ip("link", "show") if link["ifname"] == "eth0")
    world.outside.ip_do("addr add 239.1.1.1/32 dev br0 autojoin")
    assert seen(h1, "239.1.1.1", world.outside, source=gateway, multicast_device=index) == gateway


@pytest.mark.parametrize("mark,masqueraded", [(0x4000, False), (0xC001, False), (0x8000, True)])
def test_what_kube_proxy_marked_is_left_to_it(world, mark, masqueraded):
    """The mark is a bit among others, as kube-proxy's own rules take it."""
    world.h1.namespace.nft(
        f"table inet marks {{ chain c {{ type filter hook forward priority mangle; udp dport 7000 meta mark set {mark}; }}; }}"
    )
    for version in (4, 6):
        here = world.host_address(world.h1, version)
        want = here if masqueraded else world.at(world.c1, version)
        assert seen(world.c1.namespace, OUTSIDE[version], world.outside) == want


def test_connections_survive_restart_crash_and_flush(world):
    """Masqueraded connections go on, whatever happens to daemon and rules; new ones work within a second."""
    h1, c1 = world.h1, world.c1

    def masqueraded():
        assert seen(c1.namespace, OUTSIDE[4], world.outside, tries=1) == h1.address
        assert seen(c1.namespace, OUTSIDE[6], world.outside, tries=1) == h1.address6
        return True

    with Echo(world.outside, c1.namespace, OUTSIDE[4]) as echo, Echo(
        world.outside, c1.namespace, OUTSIDE[6], 7002
    ) as echo6:
        assert (echo.peer[0], echo6.peer[0]) == (h1.address, h1.address6)
        h1.daemon.restart()
        assert echo.works() and echo6.works() and masqueraded()
        h1.daemon.kill()
        assert echo.works() and echo6.works() and masqueraded()
        h1.daemon.start().wait_ready()
        h1.daemon.wait_status(lambda s: s["traffic"]["ok"])
        assert echo.works() and echo6.works() and masqueraded()
        if world.kind != "iptables-legacy":
            h1.namespace.nft("flush ruleset")
            wait_for(masqueraded, 1, "masquerade is back")
            assert echo.works() and echo6.works()


def test_second_start_writes_nothing(world):
    h1 = world.h1
    h1.daemon.restart()
    h1.daemon.wait_status(lambda s: s["traffic"]["ok"] and s["peers"] == 1)
    assert h1.daemon.metric("flannel_rules_writes_total") == 0
    assert not h1.daemon.logged("rules-made|rules-healed")


def test_table_says_whose_it_is(lab):
    world = World(lab, "nftables")
    assert f'comment "{world.h1.link()["ifalias"]}"' in ruleset(world.h1)


def test_without_masquerade(lab):
    """--ip-masq is off by default: nothing is masqueraded, and what stood is taken away at the next start."""
    w = World(lab, "nftables")
    h1 = w.h1.daemon
    assert seen(w.c1.namespace, OUTSIDE[4], w.outside) == w.h1.address
    h1.flags["ip_masq"] = False
    h1.restart()
    assert seen(w.c1.namespace, OUTSIDE[4], w.outside) == w.c1.address
    assert "masquerade" not in ruleset(w.h1)


def test_ports_are_random_unless_told_otherwise(world):
    def text():
        if world.mode == "nftables":
            return ruleset(world.h1)
        return world.h1.namespace.run("iptables-legacy-save" if "legacy" in world.kind else "iptables-save")

    assert "fully-random" in text() or "--random-fully" in text()
    daemon = world.h1.daemon
    daemon.flags["ip_masq_fully_random_disable"] = True
    daemon.restart()
    daemon.wait_status(lambda s: s["traffic"]["ok"])
    assert "random" not in text()
    check_table(world, 4)


@pytest.mark.parametrize("kind", ["iptables", "iptables-legacy"])
def test_docker_comes_later(lab, kind):
    """FORWARD becomes DROP while the daemon runs: rules move to iptables, and containers are cut off for a moment."""
    w = World(lab, "nftables", iptables_resync=1)
    with Echo(w.outside, w.c1.namespace, OUTSIDE[4]) as echo:
        w.h1.namespace.run(kind, "-P", "FORWARD", "DROP")
        w.h1.daemon.wait_status(lambda s: s["traffic"]["mode"] == "iptables" and s["traffic"]["ok"])
        assert echo.works()
    check_table(w, 4)
    assert w.h1.daemon.problems() == set()
    wait_for(lambda: "postrtg" not in ruleset(w.h1), 2, "what iptables does now is gone from the table")
    w.h1.daemon.restart()
    w.h1.daemon.wait_status(lambda s: s["traffic"]["mode"] == "iptables" and s["traffic"]["ok"])
    assert w.h1.daemon.metric("flannel_rules_writes_total") == 0
    # And goes: at the next start the rules move back, and nothing of the others stays.
    w.h1.namespace.run(kind, "-P", "FORWARD", "ACCEPT")
    w.h1.daemon.flags["traffic_mode"] = "nftables"
    w.h1.daemon.restart()
    save = "iptables-legacy-save" if "legacy" in kind else "iptables-save"
    wait_for(lambda: "flannel" not in w.h1.namespace.run(save), 5, "chains in iptables are gone")
    check_table(w, 4)


@pytest.mark.parametrize("kind", ["iptables-nft", "iptables-legacy"])
def test_rules_in_iptables_come_back(lab, kind):
    w = World(lab, kind, iptables_resync=1)
    before = w.h1.daemon.metric("flannel_rules_healed_total")
    for command in (
        ("-t", "nat", "-F", "POSTROUTING"),
        ("-t", "nat", "-D", "flannel.1-POSTRTG", "3"),
        ("-F", "flannel.1-FWD"),
    ):
        w.h1.namespace.run("iptables-legacy" if "legacy" in kind else "iptables", *command)
        before += 1
        wait_for(lambda: w.h1.daemon.metric("flannel_rules_healed_total") >= before, 5, f"{command} is undone")
        check_table(w, 4)


def test_foreign_rules_stay_and_a_drop_of_others_is_named(lab):
    w = World(lab, "nftables")
    foreign = "table inet firewalld { chain filter_FORWARD { type filter hook forward priority 10; policy drop; }; }"
    w.h1.namespace.nft(foreign)
    status = w.h1.daemon.wait_status(lambda s: any(p["name"] == "forward-blocked" for p in s["problems"]))
    text = next(p["text"] for p in status["problems"] if p["name"] == "forward-blocked")
    assert "filter_FORWARD of table inet firewalld" in text
    # A reload as firewalld does it: everything flushed, its own rules written again.
    w.h1.namespace.nft("flush ruleset\n" + foreign.replace("policy drop", "policy accept"))
    w.h1.daemon.wait_ok()
    assert "firewalld" in ruleset(w.h1)
    check_table(w, 4)


def test_rules_of_others_before_and_behind_ours(lab):
    """Somebody else's NAT before ours wins, behind ours it is not asked."""
    w = World(lab, "nftables")
    for priority, address in (("srcnat - 10", "192.0.2.101"), ("srcnat + 10", "192.0.2.102")):
        w.h1.namespace.ip_do(f"addr add {address}/32 dev eth0")
        w.h1.namespace.nft(
            f"table ip other {{ chain c {{ type nat hook postrouting priority {priority};"
            f" udp dport 7000 ip daddr {OUTSIDE[4]} snat to {address}; }}; }}"
        )
        want = address if "-" in priority else w.h1.address
        assert seen(w.c1.namespace, OUTSIDE[4], w.outside) == want
        w.h1.namespace.nft("delete table ip other")


FLANNEL_NFT = """
table ip flannel-ipv4 { chain postrtg { type nat hook postrouting priority srcnat; ip saddr 10.5.0.0/16 masquerade; }; }
table ip6 flannel-ipv6 { chain forward { type filter hook forward priority filter; ip6 saddr fd10:5::/48 accept; }; }
"""


@pytest.mark.parametrize("kind", ["iptables", "iptables-legacy"])
def test_what_flannel_left_is_removed(lab, kind):
    lab.start_etcd()
    lab.configure(DUAL)
    host = lab.host()
    for ip in (kind, kind.replace("ip", "ip6", 1)):
        for line in (
            "-t nat -N FLANNEL-POSTRTG",
            "-t nat -A POSTROUTING -m comment --comment foreign -j RETURN",
            "-t nat -A POSTROUTING -m comment --comment flanneld -j FLANNEL-POSTRTG",
            "-t nat -A FLANNEL-POSTRTG -m mark --mark 0x4000/0x4000 -j RETURN",
            "-t filter -N FLANNEL-FWD",
            "-t filter -A FORWARD -m comment --comment flanneld -j FLANNEL-FWD",
            "-t filter -A FLANNEL-FWD -j ACCEPT",
        ):
            host.namespace.run(ip, *line.split())
    host.namespace.nft(FLANNEL_NFT)
    for mode in ("nftables", "iptables"):
        host.start_daemon(mode, ip_masq=True, traffic_mode=mode).wait_status(lambda s: s["traffic"]["ok"])

        def clean():
            texts = [host.namespace.run(f"{ip}-save") for ip in (kind, kind.replace("ip", "ip6", 1))]
            assert "FLANNEL" not in "".join(texts)
            assert all("foreign" in text for text in texts)
            return "flannel-ipv" not in ruleset(host)

        wait_for(clean, 5, "nothing of flannel's is left")
        assert host.daemons[mode].stop() == 0
        host.namespace.nft(FLANNEL_NFT)


def test_two_networks_on_one_host(lab):
    """Each daemon has its own table, and neither touches the other's."""
    lab.start_etcd()
    lab.configure(DUAL)
    lab.configure({"Network": "10.6.0.0/16", "Backend": {"Type": "vxlan", "VNI": 2, "Port": 8473}}, "/other")
    hosts = lab.hosts(2)
    for host in hosts:
        host.start_daemon(ip_masq=True)
        host.start_daemon("b", etcd_prefix="/other", ip_masq=True)
    first = [host.container(host.daemons[""]) for host in hosts]
    for host in hosts:
        host.daemons["b"].wait_peers(1)
        host.daemon.wait_peers(1)
    h1 = hosts[0]
    assert seen(first[0].namespace, first[1].address, first[1].namespace) == first[0].address
    # Before a daemon knows its peers the other's masquerade might be of its tunnel's packets.
    for daemon in h1.daemons.values():
        daemon.wait_status(lambda s: not s["traffic"]["tunnelTracked"])
    texts = [h1.namespace.run("nft", "-a", "list", "table", "inet", f"flannel.{vni}") for vni in (1, 2)]
    h1.daemons["b"].restart()
    h1.daemons["b"].wait_status(lambda s: not s["traffic"]["tunnelTracked"])
    assert [h1.namespace.run("nft", "-a", "list", "table", "inet", f"flannel.{vni}") for vni in (1, 2)] == texts
    h1.namespace.nft("delete table inet flannel.2")
    wait_for(lambda: "flannel.2" in ruleset(h1), 1, "the second table is back")
    assert h1.namespace.run("nft", "-a", "list", "table", "inet", "flannel.1") == texts[0]
    assert h1.daemon.metric("flannel_rules_healed_total") == 0
    with Echo(lab.underlay, first[0].namespace, OUTSIDE[4]) as echo:
        assert h1.daemons["b"].stop() == 0
        assert echo.works()


def test_blackhole_stands_behind_containers(lab):
    lab.start_etcd()
    lab.configure(DUAL)
    h1, h2 = lab.hosts(2, daemons=True, ip_blackhole_route=True)
    c1, c2 = h1.container(), h2.container()
    environment = h1.daemon.environment_file()
    for version, key in ((4, "FLANNEL_SUBNET"), (6, "FLANNEL_IPV6_SUBNET")):
        subnet = str(ipaddress.ip_interface(environment[key]).network)

        def blackholes(family=f"-{version}", subnet=subnet):
            return [r for r in h1.namespace.ip(family, "route", "show", "type", "blackhole") if r["dst"] == subnet]

        assert len(blackholes()) == 1
        assert seen(c2.namespace, c1.address if version == 4 else c1.address6, c1.namespace)
        h1.namespace.ip_do(f"-{version} route del blackhole {subnet} metric 4294967295")
        wait_for(blackholes, 1, "the blackhole is back")
    # Without the bridge an address of the subnet leads nowhere, not back out by the default route.
    h1.namespace.ip_do("link set cni0 down")
    answer = h1.namespace.run("ip", "route", "get", c1.address, check=False)
    assert answer.returncode != 0


def test_forwarding_that_is_off_is_named_and_turned_on_if_told_to(lab):
    lab.start_etcd()
    lab.configure(DUAL)
    host = lab.host()
    host.namespace.sysctl("net.ipv4.ip_forward", 0)
    host.start_daemon()
    host.daemon.wait_status(lambda s: "forwarding-off" in {p["name"] for p in s["problems"]})
    host.daemon.flags["set_sysctls"] = True
    host.daemon.restart().wait_ok()
    assert host.namespace.run("cat", "/proc/sys/net/ipv4/ip_forward").strip() == "1"


def forwarding_problem(host):
    return [p["text"] for p in host.daemon.status()["problems"] if p["name"] == "forwarding-off"]


def test_a_bridge_that_does_not_forward_is_named_and_turned_on_if_told_to(lab):
    """Its own switch is off, the general one on: what containers send is lost."""
    lab.start_etcd()
    lab.configure()
    h1, h2 = lab.hosts(2)
    for host in (h1, h2):
        host.start_daemon(iptables_resync=1)
    h1.daemon.wait_peers(1)
    c1, c2 = h1.container(), h2.container()
    h1.namespace.sysctl("net.ipv4.conf.cni0.forwarding", 0)
    wait_for(lambda: "net.ipv4.conf.cni0.forwarding" in forwarding_problem(h1)[0], 5, "it is named")
    assert c1.namespace.run("ping", "-c1", "-W1", c2.address, check=False).returncode != 0
    h1.daemon.flags["set_sysctls"] = True
    h1.daemon.restart().wait_ok()
    c1.namespace.run("ping", "-c1", "-W2", c2.address)


@pytest.mark.parametrize("backend", ["vxlan", "host-gw"])
def test_an_underlay_that_does_not_forward_is_named(lab, backend):
    lab.start_etcd()
    lab.configure(fabric.CONFIG | {"Backend": {"Type": backend}})
    host = lab.host()
    host.namespace.sysctl("net.ipv4.conf.eth0.forwarding", 0)
    host.start_daemon()
    lost = {"vxlan": "no answers from outside the network", "host-gw": "nothing is forwarded"}[backend]
    wait_for(lambda: "net.ipv4.conf.eth0.forwarding is 0, so" in forwarding_problem(host)[0], 5, "it is named")
    assert lost in forwarding_problem(host)[0]
    host.daemon.flags["set_sysctls"] = True
    host.daemon.restart().wait_ok()
    assert host.namespace.run("cat", "/proc/sys/net/ipv4/conf/eth0/forwarding").strip() == "1"


def test_a_tunnel_device_that_does_not_forward_is_put_right(lab):
    """It is ours. In IPv6 the switch of a device stops nothing, and is nobody's business."""
    lab.start_etcd()
    lab.configure(DUAL)
    h1, h2 = lab.hosts(2)
    for host in (h1, h2):
        host.start_daemon(iptables_resync=1)
    h1.daemon.wait_peers(1)
    c1, c2 = h1.container(), h2.container()
    for device in ("flannel-v6.1", "cni0", "eth0"):
        h1.namespace.run("sysctl", "-qw", f"net/ipv6/conf/{device}/forwarding=0")
    h1.namespace.run("sysctl", "-qw", "net/ipv4/conf/flannel.1/forwarding=0")
    h1.daemon.wait_log("sysctl-set: net.ipv4.conf.flannel/1.forwarding = 1", 5)
    for address in c2.addresses:
        c1.namespace.run("ping", "-c1", "-W2", address)
    h1.daemon.wait_ok()


def advertise(lab, host):
    """A router advertisement, until it is heard. A route that ip(8) makes is not like one that came so: it is kept."""
    index = lab.underlay.ip("link", "show", "dev", "br0")[0]["ifindex"]
    with lab.underlay.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as raw:
        raw.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
        raw.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)

        def heard():
            raw.sendto(struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, 600, 0, 0), ("ff02::1", 0, 0, index))
            return default_routes6(host)

        wait_for(heard, 5, "the host has a route from it")


def advertised_host(lab):
    """One that does not forward and has its default route from an advertisement."""
    host = lab.host()
    host.namespace.ip_do("-6 route del default")
    for key, value in (("all.forwarding", 0), ("eth0.accept_ra", 1)):
        host.namespace.sysctl(f"net.ipv6.conf.{key}", value)
    advertise(lab, host)
    return host


def default_routes6(host):
    return [r["dev"] for r in host.namespace.ip("-6", "route", "show", "default")]


@pytest.mark.parametrize("config,forwards", [(DUAL, "1"), (None, "0")], ids=["dual stack", "IPv4"])
def test_a_route_from_an_advertisement_survives_forwarding(lab, config, forwards):
    """Linux takes a host that forwards for a router, which needs nobody's advertisements."""
    lab.start_etcd()
    lab.configure(config)
    host = advertised_host(lab)
    host.start_daemon(set_sysctls=True).wait_ok()
    read = lambda key: host.namespace.run("cat", f"/proc/sys/net/ipv6/conf/{key}").strip()
    assert read("all/forwarding") == forwards
    assert default_routes6(host) == ["eth0"], "the route is gone"
    assert read("eth0/accept_ra") == ("2" if forwards == "1" else "1")


@pytest.mark.parametrize("delegate", [{}, {"type": "ptp"}], ids=["bridge", "ptp"])
def test_a_route_from_an_advertisement_survives_an_attachment(lab, delegate):
    """The plugin turns forwarding on as well, for the families of the container."""
    lab.start_etcd()
    lab.configure(DUAL)
    host = advertised_host(lab)
    host.start_daemon()
    with cni_support.Host(existing=host.namespace.name, subnet_file=host.daemon.subnet_file) as runtime:
        runtime.add(runtime.flannel(delegate={"isDefaultGateway": True} | delegate), runtime.namespace())
        read = lambda key: host.namespace.run("cat", f"/proc/sys/net/ipv6/conf/{key}").strip()
        assert (read("all/forwarding"), read("eth0/accept_ra")) == ("1", "2")
        assert default_routes6(host) == ["eth0"], "the route is gone"


@pytest.mark.parametrize(
    "flag,text",
    [
        ("--ip-masq-exclude=10.0.0.0/33", "ip-masq-exclude"),
        ("--traffic-mode=ebtables", "traffic-mode"),
        ("--traffic-table=a;b", "traffic-table"),
        ("--traffic-table=" + "x" * 21, "traffic-table"),
    ],
)
def test_bad_options_are_refused(lab, flag, text):
    done = lab.underlay.run(fabric.FLANNELD, flag, check=False)
    assert done.returncode == 2
    assert text in done.stderr

