# SPDX-License-Identifier: Apache-2.0
"""Interfaces on a bridge: what ADD makes, in every version, and what each key of the configuration changes."""

import ipaddress
import json
import re
import shutil

import pytest
from cni_support import LATEST, PLUGIN, VERSIONS, Host, command, elements
from netns import wait_for

NEW = [v for v in VERSIONS if v >= "0.3.0"]
OLD = [v for v in VERSIONS if v < "0.3.0"]

SUBNETS = {
    "v4": ["10.1.2.0/24"],
    "v6": ["2001:db8::/64"],
    "dual": ["192.168.0.0/24", "fd00::/64"],
    "v4 and two v6": ["192.168.0.0/24", "fd00::/64", "2001:db8::/64"],
}


@pytest.fixture
def host():
    with Host() as h:
        yield h


def up(ns):
    """eth0, which is up. The kernel says so a moment after it is: the state of links is told by a worker of its own."""
    return wait_for(lambda: ns.link("eth0")["operstate"] == "UP" and ns.link("eth0"), 5, "eth0 is up")


def gateway(subnet):
    net = ipaddress.ip_network(subnet)
    return f"{net[1]}/{net.prefixlen}"


def bridge_conf(host, subnets, version=LATEST, **more):
    routes = [{"dst": "::/0" if ":" in s else "0.0.0.0/0"} for s in subnets[:2]]
    return host.direct(version, ranges=subnets, ipam={"routes": routes}, isGateway=True, mtu=1400, **more)


@pytest.mark.parametrize("subnets", SUBNETS)
@pytest.mark.parametrize("version", VERSIONS)
def test_add_and_del(host, version, subnets):
    subnets = SUBNETS[subnets]
    resolver = host.directory / "resolv.conf"
    resolver.write_text("# comment\nnameserver 192.0.2.1\nsearch example.com\n")
    conf = bridge_conf(host, subnets, version)
    conf["ipam"]["resolvConf"] = str(resolver)
    ns = host.namespace()
    outcome = host.run("ADD", conf, ns)
    if version in OLD and len(subnets) > 2:
        assert outcome.code == 7 and "does not support more than 1 address per family" in outcome.message
        host.delete(conf, ns)
        assert host.leftovers() == {}
        return
    assert outcome.ok, outcome
    result = outcome.json
    assert result["cniVersion"] == version
    assert ("interfaces" in result) == (version in NEW)
    assert result["dns"]["nameservers"] == ["192.0.2.1"]
    links = host.ns.links()
    assert len(links) == 3 and {"br0", "lo"} < set(links)
    veth = host.veths()[0]
    bridge = links["br0"]
    assert bridge["linkinfo"]["info_kind"] == "bridge" and bridge["promiscuity"] == 0
    assert links[veth]["address"] != bridge["address"]
    assert links[veth]["master"] == "br0"
    if version in NEW:
        names = [i["name"] for i in result["interfaces"]]
        assert names == ["br0", veth, "eth0"]
        assert [i["mac"] for i in result["interfaces"]] == [
            bridge["address"],
            links[veth]["address"],
            ns.link("eth0")["address"],
        ]
        assert [i.get("sandbox") for i in result["interfaces"]] == [None, None, ns.path]
        assert all(ip["interface"] == 2 for ip in result["ips"])
        assert all(("version" in ip) == (version < "1.0.0") for ip in result["ips"])
    eth0 = up(ns)
    assert eth0["mtu"] == 1400 and eth0["linkinfo"]["info_kind"] == "veth"
    assert len(ns.addresses("eth0")) == len(subnets)
    for subnet in subnets:
        assert gateway(subnet) in host.ns.addresses("br0")
        ns.ping(gateway(subnet).split("/")[0])
    for family in {6 if ":" in s else 4 for s in subnets}:
        default = next(r for r in ns.routes(family) if r["dst"] == "default")
        assert default["gateway"] and "prefsrc" not in default
    host.delete(conf, ns)
    assert host.leftovers() == {} and "eth0" not in ns.links()


@pytest.mark.parametrize("version", [v for v in VERSIONS if v >= "0.4.0"])
@pytest.mark.parametrize("subnets", ["v4", "v6", "dual"])
def test_check_right_after_add(host, version, subnets):
    conf = bridge_conf(host, SUBNETS[subnets], version)
    ns = host.namespace()
    result = host.add(conf, ns)
    outcome = host.check(conf, ns, result)
    assert outcome.ok and outcome.text == "", outcome


def test_shape_of_the_latest_result(host):
    conf = bridge_conf(host, ["10.1.2.0/24"])
    conf["ipam"]["routes"] = [{"dst": "10.9.0.0/16", "mtu": 1300, "advmss": 1200, "priority": 7, "table": 99, "scope": 0}]
    ns = host.namespace()
    result = host.add(conf, ns)
    assert [i.get("mtu") for i in result["interfaces"]] == [None, 1400, 1400]
    assert result["routes"] == conf["ipam"]["routes"]
    assert "dns" not in result
    route = next(r for r in ns.routes() if r["dst"] == "10.9.0.0/16")
    assert route["table"] == "99" and route["metric"] == 7
    assert route["metrics"] == [{"mtu": 1300, "advmss": 1200}]
    assert host.check(conf, ns, result).ok


def test_uses_an_existing_bridge(host):
    host.ns.run("ip", "link", "add", "br0", "type", "bridge")
    before = host.ns.link("br0")
    host.add(bridge_conf(host, ["10.1.2.0/24"]), host.namespace())
    after = host.ns.link("br0")
    assert before["ifindex"] == after["ifindex"] and "UP" in after["flags"]
    assert before["address"] == after["address"]


def test_a_device_that_is_no_bridge(host):
    host.ns.run("ip", "link", "add", "br0", "type", "veth", "peer", "name", "other")
    outcome = host.run("ADD", bridge_conf(host, ["10.1.2.0/24"]), host.namespace())
    assert outcome.code == 104 and "not a bridge" in outcome.message
    assert host.leftovers() == {}


@pytest.mark.parametrize("version", VERSIONS)
def test_layer_2_only(host, version):
    conf = host.direct(version, ipam={})
    ns = host.namespace()
    outcome = host.run("ADD", conf, ns)
    if version in OLD:
        assert outcome.code == 2 and "cannot convert: no valid IP addresses" in outcome.message
        assert host.leftovers() == {}
        return
    assert outcome.ok and "ips" not in outcome.json
    assert len(outcome.json["interfaces"]) == 3
    assert up(ns) and ns.addresses("eth0") == []
    if version >= "0.4.0":
        assert host.check(conf, ns, outcome.json).ok
    host.delete(conf, ns)
    assert host.leftovers() == {}


def test_bridge_address_of_another_subnet(host):
    host.add(bridge_conf(host, ["10.1.2.0/24"]), host.namespace())
    other = bridge_conf(host, ["10.1.3.0/24"], name="net2")
    ns = host.namespace()
    outcome = host.run("ADD", other, ns)
    assert outcome.code == 104 and "already has an IP address different from 10.1.3.1/24" in outcome.message
    assert host.leftovers("net2").keys() == {"veths"}, "only the first container's"
    host.add(other | {"forceAddress": True}, ns)
    assert host.ns.addresses("br0") == ["10.1.3.1/24"]


def test_several_ipv6_subnets_live_together(host):
    host.add(bridge_conf(host, ["2001:db8:1::/64"]), host.namespace())
    host.add(bridge_conf(host, ["2001:db8:2::/64"], name="net2"), host.namespace())
    assert sorted(host.ns.addresses("br0")) == ["2001:db8:1::1/64", "2001:db8:2::1/64"]
    outcome = host.run("ADD", bridge_conf(host, ["2001:db8:1::/72"], name="net3"), host.namespace())
    assert outcome.code == 104


def test_a_new_subnet_of_the_fabric_joins_the_old_one(host):
    """The host lost its lease: containers of the old subnet keep their gateway, new ones get theirs."""
    old = host.namespace()
    host.add(host.flannel(), old)
    host.write_fabric(subnet="10.5.99.1/24")
    new = host.namespace()
    host.add(host.flannel(), new, id="c2")
    assert sorted(host.ns.addresses("cni0")) == ["10.5.17.1/24", "10.5.99.1/24"]
    old.ping("10.5.17.1")
    new.ping("10.5.99.1")


def test_promiscuous(host):
    conf = bridge_conf(host, ["10.1.2.0/24"], promiscMode=True)
    host.add(conf, host.namespace())
    assert "PROMISC" in host.ns.link("br0")["flags"]


def test_the_bridge_keeps_its_mac(host):
    conf = bridge_conf(host, ["10.1.2.0/24"])
    seen = set()
    for i in range(4):
        ns = host.namespace()
        host.add(conf, ns, id=f"c{i}")
        seen.add(host.ns.link("br0")["address"])
        if i % 2:
            host.delete(conf, ns, id=f"c{i}")
            seen.add(host.ns.link("br0")["address"])
    assert len(seen) == 1


def test_mac_by_precedence(host):
    conf = bridge_conf(host, ["10.1.2.0/24"])
    args = "IgnoreUnknown=1;MAC=02:00:00:00:00:01"
    cases = [
        (conf, "02:00:00:00:00:01"),
        (conf | {"args": {"cni": {"mac": "02:00:00:00:00:02"}}}, "02:00:00:00:00:02"),
        (
            conf | {"args": {"cni": {"mac": "02:00:00:00:00:02"}}, "RuntimeConfig": {"mac": "02:00:00:00:00:03"}},
            "02:00:00:00:00:03",
        ),
    ]
    for i, (case, mac) in enumerate(cases):
        ns = host.namespace()
        result = host.add(case, ns, id=f"c{i}", args=args)
        assert ns.link("eth0")["address"] == mac == result["interfaces"][2]["mac"]
    outcome = host.run("ADD", conf | {"runtimeConfig": {"mac": "01:00:00:00:00:03"}}, host.namespace(), id="m")
    assert outcome.code == 7


def test_hairpin_and_isolation(host):
    conf = bridge_conf(host, ["10.1.2.0/24"])
    plain, hairpin, isolated = (host.namespace() for _ in range(3))
    host.add(conf, plain, id="plain")
    first = host.veths()[0]
    result = host.add(conf | {"hairpinMode": True}, hairpin, id="hairpin")
    flags = host.ns.link(result["interfaces"][1]["name"])["linkinfo"]["info_slave_data"]
    assert flags["hairpin"] and not host.ns.link(first)["linkinfo"]["info_slave_data"]["hairpin"]
    addresses = []
    for i, ns in enumerate((isolated, host.namespace())):
        result = host.add(conf | {"portIsolation": True}, ns, id=f"isolated{i}")
        addresses.append(result["ips"][0]["address"].split("/")[0])
        assert host.ns.link(result["interfaces"][1]["name"])["linkinfo"]["info_slave_data"]["isolated"]
    assert not isolated.ping(addresses[1], check=False)
    isolated.ping("10.1.2.1")


def test_default_gateway(host):
    conf = host.direct(ranges=["10.1.2.0/24", "fd00::/64"], isDefaultGateway=True)
    ns = host.namespace()
    result = host.add(conf, ns)
    assert {"dst": "0.0.0.0/0", "gw": "10.1.2.1"} in result["routes"]
    assert {"dst": "::/0", "gw": "fd00::1"} in result["routes"]
    assert host.ns.run("sysctl", "-n", "net.ipv4.ip_forward").strip() == "1"
    assert host.ns.run("sysctl", "-n", "net.ipv6.conf.all.forwarding").strip() == "1"
    given = host.direct(ranges=["10.1.3.0/24"], isDefaultGateway=True, name="net2", bridge="br1")
    given["ipam"]["routes"] = [{"dst": "0.0.0.0/0", "gw": "10.1.3.77"}]
    result = host.add(given, host.namespace())
    assert result["routes"] == [{"dst": "0.0.0.0/0", "gw": "10.1.3.77"}]


def test_two_interfaces_with_default_routes(host):
    ns = host.namespace()
    for i in range(2):
        conf = host.direct(ranges=[f"10.1.{i}.0/24"], isDefaultGateway=True, name=f"net{i}", bridge=f"br{i}")
        host.add(conf, ns, ifname=f"eth{i}")
    defaults = [r["dev"] for r in ns.routes() if r["dst"] == "default"]
    assert sorted(defaults) == ["eth0", "eth1"]
    ns.ping("10.1.0.1")
    ns.ping("10.1.1.1")


def test_no_wait_for_duplicate_address_detection(host):
    ns = host.namespace()
    host.add(bridge_conf(host, ["fd00::/64"]), ns)
    assert "tentative" not in ns.run("ip", "-6", "addr", "show", "dev", "eth0", "scope", "global")
    ns.ping("fd00::1")


def test_duplicate_address_detection_on_demand(host):
    ns = host.namespace()
    host.add(bridge_conf(host, ["fd00::/64"], enabledad=True), ns)
    assert "tentative" not in ns.run("ip", "-6", "addr", "show", "dev", "eth0", "scope", "global")
    assert ns.run("sysctl", "-n", "net.ipv6.conf.eth0.accept_dad").strip() == "1"


def test_duplicate_address_is_found(host):
    first = host.namespace()
    conf = bridge_conf(host, ["fd00::/64"])
    address = host.add(conf, first)["ips"][0]["address"]
    for file in host.pool_dir.rglob("fd00*"):
        file.unlink()
    outcome = host.run(
        "ADD", conf | {"enabledad": True}, host.namespace(), id="c2", args=f"IP={address.split('/')[0]}"
    )
    assert outcome.code == 104 and "in use" in outcome.message, outcome
    assert host.reservations() == {}


def test_disabled_container_interface(host):
    conf = host.direct(ipam={}, disableContainerInterface=True)
    ns = host.namespace()
    host.add(conf, ns)
    assert "UP" not in ns.link("eth0")["flags"]
    outcome = host.run("ADD", bridge_conf(host, ["10.1.2.0/24"], disableContainerInterface=True), ns, ifname="eth1")
    assert outcome.code == 7 and "disableContainerInterface" in outcome.message


@pytest.mark.parametrize("vlan", [-100, 5000, 4095])
def test_bad_vlan(host, vlan):
    outcome = host.run("ADD", bridge_conf(host, ["10.1.2.0/24"], vlan=vlan), host.namespace())
    assert outcome.code == 7 and f"invalid VLAN ID {vlan} (must be between 0 and 4094)" in outcome.message


@pytest.mark.parametrize(
    "trunk",
    [[{"minID": 1}], [{"maxID": 5}], [{"minID": -1, "maxID": 5}], [{"minID": 1, "maxID": 4095}], [{"minID": 9, "maxID": 5}],
     [{"id": -3}], [{"id": 5000}], [{"id": 0}], "5", [5]],
)  # fmt: skip
def test_bad_vlan_trunk(host, trunk):
    outcome = host.run("ADD", bridge_conf(host, ["10.1.2.0/24"], vlanTrunk=trunk), host.namespace())
    assert outcome.code == 7 and "vlanTrunk" in outcome.message


def vlan_filtering_works():
    with Host() as h:
        try:
            h.ns.run("ip", "link", "add", "x", "type", "bridge", "vlan_filtering", "1")
            return True
        except AssertionError:
            return False


VLANS = [
    ({"vlan": 100, "preserveDefaultVlan": True}, {1, 100}),
    ({"vlan": 100}, {100}),
    ({"vlanTrunk": [{"id": 101}, {"minID": 200, "maxID": 210}]}, {101, *range(200, 211)}),
    ({"vlan": 100, "vlanTrunk": [{"minID": 200, "maxID": 201}], "preserveDefaultVlan": True}, {1, 100, 200, 201}),
]


@pytest.mark.parametrize("keys,vids", VLANS)
def test_vlans(host, keys, vids):
    conf = host.direct(ipam={}, **keys)
    ns = host.namespace()
    if not vlan_filtering_works():
        outcome = host.run("ADD", conf, ns)
        assert outcome.code == 100 and "VLAN filtering" in outcome.message and host.leftovers() == {}
        pytest.skip("this kernel has no VLAN filtering on bridges; refused with that reason")
    result = host.add(conf, ns)
    veth = result["interfaces"][1]["name"]
    shown = json.loads(host.ns.run("bridge", "-j", "vlan", "show", "dev", veth))[0]["vlans"]
    have = {v for entry in shown for v in range(entry["vlan"], entry.get("vlanEnd", entry["vlan"]) + 1)}
    assert have == vids


def test_vlan_with_gateway(host):
    if not vlan_filtering_works():
        pytest.skip("this kernel has no VLAN filtering on bridges")
    ns = host.namespace()
    result = host.add(bridge_conf(host, ["10.1.2.0/24"], vlan=100), ns)
    assert len(result["interfaces"]) == 4 and result["interfaces"][3]["name"] == "br0.100"
    assert host.ns.addresses("br0.100") == ["10.1.2.1/24"] and host.ns.addresses("br0") == []
    ns.ping("10.1.2.1")


def test_masquerade(host):
    conf = bridge_conf(host, ["10.1.2.0/24", "fd00::/64"], ipMasq=True, ipMasqBackend="nftables")
    ns = host.namespace()
    result = host.add(conf, ns)
    rules = host.ns.nft()
    assert len(elements(rules)) == 2
    for ip in result["ips"]:
        assert any(ip["address"].split("/")[0] in line for line in elements(rules))
    assert host.check(conf, ns, result).ok
    host.delete(conf, ns)
    assert elements(host.ns.nft()) == []


def test_masqueraded_packets_have_the_hosts_address(host):
    """One neighbour outside the fabric, which sees the host; one inside, which sees the container."""
    host.write_fabric(ipmasq=False)
    ns, outside = host.namespace(), host.namespace()
    host.ns.run("ip", "link", "add", "up0", "type", "veth", "peer", "name", "up1", "netns", outside.name)
    for where, device, addresses in ((host.ns, "up0", ["192.0.2.1/24"]), (outside, "up1", ["192.0.2.2/24", "10.5.30.2/24"])):
        for address in addresses:
            where.run("ip", "addr", "add", address, "dev", device)
        where.run("ip", "link", "set", device, "up")
    host.ns.run("ip", "route", "add", "10.5.30.0/24", "via", "192.0.2.2")
    outside.run("ip", "route", "add", "10.5.17.0/24", "via", "192.0.2.1")
    host.add(host.flannel(delegate={"isDefaultGateway": True}), ns)
    outside.run("nft", "add table ip t; add chain ip t c { type filter hook input priority 0; }; "
                "add rule ip t c icmp type echo-request ip daddr 192.0.2.2 ip saddr 192.0.2.1 counter comment host; "
                "add rule ip t c icmp type echo-request ip daddr 10.5.30.2 ip saddr 10.5.17.2 counter comment container")  # fmt: skip
    ns.ping("192.0.2.2")
    ns.ping("10.5.30.2")
    rules = outside.run("nft", "list", "ruleset")
    for who in ("host", "container"):
        assert "packets 1 " in next(line for line in rules.splitlines() if f'"{who}"' in line), rules


def test_mac_spoofing(host):
    conf = bridge_conf(host, ["10.1.2.0/24"], macspoofchk=True)
    ns = host.namespace()
    result = host.add(conf, ns)
    assert len(elements(host.ns.nft())) == 2
    ns.ping("10.1.2.1")
    assert host.check(conf, ns, result).ok
    ns.run("ip", "link", "set", "eth0", "address", "02:00:00:00:00:99")
    ns.run("ip", "route", "replace", "default", "via", "10.1.2.1")
    assert not ns.ping("10.1.2.1", check=False)
    ns.run("ip", "link", "set", "eth0", "address", result["interfaces"][2]["mac"])
    ns.ping("10.1.2.1")
    host.delete(conf, ns)
    assert elements(host.ns.nft()) == []


ADVERTISE = """
import socket, sys
raw = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
raw.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
raw.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, 255)
raw.setsockopt(socket.SOL_SOCKET, 25, b"eth0")
prefix = bytes([3, 4, 64, 0xc0]) + (86400).to_bytes(4, "big") * 2 + bytes(4) + socket.inet_pton(socket.AF_INET6, "2001:db8:bad::")
raw.sendto(bytes([134, 0, 0, 0, 64, 0, 7, 8]) + bytes(8) + prefix, ("ff02::1", 0))
"""


def test_router_advertisements_are_refused(host):
    """From one container, neither the host nor another container takes a route."""
    conf = bridge_conf(host, ["fd00::/64"])
    evil, victim = host.namespace(), host.namespace()
    host.add(conf, evil, id="evil")
    host.add(conf, victim, id="victim")
    victim.run("sysctl", "-qw", "net.ipv6.conf.eth0.accept_ra=2")
    host.ns.run("sysctl", "-qw", "net.ipv6.conf.br0.forwarding=1")
    assert host.ns.run("sysctl", "-n", "net.ipv6.conf.br0.accept_ra").strip() == "0"
    host.ns.run("nft", "add table bridge t; add chain bridge t c { type filter hook prerouting priority -400; }; "
                "add rule bridge t c icmpv6 type nd-router-advert counter")  # fmt: skip
    for _ in range(3):
        evil.run("/usr/bin/python3", "-c", ADVERTISE)
    assert "packets 3 " in host.ns.run("nft", "list", "table", "bridge", "t")
    evil.ping("fd00::1")
    for who in (victim, host.ns):
        assert "2001:db8:bad" not in who.run("ip", "-6", "addr") + who.run("ip", "-6", "route")
    # Nor when the bridge is gone, and with it the guard.
    host.ns.run("ip", "link", "del", "br0")
    evil.run("/usr/bin/python3", "-c", ADVERTISE)
    assert "2001:db8:bad" not in host.ns.run("ip", "-6", "addr") + host.ns.run("ip", "-6", "route")


def switches_set(host, conf, id):
    """Paths below /proc/sys/net that an ADD opens."""
    trace = host.directory / "trace"
    ns = host.namespace()
    process = host.start("ADD", conf, ns, plugin=host.directory / "traced", id=id, ASAN_OPTIONS="detect_leaks=0")
    assert host.finish(process).ok
    return re.findall(r'openat\(AT_FDCWD, "/proc/sys/net/([^"]*)"', trace.read_text())


def test_containers_do_not_make_each_other_slow(host):
    """
    The kernel keeps what is looked up below /proc/sys/net of all namespaces in one chain, and link-local addresses of all
    ports in one table: with 1000 containers that was more than half of an ADD.
    """
    if not shutil.which("strace"):
        pytest.skip("strace is not installed")
    traced = host.directory / "traced"
    traced.write_text(f"#!/bin/sh\nexec strace -f -qq -e trace=openat -o {host.directory}/trace {PLUGIN}\n")
    traced.chmod(0o755)
    opened = switches_set(host, bridge_conf(host, ["10.1.2.0/24"]), "v4")
    assert not [p for p in opened if "eth0" in p or "conf/" in p], opened
    opened = switches_set(host, bridge_conf(host, ["10.1.2.0/24", "fd00::/64"]), "dual")
    assert not [p for p in opened if "eth0" in p], opened
    for veth in host.veths():
        assert host.ns.run("ip", "-6", "addr", "show", "dev", veth) == "" == host.ns.run("ip", "-6", "route", "show", "dev", veth)


def test_error_after_allocation_frees_the_address(host):
    conf = bridge_conf(host, ["10.1.2.0/24"])
    ns = host.namespace()
    ns.run("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "other")
    outcome = host.run("ADD", conf, ns)
    assert outcome.code == 103 and "eth0" in outcome.message
    assert host.leftovers() == {} and "other" in ns.links()
    host.delete(conf | {"name": "unused"}, host.namespace())


def test_failure_at_the_last_step_leaves_nothing(host):
    """A route that the kernel refuses comes after everything else."""
    conf = bridge_conf(host, ["10.1.2.0/24"], ipMasq=True, macspoofchk=True)
    conf["ipam"]["routes"] = [{"dst": "10.9.0.0/16", "gw": "203.0.113.1"}]
    ns = host.namespace()
    outcome = host.run("ADD", conf, ns)
    assert outcome.code == 100 and "route" in outcome.message
    assert host.leftovers() == {} and "eth0" not in ns.links()
    del conf["ipam"]["routes"]
    host.add(conf, ns)


def test_second_add_is_an_error_and_harms_nothing(host):
    conf = bridge_conf(host, ["10.1.2.0/24"])
    ns = host.namespace()
    result = host.add(conf, ns)
    for again in (ns, host.namespace()):
        outcome = host.run("ADD", conf, again)
        assert outcome.code == 103, outcome
    assert host.check(conf, ns, result).ok
    ns.ping("10.1.2.1")
    host.delete(conf, ns)
    assert host.leftovers() == {}


def test_dns_of_the_configuration_replaces_the_resolvers(host):
    resolver = host.directory / "resolv.conf"
    resolver.write_text("nameserver 192.0.2.1\nsearch a b\noptions ndots:5\ndomain x\n")
    conf = bridge_conf(host, ["10.1.2.0/24"])
    conf["ipam"]["resolvConf"] = str(resolver)
    whole = {"nameservers": ["192.0.2.1"], "search": ["a", "b"], "options": ["ndots:5"], "domain": "x"}
    cases = [
        ({}, whole),
        ({"dns": {}}, whole),
        ({"dns": {"domain": "only"}}, {"domain": "only"}),
        ({"dns": {"nameservers": [], "search": []}}, None),
        ({"dns": {"domain": "only"}, "runtimeConfig": {"dns": {"servers": ["192.0.2.9"], "searches": ["s"]}}},
         {"nameservers": ["192.0.2.9"], "search": ["s"]}),
    ]  # fmt: skip
    for i, (more, dns) in enumerate(cases):
        assert host.add(conf | more, host.namespace(), id=f"c{i}").get("dns") == dns


def test_fifty_at_once(host):
    conf = bridge_conf(host, ["10.1.0.0/22"], ipMasq=True)
    spaces = [host.namespace() for _ in range(50)]
    started = [host.start("ADD", conf, ns, id=f"c{i}") for i, ns in enumerate(spaces)]
    outcomes = [host.finish(p) for p in started]
    assert all(o.ok for o in outcomes), [o for o in outcomes if not o.ok]
    assert len({o.json["ips"][0]["address"] for o in outcomes}) == 50
    assert len(host.reservations()) == 50
    started = [host.start("DEL", conf, ns, id=f"c{i}") for i, ns in enumerate(spaces)]
    assert all(host.finish(p).ok for p in started)
    assert host.leftovers() == {}


def test_no_ip_command_is_needed(host):
    """Nothing of the environment but the protocol's variables is relied upon."""
    ns = host.namespace()
    conf = bridge_conf(host, ["10.1.2.0/24"], ipMasq=True)
    process = host.start("ADD", conf, ns, PATH="/nonexistent", CNI_PATH=None)
    assert host.finish(process).ok
    assert command("ip", "-n", ns.name, "-br", "addr")
