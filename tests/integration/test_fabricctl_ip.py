# SPDX-License-Identifier: Apache-2.0
"""fabricctl ip: who has an address, by the leases, the kernel and the CNI plugin's records."""

import json
import pathlib

import pytest
from cni_support import Host

from fabric import APART, CNI_PLUGIN, IPV6
from netns import wait_for
from fabricctl_support import NO_DAEMON, NOT_FOUND, OK, USAGE, ask_store, assert_three_lines, fabricctl, put_lease


@pytest.fixture
def machine(lab):
    lab.start_etcd()
    lab.configure(APART | IPV6)
    put_lease(lab, "10.5.7.0-24", "192.0.2.77", name="made-up")
    # Around and inside of one another: what nobody should write, and somebody may.
    put_lease(lab, "10.5.0.0-18", "192.0.2.78", name="wide")
    machine = lab.host()
    machine.start_daemon()
    return machine


@pytest.fixture
def containers(machine):
    """Two, attached by the plugin."""
    with Host(existing=machine.name, subnet_file=machine.daemon.subnet_file) as host:
        host.data_dir = pathlib.Path(machine.daemon.flags["cni_data_dir"])
        conf = host.flannel(delegate={"isDefaultGateway": True})
        results = {id: host.add(conf, host.namespace(), id=id) for id in ("c1", "c2")}
        cache = host.data_dir.parent / "cache" / "results"
        cache.mkdir(parents=True)
        for id in results:
            note = {"kind": "cniCacheV1", "cniArgs": [["K8S_POD_NAME", f"pod-{id}"]]}
            (cache / f"net1-{id}-eth0").write_text(json.dumps(note))
        yield results


def argv(machine):
    flags = machine.daemon.flags
    cache = pathlib.Path(flags["cni_data_dir"]).parent / "cache"
    return (f"--cni-plugin={CNI_PLUGIN}", f"--cni-data-dir={flags['cni_data_dir']}", f"--cni-cache-dir={cache}")


def who(machine, address, *args, status=OK):
    done = fabricctl(
        "ip", address, *args, *argv(machine), f"--socket={machine.daemon.socket_path}", "--config-file=/dev/null", where=machine
    )
    assert done.returncode == status, f"{done.returncode}\n{done.stdout}{done.stderr}"
    return json.loads(done.stdout) if "json" in args else done.stdout if status == OK else done.stderr


def test_containers_of_this_host(machine, containers):
    for id, result in containers.items():
        veth = next(i["name"] for i in result["interfaces"] if i["name"].startswith("veth"))
        for ip in result["ips"]:
            address = ip["address"].split("/")[0]
            told = who(machine, address, "-o", "json")
            assert told["kind"] == "Address" and told["address"] == address
            assert (told["owner"], told["containerID"], told["interface"]) == ("container", id, "eth0")
            assert (told["device"], told["bridge"], told["network"]) == (veth, "cni0", "net1")
            assert told["subnet"] in (machine.daemon.subnet(), machine.daemon.subnet6()) and told["own"] is True
            assert told["since"] and told["reason"] is None
            row = who(machine, address, "--no-headers").split()
            assert row[0] == address and row[4:9] == ["container", f"pod-{id}", id, "eth0", veth] and row[9].endswith("s")
    heading, row = who(machine, address).splitlines()
    assert heading.split() == "ADDRESS NODE SUBNET PUBLIC IP OWNER POD CONTAINER INTERFACE DEVICE SINCE".split()
    raw = who(machine, address, "-o", "raw").rstrip("\n").split("\t")
    assert len(raw) == 10 and raw[9].endswith("Z")


def test_addresses_that_are_no_containers(machine, containers):
    gateway = containers["c1"]["ips"][0]["gateway"]
    told = who(machine, gateway, "-o", "json")
    assert (told["owner"], told["device"], told["containerID"]) == ("host", "cni0", None)
    free = gateway.rsplit(".", 1)[0] + ".200"
    assert who(machine, free, "-o", "json")["owner"] == "nobody"
    assert who(machine, "192.0.2.77", "--no-headers").split()[:5] == ["192.0.2.77", "made-up", "10.5.7.0/24", "192.0.2.77", "host"]


def test_a_container_that_something_else_attached(machine):
    container = machine.container()
    assert who(machine, container.address, "-o", "json")["owner"] == "nobody"
    gateway = machine.daemon.environment_file()["FLANNEL_SUBNET"].split("/")[0]
    wait_for(lambda: container.namespace.run("ping", "-c1", "-W1", gateway, check=False).returncode == 0, 5, "it is heard of")
    told = who(machine, container.address, "-o", "json")
    assert (told["owner"], told["bridge"], told["device"], told["containerID"]) == ("unrecorded", "cni0", "c2", None)
    assert told["mac"] == next(link["address"] for link in container.namespace.ip("link", "show", "eth0"))


def test_the_longest_prefix(machine):
    for address, node in (("10.5.7.9", "made-up"), ("10.5.6.9", "wide")):
        told = who(machine, address, "-o", "json")
        assert (told["node"], told["owner"], told["own"]) == (node, "remote", False)


def test_what_is_not_there(machine):
    assert_three_lines(who(machine, "198.51.100.1", status=NOT_FOUND), "nobody in the fabric has 198.51.100.1", "no lease", "subnets")
    for wrong in ((), ("10.5.0.300",), ("10.5.1.1/24",), ("10.5.1.1", "10.5.1.2")):
        done = fabricctl("ip", *wrong)
        assert done.returncode == USAGE and "fabricctl help ip" in done.stderr, done.stderr
    # What is attached cannot be told without the plugin, which is said.
    free = machine.daemon.subnet().replace(".0/24", ".200")
    done = fabricctl("ip", free, "--cni-plugin=/nonexistent", f"--socket={machine.daemon.socket_path}", "--config-file=/dev/null")
    assert done.returncode == OK and "unknown" in done.stdout and "there is no /nonexistent" in done.stdout
    machine.daemon.stop()
    assert "--store" in who(machine, free, status=NO_DAEMON)


def test_from_the_store(lab, machine, containers):
    """Without the daemon; which lease is this host's is known from its state directory."""
    address = containers["c2"]["ips"][0]["address"].split("/")[0]
    machine.daemon.stop()
    state = ("--state-dir", machine.daemon.flags["state_dir"])
    told = json.loads(ask_store(lab, "ip", address, "-o", "json", *argv(machine), *state))
    assert (told["owner"], told["containerID"], told["own"]) == ("container", "c2", True)
    # Whose it is is known anyway; where nobody has an identity what is attached here may be it.
    assert json.loads(ask_store(lab, "ip", "10.5.7.9", "-o", "json", *argv(machine), *state))["owner"] == "remote"
    assert json.loads(ask_store(lab, "ip", address, "-o", "json", *argv(machine)))["containerID"] == "c2"
