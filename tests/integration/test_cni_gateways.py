# SPDX-License-Identifier: Apache-2.0
"""The CNI plugin: the gateway of a subnet that this host had before goes with the last container of that subnet."""

import pytest
from cni_support import Host

OLD, NEW = "10.5.17.1/24", "10.5.99.1/24"


@pytest.fixture
def host():
    with Host() as h:
        yield h


def gateways(host):
    return set(host.ns.addresses("cni0"))


@pytest.mark.parametrize("verb", ["DEL", "ADD", "GC"])
def test_an_old_gateway_goes_with_its_last_container(host, verb):
    conf = host.flannel()
    namespaces = {}
    for id in ("first", "second"):
        namespaces[id] = host.namespace()
        host.add(conf, namespaces[id], id=id)
    host.write_fabric(subnet=NEW)
    namespaces["new"] = host.namespace()
    host.add(conf, namespaces["new"], id="new")
    assert gateways(host) == {OLD, NEW}
    host.delete(conf, namespaces["first"], id="first")
    assert gateways(host) == {OLD, NEW}, "one container of the old subnet is left"
    namespaces["second"].ping("10.5.17.1")
    if verb == "DEL":
        host.delete(conf, namespaces["second"], id="second")
    else:
        host.delete(conf | {"subnetFile": "/nonexistent"}, namespaces["second"], id="second")
        assert gateways(host) == {OLD, NEW}
    if verb == "ADD":
        host.add(conf, host.namespace(), id="more")
    elif verb == "GC":
        assert host.run("GC", conf | {"cni.dev/valid-attachments": [{"containerID": "new", "ifname": "eth0"}]}).ok
    assert gateways(host) == {NEW}
    namespaces["new"].ping("10.5.99.1")


def test_addresses_of_others_stay(host):
    """Not in the fabric's network, not a gateway's, or of another size."""
    conf = host.flannel()
    host.add(conf, host.namespace())
    others = {"192.0.2.1/24", "10.5.40.7/24", "10.5.41.1/28"}
    for address in others:
        host.ns.run("ip", "addr", "add", address, "dev", "cni0")
    host.add(conf, host.namespace(), id="c2")
    host.delete(conf, id="c2")
    assert gateways(host) == {OLD} | others
