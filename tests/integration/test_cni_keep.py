# SPDX-License-Identifier: Apache-2.0
"""What containers need of the host is put back from the records: by `flannel keep`, and by the next ADD."""

import json

import pytest
from cni_support import PLUGIN, Host, elements

from netns import wait_for

DUAL = {"v6_network": "fd05::/48", "v6_subnet": "fd05:0:0:17::1/64"}
GATEWAYS = {"10.5.17.1/24", "fd05:0:0:17::1/64"}
FORMS = {
    "bridge": {"isDefaultGateway": True, "hairpinMode": True, "macspoofchk": True, "ipMasq": True},
    "routed": {"type": "ptp", "isDefaultGateway": True, "ipMasq": True},
}


@pytest.fixture
def host():
    with Host(**DUAL) as h:
        yield h


def keep(host, ok=True):
    """What the plugin reports; its exit status says whether all is right."""
    text = host.ns.run(str(PLUGIN), "keep", str(host.data_dir), check=ok)
    return json.loads(text)


def attach(host, *ids, **delegate):
    conf = host.flannel(delegate=delegate)
    namespaces = [host.namespace() for _ in ids]
    for id, ns in zip(ids, namespaces):
        ns.conf, ns.prev = conf, host.add(conf, ns, id=id)
    return namespaces


def ruleset(host):
    """Tables in any order, elements in any order."""
    return sorted(host.ns.nft().replace("elements = {", "").replace("}", "").split())


def answers(*namespaces):
    """The container reaches its gateways."""
    for ns in namespaces:
        for gateway in ("10.5.17.1", "fd05:0:0:17::1"):
            # The kernel says that a link carries a moment after it is up.
            wait_for(lambda ns=ns, gateway=gateway: ns.ping(gateway, check=False), 5, f"{gateway} answers")


UNDONE = {
    "nft flush ruleset": ("bridge routed", lambda ns: ns.run("nft", "flush", "ruleset")),
    "one table": ("bridge", lambda ns: ns.run("nft", "delete", "table", "bridge", "flannel-cni")),
    "elements": ("bridge routed", lambda ns: ns.run("nft", "flush", "map", "inet", "flannel-cni", "masq4")),
    "iptables-restore": ("bridge routed", lambda ns: ns.run("nft", "flush", "table", "inet", "flannel-cni")),
    "networking off": (
        "bridge",
        lambda ns: ns.run("sh", "-c", "ip addr flush dev cni0; ip link set cni0 down"),
    ),
    "addresses": ("bridge", lambda ns: ns.run("ip", "addr", "flush", "dev", "cni0", "scope", "global")),
    "one address": ("bridge", lambda ns: ns.run("ip", "addr", "del", "fd05:0:0:17::1/64", "dev", "cni0")),
    "the bridge": ("bridge", lambda ns: ns.run("ip", "link", "del", "cni0")),
    "links down": (
        "bridge routed",
        lambda ns: [ns.run("ip", "link", "set", v, "down") for v in ns.links() if v.startswith("veth")],
    ),
    "ports": ("bridge", lambda ns: [ns.run("ip", "link", "set", v, "nomaster") for v in ns.links() if v.startswith("veth")]),
    "links emptied": (
        "routed",
        lambda ns: [ns.run("ip", "addr", "flush", "dev", v) for v in ns.links() if v.startswith("veth")],
    ),
}


@pytest.mark.parametrize("form,undone", [(f, u) for u, (forms, _) in UNDONE.items() for f in forms.split()])
def test_what_was_undone_is_put_back(host, form, undone):
    containers = attach(host, "c1", "c2", **FORMS[form])
    before, addresses = ruleset(host), set(host.ns.addresses("cni0")) if form == "bridge" else None
    UNDONE[undone][1](host.ns)
    assert not all(host.check(ns.conf, ns, ns.prev, id=id).ok for id, ns in zip(("c1", "c2"), containers))
    report = keep(host)
    assert report["attachments"] == 2 and report["repaired"] and not report["failed"], report
    assert ruleset(host) == before
    if form == "bridge":
        assert set(host.ns.addresses("cni0")) == addresses == GATEWAYS
        assert {link["master"] for name, link in host.ns.links().items() if name.startswith("veth")} == {"cni0"}
    answers(*containers)
    for id, ns in zip(("c1", "c2"), containers):
        other = containers[id == "c1"].addresses("eth0", "inet")[0].split("/")[0]
        ns.ping(other)
        # Whose MAC a bridge that was made again has, is not what prevResult says.
        if undone != "the bridge":
            assert (outcome := host.check(ns.conf, ns, ns.prev, id=id)).ok, outcome
    assert keep(host) == {"attachments": 2, "repaired": [], "failed": []}
    for id, ns in zip(("c1", "c2"), containers):
        host.delete(ns.conf, ns, id=id)
    assert host.leftovers() == {}


def test_where_all_is_right_nothing_is_written(host):
    attach(host, "c1", "c2", **FORMS["bridge"])
    attach(host, "c3", **FORMS["routed"])
    monitor = host.ns.run("sh", "-c", f"timeout 2 nft monitor & sleep 0.3; {PLUGIN} keep {host.data_dir} >&2; wait", check=False)
    assert "flannel-cni" not in monitor
    assert keep(host) == {"attachments": 3, "repaired": [], "failed": []}


@pytest.mark.parametrize("undone", ["nft flush ruleset", "networking off", "the bridge"])
def test_an_add_puts_back_what_others_miss(host, undone):
    (first,) = attach(host, "c1", **FORMS["bridge"])
    UNDONE[undone][1](host.ns)
    (second,) = attach(host, "c2", **FORMS["bridge"])
    answers(first, second)
    if undone != "the bridge":  # the new one has another MAC than prevResult says
        assert (outcome := host.check(first.conf, first, first.prev, id="c1")).ok, outcome
    assert keep(host) == {"attachments": 2, "repaired": [], "failed": []}


def test_gateways_of_two_subnets(host):
    """After the host was given another subnet, both have containers."""
    old = attach(host, "c1", **FORMS["bridge"])
    host.write_fabric(subnet="10.5.99.1/24", v6_network="fd05::/48", v6_subnet="fd05:0:0:99::1/64")
    new = attach(host, "c2", **FORMS["bridge"])
    both = GATEWAYS | {"10.5.99.1/24", "fd05:0:0:99::1/64"}
    assert set(host.ns.addresses("cni0")) == both
    UNDONE["networking off"][1](host.ns)
    assert not keep(host)["failed"]
    assert set(host.ns.addresses("cni0")) == both
    answers(*old)
    new[0].ping("10.5.99.1")


def test_vlans(host):
    """The ports' VLANs, and the interface that has the gateway of one."""
    delegate = {"bridge": "br0", "vlan": 7, "vlanTrunk": [{"id": 9}, {"minID": 20, "maxID": 22}], "isDefaultGateway": True}
    outcome = host.run("ADD", conf := host.flannel(delegate=delegate), ns := host.namespace())
    if not outcome.ok and "not supported" in outcome.message:
        pytest.skip(outcome.message)
    assert outcome.ok, outcome
    port = next(v for v in host.veths() if host.ns.link(v).get("group") not in (None, "default"))
    before = host.ns.run("bridge", "vlan", "show", "dev", port)
    host.ns.run("ip", "link", "del", "br0")
    assert not keep(host)["failed"]
    assert host.ns.run("bridge", "vlan", "show", "dev", port) == before
    ns.ping("10.5.17.1")
    host.ns.run("ip", "addr", "flush", "dev", "br0.7")
    assert keep(host)["repaired"] == ["br0.7 lacks gateway address 10.5.17.1/24"]
    ns.ping("10.5.17.1")
    host.delete(conf, ns)


def test_the_dead_get_nothing(host):
    """Whose interface is gone has no rules either; whoever gets the address next has them."""
    dead, alive = attach(host, "dead", "alive", **FORMS["bridge"])
    dead.delete()
    wait_for(lambda: len(host.veths()) == 1, 10, "the end of the dead container's interface")
    host.ns.run("nft", "flush", "ruleset")
    report = keep(host)
    assert report["attachments"] == 1 and not report["failed"]
    assert {line.split("id: ")[1].split('"')[0] for line in elements(host.ns.nft())} == {"alive"}
    answers(alive)


def test_a_damaged_record_costs_nobody_else_anything(host):
    (ns,) = attach(host, "c1", **FORMS["bridge"])
    (host.data_dir / "@net1" / "c0@eth0").write_text("{")
    host.ns.run("nft", "flush", "ruleset")
    report = keep(host, ok=False)
    assert report["attachments"] == 1 and report["repaired"] and "c0@eth0" in report["failed"][0]
    assert keep(host, ok=False)["repaired"] == []
    answers(ns)


def test_without_records_there_is_nothing_to_keep(host):
    assert keep(host) == {"attachments": 0, "repaired": [], "failed": []}
    assert "flannel-cni" not in host.ns.nft()


def test_a_bridge_of_another_kind_is_no_bridge(host):
    attach(host, "c1", **FORMS["bridge"])
    host.ns.run("ip", "link", "del", "cni0")
    host.ns.run("ip", "link", "add", "cni0", "type", "veth", "peer", "name", "other0")
    report = keep(host, ok=False)
    assert report["failed"] == ["cni0 exists and is not a bridge"]
    assert host.ns.link("cni0")["linkinfo"]["info_kind"] == "veth"
    host.ns.run("ip", "link", "del", "cni0")
    assert not keep(host)["failed"]


def test_nothing_can_be_written_on_disk(host):
    """As under the daemon's unit, which sees the state directory read-only."""
    (ns,) = attach(host, "c1", **FORMS["bridge"])
    host.ns.run("nft", "flush", "ruleset")
    mounted = f"mount --bind {host.data_dir} {host.data_dir} && mount -o remount,bind,ro {host.data_dir}"
    text = host.ns.run("unshare", "-m", "sh", "-ec", f"{mounted} && exec {PLUGIN} keep {host.data_dir}")
    assert json.loads(text)["repaired"]
    answers(ns)


def test_list_shows_what_the_records_say(host):
    def listed(ok=True):
        told = json.loads(host.ns.run(str(PLUGIN), "list", str(host.data_dir), check=ok))
        return {item["containerID"]: item for item in told["attachments"]}, told["failed"]

    assert listed() == ({}, [])
    attach(host, "c1", "c2", **FORMS["bridge"])
    before = ruleset(host)
    items, failed = listed()
    assert set(items) == {"c1", "c2"} and not failed
    assert all(i["deviceExists"] and i["complete"] and i["error"] is None for i in items.values())
    assert len(items["c1"]["addresses"]) == 2 and items["c1"]["device"] in host.veths()
    host.ns.run("ip", "link", "del", items["c1"]["device"])
    damaged = next((host.data_dir / "@net1").glob("c2@*"))
    damaged.write_text("{")
    items, failed = listed()
    assert items["c1"]["deviceExists"] is False and "c2@eth0" in items["c2"]["error"]
    assert ruleset(host) == before and damaged.read_text() == "{"
