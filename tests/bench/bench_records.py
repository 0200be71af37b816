#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures what the health records of many hosts cost etcd: real daemons, each in a namespace of its own.

First nothing happens; then something that every host has to tell, at once. Figures are only printed: machines differ, so
nothing here fails for being slow.
"""

import argparse
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time

from bench import BUILD, NAME, PREFIX, Etcd, NetNS, b64, run, setns

NETWORK = '{"Network":"10.64.0.0/10","SubnetLen":%d,"Backend":{"Type":"alloc"}}'
PUTS = "etcd_mvcc_put_total"
RENEWALS = "etcd_debugging_lease_renewed_total"
LOOK_S = 0.1


class Fleet:
    """Hosts on a bridge, which are ended together."""

    def __init__(self, hub, directory, count):
        self.hosts, self.processes, self.logs = [], [], open(f"{directory}/log", "w", encoding="utf-8")
        run("ip", "-n", hub.name, "link", "add", "br0", "type", "bridge")
        run("ip", "-n", hub.name, "addr", "add", "192.0.2.1/24", "dev", "br0")
        run("ip", "-n", hub.name, "link", "set", "br0", "up")
        run("ip", "-n", hub.name, "route", "add", "198.18.0.0/15", "dev", "br0")
        self.hub, self.directory = hub, directory
        for i in range(count):
            self.hosts.append(NetNS(f"{NAME}-h{i}"))

    def connect(self, i):
        host, address = self.hosts[i], f"198.18.{i // 250}.{i % 250 + 1}"
        port = f"p{i}"
        run("ip", "-n", self.hub.name, "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", host.name)
        run("ip", "-n", self.hub.name, "link", "set", port, "master", "br0", "up")
        run("ip", "-n", host.name, "addr", "add", address + "/15", "dev", "eth0")
        run("ip", "-n", host.name, "link", "set", "eth0", "up")
        run("ip", "-n", host.name, "route", "add", "default", "dev", "eth0")

    def start(self, i):
        there = self.hosts[i].fd()
        own = f"{self.directory}/h{i}"
        os.mkdir(own)
        self.processes.append(subprocess.Popen(
            [BUILD + "/flanneld", "--etcd-endpoints", "http://192.0.2.1:2379", "--state-dir", own, "--subnet-file",
             own + "/subnet.env", "--socket", own + "/sock", "--probe-interval", "0", "--iface", "eth0",
             "--node-name", f"h{i}"],
            stderr=self.logs, preexec_fn=lambda: setns(there)))
        os.close(there)

    def end(self):
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.wait()
        for host in self.hosts:
            host.delete()
        self.logs.close()


class Counters:
    """etcd's own, over time."""

    def __init__(self, etcd):
        self.conn = etcd.ns.connect("127.0.0.1", etcd.port)

    def read(self):
        self.conn.request("GET", "/metrics")
        lines = self.conn.getresponse().read().decode().splitlines()
        return {name: float(line.split()[1]) for line in lines for name in (PUTS, RENEWALS) if line.startswith(name + " ")}

    def over(self, seconds):
        """What was counted in that time, and the most puts within one second of it."""
        first, seen = self.read(), []
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            now = self.read()
            seen.append((time.monotonic(), now[PUTS]))
            select.select([], [], [], LOOK_S)
        most = 0
        for at, puts in seen:
            before = [p for when, p in seen if at - 1 <= when <= at]
            most = max(most, puts - before[0])
        return now[PUTS] - first[PUTS], now[RENEWALS] - first[RENEWALS], most


def records(etcd):
    end = PREFIX + "/health0"
    return int(etcd.call("kv/range", {"key": b64(PREFIX + "/health/"), "range_end": b64(end), "count_only": True}).get("count", 0))


def wait_records(etcd, count, seconds):
    end = time.monotonic() + seconds
    while (have := records(etcd)) < count:
        assert time.monotonic() < end, f"{have} of {count} records"
        select.select([], [], [], 1)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hosts", type=int, default=1000, help="1023 at most: a bridge has no more ports")
    parser.add_argument("--seconds", type=int, default=120)
    o = parser.parse_args()
    directory = tempfile.mkdtemp(prefix=NAME)
    hub = NetNS(NAME + "-etcd")
    fleet = etcd = None
    try:
        fleet = Fleet(hub, directory, o.hosts)
        etcd = Etcd(hub, directory)
        etcd.put(PREFIX + "/config", NETWORK % 24)
        for i in range(o.hosts):
            fleet.connect(i)
            fleet.start(i)
        wait_records(etcd, o.hosts, 60 + o.hosts / 4)
        counters = Counters(etcd)
        counters.over(o.hosts / 20 + 30)  # what they had to tell of each other's coming
        cpu = etcd.cpu()
        puts, renewals, _ = counters.over(o.seconds)
        print(f"{o.hosts} hosts, nothing happens for {o.seconds} s: {puts:.0f} writes, {renewals / o.seconds:.1f} leases a second "
              f"prolonged, etcd {100 * (etcd.cpu() - cpu) / o.seconds:.1f} % of a core", flush=True)
        cpu = etcd.cpu()
        etcd.put(PREFIX + "/config", NETWORK % 25)
        puts, _, most = counters.over(o.seconds)
        print(f"all of them have something to tell at once: {puts - 1:.0f} writes in {o.seconds} s, {most:.0f} within one second at "
              f"most, etcd {100 * (etcd.cpu() - cpu) / o.seconds:.1f} % of a core", flush=True)
    finally:
        if fleet:
            fleet.end()
        if etcd:
            etcd.stop()
        hub.delete()
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
