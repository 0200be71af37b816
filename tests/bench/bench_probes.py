#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures what it costs to ask peers that all answer, in the underlay and through the tunnel: beside the same with probes off.

One namespace answers as all of them: their addresses are local to it, and its VXLAN device takes frames for anybody's MAC.
Figures are only printed: machines differ, so nothing here fails for being slow.
"""

import argparse
import json
import subprocess
import sys

from bench import Daemon, begin_anew, context_switches, peer, put_to_route, reset_host, run, wait_for, world

GATEWAY = "203.0.113.1"  # must be nobody's, or the kernel takes it for our own
EVERYBODY = "table netdev crowd { chain everybody { type filter hook ingress device vx0 priority 0; meta pkttype set host; }; }"


def crowd(hub, host, d):
    """What answers as all peers."""
    subnet = json.loads(d.get("/v1/lease"))["lease"]["subnet"]
    mac = json.loads(run("ip", "-n", host.name, "-j", "link", "show", "flannel.1"))[0]["address"]
    for line in (
        "ip route replace local 198.18.0.0/15 dev lo",
        "ip route replace local 10.64.0.0/10 dev lo",
        "ip link add vx0 type vxlan id 1 dev eth0 local 198.18.0.1 dstport 8472 nolearning",
        "ip link set vx0 up",
        f"bridge fdb append {mac} dev vx0 dst 192.0.2.2",
        f"ip neigh replace {GATEWAY} lladdr {mac} dev vx0 nud permanent",
        f"ip route replace {subnet} via {GATEWAY} dev vx0 onlink",
    ):
        run("ip", "netns", "exec", hub.name, *line.split())
    subprocess.run(["ip", "netns", "exec", hub.name, "nft", "-f", "-"], input=EVERYBODY, text=True, check=True)


def all_pass(d):
    items = json.loads(d.get("/v1/mtu"))["items"]
    return items and all(i[way]["pathMTU"] == "ok" for i in items for way in ("underlay", "tunnel"))


def bench(etcd, host, directory, n, interval, seconds, puts):
    begin_anew(etcd, host, directory, map(peer, range(n)))
    d = Daemon(host, directory, f"--probe-interval={interval}")
    d.wait_ready()
    crowd(etcd.ns, host, d)
    if interval:
        wait_for(lambda: d.metrics()['flannel_peers_reach{family="ipv4",state="ok"}'] == n, 120, "all answer")
        asked = d.metrics()['flannel_probes_total{layer="underlay"}']
        wait_for(lambda: d.metrics()['flannel_probes_total{layer="underlay"}'] > asked + 2 * n, 240, "and were asked on")
    else:
        d.metrics()  # memory that this takes stays the daemon's
    before, switches = d.cpu(), context_switches(d)
    d.runs_for(seconds)
    used, switches = d.cpu() - before, context_switches(d) - switches
    what = f"each once in {interval} s" if interval else "off"
    print(f"  {n} peers, probes {what}: {100 * used / seconds:.3f} % of a core, {switches / seconds:.1f} wake-ups a second, "
          f"RssAnon {d.memory()['RssAnon']:.2f} MB", flush=True)
    # Not before: a document of all peers is larger than what is known of them, and its memory stays the daemon's.
    if interval and not all_pass(d):
        print("  (not all that is large has passed)")
    if puts:
        put_to_route(etcd, host, d, range(n, n + puts))
    d.stop()
    run("ip", "-n", etcd.ns.name, "link", "del", "vx0")
    reset_host(host)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peers", type=int, default=1000)
    parser.add_argument("--intervals", default="0,10")
    parser.add_argument("--seconds", type=int, default=120)
    parser.add_argument("--puts", type=int, default=1000, help="of further peers, one after the other")
    o = parser.parse_args()
    with world() as (etcd, host, directory):
        run("ip", "netns", "exec", host.name, "sysctl", "-qw", "net.ipv4.ping_group_range=0 0")
        for interval in o.intervals.split(","):
            bench(etcd, host, directory, o.peers, int(interval), o.seconds, o.puts)


if __name__ == "__main__":
    sys.exit(main())
