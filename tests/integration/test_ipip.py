# SPDX-License-Identifier: Apache-2.0
"""ipip, and udp, which is ipip in UDP: one route for each peer over one device.

Kernels without ipip say so; those with it are in tests/guest. What only udp has is in test_udp.py.
"""

import collections
import json
import subprocess

import pytest

from fabric import APART
from netns import wait_for
from witness import ROUTE_PROTOCOLS

Tunnel = collections.namedtuple("Tunnel", "backend device mtu value")
IPIP = Tunnel("ipip", "flannel.ipip", 1480, {"BackendType": "ipip"})
UDP = Tunnel("udp", "flannel0", 1472, {})
DIRECT = {"Backend": {"Type": "ipip", "DirectRouting": True}}
DEVICE = IPIP.device


def kernel_has_ipip():
    """Without the module in the namespace of a test nothing can be seen."""
    done = subprocess.run(
        ["unshare", "-n", "ip", "link", "add", "probe", "type", "ipip", "local", "127.0.0.1"],
        capture_output=True,
        check=False,
    )
    return done.returncode == 0


needs_ipip = pytest.mark.skipif(not kernel_has_ipip(), reason="this kernel has no ipip; make check-guest has one that does")


def config_of(tunnel):
    return APART | {"Backend": {"Type": tunnel.backend}}


@pytest.fixture(params=[IPIP, UDP], ids=lambda tunnel: tunnel.backend)
def tunnel(request):
    return request.param


@pytest.fixture
def three(lab, tunnel):
    lab.start_etcd()
    lab.configure(config_of(tunnel))
    return lab.hosts(3, daemons=True)


def routes(host):
    return {
        (r["dst"], r.get("gateway"), r.get("dev"), "onlink" in r.get("flags", []))
        for r in host.namespace.ip("-4", "route", "show")
        if str(r.get("protocol")).isdigit() and int(r["protocol"]) in ROUTE_PROTOCOLS
    }


def wanted(hosts, host, device):
    return {(o.daemon.subnet(), o.address, device, True) for o in hosts if o is not host}


def heals(hosts, host, device, within_s=2.0):
    wait_for(lambda: routes(host) == wanted(hosts, host, device), within_s, "all routes, and no others")


def enough(pinger, each=15):
    target = pinger.sent + each * len(pinger.flows)
    wait_for(lambda: pinger.sent >= target, 20, "pings")


def addresses(host, device):
    """Of the tunnel; none if it is gone."""
    shown = host.namespace.ip("-4", "addr", "show")
    return [(a["local"], a["prefixlen"]) for link in shown if link["ifname"] == device for a in link["addr_info"]]


@needs_ipip
def test_containers_reach_each_other(lab, tunnel, three):
    with lab.pinger(*(host.container() for host in three)) as pinger:
        assert len(pinger.flows) == 6
        enough(pinger)
    assert pinger.lost == 0, pinger.report()
    for host in three:
        heals(three, host, tunnel.device)
        link = host.link(tunnel.device)
        assert (link["mtu"], link["linkinfo"]["info_kind"]) == (tunnel.mtu, "ipip")
        base = host.daemon.subnet().split("/")[0]
        assert addresses(host, tunnel.device) == [(base, 32)]
    h1 = three[0]
    record = lab.etcd.get(h1.daemon.key())
    value = {"PublicIP": h1.address, "PublicIPv6": None} | tunnel.value
    assert record.value.startswith(json.dumps(value, separators=(",", ":"))[:-1] + ",")
    assert h1.daemon.environment_file()["FLANNEL_MTU"] == str(tunnel.mtu)
    h1.daemon.wait_ok()


@needs_ipip
def test_a_restart_writes_nothing_and_loses_nothing(lab, three):
    h1, h2, _ = three
    with lab.pinger(h1.container(), h2.container()) as pinger:
        enough(pinger, 5)
        h1.daemon.restart()
        h1.daemon.wait_peers(2)
        assert h1.daemon.metric("flannel_netlink_writes_total") == 0
        h1.daemon.kill()
        enough(pinger, 5)
        h1.daemon.start()
        h1.daemon.wait_peers(2)
        enough(pinger, 5)
    assert pinger.lost == 0, pinger.report()


UNDONE = (
    "route del {subnet}",
    "route replace {subnet} via 192.0.2.254 dev eth0",
    "addr del {base}/32 dev {device}",
    "link set {device} down",
    "link del {device}",
    "link set {device} mtu 1300",
    "link set {device} type ipip local 192.0.2.254 remote 0.0.0.0 ttl 3",
    "link set {device} type ipip local {address} remote 0.0.0.0 encap gue encap-sport 7 encap-dport 7",
)


@needs_ipip
def test_what_others_undo_is_put_back(lab, tunnel, three):
    """On one host after the other: who does it again and again to one meets a daemon that is in no hurry."""
    containers = [host.container() for host in three]
    for number, line in enumerate(UNDONE):
        host, peer = three[number % 3], three[(number + 1) % 3]
        base = host.daemon.subnet().split("/")[0]
        before = host.link(tunnel.device)["linkinfo"]
        words = {"subnet": peer.daemon.subnet(), "base": base, "device": tunnel.device, "address": host.address}
        host.namespace.ip_do(line.format(**words))
        heals(three, host, tunnel.device, 5)

        def well(host=host, base=base, before=before):
            link = host.link(tunnel.device)
            return (
                link
                and link["mtu"] == tunnel.mtu
                and "UP" in link["flags"]
                and link["linkinfo"] == before
                and addresses(host, tunnel.device) == [(base, 32)]
            )

        wait_for(well, 5, f"the device after {line}")
        with lab.pinger(*(containers[n % 3] for n in (number, number + 1))) as pinger:
            enough(pinger, 3)
        assert pinger.lost == 0, f"{line}: {pinger.report()}"


@needs_ipip
def test_only_peers_are_let_in(lab, three):
    """The device takes packets of protocol 4 from anybody; a stranger's are dropped and counted, a peer's pass."""
    h1, h2, _ = three
    stranger = lab.host()
    c1, c2 = h1.container(), h2.container()
    stranger.namespace.ip_batch(
        [
            f"link add ipip0 type ipip local {stranger.address} remote {h1.address}",
            "link set ipip0 up",
            "addr add 10.5.250.1/32 dev ipip0",
            f"route add {c1.address}/32 dev ipip0 src 10.5.250.1",
        ]
    )
    dropped = h1.daemon.metric("flannel_guard_dropped_packets_total")
    stranger.namespace.run("ping", "-c", "3", "-i", "0.2", "-W", "1", c1.address, check=False)
    wait_for(lambda: h1.daemon.metric("flannel_guard_dropped_packets_total") - dropped >= 3, 5, "the stranger's are counted")
    c2.namespace.run("ping", "-c", "2", "-i", "0.2", "-W", "2", c1.address)


@needs_ipip
def test_direct_routing(lab):
    lab.start_etcd()
    lab.configure(APART | DIRECT)
    lab.second_segment()
    h1, h2, h3 = lab.host(), lab.host(), lab.host(segment=2)
    for host in (h1, h2, h3):
        host.start_daemon()
    h1.daemon.wait_peers(2)
    want = {(h2.daemon.subnet(), h2.address, "eth0", False), (h3.daemon.subnet(), h3.address, DEVICE, True)}
    wait_for(lambda: routes(h1) == want, 5, "a peer on the link is reached directly, one behind a router by the tunnel")
    with lab.pinger(*(host.container() for host in (h1, h2, h3))) as pinger:
        enough(pinger, 5)
    assert pinger.lost == 0, pinger.report()


def test_what_the_kernel_lacks_is_named(lab, tunnel):
    if kernel_has_ipip():
        pytest.skip("this kernel has ipip")
    lab.start_etcd()
    lab.configure(config_of(tunnel))
    daemon = lab.host().start_daemon(ready=False)
    wait_for(lambda: "device-failed" in daemon.problems(), 10, "the device cannot be made")
    text = next(p["text"] for p in daemon.status()["problems"] if p["name"] == "device-failed")
    assert tunnel.device in text and ("ipip" if tunnel is IPIP else "module fou") in text, text


def test_ipv6_is_refused_with_a_sentence(lab, tunnel):
    lab.start_etcd()
    lab.configure(config_of(tunnel) | {"EnableIPv6": True, "IPv6Network": "fd10:5::/48"})
    daemon = lab.host().start_daemon(ready=False)
    wait_for(lambda: f"{tunnel.backend} carries IPv4 only" in daemon.request("/readyz")[1], 5, "/readyz says why")
    assert not lab.etcd.leases()
