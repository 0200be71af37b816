#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures the udp backend against what it stands in for: a process that copies packets between TUN and UDP.

Two hosts with it, two with the process (tun_udp.c), one after the other, between containers: TCP, and packets of 64 bytes
from a sender on each processor.
Needs a kernel with ipip and fou, such as a guest's:

    make check-guest GUEST_COMMAND='python3 tests/bench/bench_udp.py'
"""

import argparse
import os
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "integration"))

import fabric  # noqa: E402
from bench_traffic import iperf  # noqa: E402
from netns import wait_for  # noqa: E402
from test_udp import UDP, Process  # noqa: E402

TO_REACH = 4.0
BLAST = fabric.BUILD / "tests" / "blast"


def measure(c1, c2, seconds):
    """Gigabits and thousands of packets a second that arrive, and that were sent."""
    tcp = iperf(c2.namespace, c1.namespace, c2.address, "-t", str(seconds))
    receiver = c2.namespace.popen(BLAST, "receive", c2.address, 5000, 5 * seconds, stdout=subprocess.PIPE, text=True)
    wait_for(lambda: ":5000" in c2.namespace.run("ss", "-Hlun"), 5, "it listens")
    # 64 bytes with the headers of IPv4 and UDP.
    line = (BLAST, "send", c2.address, 5000, seconds, 36)
    senders = [c1.namespace.popen(*line, stdout=subprocess.PIPE, text=True) for _ in range(os.cpu_count())]
    sent = sum(int(sender.communicate(timeout=60 + 5 * seconds)[0]) for sender in senders)
    arrived = int(receiver.communicate(timeout=60 + 5 * seconds)[0])
    return tcp["sum_received"]["bits_per_second"] / 1e9, arrived / seconds / 1e3, sent / seconds / 1e3


def in_the_kernel(lab):
    return [host.container() for host in lab.hosts(2, daemons=True)]


def by_a_process(lab):
    subnets = ["10.5.20.0/24", "10.5.21.0/24"]
    hosts = [lab.host() for _ in subnets]
    for mine, host in enumerate(hosts):
        Process(lab, host, {subnets[1 - mine]: hosts[1 - mine].address}, subnets[mine])
    environments = [{"FLANNEL_MTU": "1472", "FLANNEL_SUBNET": subnet.replace(".0/", ".1/")} for subnet in subnets]
    return [fabric.Container(host, 2, environment) for host, environment in zip(hosts, environments)]


def bench(seconds, runs):
    lab = fabric.Lab()
    try:
        lab.start_etcd()
        lab.configure(fabric.APART | UDP)
        pairs = {"kernel": in_the_kernel(lab), "process": by_a_process(lab)}
        print("udp           TCP Gbit/s   64-byte kpps   of sent")
        for _ in range(runs):
            results = {name: measure(*pair, seconds) for name, pair in pairs.items()}
            for name, (tcp, packets, sent) in results.items():
                print(f"{name:12}  {tcp:10.3f}   {packets:12.2f}   {sent:7.2f}")
            ratios = [ours / theirs for ours, theirs in zip(results["kernel"], results["process"])]
            print(f"{'ratio':12}  {ratios[0]:10.1f}   {ratios[1]:12.1f}   (to reach: {TO_REACH})", flush=True)
    finally:
        lab.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--seconds", type=int, default=10, help="for each figure")
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    bench(arguments.seconds, arguments.runs)


if __name__ == "__main__":
    main()
