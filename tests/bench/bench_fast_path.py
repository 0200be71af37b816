#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures the fast path: packets and bytes between containers, with it on and off, taking turns in one run.

Two hosts in network namespaces, with the same daemons and containers as in the integration tests. Figures are only
printed: machines differ, so nothing here fails for being slow.
"""

import argparse
import pathlib
import socket
import statistics
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "integration"))

import fabric  # noqa: E402
import fast_path  # noqa: E402
import netns  # noqa: E402
from bench_traffic import iperf  # noqa: E402
from cni_support import Host as Plugin  # noqa: E402
from fabric import BUILD  # noqa: E402

BLAST = BUILD / "tests" / "blast"


def blast(receiver, sender, address, seconds):
    """UDP of 64 bytes: thousand packets a second that arrived."""
    inbox = receiver.popen(BLAST, "receive", address, "7200", str(seconds + 5), stdout=-1, text=True)
    try:
        netns.wait_for(lambda: ":7200" in receiver.run("ss", "-Hlun"), 5, "blast listens")
        sender.run(BLAST, "send", address, "7200", str(seconds), "64")
        return int(inbox.communicate(timeout=30)[0].split()[0]) / seconds / 1e3
    finally:
        inbox.kill()
        inbox.wait()


def cost(sender, receiver):
    """Processor time of a packet of 64 bytes on all of its way, in ns: see blast.c. Nobody reads what arrives."""
    with receiver.namespace.socket(socket.AF_INET, socket.SOCK_DGRAM) as inbox:
        inbox.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        inbox.bind((receiver.address, 9000))
        return float(sender.namespace.run(BLAST, "cost", receiver.address, 9000, 200000))


def attach(host, times=10):
    """The plugin's time for ADD, in ms."""
    took = []
    with Plugin(existing=host.namespace.name, subnet_file=host.daemon.subnet_file) as plugin:
        conf = plugin.flannel()
        for n in range(times):
            namespace = plugin.namespace()
            process = plugin.start("ADD", conf, namespace, id=f"a{n}")
            began = time.monotonic()
            assert plugin.finish(process).ok
            took.append((time.monotonic() - began) * 1e3)
            plugin.delete(conf, namespace, id=f"a{n}")
    return statistics.median(took)


def turn(hosts, mode):
    for host in hosts:
        host.daemon.flags["fast_path"] = mode
        host.daemon.restart().wait_peers(2)
    if mode == "on":
        fast_path.wait_on(*hosts)


def measure(c1, c2, c3, other, seconds):
    found = {"ADD, ms": attach(other)}
    for name, server in (("across hosts", c2), ("on one host", c3)):
        found[f"UDP {name}, ns"] = cost(c1, server)
        found[f"UDP {name}, kpps"] = blast(server.namespace, c1.namespace, server.address, seconds)
        tcp = iperf(server.namespace, c1.namespace, server.address, "-t", seconds)
        found[f"TCP {name}, Gbit/s"] = tcp["sum_received"]["bits_per_second"] / 1e9
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=int, default=2)
    options = parser.parse_args()
    netns.private_mounts()
    lab = fabric.Lab()
    try:
        lab.start_etcd()
        lab.configure()
        hosts = fast_path.start(lab, 3, ip_masq=True)  # the third one attaches containers
        c1, c3, c2 = hosts[0].container(), hosts[0].container(), hosts[1].container()
        fast_path.wait_known(c1, c2, c3)
        found = {"on": [], "auto": []}
        for _ in range(options.rounds):
            for mode, values in found.items():
                turn(hosts, mode)
                fast_path.wait_known(c1, c2, c3) if mode == "on" else None
                values.append(measure(c1, c2, c3, hosts[2], options.seconds))
        load = pathlib.Path("/proc/loadavg").read_text(encoding="ascii").split()[0]
        print(f"fast path                     on      off    ratio of medians, of turns (load {load})")
        for name in found["on"][0]:
            on, off = ([m[name] for m in found[mode]] for mode in ("on", "auto"))
            turns = sorted(a / b for a, b in zip(on, off))
            print(
                f"{name:24} {statistics.median(on):8.2f} {statistics.median(off):8.2f}"
                f"    {statistics.median(on) / statistics.median(off):.2f}"
                f"   {statistics.median(turns):.2f} ({turns[0]:.2f}-{turns[-1]:.2f})"
            )
    finally:
        lab.close()


if __name__ == "__main__":
    main()
