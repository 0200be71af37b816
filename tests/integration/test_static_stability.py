# SPDX-License-Identifier: Apache-2.0
"""Hosts that start while the store is down: the data path comes from what was known last, and says that it is stale."""

import json
import time

import pytest

from etcd import PREFIX
from fabric import APART
from netns import stays, wait_for
from witness import made_up_lease


def reboot(host):
    """All that lives in memory is gone: the daemon, its devices and routes, and /run. What is on disk stays."""
    host.daemon.kill()
    host.namespace.ip_do("link del flannel.1")
    host.daemon.subnet_file.unlink()


def state(host):
    return host.daemon.directory / "state" / "last-known.json"


@pytest.fixture
def powerless(lab):
    """Three hosts with containers, whose site lost power; only the hosts came back."""
    lab.start_etcd()
    lab.configure(APART)
    hosts = lab.hosts(3, daemons=True)
    for host in hosts:
        host.container()
        host.daemon.wait_peers(2)
        host.daemon.restart()  # a clean stop writes what is known
        host.daemon.wait_peers(2)
    before = {host: (host.daemon.subnet(), host.objects(), host.link()["address"]) for host in hosts}
    lab.etcd.kill()
    for host in hosts:
        reboot(host)
    return hosts, before


def test_the_whole_site_without_its_store(lab, powerless):
    hosts, before = powerless
    for host in hosts:
        host.daemon.start()
    for host in hosts:
        host.daemon.wait_ready(5)
        status = host.daemon.status()
        assert status["verdict"] == "degraded" and status["lease"]["stale"]
        assert "stale" in host.daemon.problems()
        assert host.daemon.logged("last-known-state")
        assert (host.daemon.subnet(), host.objects(), host.link()["address"]) == before[host]
    with lab.pinger(*(host.containers[0] for host in hosts)) as pinger:
        wait_for(lambda: pinger.sent >= 6 * 20, 10, "pings")
        lab.etcd.start()
        for host in hosts:
            host.daemon.wait_ok(15)
            assert not host.daemon.status()["lease"]["stale"]
        lab.wait_equal()
    assert pinger.lost == 0, pinger.report()
    assert [host.daemon.subnet() for host in hosts] == [before[host][0] for host in hosts]


@pytest.mark.slow
def test_what_is_known_cannot_be_written_down(lab):
    """A problem with a begin and an end: who learns of it at the next reboot learns too late."""
    lab.start_etcd()
    lab.configure(APART)
    host = lab.host()
    host.make_daemon()
    state(host).mkdir(parents=True)
    (state(host) / "in-the-way").touch()
    host.daemon.start().wait_ready()
    host.daemon.wait_status(lambda s: "state-file" in {p["name"] for p in s["problems"]}, 15, "it is shown")
    assert host.daemon.status()["verdict"] == "degraded" and host.daemon.status()["ready"]
    host.daemon.wait_log(rf"warn +state-file: {state(host)}: Is a directory")
    (state(host) / "in-the-way").unlink()
    state(host).rmdir()
    host.daemon.wait_ok(15)
    assert json.loads(state(host).read_text().splitlines()[0])["own"]
    host.daemon.wait_log(r"info +state-file: over after")


def test_what_changed_meanwhile_is_put_right(lab, powerless):
    """A peer of the last known state is gone and another is there when the store comes back."""
    hosts, before = powerless
    h1, _, h3 = hosts
    lab.etcd.start()
    lab.etcd.delete(f"{PREFIX}/subnets/{before[h3][0].replace('/', '-')}")
    key, value = made_up_lease(3)
    lab.etcd.put(PREFIX + key, value)
    lab.etcd.kill()
    h1.daemon.start().wait_ready(5)
    assert len(h1.daemon.subnets()) == 3
    lab.etcd.start()
    h1.daemon.wait_ok(15)
    lab.wait_equal(5, [h1])
    assert h1.daemon.subnet() == before[h1][0]


def test_nothing_is_known_and_there_is_no_store(lab):
    """The first start of a host: it waits, and whoever asks is told for what."""
    lab.start_etcd()
    lab.configure(APART)
    lab.etcd.kill()
    host = lab.host()
    notify = lab.notify_socket()
    daemon = host.make_daemon()
    daemon.environment["NOTIFY_SOCKET"] = str(notify.path)
    daemon.start()
    endpoint = lab.etcd.members[0].endpoint
    wait_for(lambda: endpoint in daemon.request("/readyz")[1], 10, "/readyz names the store")
    assert daemon.request("/readyz")[0] == 503
    assert daemon.logged("store-unavailable.*" + endpoint)
    wait_for(lambda: any(endpoint in m for m in notify.messages() if m.startswith("STATUS=")), 5, "STATUS= names it too")
    assert host.link() is None
    lab.etcd.start()
    daemon.wait_ready(15)


@pytest.mark.parametrize("what", ["run out", "run out, and the clock went back since", "damaged", "cut off", "of another version"])
def test_a_state_that_is_of_no_use(lab, what):
    """It is not used, that is said, and nothing else is lost by it."""
    lab.start_etcd()
    lab.configure(APART)
    host = lab.hosts(1, daemons=True)[0]
    key, value = made_up_lease(3)
    lab.etcd.put(PREFIX + key, value)
    host.daemon.wait_peers(1)
    host.daemon.stop()
    lab.etcd.kill()
    reboot_file = state(host)
    head, *peers = reboot_file.read_text().splitlines()
    head = json.loads(head)
    assert head["peers"] == len(peers) == 1
    now = int(time.time())
    if what == "run out":
        head |= {"written": now - 100000, "expires": now - 10}
    elif what == "run out, and the clock went back since":
        head |= {"written": now + 86400, "expires": now + 86390}
    elif what == "of another version":
        head["version"] += 1
    elif what == "cut off":
        peers[0] = peers[0][:-20]
    text = "\n".join([json.dumps(head), *peers]) + "\n"
    reboot_file.write_text(text if what != "damaged" else text[1:])
    host.namespace.ip_do("link del flannel.1")
    host.daemon.subnet_file.unlink()
    host.daemon.start()
    wait_for(lambda: host.daemon.logged("state-file.*not used"), 10, "it is said")
    stays(lambda: host.link() is None and host.daemon.running, 1, "nothing is made of it")
    lab.etcd.start()
    host.daemon.wait_ready(15)
    host.daemon.wait_peers(1)
    lab.wait_equal()


@pytest.mark.slow
def test_the_last_known_state_is_kept_true_by_renewals(lab):
    """In a network where nothing changes the lease in the file must not run out while the real one is prolonged."""
    lab.start_etcd()
    lab.configure(APART)
    host = lab.host()
    host.start_daemon(lease_ttl=30)
    read = lambda: json.loads(state(host).read_text().splitlines()[0])["expires"]  # noqa: E731
    wait_for(lambda: state(host).exists(), 15, "it is written")
    first = read()
    wait_for(lambda: read() > first, 40, "it is written again with a later end")
