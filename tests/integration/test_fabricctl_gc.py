# SPDX-License-Identifier: Apache-2.0
"""fabricctl gc: what containers that are gone have left on this host, and nothing else, is removed, by the CNI plugin."""

import json
import os
import time

import pytest
from cni_support import Host, elements

from fabric import CNI_PLUGIN
from fabricctl_support import FAILED, FOUND, NOT_FOUND, OK, USAGE, fabricctl


class World:
    """A host with three containers, whose reservations are an hour old."""

    def __init__(self, host):
        self.host = host
        self.namespace = host.ns
        self.conf = host.flannel(delegate={"isDefaultGateway": True, "ipMasq": True})
        self.containers = {id: host.namespace() for id in ("c1", "c2", "c3")}
        self.results = {id: host.add(self.conf, ns, id=id) for id, ns in self.containers.items()}
        self.cache = host.directory / "cache"
        for file in (host.pool_dir / "net1").iterdir():
            self.age(file)

    @staticmethod
    def age(file, s=3600):
        os.utime(file, (time.time() - s, time.time() - s))

    def address(self, id):
        return self.results[id]["ips"][0]["address"].split("/")[0]

    def veth(self, id):
        return next(i["name"] for i in self.results[id]["interfaces"] if i["name"].startswith("veth"))

    def record(self, id):
        return next((self.host.data_dir / "@net1").glob(f"{id}@*"))

    def reserve(self, address, id, age_s=3600):
        file = self.host.pool_dir / "net1" / address
        file.write_text(f"{id}\r\neth0")
        self.age(file, age_s)

    def gc(self, *args, status=OK, plugin=CNI_PLUGIN):
        argv = ("gc", *args, f"--cni-plugin={plugin}", f"--cni-data-dir={self.host.data_dir}", f"--cni-cache-dir={self.cache}")
        done = fabricctl(*argv, f"--cni-ipam-dir={self.host.pool_dir}", f"--subnet-file={self.host.subnet_file}", "--config-file=/dev/null", where=self)
        assert done.returncode == status, f"{done.returncode}\n{done.stdout}{done.stderr}"
        return done

    def items(self, *args, status=OK):
        document = json.loads(self.gc(*args, "-o", "json", status=status).stdout)
        assert document["kind"] == "GarbageList"
        return {(i["kind"], i["containerID"]): (i["action"], i["reason"]) for i in document["items"]}


@pytest.fixture
def world():
    with Host() as host:
        yield World(host)


def test_nothing_is_left_of_those_that_live(world):
    assert world.items() == {} == world.items("--apply", "--yes")
    assert world.gc().stdout == "0 to be removed, 0 in doubt and left alone\n"
    assert len(world.host.reservations()) == 3


def test_a_container_that_went_without_a_del(world):
    world.host.ns.run("ip", "link", "del", world.veth("c1"))
    plan = world.items(status=FOUND)
    assert plan == {("attachment", "c1"): ("remove", "its interface is gone")}
    text = world.gc("--plan", status=FOUND).stdout
    assert "c1" in text and world.address("c1") in text and "1 to be removed (fabricctl gc --apply)" in text
    before = len(elements(world.host.ns.nft()))
    assert len(world.host.reservations()) == 3 and len(world.host.records()) == 3
    refused = world.gc("--apply", status=USAGE)
    assert "this needs --yes" in refused.stderr and len(world.host.records()) == 3
    assert "removed 1, 0 in doubt" in world.gc("--apply", "--yes").stdout
    # All of it, as by the DEL that did not come; and nothing of the others.
    assert set(world.host.reservations()) == {world.address(id) for id in ("c2", "c3")}
    assert len(world.host.records()) == 2 and len(elements(world.host.ns.nft())) < before
    assert world.containers["c2"].ping(world.address("c3"))
    assert world.items() == {}


def test_addresses_of_nobody(world):
    subnet = world.address("c1").rsplit(".", 1)[0]
    world.reserve(f"{subnet}.200", "gone1")
    world.reserve(f"{subnet}.201", "gone2")
    world.reserve(f"{subnet}.202", "young", age_s=10)
    world.reserve("10.99.0.9", "foreign")
    # Of this one the record was lost, and it lives.
    world.record("c3").unlink()
    plan = world.items(status=FOUND)
    assert {key: action for key, (action, _) in plan.items()} == {
        ("reservation", "gone1"): "remove",
        ("reservation", "gone2"): "remove",
        ("reservation", "young"): "keep",
        ("reservation", "c3"): "keep",
    }
    assert "ADD may be under way" in plan["reservation", "young"][1] and "somebody has the address" in plan["reservation", "c3"][1]
    applied = world.items("--apply", "--yes")
    assert {key: action for key, (action, _) in applied.items() if action != "keep"} == {
        ("reservation", "gone1"): "removed",
        ("reservation", "gone2"): "removed",
    }
    left = world.host.reservations()
    assert {f"{subnet}.202", "10.99.0.9", *map(world.address, ("c1", "c2", "c3"))} == set(left)
    assert world.containers["c1"].ping(world.address("c3"))


def test_what_is_in_doubt_is_left_alone(world):
    subnet = world.address("c1").rsplit(".", 1)[0]
    results = world.cache / "results"
    results.mkdir(parents=True)
    note = json.dumps({"kind": "cniCacheV1", "containerId": "x", "ifName": "eth0", "networkName": "net1"})
    for id in ("c1", "c3", "known"):
        (results / f"net1-{id}-eth0").write_text(note)
    world.host.ns.run("ip", "link", "del", world.veth("c1"))
    world.reserve(f"{subnet}.200", "known")
    # The runtime forgot c2, whose interface is there.
    plan = world.items()
    assert {key: action for key, (action, _) in plan.items()} == {("attachment", "c1"): "keep", ("attachment", "c2"): "keep"}
    assert "the runtime knows of it" in plan["attachment", "c1"][1] and "interface is there" in plan["attachment", "c2"][1]
    # Without the bridge nobody can be asked.
    world.reserve(f"{subnet}.201", "asked")
    world.host.ns.run("ip", "link", "set", "cni0", "down")
    assert "nobody can be asked" in world.items()["reservation", "asked"][1]
    world.items("--apply", "--yes")
    assert len(world.host.reservations()) == 5 and len(world.host.records()) == 3
    # Nor is anything judged of which it is not known whose it is.
    world.host.subnet_file.unlink()
    text = world.gc().stdout
    assert "reserved addresses were not looked at" in text and "asked" not in text


def test_what_can_go_wrong(world):
    assert world.gc("--plan", "--apply", status=USAGE).stdout == ""
    assert "there is no /nonexistent" in world.gc(status=NOT_FOUND, plugin="/nonexistent").stderr
    world.host.ns.run("ip", "link", "del", world.veth("c1"))
    # The plugin is asked, and cannot.
    broken = world.host.directory / "flannel"
    broken.write_text(f"#!/bin/sh\n[ $# -gt 0 ] && exec {CNI_PLUGIN} \"$@\"\necho no room >&2; exit 1\n")
    broken.chmod(0o755)
    done = world.gc("--apply", "--yes", status=FAILED, plugin=broken)
    assert "no room" in done.stdout and "1 of 1 could not be removed" in done.stderr
    rows = world.gc("--columns", "action,containerID", "-o", "raw", status=FOUND).stdout
    assert rows == "remove\tc1\n"
