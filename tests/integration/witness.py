# SPDX-License-Identifier: Apache-2.0
"""What the kernel has against what the store says, told without asking the daemon.

`wanted` reads the leases as flannel wrote them and says which kernel objects they stand for; `found` lists what is on
the tunnel devices. Both are sets of tuples, so that a difference reads well.
"""

import ipaddress
import json
import re
import socket
import struct

from netns import wait_for

ROUTE_PROTOCOLS = range(102, 166)
KEY = re.compile(r"/subnets/(\d+\.\d+\.\d+\.\d+)-(\d+)(?:&([0-9a-f:]+)-(\d+))?$")


def parse_key(key):
    """(IPv4 network or None, IPv6 network or None) of a lease key; None for junk."""
    match = KEY.search(key)
    if not match:
        return None
    try:
        v4 = ipaddress.ip_network(f"{match[1]}/{match[2]}")
        v6 = ipaddress.ip_network(f"{match[3]}/{match[4]}") if match[3] else None
    except ValueError:
        return None
    return (v4 if v4.prefixlen else None), v6


def key_of(subnet):
    """10.5.4.0/24 as the last part of a lease key."""
    return str(subnet).replace("/", "-")


def lease_value(public_ip, mac, vni=1, public_ipv6=None, mac_v6=None):
    """Byte for byte what flannel writes for a vxlan lease."""
    value = {
        "PublicIP": public_ip,
        "PublicIPv6": public_ipv6,
        "BackendType": "vxlan",
        "BackendData": {"VNI": vni, "VtepMAC": mac},
    }
    if public_ipv6:
        value["BackendV6Data"] = {"VNI": vni, "VtepMAC": mac_v6}
    return json.dumps(value, separators=(",", ":"))


def made_up_lease(number, network="10.5.0.0/16", vni=1):
    """(key without prefix, value) of a peer that does not exist, different for every number below 250 * 250."""
    base = ipaddress.ip_network(network).network_address + (number + 1) * 256
    mac = f"0e:00:00:00:{number >> 8:02x}:{number & 255:02x}"
    return f"/subnets/{base}-24", lease_value(f"198.51.{100 + number // 250}.{number % 250 + 1}", mac, vni)


def wanted(leases, own_subnet, vni=1):
    """Kernel objects for these store records on the host that holds own_subnet ("10.5.4.0/24" or None)."""
    device, device6 = f"flannel.{vni}", f"flannel-v6.{vni}"
    objects = set()
    for record in leases:
        nets = parse_key(record.key)
        try:
            value = record.json
        except (ValueError, TypeError):
            continue
        if not nets or not isinstance(value, dict):
            continue
        v4, v6 = nets
        own = own_subnet in (str(v4), str(v6))
        if own and v4:
            objects.add(("address", device, f"{v4.network_address}/32"))
        if own and v6:
            objects.add(("address", device6, f"{v6.network_address}/128"))
        if own or value.get("BackendType") != "vxlan":
            continue
        for net, dev, public, data in (
            (v4, device, value.get("PublicIP"), value.get("BackendData")),
            (v6, device6, value.get("PublicIPv6"), value.get("BackendV6Data")),
        ):
            if net and data:
                mac, base = data["VtepMAC"].lower(), str(net.network_address)
                objects |= {
                    ("neighbour", dev, base, mac),
                    ("fdb", dev, mac, public),
                    ("route", dev, str(net), base),
                }
    return objects


def found(namespace, vni=1, everywhere=True):
    """Kernel objects on the tunnel devices and, if everywhere, routes that carry our protocol on others."""
    objects, present = set(), set()
    for link in namespace.ip("addr", "show"):
        device = link.get("ifname")
        present.add(device)
        if device not in (f"flannel.{vni}", f"flannel-v6.{vni}"):
            continue
        for a in link["addr_info"]:
            if a["scope"] != "link":
                objects.add(("address", device, f"{a['local']}/{a['prefixlen']}"))
        for n in namespace.ip("neigh", "show", "dev", device):
            if "NOARP" not in n.get("state", []):
                objects.add(("neighbour", device, n["dst"], n.get("lladdr")))
        for f in namespace.bridge("fdb", "show", "dev", device):
            objects.add(("fdb", device, f["mac"], f.get("dst")))
    devices = (f"flannel.{vni}", f"flannel-v6.{vni}")
    for family in ("-4", "-6"):
        if everywhere:
            routes = namespace.ip(family, "route", "show")
        else:
            routes = [
                r | {"dev": device}
                for device in present.intersection(devices)
                for r in namespace.ip(family, "route", "show", "dev", device)
            ]
        for r in routes:
            ours = str(r.get("protocol")) in map(str, ROUTE_PROTOCOLS)
            if r.get("dev") in devices and r.get("protocol") != "kernel" or (
                ours and not str(r.get("dev")).startswith("flannel")
            ):
                objects.add(("route", r.get("dev"), _with_length(r["dst"]), r.get("gateway")))
    return objects


def _with_length(dst):
    if "/" in dst or dst == "default":
        return dst
    return f"{dst}/{128 if ':' in dst else 32}"


def difference(want, have):
    missing, extra = sorted(map(str, want - have)), sorted(map(str, have - want))
    if not missing and not extra:
        return ""
    return (
        f"{len(missing)} missing: {', '.join(missing[:8])}; {len(extra)} that should not be there: "
        f"{', '.join(extra[:8])}"
    )


class KernelMonitor:
    """Every notification of a namespace's kernel about tunnel devices and what is on them, from construction on."""

    GROUPS = 0x1 | 0x4 | 0x10 | 0x40 | 0x100 | 0x400  # link, neighbour, IPv4/IPv6 address, IPv4/IPv6 route
    KINDS = {
        16: "link", 17: "link deleted", 20: "address", 21: "address deleted", 24: "route", 25: "route deleted",
        28: "neighbour or FDB", 29: "neighbour or FDB deleted",
    }  # fmt: skip
    FORGOTTEN = "neighbour forgotten"  # the end of one; that somebody deletes it is told before, as a change of it

    def __init__(self, namespace):
        self.namespace = namespace
        # What the kernel does by itself is no news: it gives every device that comes up an IPv6 address, and is done
        # with looking for a duplicate a second or two later.
        wait_for(self._settled, 10, "every IPv6 address is settled")
        self.socket = namespace.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
        self.socket.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)  # SO_RCVBUFFORCE
        self.socket.bind((0, self.GROUPS))
        self.socket.setblocking(False)

    def _settled(self):
        return not any(link.get("addr_info") for link in self.namespace.ip("addr", "show", "tentative"))

    def events(self):
        """[(kind, interface index, protocol of a route or None)] since the last call. Raises OSError on overrun."""
        out = []
        while True:
            try:
                data = self.socket.recv(1 << 16)
            except BlockingIOError:
                return out
            offset = 0
            while offset + 16 <= len(data):
                size, kind = struct.unpack_from("=IH", data, offset)
                body = data[offset + 16 : offset + size]
                of_bridge = body[:1] == bytes([socket.AF_BRIDGE])
                name = self.FORGOTTEN if kind == 29 and not of_bridge else self.KINDS.get(kind, kind)
                out.append((name, *self._about(kind, body)))
                offset += (size + 3) & ~3

    @staticmethod
    def _about(kind, body):
        if kind in (24, 25):  # rtmsg, then attributes; RTA_OIF is 4
            index, offset = 0, 12
            while offset + 4 <= len(body):
                size, attribute = struct.unpack_from("=HH", body, offset)
                if attribute == 4:
                    index = struct.unpack_from("=I", body, offset + 4)[0]
                offset += max((size + 3) & ~3, 4)
            return index, body[5]
        return struct.unpack_from("=i", body, 4)[0], None

    def tunnel_events(self):
        """Those about tunnel devices or with our route protocol."""
        indexes = {
            link["ifindex"] for link in self.namespace.ip("link", "show") if link["ifname"].startswith("flannel")
        }
        events = [e for e in self.events() if e[0] != self.FORGOTTEN]
        return [e for e in events if e[1] in indexes or e[2] in ROUTE_PROTOCOLS]

    def close(self):
        self.socket.close()


def wait_equal(host, leases, deadline_s, vni=1, own=None):
    """Waits until the host's kernel has exactly what leases() (a list of store records) stand for."""

    def equal():
        problem = difference(wanted(leases(), own or host.subnet_of_file(), vni), found(host.namespace, vni))
        assert not problem, problem
        return True

    wait_for(equal, deadline_s, f"the kernel of {host.name} equals the store")
