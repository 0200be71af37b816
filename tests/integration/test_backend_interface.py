# SPDX-License-Identifier: Apache-2.0
"""A daemon with the backend made for tests: a key, a lease that is published later, a live part, objects of many a peer."""

import json

import pytest

import fabric
from fabric import APART
from netns import stays, wait_for

FLANNELD = fabric.BUILD / "tests" / "flanneld"
TEST = APART | {"Backend": {"Type": "test", "Bits": 5, "DelayMs": 700}}
PIECES = 32

pytestmark = pytest.mark.skipif(not FLANNELD.exists(), reason=f"{FLANNELD} is not built")


@pytest.fixture
def two(lab, monkeypatch):
    monkeypatch.setattr(fabric, "FLANNELD", FLANNELD)
    lab.start_etcd()
    lab.configure(TEST)
    return lab.hosts(2)


def routes(host):
    return [r["dst"] for r in host.namespace.ip("-4", "route", "show", "dev", "flannel-test")]


def listed(host):
    path = host.daemon.directory / "state" / "test.peers"
    return set(path.read_text().split()) if path.exists() else set()


def key(host):
    return host.daemon.directory / "state" / "test.key"


def start(hosts, ready=True):
    for host in hosts:
        host.start_daemon(ready=False)
    if ready:
        for host in hosts:
            host.daemon.wait_ready()
            host.daemon.wait_peers(1)
            wait_for(lambda h=host: len(routes(h)) == PIECES, 5, "a route for each piece")


def test_no_lease_before_the_backend_knows_what_to_publish(lab, two):
    start(two, ready=False)
    for host in two:
        host.daemon.wait_status(
            lambda s: any(p["name"] == "lease-not-published" and "not ready" in p["text"] for p in s["problems"]),
            2,
            "why there is no lease",
        )
    assert not lab.etcd.list(f"{fabric.PREFIX}/subnets/"), "somebody has a lease that says nothing"
    for host in two:
        host.daemon.wait_ready()
        host.daemon.wait_peers(1)
        host.daemon.wait_ok()
        wait_for(lambda h=host: len(routes(h)) == PIECES, 5, "a route for each piece")
    two[0].daemon.wait_log("lease-not-published: over after")


def test_what_the_lease_says_is_shown_by_the_backend(two):
    start(two)
    # The members are this backend's own, of which no schema knows.
    items = json.loads(two[0].daemon.request("/v1/subnets")[1])["items"]
    assert {i["color"] for i in items} == {"red"}
    assert len({i["testKey"] for i in items}) == 2, "each host has a key of its own"
    assert {i["mac"] for i in items} == {None}


def test_the_key_survives_and_is_never_overwritten(two):
    start(two)
    h1 = two[0]
    before = key(h1).read_bytes()
    assert key(h1).stat().st_mode & 0o7777 == 0o600
    h1.daemon.kill()
    h1.daemon.start().wait_ready()
    assert key(h1).read_bytes() == before
    h1.daemon.stop()
    key(h1).chmod(0o644)
    h1.daemon.start()
    h1.daemon.wait_status(lambda s: "must be 0600" in json.dumps(s), 5, "what is wrong with the key")
    assert key(h1).read_bytes() == before


def test_the_live_part_follows_the_peers_and_outlives_the_daemon(two):
    start(two)
    h1, h2 = two
    subnet = h2.daemon.subnet()
    wait_for(lambda: listed(h1) == {subnet}, 5, "the list of peers")
    for end in (h1.daemon.stop, h1.daemon.kill):
        end()
        assert listed(h1) == {subnet}
        assert len(routes(h1)) == PIECES
        h1.daemon.start().wait_ready()
        stays(lambda: listed(h1) == {subnet} and len(routes(h1)) == PIECES, 1, "peers and routes as they were")
