# SPDX-License-Identifier: Apache-2.0
"""Vandalism: whatever another program does to the fabric's kernel objects is undone at once."""

import ipaddress
import signal

import pytest

from etcd import PREFIX
from netns import stays, wait_for
from witness import made_up_lease

HEAL_S = 5  # at once, on a busy machine


@pytest.fixture
def victim(lab, fabric3):
    h1 = fabric3[0]
    h1.daemon.wait_ok()
    lab.wait_equal()
    return h1


def peer_objects(host):
    """One route, neighbour and FDB entry of the same peer."""
    objects = {o[0]: o for o in sorted(host.objects(), reverse=True) if o[0] != "fdb"}
    mac = objects["neighbour"][3]
    fdb = next(o for o in host.objects() if o[0] == "fdb" and o[2] == mac)
    return objects["route"], objects["neighbour"], fdb


def check_longer_prefixes(host, subnet, when):
    ns, daemon = host.namespace, host.daemon
    one, other = list(ipaddress.ip_network(subnet).subnets(2))[1:4:2]
    ns.ip_do("link add br9 type bridge")
    ns.ip_do("link set br9 up")
    if when == "down":
        daemon.stop()
    for longer in (one, other):
        ns.ip_do(f"route add {longer} dev br9 proto static")
    if when == "down":
        daemon.start()
    for left in ((one, other), (other,)):
        wait_for(lambda left=left: any(str(longer) in shadow_problem(host) for longer in left), 5, "the route to be named")
        assert subnet in shadow_problem(host)
        ns.ip_do(f"route del {left[0]} dev br9 proto static")
    # Both are gone.
    daemon.wait_ok(5)


def fdb_led_elsewhere(lab, host, device, fdb):
    """Alters one entry while the daemon is down, each way once; its start must undo it."""
    ns = host.namespace
    ns.ip_do(f"nexthop add id 20 via {fdb[3]} fdb")
    ns.ip_do("nexthop add id 30 group 20 fdb")
    for how in (f"dst {fdb[3]} port 9999", f"dst {fdb[3]} vni 77", f"dst {fdb[3]} via lo", "nhid 30"):
        host.daemon.stop()
        # Without an address the whole entry goes, whatever else it has.
        ns.bridge_do(f"fdb del {fdb[2]} dev {device}")
        ns.bridge_do(f"fdb add {fdb[2]} dev {device} {how} self permanent")
        host.daemon.start()
        host.daemon.wait_ok()
        lab.wait_equal(2, [host])
        shown = [f for f in ns.bridge("fdb", "show", "dev", device) if f["mac"] == fdb[2]]
        assert [[f.get(word) for word in ("dst", "port", "vni", "via", "nhid")] for f in shown] == [
            [fdb[3], None, None, None, None]
        ], (how, shown)


def heals(lab, host):
    """Waits until the kernel is the store's again."""
    lab.wait_equal(HEAL_S, [host])
    host.daemon.wait_ok(2)


def test_deleted_route(lab, victim):
    route, _, _ = peer_objects(victim)
    victim.namespace.ip_do(f"route del {route[2]}")
    heals(lab, victim)
    assert victim.daemon.metric('flannel_drift_total{object="route"}') >= 1
    assert victim.daemon.logged("drift-healed")


def test_deleted_neighbour(lab, victim):
    _, neighbour, _ = peer_objects(victim)
    victim.namespace.ip_do(f"neigh del {neighbour[2]} dev flannel.1")
    heals(lab, victim)
    assert victim.daemon.metric('flannel_drift_total{object="neighbour"}') >= 1


def test_deleted_fdb_entry(lab, victim):
    _, _, fdb = peer_objects(victim)
    victim.namespace.bridge_do(f"fdb del {fdb[2]} dev flannel.1 dst {fdb[3]}")
    heals(lab, victim)
    assert victim.daemon.metric('flannel_drift_total{object="fdb"}') >= 1


def test_deleted_address(lab, victim):
    """The kernel takes all routes and neighbours of the device along with its last address."""
    address = next(o[2] for o in victim.objects() if o[0] == "address")
    victim.namespace.ip_do(f"addr del {address} dev flannel.1")
    heals(lab, victim)


def test_everything_flushed_at_once(lab, victim):
    victim.namespace.ip_do("route flush dev flannel.1")
    victim.namespace.ip_do("neigh flush dev flannel.1 nud permanent")
    victim.namespace.ip_do("addr flush dev flannel.1")
    heals(lab, victim)


def test_altered_route(lab, victim):
    route, _, _ = peer_objects(victim)
    victim.namespace.ip_do(f"route replace blackhole {route[2]}")
    heals(lab, victim)


def test_altered_neighbour_and_fdb_entry(lab, victim):
    _, neighbour, fdb = peer_objects(victim)
    victim.namespace.ip_do(f"neigh replace {neighbour[2]} lladdr 0e:66:66:66:66:66 nud permanent dev flannel.1")
    victim.namespace.bridge_do(f"fdb replace {fdb[2]} dev flannel.1 dst 192.0.2.66 self permanent")
    heals(lab, victim)


def test_stray_objects_on_the_device_are_removed(lab, victim):
    victim.namespace.ip_do("neigh add 10.5.250.0 lladdr 0e:00:00:00:00:01 nud permanent dev flannel.1")
    victim.namespace.bridge_do("fdb add 0e:00:00:00:00:02 dev flannel.1 dst 192.0.2.9 self permanent")
    victim.namespace.ip_do("route add 10.5.251.0/24 dev flannel.1 proto 102")
    heals(lab, victim)


def test_deleted_device_comes_back_with_all_its_peers(lab, victim):
    before = victim.link()
    victim.namespace.ip_do("link del flannel.1")
    wait_for(victim.link, 2, "the device is back")
    heals(lab, victim)
    assert victim.vtep_mac() == before["address"]
    assert victim.daemon.metric("flannel_device_repairs_total") >= 1
    c1, c2 = victim.container(), lab.all_hosts[1].container()
    with lab.pinger(c1, c2) as pinger:
        wait_for(lambda: pinger.sent > 20, 5, "pings")
    assert pinger.lost == 0, pinger.report()


def test_device_set_down(lab, victim):
    victim.namespace.ip_do("link set flannel.1 down")
    heals(lab, victim)
    assert "UP" in victim.link()["flags"]
    victim.daemon.wait_log(r"device-repaired: flannel\.1, index \d+: set up, it was down")


def test_altered_mtu(lab, victim):
    victim.namespace.ip_do("link set flannel.1 mtu 1300")
    wait_for(lambda: victim.link()["mtu"] == 1450, HEAL_S, "MTU 1450")
    victim.daemon.wait_log(r"device-repaired: flannel\.1, index \d+: mtu 1300 -> 1450")


def test_altered_mac(lab, victim):
    mac = victim.vtep_mac()
    victim.namespace.ip_do("link set flannel.1 address 0e:77:77:77:77:77")
    wait_for(lambda: victim.vtep_mac() == mac, HEAL_S, f"MAC {mac}")
    victim.daemon.wait_log(f"device-repaired: flannel.1, .*MAC 0e:77:77:77:77:77 -> {mac}")
    heals(lab, victim)


@pytest.mark.parametrize("kind", ["bridge", "vrf table 77"])
def test_device_put_into_another(lab, victim, kind):
    """A script that collects interfaces, a network manager: all packets would be lost."""
    made = victim.namespace.run("ip", "link", "add", "other0", "type", *kind.split(), check=False)
    if made.returncode:
        pytest.skip(f"this kernel has no {kind.split()[0]}")
    victim.namespace.ip_do("link set flannel.1 master other0")
    wait_for(lambda: "master" not in victim.link(), HEAL_S, "it is on its own")
    lab.wait_equal()
    victim.daemon.wait_log("device-repaired: flannel.1, .*: taken out of other0")


def test_renamed_device(lab, victim):
    victim.namespace.ip_do("link set flannel.1 down")
    victim.namespace.ip_do("link set flannel.1 name mine0")
    wait_for(lambda: victim.link("flannel.1"), 3, "flannel.1 is there")
    wait_for(lambda: "UP" in victim.link("flannel.1")["flags"], 3, "flannel.1 is up")
    lab.wait_equal(3, [victim])
    c1, c2 = victim.container(), lab.all_hosts[1].container()
    with lab.pinger(c1, c2) as pinger:
        wait_for(lambda: pinger.sent > 20, 5, "pings")


def test_underlay_mtu_is_followed(lab, victim):
    victim.namespace.ip_do("link set eth0 mtu 1400")
    wait_for(lambda: victim.link()["mtu"] == 1350, 2, "the device follows")
    wait_for(lambda: victim.daemon.environment_file()["FLANNEL_MTU"] == "1350", 2, "subnet.env follows")
    victim.namespace.ip_do("link set eth0 mtu 1500")
    wait_for(lambda: victim.link()["mtu"] == 1450, 2, "and back")


@pytest.mark.slow
def test_vandal_that_does_not_stop(lab, victim):
    """A program that deletes a route again and again: it is put back, at last a little later, and burns no CPU."""
    route, _, _ = peer_objects(victim)
    cpu = victim.daemon.metric("process_cpu_seconds_total")
    lines = victim.daemon.log().count("\n")

    def fights():
        victim.namespace.run("ip", "route", "del", route[2], check=False)
        return "fighting" in victim.daemon.problems()

    wait_for(fights, 5, "the fight is named")
    lab.wait_equal(2, [victim])
    victim.daemon.wait_ok(20)
    assert victim.daemon.metric("process_cpu_seconds_total") - cpu < 1
    assert victim.daemon.log().count("\n") - lines < 60


def test_an_fdb_entry_that_leads_to_a_nexthop_group(lab, victim):
    """By address the kernel acknowledges the replacement of such an entry and does nothing: said to be healed, it is."""
    ns = victim.namespace
    _, _, fdb = peer_objects(victim)
    ns.ip_do("nexthop add id 20 via 192.0.2.99 fdb")
    ns.ip_do("nexthop add id 30 group 20 fdb")
    ns.bridge_do(f"fdb del {fdb[2]} dev flannel.1 dst {fdb[3]}")
    heals(lab, victim)
    for _ in range(2):
        victim.daemon.signal(signal.SIGSTOP)  # or it puts back what was deleted before the other is added
        ns.bridge_do(f"fdb del {fdb[2]} dev flannel.1")
        ns.bridge_do(f"fdb add {fdb[2]} dev flannel.1 nhid 30 self permanent")
        victim.daemon.signal(signal.SIGCONT)
        lab.wait_equal(3, [victim])
        shown = [f for f in ns.bridge("fdb", "show", "dev", "flannel.1") if f["mac"] == fdb[2]]
        assert [(f.get("dst"), f.get("nhid")) for f in shown] == [(fdb[3], None)]
        victim.daemon.wait_ok(3)


@pytest.mark.parametrize(
    "how",
    ["replace dst {dst} port 9999", "replace dst {dst} vni 77", "replace dst {dst} via lo", "append dst 192.0.2.99"],
)
def test_an_fdb_entry_that_leads_elsewhere_too(lab, victim, fabric3, how):
    """Another port, VNI or interface, a second remote: only what we write stays, and pings, lost before, pass again."""
    h1, h2 = fabric3[:2]
    ns, c1, c2 = h1.namespace, h1.container(), h2.container()
    fdb = next(o for o in h1.objects() if o[0] == "fdb" and o[3] == h2.address)
    verb, rest = how.format(dst=fdb[3]).split(" ", 1)
    ping = ("ping", "-c", "1", "-W", "1", c2.address)
    for _ in range(2):
        h1.daemon.signal(signal.SIGSTOP)
        ns.bridge_do(f"fdb {verb} {fdb[2]} dev flannel.1 {rest} self permanent")
        if verb == "replace":
            with pytest.raises(AssertionError, match="100% packet loss"):
                c1.namespace.run(*ping)
        h1.daemon.signal(signal.SIGCONT)
        heals(lab, h1)
        shown = [f for f in ns.bridge("fdb", "show", "dev", "flannel.1") if f["mac"] == fdb[2]]
        assert [(f.get("dst"), f.get("port"), f.get("vni"), f.get("via")) for f in shown] == [
            (fdb[3], None, None, None)
        ], shown
        c1.namespace.run(*ping)
    h1.daemon.wait_ok(3)


def test_an_fdb_entry_that_was_led_elsewhere_while_the_daemon_was_down(lab, victim):
    """No notification tells of it, and its address is right: what it has besides is looked at."""
    _, _, fdb = peer_objects(victim)
    fdb_led_elsewhere(lab, victim, "flannel.1", fdb)


def test_a_route_that_stands_before_ours_is_named(lab, victim):
    """Same destination and metric, another protocol: it takes the peer's packets and is not ours to delete."""
    ns = victim.namespace
    route, _, _ = peer_objects(victim)
    ns.ip_do("link add br9 type bridge")
    ns.ip_do("link set br9 up")
    ns.ip_do(f"route prepend {route[2]} dev br9 proto static")
    wait_for(lambda: "route-shadowed" in victim.daemon.problems(), 2, "the route to be named")
    problem = next(p for p in victim.daemon.status()["problems"] if p["name"] == "route-shadowed")
    assert "proto 4" in problem["text"] and route[2] in problem["text"]
    assert [i["action"] for i in victim.daemon.json("/v1/diff")["items"]] == ["shadowed"]
    assert len(ns.ip("route", "show", route[2])) == 2
    ns.ip_do(f"route del {route[2]} dev br9 proto static")
    victim.daemon.wait_ok(2)
    # Behind ours it takes nothing.
    ns.ip_do(f"route append {route[2]} dev br9 proto static")
    victim.daemon.wait_ok(2)
    assert not victim.daemon.json("/v1/diff")["items"]


def shadowed(host):
    return sorted(i["object"] for i in host.daemon.json("/v1/diff")["items"] if i["action"] == "shadowed")


def shadow_problem(host):
    return next((p["text"] for p in host.daemon.status()["problems"] if p["name"] == "route-shadowed"), "")


@pytest.mark.parametrize("how", ["prepend", "add"])
def test_a_route_that_stood_before_ours_while_the_daemon_was_down_is_named(lab, victim, how):
    """No notification tells of it; "add" takes the place of a route that is missing."""
    ns = victim.namespace
    route, _, _ = peer_objects(victim)
    ns.ip_do("link add br9 type bridge")
    ns.ip_do("link set br9 up")
    victim.daemon.stop()
    if how == "add":
        ns.ip_do(f"route del {route[2]}")
    ns.ip_do(f"route {how} {route[2]} dev br9 proto static")
    victim.daemon.start()
    wait_for(lambda: "route-shadowed" in victim.daemon.problems(), 5, "the route to be named")
    text = shadow_problem(victim)
    assert "proto 4" in text and route[2] in text
    assert len(shadowed(victim)) == 1 and "proto 4" in shadowed(victim)[0]
    ns.ip_do(f"route del {route[2]} dev br9 proto static")
    wait_for(lambda: "route-shadowed" not in victim.daemon.problems(), 2, "the end of it")
    victim.daemon.wait_ok(35)
    lab.wait_equal(2, [victim])


@pytest.mark.parametrize("when", ["running", "down"])
def test_a_longer_prefix_within_a_peers_subnet_is_named(victim, when):
    """Wherever in it, and after the end of one the next one."""
    check_longer_prefixes(victim, peer_objects(victim)[0][2], when)


def test_a_longer_prefix_that_was_there_before_the_peer_is_named(lab, victim):
    """Its notification came when nothing of ours stood around it."""
    key, value = made_up_lease(7)
    subnet = key.rsplit("/", 1)[1].replace("-24", "/24")
    longer = list(ipaddress.ip_network(subnet).subnets(2))[2]
    victim.namespace.ip_do("link add br9 type bridge")
    victim.namespace.ip_do("link set br9 up")
    victim.namespace.ip_do(f"route add {longer} dev br9 proto static")
    # The look at all routes that follows a start is over.
    stays(lambda: not shadow_problem(victim), 1.5, "it is behind no peer")
    lab.etcd.put(PREFIX + key, value)
    wait_for(lambda: str(longer) in shadow_problem(victim), 5, "the route to be named")
    victim.namespace.ip_do(f"route del {longer} dev br9 proto static")
    victim.daemon.wait_ok(5)


@pytest.mark.parametrize("kind", ["blackhole", "unreachable", "prohibit"])
def test_a_route_that_leads_nowhere_is_named(victim, kind):
    """For one container of a peer: where it leads the kernel does not show, it just fails."""
    subnet = peer_objects(victim)[0][2]
    container = f"{ipaddress.ip_network(subnet)[7]}/32"
    victim.namespace.ip_do(f"route add {kind} {container}")
    wait_for(lambda: shadow_problem(victim), 2, "the route to be named")
    assert f"route {kind} {container}" in shadow_problem(victim) and subnet in shadow_problem(victim)
    victim.namespace.ip_do(f"route del {kind} {container}")
    victim.daemon.wait_ok(5)


def test_what_is_refused_waits_for_its_time(lab, victim):
    """While somebody's route has a peer's slot, other leases come: each costs its own writes, not a look at everything."""
    ns, daemon = victim.namespace, victim.daemon
    route, _, _ = peer_objects(victim)
    daemon.stop()
    ns.ip_do(f"route replace {route[2]} dev lo proto static")
    daemon.start()
    daemon.wait_status(lambda s: s["kernel"]["failed"] == 1)
    looks = daemon.metric("flannel_observations_total")
    for number in range(30):
        key, value = made_up_lease(number)
        lab.etcd.put(PREFIX + key, value)
        subnet = key.rsplit("/", 1)[1].replace("-24", "/24")
        wait_for(lambda subnet=subnet: any(o[2] == subnet for o in victim.objects()), 2, "the peer's route")
    assert daemon.metric("flannel_observations_total") - looks <= 8
    ns.ip_do(f"route del {route[2]} dev lo proto static")
    daemon.wait_status(lambda s: s["kernel"]["failed"] == 0, 2)
    lab.wait_equal(2, [victim])


def test_foreign_objects_are_left_alone(lab, victim):
    """Objects that others made, next to ours and even inside our network's range."""
    ns = victim.namespace
    ns.ip_batch(
        [
            "link add vxlan9 type vxlan id 9 dstport 9999 local 192.0.2.1 nolearning",
            "link set vxlan9 up",
            "addr add 172.31.0.1/24 dev vxlan9",
            "route add 172.30.0.0/16 via 192.0.2.254 proto static",
            "route add 10.5.254.0/24 via 192.0.2.254 proto static",
            "route add 10.96.0.0/12 via 192.0.2.254 proto bird",
            "neigh add 192.0.2.77 lladdr 0e:00:00:00:00:77 nud permanent dev eth0",
            "neigh add 172.31.0.2 lladdr 0e:00:00:00:00:78 nud permanent dev vxlan9",
            "rule add from 172.30.0.0/16 table 77",
        ]
    )
    ns.bridge_do("fdb add 0e:00:00:00:00:79 dev vxlan9 dst 192.0.2.78 self permanent")

    def foreign():
        return (
            sorted(
                str((r["dst"], r.get("gateway"), r.get("protocol")))
                for r in ns.ip("route", "show")
                if r.get("dev") != "flannel.1"
            ),
            sorted(str((n["dst"], n.get("lladdr"))) for n in ns.ip("neigh", "show", "nud", "permanent") if n["dev"] != "flannel.1"),
            sorted(str(f) for f in ns.bridge("fdb", "show", "dev", "vxlan9")),
            [(link["ifname"], link["ifindex"], link["mtu"]) for link in ns.ip("link", "show") if link["ifname"] != "flannel.1"],
            ns.ip("rule", "show"),
        )

    before = foreign()
    victim.daemon.restart()
    ns.ip_do("link del flannel.1")
    lab.wait_equal(3, [victim])
    victim.daemon.kill()
    victim.daemon.start().wait_ready()
    lab.wait_equal(3, [victim])
    assert foreign() == before


# What may happen to a host before the answer of the store.
MEANWHILE = {
    "nothing": lambda h, route, neighbour, fdb: None,
    "a route is gone": lambda h, route, neighbour, fdb: h.ip_do(f"route del {route[2]}"),
    "a route of ours leads nowhere": lambda h, route, neighbour, fdb: h.ip_do(f"route replace blackhole {route[2]} proto 102"),
    "another MAC": lambda h, route, neighbour, fdb: h.ip_do(
        f"neigh replace {neighbour[2]} lladdr 0e:00:00:00:00:99 nud permanent dev flannel.1"
    ),
    "another remote": lambda h, route, neighbour, fdb: h.bridge_do(
        f"fdb replace {fdb[2]} dev flannel.1 dst 192.0.2.99 self permanent"
    ),
    "a second remote": lambda h, route, neighbour, fdb: h.bridge_do(
        f"fdb append {fdb[2]} dev flannel.1 dst 192.0.2.99 self permanent"
    ),
    "one too many": lambda h, route, neighbour, fdb: h.ip_do("route add 10.5.251.0/24 dev flannel.1 proto 102"),
    "the device is gone": lambda h, route, neighbour, fdb: h.ip_do("link del flannel.1"),
    "the device was down": lambda h, route, neighbour, fdb: h.ip_batch(
        ["link set flannel.1 down", "link set flannel.1 up"]
    ),
}


def start_held(lab, before=lambda host, *objects: None):
    """A host whose daemon has read the kernel and waits for the store: (host, objects of one peer, proxy)."""
    lab.start_etcd()
    lab.configure()
    proxy = lab.proxy()
    h1, h2, h3 = lab.hosts(3)
    h1.start_daemon(etcd_endpoints=proxy.endpoint)
    for host in (h2, h3):
        host.start_daemon()
    for host in (h1, h2, h3):
        host.daemon.wait_peers(2)
    lab.wait_equal()
    objects = peer_objects(h1)
    assert h1.daemon.stop() == 0
    proxy.set("hold")
    before(h1.namespace, *objects)
    h1.daemon.start()
    wait_for(lambda: h1.daemon.metric("flannel_observations_total") == 1, 5, "the kernel is read ahead")
    assert h1.daemon.request("/readyz")[0] == 503
    return h1, objects, proxy


@pytest.mark.parametrize("read", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("what", MEANWHILE)
def test_what_happens_while_the_daemon_starts(lab, what, read):
    """The kernel is read while the store still lists; what changed before or changes after that is noticed."""
    h1, objects, proxy = start_held(lab, MEANWHILE["nothing" if read else what])
    if read:
        MEANWHILE[what](h1.namespace, *objects)
    monitor = h1.monitor()
    dumps = h1.daemon.metric("flannel_netlink_dumps_total")
    proxy.set("pass")
    h1.daemon.wait_peers(2)
    heals(lab, h1)
    if what == "nothing":
        assert h1.daemon.metric("flannel_netlink_writes_total") == 0
        # One of all kinds, and one of the guard's elements, which can be read once their table has been.
        assert h1.daemon.metric("flannel_observations_total") <= 2, "nothing was read twice"
        # Addresses and routes of containers (8 dumps), links and what has our mark (2), perhaps the underlay once more (2).
        assert h1.daemon.metric("flannel_netlink_dumps_total") - dumps <= 12, "nothing was read twice"
        assert monitor.tunnel_events() == []


def test_what_was_read_long_ago_is_read_again(lab):
    h1, _, proxy = start_held(lab)
    wait_for(lambda: h1.daemon.status()["kernel"]["comparedSecondsAgo"] >= 3, 10, "time passes")
    proxy.set("pass")
    h1.daemon.wait_peers(2)
    h1.daemon.wait_ok()
    assert h1.daemon.metric("flannel_observations_total") == 2
    assert h1.daemon.metric("flannel_netlink_writes_total") == 0


def test_the_last_address_goes_while_the_daemon_starts(lab):
    """One of an earlier subnet: with it the kernel takes all IPv4 routes of the device, and tells nobody."""

    def other_address(h, *_):
        own = next(a["local"] for a in h.ip("addr", "show", "flannel.1")[0]["addr_info"] if a["family"] == "inet")
        h.ip_batch(["addr add 10.5.9.9/32 dev flannel.1", f"addr del {own}/32 dev flannel.1"])

    h1, (route, _, _), proxy = start_held(lab, other_address)
    assert h1.namespace.ip("route", "show", route[2])
    h1.namespace.ip_do("addr del 10.5.9.9/32 dev flannel.1")
    assert not h1.namespace.ip("route", "show", route[2])
    proxy.set("pass")
    h1.daemon.wait_peers(2)
    heals(lab, h1)


@pytest.mark.parametrize("read", [False, True], ids=["before", "after"])
def test_a_route_of_somebody_else_that_comes_while_the_daemon_starts(lab, read):
    """In the place of a route as a former version left it. It stays, and status says why the peer has none."""

    def former(h, route, *_):
        h.ip_do(f"route replace {route[2]} dev flannel.1")

    def foreign(h, route, *_):
        h.ip_do(f"route replace {route[2]} via 192.0.2.254 dev eth0")

    def both(h, route, *_):
        former(h, route)
        foreign(h, route)

    h1, objects, proxy = start_held(lab, former if read else both)
    if read:
        foreign(h1.namespace, *objects)
    proxy.set("pass")
    h1.daemon.wait_ready()
    refused = next(p["text"] for p in h1.daemon.status()["problems"] if p["name"] == "kernel-refused")
    assert f"route {objects[0][2]}" in refused and "another object in this place" in refused
    stands = h1.namespace.ip("route", "show", objects[0][2])
    assert [(r["dev"], r["gateway"]) for r in stands] == [("eth0", "192.0.2.254")]
    assert not h1.daemon.logged("drift-healed")
