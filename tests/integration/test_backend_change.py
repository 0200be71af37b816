# SPDX-License-Identifier: Apache-2.0
"""Another type of backend for a fabric that runs: nothing of the old one stays, and who changes when."""

import json

import pytest

from fabric import APART
from fabricctl_support import ask_store
from netns import wait_for

COMMANDS = {
    "SubnetAddCommand": "ip route add $SUBNET via $PUBLIC_IP proto 77",
    "SubnetRemoveCommand": "ip route del $SUBNET proto 77",
}
KEYS = {"vxlan": {}, "host-gw": {}, "extension": COMMANDS}
# Every change from one to another.
CHANGES = ("host-gw", "extension", "vxlan", "extension", "host-gw", "vxlan")
FOREIGN = "10.99.0.0/24"


def config(backend, **more):
    return APART | {"Backend": {"Type": backend} | KEYS[backend]} | more


def change(lab, hosts, backend):
    lab.configure(config(backend))
    for host in hosts:
        host.daemon.restart()


def traces(host, peer):
    """What there is of each backend: its device, its table, the route to the peer."""
    tables = host.namespace.run("nft", "list", "tables").split("\n")
    route = host.namespace.ip("-4", "route", "show", peer.daemon.subnet())
    return {
        "device": [link["ifname"] for link in host.namespace.ip("link", "show") if link["ifname"].startswith("flannel")],
        "table": sorted(t.split()[-1] for t in tables if "flannel.1" in t),
        "route": [(r["dev"], r["protocol"] == "77") for r in route],
        "record": (host.daemon.directory / "state" / "extension.json").exists(),
    }


def expected(backend):
    vxlan = backend == "vxlan"
    return {
        "device": ["flannel.1"] if vxlan else [],
        "table": ["flannel.1"] if vxlan else [],
        "route": [("flannel.1" if vxlan else "eth0", backend == "extension")],
        "record": backend == "extension",
    }


def test_nothing_of_the_old_one_stays(lab):
    lab.start_etcd()
    lab.configure(config("vxlan"))
    hosts = lab.hosts(2, daemons=True)
    lab.wait_equal()
    subnets = [host.daemon.subnet() for host in hosts]
    for host in hosts:
        host.namespace.ip_batch(
            ["link add other0 type vxlan id 77 dstport 4789", "link set other0 up", f"route add {FOREIGN} dev other0 proto 103"]
        )
    containers = [host.container() for host in hosts]
    for backend in CHANGES:
        change(lab, hosts, backend)
        for host, peer in zip(hosts, reversed(hosts)):
            wait_for(lambda h=host, p=peer, b=backend: traces(h, p) == expected(b), 10, f"{backend}, and nothing else")
            assert host.link("other0") and host.namespace.ip("-4", "route", "show", FOREIGN)
        with lab.pinger(*containers) as pinger:
            wait_for(lambda pinger=pinger: pinger.sent >= 20, 10, "pings")
        assert pinger.lost == 0, f"{backend}: {pinger.report()}"
    assert [host.daemon.subnet() for host in hosts] == subnets


def test_with_the_majority(lab):
    """Who is restarted early is not cut off; who is restarted when half of the others have changed follows them."""
    lab.start_etcd()
    lab.configure(config("vxlan"))
    hosts = h1, h2, h3 = lab.hosts(3, daemons=True)
    subnets = [host.daemon.subnet() for host in hosts]
    lab.configure(config("host-gw", BackendChange="majority"))
    with lab.pinger(h1.container(), h3.container()) as pinger:
        wait_for(lambda: pinger.sent >= 20, 10, "pings")
        h1.daemon.restart()
        h1.daemon.wait_peers(2)
        h1.daemon.wait_status(
            lambda s: any("once half of the other hosts have changed" in p["text"] for p in s["problems"]), 5, "what it waits for"
        )
        assert h1.link("flannel.1")
        sent = pinger.sent
        wait_for(lambda: pinger.sent >= sent + 40, 10, "pings")
    assert pinger.lost == 0, pinger.report()
    h2.daemon.stop()
    h2.daemon.release()
    h2.daemon.start().wait_ready()
    for host in (h1, h3):
        host.daemon.restart()
    for host in hosts:
        host.daemon.wait_ok()
        wait_for(lambda host=host: not host.link("flannel.1"), 10, "host-gw")
    assert [host.daemon.subnet() for host in hosts] == subnets


@pytest.mark.parametrize(
    "more, said",
    [
        ({}, "a host changes as soon as flanneld is restarted, by a reboot too, and hosts"),
        ({"BackendChange": "majority"}, "a host changes when flanneld is restarted and at least half of the others have changed"),
    ],
    ids=["restart", "majority"],
)
def test_config_set_says_what_it_means(lab, more, said):
    lab.start_etcd()
    lab.configure(config("vxlan"))
    lab.hosts(2, daemons=True)
    file = lab.directory / "config.json"
    file.write_text(json.dumps(config("host-gw", **more)))
    text = ask_store(lab, "config", "set", "--dry-run", file)
    assert "the backend becomes host-gw, was vxlan: " + said in text
    assert said in json.loads(ask_store(lab, "config", "set", "--dry-run", "-o", "json", file))["typeChange"]
    file.write_text(json.dumps(config("vxlan", SubnetMax="10.5.230.0", **more)))
    assert "the backend becomes" not in ask_store(lab, "config", "set", "--dry-run", file)
