# SPDX-License-Identifier: Apache-2.0
"""A peer's MAC or public address changes, over and over and under a flood: exactly its objects are replaced, and there is
no instant without a path. In both families, for every backend that has a data path."""

import contextlib
import json

import pytest

from etcd import PREFIX
from fabric import DUAL
from netns import wait_for
from witness import KernelMonitor, lease_value, made_up_lease

CHANGES = 20
MOVED, MOVED6 = "192.0.2.102", "2001:db8:1::102"
MACS = {"flannel.1": "0e:00:00:00:0a:04", "flannel-v6.1": "0e:00:00:00:0a:06"}
BACKENDS = {
    "vxlan": {"Type": "vxlan"},
    "host-gw": {"Type": "host-gw"},
    "DirectRouting": {"Type": "vxlan", "DirectRouting": True},
}
# What the kernel tells of one change: first the new, and only then the old is deleted.
NOTIFIED = {
    ("vxlan", "MAC"): ["neighbour or FDB"] * 4 + ["neighbour or FDB deleted"] * 2,
    ("host-gw", "address"): ["route"] * 2,
    ("vxlan", "address"): ["neighbour or FDB"] * 2,
    ("vxlan", "both"): ["neighbour or FDB"] * 4 + ["neighbour or FDB deleted"] * 2,
    ("DirectRouting", "address"): ["route"] * 2,
    ("DirectRouting", "MAC"): [],
}


def accept_every_mac(host):
    """As a host would that has the MAC which its lease says."""
    for device in MACS:
        host.namespace.nft(
            f"table netdev any-{device.replace('.', '-')} {{ chain in {{ "
            f"type filter hook ingress device {device} priority 0; meta pkttype set host; }}\n}}\n"
        )


def values(lab, host, what):
    """The lease as it is, and as it is after a change."""
    old = lab.etcd.get(host.daemon.key()).json
    new = json.loads(json.dumps(old))
    if what in ("address", "both"):
        # It still sends from where it did.
        new |= {"PublicIP": MOVED, "PublicIPv6": MOVED6}
        new["Node"] |= {"Source": host.address, "SourceIPv6": host.address6}
    if what in ("MAC", "both"):
        new["BackendData"]["VtepMAC"] = MACS["flannel.1"]
        new["BackendV6Data"]["VtepMAC"] = MACS["flannel-v6.1"]
    assert new != old
    return old, new


def objects(host, value, direct):
    """What h1 has for this host, both families."""
    expected = set()
    for subnet, device, public, data in (
        (host.daemon.subnet(), "flannel.1", "PublicIP", "BackendData"),
        (host.daemon.subnet6(), "flannel-v6.1", "PublicIPv6", "BackendV6Data"),
    ):
        base = subnet.split("/", maxsplit=1)[0]
        if direct:
            expected.add(("route", "eth0", subnet, value[public]))
        else:
            mac = value[data]["VtepMAC"]
            expected |= {
                ("route", device, subnet, base), ("neighbour", device, base, mac), ("fdb", device, mac, value[public]),
            }  # fmt: skip
    return expected


@pytest.mark.slow
@pytest.mark.long(after=2)
@pytest.mark.parametrize("backend, what", list(NOTIFIED))
def test_exactly_its_objects_and_never_without_a_path(lab, backend, what):
    etcd = lab.start_etcd()
    lab.configure(DUAL | {"Backend": BACKENDS[backend]})
    h1, h2 = lab.hosts(2, daemons=True)
    direct = backend != "vxlan"
    h2.namespace.ip_batch([f"addr add {MOVED}/24 dev eth0", f"addr add {MOVED6}/64 dev eth0 nodad"])
    if what in ("MAC", "both") and not direct:
        accept_every_mac(h2)
    # Somebody beside it, whose objects are left alone.
    if backend != "host-gw":
        key, value = made_up_lease(1)
        etcd.put(PREFIX + key, value)
        h1.daemon.wait_peers(2)
    c1, c2 = h1.container(), h2.container()
    h2.daemon.stop()
    key, record = h2.daemon.key(), etcd.get(h2.daemon.key())
    versions = values(lab, h2, what)
    rest = h1.objects() - objects(h2, versions[0], direct)

    def settled(value, revision):
        item = next(i for i in h1.daemon.subnets() if i["subnet"] == h2.daemon.subnet())
        assert item["revision"] == str(revision) and item["kernel"] == "ok", item
        assert h1.objects() == rest | objects(h2, value, direct)
        return True

    with contextlib.closing(KernelMonitor(h1.namespace)) as monitor, lab.pinger(c1, c2, rate=None) as pinger:
        assert len(pinger.flows) == 4
        monitor.tunnel_events()
        for number in range(1, CHANGES + 1):
            value = versions[number % 2]
            revision = etcd.put(key, json.dumps(value, separators=(",", ":")), record.lease)
            wait_for(lambda v=value, r=revision: settled(v, r), 3, f"change {number} is in the kernel")
            assert [event[0] for event in monitor.tunnel_events()] == NOTIFIED[backend, what], f"change {number}"
        target = pinger.sent + 400
        wait_for(lambda: pinger.sent >= target, 10, "pings")
    assert pinger.lost == 0, pinger.report()
    print(f"{pinger.sent} pings over {CHANGES} changes, none lost")


def test_a_tunnel_peer_beside_direct_ones(lab):
    """With DirectRouting a peer behind the router has a tunnel, and its MAC and address are followed there."""
    etcd = lab.start_etcd()
    lab.configure(DUAL | {"Backend": BACKENDS["DirectRouting"]})
    lab.second_segment()
    h1, h3 = lab.host(), lab.host(segment=2)
    for host in (h1, h3):
        host.start_daemon()
    h1.daemon.wait_peers(1)
    h3.daemon.stop()
    key = h3.daemon.key()
    rest = h1.objects() - objects(h3, etcd.get(key).json, False)
    changed = json.loads(
        lease_value("198.51.100.103", MACS["flannel.1"], 1, "2001:db8:2::103", MACS["flannel-v6.1"])
    )  # fmt: skip
    monitor = h1.monitor()
    etcd.put(key, json.dumps(changed, separators=(",", ":")))

    def settled():
        assert h1.objects() == rest | objects(h3, changed, False)
        return True

    wait_for(settled, 3, "the change is in the kernel")
    assert [event[0] for event in monitor.tunnel_events()] == NOTIFIED["vxlan", "both"]
