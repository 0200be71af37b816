#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures a start with 50000 leases, while the status is asked for all the time, and what 500 hosts that watch cost etcd.

Figures are only printed: machines differ, so nothing here fails for being slow.
"""
import argparse
import os
import sys
import threading
import time

from bench import PREFIX, Daemon, RouteWatch, b64, begin_anew, peer, reset_host, store_watch, wait_for, world


def small_peer(i):
    """Lease number i where a subnet has 62 addresses: key, value."""
    _, value, *_ = peer(i)
    address = (10 << 24) + (64 << 16) + 64 * i
    return f"{PREFIX}/subnets/{'.'.join(str(address >> s & 255) for s in (24, 16, 8, 0))}-26", value


def slowest_answer(d, until):
    """What the status takes at most, asked again and again until then."""
    slowest = 0
    while not until.is_set():
        start = time.monotonic()
        try:
            d.get("/v1/status")
        except OSError:  # it does not listen yet
            continue
        slowest = max(slowest, time.monotonic() - start)
    return slowest


def bench_large(etcd, ns, directory, n):
    """As many leases as are allowed, or nearly."""
    config = etcd.call("kv/range", {"key": b64(PREFIX + "/config")})["kvs"][0]["value"]
    etcd.put(PREFIX + "/config", '{"Network":"10.0.0.0/8","SubnetLen":26,"SubnetMax":"10.63.255.192","Backend":{"Type":"vxlan"}}')
    begin_anew(etcd, ns, directory, map(small_peer, range(n)))
    watch = RouteWatch(ns)
    d = Daemon(ns, directory)
    there, slowest = threading.Event(), []
    asks = threading.Thread(target=lambda: slowest.append(slowest_answer(d, there)))
    asks.start()
    took = watch.wait_for(n) - d.started
    there.set()
    asks.join()
    watch.close()
    wait_for(lambda: d.metrics()["flannel_ready"] == 1, 60, "the daemon is ready")
    print(f"  {n:6d} leases: in the kernel after {took:.3f} s, CPU {d.metrics()['process_cpu_seconds_total']:.3f} s, "
          f"peak RSS {d.memory()['VmHWM']:.1f} MB; status meanwhile within {1000 * slowest[0]:.0f} ms", flush=True)
    d.stop()
    etcd.delete_prefix(PREFIX + "/subnets/")
    etcd.call("kv/put", {"key": b64(PREFIX + "/config"), "value": config})
    os.unlink(f"{directory}/subnet.env")
    reset_host(ns)


def bench_watches(etcd, ns, directory, watches, changes):
    """What so many hosts that watch cost the server."""
    etcd.delete_prefix(PREFIX + "/subnets/")
    before = etcd.rss()
    processes = [store_watch(ns, directory, stdout=open(f"{directory}/watch{i}", "w")) for i in range(watches)]

    def lines(i):
        with open(f"{directory}/watch{i}", encoding="utf-8") as f:
            return f.read().count("\n")

    try:
        wait_for(lambda: all(lines(i) >= 2 for i in range(watches)), 120, "all are live")
        held, cpu = etcd.rss(), etcd.cpu()
        for i in range(changes):
            etcd.put(*peer(i)[:2])
        wait_for(lambda: all(lines(i) >= 2 + changes for i in range(watches)), 300, "all have heard of all")
        print(f"  {watches} that watch: {held - before:.1f} MB more of etcd; {changes} changes: {etcd.cpu() - cpu:.2f} s "
              f"CPU of etcd, its RSS then {etcd.rss():.1f} MB", flush=True)
    finally:
        for process in processes:
            process.kill()
            process.wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--leases", type=int, default=50000)
    parser.add_argument("--watches", type=int, default=500)
    parser.add_argument("--changes", type=int, default=1000)
    parser.add_argument("--transports", default="grpc,json", help="how to speak with etcd, one after the other")
    o = parser.parse_args()
    with world() as (etcd, host, directory):
        for transport in o.transports.split(","):
            os.environ["FLANNELD_ETCD_TRANSPORT"] = transport
            print(f"by {transport}:")
            bench_large(etcd, host, directory, o.leases)
            bench_watches(etcd, host, directory, o.watches, o.changes)


if __name__ == "__main__":
    sys.exit(main())
