# SPDX-License-Identifier: Apache-2.0
"""fabricctl pods: what is attached on this host, by the plugin's records, the kernel, and what the runtime has noted."""

import json

import pytest
from cni_support import Host

from fabric import CNI_PLUGIN
from fabricctl_support import FAILED, FOUND, NOT_FOUND, OK, USAGE, fabricctl


class World:
    """A host with three containers, of which a runtime has noted all."""

    def __init__(self, host):
        self.host = host
        self.cache = host.directory / "cache"
        self.conf = host.flannel(delegate={"isDefaultGateway": True})
        self.results = {id: host.add(self.conf, host.namespace(), id=id) for id in ("c1", "c2", "c3")}
        (self.cache / "results").mkdir(parents=True)
        for id in self.results:
            self.note(id, [["IgnoreUnknown", "1"], ["K8S_POD_NAMESPACE", "default"], ["K8S_POD_NAME", f"web-{id}"]])

    def file(self, id):
        return self.cache / "results" / f"net1-{id}-eth0"

    def note(self, id, args):
        document = {"kind": "cniCacheV1", "containerId": id, "ifName": "eth0", "networkName": "net1", "cniArgs": args, "result": self.results[id]}
        self.file(id).write_text(json.dumps(document))

    def pods(self, *args, status=OK, plugin=CNI_PLUGIN):
        argv = ("pods", *args, f"--cni-plugin={plugin}", f"--cni-data-dir={self.host.data_dir}", f"--cni-cache-dir={self.cache}")
        done = fabricctl(*argv, "--config-file=/dev/null", where=self)
        assert done.returncode == status, f"{done.returncode}\n{done.stdout}{done.stderr}"
        return done

    @property
    def namespace(self):
        return self.host.ns

    def items(self, status=OK):
        document = json.loads(self.pods("-o", "json", status=status).stdout)
        assert document["kind"] == "PodList"
        return {i["containerID"]: i for i in document["items"]}

    def veth(self, id):
        return next(i["name"] for i in self.results[id]["interfaces"] if i["name"].startswith("veth"))


@pytest.fixture
def world():
    with Host() as host:
        yield World(host)


def test_all_are_well(world):
    for id, item in world.items().items():
        assert (item["pod"], item["state"], item["reason"], item["runtime"]) == (f"default/web-{id}", "ok", "", True)
        assert item["addresses"] == [ip["address"].split("/")[0] for ip in world.results[id]["ips"]]
        assert (item["device"], item["interface"], item["network"]) == (world.veth(id), "eth0", "net1")
    heading, *rows = world.pods().stdout.splitlines()
    assert heading.split() == "POD ADDRESSES INTERFACE DEVICE NETWORK CONTAINER SINCE STATE REASON".split()
    assert sorted(row.split()[0] for row in rows) == [f"default/web-c{n}" for n in (1, 2, 3)] and all(row.split()[7] == "ok" for row in rows)
    assert [row.split()[:6] for row in world.pods("--no-headers").stdout.splitlines()] == [row.split()[:6] for row in rows]
    raw = [line.split("\t") for line in world.pods("-o", "raw").stdout.splitlines()]
    assert len(raw) == 3 and all(len(fields) == 9 and fields[6].endswith("Z") for fields in raw)
    assert len(world.pods("-o", "jsonl").stdout.splitlines()) == 3


def test_what_is_not_as_it_was_attached(world):
    world.host.ns.run("ip", "link", "del", world.veth("c1"))
    world.file("c2").unlink()
    world.note("c3", [["K8S_POD_NAME", "alone"]])
    items = world.items(status=FOUND)
    assert {id: item["state"] for id, item in items.items()} == {"c1": "gone", "c2": "forgotten", "c3": "ok"}
    assert "interface is gone" in items["c1"]["reason"] and "does not know of it" in items["c2"]["reason"]
    assert items["c2"]["pod"] is None and items["c2"]["runtime"] is False and items["c3"]["pod"] == "alone"
    # What lies there and is no note of a runtime's says nothing.
    world.file("c3").write_text("{")
    assert (world.items(status=FOUND)["c3"]["state"], world.items(status=FOUND)["c3"]["runtime"]) == ("ok", None)
    next((world.host.data_dir / "@net1").glob("c3@*")).write_text("{")
    assert world.items(status=FOUND)["c3"]["state"] == "damaged"
    for file in (world.cache / "results").iterdir():
        file.unlink()
    (world.cache / "results").rmdir()
    assert world.items(status=FOUND)["c2"]["state"] == "ok"


def test_what_nomad_calls_it(world):
    """The namespace, the job and its group; what is missing is left out."""
    nomad = [["IgnoreUnknown", "true"], ["NOMAD_REGION", "global"], ["NOMAD_NAMESPACE", "default"], ["NOMAD_JOB_ID", "web=a"], ["NOMAD_GROUP_NAME", "front"]]
    world.note("c1", nomad)
    world.note("c2", [pair for pair in nomad if pair[0] != "NOMAD_GROUP_NAME"])
    world.note("c3", [["NOMAD_REGION", "global"], ["NOMAD_GROUP_NAME", "front"]])
    assert {id: item["pod"] for id, item in world.items().items()} == {"c1": "default/web=a.front", "c2": "default/web=a", "c3": None}


def test_none_and_no_plugin(world):
    for id in world.results:
        world.host.delete(world.conf, id=id)
    assert world.items() == {} and "POD" in world.pods().stdout
    assert "there is no /nonexistent" in world.pods(status=NOT_FOUND, plugin="/nonexistent").stderr
    assert "does not know \"list\"" in world.pods(status=FAILED, plugin="/bin/true").stderr
    assert fabricctl("pods", "all").returncode == USAGE
