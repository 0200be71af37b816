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
BLAST = fabric.BUILD / "tests" / "blast"
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


def latency(lab, host, count, value=lease_value, first=0):
    """From a put until the route is in the kernel, in ms. value: of a lease, by address and MAC; `first`: number of its subnet."""
    samples = []
    with host.namespace.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as routes:
        routes.bind((0, 0x40))  # RTMGRP_IPV4_ROUTE
        routes.settimeout(10 * SLOWNESS)
        for number in range(first, first + count):
            subnet = f"10.254.{number}.0"
            written = value(f"198.18.0.{number + 1}", f"0e:01:00:00:00:{number:02x}")
            begin = time.monotonic()
            lab.etcd.put(f"{PREFIX}/subnets/{subnet}-24", written)
            # The notification of the route has its destination in it.
            while socket.inet_aton(subnet) not in routes.recv(1 << 16):
                pass
            samples.append((time.monotonic() - begin) * 1000)
    for number in range(first, first + count):
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


# ---- all our rules against those of others


def forward_only(host):
    """Two forward accepts, and nothing else."""
    return """table inet mine {
    chain forward { type filter hook forward priority filter; policy accept;
        ip saddr 10.0.0.0/8 accept
        ip daddr 10.0.0.0/8 accept
    }
}
"""


def flannel_rules(host):
    """What flannel v0.28.9 makes with EnableNFTables and --ip-masq: two tables, whatever families there are."""
    subnet = host.subnet_of_file()
    return f"""table ip flannel-ipv4 {{
    chain forward {{ type filter hook forward priority filter; policy accept;
        ip saddr 10.0.0.0/8 accept
        ip daddr 10.0.0.0/8 accept
    }}
    chain postrtg {{ type nat hook postrouting priority srcnat; policy accept;
        meta mark 0x4000 return
        ip saddr {subnet} ip daddr 10.0.0.0/8 return
        ip saddr 10.0.0.0/8 ip daddr {subnet} return
        ip saddr != {subnet} ip daddr 10.0.0.0/8 return
        ip saddr 10.0.0.0/8 ip daddr != 224.0.0.0/4 masquerade fully-random
        ip saddr != 10.0.0.0/8 ip daddr 10.0.0.0/8 masquerade fully-random
    }}
}}
table ip6 flannel-ipv6 {{
    chain forward {{ type filter hook forward priority filter; policy accept; }}
    chain postrtg {{ type nat hook postrouting priority srcnat; policy accept; }}
}}
"""


def flannel_iptables(host):
    """The same without EnableNFTables, which is flannel's default: for iptables-restore."""
    subnet = host.subnet_of_file()
    masq, fwd = '-m comment --comment "flanneld masq"', '-m comment --comment "flanneld forward"'
    return f"""*nat
:FLANNEL-POSTRTG - [0:0]
-A POSTROUTING {masq} -j FLANNEL-POSTRTG
-A FLANNEL-POSTRTG -m mark --mark 0x4000/0x4000 {masq} -j RETURN
-A FLANNEL-POSTRTG -s {subnet} -d 10.0.0.0/8 {masq} -j RETURN
-A FLANNEL-POSTRTG -s 10.0.0.0/8 -d {subnet} {masq} -j RETURN
-A FLANNEL-POSTRTG ! -s 10.0.0.0/8 -d {subnet} {masq} -j RETURN
-A FLANNEL-POSTRTG -s 10.0.0.0/8 ! -d 224.0.0.0/4 {masq} -j MASQUERADE --random-fully
-A FLANNEL-POSTRTG ! -s 10.0.0.0/8 -d 10.0.0.0/8 {masq} -j MASQUERADE --random-fully
COMMIT
*filter
:FLANNEL-FWD - [0:0]
-A FORWARD {fwd} -j FLANNEL-FWD
-A FLANNEL-FWD -s 10.0.0.0/8 {fwd} -j ACCEPT
-A FLANNEL-FWD -d 10.0.0.0/8 {fwd} -j ACCEPT
COMMIT
"""


class Rules:
    """The rules of both hosts in several states, each of which is put there as a whole. No daemon runs."""

    def __init__(self, hosts):
        self.hosts = hosts
        self.states = {name: [] for name in ("none", "two accepts", "flannel", "flannel, iptables")}
        self.lines = {}
        for host in hosts:
            self.states["none"].append("")
            self.states["two accepts"].append(forward_only(host))
            self.states["flannel"].append(flannel_rules(host))
            self.states["flannel, iptables"].append(None)

    def keep(self, name, **flags):
        """Ours, as the daemons make them with these flags."""
        self.states[name] = []
        for host in self.hosts:
            host.namespace.run("nft", "flush", "ruleset")
            host.daemon.flags |= flags
            host.daemon.start().wait_ready(60)
            host.daemon.wait_peers(1, 60)
            host.daemon.wait_status(lambda s: s["traffic"]["ok"])
            host.daemon.kill()
            self.states[name].append(host.namespace.run("nft", "list", "table", "inet", "flannel.1"))

    def put(self, name):
        for host, text in zip(self.hosts, self.states[name]):
            host.namespace.nft("flush ruleset\n" + (text or ""))
            if text is None:
                host.namespace.run("iptables-restore", input=flannel_iptables(host))
        self.check(name)

    def check(self, name):
        """That it is this state, and was: as many lines as when it was first put there, on each host."""
        counts = [len(host.namespace.run("nft", "list", "ruleset").splitlines()) for host in self.hosts]
        assert self.lines.setdefault(name, counts) == counts, f"{name}: {self.lines[name]} lines, now {counts}"


def compare(rules, names, measure, rounds):
    """Medians of the ratios to each other state, each of a pair that was measured one right after the other."""
    found = {name: [] for name in names}
    for number in range(rounds):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            rules.put(name)
            found[name].append(measure())
            rules.check(name)
    first = names[0]
    for name in names:
        ratio = statistics.median(b / a for a, b in zip(found[first], found[name]))
        print(f"    {name:22} {statistics.median(found[name]):8.0f} ns, lowest {min(found[name]):6.0f}; {first} is {ratio:.3f} times as fast")


def bench_rules(rounds, packets):
    lab = fabric.Lab()
    try:
        lab.start_etcd()
        lab.configure(CONFIG)
        hosts = lab.hosts(2)
        for host in hosts:
            host.start_daemon(ready=False, ip_masq=True)
        for host in hosts:
            host.daemon.wait_ready(60)
            host.daemon.wait_peers(1, 60)
        c1, c2 = hosts[0].container(), hosts[1].container()
        for host in hosts:
            host.daemon.kill()
        rules = Rules(hosts)
        rules.keep("ours")
        rules.keep("ours, tracked", tunnel_notrack=False)
        rules.keep("ours, no masquerade", tunnel_notrack=True, ip_masq=False)
        with c2.namespace.socket(socket.AF_INET, socket.SOCK_DGRAM) as inbox:
            # Nobody reads: what arrives is dropped there, in each state alike.
            inbox.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            inbox.bind((c2.address, 9000))

            def cost(how="cost"):
                return float(c1.namespace.run(BLAST, how, c2.address, 9000, packets))

            def round_trip():
                text = c1.namespace.run("ping", "-q", "-f", "-c", packets // 8, c2.address)
                return float(text.rsplit("= ", 1)[1].split("/")[1]) * 1e6

            print(f"\nload {os.getloadavg()[0]:.1f}; a packet of 64 bytes, container to container")
            compare(rules, ["ours, no masquerade", "two accepts", "none"], cost, rounds)
            compare(rules, ["ours", "flannel", "flannel, iptables", "ours, tracked"], cost, rounds)
            print("  each in a new flow")
            compare(rules, ["ours", "ours, tracked", "flannel"], lambda: cost("flows"), rounds)
            print("  round trips")
            compare(rules, ["ours", "flannel", "flannel, iptables"], round_trip, rounds)
            print(f"load {os.getloadavg()[0]:.1f}")
    finally:
        lab.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="*", default=[100, 1000, 5000, 10000], help="numbers of peers")
    parser.add_argument("--puts", type=int, default=200, help="puts for the latency, at most 250")
    parser.add_argument("--rounds", type=int, default=5, help="of the packet measurements")
    parser.add_argument("--pairs", type=int, default=15, help="of the comparison with rules of others")
    parser.add_argument("--packets", type=int, default=6400, help="in each measurement of it")
    parser.add_argument("--seconds", type=int, default=3, help="of each packet measurement")
    options = parser.parse_args()
    if options.sizes:
        bench_set(options.sizes, min(options.puts, 250))
    if options.pairs:
        bench_rules(options.pairs, options.packets)
    if options.rounds:
        bench_packets(5000, options.rounds, options.seconds)


if __name__ == "__main__":
    main()
