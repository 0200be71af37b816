# SPDX-License-Identifier: Apache-2.0
"""A network without IPv4, which flannel cannot do on etcd: there every host takes the first one's subnet."""

import ipaddress
import json

import pytest

from etcd import PREFIX
from netns import wait_for
from test_healing import check_longer_prefixes, fdb_led_elsewhere

ONLY6 = {"EnableIPv4": False, "EnableIPv6": True, "IPv6Network": "fd10:5::/48", "Backend": {"Type": "vxlan"}}


def flannel_value(address, mac):
    """Byte for byte what flannel writes."""
    return json.dumps(
        {
            "PublicIP": "0.0.0.0",
            "PublicIPv6": address,
            "BackendType": "vxlan",
            "BackendV6Data": {"VNI": 1, "VtepMAC": mac},
        },
        separators=(",", ":"),
    )


@pytest.fixture
def only6(lab):
    lab.start_etcd()
    lab.configure(ONLY6)
    return lab.hosts(3, daemons=True)


def test_every_host_has_its_own_subnet_and_reaches_the_others(lab, only6):
    h1 = only6[0]
    assert len({host.daemon.subnet6() for host in only6}) == 3
    with lab.pinger(*(host.container() for host in only6)) as pinger:
        assert len(pinger.flows) == 6
        wait_for(lambda: pinger.sent >= 6 * 20, 10, "twenty pings for each pair")
    assert pinger.lost == 0, pinger.report()
    lab.wait_equal()
    base = ipaddress.ip_network(h1.daemon.subnet6()).network_address
    record = lab.etcd.get(f"{PREFIX}/subnets/0.0.0.0-0&{base}-64")
    assert record.value.startswith(flannel_value(h1.address6, h1.vtep_mac("flannel-v6.1"))[:-1] + ',"Node":{"ID":')
    assert h1.daemon.subnet_file.read_text() == (
        f"FLANNEL_IPV6_NETWORK=fd10:5::/48\nFLANNEL_IPV6_SUBNET={base + 1}/64\nFLANNEL_MTU=1430\nFLANNEL_IPMASQ=false\n"
    )
    assert h1.link() is None
    assert h1.link("flannel-v6.1")["mtu"] == 1430


def test_a_second_start_writes_nothing_and_keeps_the_lease(lab, only6):
    h1 = only6[0]
    record = lab.etcd.get(h1.daemon.key())
    monitor = h1.monitor()
    h1.daemon.restart()
    h1.daemon.wait_peers(2)
    assert h1.daemon.metric("flannel_netlink_writes_total") == 0
    assert monitor.tunnel_events() == []
    after = lab.etcd.get(h1.daemon.key())
    assert (after.lease, after.mod_revision) == (record.lease, record.mod_revision)


def test_flannels_keys_are_read_and_its_own_lease_taken_over(lab):
    etcd = lab.start_etcd()
    lab.configure(ONLY6)
    host = lab.host()
    lease = etcd.grant(86400)
    mine = f"{PREFIX}/subnets/0.0.0.0-0&fd10:5:0:51::-64"
    etcd.put(mine, flannel_value(host.address6, "4a:86:14:b2:db:f0"), lease)
    etcd.put(f"{PREFIX}/subnets/0.0.0.0-0&fd10:5:0:52::-64", flannel_value("2001:db8:1::52", "4a:86:14:b2:db:f1"))
    host.start_daemon()
    host.daemon.wait_peers(1)
    lab.wait_equal()
    assert host.daemon.key() == mine
    assert etcd.get(mine).json["Node"]["Name"] == "h1"
    assert len(etcd.leases()) == 2


@pytest.mark.parametrize("when", ["running", "down"])
@pytest.mark.parametrize("metric", [512, 1024])
def test_a_route_that_stands_before_ours_is_named(lab, only6, metric, when):
    """A lower metric is taken first; with the same one, a route without a gateway stands beside ours."""
    h1 = only6[0]
    ns, daemon = h1.namespace, h1.daemon
    lab.wait_equal()
    peer = next(o[2] for o in sorted(h1.objects()) if o[0] == "route")
    ns.ip_do("link add br9 type bridge")
    ns.ip_do("link set br9 up")
    if when == "down":
        daemon.stop()
    ns.ip_do(f"-6 route prepend {peer} dev br9 proto static metric {metric}")
    if when == "down":
        daemon.start()
    taken = ns.ip("-6", "route", "get", "fibmatch", peer.replace("/64", ""))[0]
    problems = []
    if taken["dev"] == "br9":
        wait_for(lambda: "route-shadowed" in daemon.problems(), 5, "the route to be named")
        problems = [p["text"] for p in daemon.status()["problems"] if p["name"] == "route-shadowed"]
        assert "proto 4" in problems[0] and peer in problems[0]
    assert taken["dev"] == "br9" or metric == 1024
    ns.ip_do(f"-6 route del {peer} dev br9 proto static metric {metric}")
    daemon.wait_ok(5)
    lab.wait_equal(5, [h1])


def test_an_fdb_entry_that_was_led_elsewhere_while_the_daemon_was_down(lab, only6):
    h1 = only6[0]
    lab.wait_equal()
    fdb_led_elsewhere(lab, h1, "flannel-v6.1", next(o for o in sorted(h1.objects()) if o[0] == "fdb"))


@pytest.mark.parametrize("when", ["running", "down"])
def test_a_longer_prefix_within_a_peers_subnet_is_named(lab, only6, when):
    lab.wait_equal()
    check_longer_prefixes(only6[0], next(o[2] for o in sorted(only6[0].objects()) if o[0] == "route"), when)
