# SPDX-License-Identifier: Apache-2.0
"""The forms of configuration: flannel's wrapper, keys of our own object, routed links, other plugins, chained plugins."""

import json
import os
import pathlib
import subprocess

import pytest
from cni_support import LATEST, REFERENCE, VERSIONS, Host, elements
from netns import wait_for

RECORDER = """#!/bin/sh
# Answers like a plugin and writes down what it was asked.
{ printf '%s ' "$CNI_COMMAND" "$CNI_CONTAINERID" "$CNI_IFNAME" "${SECRET-none}"; cat; echo; } >> "LOG"
test ! -e "LOG.fail" || { printf '{"code":123,"msg":"on purpose","details":"because"}'; exit 1; }
case "$CNI_COMMAND" in
ADD) printf '%s' 'ANSWER' ;;
esac
"""


@pytest.fixture
def host():
    with Host() as h:
        yield h


class Recorder:
    """A plugin that does nothing but remember; `calls` are (verb, id, ifname, configuration)."""

    def __init__(self, host, name, answer):
        self.log = host.directory / f"{name}.log"
        self.fail = pathlib.Path(f"{self.log}.fail")
        file = host.directory / "bin" / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(RECORDER.replace("LOG", str(self.log)).replace("ANSWER", json.dumps(answer)))
        file.chmod(0o755)
        host.path = f"{file.parent}:{REFERENCE}"

    @property
    def calls(self):
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [(*line.split(" ", 4)[:3], json.loads(line.split(" ", 4)[4])) for line in lines]

    @property
    def verbs(self):
        return [call[0] for call in self.calls]


MAIN_RESULT = {"cniVersion": "1.0.0", "interfaces": [{"name": "eth0", "sandbox": "/x"}], "ips": []}
IPAM_RESULT = {"ips": [{"address": "10.77.0.5/24", "gateway": "10.77.0.1"}], "routes": [{"dst": "0.0.0.0/0"}],
               "dns": {"nameservers": ["192.0.2.53"]}}  # fmt: skip


@pytest.mark.parametrize("version", VERSIONS)
def test_flannels_minimal_configuration(host, version):
    ns = host.namespace()
    result = host.add(host.flannel(version), ns)
    assert ns.addresses("eth0") == ["10.5.17.2/24"]
    assert host.ns.addresses("cni0") == ["10.5.17.1/24"]
    assert ns.link("eth0")["mtu"] == 1450
    assert [r["dst"] for r in ns.routes() if r.get("gateway")] == ["10.5.0.0/16"]
    if version >= "0.3.0":
        assert result["routes"] == [{"dst": "10.5.0.0/16"}]
    host.delete(host.flannel(version), ns)
    assert host.leftovers() == {}


@pytest.mark.parametrize(
    "fabric,addresses,networks",
    [
        ({"network": "10.5.0.0/16,10.6.0.0/16,10.5.0.0/16"}, ["10.5.17.2/24"], ["10.5.0.0/16", "10.6.0.0/16"]),
        ({"network": None, "subnet": None, "v6_network": "fd05::/48", "v6_subnet": "fd05:0:0:17::1/64"},
         ["fd05:0:0:17::2/64"], ["fd05::/48"]),
        ({"v6_network": "fd05::/48", "v6_subnet": "fd05:0:0:17::1/64"},
         ["10.5.17.2/24", "fd05:0:0:17::2/64"], ["10.5.0.0/16", "fd05::/48"]),
    ],
)  # fmt: skip
def test_subnet_files(fabric, addresses, networks):
    with Host(**fabric) as host:
        result = host.add(host.flannel(), host.namespace())
        assert [ip["address"] for ip in result["ips"]] == addresses
        assert [r["dst"] for r in result["routes"]] == networks


@pytest.mark.parametrize("ipmasq,given,expected", [(True, None, 0), (False, None, 1), (False, False, 0), (True, True, 1)])
def test_who_masquerades(ipmasq, given, expected):
    with Host(ipmasq=ipmasq) as host:
        delegate = {} if given is None else {"ipMasq": given}
        host.add(host.flannel(delegate=delegate), host.namespace())
        assert len(elements(host.ns.nft())) == expected


def test_given_routes_come_first_and_are_kept(host):
    conf = host.flannel(ipam={"routes": [{"dst": "198.51.100.0/24", "gw": "10.5.17.7"}, {"dst": "10.5.0.0/16"}]})
    assert host.add(conf, host.namespace())["routes"] == conf["ipam"]["routes"]


def test_direct_form_takes_its_subnet_from_the_daemon(host):
    conf = host.direct(ipam={"type": "host-local", "dataDir": str(host.pool_dir)})
    ns = host.namespace()
    host.add(conf, ns)
    assert ns.addresses("eth0") == ["10.5.17.2/24"] and host.ns.addresses("br0") == ["10.5.17.1/24"]


def test_direct_form_with_ranges_needs_no_daemon(host):
    host.subnet_file.unlink()
    ns = host.namespace()
    host.add(host.direct(ranges=["10.1.2.0/24"]), ns)
    assert ns.addresses("eth0") == ["10.1.2.2/24"]
    assert host.ns.addresses("br0") == [], "isGateway is off unless it is flannel's"


PTP = {
    "wrapped": lambda host, **more: host.flannel(delegate={"type": "ptp"} | more),
    "direct": lambda host, **more: host.direct(bridge=None, mode="ptp") | {"ipam": {"dataDir": str(host.pool_dir)}} | more,
}


@pytest.mark.parametrize("form", PTP)
@pytest.mark.parametrize("version", VERSIONS)
def test_routed(host, form, version):
    host.write_fabric(v6_network="fd05::/48", v6_subnet="fd05:0:0:17::1/66")
    conf = PTP[form](host, ipMasq=True, mtu=1300) | {"cniVersion": version, "dns": {"nameservers": ["192.0.2.1"]}}
    ns, neighbour = host.namespace(), host.namespace()
    result = host.add(conf, ns)
    host.add(conf, neighbour, id="neighbour")
    assert not any(link.get("linkinfo", {}).get("info_kind") == "bridge" for link in host.ns.links().values())
    assert result["dns"] == {"nameservers": ["192.0.2.1"]}
    veth = next(v for v in host.veths() if "10.5.17.2" in host.ns.run("ip", "route", "show", "dev", v))
    if version >= "0.3.0":
        assert [i["name"] for i in result["interfaces"]] == [veth, "eth0"]
        assert result["interfaces"][1]["sandbox"] == ns.path
        assert result["interfaces"][1]["mac"] == ns.link("eth0")["address"]
        assert [ip["interface"] for ip in result["ips"]] == [1, 1]
    assert ns.link("eth0")["mtu"] == host.ns.link(veth)["mtu"] == 1300
    assert host.ns.addresses(veth) == ["10.5.17.1/32", "fd05:0:0:17::1/128"]
    for gateway in ("10.5.17.1", "fd05:0:0:17::1"):
        ns.ping(gateway)
    for address in neighbour.addresses("eth0"):
        ns.ping(address.split("/")[0])
    if version >= "0.4.0":
        assert host.check(conf, ns, result).ok
    if version >= "1.1.0":
        assert host.run("STATUS", conf).ok
    host.delete(conf, ns)
    assert "eth0" not in ns.links()
    host.delete(conf, id="neighbour")
    assert host.leftovers() == {}


def test_routed_with_extra_routes_and_two_interfaces(host):
    conf = host.flannel(delegate={"type": "ptp"}, ipam={"routes": [{"dst": f"10.{i}.0.0/16"} for i in (7, 8, 9)]})
    ns = host.namespace()
    results = [host.add(conf, ns, ifname=f"eth{i}") for i in range(2)]
    assert results[0]["ips"][0]["address"] != results[1]["ips"][0]["address"]
    for i, result in enumerate(results):
        assert host.check(conf, ns, result, ifname=f"eth{i}").ok
    ns.ping("10.5.17.1")
    host.delete(conf, ns, ifname="eth0")
    assert host.check(conf, ns, results[1], ifname="eth1").ok
    ns.ping("10.5.17.1")
    host.delete(conf, ns, ifname="eth1")
    assert host.leftovers() == {}


@pytest.mark.parametrize("key", ["promiscMode", "portIsolation", "macspoofchk"])
def test_routed_refuses_a_bridges_keys(host, key):
    outcome = host.run("ADD", host.flannel(delegate={"type": "ptp", key: True}), host.namespace())
    assert outcome.code == 7 and key in outcome.message


@pytest.mark.parametrize("key", ["hairpinMode", "forceAddress", "macspoofchk"])
def test_routed_refuses_a_bridges_keys_in_the_direct_form(host, key):
    conf = host.direct(mode="ptp", ranges=["10.1.2.0/24"], **{key: True})
    del conf["bridge"]
    outcome = host.run("ADD", conf, host.namespace())
    assert outcome.code == 7 and key in outcome.message


def test_routed_takes_the_stock_keys_of_flannels_list(host):
    """hairpinMode and forceAddress say nothing to a link without a bridge; who turned ptp on left them there."""
    stock = {"hairpinMode": True, "isDefaultGateway": True, "forceAddress": True}
    conf = host.flannel(delegate={"type": "ptp"} | stock)
    ns = host.namespace()
    host.add(conf, ns)
    ns.ping("10.5.17.1")
    assert any(r["dst"] == "default" for r in ns.routes())
    host.delete(conf, ns)
    assert host.leftovers() == {}


def test_another_main_plugin_is_executed(host):
    recorder = Recorder(host, "other", MAIN_RESULT)
    conf = host.flannel(delegate={"type": "other", "extra": {"kept": [1]}}, ipam={"type": "host-local", "odd": "kept"},
                        runtimeConfig={"mac": "02:00:00:00:00:01"}, dns={"domain": "dropped"}, args={"dropped": 1})  # fmt: skip
    ns = host.namespace()
    assert host.add(conf, ns, SECRET="must not be inherited") == MAIN_RESULT
    prev = MAIN_RESULT | {"dns": {}}
    assert host.check(conf, ns, prev).ok
    assert host.run("STATUS", conf).ok
    valid = {"cni.dev/valid-attachments": [{"containerID": "c1", "ifname": "eth0"}]}
    assert host.run("GC", conf | valid).ok
    host.subnet_file.unlink()
    host.delete(conf, ns, prev=prev)
    host.delete(conf, ns)
    assert recorder.verbs == ["ADD", "CHECK", "STATUS", "GC", "DEL"]
    assert "must not be inherited" not in recorder.log.read_text()
    generated = {
        "cniVersion": LATEST,
        "name": "net1",
        "type": "other",
        "extra": {"kept": [1]},
        "ipMasq": False,
        "mtu": 1450,
        "runtimeConfig": {"mac": "02:00:00:00:00:01"},
        "ipam": {
            "type": "host-local",
            "odd": "kept",
            "dataDir": str(host.pool_dir),
            "ranges": [[{"subnet": "10.5.17.0/24"}]],
            "routes": [{"dst": "10.5.0.0/16"}],
        },
    }
    assert recorder.calls[0][3] == generated
    assert recorder.calls[1][3] == generated | {"prevResult": prev}
    assert recorder.calls[3][3] == generated | valid
    assert recorder.calls[4][3] == generated | {"prevResult": prev}
    assert host.leftovers() == {}


def test_errors_of_another_plugin_are_ours(host):
    recorder = Recorder(host, "other", MAIN_RESULT)
    conf = host.flannel(delegate={"type": "other"})
    recorder.fail.touch()
    outcome = host.run("ADD", conf, host.namespace())
    assert outcome.code == 123 and "on purpose" in outcome.message and "because" in outcome.message
    assert recorder.verbs == ["ADD", "DEL"]
    assert host.records() == ["c1@eth0"], "its DEL failed as well, so there is something left to undo"
    recorder.fail.unlink()
    host.delete(conf)
    assert host.leftovers() == {}


@pytest.mark.parametrize("type", ["missing", "../bin/other", "/bin/true", ".."])
def test_a_plugin_that_is_not_to_be_had(host, type):
    outcome = host.run("ADD", host.flannel(delegate={"type": type}), host.namespace())
    assert outcome.code == (106 if type == "missing" else 7), outcome
    if type == "missing":
        assert host.run("STATUS", host.flannel(delegate={"type": type})).code == 50
        assert host.run("STATUS", host.flannel(ipam={"type": type})).code == 50


def test_another_address_plugin_is_executed(host):
    recorder = Recorder(host, "addresses", IPAM_RESULT)
    conf = host.direct(ipam={"type": "addresses", "key": "value"}, isGateway=True, ipMasq=True)
    ns = host.namespace()
    result = host.add(conf, ns)
    assert ns.addresses("eth0") == ["10.77.0.5/24"] and host.ns.addresses("br0") == ["10.77.0.1/24"]
    assert result["dns"] == IPAM_RESULT["dns"]
    ns.ping("10.77.0.1")
    assert host.check(conf, ns, result).ok
    host.delete(conf, ns, prev=result)
    assert recorder.verbs == ["ADD", "CHECK", "DEL"]
    assert recorder.calls[0][3]["ipam"] == {"type": "addresses", "key": "value"}
    assert host.leftovers() == {}


def test_failure_after_the_address_plugin_gives_the_address_back(host):
    answer = IPAM_RESULT | {"routes": [{"dst": "10.9.0.0/16", "gw": "203.0.113.1"}]}
    recorder = Recorder(host, "addresses", answer)
    outcome = host.run("ADD", host.direct(ipam={"type": "addresses"}), host.namespace())
    assert not outcome.ok and recorder.verbs == ["ADD", "DEL"]
    assert host.leftovers() == {}


def reference(name):
    if not (REFERENCE / name).exists():
        pytest.skip(f"{REFERENCE / name} is not installed")
    return REFERENCE / name


def test_the_reference_static_plugin(host):
    reference("static")
    conf = host.direct("1.0.0", ipam={"type": "static", "addresses": [{"address": "10.88.0.9/24", "gateway": "10.88.0.1"}]},
                       isGateway=True)  # fmt: skip
    ns = host.namespace()
    result = host.add(conf, ns)
    assert ns.addresses("eth0") == ["10.88.0.9/24"]
    assert host.check(conf, ns, result).ok
    host.delete(conf, ns)
    assert host.leftovers() == {}


def chain(host, ns, conf, plugins, verb="ADD", prev=None):
    """What a runtime does with a list of plugins: ADD and CHECK in order, DEL in reverse."""
    for plugin in reversed(plugins) if verb == "DEL" else plugins:
        binary = reference(plugin["type"])
        request = {"cniVersion": conf["cniVersion"], "name": conf["name"]} | plugin | {"prevResult": prev}
        outcome = host.run(verb, request, ns, plugin=binary)
        assert outcome.ok, outcome
        prev = outcome.json if verb == "ADD" else prev
    return prev


def test_chained_plugins_of_the_reference(host):
    """portmap, bandwidth, firewall and tuning work with our result, and our CHECK lives with what they changed."""
    conf = host.flannel("1.0.0", delegate={"isDefaultGateway": True, "hairpinMode": True})
    plugins = [
        {"type": "bandwidth", "ingressRate": 8000000, "ingressBurst": 8000000, "egressRate": 8000000, "egressBurst": 8000000},
        {"type": "tuning", "mac": "02:00:00:00:07:07", "sysctl": {"net.ipv4.conf.IFNAME.arp_filter": "1"}},
        {"type": "portmap", "runtimeConfig": {"portMappings": [{"hostPort": 8081, "containerPort": 80, "protocol": "tcp"}]}},
    ]
    if "iptables" in host.ns.run("sh", "-c", "iptables -t filter -L >/dev/null 2>&1 && echo iptables"):
        plugins.insert(0, {"type": "firewall", "backend": "iptables"})
    ns = host.namespace()
    first = host.add(conf, ns)
    final = chain(host, ns, conf, plugins, "ADD", first)
    assert len(final["interfaces"]) == 4, "bandwidth lists its ifb"
    assert ns.link("eth0")["address"] == "02:00:00:00:07:07"
    ns.ping("10.5.17.1")
    qdisc = host.ns.run("tc", "qdisc", "show", "dev", final["interfaces"][1]["name"])
    assert "tbf" in qdisc
    server = "import http.server as h; h.HTTPServer(('', 80), h.BaseHTTPRequestHandler).handle_request()"
    process = subprocess.Popen(["nsenter", f"--net={ns.path}", "/usr/bin/python3", "-c", server], stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: ":80 " in ns.run("ss", "-Hltn"), 10, "the server listens")
        host.ns.run("ip", "addr", "add", "192.0.2.1/32", "dev", "lo")
        answer = host.ns.run("/usr/bin/python3", "-c",
                             "import socket; s = socket.create_connection(('192.0.2.1', 8081), 5); "
                             "s.sendall(b'GET / HTTP/1.0\\r\\n\\r\\n'); print(s.recv(100))")  # fmt: skip
        assert "HTTP/1.0 501" in answer
    finally:
        process.kill()
        process.wait()
    assert host.check(conf, ns, final).ok, host.check(conf, ns, final)
    chain(host, ns, conf, plugins, "DEL", final)
    host.delete(conf, ns, prev=final)
    assert host.leftovers() == {}


def test_two_hosts_of_a_fabric_reach_each_other():
    """Containers of two hosts, attached by the plugin, over the hosts' own routes; neither address is rewritten."""
    with Host() as a, Host(subnet="10.5.18.1/24") as b:
        a.ns.run("ip", "link", "add", "wire", "type", "veth", "peer", "name", "wire", "netns", b.ns.name)
        for host, own, other, subnet in ((a, 1, 2, "10.5.18.0/24"), (b, 2, 1, "10.5.17.0/24")):
            host.ns.run("ip", "addr", "add", f"192.0.2.{own}/24", "dev", "wire")
            host.ns.run("ip", "link", "set", "wire", "up")
            host.ns.run("ip", "route", "add", subnet, "via", f"192.0.2.{other}")
        spaces = []
        for host in (a, b):
            ns = host.namespace()
            host.add(host.flannel(delegate={"isDefaultGateway": True, "macspoofchk": True}), ns)
            spaces.append(ns)
        spaces[0].ping("10.5.18.2")
        spaces[1].ping("10.5.17.2")


def test_the_installed_configuration_is_ours(host):
    """The list that is installed: each of its plugins with what the runtime adds."""
    path = pathlib.Path(os.path.dirname(__file__)).parent.parent / "cni-plugin" / "10-flannel.conflist"
    conflist = json.loads(path.read_text())
    assert conflist["cniVersion"] == "1.0.0" and "1.1.0" in conflist["cniVersions"]
    ns = host.namespace()
    for version in conflist["cniVersions"]:
        conf = conflist["plugins"][0] | host.flannel(version) | {"name": conflist["name"]}
        host.add(conf, ns)
        host.delete(conf, ns)
    assert host.leftovers(conflist["name"]) == {}
