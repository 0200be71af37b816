# SPDX-License-Identifier: Apache-2.0
"""The CNI plugin: an address that was another container's is reachable at once."""

import pytest
from cni_support import Host
from netns import wait_for

ADDRESSES = {4: "10.5.17.77", 6: "fd10:5:0:17::77"}


@pytest.fixture
def host():
    with Host(v6_network="fd10:5::/48", v6_subnet="fd10:5:0:17::1/64") as h:
        yield h


def entry(ns, address):
    """The MAC that `ns` believes to be at the address, and how sure it is."""
    found = [n for n in ns.ip("neigh", "show") if n["dst"] == address]
    return (found[0].get("lladdr"), found[0]["state"][0]) if found else None


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("who", ["host", "container"])
def test_a_reused_address_is_reachable_at_once(host, family, who):
    address = ADDRESSES[family]
    conf = host.flannel(args={"cni": {"ips": [address]}})
    other = host.namespace()
    host.add(host.flannel(), other, id="other")
    asks = host.ns if who == "host" else other

    def add(id):
        ns = host.namespace()
        host.add(conf, ns, id=id)
        return ns.link("eth0")["address"], ns

    old, ns = add("old")
    asks.ping(address)
    wait_for(lambda: entry(asks, address) == (old, "REACHABLE"), 10, "the neighbour is known for good")
    host.delete(conf, ns, id="old")
    new, _ = add("new")
    assert new != old
    asks.ping(address)
    assert entry(asks, address)[0] == new
