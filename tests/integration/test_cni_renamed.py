# SPDX-License-Identifier: Apache-2.0
"""The CNI plugin: a list that gets another name under running containers, several lists on one subnet, a reboot."""

import pytest
from cni_support import Host
from netns import wait_for


@pytest.fixture
def host():
    with Host() as h:
        yield h


def address(result):
    return result["ips"][0]["address"]


@pytest.mark.parametrize("form", ["bridge", "ptp", "direct"])
def test_del_through_the_list_that_is_there_now(host, form):
    def conf(name):
        if form == "direct":
            return host.direct(name=name, ranges=["10.1.2.0/24"])
        return host.flannel(name=name, delegate={"type": form} | ({"ipMasq": True} if form == "bridge" else {}))

    ns = host.namespace()
    result = host.add(conf("cbr0"), ns)
    assert host.check(conf("new0"), ns, result).ok
    assert host.run("ADD", conf("new0"), ns).code == 103
    host.delete(conf("new0"))
    for network in ("cbr0", "new0"):
        assert host.leftovers(network) == {}
    assert "eth0" not in ns.links()


def test_add_after_a_rename_and_a_reboot(host):
    """The runtime starts the same container again: what is left under the old name is undone."""
    ns = host.namespace()
    host.add(host.flannel(name="cbr0"), ns)
    ns.delete()
    wait_for(lambda: not host.veths(), 10, "the interface is gone")
    again = host.namespace()
    host.add(host.flannel(name="new0"), again)
    assert host.reservations("cbr0") == {} and host.records("cbr0") == []


@pytest.mark.parametrize("form", ["bridge", "ptp", "direct"])
def test_an_address_that_any_name_holds_is_not_given_again(host, form):
    def conf(name, **more):
        if form == "direct":
            return host.direct(name=name, ranges=["10.1.2.0/24"], **more)
        return host.flannel(name=name, delegate={"type": form}, **more)

    seen = {address(host.add(conf(name), host.namespace(), id=name)) for name in ("cbr0", "new0", "third")}
    assert len(seen) == 3
    taken = sorted(seen)[0].split("/")[0]
    outcome = host.run("ADD", conf("third", args={"cni": {"ips": [taken]}}), host.namespace(), id="fixed")
    assert outcome.code == 102 and taken in outcome.message
    host.delete(conf("cbr0"), id="cbr0")
    assert taken in address(host.add(conf("third", args={"cni": {"ips": [taken]}}), host.namespace(), id="fixed"))


def test_two_lists_at_once_over_one_subnet(host):
    started = [host.start("ADD", host.flannel(name=f"net{i % 4}"), host.namespace(), id=f"c{i}") for i in range(16)]
    outcomes = [host.finish(p) for p in started]
    assert all(o.ok for o in outcomes), outcomes
    assert len({address(o.json) for o in outcomes}) == 16


def test_networks_of_their_own_share_nothing(host):
    """The same range on two bridges that somebody keeps apart on purpose."""
    for name in ("red", "blue"):
        conf = host.direct(name=name, ranges=["10.1.2.0/24"], bridge=f"br-{name}", isGateway=False)
        assert address(host.add(conf, host.namespace(), id=name)) == "10.1.2.2/24"


def second_fabric(host, **more):
    """A network whose daemon is another one."""
    subnet_file = host.directory / "second.env"
    text = host.subnet_file.read_text()
    subnet_file.write_text(text.replace("10.5.17.1", "10.6.3.1").replace("10.5.0.0", "10.6.0.0"))
    return host.flannel(name="second", **more) | {"subnetFile": str(subnet_file)}


def test_two_fabrics_do_not_share_a_bridge_unasked(host):
    first = host.namespace()
    host.add(host.flannel(name="first"), first, id="c1")
    outcome = host.run("ADD", second_fabric(host), host.namespace(), id="c2")
    assert outcome.code == 104, outcome
    for word in ("cni0", "first", str(host.subnet_file)):
        assert word in outcome.message
    assert host.ns.addresses("cni0", "inet") == ["10.5.17.1/24"] and len(host.veths()) == 1
    assert host.reservations("second") == {} and host.records("second") == []

    named = second_fabric(host, delegate={"bridge": "cni1"})
    assert address(host.add(named, host.namespace(), id="c2")) == "10.6.3.2/24"
    asked = second_fabric(host, delegate={"bridge": "cni0"})
    assert address(host.add(asked, host.namespace(), id="c3")) == "10.6.3.3/24"


def test_the_bridge_of_a_fabric_that_is_gone_is_free(host):
    first = host.namespace()
    host.add(host.flannel(name="first"), first, id="c1")
    first.delete()
    wait_for(lambda: not host.veths(), 10, "the interface is gone")
    assert address(host.add(second_fabric(host), host.namespace(), id="c2")) == "10.6.3.2/24"


@pytest.fixture
def rebooted(host):
    """A pool of five addresses, all reserved for containers that a reboot took without a DEL."""
    host.write_fabric(subnet="10.5.17.1/29")
    for i in range(5):
        ns = host.namespace()
        host.add(host.flannel(), ns, id=f"old{i}")
        ns.delete()
    wait_for(lambda: not host.veths(), 10, "the interfaces are gone")
    host.ns.run("ip", "link", "del", "cni0")
    return host


def test_after_a_reboot_a_full_pool_is_not_full(rebooted):
    conf = rebooted.flannel()
    assert len(rebooted.reservations()) == 5
    assert rebooted.run("STATUS", conf).ok
    for i in range(5):
        rebooted.add(conf, rebooted.namespace(), id=f"new{i}")
    outcome = rebooted.run("ADD", conf, rebooted.namespace(), id="one-too-many")
    assert outcome.code == 101, "what lives keeps its address"
    assert {id for id, _ in rebooted.reservations().values()} == {f"new{i}" for i in range(5)}
    assert rebooted.run("STATUS", conf).code == 50


@pytest.mark.parametrize("name", ["net1", "renamed"])
def test_after_a_reboot_a_fixed_address_can_be_had(rebooted, name):
    conf = rebooted.flannel(name=name, args={"cni": {"ips": ["10.5.17.4"]}})
    assert address(rebooted.add(conf, rebooted.namespace())) == "10.5.17.4/29"


def test_what_another_plugin_reserved_is_kept(rebooted):
    """Nothing tells whether it lives."""
    for file in (rebooted.data_dir / "@net1").iterdir():
        file.unlink()
    assert rebooted.run("ADD", rebooted.flannel(), rebooted.namespace()).code == 101
    assert len(rebooted.reservations()) == 5
