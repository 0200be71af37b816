#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures the backends beside each other: start with many peers, memory, a put until the route, a restart under pings.

Two hosts in network namespaces, with the same etcd, daemon and containers as in the integration tests; the other peers
are leases. Last, wireguard against `wg setconf` with the same peers. What this kernel lacks is left out: in a guest

    make check-guest GUEST_COMMAND="python3 tests/bench/bench_backends.py"

has all. Figures are only printed: machines differ, so nothing here fails for being slow.
"""

import argparse
import base64
import hashlib
import json
import pathlib
import statistics
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "integration"))

import fabric  # noqa: E402
import ipsec  # noqa: E402
import wireguard  # noqa: E402
from bench_traffic import cpu_ms, latency, memory_kib  # noqa: E402
from etcd import PREFIX  # noqa: E402
from netns import wait_for  # noqa: E402
from test_ipip import kernel_has_ipip  # noqa: E402
from witness import lease_value, made_up_lease  # noqa: E402

NETWORK = {"Network": "10.0.0.0/8", "SubnetLen": 24, "SubnetMin": "10.255.0.0", "SubnetMax": "10.255.255.0"}
PATIENCE_S = 120
UNTYPED = ("udp",)
KEYS = {"ipsec": {"PSK": ipsec.PSK}}


def missing(backend):
    if backend in ("ipip", "udp") and not kernel_has_ipip():
        return "no ipip"
    if backend == "wireguard" and not wireguard.kernel_has_wireguard():
        return "no WireGuard"
    return ipsec.missing() if backend == "ipsec" else None


def value_of(backend, address, mac, key):
    """Of a lease, as that backend writes it."""
    if backend == "vxlan":
        return lease_value(address, mac)
    value = {"PublicIP": address, "PublicIPv6": None} | ({} if backend in UNTYPED else {"BackendType": backend})
    if backend == "wireguard":
        value["BackendData"] = {"PublicKey": base64.b64encode(hashlib.sha256(key.encode()).digest()).decode(), "Port": 51820}
    return json.dumps(value, separators=(",", ":"))


def lease(backend, number):
    """(key, value) of a host that does not exist."""
    key, value = made_up_lease(number, NETWORK["Network"])
    written = json.loads(value)
    return PREFIX + key, value_of(backend, written["PublicIP"], written["BackendData"]["VtepMAC"], str(number))


def make_daemon(backend, host):
    if backend == "ipsec":
        return ipsec.make_daemon(host)
    return wireguard.make_daemon(host) if backend == "wireguard" else host.make_daemon()


def timed(function, *arguments):
    begin = time.monotonic()
    function(*arguments)
    return (time.monotonic() - begin) * 1000


def programmed(daemon, count):
    daemon.wait_listening(PATIENCE_S)
    daemon.wait_ready(PATIENCE_S)
    daemon.wait_peers(count, PATIENCE_S)


def start(daemon, count):
    """Until all peers are in the kernel: ms, and CPU ms of the daemon."""
    elapsed = timed(lambda: programmed(daemon.start(), count))
    return elapsed, cpu_ms(daemon.pid)


def restart_under_pings(lab, hosts, peers, rate):
    """(sent, lost) while one of the two daemons is restarted and killed."""
    containers = [host.container() for host in hosts]
    with lab.pinger(*containers, rate=rate) as pinger:

        def enough():
            target = pinger.sent + rate
            wait_for(lambda: pinger.sent >= target, 60, "pings")

        enough()
        hosts[0].daemon.stop()
        start(hosts[0].daemon, peers)
        enough()
        hosts[0].daemon.kill()
        start(hosts[0].daemon, peers)
        enough()
    return pinger.sent, pinger.lost


def measure(lab, backend, peers, puts, rate):
    lab.start_etcd()
    lab.configure(NETWORK | {"Backend": {"Type": backend} | KEYS.get(backend, {})})
    lab.etcd.put_many(lease(backend, number) for number in range(1, peers + 1))
    hosts = lab.hosts(2)
    for host in hosts:
        make_daemon(backend, host)
        # On the link, as host-gw wants peers to be.
        host.namespace.ip_batch(f"route add {net} dev eth0" for net in ("198.18.0.0/16", "198.51.0.0/16"))
    first, second = (host.daemon for host in hosts)
    second.start()
    programmed(second, peers)
    begun, begun_cpu = start(first, peers + 1)
    second.wait_peers(peers + 1, PATIENCE_S)
    memory = memory_kib(first.pid)["RssAnon"]
    first.stop()
    again, again_cpu = start(first, peers + 1)
    writes = first.metric("flannel_netlink_writes_total")
    put, routes = "      - /      -", None
    if backend != "wireguard":  # it has one route for all
        routes = sorted(latency(lab, hosts[0], puts, lambda address, mac: value_of(backend, address, mac, "")))
        put = f"{statistics.median(routes):7.2f} /{routes[int(len(routes) * 0.99)]:7.2f}"
    pings = "no ESP here"
    if backend != "ipsec" or ipsec.kernel_has_esp():
        pings = "{1} of {0}".format(*restart_under_pings(lab, hosts, peers + 1, rate))
    print(
        f"{backend:10} {begun:9.0f} {begun_cpu:7.0f} {again:9.0f} {again_cpu:7.0f} {writes:7.0f} {memory / 1024:9.2f}"
        f"   {put}   {pings}",
        flush=True,
    )
    return memory, statistics.median(routes) if routes else None


def bench_backends(backends, peers, puts, rate):
    print(f"{peers} peers     start ms     CPU     again     CPU  writes  RssAnon MiB   put->route p50/p99 ms   pings lost")
    results = {}
    for backend in backends:
        reason = missing(backend)
        if reason:
            print(f"{backend:10} left out: {reason}")
            continue
        lab = fabric.Lab()
        try:
            results[backend] = measure(lab, backend, peers, puts, rate)
        finally:
            lab.close()
    if "vxlan" not in results:
        return
    memory, put = results["vxlan"]
    for backend, (its_memory, its_put) in results.items():
        ratio = f"{its_put / put:.2f}" if its_put else "-"
        print(f"{backend:10} to vxlan: RssAnon {its_memory / memory:.2f}, put->route {ratio}")


def bench_wireguard(peers):
    """The first start and the second, beside wg with the same peers."""
    lab = fabric.Lab()
    try:
        lab.start_etcd()
        lab.configure(NETWORK | {"Backend": {"Type": "wireguard"}})
        lab.etcd.put_many(lease("wireguard", number) for number in range(1, peers + 1))
        host = lab.host()
        daemon = wireguard.make_daemon(host)
        begun, cpu = start(daemon, peers)
        conf = lab.directory / "wg.conf"
        conf.write_text(wireguard.wg(host, "showconf", wireguard.DEVICE), encoding="ascii")
        daemon.stop()
        again, again_cpu = start(daemon, peers)
        writes = daemon.metric("flannel_netlink_writes_total")
        daemon.stop()
        host.namespace.ip_do(f"link del {wireguard.DEVICE}")
        host.namespace.ip_do(f"link add {wireguard.DEVICE} type wireguard")
        text = conf.read_text(encoding="ascii")
        # The port is given by the file; addresses and link are no part of it.
        setconf = timed(wireguard.wg, host, "setconf", wireguard.DEVICE, str(conf))
        print(
            f"wireguard, {text.count('[Peer]')} peers: start {begun:.0f} ms (CPU {cpu:.0f}), again {again:.0f} ms (CPU {again_cpu:.0f}, "
            f"{writes:.0f} writes), wg setconf {setconf:.0f} ms; to wg {begun / setconf:.2f}, again to first {again / begun:.2f}"
        )
    finally:
        lab.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--backends", nargs="*", default=["vxlan", "host-gw", "ipip", "udp", "wireguard", "ipsec"])
    parser.add_argument("--peers", type=int, default=1000)
    parser.add_argument("--puts", type=int, default=200, help="for the latency, at most 250")
    parser.add_argument("--rate", type=int, default=1000, help="pings a second, each way")
    parser.add_argument("--wireguard", type=int, default=5000, help="peers beside wg setconf; 0: none")
    arguments = parser.parse_args()
    bench_backends(arguments.backends, arguments.peers, arguments.puts, arguments.rate)
    if arguments.wireguard and not missing("wireguard"):
        bench_wireguard(arguments.wireguard)


if __name__ == "__main__":
    main()
