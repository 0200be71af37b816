# SPDX-License-Identifier: Apache-2.0
"""The network configuration after the first: compared by what it means, and never one that takes a host's subnet away."""

import json

import pytest

from fabric import APART, CONFIG
from netns import stays, wait_for


def name(daemon):
    """What is wrong with the configuration, and in which words."""
    found = [p for p in daemon.status()["problems"] if p["name"].startswith("config-")]
    assert len(found) <= 1, found
    return (found[0]["name"], found[0]["text"]) if found else (None, "")


def becomes(daemon, problem):
    wait_for(lambda: name(daemon)[0] == problem, 8, f"{problem}, not {name(daemon)}")
    return name(daemon)[1]


@pytest.fixture
def pair(lab):
    lab.start_etcd()
    lab.configure(APART)
    hosts = lab.hosts(2, daemons=True)
    for host in hosts:
        host.daemon.wait_peers(1)
    return hosts


@pytest.mark.slow
def test_a_configuration_is_compared_by_its_meaning(lab, pair):
    daemon = pair[0].daemon
    lab.etcd.set_config(json.dumps(APART, indent=4) + "\n")
    stays(lambda: name(daemon)[0] is None, 2.5, "nothing to complain of")
    lab.configure({k.lower(): v for k, v in APART.items()})
    stays(lambda: name(daemon)[0] is None, 2.5, "nothing to complain of")
    lab.configure(APART | {"Backend": APART["Backend"] | {"VNI": 7}})
    text = becomes(daemon, "config-changed")
    assert "Backend.VNI" in text and f"restart flanneld to use it, this host keeps {daemon.subnet()}" in text
    lab.etcd.set_config("hello")
    assert "of no use" in becomes(daemon, "config-invalid")
    lab.etcd.delete("/coreos.com/network/config")
    becomes(daemon, "config-missing")
    lab.configure(CONFIG | {"Network": "10.9.0.0/16"})
    text = becomes(daemon, "config-renumbers")
    assert "Network is 10.9.0.0/16" in text and "restart flanneld to use it" not in text
    lab.configure(APART)
    becomes(daemon, None)


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        (json.dumps(CONFIG | {"Network": "10.9.0.0/16"}), "config-renumbers"),
        (json.dumps(APART | {"SubnetLen": 25}), "config-renumbers"),
        ("hello", "config-invalid"),
        (json.dumps(APART | {"Backend": {"Type": "pigeon"}}), "config-invalid"),
        (None, "config-missing"),
    ],
)
def test_a_restart_keeps_the_subnet_of_running_containers(lab, pair, config, problem):
    h1, h2 = pair
    subnets = [h.daemon.subnet() for h in pair]
    with lab.pinger(h1.container(), h2.container()) as pinger:
        if config is None:
            lab.etcd.delete("/coreos.com/network/config")
        else:
            lab.etcd.set_config(config)
        h1.daemon.restart()
        becomes(h1.daemon, problem)
        lab.wait_equal()
        # Also from disk alone, and again.
        h1.daemon.restart()
        becomes(h1.daemon, problem)
        h1.daemon.wait_status(lambda s: s["lease"]["state"] == "held")
    assert pinger.lost == 0, pinger.report()
    assert [h.daemon.subnet() for h in pair] == subnets
    lab.configure(APART)
    becomes(h1.daemon, None)


def test_a_released_host_is_renumbered(lab, pair):
    h1 = pair[0]
    lab.configure(CONFIG | {"Network": "10.9.0.0/16"})
    assert h1.daemon.stop() == 0
    h1.daemon.release()
    h1.daemon.start().wait_ready()
    assert h1.daemon.subnet().startswith("10.9.")
