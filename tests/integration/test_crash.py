# SPDX-License-Identifier: Apache-2.0
"""SIGKILL at any moment: the next start makes the kernel what the store says, and nothing was lost on the way."""

import random

import pytest

from etcd import PREFIX
from netns import wait_for
from witness import made_up_lease

# Hosts choose above the subnets of made-up peers.
BIG = {"Network": "10.0.0.0/12", "SubnetMin": "10.15.0.0", "Backend": {"Type": "vxlan"}}


def leases(first, last):
    return [(PREFIX + key, value) for key, value in (made_up_lease(n, "10.0.0.0/12") for n in range(first, last))]


@pytest.mark.parametrize("seed", range(3))
def test_killed_while_it_starts(lab, seed):
    dice = random.Random(seed)
    lab.start_etcd()
    lab.configure()
    (other,) = lab.hosts(1, daemons=True)
    host = lab.host()
    daemon = host.make_daemon()
    for _ in range(8):
        daemon.start().kill_after(dice.uniform(0, 0.06))
    daemon.start().wait_ready()
    lab.wait_equal()
    # However often it was killed between asking and knowing, it holds one subnet.
    assert len(lab.etcd.leases()) == 2
    other.daemon.wait_peers(1)


@pytest.mark.parametrize("seed", range(3))
def test_killed_while_it_takes_in_2000_leases(lab, seed):
    dice = random.Random(seed)
    etcd = lab.start_etcd()
    lab.configure(BIG)
    etcd.put_many(leases(0, 2000))
    host = lab.host()
    daemon = host.make_daemon()
    for turn in range(4):
        daemon.start().kill_after(dice.uniform(0.02, 0.25))
        # The world goes on meanwhile: some leave, some come.
        etcd.delete_many(key for key, _ in leases(turn * 50, turn * 50 + 50))
        etcd.put_many(leases(2000 + turn * 20, 2000 + turn * 20 + 20))
    daemon.start().wait_ready()
    lab.wait_equal()
    daemon.wait_peers(2000 - 200 + 80)


@pytest.mark.parametrize("seed", range(2))
def test_killed_while_leases_come_and_go(lab, seed):
    dice = random.Random(seed)
    etcd = lab.start_etcd()
    lab.configure(BIG)
    host = lab.host()
    daemon = host.start_daemon()
    for _ in range(5):
        for _ in range(dice.randrange(1, 12)):
            first = dice.randrange(0, 900)
            if dice.random() < 0.5:
                etcd.put_many(leases(first, first + 100))
            else:
                etcd.delete_many(key for key, _ in leases(first, first + 100))
        daemon.kill()
        daemon.start()
    daemon.wait_ready()
    lab.wait_equal()


def test_killed_in_steady_state_loses_no_packet(lab, fabric3):
    h1, h2, _ = fabric3
    c1, c2 = h1.container(), h2.container()
    before, subnet = h1.link(), h1.daemon.subnet()
    dice = random.Random(1)
    with lab.pinger(c1, c2) as pinger:
        for _ in range(5):
            h1.daemon.kill()
            at = pinger.sent
            wait_for(lambda at=at: pinger.sent > at + dice.randrange(2, 20), 5, "pings without a daemon")
            h1.daemon.start().wait_ready()
            h1.daemon.wait_peers(2)
            assert h1.daemon.metric("flannel_netlink_writes_total") == 0
    assert pinger.lost == 0, pinger.report()
    assert h1.daemon.subnet() == subnet
    assert h1.link()["ifindex"] == before["ifindex"]
    lab.wait_equal()


def test_killed_while_the_device_is_being_healed(lab, fabric3):
    h1 = fabric3[0]
    dice = random.Random(2)
    for _ in range(5):
        h1.namespace.ip_do("link del flannel.1")
        h1.daemon.kill_after(dice.uniform(0, 0.02))
        h1.daemon.start().wait_ready()
        h1.daemon.wait_peers(2)
    lab.wait_equal()
