# SPDX-License-Identifier: Apache-2.0
"""Who is seen by whom under which address, with each backend: the table of test_traffic.py, which that has for vxlan."""

import re

import pytest

import ipsec
import wireguard
from fabric import APART, DUAL
from test_ipip import kernel_has_ipip
from test_traffic import World, check_table
from traffic import seen

# A host's own way to others' containers: from the tunnel's address, from that of the interface, or there is none.
TUNNEL, INTERFACE, NONE = "tunnel", "interface", "none"


def plain(host, **flags):
    return host.make_daemon(**flags)


def ipip_is_missing():
    return None if kernel_has_ipip() else "this kernel has no ipip"


def esp_is_missing():
    return ipsec.missing() or (None if ipsec.kernel_has_esp() else "this kernel has no ESP")


ROWS = {
    "host-gw": (DUAL, {}, plain, lambda: None, INTERFACE),
    "wireguard": (DUAL, {}, wireguard.make_daemon, wireguard.missing, TUNNEL),
    "ipip": (APART, {}, plain, ipip_is_missing, TUNNEL),
    "udp": (APART, {}, plain, ipip_is_missing, TUNNEL),
    # Policies take what goes from subnet to subnet; a host's own address is in none.
    "ipsec": (APART, {"PSK": ipsec.PSK}, ipsec.make_daemon, esp_is_missing, NONE),
}


@pytest.mark.parametrize("mode", ["nftables", "iptables-nft"])
@pytest.mark.parametrize("backend", ROWS)
def test_addresses_as_the_receivers_see_them(lab, backend, mode):
    network, keys, make_daemon, missing, way = ROWS[backend]
    if reason := missing():
        pytest.skip(reason)
    w = World(lab, mode, network | {"Backend": {"Type": backend} | keys}, make_daemon)
    if backend == "ipsec":
        ipsec.wait_tunnels(w.h1, w.h2)
    for version in (4, 6) if network is DUAL else (4,):
        tunnel = {TUNNEL: w.tunnel_address(w.h1, version), INTERFACE: w.host_address(w.h1, version), NONE: None}[way]
        check_table(w, version, tunnel=tunnel)


# The tunnel's packets, as /proc/net/nf_conntrack has them where they are tracked.
OUTER = {"wireguard": r"^ipv4 .* udp .* dport=51820 ", "ipip": r"^ipv4 +2 \w+ +4 ", "udp": r"^ipv4 .* udp .* dport=8285 "}


@pytest.mark.parametrize("backend", OUTER)
def test_tunnel_packets_are_tracked_only_if_told_to(lab, backend):
    network, keys, make_daemon, missing, _ = ROWS[backend]
    if reason := missing():
        pytest.skip(reason)
    w = World(lab, "nftables", network | {"Backend": {"Type": backend} | keys}, make_daemon)

    def tracked(host):
        assert seen(w.c1.namespace, w.c2.address, w.c2.namespace) == w.c1.address
        text = host.namespace.run("cat", "/proc/net/nf_conntrack")
        assert w.c1.address in text, "containers' packets are"
        return re.findall(OUTER[backend], text, re.M)

    assert not tracked(w.h1) and not tracked(w.h2)
    w.h2.daemon.flags["tunnel_notrack"] = False
    w.h2.daemon.restart().wait_ok()
    assert tracked(w.h2) and not tracked(w.h1)
