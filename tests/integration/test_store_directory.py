# SPDX-License-Identifier: Apache-2.0
"""Daemons whose store is a directory, which is moved, damaged, restored and made again while they run."""

import json
import shutil

import pytest

from fabric import CONFIG
from netns import wait_for


@pytest.fixture
def fabric(lab, tmp_path):
    """(directory, hosts): two hosts with a container each that reach one another."""
    directory = tmp_path / "store"
    directory.mkdir()
    (directory / "config").write_text(json.dumps(CONFIG))
    hosts = lab.hosts(2)
    for host in hosts:
        host.start_daemon(store=f"file:{directory}")
    for host in hosts:
        host.daemon.wait_peers(1)
    return directory, hosts


def told(hosts, problem):
    for host in hosts:
        wait_for(lambda d=host.daemon: problem in d.problems(), 5, f"{host.name} says {problem}")


def well(hosts):
    for host in hosts:
        wait_for(lambda d=host.daemon: not d.problems() and d.status()["peers"] == 1, 30, f"{host.name} is well again")


def test_directory_in_every_trouble(lab, fabric):
    directory, hosts = fabric
    away = directory.with_name("away")
    with lab.pinger(*(host.container() for host in hosts)) as pinger:
        directory.rename(away)
        told(hosts, "watch-lost")
        away.rename(directory)
        well(hosts)

        directory.rename(away)
        told(hosts, "watch-lost")
        shutil.copytree(away, directory)
        well(hosts)

        journal = directory / "journal"
        good = journal.read_text()
        with journal.open("a") as out:
            out.write("junk\n")
        told(hosts, "watch-lost")
        assert "journal: line" in hosts[0].daemon.request("/v1/status")[1]
        journal.write_text(good)
        well(hosts)

        directory.rename(directory.with_name("gone"))
        told(hosts, "watch-lost")
        directory.mkdir()
        (directory / "config").write_text(json.dumps(CONFIG))
        well(hosts)
    assert pinger.lost == 0, pinger.report()
