# SPDX-License-Identifier: Apache-2.0
"""IPv4 and IPv6 in one network: names, values and overheads as flannel has them, and what it does not promise."""

import ipaddress
import json
import time

import pytest

from etcd import PREFIX
from fabric import CONFIG, DUAL, IPV6
from netns import wait_for
from witness import KernelMonitor, lease_value


def pings(pinger, count):
    wait_for(lambda: pinger.sent >= count, 10, f"{count} pings")


def enough(pinger, each=15):
    """So many more on every flow."""
    pings(pinger, pinger.sent + each * len(pinger.flows))


@pytest.fixture
def dual3(lab):
    lab.start_etcd()
    lab.configure(DUAL)
    return lab.hosts(3, daemons=True)


def test_containers_reach_each_other_in_both_families(lab, dual3):
    with lab.pinger(*(host.container() for host in dual3)) as pinger:
        assert len(pinger.flows) == 12
        enough(pinger)
    assert pinger.lost == 0, pinger.report()
    lab.wait_equal()


def test_keys_values_devices_and_subnet_env_are_flannels(lab, dual3):
    h1, h2, _ = dual3
    v4, v6 = ipaddress.ip_network(h1.daemon.subnet()), ipaddress.ip_network(h1.daemon.subnet6())
    assert (v4.prefixlen, v6.prefixlen) == (24, 64)
    record = lab.etcd.get(f"{PREFIX}/subnets/{v4.network_address}-24&{v6.network_address}-64")
    flannel = lease_value(h1.address, h1.vtep_mac(), 1, h1.address6, h1.vtep_mac("flannel-v6.1"))
    assert record.value.startswith(flannel[:-1] + ',"Node":{"ID":')
    assert h1.daemon.subnet_file.read_text() == (
        "FLANNEL_NETWORK=10.5.0.0/16\n"
        f"FLANNEL_SUBNET={v4.network_address + 1}/24\n"
        "FLANNEL_IPV6_NETWORK=fd10:5::/48\n"
        f"FLANNEL_IPV6_SUBNET={v6.network_address + 1}/64\n"
        "FLANNEL_MTU=1430\n"
        "FLANNEL_IPMASQ=false\n"
    )
    for name, local, mtu in (("flannel.1", h1.address, 1450), ("flannel-v6.1", h1.address6, 1430)):
        link = h1.link(name)
        data = link["linkinfo"]["info_data"]
        assert link["mtu"] == mtu
        assert (data["id"], data["port"], data["link"], data["learning"]) == (1, 8472, "eth0", False)
        assert data.get("local", data.get("local6")) == local
        accept_ra = h1.namespace.run("cat", f"/proc/sys/net/ipv6/conf/{name}/accept_ra")
        assert accept_ra.strip() == "0"
    assert h1.vtep_mac() != h1.vtep_mac("flannel-v6.1")
    # As flannel's are shown: "fd10:5:0:56::/64 via fd10:5:0:56:: dev flannel-v6.1 metric 1024 onlink".
    theirs = ipaddress.ip_network(h2.daemon.subnet6())
    route = h1.namespace.ip("-6", "route", "show", str(theirs))[0]
    assert (route["gateway"], route["dev"], route["metric"]) == (str(theirs.network_address), "flannel-v6.1", 1024)
    assert "onlink" in route["flags"]


def test_the_largest_packet_fits_in_both_families(dual3):
    h1, h2, _ = dual3
    c1, c2 = h1.container(), h2.container()
    mtu = int(h1.daemon.environment_file()["FLANNEL_MTU"])
    for address, headers in ((c2.address, 28), (c2.address6, 48)):
        c1.namespace.run("ping", "-c", "1", "-W", "5", "-M", "do", "-s", mtu - headers, address)


def test_a_second_start_writes_nothing(dual3):
    h1 = dual3[0]
    before = [h1.link(name) for name in ("flannel.1", "flannel-v6.1")]
    monitor = h1.monitor()
    h1.daemon.restart()
    h1.daemon.wait_peers(2)
    assert h1.daemon.metric("flannel_netlink_writes_total") == 0
    assert monitor.tunnel_events() == []
    for link in before:
        after = h1.link(link["ifname"])
        assert (after["ifindex"], after["address"]) == (link["ifindex"], link["address"])


@pytest.mark.slow
def test_turning_ipv6_on_and_off_keeps_ipv4(lab, fabric3):
    """Host after host is restarted with the new configuration; IPv4 loses neither its subnets nor a packet."""
    subnets = [host.daemon.subnet() for host in fabric3]
    macs = [host.vtep_mac() for host in fabric3]
    containers = [host.container() for host in fabric3]
    with lab.pinger(*containers) as pinger:
        lab.configure(CONFIG | IPV6)
        for host in fabric3:
            host.daemon.wait_status(lambda s: any(p["name"] == "config-changed" for p in s["problems"]))
            host.daemon.restart()
            host.daemon.wait_peers(2)
        assert [host.daemon.subnet() for host in fabric3] == subnets
        assert [host.vtep_mac() for host in fabric3] == macs
        lab.wait_equal()
        assert {"FLANNEL_IPV6_SUBNET" in host.daemon.environment_file() for host in fabric3} == {True}
        # The leases without IPv6 are gone, not left to lapse.
        wait_for(lambda: len(lab.etcd.leases()) == 3, 5, "three leases")
        assert {r.key for r in lab.etcd.leases()} == {host.daemon.key() for host in fabric3}
        enough(pinger)
        lab.configure(CONFIG)
        for host in fabric3:
            host.daemon.restart()
        for host in fabric3:
            host.daemon.wait_peers(2)
        assert [host.daemon.subnet() for host in fabric3] == subnets
        lab.wait_equal()
        assert not any(host.link("flannel-v6.1") for host in fabric3)
        enough(pinger)
    assert pinger.lost == 0, pinger.report()


@pytest.mark.slow
def test_ten_daemons_at_once_share_no_subnet_in_either_family(lab):
    """Twelve IPv4 subnets for ten hosts that start together; keys differ whenever the IPv6 half does."""
    lab.start_etcd()
    lab.configure(DUAL | {"SubnetMax": "10.5.161.0"})
    hosts = lab.hosts(10)
    for host in hosts:
        host.start_daemon(ready=False)
    for host in hosts:
        host.daemon.wait_ready(30)
    for host in hosts:
        host.daemon.wait_peers(9, 30)
    assert len({host.daemon.subnet() for host in hosts}) == 10
    assert len({host.daemon.subnet6() for host in hosts}) == 10
    wait_for(lambda: len(lab.etcd.leases()) == 10, 5, "ten leases")
    lab.wait_equal()


def test_peers_of_one_family_are_used_in_it(lab, dual3):
    """A host that has not turned IPv6 on yet, one without IPv4, and one of whose halves one is bad."""
    h1 = dual3[0]
    v6_value = {
        "PublicIP": "0.0.0.0", "PublicIPv6": "2001:db8:1::71", "BackendType": "vxlan",
        "BackendV6Data": {"VNI": 1, "VtepMAC": "0e:00:00:00:00:71"},
    }  # fmt: skip
    lab.etcd.put(f"{PREFIX}/subnets/10.5.250.0-24", lease_value("192.0.2.70", "0e:00:00:00:00:70"))
    lab.etcd.put(f"{PREFIX}/subnets/0.0.0.0-0&fd10:5:0:fffe::-64", json.dumps(v6_value, separators=(",", ":")))
    lab.wait_equal()
    h1.daemon.wait_peers(4)
    devices = {o[1] for o in h1.objects() if "10.5.250.0" in o or "fd10:5:0:fffe::" in o}
    assert devices == {"flannel.1", "flannel-v6.1"}


def test_a_dual_stack_peer_in_an_ipv4_network(lab, fabric3):
    h1 = fabric3[0]
    value = lease_value("192.0.2.72", "0e:00:00:00:00:72", 1, "2001:db8:1::72", "0e:00:00:00:00:73")
    lab.etcd.put(f"{PREFIX}/subnets/10.5.251.0-24&fd10:5:0:77::-64", value)
    wait_for(lambda: ("route", "flannel.1", "10.5.251.0/24", "10.5.251.0") in h1.objects(), 3, "its IPv4 half")
    assert not any("fd10" in str(o) for o in h1.objects())
    h1.daemon.wait_ok()


def test_a_changed_mac_replaces_exactly_its_objects(lab, dual3):
    """New FDB entry, neighbour replaced in place, then the old FDB entry goes; the route is not touched."""
    h1, h2, _ = dual3
    h2.daemon.stop()
    key = h2.daemon.key()
    value = lab.etcd.get(key).value
    for device, mac in (("flannel.1", "0e:00:00:00:0a:04"), ("flannel-v6.1", "0e:00:00:00:0a:06")):
        value = value.replace(h2.vtep_mac(device), mac)
    monitor = KernelMonitor(h1.namespace)
    lab.etcd.put(key, value)
    lab.wait_equal(2, [h1])
    kinds = [event[0] for event in monitor.tunnel_events()]
    monitor.close()
    assert kinds == ["neighbour or FDB"] * 4 + ["neighbour or FDB deleted"] * 2


def test_a_changed_public_address_costs_no_packet(lab, dual3):
    h1, h2, _ = dual3
    moved, moved6 = "192.0.2.102", "2001:db8:1::102"
    h2.namespace.ip_batch([f"addr add {moved}/24 dev eth0", f"addr add {moved6}/64 dev eth0 nodad"])
    c1, c2 = h1.container(), h2.container()
    with lab.pinger(c1, c2) as pinger:
        enough(pinger)
        h2.daemon.stop()
        record = lab.etcd.get(h2.daemon.key())
        # It still sends from where it did.
        value = record.json | {"PublicIP": moved, "PublicIPv6": moved6}
        value["Node"] |= {"Source": h2.address, "SourceIPv6": h2.address6}
        monitor = KernelMonitor(h1.namespace)
        lab.etcd.put(h2.daemon.key(), json.dumps(value), record.lease)
        lab.wait_equal(2, [h1])
        kinds = [event[0] for event in monitor.tunnel_events()]
        monitor.close()
        enough(pinger, 30)
    assert pinger.lost == 0, pinger.report()
    assert kinds == ["neighbour or FDB"] * 2


@pytest.mark.slow
def test_a_second_start_with_5000_peers_writes_nothing(lab):
    etcd = lab.start_etcd()
    lab.configure(
        {"Network": "10.64.0.0/10", "SubnetMin": "10.127.0.0", "IPv6Network": "fd10::/32", "IPv6SubnetMin": "fd10:0:ffff::"}
        | {"EnableIPv6": True, "Backend": {"Type": "vxlan"}}
    )
    etcd.put_many(
        (
            f"{PREFIX}/subnets/10.{64 + n // 256}.{n % 256}.0-24&fd10:0:{n:x}::-64",
            lease_value(
                f"198.18.{n // 250}.{n % 250 + 1}", f"0e:04:00:00:{n >> 8:02x}:{n & 255:02x}", 1,
                f"2001:db8:2::{n + 1:x}", f"0e:06:00:00:{n >> 8:02x}:{n & 255:02x}",
            ),
        )
        for n in range(5000)
    )  # fmt: skip
    host = lab.host()
    daemon = host.make_daemon()
    times = []
    for _ in range(2):
        monitor = KernelMonitor(host.namespace)
        start = time.monotonic()
        daemon.start().wait_ready(30)
        times.append(time.monotonic() - start)
        daemon.wait_peers(5000, 30)
        events = monitor.tunnel_events()
        monitor.close()
        assert daemon.stop() == 0
    # Peers are known some milliseconds before anything is wanted of the kernel.
    daemon.start().wait_ready(30)
    daemon.wait_peers(5000, 30)
    assert daemon.metric("flannel_netlink_writes_total") == 0
    assert events == []
    assert daemon.metric('flannel_kernel_objects{object="route"}') == 10000
    print(f"5000 dual-stack peers: ready after {times[0]:.3f} s from nothing, {times[1]:.3f} s on a second start")
