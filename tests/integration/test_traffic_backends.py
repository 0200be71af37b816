# SPDX-License-Identifier: Apache-2.0
"""Who is seen by whom under which address, with each backend: the table of test_traffic.py, which that has for vxlan."""

import pytest

import ipsec
import wireguard
from fabric import APART, DUAL
from test_ipip import kernel_has_ipip
from test_traffic import World, check_table

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
