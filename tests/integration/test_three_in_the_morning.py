# SPDX-License-Identifier: Apache-2.0
"""Faults as hands make them, with nft, ip and kill; `fabricctl status` names the cause on every host that can know it.

docs/operations.md, "Three in the morning", is the table of what is tested here. The three hosts live as long as
nothing went wrong on them: each test undoes what it did, and the next one begins when all is well again.
"""

import contextlib
import json
import signal
import socket
import struct

import pytest

import fabric
from etcd import PREFIX
from fabric import APART
from fabricctl_support import FOUND, NO_DAEMON, fabricctl
from netns import wait_for
from traffic import send_tunnel, udp, vxlan
from witness import lease_value

NAMED_S = 30  # every fault is named by then
WELL_S = 60  # and forgotten by then


class Night:
    """Three hosts with a container each, which ask each other every second whether they answer."""

    def __init__(self):
        self.lab = fabric.Lab()
        self.undo = contextlib.ExitStack()
        self.broken = False
        self.lab.start_etcd()
        self.lab.configure(APART)
        self.hosts = self.lab.hosts(3)
        for host in self.hosts:
            host.namespace.sysctl("net.ipv4.ping_group_range", "0 0")
            host.make_daemon(probe_interval=1, iptables_resync=1).start()
        for host in self.hosts:
            host.daemon.wait_ready()
            host.daemon.wait_peers(2)
            host.container()
        self.stranger = None

    def well(self):
        for host in self.hosts:
            host.daemon.wait_status(
                # What came from strangers is mentioned for a minute.
                lambda s: {p["name"] for p in s["problems"]} <= {"packets-dropped"} and s["peers"] == 2
                and set(s["probes"]["peers"]) and s["probes"]["peers"]["ok"] == 2,
                WELL_S,
                "all is well",
            )

    def fault(self, do, undo):
        """Both are lines of shell on the second host, or functions."""
        h2 = self.hosts[1]

        def run(deed):
            if callable(deed):
                deed()
            else:
                h2.namespace.run("sh", "-ec", deed)

        self.undo.callback(run, undo)
        run(do)

    def put(self, key, value, lease=None):
        self.lab.etcd.put(key, value, lease)
        self.undo.callback(self.lab.etcd.delete, key)


@pytest.fixture(scope="module")
def nights():
    """The present one, made when it is needed."""
    present = []
    yield present
    for night in present:
        night.lab.close()


@pytest.fixture
def night(nights, request):
    if nights and nights[0].broken:
        nights.pop().lab.close()
    if not nights:
        nights.append(Night())
    night = request.node.lab = nights[0]
    request.node.lab = night.lab
    night.broken = True
    night.well()
    with night.undo:
        yield night
    night.well()
    night.broken = False


def named(host, name, *words, status=FOUND):
    """The problem as `fabricctl status` prints it, once it has all these words."""

    def shown():
        problem = next((p for p in host.daemon.status()["problems"] if p["name"] == name), None)
        assert problem, f"{host.name} says {[p['name'] for p in host.daemon.status()['problems']]}"
        assert all(word in problem["text"] for word in words), problem["text"]
        return problem["text"]

    text = wait_for(shown, NAMED_S, f"{host.name} says {name}")
    printed = fabricctl("status", "-o", "json", f"--socket={host.daemon.socket_path}")
    assert printed.returncode == status, printed.stdout + printed.stderr
    assert name in {p["name"] for p in json.loads(printed.stdout)["problems"]}
    return text


def says_nothing(host):
    """Of a fault of somebody else's, which does it no harm."""
    assert {p["name"] for p in host.daemon.status()["problems"]} <= {"packets-dropped"}


# ---- what is put back at once, and told


def test_objects_are_deleted(night):
    h1, h2, h3 = night.hosts
    subnet = h1.daemon.subnet()
    night.fault(f"ip neigh del {subnet.split('/')[0]} dev flannel.1", "true")
    h2.daemon.wait_log(f"drift-healed: neighbour .* of peer {subnet}")


def test_the_device_is_altered(night):
    h2 = night.hosts[1]
    night.fault("ip link set flannel.1 mtu 1000", "true")
    h2.daemon.wait_log("device-repaired: flannel.1, .*mtu 1000 -> 1450")


def test_the_table_is_deleted(night):
    h2 = night.hosts[1]
    night.fault("nft delete table inet flannel.1", "true")
    h2.daemon.wait_log("rules-healed: table flannel.1 is missing, by nft")


def test_subnet_env_is_deleted(night):
    h2 = night.hosts[1]
    night.fault(h2.daemon.subnet_file.unlink, lambda: None)
    h2.daemon.wait_log("subnet-file-healed: .* was deleted")
    assert h2.daemon.subnet_file.exists()


@pytest.mark.long
def test_a_route_is_deleted_in_a_loop(night):
    h1, h2, h3 = night.hosts
    subnet = h1.daemon.subnet()
    loop = h2.namespace.popen("sh", "-c", f"while :; do ip route del {subnet} 2>/dev/null; done")
    night.undo.callback(lambda: (loop.kill(), loop.wait()))
    named(h2, "fighting", f"route {subnet}")


# ---- routes and rules of others


@pytest.mark.parametrize("route", ["{net} via 192.0.2.254", "blackhole {host}"])
def test_a_route_of_somebody_else(night, route):
    h1, h2, h3 = night.hosts
    route = route.format(net=h1.daemon.subnet(), host=f"{h1.containers[0].address}/32")
    verb = "add" if "blackhole" in route else "prepend"
    night.fault(f"ip route {verb} {route}", f"ip route del {route}")
    named(h2, "route-shadowed", f"route {route}", "which is not ours", h1.daemon.subnet())
    says_nothing(h3)


def test_a_rule_of_somebody_else(night):
    night.fault("ip rule add from all prohibit priority 100", "ip rule del from all prohibit priority 100")
    named(night.hosts[1], "packets-diverted", "100: from all prohibit")


# ---- firewalls


INPUT = "type filter hook input priority 0"


@pytest.mark.long
@pytest.mark.parametrize(
    "chain, words",
    [
        (f"{INPUT}; policy accept; udp dport 8472 drop;", "rule 1 (handle"),
        (f"{INPUT}; policy accept; ip saddr 192.0.2.1 udp dport 8472 drop;", "rule 1 (handle"),
        (f"{INPUT}; policy drop; ct state established,related accept; meta l4proto icmp accept;", "whose policy is drop"),
    ],
    ids=["port", "one peer", "policy"],
)
def test_the_tunnel_is_stopped(night, chain, words):
    h1, h2, h3 = night.hosts
    night.fault(f"nft 'table inet mine {{ chain in {{ {chain} }}; }}'", "nft delete table inet mine")
    named(h2, "input-blocked", "chain in of table inet mine", words, "to open it: nft insert rule inet mine in udp dport 8472 accept")
    named(h1, "peer-unreachable", "h2", h2.address, "UDP port 8472")


def test_forwarding_is_stopped(night):
    night.fault(
        "nft 'table inet mine { chain pass { type filter hook forward priority 0; policy drop; }; }'",
        "nft delete table inet mine",
    )
    h2 = night.hosts[1]
    named(h2, "forward-blocked", "chain pass of table inet mine, whose policy is drop", "to open it")
    assert h2.daemon.logged("error forward-blocked: ")


def test_forwarding_is_switched_off(night):
    night.fault("sysctl -qw net.ipv4.ip_forward=0", "sysctl -qw net.ipv4.ip_forward=1")
    h2 = night.hosts[1]
    named(h2, "forwarding-off", "net.ipv4.ip_forward is 0", "--set-sysctls")
    assert h2.daemon.logged("error forwarding-off: ")


# ---- peers


@pytest.mark.long
def test_a_peer_is_cut_off(night):
    h1, h2, h3 = night.hosts
    night.fault(
        lambda: night.lab.underlay.ip_do("link set h2 down"),
        lambda: (night.lab.underlay.ip_do("link set h2 up"), night.lab.underlay.wait_forwarding("h2")),
    )
    for host in h1, h3:
        named(host, "peer-unreachable", "h2", h2.address, "does not answer since", status=0)
    named(h2, "no-peer-answers", "none of 2 peers", "cut off")


@pytest.mark.long
def test_the_mac_of_a_peer_whose_daemon_is_dead(night):
    """Nobody repairs it."""
    h1, h2, h3 = night.hosts
    h3.daemon.kill()
    night.undo.callback(lambda: h3.daemon.start().wait_ready())
    night.lab.etcd.put(h3.daemon.key(), lease_value(h3.address, "0e:00:00:00:00:99"))
    for host in h1, h2:
        named(host, "peer-unreachable", h3.daemon.subnet(), h3.address, "since its lease was changed at")
        assert host.daemon.logged("peer-changed: .*0e:00:00:00:00:99")


def test_the_mac_of_a_peer_that_lives(night):
    h3 = night.hosts[2]
    record = night.lab.etcd.get(h3.daemon.key())
    night.fault(lambda: night.lab.etcd.put(h3.daemon.key(), lease_value(h3.address, "0e:00:00:00:00:99"), record.lease), lambda: None)
    h3.daemon.wait_log("lease-overwritten: ")


def test_a_daemon_that_does_not_run(night):
    """Who is asked there is told; what others send goes on, and so does their verdict."""
    h1, h2, h3 = night.hosts
    h3.daemon.stop()
    night.undo.callback(lambda: h3.daemon.start().wait_ready())
    assert fabricctl("status", f"--socket={h3.daemon.socket_path}").returncode == NO_DAEMON
    for host in h1, h2:
        says_nothing(host)


@pytest.mark.long
def test_a_daemon_that_is_frozen(night):
    h1, h2, h3 = night.hosts
    h2.daemon.signal(signal.SIGSTOP)
    night.undo.callback(h2.daemon.signal, signal.SIGCONT)
    frozen = fabricctl("status", f"--socket={h2.daemon.socket_path}")
    assert frozen.returncode == NO_DAEMON and "does not answer" in frozen.stderr
    for host in h1, h3:
        says_nothing(host)


# ---- the underlay


def test_the_interface_is_down(night):
    h2 = night.hosts[1]
    night.fault("ip link set eth0 down", h2.fill_eth0)
    named(h2, "underlay-lost", "eth0 is down")


def test_the_interface_has_a_smaller_mtu(night):
    h2 = night.hosts[1]
    night.fault("ip link set eth0 mtu 1400", "ip link set eth0 mtu 1500")
    named(h2, "containers-mtu", "an MTU of 1450", "carries 1350 now", status=0)
    assert h2.daemon.logged("underlay-changed: .*mtu 1500 -> 1400")


def test_a_port_of_the_switch_has_a_smaller_mtu(night):
    """It drops what is larger, and tells nobody."""
    h1, h2, h3 = night.hosts
    night.fault(lambda: night.lab.narrow_port("h2", 1400), lambda: night.lab.narrow_port("h2", 1500))
    for host in h1, h3:
        named(host, "mtu-black-hole", "h2", "packets of 1350 bytes arrive", "up to 1450", "ip link set eth0 mtu 1400")
    named(h2, "mtu-black-hole", "packets of 1350 bytes arrive", "; and 1 more")
    found = fabricctl("mtu", f"--socket={h1.daemon.socket_path}")
    assert found.returncode == FOUND and "1350 of 1450" in found.stdout


# ---- the store


@pytest.mark.parametrize(
    "config, name, words",
    [
        (APART | {"Backend": {"Type": "vxlan", "VNI": 7}}, "config-changed", "Backend.VNI"),
        ({"Network": "10.99.0.0/16", "Backend": {"Type": "vxlan"}}, "config-renumbers", "Network is 10.99.0.0/16, was 10.5.0.0/16"),
        ("{nonsense", "config-invalid", "line 1, column 9"),
    ],
    ids=["VNI", "network", "garbage"],
)
def test_the_configuration(night, config, name, words):
    text = config if isinstance(config, str) else json.dumps(config)
    night.fault(lambda: night.lab.etcd.set_config(text), lambda: night.lab.configure(APART))
    for host in night.hosts:
        named(host, name, words)


def test_the_store_is_gone(night):
    night.fault(night.lab.etcd.kill, lambda: (night.lab.etcd.start(), night.lab.etcd.wait_healthy()))
    for host in night.hosts:
        named(host, "watch-lost", "192.0.2.201")


def other_lease(night, subnet, number, **value):
    """Of a host that there is not; undone with the others."""
    lease = json.loads(lease_value(value.pop("address", "192.0.2.77"), f"0e:00:00:00:00:{number}", value.pop("vni", 1)))
    lease["Node"] = {"ID": value.pop("id", f"id{number}"), "Name": f"node-{number}"}
    night.put(f"{PREFIX}/subnets/{subnet}", json.dumps(lease), night.lab.etcd.grant(60))


def test_a_lease_of_another_vni(night):
    other_lease(night, "10.5.140.0-24", 77, vni=9)
    for host in night.hosts:
        named(host, "peers-ignored", "1 of 3 peers", "node-77 (10.5.140.0/24)", "9")


def test_a_node_id_twice(night):
    h1, h2, h3 = night.hosts
    node = json.loads(night.lab.etcd.get(h2.daemon.key()).value)["Node"]["ID"]
    other_lease(night, "10.5.140.0-24", 77, id=node)
    named(h2, "node-id-twice", "10.5.140.0/24", "node-77", "192.0.2.77", node)


def test_an_address_twice(night):
    h1, h2, h3 = night.hosts
    other_lease(night, "10.5.140.0-24", 77, address=h2.address)
    for host in night.hosts:
        named(host, "public-address-twice", "10.5.140.0/24", "node-77", h2.address)


# ---- this host


@pytest.mark.parametrize("logged", [False, pytest.param(True, marks=pytest.mark.long)])
def test_the_clock(night, logged):
    """Thirty hours ahead since before the start; then somebody puts it right."""
    h1, h2, h3 = night.hosts
    shift = h2.daemon.directory / "clock"

    def restart(environment):
        h2.daemon.stop()
        h2.daemon.environment = environment
        h2.daemon.start().wait_ready()

    shift.write_bytes(struct.pack("=q", 30 * 3600))
    night.undo.callback(restart, {})
    restart({"LD_PRELOAD": fabric.preloaded(fabric.SHIFT_CLOCK), "SHIFT_CLOCK_FILE": str(shift)})
    named(h2, "clock-skew", "1d6h (10", "ahead of that of the store at http://192.0.2.201:2379", "certificates")
    says_nothing(h1)
    shift.write_bytes(struct.pack("=q", 0))
    says_nothing(h2)
    if logged:  # when the daemon looks
        h2.daemon.wait_log("clock-set: this host's clock was set back by 1d6h", NAMED_S + 5)


@pytest.mark.parametrize(
    "there, words",
    [
        ("link add other0 type vxlan id 1 dev eth0 local 192.0.2.2 dstport 8472 nolearning", "device other0"),
        ("link add flannel.1 type bridge", 'is of kind "bridge", not vxlan'),
    ],
    ids=["vxlan", "bridge"],
)
def test_a_device_of_somebody_else(night, there, words):
    h1, h2, h3 = night.hosts
    other = "flannel.1" if "bridge" in there else "other0"
    h2.daemon.stop()
    night.fault(f"ip link del flannel.1; ip {there}", f"ip link del {other}")
    h2.daemon.start().wait_listening()
    named(h2, "device-failed", words)


def test_the_port_is_taken(night):
    h1, h2, h3 = night.hosts
    h2.daemon.stop()
    h2.namespace.ip_do("link set flannel.1 down")
    holder = night.undo.enter_context(contextlib.closing(h2.namespace.socket(socket.AF_INET, socket.SOCK_DGRAM)))
    holder.bind(("0.0.0.0", 8472))
    h2.daemon.start().wait_listening()
    named(h2, "device-failed", "holds UDP port 8472")


def test_the_containers_bridge_is_down(night):
    """One that the CNI plugin has not made, and so nobody puts back."""
    h1, h2, h3 = night.hosts
    night.fault("ip link set cni0 down", "ip link set cni0 up")
    named(h2, "bridge-down", "cni0, which containers here are behind, is down")
    says_nothing(h1)


def test_the_containers_bridge_has_lost_its_address(night):
    h1, h2, h3 = night.hosts
    gateway = h2.daemon.environment_file()["FLANNEL_SUBNET"]
    night.fault(f"ip addr del {gateway} dev cni0", f"ip addr add {gateway} dev cni0")
    named(h2, "bridge-down", f"cni0 has lost the address that containers here send to: ip addr add {gateway} dev cni0")
    says_nothing(h1)


def test_two_daemons_with_one_state_directory(night):
    h2 = night.hosts[1]
    flags = h2.daemon.flags | {"socket": h2.daemon.directory / "second.sock"}
    second = fabric.Daemon(h2, "second", **flags)
    night.undo.callback(second.kill)
    second.start()
    assert second.wait_exit() == 1
    assert second.logged("start-failed: .*state")
    says_nothing(h2)


@pytest.mark.long
def test_a_peer_behind_a_nat(night):
    """Of the peers the one that is silent is likely the stranger."""
    h1, h2, h3 = night.hosts
    night.undo.callback(h1.namespace.run, "sh", "-c", "nft delete table ip fault; ip addr del 192.0.2.101/24 dev eth0")
    h1.namespace.ip_do("addr add 192.0.2.101/24 dev eth0")
    h1.namespace.nft(
        "table ip fault { chain out { type nat hook postrouting priority 100; udp dport 8472 snat to 192.0.2.101; }; }"
    )
    peer = f"nearest to it is the peer h1 ({h1.daemon.subnet()}) at {h1.address}, whose tunnel is silent"
    for host in h2, h3:
        named(host, "packets-dropped", "192.0.2.101", peer)


def test_strangers(night):
    """Tunnel packets of no peer."""
    h2 = night.hosts[1]
    if not night.stranger:
        night.stranger = night.lab.plug("x9", "192.0.2.99", "link set eth0 up")
    frame = vxlan(h2.vtep_mac(), udp("10.5.240.2", h2.containers[0].address, 7000, b"x"))
    for _ in range(3):
        send_tunnel(night.stranger, h2.address, frame)
    named(h2, "packets-dropped", "tunnel packets from no peer", " is 192.0.2.99, with 3 packets", "nearest to it is the peer h")
    stranger = h2.daemon.status()["traffic"]["strangers"][0]
    assert stranger["address"] == "192.0.2.99" and stranger["packets"] == 3 and stranger["secondsAgo"] < NAMED_S
    assert any(host.address in stranger["nearestPeer"] for host in night.hosts)
