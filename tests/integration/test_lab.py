# SPDX-License-Identifier: Apache-2.0
"""The instruments themselves: each must be able to show what it is there to show."""

import pathlib
import subprocess
import sys

import pytest

import netns
from netns import Namespace, unique_prefix, wait_for

HERE = pathlib.Path(__file__).parent


@pytest.mark.parametrize("members", [1, 3])
def test_etcd_keeps_what_it_is_given(lab, members):
    etcd = lab.start_etcd(members)
    etcd.put("/a/x", "1")
    etcd.put_many((f"/b/{n}", str(n)) for n in range(300))
    assert etcd.get("/a/x").value == "1"
    assert len(etcd.list("/b/")) == 300
    etcd.restart()
    assert len(etcd.list("/b/")) == 300
    leader, follower = etcd.leader()
    assert leader and (follower is None) == (members == 1)
    etcd.wipe()
    assert etcd.get("/a/x") is None


def test_etcd_with_certificates(lab):
    etcd = lab.start_etcd(tls=lab.certificates())
    etcd.put("/a", "b")
    assert etcd.get("/a").value == "b"


def test_underlay_keeps_its_address_when_hosts_come(lab):
    """A bridge that took the lowest address of its ports would be lost for those that know the former one."""

    def gateway():
        return lab.underlay.ip("link", "show", "br0")[0]["address"]

    before = gateway()
    for number, mac in enumerate(("02:00:00:00:00:33", "02:00:00:00:00:44", "02:00:00:00:00:02"), 1):
        lab.plug(f"h{number}", f"192.0.2.{number}", f"link set eth0 address {mac}")
        lab.underlay.ip_do(f"link set h{number} address {mac}")
        assert gateway() == before


def test_pinger_counts_lost_packets(lab, fabric3):
    h1, h2, _ = fabric3
    c1, c2 = h1.container(), h2.container()
    with lab.pinger(c1, c2) as pinger:
        h2.namespace.ip_do("link set eth0 down")
        before = pinger.sent
        wait_for(lambda: pinger.sent >= before + 20, 5, "20 more pings are sent")
        h2.namespace.ip_do("link set eth0 up")
    assert 18 <= pinger.lost < pinger.sent
    assert "lost" in pinger.report()


def test_comparison_notices_each_kind_of_difference(lab, fabric3):
    h1 = fabric3[0]
    h1.daemon.kill()
    lab.wait_equal()
    monitor = h1.monitor()
    h1.namespace.ip_do("neigh add 10.5.250.0 lladdr 0e:00:00:00:00:01 nud permanent dev flannel.1")
    h1.namespace.bridge_do("fdb add 0e:00:00:00:00:02 dev flannel.1 dst 192.0.2.9 self permanent")
    h1.namespace.ip_do("route add 10.5.251.0/24 dev flannel.1 proto 102")
    h1.namespace.ip_do("route del %s dev flannel.1" % fabric3[1].daemon.subnet())
    with pytest.raises(pytest.fail.Exception) as failure:
        lab.wait_equal(0, [h1])
    assert "1 missing" in str(failure.value) and "3 that should not be there" in str(failure.value)
    kinds = {kind for kind, _, _ in monitor.tunnel_events()}
    assert kinds == {"neighbour or FDB", "route", "route deleted"}


def test_namespaces_of_a_dead_run_are_swept_and_others_stay():
    mine = Namespace(f"{unique_prefix()}-mine")
    dead = Namespace("f4194399x000000-left")  # above the highest process id there can be by default
    try:
        netns.sweep()
        assert mine.path.exists() and not dead.path.exists()
    finally:
        mine.delete()
        dead.delete()


LAB = """
import sys, netns
namespace = netns.Namespace(f"{netns.unique_prefix()}-short")
netns.temporary_directory()
print(namespace.name, namespace.popen("sleep", "300").pid, flush=True)
sys.stdin.read()
"""


def test_a_killed_run_leaves_nothing():
    run = subprocess.Popen([sys.executable, "-c", LAB], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=HERE)
    name, sleeper = run.stdout.readline().split()
    run.kill()
    traces = [pathlib.Path("/run/netns", name), pathlib.Path("/proc", sleeper)]
    traces += netns.temporary_root().glob(f"fabric-{run.pid}-*")
    assert len(traces) == 3
    # Nobody waits for it yet: it is there still, as a zombie, and must not be taken for alive.
    wait_for(lambda: not any(path.exists() for path in traces), 10, f"{traces} are gone")
    run.communicate()
