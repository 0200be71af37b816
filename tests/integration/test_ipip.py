# SPDX-License-Identifier: Apache-2.0
"""ipip: one route for each peer over flannel.ipip. Kernels without ipip say so; those with it are in tests/guest."""

import json
import subprocess

import pytest

from fabric import APART
from netns import wait_for

IPIP = {"Backend": {"Type": "ipip"}}
DIRECT = {"Backend": {"Type": "ipip", "DirectRouting": True}}
DEVICE = "flannel.ipip"


def kernel_has_ipip():
    """Without the module in the namespace of a test nothing can be seen."""
    done = subprocess.run(
        ["unshare", "-n", "ip", "link", "add", "probe", "type", "ipip", "local", "127.0.0.1"],
        capture_output=True,
        check=False,
    )
    return done.returncode == 0


needs_ipip = pytest.mark.skipif(not kernel_has_ipip(), reason="this kernel has no ipip; make check-guest has one that does")


@pytest.fixture
def ipip3(lab):
    lab.start_etcd()
    lab.configure(APART | IPIP)
    return lab.hosts(3, daemons=True)


def routes(host):
    return {
        (r["dst"], r.get("gateway"), r.get("dev"), "onlink" in r.get("flags", []))
        for r in host.namespace.ip("-4", "route", "show")
        if 102 <= int(r["protocol"] if str(r.get("protocol")).isdigit() else 0) < 118
    }


def wanted(hosts, host, device=DEVICE):
    return {(o.daemon.subnet(), o.address, device, device == DEVICE) for o in hosts if o is not host}


def heals(hosts, host, within_s=2.0, device=DEVICE):
    wait_for(lambda: routes(host) == wanted(hosts, host, device), within_s, "all routes, and no others")


def enough(pinger, each=15):
    target = pinger.sent + each * len(pinger.flows)
    wait_for(lambda: pinger.sent >= target, 20, "pings")


def device(host):
    return next((link for link in host.namespace.ip("-d", "link", "show") if link["ifname"] == DEVICE), None)


def addresses(host):
    """Of the tunnel; none if it is gone."""
    shown = host.namespace.ip("-4", "addr", "show")
    return [(a["local"], a["prefixlen"]) for link in shown if link["ifname"] == DEVICE for a in link["addr_info"]]


@needs_ipip
def test_containers_reach_each_other(lab, ipip3):
    with lab.pinger(*(host.container() for host in ipip3)) as pinger:
        assert len(pinger.flows) == 6
        enough(pinger)
    assert pinger.lost == 0, pinger.report()
    for host in ipip3:
        heals(ipip3, host)
        link = device(host)
        assert (link["mtu"], link["linkinfo"]["info_kind"]) == (1480, "ipip")
        base = host.daemon.subnet().split("/")[0]
        assert addresses(host) == [(base, 32)]
    h1 = ipip3[0]
    record = lab.etcd.get(h1.daemon.key())
    value = {"PublicIP": h1.address, "PublicIPv6": None, "BackendType": "ipip"}
    assert record.value.startswith(json.dumps(value, separators=(",", ":"))[:-1] + ",")
    assert h1.daemon.environment_file()["FLANNEL_MTU"] == "1480"
    h1.daemon.wait_ok()


@needs_ipip
def test_a_restart_writes_nothing_and_loses_nothing(lab, ipip3):
    h1, h2, _ = ipip3
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


@needs_ipip
@pytest.mark.parametrize(
    "line",
    [
        "route del {subnet}",
        "route replace {subnet} via 192.0.2.254 dev eth0",
        "addr del {base}/32 dev flannel.ipip",
        "link set flannel.ipip down",
        "link del flannel.ipip",
        "link set flannel.ipip mtu 1300",
        "link set flannel.ipip type ipip local 192.0.2.254 remote 0.0.0.0 ttl 3",
    ],
)
def test_what_others_undo_is_put_back(lab, ipip3, line):
    h1, h2, _ = ipip3
    base = h1.daemon.subnet().split("/")[0]
    h1.namespace.ip_do(line.format(subnet=h2.daemon.subnet(), base=base))
    heals(ipip3, h1, 5)

    def well():
        link = device(h1)
        data = link and link["linkinfo"]["info_data"]
        return (
            link
            and link["mtu"] == 1480
            and "UP" in link["flags"]
            and data["local"] == h1.address
            and not data.get("ttl")
            and addresses(h1) == [(base, 32)]
        )

    wait_for(well, 5, "the device")
    with lab.pinger(h1.container(), h2.container()) as pinger:
        enough(pinger, 3)
    assert pinger.lost == 0, pinger.report()


@needs_ipip
def test_only_peers_are_let_in(lab, ipip3):
    """The device takes packets from anybody; a stranger's are dropped and counted, a peer's pass."""
    h1, h2, _ = ipip3
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


@needs_ipip
def test_from_vxlan_to_ipip_and_back_leaves_nothing_behind(lab):
    lab.start_etcd()
    lab.configure(APART)
    hosts = lab.hosts(2, daemons=True)
    lab.wait_equal()
    subnets = [host.daemon.subnet() for host in hosts]
    for config, there, gone in ((APART | IPIP, DEVICE, "flannel.1"), (APART, "flannel.1", DEVICE)):
        lab.configure(config)
        for host in hosts:
            host.daemon.restart()
        for host in hosts:
            host.daemon.wait_peers(1)
            wait_for(lambda host=host, gone=gone: not host.link(gone), 10, f"{gone} is swept")
            assert host.link(there)
            tables = host.namespace.run("nft", "list", "tables")
            assert there in tables and gone not in tables
    assert [host.daemon.subnet() for host in hosts] == subnets
    with lab.pinger(*(host.container() for host in hosts)) as pinger:
        enough(pinger, 5)
    assert pinger.lost == 0, pinger.report()


def test_what_the_kernel_lacks_is_named(lab):
    if kernel_has_ipip():
        pytest.skip("this kernel has ipip")
    lab.start_etcd()
    lab.configure(APART | IPIP)
    daemon = lab.host().start_daemon(ready=False)
    wait_for(lambda: "device-failed" in daemon.problems(), 10, "the device cannot be made")
    text = next(p["text"] for p in daemon.status()["problems"] if p["name"] == "device-failed")
    assert DEVICE in text and "ipip" in text, text


def test_ipv6_is_refused_with_a_sentence(lab):
    lab.start_etcd()
    lab.configure(APART | IPIP | {"EnableIPv6": True, "IPv6Network": "fd10:5::/48"})
    daemon = lab.host().start_daemon(ready=False)
    wait_for(lambda: "ipip carries IPv4 only" in daemon.request("/readyz")[1], 5, "/readyz says why")
    assert not lab.etcd.leases()
