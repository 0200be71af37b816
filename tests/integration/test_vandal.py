# SPDX-License-Identifier: Apache-2.0
"""The vandal: a seeded random program that deletes, alters and adds what the fabric has in the kernel, in both families.

After each act, on any of three hosts, the kernel must be as the store says within a second, and what is not ours must be
as it was, 100000 routes of somebody else among it. VANDAL_SEED=n repeats a run, VANDAL_STEPS=n makes it longer.
"""

import contextlib
import itertools
import ctypes
import ipaddress
import os
import random
import re
import signal
import socket
import struct
import time

import pytest

import netns
import witness
from fabric import DUAL
from netns import wait_for

HEAL_S = 1.0
STEPS = int(os.environ.get("VANDAL_STEPS", "40"))
FOREIGN_ROUTES = 100000
SLOW_S = 30.0  # full comparison although nothing was noticed
PIDFD_GETFD = 438
SO_ATTACH_FILTER = 26
MTU = {"flannel.1": 1450, "flannel-v6.1": 1430}


class Victim:
    """One host of the fabric: what its kernel must have, and what a vandal may do to it."""

    def __init__(self, lab, host):
        self.host = host
        self.namespace = host.namespace
        self.want = witness.wanted(lab.etcd.leases(), host.daemon.subnet())
        self.macs = {device: host.vtep_mac(device) for device in MTU}

    def difference(self):
        links = {link["ifname"]: link for link in self.namespace.ip("link", "show")}
        for device, mtu in MTU.items():
            link = links.get(device)
            if not link:
                return f"no {device}"
            seen = ("UP" in link["flags"], link["mtu"], link["address"], link["linkinfo"]["info_data"]["learning"])
            if seen != (True, mtu, self.macs[device], False):
                return f"{device}: {seen}"
        return witness.difference(self.want, witness.found(self.namespace, everywhere=False)) or self.altered()

    def altered(self):
        """What the tuples of the witness do not show."""
        for device in MTU:
            for family in ("-4", "-6"):
                for route in self.namespace.ip(family, "route", "show", "dev", device):
                    if route.get("metrics") or route.get("type", "unicast") != "unicast":
                        return f"altered: {route}"
            for entry in self.namespace.bridge("fdb", "show", "dev", device):
                if "port" in entry or entry.get("state") != "permanent":
                    return f"altered: {entry}"
        return ""

    def heals(self, what, within_s=HEAL_S):
        # A machine with more to do than processors gets so much more time.
        within_s *= max(1, os.getloadavg()[0] / os.cpu_count())
        start = began = time.monotonic()

        def equal():
            nonlocal began
            began = time.monotonic()
            problem = self.difference()
            assert not problem, problem
            return True

        wait_for(equal, 10, f"healed after {what}")
        # It was right when the look that found it so began, at the latest.
        took = began - start
        assert took < within_s, f"healed only after {took:.2f} s: {what}"
        return took

    def pick(self, rng, kind):
        return rng.choice(sorted(o for o in self.want if o[0] == kind))

    def route_acts(self, rng):
        """What can be done to the route of a peer."""
        _, rdev, subnet, base = self.pick(rng, "route")
        rsix = "-6 " if ":" in subnet else ""
        router = "2001:db8:1::fe" if rsix else "192.0.2.254"
        number = int(ipaddress.ip_network(subnet).network_address) >> (64 if rsix else 8)
        protocol = 102 if rsix else 102 + number % 16
        twin = f"ip {rsix}route append {subnet} via {base} dev {rdev} onlink mtu 1300 proto {protocol}"
        two_gateways = f"ip route replace {subnet} nexthop via {router} dev eth0 nexthop via 192.0.2.253 dev eth0"
        if rsix:
            twin = f"ip -6 route replace {subnet} via {base} dev {rdev} onlink mtu 1300 proto {protocol}"
            two_gateways = f"ip -6 route append {subnet} via {router} dev eth0"
        return [
            ("deleted route", [f"ip {rsix}route del {subnet} dev {rdev}"]),
            ("route into a black hole", [f"ip {rsix}route replace blackhole {subnet}"]),
            ("route called unreachable", [f"ip {rsix}route replace unreachable {subnet}"]),
            ("route over the router", [f"ip {rsix}route replace {subnet} via {router} dev eth0 proto static"]),
            ("route over the router, ours by number", [f"ip {rsix}route replace {subnet} via {router} proto 102"]),
            ("route with an MTU", [f"ip {rsix}route replace {subnet} via {base} dev {rdev} onlink mtu 1300"]),
            ("route over two gateways", [two_gateways]),
            ("another route behind ours", [f"ip {rsix}route append {subnet} dev {rdev} proto static"]),
            ("the like of ours behind it", [twin]),
        ]

    def acts(self, rng):
        """[(name, [commands])], one of each kind; a command is one of ip or bridge, after a ? the daemon may be faster."""
        device = rng.choice(sorted(MTU))
        six = device == "flannel-v6.1"
        family = "-6 " if six else ""
        _, ndev, naddr, nmac = self.pick(rng, "neighbour")
        _, fdev, fmac, fdst = self.pick(rng, "fdb")
        _, adev, address = self.pick(rng, "address")
        wrong = "2001:db8:1::66" if fdev == "flannel-v6.1" else "192.0.2.66"
        stray = f"fd10:5:0:{rng.randrange(1, 0xfff):x}::" if six else f"10.5.{rng.randrange(1, 140)}.0"
        length = 64 if six else 24
        mac = "0e:%02x:%02x:00:00:01" % (rng.randrange(256), rng.randrange(256))
        return self.route_acts(rng) + [
            ("deleted neighbour", [f"ip neigh del {naddr} dev {ndev}"]),
            ("deleted FDB entry", [f"bridge fdb del {fmac} dev {fdev} dst {fdst}"]),
            ("deleted address", [f"ip addr del {address} dev {adev}"]),
            ("stray route", [f"ip {family}route add {stray}/{length} dev {device} proto 110"]),
            ("stray neighbour", [f"ip neigh replace {stray} lladdr {mac} nud permanent dev {device}"]),
            ("stray FDB entry", [f"bridge fdb add {mac} dev {fdev} dst {wrong} self permanent"]),
            ("entry for everybody", [f"bridge fdb append 00:00:00:00:00:00 dev {fdev} dst {fdst} self permanent"]),
            ("stray address", [f"ip addr add {stray}/{128 if six else 32} dev {device}"]),
            ("neighbour with another MAC", [f"ip neigh replace {naddr} lladdr {mac} nud permanent dev {ndev}"]),
            ("neighbour that ages", [f"ip neigh replace {naddr} lladdr {nmac} nud stale dev {ndev}"]),
            ("FDB entry elsewhere", [f"bridge fdb replace {fmac} dev {fdev} dst {wrong} self permanent"]),
            ("FDB entry with a port", [f"bridge fdb replace {fmac} dev {fdev} dst {fdst} port 9999 self permanent"]),
            ("device down", [f"ip link set {device} down"]),
            ("device down and up", [f"ip link set {device} down", f"ip link set {device} up"]),
            ("device deleted", [f"ip link del {device}"]),
            ("both devices deleted", [f"ip link del {name}" for name in MTU]),
            ("device renamed", [f"ip link set {device} down", f"ip link set {device} name mine{rng.randrange(100)}"]),
            ("MTU", [f"ip link set {device} mtu {rng.choice((1000, 1280, 1400))}"]),
            ("MTU down and up", [f"ip link set {device} mtu 1000", f"ip link set {device} mtu {MTU[device]}"]),
            ("MAC", [f"ip link set {device} address {mac}"]),
            ("learning", [f"ip link set {device} type vxlan learning"]),
            ("routes flushed", [f"ip -4 route flush dev {device}", f"ip -6 route flush dev {device}"]),
            ("neighbours flushed", [f"ip neigh flush dev {device} nud permanent"]),
            ("addresses flushed", [f"ip addr flush dev {device}"]),
            ("everything flushed", [f"ip {x} flush dev {device}" for x in ("route", "-6 route", "addr")]),
            ("route into the tunnel added", [f"ip {family}route add {stray}/{length} dev {device} proto static"]),
            ("address over all of the network", [f"ip addr add {stray}/{48 if six else 16} dev {device}"]),
            ("device of another VNI", [f"ip link del {device}", f"?ip link add {device} type vxlan id 77 dstport 8472"]),
            ("device that comes and goes", ["ip link add gone8 type bridge", "ip link del gone8"]),
            ("underlay down and up", self.flap()),
        ]

    def flap(self):
        """The underlay interface, with what the kernel takes along and whoever configures it puts back."""
        host = self.host
        return [
            "ip link set eth0 down",
            "ip link set eth0 up",
            f"ip addr replace {host.address6}/64 dev eth0 nodad",
            *(f"ip {line}" for line in routes_over_eth0()),
        ]

    def run(self, commands):
        for command in commands:
            program, *words = command.removeprefix("?").split()
            netns.run(program, "-n", self.namespace.name, *words, check=not command.startswith("?"))


def foreign_routes(namespace):
    """Many routes of somebody else, over a device of its own."""
    namespace.ip_batch(
        [
            "link add lan0 type veth peer name lan1",
            "link set lan1 up",
            "addr add 172.30.0.1/24 dev lan0",
            "link set lan0 up",
        ]
    )
    batch = "".join(
        f"route add 172.{16 + n // 65536}.{n // 256 % 256}.{n % 256}/32 via 172.30.0.254 proto static\n"
        for n in range(FOREIGN_ROUTES)
    )
    netns.run("ip", "-n", namespace.name, "-batch", "-", input=batch)
    lines = netns.run("ip", "-n", namespace.name, "route", "show", "dev", "lan0", "proto", "static").splitlines()
    assert len(lines) == FOREIGN_ROUTES


def foreign(namespace):
    """Everything in the namespace that the fabric did not make."""
    ours = tuple(MTU)
    lines = netns.run("ip", "-n", namespace.name, "route", "show").splitlines()
    lines += netns.run("ip", "-n", namespace.name, "-6", "route", "show").splitlines()
    return (
        set(line for line in lines if not any(f"dev {name}" in line for name in ours)),
        sorted((n["dst"], n["lladdr"]) for n in namespace.ip("neigh", "show", "nud", "permanent") if n["dev"] not in ours),
        sorted(str(f) for f in namespace.bridge("fdb", "show", "dev", "vxlan9")),
        [
            (link["ifname"], link["ifindex"], link["mtu"], link["flags"], [a["local"] for a in link["addr_info"]])
            for link in namespace.ip("addr", "show")
            if link.get("ifname") not in ours
        ],
        namespace.ip("rule", "show"),
    )


def routes_over_eth0():
    """The default routes and those of others, as `ip` takes them."""
    return [
        "route replace default via 192.0.2.254",
        "route replace default via 2001:db8:1::fe",
        "route replace 10.5.254.0/24 via 192.0.2.254 proto static",
        "route replace 10.96.0.0/12 via 192.0.2.254 proto bird",
        "route replace fd10:5:0:ffff::/64 via 2001:db8:1::fe proto static",
        "route replace 198.18.0.0/15 via 192.0.2.254 proto 102",
        "neigh replace 192.0.2.77 lladdr 0e:00:00:00:00:77 nud permanent dev eth0",
    ]


def neighbours_of_ours(namespace):
    """Devices, routes, neighbours and rules of others, close to ours and with our numbers."""
    namespace.ip_batch(
        [
            "link add vxlan9 type vxlan id 9 dstport 9999 local 192.0.2.1 nolearning",
            "link set vxlan9 up",
            "addr add 172.31.0.1/24 dev vxlan9",
            "addr add fd99::1/64 dev vxlan9 nodad",
            *routes_over_eth0(),
            "neigh add 172.31.0.2 lladdr 0e:00:00:00:00:78 nud permanent dev vxlan9",
            "rule add from 172.30.0.0/16 table 77",
        ]
    )
    namespace.bridge_do("fdb add 0e:00:00:00:00:79 dev vxlan9 dst 192.0.2.78 self permanent")


def index_of(namespace, device):
    return next(link["ifindex"] for link in namespace.ip("link", "show") if link["ifname"] == device)


@pytest.fixture
def victims(lab):
    lab.start_etcd()
    lab.configure(DUAL)
    hosts = lab.hosts(3, daemons=True)
    hosts[0].daemon.wait_ok()
    lab.wait_equal()
    return [Victim(lab, host) for host in hosts]


@pytest.fixture
def victim(victims):
    return victims[0]


@pytest.mark.slow
def test_the_vandal(lab, victims):
    seed = int(os.environ.get("VANDAL_SEED") or random.randrange(1 << 32))
    rng = random.Random(seed)
    for victim in victims:
        neighbours_of_ours(victim.namespace)
    containers = [host.container() for host in lab.all_hosts]
    with lab.pinger(*containers):
        pass
    # All hosts have somebody else's objects among theirs, one of them very many.
    crowded = victims[0].namespace
    foreign_routes(crowded)
    victims[0].heals("the foreign routes", 5)
    before = [foreign(victim.namespace) for victim in victims]
    assert sum("dev lan0 proto static" in line for line in before[0][0]) == FOREIGN_ROUTES
    times, kinds = [], []
    # The kernel tells of what it forgets itself, after a minute: the groups that a device listens to.
    for family, device in itertools.product(("ipv4", "ipv6"), ("lan0", "vxlan9")):
        crowded.sysctl(f"net.{family}.neigh.{device}.gc_stale_time", 3600)
    with contextlib.closing(witness.KernelMonitor(crowded)) as monitor:
        untouched = {index_of(crowded, "lan0"), index_of(crowded, "vxlan9")}
        for step in range(STEPS):
            victim = rng.choice(victims)
            acts = victim.acts(rng)
            # Every kind once before one comes again.
            kinds = kinds or rng.sample(range(len(acts)), len(acts))
            name, commands = acts[kinds.pop()]
            what = f"VANDAL_SEED={seed}, step {step}, {victim.host.name}: {name}: {'; '.join(commands)}"
            try:
                victim.run(commands)
            except AssertionError as e:
                raise AssertionError(f"{what}: {e}") from e
            times.append(victim.heals(what))
            # Not even deleted and made again.
            events = [event for event in monitor.events() if event[1] in untouched]
            # The kernel forgets a group that a device listened to when it likes.
            assert not [event for event in events if event[0] != monitor.FORGOTTEN], what
    print(f"seed {seed}: {STEPS} acts, healed after {sorted(times)[STEPS // 2]:.3f} s (median), {max(times):.3f} s at most")
    for victim, was in zip(victims, before):
        for now, then in zip(foreign(victim.namespace), was):
            assert now == then, f"VANDAL_SEED={seed}, {victim.host.name}"
        assert not victim.difference()
        victim.host.daemon.wait_ok()
    with lab.pinger(*containers) as pinger:
        wait_for(lambda: pinger.sent >= 12 * 10, 10, "pings")
    assert pinger.lost == 0, pinger.report()


@pytest.mark.slow
@pytest.mark.long
def test_notifications_that_are_lost(lab, victim):
    """The daemon stands still while more happens than its socket can hold, vandalism first."""
    h1, ns = victim.host, victim.namespace
    neighbours_of_ours(ns)
    h1.daemon.signal(signal.SIGSTOP)
    foreign_routes(ns)
    before = foreign(ns)
    victim.run(
        [
            f"ip route del {victim.pick(random.Random(1), 'route')[2]}",
            "ip neigh flush dev flannel.1 nud permanent",
            "ip -6 route flush dev flannel-v6.1",
            "ip link set flannel-v6.1 mtu 1300",
            "bridge fdb add 0e:00:00:00:00:99 dev flannel.1 dst 192.0.2.99 self permanent",
        ]
    )
    h1.daemon.signal(signal.SIGCONT)
    took = victim.heals("an overrun", 3)
    print(f"healed {took:.3f} s after an overrun")
    h1.daemon.wait_log("notifications-lost")
    assert foreign(ns) == before
    h1.daemon.wait_ok()


def deafen(daemon):
    """From now on the kernel drops what it has to tell the daemon, without saying that it does.

    A filter that lets nothing pass is attached to the daemon's own socket for notifications.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    instruction = ctypes.create_string_buffer(struct.pack("=HBBI", 0x06, 0, 0, 0))  # return 0
    program = struct.pack("@HP", 1, ctypes.addressof(instruction))
    with open(f"/proc/{daemon.pid}/net/netlink", encoding="ascii") as file:
        rows = [line.split() for line in file][1:]
    # NETLINK_ROUTE, and in some group.
    inodes = {row[9] for row in rows if row[1] == "0" and int(row[3], 16)}
    pidfd = os.pidfd_open(daemon.pid)
    found = 0
    for name in os.listdir(f"/proc/{daemon.pid}/fd"):
        match = None
        with contextlib.suppress(FileNotFoundError):  # a request of ours that has just ended
            match = re.fullmatch(r"socket:\[(\d+)\]", os.readlink(f"/proc/{daemon.pid}/fd/{name}"))
        if not match or match[1] not in inodes:
            continue
        fd = libc.syscall(PIDFD_GETFD, pidfd, int(name), 0)
        assert fd >= 0, os.strerror(ctypes.get_errno())
        with socket.socket(fileno=fd) as s:
            s.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)
        found += 1
    os.close(pidfd)
    assert found == 1


@pytest.mark.slow
@pytest.mark.long
def test_notifications_that_never_come(lab, victim):
    """Nothing tells the daemon, not even an overrun: it looks by itself now and then."""
    h1, h2, _ = lab.all_hosts
    neighbours_of_ours(victim.namespace)
    # It looks half a minute after its start at the latest; the start is the beginning of that.
    h1.daemon.restart()
    h1.daemon.wait_ok()
    victim = Victim(lab, h1)
    before = foreign(victim.namespace)
    observations = h1.daemon.metric("flannel_observations_total")
    start = time.monotonic()
    deafen(h1.daemon)
    subnet6 = next(o[2] for o in sorted(victim.want) if o[0] == "route" and ":" in o[2])
    victim.run(
        [
            f"ip route del {h2.daemon.subnet()}",
            f"ip -6 route replace blackhole {subnet6}",
            "ip neigh flush dev flannel.1 nud permanent",
            f"bridge fdb del {h2.vtep_mac()} dev flannel.1 dst {h2.address}",
            "bridge fdb add 0e:00:00:00:00:99 dev flannel-v6.1 dst 2001:db8:1::99 self permanent",
            "ip addr add 10.5.3.0/32 dev flannel.1",
            "ip link set flannel-v6.1 mtu 1300",
            "ip link set flannel.1 type vxlan learning",
        ]
    )
    netns.stays(victim.difference, 2, "nobody has told it")
    assert h1.daemon.metric("flannel_observations_total") == observations
    wait_for(lambda: not victim.difference(), SLOW_S * 1.5, "healed without a notification")
    print(f"healed {time.monotonic() - start:.1f} s after the notifications had stopped")
    assert time.monotonic() - start < SLOW_S * 1.2 * max(1, os.getloadavg()[0] / os.cpu_count())
    assert not h1.daemon.logged("notifications-lost")
    assert foreign(victim.namespace) == before
    h1.daemon.wait_ok()
