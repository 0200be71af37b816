# SPDX-License-Identifier: Apache-2.0
"""Hosts with the wireguard backend: the kernel's where it has WireGuard, else wireguard-go's, which needs /dev/net/tun only.

wireguard-go has its sockets in /run/wireguard, named like the device: every host gets a directory of its own there, in a mount
namespace. `wg`, the witness, looks at them in the same way.
"""

import functools
import pathlib
import shutil
import subprocess

import pytest

from fabric import APART

SOCKETS = pathlib.Path("/run/wireguard")
DEVICE = "flannel-wg"


@functools.cache
def kernel_has_wireguard():
    """Without the module in the namespace of a test nothing can be seen."""
    line = ["unshare", "-n", "ip", "link", "add", "probe", "type", "wireguard"]
    return subprocess.run(line, capture_output=True, check=False).returncode == 0


def missing():
    if not shutil.which("wg"):
        return "wg is not installed"
    if not kernel_has_wireguard() and not (shutil.which("wireguard-go") and pathlib.Path("/dev/net/tun").exists()):
        return "neither a kernel with WireGuard nor wireguard-go"
    return None


needs_wireguard = pytest.mark.skipif(missing() is not None, reason=str(missing()))


def config(**keys):
    return {"Backend": {"Type": "wireguard"} | keys}


def inside(host):
    """In front of a command: its /run/wireguard is the host's own."""
    directory = host.lab.directory / f"wireguard-{host.number}"
    directory.mkdir(exist_ok=True)
    SOCKETS.mkdir(mode=0o700, exist_ok=True)
    return ["unshare", "-m", "sh", "-c", f'mount --bind {directory} {SOCKETS} && exec "$@"', "sh"]


def prepare(daemon):
    """Before it is started."""
    daemon.wrapper = inside(daemon.host)
    daemon.environment |= {"WIREGUARD_KEY_FILE": str(daemon.directory / "wgkey")}
    daemon.host.namespace.inhabited = True
    return daemon


def make_daemon(host, **flags):
    return prepare(host.make_daemon(**flags))


def start(lab, count, network=None, **keys):
    """So many hosts, all of them ready and known to each other."""
    lab.start_etcd()
    lab.configure((network or APART) | config(**keys))
    hosts = [lab.host() for _ in range(count)]
    for host in hosts:
        make_daemon(host).start()
    for host in hosts:
        host.daemon.wait_ready()
    for host in hosts:
        host.daemon.wait_peers(count - 1)
    return hosts


def wg(host, *arguments):
    return host.namespace.run(*inside(host), "wg", *arguments)


class Peer:
    def __init__(self, line):
        self.key, self.psk, self.endpoint, allowed, handshake, received, sent, self.keepalive = line.split("\t")
        self.allowed = set(allowed.split(",")) - {"(none)"}
        self.handshake, self.received, self.sent = int(handshake), int(received), int(sent)


class Interface:
    """What `wg show DEVICE dump` says."""

    def __init__(self, host, device=DEVICE):
        first, *rest = wg(host, "show", device, "dump").splitlines()
        self.private, self.public, port, self.mark = first.split("\t")
        self.port = int(port)
        self.peers = {peer.key: peer for peer in map(Peer, rest)}

    def ways(self):
        """{subnet: (key, endpoint)}"""
        return {net: (p.key, p.endpoint) for p in self.peers.values() for net in p.allowed}
