# SPDX-License-Identifier: Apache-2.0
"""udp: what it has beyond ipip (test_ipip.py): the wire format of flannel's process, its port, who may send to it."""

import ipaddress
import json
import os
import socket

import pytest

import fabric
from etcd import PREFIX
from fabric import APART
from fabricctl_support import ask, fabricctl
from netns import end_process, wait_for
from test_ipip import enough, needs_ipip

PORT = 8285
UDP = {"Backend": {"Type": "udp"}}
TUN_UDP = fabric.BUILD / "tests" / "tun_udp"
THEIRS = "10.5.20.0/24"

pytestmark = [
    needs_ipip,
    pytest.mark.skipif(not TUN_UDP.exists(), reason=f"{TUN_UDP} is not built"),
]


class Process:
    """A host whose packets a process carries, as flannel's does; its container is an address on lo."""

    def __init__(self, lab, host, peers, subnet=THEIRS):
        """`peers`: addresses of hosts by their subnets."""
        self.host = host
        self.address = str(ipaddress.ip_network(subnet)[2])
        routes = [f"{peer}={address}" for peer, address in peers.items()]
        self.process = host.namespace.popen(TUN_UDP, "flannel0", host.address, PORT, *routes)
        lab.closers.callback(end_process, self.process)
        wait_for(lambda: host.link("flannel0"), 5, "a TUN device")
        host.namespace.ip_batch(
            [
                f"addr add {ipaddress.ip_network(subnet)[0]}/32 dev flannel0",
                "link set flannel0 mtu 1472 up",
                "route add 10.5.0.0/16 dev flannel0",
                f"addr add {self.address}/32 dev lo",
            ]
        )

    def lease(self, lab):
        value = {"PublicIP": self.host.address, "PublicIPv6": None}
        key = f"{PREFIX}/subnets/{THEIRS.replace('/', '-')}"
        lab.etcd.put(key, json.dumps(value, separators=(",", ":")), lab.etcd.grant(3600))

    def ping(self, address, size, check=True):
        ping = ["ping", "-n", "-M", "do", "-c", "2", "-i", "0.2", "-W", "2", "-s", size, "-I", self.address, address]
        return self.host.namespace.run(*ping, check=check)


def fou_ports(host):
    """Those of the host, in the words of `ip fou`."""
    return sorted(line.strip() for line in host.namespace.run("ip", "fou", "show").splitlines())


def ours(host, port=PORT):
    return f"port {port} ipproto 4 local {host.address}"


@pytest.fixture
def one(lab):
    lab.start_etcd()
    lab.configure(APART | UDP)
    return lab.hosts(1, daemons=True)[0]


def test_flannels_process_and_the_kernel_understand_each_other(lab, one):
    container = one.container()
    theirs = Process(lab, lab.host(), {one.daemon.subnet(): one.address})
    theirs.lease(lab)
    one.daemon.wait_peers(1)
    # 1472 bytes with the headers of ICMP and IPv4: the most that the device takes.
    for size in (56, 1400, 1444):
        theirs.ping(container.address, size)
        container.namespace.run("ping", "-n", "-M", "do", "-c", "2", "-i", "0.2", "-W", "2", "-s", size, theirs.address)
    # The process takes one off the TTL; the kernel does so only where it forwards, which is not the tunnel.
    assert "ttl=62" in theirs.ping(container.address, 56)
    # A larger one is told to be so by path MTU discovery.
    done = container.namespace.run("ping", "-n", "-M", "do", "-c", "1", "-W", "2", "-s", 1445, theirs.address, check=False)
    assert "too long" in done.stderr or "mtu" in done.stdout, done
    peer = next(i for i in one.daemon.subnets() if i["subnet"] == THEIRS)
    assert (peer["backend"], peer["kernel"]) == (None, "ok"), peer


def test_only_peers_are_let_in(lab, one):
    stranger = Process(lab, lab.host(), {one.daemon.subnet(): one.address}, "10.5.250.0/24")
    container = one.container()
    dropped = one.daemon.metric("flannel_guard_dropped_packets_total")
    assert stranger.ping(container.address, 56, check=False).returncode != 0
    wait_for(lambda: one.daemon.metric("flannel_guard_dropped_packets_total") - dropped >= 2, 5, "they are counted")


def test_the_port_is_made_kept_and_no_other_touched(lab, one):
    one.namespace.run("ip", "fou", "add", "port", "9999", "ipproto", "4")
    foreign = "port 9999 ipproto 4"
    assert fou_ports(one) == sorted([ours(one), foreign])
    one.namespace.run("ip", "fou", "del", "port", PORT, "local", one.address)
    assert "nothing to do" not in ask(one, "sync")
    assert fou_ports(one) == sorted([ours(one), foreign])
    lab.configure(APART | {"Backend": {"Type": "udp", "Port": 9000}})
    h2 = lab.host().start_daemon().host
    one.daemon.restart()
    one.daemon.wait_peers(1)
    assert fou_ports(one) == sorted([ours(one, 9000), foreign])
    with lab.pinger(one.container(), h2.container()) as pinger:
        enough(pinger, 5)
    assert pinger.lost == 0, pinger.report()


def test_who_holds_the_port_is_named(lab):
    lab.start_etcd()
    lab.configure(APART | UDP)
    host = lab.host()
    with host.namespace.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind((host.address, PORT))
        daemon = host.start_daemon(ready=False)
        daemon.wait_log(rf"device-failed: flannel0: .*process {os.getpid()} \(.*\) holds UDP port {PORT}")
    daemon.wait_ready(40)
    assert fou_ports(host) == [ours(host)]
    host.namespace.run("ip", "fou", "del", "port", PORT, "local", host.address)
    host.namespace.run("ip", "fou", "add", "port", PORT, "ipproto", "47")
    fabricctl("sync", "--socket", daemon.socket_path)
    text = next(p["text"] for p in daemon.status()["problems"] if p["name"] == "device-failed")
    assert "FOU port 8285: it is there for packets of protocol 47" in text, text
