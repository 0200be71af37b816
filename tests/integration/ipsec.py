# SPDX-License-Identifier: Apache-2.0
"""Hosts with the ipsec backend: each has a /run of its own, where its charon has process id and socket."""

import functools
import os
import pathlib
import signal
import subprocess

import pytest

from fabric import APART
from netns import end_process, wait_for

PLACES = "/usr/lib/ipsec"
CHARON = f"{PLACES}/charon"
PSK = "0123456789abcdef" * 6
# What both sides and a slow machine need; whoever does not answer is given up after a few seconds.
STRONGSWAN = """charon {
  load = random nonce aes sha1 sha2 hmac kdf gmp openssl gcm kernel-netlink socket-default vici
  retransmit_base = 1
  retransmit_timeout = 2
}
"""
# Until a tunnel stands: two looks that have missed it, and the keys.
TUNNEL_S = 30


def _succeeds(*argv):
    return subprocess.run(["unshare", "-n", *argv], capture_output=True, check=False).returncode == 0


@functools.cache
def kernel_has_policies():
    return _succeeds("ip", "xfrm", "policy", "add", "src", "192.0.2.0/24", "dst", "198.51.100.0/24", "dir", "out")


@functools.cache
def kernel_has_esp():
    key = "0x0102030405060708090a0b0c0d0e0f1011121314"
    state = ["src", "192.0.2.1", "dst", "192.0.2.2", "proto", "esp", "spi", "1", "mode", "tunnel"]
    return _succeeds("ip", "xfrm", "state", "add", *state, "aead", "rfc4106(gcm(aes))", key, "128")


def missing():
    if not os.path.exists(CHARON) or not os.path.exists(f"{PLACES}/plugins/libstrongswan-vici.so"):
        return "charon is not installed (strongswan-charon, strongswan-swanctl)"
    if not kernel_has_policies():
        return "this kernel has no IPsec (xfrm_user)"
    return None


needs_charon = pytest.mark.skipif(missing() is not None, reason=str(missing()))
needs_esp = pytest.mark.skipif(not kernel_has_esp(), reason="this kernel has no ESP; make check-guest has one that does")


def config(psk=PSK, **keys):
    return APART | {"Backend": {"Type": "ipsec", "PSK": psk} | keys}


class Run:
    """The mounts of one host, held by a process. What runs on the host ends with its namespace."""

    def __init__(self, host):
        self.host = host
        self.conf = host.lab.directory / f"{host.name}.strongswan.conf"
        self.conf.write_text(STRONGSWAN, encoding="ascii")
        self.log = host.lab.directory / f"{host.name}.charon.log"
        mounts = "mount -t tmpfs run /run && echo && exec sleep infinity"
        self.holder = host.namespace.popen("unshare", "-m", "sh", "-c", mounts, stdout=subprocess.PIPE)
        self.holder.stdout.readline()
        host.lab.closers.callback(end_process, self.holder)
        host.lab.closers.callback(self.holder.stdout.close)
        host.namespace.inhabited = True

    def inside(self):
        """In front of a command."""
        return ["nsenter", f"--mount=/proc/{self.holder.pid}/ns/mnt"]

    def mount(self, text):
        subprocess.run([*self.inside(), "mount", *text.split()], check=True)

    def start_charon(self):
        """One that somebody else runs."""
        with self.log.open("ab") as log:
            self.host.namespace.popen(
                *self.inside(), CHARON, stdout=log, stderr=log, env=os.environ | {"STRONGSWAN_CONF": str(self.conf)}
            )

    def charon(self):
        """Its process id, None if none runs."""
        try:
            pid = int(pathlib.Path(f"/proc/{self.holder.pid}/root/run/charon.pid").read_text(encoding="ascii"))
            return pid if "(charon)" in pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="ascii") else None
        except (OSError, ValueError):
            return None

    def kill_charon(self):
        pid = self.charon()
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: self.charon() != pid, 10, "it has ended")


def make_daemon(host):
    host.run = Run(host)
    daemon = host.make_daemon()
    daemon.wrapper = host.run.inside()
    daemon.environment["STRONGSWAN_CONF"] = str(host.run.conf)
    return daemon


def start(lab, count=2, **keys):
    """So many hosts, all of them ready and known to each other."""
    lab.start_etcd()
    lab.configure(config(**keys))
    hosts = lab.hosts(count)
    for host in hosts:
        make_daemon(host).start()
    for host in hosts:
        host.daemon.wait_ready()
        host.daemon.wait_peers(count - 1)
    return hosts


def wait_tunnels(*hosts):
    for host in hosts:
        host.daemon.wait_ok(TUNNEL_S)


def policies(host):
    """{(direction, source, destination)} of all."""
    found, last = set(), None
    for line in host.namespace.run("ip", "xfrm", "policy").splitlines():
        words = line.split()
        if line.startswith("src "):
            last = (words[1], words[3])
        elif words[:1] == ["dir"]:
            found.add((words[1], *last))
    return found


def wanted(host, *others):
    ours, peers = host.daemon.subnet(), [other.daemon.subnet() for other in others]
    return {way for net in peers for way in (("out", ours, net), ("in", net, ours), ("fwd", net, ours))}


def states(host):
    """ESP's, as `ip -s xfrm state` shows them."""
    return host.namespace.run("ip", "-s", "xfrm", "state")
