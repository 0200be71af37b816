# SPDX-License-Identifier: Apache-2.0
"""The CNI plugin: what it refuses, with a reason and without a trace, and what it must not refuse."""

import os
import shutil
import subprocess

import pytest
from cni_support import PLUGIN, Host, command

OTHER_UID = 4242


@pytest.fixture
def host():
    with Host() as h:
        yield h


@pytest.mark.parametrize("where", ["delegate", "ipam"])
def test_a_plugin_that_is_not_there_leaves_nothing_to_undo(host, where):
    conf = host.flannel(**{where: {"type": "whereabuts"}})
    ns = host.namespace()
    outcome = host.run("ADD", conf, ns)
    assert outcome.code == 106 and "whereabuts" in outcome.message
    assert host.leftovers() == {}
    host.delete(conf, ns)
    host.add(host.flannel(), ns)
    host.delete(host.flannel(), ns)
    assert host.leftovers() == {}


@pytest.mark.parametrize("where", ["delegate", "ipam"])
def test_a_file_that_cannot_be_executed_is_no_plugin(host, where):
    file = host.directory / "bin" / "half"
    file.parent.mkdir()
    file.write_text("copied so far\n")
    host.path = file.parent
    conf = host.flannel(**{where: {"type": "half"}})
    assert host.run("ADD", conf, host.namespace()).code == 106
    assert host.leftovers() == {}


@pytest.mark.parametrize("where", ["delegate", "ipam"])
@pytest.mark.parametrize("finish", ["DEL", "ADD", "GC"])
def test_a_record_of_a_plugin_that_never_ran_can_be_deleted(host, where, finish):
    """As an ADD leaves it that is killed before it executes the plugin, which then is uninstalled."""
    script = host.directory / "bin" / "gone"
    script.parent.mkdir()
    script.write_text("#!/bin/sh\nkill -9 $PPID\n")
    script.chmod(0o755)
    host.path = script.parent
    conf = host.flannel(**{where: {"type": "gone"}})
    ns = host.namespace()
    assert host.run("ADD", conf, ns).status == -9
    assert host.records() == ["c1@eth0"]
    script.unlink()
    if finish == "DEL":
        host.delete(host.flannel())
    elif finish == "GC":
        assert host.run("GC", host.flannel() | {"cni.dev/valid-attachments": []}).ok
    else:
        host.add(host.flannel(), ns)
        host.delete(host.flannel(), ns)
    assert host.leftovers() == {}


@pytest.mark.parametrize("where", ["delegate", "ipam"])
@pytest.mark.parametrize("name", ["flannel", "another-name"])
def test_our_own_name_is_refused_at_once(host, where, name):
    directory = host.directory / "bin"
    directory.mkdir()
    os.symlink(PLUGIN, directory / name)
    host.path = directory
    outcome = host.run("ADD", host.flannel(**{where: {"type": name}}), host.namespace())
    assert outcome.code == 7 and "this plugin itself" in outcome.message
    assert host.leftovers() == {}


def test_an_id_that_cannot_be_kept_is_refused(host):
    conf = host.flannel()
    outcome = host.run("ADD", conf, host.namespace(), id="x" * 4090)
    assert outcome.code == 4 and "4090" in outcome.message
    assert host.leftovers() == {}
    host.delete(conf, id="x" * 4090)
    ns = host.namespace()
    host.add(conf, ns, id="x" * 4000, ifname="fifteen.bytes.x")
    command("rm", "-r", host.data_dir)
    host.delete(conf, ns, id="x" * 4000, ifname="fifteen.bytes.x")
    assert host.leftovers() == {}


@pytest.mark.parametrize("which", ["data_dir", "pool_dir"])
@pytest.mark.parametrize("made", [False, True])
def test_status_sees_directories_that_cannot_be_written(host, which, made):
    directory = host.directory / "disk"
    directory.mkdir()
    setattr(host, which, directory / "below" / "it")
    conf = host.flannel()
    assert host.run("STATUS", conf).ok
    if made:
        host.add(conf, host.namespace())
    mount = ["unshare", "--mount", "sh", "-c", 'mount --bind "$1" "$1" && mount -o remount,ro,bind "$1" && shift && exec "$@"', "-"]
    request = host.start("STATUS", conf).request
    env = host.environment("STATUS", "")
    done = subprocess.run(
        ["nsenter", f"--net={host.ns.path}", *mount, str(directory), str(PLUGIN)],
        input=request, env=env, capture_output=True, timeout=30,
    )  # fmt: skip
    assert done.returncode == 1 and b'"code":50' in done.stdout and b"Read-only" in done.stdout, done


@pytest.mark.parametrize(
    "conf,text",
    [
        ({"mtu": 60}, "at least 68"),
        ({"mtu": 1230, "v6_network": "fd10:5::/48", "v6_subnet": "fd10:5:0:1::1/64", "network": None, "subnet": None}, "at least 1280"),
    ],
)
def test_an_mtu_that_cannot_be(host, conf, text):
    host.write_fabric(**conf)
    for verb in ("STATUS", "ADD"):
        outcome = host.run(verb, host.flannel(), host.namespace())
        assert not outcome.ok and text in outcome.message, outcome
    assert host.leftovers() == {}


def test_an_underlay_too_small_for_ipv6_leaves_ipv4(host):
    host.write_fabric(mtu=1230, v6_network="fd10:5::/48", v6_subnet="fd10:5:0:1::1/64")
    ns = host.namespace()
    outcome = host.run("ADD", host.flannel(), ns)
    assert outcome.ok and "IPv6 needs 1280" in outcome.stderr, outcome
    assert ns.addresses("eth0") == ["10.5.17.2/24"]
    ns.ping("10.5.17.1")


def test_state_of_another_user(host):
    """As with flannel, whose plugins keep all rights: directories and files that root does not own serve as well."""
    conf = host.flannel()
    ns = host.namespace()
    host.add(conf, ns, id="before")
    for directory in (host.data_dir, host.pool_dir):
        command("chown", "-R", f"{OTHER_UID}:{OTHER_UID}", directory)
        for path in [directory, *directory.rglob("*")]:
            path.chmod(0o700 if path.is_dir() else 0o600)
    for id in ("before", "after"):
        if id == "after":
            ns = host.namespace()
            result = host.add(conf, ns, id=id)
            assert host.check(conf, ns, result, id=id).ok
        assert host.run("STATUS", conf).ok
        host.delete(conf, ns, id=id)
    assert host.leftovers() == {}


def test_state_wiped_and_no_previous_result(host):
    conf = host.flannel(delegate={"ipMasq": True, "macspoofchk": True})
    ns = host.namespace()
    host.add(conf, ns)
    shutil.rmtree(host.data_dir)
    shutil.rmtree(host.pool_dir)
    host.delete(conf, ns)
    assert host.leftovers() == {} and "eth0" not in ns.links()


def test_state_wiped_and_an_interface_of_somebody_else(host):
    ns = host.namespace()
    host.ns.run("ip", "link", "add", "hostend", "type", "veth", "peer", "name", "eth0", "netns", ns.name)
    host.delete(host.flannel(), ns)
    assert "eth0" in ns.links()
