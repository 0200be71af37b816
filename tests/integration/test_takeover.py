# SPDX-License-Identifier: Apache-2.0
"""A host that ran flannel is taken over without a lost packet, and given back to flannel just so.

What flannel 0.20.2 leaves in kernel and store is built here by hand, object by object as it was seen.
"""

import ipaddress
import json

import pytest

import witness
from etcd import PREFIX
from fabric import CONFIG, DUAL, IPV6
from netns import wait_for
from witness import lease_value

RANDOM_MACS = {1: ("36:4d:74:4e:f5:fc", "6a:95:17:6d:7c:b0"), 2: ("46:95:17:6d:7c:b0", "d6:72:65:47:5f:56")}


class Flannel:
    """What a flannel of version 0.20.2 does on one host, each step by `ip` and by etcd."""

    def __init__(self, lab, host, dual):
        self.lab, self.host, self.dual = lab, host, dual
        self.namespace = host.namespace
        self.v4 = ipaddress.ip_network(f"10.5.{160 + host.number}.0/24")
        self.v6 = ipaddress.ip_network(f"fd10:5:0:{0x90 + host.number:x}::/64")
        self.macs = RANDOM_MACS[host.number]
        self.key = f"{PREFIX}/subnets/{self.v4.network_address}-24" + (f"&{self.v6.network_address}-64" if dual else "")
        self.sides = [("flannel.1", self.v4, host.address, "PublicIP", "BackendData")]
        if dual:
            self.sides.append(("flannel-v6.1", self.v6, host.address6, "PublicIPv6", "BackendV6Data"))

    def first_start(self):
        """On a host that has nothing."""
        for (device, _, address, _, _), mac in zip(self.sides, self.macs):
            self.namespace.ip_do(
                f"link add {device} address {mac} type vxlan id 1 local {address} dev eth0 dstport 8472 nolearning"
            )
        self.lease()
        self.address()
        self.write_subnet_env()

    def lease(self):
        macs = [self.host.vtep_mac(device) for device, *_ in self.sides]
        more = (self.host.address6, macs[1]) if self.dual else ()
        self.lab.etcd.put(self.key, lease_value(self.host.address, macs[0], 1, *more), self.lab.etcd.grant(86400))

    def address(self):
        for device, subnet, *_ in self.sides:
            self.namespace.ip_do(f"addr replace {subnet.network_address}/{subnet.max_prefixlen} dev {device}")
            self.namespace.ip_do(f"link set {device} up")

    def write_subnet_env(self):
        lines = ["FLANNEL_NETWORK=10.5.0.0/16", f"FLANNEL_SUBNET={self.v4.network_address + 1}/24"]
        if self.dual:
            lines += ["FLANNEL_IPV6_NETWORK=fd10:5::/48", f"FLANNEL_IPV6_SUBNET={self.v6.network_address + 1}/64"]
        # It says 1450 although the IPv6 device really has 1430.
        lines += ["FLANNEL_MTU=1450", "FLANNEL_IPMASQ=false", ""]
        path = self.host.daemon.subnet_file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(lines))

    def add(self, device, subnet, mac, public):
        base = subnet.network_address
        self.namespace.ip_do(f"neigh replace {base} lladdr {mac} nud permanent dev {device}")
        self.namespace.bridge_do(f"fdb replace {mac} dev {device} dst {public} self permanent")
        self.namespace.ip_do(f"route replace {subnet} via {base} dev {device} onlink")

    def add_peers(self):
        """By flannel's rules: the key's numbers, these names of the value, nothing else."""
        for record in self.lab.etcd.leases():
            if record.key == self.key or record.json["BackendType"] != "vxlan":
                continue
            nets = witness.parse_key(record.key)
            for (device, _, _, public, data), subnet in zip(self.sides, nets):
                value = record.json
                assert isinstance(value[data]["VNI"], int)
                self.add(device, subnet, value[data]["VtepMAC"], value[public])

    def leave_stale_peers(self):
        """One that left while flannel was down, one whose MAC was another before, and half of a third."""
        self.add("flannel.1", ipaddress.ip_network("10.5.201.0/24"), "0e:00:00:00:20:01", "192.0.2.120")
        self.namespace.bridge_do("fdb add 0e:00:00:00:20:02 dev flannel.1 dst 192.0.2.2 self permanent")
        self.namespace.ip_do("neigh add 10.5.203.0 lladdr 0e:00:00:00:20:03 nud permanent dev flannel.1")
        if self.dual:
            self.add("flannel-v6.1", ipaddress.ip_network("fd10:5:0:201::/64"), "0e:00:00:00:20:04", "2001:db8:1::120")

    def start_again(self):
        """On a host that somebody else ran meanwhile: every condition under which flannel keeps device and lease."""
        for device, _, address, *_ in self.sides:
            link = self.host.link(device)
            data = link["linkinfo"]["info_data"]
            assert link["linkinfo"]["info_kind"] == "vxlan"
            assert (data["id"], data["link"], data["port"]) == (1, "eth0", 8472)
            assert data.get("local", data.get("local6")) == address
            assert not data.get("l2miss") and not data.get("gbp")
        # The first in key order with our IPv4 address; it must fit the network.
        found = next(r for r in self.lab.etcd.leases() if r.json.get("PublicIP") == self.host.address)
        assert found.key == self.key
        self.lease()
        self.address()
        self.write_subnet_env()
        self.add_peers()


def enough(pinger, each=20):
    target = pinger.sent + each * len(pinger.flows)
    wait_for(lambda: pinger.sent >= target, 10, "pings")


def routes_by(host, protocol):
    return [
        r["dst"]
        for family in ("-4", "-6")
        for device in ("flannel.1", "flannel-v6.1")
        if host.link(device)
        for r in host.namespace.ip(family, "route", "show", "dev", device)
        if r.get("protocol") == protocol
    ]


@pytest.mark.parametrize("dual", [False, True], ids=["IPv4", "dual-stack"])
def test_from_flannel_and_back_without_a_loss(lab, dual):
    lab.start_etcd()
    lab.configure(CONFIG | IPV6 if dual else CONFIG)
    hosts = lab.hosts(2)
    for host in hosts:
        host.make_daemon()
    flannels = [Flannel(lab, host, dual) for host in hosts]
    for flannel in flannels:
        flannel.first_start()
    for flannel in flannels:
        flannel.add_peers()
        flannel.leave_stale_peers()
    h1, h2 = hosts
    indexes = [[host.link(side[0])["ifindex"] for side in f.sides] for host, f in zip(hosts, flannels)]
    macs = [[host.vtep_mac(side[0]) for side in f.sides] for host, f in zip(hosts, flannels)]

    def same_devices():
        assert [[host.link(side[0])["ifindex"] for side in f.sides] for host, f in zip(hosts, flannels)] == indexes
        assert [[host.vtep_mac(side[0]) for side in f.sides] for host, f in zip(hosts, flannels)] == macs

    def taken_over(host, flannel):
        host.daemon.start().wait_ready()
        lab.wait_equal(5, [host])
        record = lab.etcd.get(flannel.key)
        assert record.json["Node"]["Name"] == host.daemon.flags["node_name"]
        assert lab.etcd.time_to_live(record.lease) > 86000
        assert host.daemon.key() == flannel.key
        assert routes_by(host, "boot") == []
        same_devices()

    with lab.pinger(h1.container(), h2.container()) as pinger:
        enough(pinger)
        taken_over(h1, flannels[0])
        # A mixed cluster for a while.
        enough(pinger)
        taken_over(h2, flannels[1])
        enough(pinger)
        assert len(lab.etcd.leases()) == 2
        h1.daemon.wait_ok()
        # And back, one after the other.
        for host, flannel in zip(hosts, flannels):
            assert host.daemon.stop() == 0
            flannel.start_again()
            enough(pinger)
            assert "Node" not in lab.etcd.get(flannel.key).json
        same_devices()
        for host in hosts:
            assert len(routes_by(host, "boot")) == len(flannels[0].sides)
        # h2 is ours again, h1 stays with flannel and comes with a new lease: what is read is right.
        taken_over(h2, flannels[1])
        flannels[0].lease()
        lab.wait_equal(3, [h2])
        h2.daemon.wait_ok()
        enough(pinger)
    assert pinger.lost == 0, pinger.report()


LEASES = {
    "vxlan": ("10.5.20.0-24", '{"PublicIP":"192.0.2.20","PublicIPv6":null,"BackendType":"vxlan",'
              '"BackendData":{"VNI":1,"VtepMAC":"36:4d:74:4e:f5:20"}}', None),
    "vxlan dual": ("10.5.21.0-24&fd10:5:0:21::-64", '{"PublicIP":"192.0.2.21","PublicIPv6":"2001:db8:1::21",'
                   '"BackendType":"vxlan","BackendData":{"VNI":1,"VtepMAC":"46:95:17:6d:7c:21"},'
                   '"BackendV6Data":{"VNI":1,"VtepMAC":"d6:72:65:47:5f:21"}}', None),
    "vxlan v6-only": ("0.0.0.0-0&fd10:5:0:22::-64", '{"PublicIP":"0.0.0.0","PublicIPv6":"2001:db8:1::22",'
                      '"BackendType":"vxlan","BackendV6Data":{"VNI":1,"VtepMAC":"4a:86:14:b2:db:22"}}', None),
    "other case": ("10.5.23.0-24", '{"publicip":"192.0.2.23","backendtype":"vxlan",'
                   '"backenddata":{"vni":1,"vtepmac":"36:4D:74:4E:F5:23"}}', None),
    "another VNI": ("10.5.24.0-24", '{"PublicIP":"192.0.2.24","PublicIPv6":null,"BackendType":"vxlan",'
                    '"BackendData":{"VNI":7,"VtepMAC":"36:4d:74:4e:f5:24"}}', "VNI is 7, ours is 1"),
    "host-gw": ("10.5.25.0-24", '{"PublicIP":"192.0.2.25","PublicIPv6":null,"BackendType":"host-gw"}',
                'BackendType is "host-gw"'),
    "wireguard": ("10.5.26.0-24", '{"PublicIP":"192.0.2.26","PublicIPv6":null,"BackendType":"wireguard",'
                  '"BackendData":{"PublicKey":"6XvxxT5dDUVQyhIZpqnhyvZsz9hHnbrXfCZsZQl4L2I=","Port":51820}}',
                  'BackendType is "wireguard"'),
    "ipip": ("10.5.27.0-24", '{"PublicIP":"192.0.2.27","PublicIPv6":null,"BackendType":"ipip"}', 'BackendType is "ipip"'),
    "udp, alloc": ("10.5.28.0-24", '{"PublicIP":"192.0.2.28","PublicIPv6":null}', 'BackendType is ""'),
    "ipsec": ("10.5.30.0-24", '{"PublicIP":"192.0.2.30","PublicIPv6":null,"BackendType":"ipsec"}', 'BackendType is "ipsec"'),
    "extension": ("10.5.29.0-24", '{"PublicIP":"192.0.2.29","PublicIPv6":null,"BackendType":"extension",'
                  '"BackendData":"any text; $(even this)"}', 'BackendType is "extension"'),
}  # fmt: skip


def test_leases_of_every_backend_of_flannel_are_told_apart(lab):
    """Used, or ignored one by one with the reason; nobody else suffers."""
    etcd = lab.start_etcd()
    lab.configure(DUAL)
    etcd.put_many(((f"{PREFIX}/subnets/{key}", value) for key, value, _ in LEASES.values()), etcd.grant(86400))
    h1, h2 = lab.hosts(2)
    for host in (h1, h2):
        host.start_daemon()
    ignored = sum(1 for *_, reason in LEASES.values() if reason)
    h1.daemon.wait_status(lambda s: s["peers"] == len(LEASES) + 1 and s["peersIgnored"] == ignored)
    items = {item["subnet"] or item["subnetV6"]: item for item in h1.daemon.subnets()}
    for name, (key, _, reason) in LEASES.items():
        shown = key.removeprefix("0.0.0.0-0&").split("&")[0].replace("-", "/")
        assert items[shown]["kernel"] == ("ignored" if reason else "ok"), name
        assert (reason or "") in items[shown]["reason"], name
    text = json.dumps(sorted(map(str, h1.objects())))
    for key, _, reason in LEASES.values():
        for part in key.split("&"):
            if not part.startswith("0.0.0.0"):
                assert (part.split("-")[0] in text) == (not reason), part
    with lab.pinger(h1.container(), h2.container()) as pinger:
        enough(pinger, 10)
    assert pinger.lost == 0, pinger.report()
