# SPDX-License-Identifier: Apache-2.0
"""What is promised, looked at while the faults go on and when they are over. Nothing here asserts: `broken` collects."""

import ipaddress
import pathlib
import re
import time

import pytest
import witness

LIE_S = 30  # status may say ok for so long while the kernel differs
SETTLE_S = 90  # what was dropped within the last minute is a warning
MEMORY_GROWTH = 1.10
CONNECTIONS_KEPT = 2  # to the store, until they have been idle for long enough
LOG_LINES_PER_FAULT = 40
LOG_LINES_FREE = 200


def rss_kb(daemon):
    text = pathlib.Path(f"/proc/{daemon.pid}/status").read_text(encoding="ascii")
    return int(re.search(r"^VmRSS:\s+(\d+) kB", text, re.M)[1])


def descriptors(daemon):
    return len(list(pathlib.Path(f"/proc/{daemon.pid}/fd").iterdir()))


def stands_still(daemon):
    """Stopped by a signal, or not there."""
    if not daemon.running:
        return True
    return pathlib.Path(f"/proc/{daemon.pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()[0] in "TtZ"


class Promises:
    def __init__(self, world):
        self.world = world
        self.broken = []  # sentences
        self.leases = []  # as last seen
        self.lying_since = {}  # host name -> time, while its status says ok and its kernel differs
        self.looks = 0
        self.before = {}

    def breaks(self, promise, text):
        self.broken.append(f"{promise}: {text}")
        print(f"    BROKEN {self.broken[-1][:1500]}", flush=True)

    def difference(self, host):
        try:
            want = witness.wanted(self.leases, host.daemon.subnet())
        except (OSError, ValueError):
            return "no subnet.env"
        return witness.difference(want, witness.found(host.namespace, everywhere=False))

    def verdict(self, daemon):
        try:
            return daemon.status()["verdict"]
        except (OSError, AssertionError, ValueError) as e:
            return f"no status: {e}"

    def look(self):
        """One look at all hosts. True if every kernel equals the store and every daemon says ok."""
        self.looks += 1
        try:
            self.leases = self.world.etcd.leases()
            reachable = True
        except OSError:
            reachable = False
        well = [self._look_at(host) for host in self.world.hosts]
        self._single_owner()
        return reachable and all(well)

    def _look_at(self, host):
        daemon = host.daemon
        if stands_still(daemon):
            if not daemon.running and daemon.process.returncode not in (0, -9):
                self.breaks("P2", f"{daemon.name} ended with {daemon.process.returncode}: {daemon.log()[-600:]}")
                daemon.start()
            return False
        difference, verdict = self.difference(host), self.verdict(daemon)
        if not difference or verdict != "ok" or not self.world.witnessed:
            self.lying_since.pop(host.name, None)
            return not difference and verdict == "ok"
        since = self.lying_since.setdefault(host.name, time.monotonic())
        if time.monotonic() - since > LIE_S:
            self.breaks("P10", f"{host.name} says ok for {LIE_S} s, and {difference}")
            self.lying_since[host.name] = float("inf")  # told once, until it is right
        return False

    def _single_owner(self):
        """P1: no two hosts forward for overlapping subnets."""
        taken = {}
        for host in self.world.hosts:
            try:
                subnet = host.daemon.subnet()
            except (OSError, ValueError):
                continue
            for other, theirs in taken.items():
                if ipaddress.ip_network(subnet).overlaps(ipaddress.ip_network(theirs)):
                    self.breaks("P1", f"{host.name} and {other} have {subnet} and {theirs}")
            taken[host.name] = subnet

    def renumbered(self):
        for host, subnet in self.world.subnets.items():
            if host.daemon.subnet() != subnet:
                self.breaks("P2", f"{host.name} has {host.daemon.subnet()} and had {subnet}")
                self.world.subnets[host] = host.daemon.subnet()

    # ---- before and after

    def measure(self):
        return {d.name: (rss_kb(d), descriptors(d)) for d in self.world.daemons}

    def bounded(self, before, after, faults):
        """P9. Returns lines for the summary."""
        lines = []
        for daemon in self.world.daemons:
            (rss, fds), (rss_now, fds_now) = before[daemon.name], after[daemon.name]
            logged = daemon.log_file.read_bytes().count(b"\n")
            lines.append(
                f"{daemon.name}: RSS {rss} kB, then {rss_now} kB ({100 * rss_now / rss - 100:+.0f} %); descriptors {fds}, "
                f"then {fds_now}; {logged} log lines ({logged / max(faults, 1):.1f} a fault)"
            )
            if rss_now > rss * MEMORY_GROWTH:
                self.breaks("P9", f"memory grew: {lines[-1]}")
            if fds_now > fds + CONNECTIONS_KEPT:
                self.breaks("P9", f"descriptors grew: {lines[-1]}")
            if logged > LOG_LINES_FREE + faults * LOG_LINES_PER_FAULT:
                self.breaks("P9", f"too much is logged: {lines[-1]}")
        return lines

    def idempotent(self):
        """P5: a restart writes nothing, and the devices are the same."""
        for daemon in self.world.daemons:
            before = {d: (daemon.host.link(d)["ifindex"], daemon.host.vtep_mac(d)) for d in self.world.devices}
            try:
                daemon.restart()
                daemon.wait_ok(SETTLE_S)
            except (AssertionError, OSError, pytest.fail.Exception) as e:
                self.breaks("P5", f"{daemon.name}: {e}")
                continue
            writes = daemon.metric("flannel_netlink_writes_total")
            after = {d: (daemon.host.link(d)["ifindex"], daemon.host.vtep_mac(d)) for d in self.world.devices}
            if writes or before != after:
                self.breaks("P5", f"{daemon.name}: {writes:.0f} writes at a restart; {before}, then {after}")

    def foreign_untouched(self, before, after):
        """P7."""
        for host in self.world.hosts:
            for was, now in zip(before[host.name], after[host.name], strict=True):
                if was != now:
                    self.breaks("P7", f"{host.name}: had {was}, has {now}"[:1500])
