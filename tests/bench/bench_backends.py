#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures the backends beside each other: start with many peers, memory, a put until the route, a restart under load.

For each two hosts in network namespaces, with the same etcd, daemon and containers as in the integration tests; the other
peers are leases. What is a ratio is measured in turns. Last, wireguard against `wg setconf` with the same peers, and udp
against a process that does the same. What this kernel lacks is left out: in a guest

    make check-guest GUEST_COMMAND="python3 tests/bench/bench_backends.py"

has all. Figures are only printed, with what is to be reached: machines differ, so nothing here fails for being slow.
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

import bench_udp  # noqa: E402
import fabric  # noqa: E402
import ipsec  # noqa: E402
import wireguard  # noqa: E402
from bench_traffic import cpu_ms, latency, memory_kib  # noqa: E402
from etcd import PREFIX  # noqa: E402
from netns import SLOWNESS, stays, wait_for  # noqa: E402
from test_ipip import kernel_has_ipip  # noqa: E402
from traffic import Stream  # noqa: E402
from witness import lease_value, made_up_lease  # noqa: E402

NETWORK = {"Network": "10.0.0.0/8", "SubnetLen": 24, "SubnetMin": "10.255.0.0", "SubnetMax": "10.255.255.0"}
PATIENCE_S = 120
UNTYPED = ("udp",)
KEYS = {
    "ipsec": {"PSK": ipsec.PSK},
    "extension": {
        "SubnetAddCommand": "ip route replace $SUBNET via $PUBLIC_IP proto 77",
        "SubnetRemoveCommand": "ip route del $SUBNET proto 77",
    },
}
# What is to be reached, as ratios.
MEMORY, PUT, SETCONF, AGAIN = 1.1, 1.0, 1.2, 0.3
ROUND = 10  # puts of one backend before it is another's turn
QUIET_S = 12  # until what comes after the start has come: what another program is told, looks at what it made of it


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


def restart_under_load(lab, hosts, peers, rate):
    """(sent, lost, timeouts, timeouts in as long a time without) while one of the two daemons is restarted and killed."""
    containers = [host.container() for host in hosts]
    with Stream(*containers) as stream, lab.pinger(*containers, rate=rate) as pinger:

        def enough():
            target = pinger.sent + rate
            wait_for(lambda: pinger.sent >= target, 60, "pings")

        before, begin = stream.timeouts(), time.monotonic()
        enough()
        hosts[0].daemon.stop()
        start(hosts[0].daemon, peers)
        enough()
        hosts[0].daemon.kill()
        start(hosts[0].daemon, peers)
        enough()
        after, took = stream.timeouts(), time.monotonic() - begin
        end = time.monotonic() + took
        while time.monotonic() < end:
            enough()
        quiet = stream.timeouts() - after
    return pinger.sent, pinger.lost, after - before, quiet


class Backend:
    """A fabric of two hosts with it, and what was measured there."""

    def __init__(self, name, peers):
        self.name, self.peers = name, peers + 1
        self.lab = fabric.Lab()
        self.puts = []

    def begin(self):
        lab, name = self.lab, self.name
        lab.start_etcd()
        lab.configure(NETWORK | {"Backend": {"Type": name} | KEYS.get(name, {})})
        lab.etcd.put_many(lease(name, number) for number in range(1, self.peers))
        self.hosts = lab.hosts(2)
        for host in self.hosts:
            make_daemon(name, host)
            # On the link, as host-gw wants peers to be.
            host.namespace.ip_batch(f"route add {net} dev eth0" for net in ("198.18.0.0/16", "198.51.0.0/16"))
        first, second = (host.daemon for host in self.hosts)
        second.start()
        programmed(second, self.peers - 1)
        begun, begun_cpu = start(first, self.peers)
        second.wait_peers(self.peers, PATIENCE_S)
        if name == "ipsec":
            first.wait_log("charon: it answers", PATIENCE_S)
        stays(lambda: first.running, QUIET_S, "the daemon runs")
        self.memory = memory_kib(first.pid)["RssAnon"]
        first.stop()
        again, again_cpu = start(first, self.peers)
        writes = first.metric("flannel_netlink_writes_total")
        line = f"{name:10} {begun:9.0f} {begun_cpu:7.0f} {again:9.0f} {again_cpu:7.0f} {writes:7.0f} {self.memory / 1024:9.2f}"
        print(line, flush=True)

    def put(self, count):
        value = lambda address, mac: value_of(self.name, address, mac, "")  # noqa: E731
        self.puts += latency(self.lab, self.hosts[0], count, value, len(self.puts))

    def load(self, rate):
        if self.name == "ipsec" and not ipsec.kernel_has_esp():
            return print(f"{self.name:10} no ESP here")
        if self.name == "ipsec":  # the others are nowhere, and their tunnels never stand
            wait_for(lambda: "aead" in ipsec.states(self.hosts[0]), PATIENCE_S, "a tunnel to the host that is there")
        sent, lost, timeouts, quiet = restart_under_load(self.lab, self.hosts, self.peers, rate)
        return print(f"{self.name:10} {lost:6} of {sent:6} {timeouts:22} {quiet:20}", flush=True)


def bench_backends(names, peers, puts, rate):
    backends = []
    for name in names:
        if reason := missing(name):
            print(f"{name:10} left out: {reason}")
        else:
            backends.append(Backend(name, peers))
    try:
        print(f"{peers} peers     start ms     CPU     again     CPU  writes  RssAnon MiB")
        for backend in backends:
            backend.begin()
        # wireguard has one route for all, and routes of extension are others'.
        putting = [backend for backend in backends if backend.name != "wireguard"]
        for _ in range(puts // ROUND):
            for backend in putting:
                backend.put(ROUND)
        vxlan = next((backend for backend in backends if backend.name == "vxlan"), backends[0])
        print(f"put->route, ms   p50      p99    to {vxlan.name} (to reach: {PUT})   RssAnon to it (to reach: {MEMORY})")
        for backend in backends:
            put = f"{'-':>9} {'-':>8} {'-':>9}"
            if backend.puts:
                median = statistics.median(backend.puts)
                late = sorted(backend.puts)[int(len(backend.puts) * 0.99)]
                put = f"{median:9.2f} {late:8.2f} {median / statistics.median(vxlan.puts):9.2f}"
            print(f"{backend.name:10} {put} {backend.memory / vxlan.memory:36.2f}")
        print(f"restart and kill under {rate} pings a second each way and a TCP connection (to reach: 0 lost, 0 timeouts)")
        print("           pings lost      retransmission timeouts   as long without one")
        for backend in backends:
            backend.load(rate)
    finally:
        for backend in backends:
            backend.lab.close()


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
        print(
            f"wireguard, {peers} peers: start {begun:.0f} ms (CPU {cpu:.0f}), again {again:.0f} ms (CPU {again_cpu:.0f}, {writes:.0f} writes), "
            f"again to first {again / begun:.2f} (to reach: {AGAIN})",
            flush=True,
        )
        daemon.stop()
        # For each peer the kernel waits until nobody uses it any more.
        patience = {"timeout": PATIENCE_S * SLOWNESS}
        host.namespace.run("ip", "link", "del", wireguard.DEVICE, **patience)
        host.namespace.ip_do(f"link add {wireguard.DEVICE} type wireguard")
        # The port is given by the file; addresses and link are no part of it.
        setconf = timed(lambda: host.namespace.run(*wireguard.inside(host), "wg", "setconf", wireguard.DEVICE, conf, **patience))
        print(f"wireguard, {peers} peers: wg setconf {setconf:.0f} ms, start to it {begun / setconf:.2f} (to reach: {SETCONF})", flush=True)
    finally:
        lab.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--backends", nargs="*", default=["vxlan", "host-gw", "ipip", "udp", "wireguard", "ipsec", "extension"])
    parser.add_argument("--peers", type=int, default=1000)
    parser.add_argument("--puts", type=int, default=200, help="for the latency, at most 250")
    parser.add_argument("--rate", type=int, default=1000, help="pings a second, each way")
    parser.add_argument("--wireguard", type=int, default=5000, help="peers beside wg setconf; 0: none")
    parser.add_argument("--seconds", type=int, default=10, help="of each figure of udp beside a process; 0: none")
    arguments = parser.parse_args()
    if arguments.backends:
        bench_backends(arguments.backends, arguments.peers, arguments.puts, arguments.rate)
    if arguments.wireguard and not missing("wireguard"):
        bench_wireguard(arguments.wireguard)
    if arguments.seconds and not missing("udp"):
        bench_udp.bench(arguments.seconds, 1)


if __name__ == "__main__":
    main()
