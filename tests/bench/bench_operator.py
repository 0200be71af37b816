#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures how long fabricctl takes to show a fabric of many peers, from its start to its end.

Figures are only printed: machines differ, so nothing here fails for being slow.
"""

import argparse
import resource
import statistics
import subprocess
import sys
import time

from bench import BUILD, Daemon, begin_anew, peer, reset_host, run, world

LINES = (["version"], ["status"], ["subnets"], ["subnets", "-o", "json"], ["peers"], ["peers", "-o", "json"], ["mtu"])


def cost(host, d, line):
    """Seconds until its end; processor time of it, and of the daemon."""
    argv = ["ip", "netns", "exec", host.name, BUILD + "/fabricctl", *line, "--socket", d.socket]
    before, daemon, start = resource.getrusage(resource.RUSAGE_CHILDREN), d.cpu(), time.monotonic()
    done = subprocess.run(argv, capture_output=True, check=False)
    took, after = time.monotonic() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode in (0, 3) and done.stdout, done
    return took, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, d.cpu() - daemon


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peers", type=int, default=5000)
    parser.add_argument("--times", type=int, default=15)
    o = parser.parse_args()
    with world() as (etcd, host, directory):
        run("ip", "netns", "exec", host.name, "sysctl", "-qw", "net.ipv4.ping_group_range=0 0")
        begin_anew(etcd, host, directory, map(peer, range(o.peers)))
        d = Daemon(host, directory)
        d.wait_ready()
        print(f"{o.peers} peers, medians of {o.times}:")
        for line in LINES:
            costs = [cost(host, d, line) for _ in range(o.times)]
            took, client, _ = (1000 * statistics.median(column) for column in zip(*costs))
            daemon = 1000 * statistics.mean(c[2] for c in costs)  # it is counted in ticks of 10 ms
            print(f"  fabricctl {' '.join(line):16} {took:6.1f} ms; processor: {client:5.1f} ms, the daemon's {daemon:5.1f} ms", flush=True)
        print(f"  the daemon afterwards: RSS {d.memory()['VmRSS']:.1f} MB")
        d.stop()
        reset_host(host)


if __name__ == "__main__":
    sys.exit(main())
