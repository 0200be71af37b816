# SPDX-License-Identifier: Apache-2.0
"""Two daemons that would be one host: the second on a state directory does not start, one with the same id is named."""

import re
import shutil
import subprocess

import pytest

from fabric import APART
from netns import stays, wait_for


@pytest.fixture
def host(lab):
    lab.start_etcd()
    lab.configure(APART)
    (host,) = lab.hosts(1, daemons=True)
    return host


def second(host, **flags):
    """Another daemon in the same place, with files of its own but for what the flags say."""
    return host.make_daemon("second", iface=["eth0"], **flags)


def test_a_state_directory_has_one_daemon(lab, host):
    first = host.daemon
    other = second(host, state_dir=first.flags["state_dir"])
    for remove in (False, True):
        if remove:  # There is no file whose loss would let a second one in.
            for file in first.flags["state_dir"].iterdir():
                file.unlink()
        other.start()
        assert other.wait_exit() == 1
        assert re.search(rf"process {first.pid}\b", other.log()), other.log()
        assert str(first.flags["state_dir"]) in other.log()
    assert first.running and not first.problems()
    # The kernel lets go of it whatever ends the first.
    first.kill()
    other.start().wait_ready()


def test_of_many_at_the_same_instant_one_runs(lab):
    lab.start_etcd()
    lab.configure(APART)
    host = lab.host()
    state = lab.directory / "shared-state"
    daemons = [host.make_daemon(f"d{i}", state_dir=state, iface=["eth0"]) for i in range(6)]
    for daemon in daemons:
        daemon.start()
    wait_for(lambda: sum(d.running for d in daemons) == 1, 10, "one daemon")
    (winner,) = [d for d in daemons if d.running]
    winner.wait_ready()
    assert len(lab.etcd.leases()) == 1


@pytest.mark.slow
def test_one_identity_with_two_names_is_said_by_both(lab, host):
    first = host.daemon
    other = second(host, node_name="other")
    other.flags["state_dir"].mkdir()
    shutil.copy(first.flags["state_dir"] / "node-id", other.flags["state_dir"] / "node-id")
    other.start()
    for daemon in (first, other):
        daemon.wait_status(lambda s: "node-id-twice" in {p["name"] for p in s["problems"]}, what="node-id-twice")
    before = lab.etcd.revision()
    stays(lambda: lab.etcd.revision() - before <= 14, 10, "at most 12 writes of leases, and two of records")
    for daemon, name in ((first, "other"), (other, host.daemon.flags["node_name"])):
        (text,) = [p["text"] for p in daemon.status()["problems"] if p["name"] == "node-id-twice"]
        assert f"of {name} at" in text


# ---- which network a state on disk is of


def restarts_without_store(lab, host, **flags):
    """The daemon stops, the store too, and the daemon starts with these flags. Whether it knows its subnet."""
    assert host.daemon.stop() == 0
    lab.etcd.stop()
    host.daemon.flags |= flags
    host.daemon.start().wait_listening()
    wait_for(lambda: host.daemon.status()["lease"]["reason"], 10, "an answer, or none")
    found = bool(host.daemon.logged("last-known-state"))
    assert host.daemon.stop() == 0
    return found


def test_a_prefix_may_be_written_in_several_ways(lab, host):
    assert restarts_without_store(lab, host, etcd_prefix="/coreos.com//network/")
    assert not restarts_without_store(lab, host, etcd_prefix="/coreos.com/network2")


def test_the_state_of_another_cluster_is_not_used(lab, host):
    """The same prefix at the same address, but another etcd: it has a configuration that would be refused by its state."""
    host.daemon.stop()
    lab.etcd.stop()
    lab.etcd.wipe()
    lab.etcd.restart()
    lab.configure(APART | {"SubnetMin": "10.5.1.0", "SubnetMax": "10.5.20.0"})
    host.daemon.start().wait_ready()
    assert host.daemon.logged("store-is-another")
    assert 1 <= int(host.daemon.subnet().split(".")[2]) <= 20
    assert not host.daemon.problems()
