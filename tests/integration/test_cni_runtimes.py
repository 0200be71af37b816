# SPDX-License-Identifier: Apache-2.0
"""Runtimes that cannot be had here: the calls that they make, in their order, with their identifiers and arguments.

nerdctl (its OCI hooks), CRI-O (its CNI library), Nomad (docs/integrations/nomad.md), Mesos and rkt (specification 0.1.0 and 0.2.0).
"""

import json
import re
import subprocess

import pytest
from cni_support import PLUGIN, Host
from fabricctl_support import OK, fabricctl
from recipes import block

HEX = "3a6a58386dfbf2471a6f86bd41e4e9a32aac54ccccd1943742cb67d1e9c58b5b"
ALLOCATION = "9d1a6c2e-4c1b-9f0a-6b5e-2f1d7c3a8e40"
NAMES = "NOMAD_REGION=global;NOMAD_NAMESPACE=default;NOMAD_JOB_ID=web;NOMAD_GROUP_NAME=frontend;NOMAD_ALLOC_ID=" + ALLOCATION


@pytest.fixture
def host():
    with Host() as h:
        yield h


def shipped(host, **more):
    """What the shipped list's first plugin is given."""
    return host.flannel("1.0.0", delegate={"hairpinMode": True, "isDefaultGateway": True, "macspoofchk": True},
                        capabilities={"ips": True, "mac": True, "dns": True}, **more)  # fmt: skip


@pytest.mark.parametrize(
    "args",
    [
        "IgnoreUnknown=1;NERDCTL_CNI_DHCP_HOSTNAME=web",
        "NERDCTL_CNI_DHCP_HOSTNAME=;IgnoreUnknown=1",
        "MAC=02:42:ac:11:00:09;NERDCTL_CNI_DHCP_HOSTNAME=web;IP=10.5.17.9;IgnoreUnknown=1",
        "IP=10.5.17.9;IgnoreUnknown=1;MAC=02:42:ac:11:00:09;NERDCTL_CNI_DHCP_HOSTNAME=web",
    ],
)
def test_nerdctl(host, args):
    """DEL before every ADD, as the container may have run before; arguments in the order of a map, which varies."""
    conf, id = shipped(host), f"default-{HEX}"
    for _ in range(2):
        ns = host.namespace()
        host.delete(conf, id=id, args=args)
        result = host.add(conf, ns, id=id, args=args)
        if "IP=" in args:
            assert ns.addresses("eth0") == ["10.5.17.9/24"] and ns.link("eth0")["address"] == "02:42:ac:11:00:09"
        ns.ping("10.5.17.1")
        assert list(host.reservations()) == [result["ips"][0]["address"].split("/")[0]]
    host.delete(conf, prev=result, id=id, args=args)
    assert host.leftovers() == {}


@pytest.mark.parametrize("more", ["", ";IP=10.5.17.9", ";MAC=02:42:ac:11:00:09", ";IP=10.5.17.9;MAC=02:42:ac:11:00:09"])
@pytest.mark.parametrize("version", ["0.4.0", "1.0.0", "1.1.0"])
def test_cri_o(host, version, more):
    """STATUS, ADD, CHECK for every status of a pod, GC with all pods at a restart, DEL; capabilities that are not ours are in runtimeConfig."""
    other = {"cgroupPath": "/kubepods.slice/pod1", "aliases": ["web"], "io.kubernetes.cri.pod-annotations": {"a/b": "c"}}
    conf = shipped(host, runtimeConfig=other) | {"cniVersion": version}
    args = f"IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web-0;K8S_POD_INFRA_CONTAINER_ID={HEX};K8S_POD_UID=8304765e-fd7e-4968-9144-c42c53be04f4{more}"
    ns = host.namespace()
    if version == "1.1.0":
        assert host.run("STATUS", conf).ok
    result = host.add(conf, ns, id=HEX, args=args)
    assert ("IP=" in more) <= (ns.addresses("eth0") == ["10.5.17.9/24"])
    for _ in range(3):
        assert host.check(conf, ns, result, id=HEX, args=args).ok
    if version == "1.1.0":
        kept = [{"containerID": HEX, "ifname": "eth0"}]
        assert host.run("GC", conf | {"cni.dev/valid-attachments": kept, "cni.dev/attachments": kept}).ok
        assert len(host.reservations()) == 1
    host.delete(conf, ns, prev=result, id=HEX, args=args)
    host.delete(conf, prev=result, id=HEX, args=args)
    assert host.leftovers() == {}


@pytest.fixture
def nomad(host):
    """What each plugin of the page's list is given."""
    conflist = json.loads(block("nomad.md", "`/opt/cni/config/fabric.conflist`:"))
    conf = conflist["plugins"][0] | {"name": conflist["name"], "cniVersion": conflist["cniVersion"], "dataDir": str(host.data_dir)}
    return conf | {"subnetFile": str(host.subnet_file), "ipam": {"dataDir": str(host.pool_dir)}}


def test_nomad_finds_the_plugin():
    """It runs each file without arguments, wants status 0 within three seconds, and takes the first word that is a version."""
    done = subprocess.run([PLUGIN], env={}, capture_output=True, text=True, timeout=3, check=True)
    found = next(word for word in (done.stdout + done.stderr).split() if re.fullmatch(r"v?\d+\.\d+\.\d+([-+].*)?", word))
    assert found.startswith("v")


def test_nomad(host, nomad):
    """An ADD that fails comes twice again, without a DEL between; CHECK when the client is started again; a DEL without arguments."""
    args = f"IgnoreUnknown=true;{NAMES};CONSUL_IPTABLES_CONFIG={{\"ProxyUserID\":\"101\"}}"
    nomad["runtimeConfig"] = {"portMappings": [{"hostPort": 8080, "containerPort": 8080, "protocol": p} for p in ("tcp", "udp")]}
    ns = host.namespace()
    away = host.subnet_file.rename(host.subnet_file.with_suffix(".away"))
    for _ in range(2):
        assert host.run("ADD", nomad, ns, id=ALLOCATION, args=args).code == 11
    away.rename(host.subnet_file)
    result = host.add(nomad, ns, id=ALLOCATION, args=args)
    # It takes the first interface, by name, that has a namespace and an address.
    inside = [i for i, one in enumerate(result["interfaces"]) if one.get("sandbox")]
    assert [ip["interface"] for ip in result["ips"]] == inside and len(inside) == 1
    assert host.check(nomad, ns, result, id=ALLOCATION, args=args).ok
    host.delete(nomad, ns, prev=result, id=ALLOCATION)
    assert host.leftovers("fabric") == {}


def test_nomads_names_are_shown(host, nomad):
    """By `fabricctl pods`, of what the runtime's library notes of every ADD."""
    result = host.add(nomad, host.namespace(), id=ALLOCATION, args=f"IgnoreUnknown=true;{NAMES}")
    notes = host.directory / "cache" / "results"
    notes.mkdir(parents=True)
    pairs = [["IgnoreUnknown", "true"], *(pair.split("=", 1) for pair in NAMES.split(";"))]
    noted = {"kind": "cniCacheV1", "containerId": ALLOCATION, "ifName": "eth0", "networkName": "fabric", "cniArgs": pairs, "result": result}
    (notes / f"fabric-{ALLOCATION}-eth0").write_text(json.dumps(noted))
    done = fabricctl("pods", "--no-headers", "--config-file=/dev/null", f"--cni-plugin={PLUGIN}", f"--cni-data-dir={host.data_dir}",
                     f"--cni-cache-dir={notes.parent}", where=type("Where", (), {"namespace": host.ns}))  # fmt: skip
    assert done.returncode == OK and done.stdout.split()[0] == "default/web.frontend", done


@pytest.mark.parametrize("version", [None, "0.1.0", "0.2.0"])
@pytest.mark.parametrize("id", [ALLOCATION, HEX])
def test_mesos_and_rkt(host, version, id):
    """Results of the first specifications: an address for each family, with its gateway and routes, and no interfaces. No CHECK, no prevResult."""
    host.write_fabric(v6_network="fd05::/48", v6_subnet="fd05:0:0:17::1/64")
    conf = host.flannel("0.2.0", delegate={"isDefaultGateway": True})
    if version:
        conf["cniVersion"] = version
    else:  # then it is 0.1.0
        del conf["cniVersion"]
    ns = host.namespace()
    result = host.add(conf, ns, id=id)
    assert set(result) <= {"cniVersion", "ip4", "ip6", "dns"} and result["cniVersion"] == (version or "0.1.0")
    for key, network, gateway, default in (("ip4", "10.5.0.0/16", "10.5.17.1", "0.0.0.0/0"), ("ip6", "fd05::/48", "fd05:0:0:17::1", "::/0")):
        assert result[key]["ip"] in ns.addresses("eth0") and result[key]["gateway"] == gateway
        assert {route["dst"] for route in result[key]["routes"]} == {network, default}
        ns.ping(gateway)
    assert host.run("CHECK", conf, ns, id=id).code == 1
    host.delete(conf, ns, id=id)
    assert host.leftovers() == {}
