#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures what the traffic rules cost: the guard's set of peers, one change of it, and packets with and without it.

Two hosts in network namespaces, with the same etcd, daemon and containers as in the integration tests. Figures are
only printed: machines differ, so nothing here fails for being slow.
"""

import argparse
import json
import os
import pathlib
import re
import socket
import statistics
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "integration"))

import fabric  # noqa: E402
from etcd import PREFIX  # noqa: E402
from netns import SLOWNESS, wait_for  # noqa: E402
from traffic import set_elements  # noqa: E402
from witness import lease_value, made_up_lease  # noqa: E402

CONFIG = {"Network": "10.0.0.0/8", "SubnetLen": 24, "Backend": {"Type": "vxlan"}}
TICK = os.sysconf("SC_CLK_TCK")


def cpu_ms(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) * 1000 / TICK


def memory_kib(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return {k: int(v) for k, v in re.findall(r"^(VmRSS|RssAnon):\s+(\d+)", status, re.M)}


def leases(count):
    pairs = [made_up_lease(number, "10.0.0.0/8") for number in range(1, count + 1)]
    return [(PREFIX + key, value) for key, value in pairs]


def start(host, count, **flags):
    """A fresh host's daemon: how long until it is ready, what that cost, and how long the table took."""
    daemon = host.make_daemon(**flags)
    begin = time.monotonic()
    daemon.start()
    daemon.wait_ready(60)
    elapsed = (time.monotonic() - begin) * 1000
    daemon.wait_peers(count, 60)
    table = re.search(r"rules-made: .*?([\d.]+) ms", daemon.log())
    return daemon, elapsed, cpu_ms(daemon.pid), float(table[1]) if table else 0.0


def latency(lab, host, count, value=lease_value):
    """From a put until the route is in the kernel, in ms. value: of a lease, by address and MAC."""
    samples = []
    with host.namespace.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as routes:
        routes.bind((0, 0x40))  # RTMGRP_IPV4_ROUTE
        routes.settimeout(10 * SLOWNESS)
        for number in range(count):
            subnet = f"10.254.{number}.0"
            written = value(f"198.18.0.{number + 1}", f"0e:01:00:00:00:{number:02x}")
            begin = time.monotonic()
            lab.etcd.put(f"{PREFIX}/subnets/{subnet}-24", written)
            # The notification of the route has its destination in it.
            while socket.inet_aton(subnet) not in routes.recv(1 << 16):
                pass
            samples.append((time.monotonic() - begin) * 1000)
    for number in range(count):
        lab.etcd.delete(f"{PREFIX}/subnets/10.254.{number}.0-24")
    return samples


def bench_set(sizes, puts):
    print("peers  guard   ready ms  cpu ms  table ms  put->route p50/p99 ms  back after flush ms   RSS/anon MiB")
    for size in sizes:
        for guard in (False, True):
            lab = fabric.Lab()
            try:
                bench_one_set(lab, size, puts, guard)
            finally:
                lab.close()


def bench_one_set(lab, size, puts, guard):
    lab.start_etcd()
    lab.configure(CONFIG)
    lab.etcd.put_many(leases(size))
    host = lab.host()
    daemon, elapsed, cpu, table = start(host, size, peer_guard=guard, anti_spoofing=guard, ip_masq=True)
    memory = memory_kib(daemon.pid)
    samples = sorted(latency(lab, host, puts))
    begin = time.monotonic()
    host.namespace.run("nft", "flush", "ruleset")
    wait_for(lambda: daemon.metric("flannel_rules_healed_total") == 1, 10, "put back")
    back = (time.monotonic() - begin) * 1000
    wait_for(lambda: len(set_elements(host, "fabric-peers")) >= (size if guard else 0), 10, "all peers are in")
    print(
        f"{size:5}  {'on ' if guard else 'off'}   {elapsed:9.0f} {cpu:7.0f} {table:9.1f}"
        f"  {statistics.median(samples):9.2f} /{samples[int(len(samples) * 0.99)]:7.2f}"
        f"  {back:18.0f}  {memory['VmRSS'] / 1024:10.1f} / {memory['RssAnon'] / 1024:.1f}",
        flush=True,
    )


def iperf(server, client, address, *options):
    process = server.popen("iperf3", "-s", "-1", "-B", address, stdout=-3, stderr=-3)
    try:
        wait_for(lambda: ":5201" in server.run("ss", "-Hltn"), 5, "iperf3 listens")
        result = json.loads(client.run("iperf3", "-c", address, "-J", *options, timeout=120))
        return result["end"]
    finally:
        process.kill()
        process.wait()


def bench_packets(peers, rounds, seconds):
    """Side by side, taking turns, so that a busy machine is busy for both."""
    print(f"\n{peers} peers in the set   TCP Gbit/s        UDP of 64 bytes, thousand packets/s received")
    lab = fabric.Lab()
    try:
        lab.start_etcd()
        lab.configure(CONFIG)
        lab.etcd.put_many(leases(peers))
        hosts = lab.hosts(2)
        for host in hosts:
            host.start_daemon(ready=False, ip_masq=True)
        for host in hosts:
            host.daemon.wait_peers(peers + 1, 60)
            host.daemon.wait_ready(60)
        c1, c2 = hosts[0].container(), hosts[1].container()
        found = {}
        for _ in range(rounds):
            for guard in (True, False):
                for host in hosts:
                    host.daemon.flags |= {"peer_guard": guard, "anti_spoofing": guard}
                    host.daemon.restart().wait_peers(peers + 1, 60)
                tcp = iperf(c2.namespace, c1.namespace, c2.address, "-t", seconds)
                udp = iperf(c2.namespace, c1.namespace, c2.address, "-u", "-b", "0", "-l", "64", "-t", seconds)
                received = udp["sum"]["packets"] - udp["sum"]["lost_packets"]
                found.setdefault(guard, []).append(
                    (tcp["sum_received"]["bits_per_second"] / 1e9, received / udp["sum"]["seconds"] / 1e3)
                )
        for guard in (False, True):
            tcp, udp = zip(*found[guard])
            print(
                f"guard {'on ' if guard else 'off'}            median {statistics.median(tcp):6.2f}"
                f" ({min(tcp):.2f}-{max(tcp):.2f})   {statistics.median(udp):6.0f} ({min(udp):.0f}-{max(udp):.0f})"
            )
    finally:
        lab.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="*", default=[100, 1000, 5000, 10000], help="numbers of peers")
    parser.add_argument("--puts", type=int, default=200, help="puts for the latency, at most 250")
    parser.add_argument("--rounds", type=int, default=5, help="of the packet measurements")
    parser.add_argument("--seconds", type=int, default=3, help="of each packet measurement")
    options = parser.parse_args()
    bench_set(options.sizes, min(options.puts, 250))
    if options.rounds:
        bench_packets(5000, options.rounds, options.seconds)


if __name__ == "__main__":
    main()
