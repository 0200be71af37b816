# SPDX-License-Identifier: Apache-2.0
"""netavark's plugin protocol: containers of podman 5 and later, with the real netavark of two suites and by hand."""

import json
import re
import shutil
import subprocess
import types

import pytest
from netns import wait_for

import netavark
from cni_support import PLUGIN
from fabricctl_support import FOUND, OK, fabricctl
from netavark import Failed


@pytest.fixture(params=sorted(netavark.SUITES, reverse=True))
def host(request):
    """With the netavark of a suite."""
    with netavark.Host(netavark.program(request.param)) as host:
        yield host


@pytest.fixture
def direct():
    """Where the plugin alone is executed."""
    with netavark.Host(None) as host:
        yield host


def eth0(status, network="net1"):
    return status[network]["interfaces"]["eth0"]


# ---- the real netavark


def test_setup_and_teardown(host):
    ns = host.namespace()
    status = host.setup("c1", ns)
    interface = eth0(status)
    assert interface["subnets"] == [{"ipnet": "10.5.17.2/24", "gateway": "10.5.17.1"}]
    assert ns.addresses("eth0") == ["10.5.17.2/24"]
    assert ns.link("eth0")["address"] == interface["mac_address"] and ns.link("eth0")["mtu"] == 1450
    assert {r.get("gateway") for r in ns.routes() if r["dst"] == "default"} == {"10.5.17.1"}
    ns.ping("10.5.17.1")
    assert host.reservations() == {"10.5.17.2": ("c1", "eth0")}
    host.teardown("c1", ns)
    assert host.leftovers() == {} and "eth0" not in ns.links()
    host.teardown("c1", ns)


def test_containers_reach_each_other(host):
    spaces = [host.namespace() for _ in range(2)]
    addresses = [eth0(host.setup(f"c{i}", ns))["subnets"][0]["ipnet"] for i, ns in enumerate(spaces)]
    assert len(set(addresses)) == 2
    spaces[0].ping(addresses[1].split("/")[0])


def test_what_was_asked_for(host):
    ns = host.namespace()
    status = host.setup("c1", ns, static_ips=["10.5.17.77"], static_mac="02:11:22:33:44:55")
    assert eth0(status) == {"mac_address": "02:11:22:33:44:55", "subnets": [{"ipnet": "10.5.17.77/24", "gateway": "10.5.17.1"}]}
    assert ns.link("eth0")["address"] == "02:11:22:33:44:55"
    with pytest.raises(Failed, match="10.5.17.77 is not available"):
        host.setup("c2", host.namespace(), static_ips=["10.5.17.77"])
    assert list(host.reservations()) == ["10.5.17.77"]


def test_dual_stack(host):
    host.write_fabric(v6_network="fd05::/48", v6_subnet="fd05:0:0:17::1/64")
    ns = host.namespace()
    subnets = eth0(host.setup("c1", ns))["subnets"]
    assert subnets[1] == {"ipnet": "fd05:0:0:17::2/64", "gateway": "fd05:0:0:17::1"}
    ns.ping("fd05:0:0:17::1")


def test_two_networks_of_one_container(host):
    ns = host.namespace()
    networks = [host.network(), host.network("net2")]
    status = host.setup("c1", ns, networks)
    first, second = eth0(status), status["net2"]["interfaces"]["eth1"]
    assert first["subnets"] != second["subnets"] and first["mac_address"] != second["mac_address"]
    host.teardown("c1", ns, networks)
    assert host.leftovers() == {} and host.leftovers("net2") == {}


def test_beside_netavarks_own_bridge(host):
    """A container in both, and each as it would be alone."""
    theirs = host.network("bridge", "bridge", network_interface="podman7", subnets=[{"subnet": "10.77.0.0/24", "gateway": "10.77.0.1"}])
    theirs["options"] = {}
    ns = host.namespace()
    request = host.request("c1", [host.network(), theirs])
    request["networks"]["bridge"]["static_ips"] = ["10.77.0.9"]
    status = host.call("setup", ns, request)
    assert eth0(status)["subnets"][0]["ipnet"] == "10.5.17.2/24"
    assert status["bridge"]["interfaces"]["eth1"]["subnets"][0]["ipnet"] == "10.77.0.9/24"
    ns.ping("10.5.17.1")
    host.call("teardown", ns, request)
    assert host.leftovers() == {}


def test_error_reaches_the_user(host):
    host.subnet_file.unlink()
    with pytest.raises(Failed, match="flanneld has not got a subnet yet"):
        host.setup("c1", host.namespace())
    assert host.leftovers() == {}


def test_reload(host):
    """podman network reload: teardown and setup in the same namespace, with the MAC that the first setup reported."""
    ns = host.namespace()
    before = eth0(host.setup("c1", ns))
    host.teardown("c1", ns)
    after = eth0(host.setup("c1", ns, static_mac=before["mac_address"]))
    assert after["mac_address"] == before["mac_address"]
    host.teardown("c1", ns)
    assert host.leftovers() == {}


# ---- the plugin by itself


def test_info(direct):
    said = direct.plugin("info")
    assert said["api_version"] == "1.0.0" and said["version"]


def test_create_keeps_the_network(direct):
    network = direct.network(options={"mode": "ptp", "mtu": "1400"}, labels={"a": "b"}, dns_enabled=True)
    said = direct.plugin("create", request=network)
    assert said == network | {"dns_enabled": False}, "names of containers are not answered here"


@pytest.mark.parametrize(
    "change, message",
    [
        ({"subnets": [{"subnet": "10.5.17.0/24"}]}, "leave out --subnet"),
        ({"ipam_options": {"driver": "dhcp"}}, 'ipam_options.driver is "dhcp"'),
        ({"ipam_options": {"driver": "none"}}, 'ipam_options.driver is "none"'),
        ({"name": "a/b"}, 'network name "a/b" is not valid'),
        ({"name": 1}, "name"),
        ({"name": "n" * 201}, "is not valid"),
        ({"options": {"mtuu": "1"}}, "no option mtuu; did you mean mtu?"),
        ({"options": {"zzzzzzzz": "1"}}, "no option zzzzzzzz; there are mtu, "),
        ({"options": {"mtu": "67"}}, 'option mtu is "67", must be from 68 to 65535'),
        ({"options": {"mtu": "1e3"}}, 'option mtu is "1e3"'),
        ({"options": {"mode": "macvlan"}}, 'option mode is "macvlan", must be bridge or ptp'),
        ({"options": {"isolate": "strict"}}, 'option isolate is "strict", must be true or false'),
        ({"options": {"isolate": "true", "mode": "ptp"}}, "isolate"),
        ({"options": {"dataDir": "data"}}, "option dataDir"),
        ({"options": ["mtu"]}, "options must be an object"),
        ({"options": {"mtu": 1400}}, "option mtu must be a string"),
        ({"network_interface": "a/b"}, "not an interface name"),
        ({"network_interface": "br7", "options": {"mode": "ptp"}}, "network_interface"),
        ({"routes": {}}, "routes must be a list"),
    ],
)
def test_create_refuses(direct, change, message):
    with pytest.raises(Failed, match=re.escape(message)):
        direct.plugin("create", request=direct.network() | change)


@pytest.mark.parametrize("verb", ["create", "setup", "teardown"])
@pytest.mark.parametrize("text", [b"", b"[]", b"{", b"{}", b'{"name":null}', b"\xff"])
def test_what_is_no_request(direct, verb, text):
    ns = direct.namespace()
    with pytest.raises(Failed):
        direct.plugin(verb, ns.path, request=text)
    assert direct.leftovers() == {}


def test_setup_names_the_key(direct):
    ns = direct.namespace()
    for change, message in (
        ({"container_id": ""}, "container_id"),
        ({"container_id": "../x"}, "container_id"),
        ({"network": None}, "network must be an object"),
        ({"network_options": {"interface_name": "a/b"}}, "interface_name"),
        ({"network_options": {"interface_name": "eth0", "static_ips": "10.5.17.9"}}, "static_ips must be a list"),
        ({"network_options": {"interface_name": "eth0", "static_ips": ["10.9.9.9"]}}, "10.9.9.9"),
        ({"network_options": {"interface_name": "eth0", "static_mac": "zz"}}, "mac"),
    ):
        with pytest.raises(Failed, match=message):
            direct.plugin("setup", ns.path, request=direct.direct("c1") | change)
    with pytest.raises(Failed, match="needs the path of a network namespace"):
        direct.plugin("setup", request=direct.direct("c1"))
    assert direct.leftovers() == {}


def test_teardown_of_a_network_that_would_be_refused_now(direct):
    ns = direct.namespace()
    direct.plugin("setup", ns.path, request=direct.direct("c1"))
    changed = direct.network(options={"mtu": "nonsense", "new": "x"}, subnets=[{"subnet": "10.1.0.0/24"}])
    direct.plugin("teardown", ns.path, request=direct.direct("c1", changed))
    assert direct.leftovers() == {}


def test_options_of_the_network(direct):
    ns = direct.namespace()
    network = direct.network(options={"mtu": "1300", "isolate": "true"}, network_interface="br7")
    network["routes"] = [{"destination": "10.99.0.0/16", "gateway": "10.5.17.200", "metric": 7}]
    network["network_dns_servers"] = ["10.5.17.53"]
    said = direct.plugin("setup", ns.path, request=direct.direct("c1", network))
    assert said["dns_server_ips"] == ["10.5.17.53"]
    assert ns.link("eth0")["mtu"] == 1300 and "br7" in direct.ns.links()
    assert [(r["gateway"], r["metric"]) for r in ns.routes() if r["dst"] == "10.99.0.0/16"] == [("10.5.17.200", 7)]
    assert "isolated on" in direct.ns.run("bridge", "-d", "link")


def test_internal_has_no_way_out(direct):
    ns = direct.namespace()
    direct.plugin("setup", ns.path, request=direct.direct("c1", direct.network(internal=True)))
    assert not [r for r in ns.routes() if r["dst"] == "default"]
    ns.ping("10.5.17.1")


def test_routed(direct):
    ns = direct.namespace()
    network = direct.network(options={"mode": "ptp"})
    direct.plugin("setup", ns.path, request=direct.direct("c1", network))
    assert "cni0" not in direct.ns.links()
    ns.ping("10.5.17.1")
    direct.plugin("teardown", ns.path, request=direct.direct("c1", network))
    assert direct.leftovers() == {}


def test_second_setup_harms_nothing(direct):
    ns = direct.namespace()
    direct.plugin("setup", ns.path, request=direct.direct("c1"))
    with pytest.raises(Failed, match="already"):
        direct.plugin("setup", ns.path, request=direct.direct("c1"))
    ns.ping("10.5.17.1")


def test_cni_finds_what_netavark_made(direct):
    """One engine: the records are the same, so are GC and DEL."""
    ns = direct.namespace()
    direct.plugin("setup", ns.path, request=direct.direct("c1"))
    direct.delete(direct.flannel(), ns, id="c1")
    assert direct.leftovers() == {}


def ctl(host, *argv, status=OK):
    where = types.SimpleNamespace(namespace=host.ns, directory=host.directory)
    cache = host.directory / "cache"
    (cache / "results").mkdir(parents=True, exist_ok=True)  # of a CNI runtime, which knows none of ours
    more = ("-o", "json", f"--cni-plugin={PLUGIN}", f"--cni-data-dir={host.data_dir}", f"--cni-cache-dir={cache}", "--config-file=/dev/null")
    done = fabricctl(*argv, *more, where=where)
    assert done.returncode == status, f"{done.returncode}\n{done.stdout}{done.stderr}"
    return json.loads(done.stdout)["items"]


def test_fabricctl_knows_them(direct):
    ns = direct.namespace()
    direct.plugin("setup", ns.path, request=direct.direct("c1"))
    (item,) = ctl(direct, "pods")
    assert (item["pod"], item["containerID"], item["network"]) == ("name-of-c1", "c1", "net1")
    assert (item["state"], item["runtime"], item["addresses"]) == ("ok", None, ["10.5.17.2"])
    places = (f"--cni-ipam-dir={direct.pool_dir}", f"--subnet-file={direct.subnet_file}")
    assert ctl(direct, "gc", *places) == []
    pass_away(direct, ns, 0)
    assert ctl(direct, "pods", status=FOUND)[0]["state"] == "gone"
    (item,) = ctl(direct, "gc", "--apply", "--yes", *places)
    assert (item["action"], item["containerID"]) == ("removed", "c1")
    assert direct.leftovers() == {}


# ---- nobody asks twice


def pass_away(host, ns, left):
    ns.delete()
    wait_for(lambda: len(host.veths()) == left, 10, "the kernel has taken the interface")


def test_lost_teardown(direct):
    """The container is gone, and its teardown never came: the next of any other container takes what it left."""
    ns, other, third = (direct.namespace() for _ in range(3))
    for i, space in enumerate((ns, other, third)):
        direct.plugin("setup", space.path, request=direct.direct(f"c{i}"))
    pass_away(direct, ns, 2)
    assert len(direct.reservations()) == 3
    direct.plugin("teardown", other.path, request=direct.direct("c1"))
    assert direct.reservations() == {"10.5.17.4": ("c2", "eth0")} and direct.records() == ["c2@eth0"]
    third.ping("10.5.17.1")
    direct.plugin("teardown", third.path, request=direct.direct("c2"))
    assert direct.leftovers() == {}


@pytest.mark.skipif(not shutil.which("strace"), reason="strace, which kills a setup at its instant, is not installed")
def test_killed_setup(direct):
    """Between any two requests to the kernel: nothing of it is left when the container is gone and another's teardown came."""
    for number in range(1, 6):
        ns = direct.namespace()
        argv = ["strace", "-qq", "-o", "/dev/null", "-e", "trace=sendmsg,sendto", "-e", f"inject=sendmsg,sendto:signal=KILL:when={number}"]
        with direct.ns.entered():
            subprocess.run([*argv, str(PLUGIN), "setup", ns.path], input=json.dumps(direct.direct(f"c{number}")).encode(), capture_output=True)
        ns.delete()
    wait_for(lambda: not direct.veths(), 10, "the kernel has taken the interfaces")
    direct.plugin("teardown", "/run/netns/none", request=direct.direct("another"))
    assert direct.leftovers() == {}


def test_setup_killed_before_its_record(direct):
    """What stands then is a file that was to become the record: the teardown of another collects it."""
    ns = direct.namespace()
    direct.plugin("setup", ns.path, request=direct.direct("c1"))
    killed = direct.data_dir / "@net1" / ".c2@eth0"
    killed.write_text('{"version":')
    direct.plugin("teardown", ns.path, request=direct.direct("c1"))
    assert not killed.exists() and direct.leftovers() == {}
