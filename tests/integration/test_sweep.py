# SPDX-License-Identifier: Apache-2.0
"""What we made and nobody wants any more goes: devices, tables, chains. By the mark it carries, never by its name."""

import os
import re
import socket
import time

import pytest

from fabric import IPV6
from netns import wait_for
from traffic import ruleset

NETWORK = {"Network": "10.5.0.0/16"}


def vxlan(vni=1, **more):
    return NETWORK | {"Backend": {"Type": "vxlan", "VNI": vni, **more}}


HOST_GW = NETWORK | {"Backend": {"Type": "host-gw"}}


def devices(host, prefix="flannel"):
    return {link["ifname"] for link in host.namespace.ip("link", "show") if link["ifname"].startswith(prefix)}


def tables(host):
    return set(re.findall(r"^table inet (\S+)", ruleset(host), re.M))


def chains(host):
    return set(re.findall(r"^:(\S+)-(?:POSTRTG|FWD)", host.namespace.run("iptables-save"), re.M))


def alias(host, device="flannel.1"):
    return host.link(device).get("ifalias")


def world(lab, config, **flags):
    lab.start_etcd()
    lab.configure(config)
    return lab.hosts(2, daemons=True, ip_masq=True, **flags)


CHANGES = {
    "vxlan to host-gw": (vxlan(), HOST_GW, set(), {"flannel"}),
    "host-gw to vxlan": (HOST_GW, vxlan(), {"flannel.1"}, {"flannel.1"}),
    "VNI 1 to 7": (vxlan(), vxlan(7), {"flannel.7"}, {"flannel.7"}),
    "VNI 1 to 7, with a port that is in the way": (vxlan(), vxlan(7, GBP=True), {"flannel.7"}, {"flannel.7"}),
}


@pytest.mark.parametrize("mode", ["nftables", "iptables"])
@pytest.mark.parametrize("change", CHANGES)
def test_nothing_of_an_earlier_configuration_stays(lab, change, mode):
    before, after, device, table = CHANGES[change]
    hosts = world(lab, before, traffic_mode=mode)
    lab.configure(after)
    for host in hosts:
        host.daemon.restart()
    for host in hosts:
        host.daemon.wait_peers(1)
        wait_for(lambda h=host: tables(h) == table, 5, f"tables are {table}")
        wait_for(lambda h=host: devices(h) == device, 5, f"devices are {device}")
        wait_for(lambda h=host: chains(h) == (table if mode == "iptables" else set()), 5, "old chains are gone")
        host.daemon.wait_ok()
    with lab.pinger(*(host.container() for host in hosts)) as pinger:
        wait_for(lambda: pinger.sent > 20, 5, "containers ping each other")
    assert pinger.lost == 0, pinger.report()
    # What is right is not written again.
    hosts[0].daemon.restart()
    hosts[0].daemon.wait_ok()
    assert hosts[0].daemon.metric("flannel_netlink_writes_total") == 0
    assert not hosts[0].daemon.logged("leftover")


@pytest.mark.parametrize("mode", ["nftables", "iptables"])
def test_two_daemons_leave_each_other_alone(lab, mode):
    lab.start_etcd()
    lab.configure(vxlan(1))
    lab.configure({"Network": "10.6.0.0/16", "Backend": {"Type": "vxlan", "VNI": 2, "Port": 8473}}, "/other")
    host = lab.host()
    flags = {"ip_masq": True, "traffic_mode": mode}
    # Even with one name for the host: a state directory is one daemon's.
    host.start_daemon(node_id="n1", **flags)
    host.start_daemon("b", etcd_prefix="/other", node_id="n1", **flags)
    both = {"flannel.1", "flannel.2"}
    for daemon in host.daemons.values():
        daemon.wait_ok()
    assert alias(host) != alias(host, "flannel.2")
    for daemon in host.daemons.values():
        daemon.restart()
        daemon.wait_ok()
        assert daemon.request("/v1/sync", "POST")[0] == 200
        assert devices(host) == tables(host) == both
        assert chains(host) == (both if mode == "iptables" else set())
        assert not daemon.logged("leftover")


def test_what_has_no_mark_is_not_ours(lab):
    """Whatever its name."""
    lab.start_etcd()
    lab.configure(vxlan())
    host = lab.host()
    host.namespace.ip_do("link add flannel.9 type vxlan id 9 dstport 8472 nolearning")
    host.namespace.ip_do("link set flannel.9 alias flanneld")
    host.namespace.nft("add table inet flannel.9; add chain inet flannel.9 guard { type filter hook prerouting priority raw; }")
    host.namespace.run("iptables", "-N", "flannel.9-FWD")
    host.namespace.run("iptables", "-A", "FORWARD", "-m", "comment", "--comment", "flanneld forward", "-j", "flannel.9-FWD")
    host.start_daemon(ip_masq=True).wait_ok()
    assert devices(host) == tables(host) == {"flannel.1", "flannel.9"}
    assert chains(host) == {"flannel.9"}
    assert not host.daemon.logged("leftover")


def test_a_mark_that_was_taken_off_is_put_back(lab):
    host, _ = world(lab, vxlan())
    mark = alias(host)
    assert re.fullmatch("flanneld [0-9a-f]{16}", mark)
    assert f'comment "{mark}"' in ruleset(host)
    host.namespace.run("ip", "link", "set", "flannel.1", "alias", "mine")
    wait_for(lambda: alias(host) == mark, 2, "the mark is back")
    # One that an earlier version made: marked by one write, and once.
    assert host.daemon.stop() == 0
    host.namespace.run("ip", "link", "set", "flannel.1", "alias", "")
    assert not alias(host)
    for writes in (1, 0):
        host.daemon.start().wait_ok()
        assert alias(host) == mark
        assert host.daemon.metric("flannel_netlink_writes_total") == writes
        assert host.daemon.stop() == 0


def test_devices_that_flannel_left(lab):
    """Known by the address of the subnet that this host had; what has another address is somebody's."""
    host, _ = world(lab, vxlan() | IPV6)
    own = host.daemon.subnet().split("/")[0]
    own6 = host.daemon.subnet6().split("/")[0]
    other = "10.5.250.0" if own != "10.5.250.0" else "10.5.251.0"
    assert host.daemon.stop() == 0
    for name, number, addresses in (
        ("flannel.3", 3, [f"{own}/32"]),
        ("flannel-v6.3", 13, [f"{own6}/128"]),
        ("flannel.4", 4, [f"{other}/32"]),
        ("flannel.5", 5, [f"{own}/24"]),
    ):
        host.namespace.ip_do(f"link add {name} type vxlan id {number} dstport 8472 nolearning")
        for address in addresses:
            host.namespace.ip_do(f"addr add {address} dev {name}")
    # Not ok: what is sent to the address that stays, in a subnet of others, stays here, and status says so.
    host.daemon.start().wait_ready()
    wait_for(lambda: devices(host) == {"flannel.1", "flannel-v6.1", "flannel.4", "flannel.5"}, 5, "flannel's are gone")


SWITCHES = {"other switches": "id 5 dstport 8472 gbp", "the same VNI": "id 1 dstport 8472 local 192.0.2.250", "metadata": "external dstport 8472"}


@pytest.mark.parametrize("how", SWITCHES)
def test_a_device_that_holds_our_port_is_named(lab, how):
    """No process owns the port then, and the kernel names nobody."""
    lab.start_etcd()
    lab.configure(vxlan())
    host = lab.host()
    host.namespace.ip_do(f"link add other0 type vxlan {SWITCHES[how]}")
    host.namespace.ip_do("link set other0 up")
    daemon = host.start_daemon(ready=False)
    daemon.wait_log("device-failed: .*flannel.1: .*device other0 of the same kind holds the port")
    assert "other0" in devices(host, "")
    host.namespace.ip_do("link del other0")
    daemon.wait_ok()


def test_a_process_that_holds_our_port_is_named(lab):
    lab.start_etcd()
    lab.configure(vxlan())
    host = lab.host()
    with host.namespace.socket(socket.AF_INET, socket.SOCK_DGRAM) as inbox:
        inbox.bind(("0.0.0.0", 8472))
        daemon = host.start_daemon(ready=False)
        daemon.wait_log(rf"device-failed: flannel.1: .*process {os.getpid()} \(.*\) holds UDP port 8472")
    daemon.wait_ok()


def test_router_advertisements_stay_off(lab):
    """Looked after like all else of a device, if not told by the kernel: at the latest when everything is compared."""
    lab.start_etcd()
    lab.configure(vxlan())
    host = lab.host()
    host.start_daemon().wait_ok()
    key = "net/ipv6/conf/flannel.1/accept_ra"

    def value():
        return host.namespace.run("cat", f"/proc/sys/{key}").strip()

    assert value() == "0"
    host.namespace.run("sh", "-c", f"echo 2 > /proc/sys/{key}")
    assert host.daemon.request("/v1/sync", "POST")[0] == 200
    assert value() == "0"


@pytest.mark.slow
def test_a_device_that_is_altered_again_and_again(lab):
    """Put right at once the first time, later and later while it goes on; named, and over when it is over."""
    lab.start_etcd()
    lab.configure(vxlan())
    host = lab.host()
    host.start_daemon().wait_ok()
    mark = alias(host)
    began = time.monotonic()
    altered = 0
    told = False
    # A moment after it was put right there is nothing wrong with it: so it is asked each time.
    while time.monotonic() < began + 3 or not told:
        assert time.monotonic() < began + 20, host.daemon.problems()
        if alias(host) == mark:
            host.namespace.run("ip", "link", "set", "flannel.1", "alias", "mine")
            altered += 1
        elif altered > 4:
            told = told or {"device-failed", "fighting"} <= set(host.daemon.problems())
    assert 4 <= altered <= 12
    assert host.daemon.metric("flannel_device_repairs_total") <= 12
    assert host.daemon.logged("fighting: device flannel.1")
    wait_for(lambda: alias(host) == mark, 10, "the last one is put right")
    wait_for(lambda: "device-failed" not in host.daemon.problems(), 2, "nothing is wrong with it")
    # It is over when it has stood for as long as the last wait and ten seconds more.
    host.daemon.wait_ok(30)
    assert host.daemon.logged("fight-over: device flannel.1")
