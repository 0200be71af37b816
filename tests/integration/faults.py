# SPDX-License-Identifier: Apache-2.0
"""What every fault test does: containers talk all the time, a fault happens, status tells it, the fault ends.

    with Talking(lab, members=3) as t:
        t.etcd.members[0].kill()
        t.told("watch-lost")
        ...
    # on leaving: no ping lost, every kernel equals the store, every daemon says ok
"""

import time

import pytest

from etcd import PREFIX
from fabric import APART
from netns import wait_for
from ping import Pinger
from witness import made_up_lease

CONVERGED_S = 5  # store back -> every kernel equals it
SILENCE_S = 30  # a store that says nothing is noticed


def by_both(test):
    """The test by gRPC and by JSON, for what they might take differently."""
    each = pytest.mark.parametrize("transport", ["grpc", "json"], indirect=True)
    return pytest.mark.usefixtures("transport")(each(test))


# The same for all tests of a module; JSON's turn is in `make check-long`.
ALL_BY_BOTH = [
    pytest.mark.usefixtures("transport"),
    pytest.mark.parametrize("transport", ["grpc", pytest.param("json", marks=pytest.mark.long)], indirect=True),
]


class Talking:
    def __init__(self, lab, members=1, hosts=2, arguments=(), proxy=False, **flags):
        self.lab = lab
        self.etcd = lab.etcd or lab.start_etcd(members, arguments)
        self.flags = flags
        self.proxy = lab.proxy() if proxy else None
        if self.proxy:
            self.flags["etcd_endpoints"] = self.proxy.endpoint
        if not self.etcd.get(f"{PREFIX}/config"):
            lab.configure(APART)
        self.hosts = lab.hosts(hosts, daemons=True, **self.flags)
        self.containers = [host.container() for host in self.hosts]
        self.subnets = [host.daemon.subnet() for host in self.hosts]
        self.pinger = Pinger(
            [(a.namespace, b.address) for a in self.containers for b in self.containers if a is not b]
        )
        self.converge_s = CONVERGED_S
        self.made_up = 0

    @property
    def daemons(self):
        return [host.daemon for host in self.hosts]

    def __enter__(self):
        for daemon in self.daemons:
            daemon.wait_ok()
        self.pinger.__enter__()
        return self

    def __exit__(self, kind, *_):
        try:
            if kind is None:
                self.etcd.wait_healthy()  # from now on it is the daemons' turn
                self.well_again()
                self.wait_pings(50)
        finally:
            self.pinger.stop()
        if kind is None:
            assert self.pinger.lost == 0, self.pinger.report()
            assert [host.daemon.subnet() for host in self.hosts] == self.subnets, "nobody was renumbered"

    def all_on(self, member):
        """Every daemon uses this member from now on, as long as it answers."""
        order = [member, *(m for m in self.etcd.members if m is not member)]
        for daemon in self.daemons:
            daemon.flags["etcd_endpoints"] = ",".join(m.endpoint for m in order)
            daemon.restart()
            daemon.wait_ok()

    def wait_pings(self, each):
        """Until every flow sent so many more: a while, measured in what may be lost in it."""
        target = self.pinger.sent + each * len(self.pinger.flows)
        wait_for(lambda: self.pinger.sent >= target, 10 + each / 20, f"{each} pings more of each")

    def new_lease(self):
        """Another host appears in the store; every kernel must have it in the end."""
        key, value = made_up_lease(self.made_up + 1)
        self.etcd.put(PREFIX + key, value)
        # Only now: who tries until it is taken must not come to the subnets that hosts lease.
        self.made_up += 1
        return PREFIX + key

    def told(self, *names, deadline_s=SILENCE_S, daemons=None):
        """Every daemon's status says one of these, and the verdict is not ok. Returns the seconds it took."""
        began = time.monotonic()
        for daemon in daemons or self.daemons:
            left = max(deadline_s - (time.monotonic() - began), 0.1)
            status = daemon.wait_status(
                lambda s: {p["name"] for p in s["problems"]} & set(names), left, f"status says {' or '.join(names)}"
            )
            assert status["verdict"] == "degraded", status["verdict"]
            assert all(p["text"] for p in status["problems"])
        return time.monotonic() - began

    def well_again(self, deadline_s=None):
        """Kernel equals store and status says ok, on every host, soon after the fault has ended."""
        began = time.monotonic()
        deadline_s = deadline_s or self.converge_s
        self.lab.wait_equal(deadline_s, self.hosts)
        for daemon in self.daemons:
            daemon.wait_ok(max(deadline_s - (time.monotonic() - began), 0.5))
        return time.monotonic() - began
