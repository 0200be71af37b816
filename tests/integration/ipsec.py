# SPDX-License-Identifier: Apache-2.0
"""Hosts with the ipsec backend: each has a /run of its own, where its charon has process id and socket."""

import functools
import os
import pathlib
import signal
import socket
import struct
import subprocess

import pytest

import debian
from fabric import APART
from netns import SLOWNESS, end_process, wait_for

PLACES = "/usr/lib/ipsec"
CHARON = f"{PLACES}/charon"
PSK = "0123456789abcdef" * 6
# Whoever does not answer is given up after a few seconds; on a slow machine keys take some themselves.
STRONGSWAN = f"""charon {{
  load = random nonce aes sha1 sha2 hmac kdf gmp openssl gcm kernel-netlink socket-default vici
  retransmit_base = 1
  retransmit_timeout = {2 * SLOWNESS}
}}
"""
# strongSwan 5.9 is that of Debian 12, 6.0 that of 13: the one that is not installed here, with what it needs.
OTHER_SUITE = "bookworm" if debian.OWN == "trixie" else "trixie"
OTHER_PACKAGES = (
    "strongswan-charon strongswan-libcharon libstrongswan libstrongswan-standard-plugins strongswan-swanctl "
    "libc6 libcap2 libgmp10 libsystemd0 libcrypt1 zlib1g libzstd1"
).split() + (["libssl3"] if OTHER_SUITE == "bookworm" else ["libssl3t64"])
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

    def start_charon(self, root=None):
        """One that somebody else runs; `root`: of other_strongswan."""
        program = [CHARON]
        if root:
            program = debian.loaded(root, CHARON.lstrip("/"))
            self.mount(f"--bind {root}{PLACES}/plugins {PLACES}/plugins")
        with self.log.open("ab") as log:
            self.host.namespace.popen(
                *self.inside(), *program, stdout=log, stderr=log, env=os.environ | {"STRONGSWAN_CONF": str(self.conf)}
            )
        wait_for(lambda: self.vici("version"), 10, "charon answers")

    def vici(self, command, message=None, events=None):
        """(answer, messages of that event): what charon says to one command; fails if it says no."""
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(60)
            s.connect(f"/proc/{self.holder.pid}/root/run/charon.vici")
            return Vici(s).ask(command, message or {}, events)

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


class Vici:
    """strongSwan's control protocol, as its README.md has it: packets of a length and a type, messages of dicts and lists."""

    REQUEST, RESPONSE, REGISTER, CONFIRM, EVENT = 0, 1, 3, 5, 7
    SECTION, END, VALUE, LIST, ITEM, LIST_END = range(1, 7)

    def __init__(self, connected):
        self.socket = connected

    def _encode(self, message):
        parts = []
        for key, value in message.items():
            name = struct.pack("B", len(key)) + key.encode()
            if isinstance(value, dict):
                parts += [bytes([self.SECTION]), name, self._encode(value), bytes([self.END])]
            elif isinstance(value, list):
                items = [struct.pack("!BH", self.ITEM, len(one)) + one.encode() for one in value]
                parts += [bytes([self.LIST]), name, *items, bytes([self.LIST_END])]
            else:
                parts += [bytes([self.VALUE]), name, struct.pack("!H", len(value)), value.encode()]
        return b"".join(parts)

    def _decode(self, data):
        stack, names, at = [{}], [], 0

        def text(form):
            nonlocal at
            (size,) = struct.unpack_from(form, data, at)
            begin = at + struct.calcsize(form)
            at = begin + size
            return data[begin:at].decode(errors="replace")

        while at < len(data):
            kind, at = data[at], at + 1
            if kind in (self.SECTION, self.LIST):
                names.append(text("B"))
                stack.append({} if kind == self.SECTION else [])
            elif kind in (self.END, self.LIST_END):
                done = stack.pop()
                stack[-1][names.pop()] = done
            elif kind == self.VALUE:
                key = text("B")
                stack[-1][key] = text("!H")
            else:
                stack[-1].append(text("!H"))
        return stack[0]

    def _send(self, kind, name, data=b""):
        packet = struct.pack("BB", kind, len(name)) + name.encode() + data
        self.socket.sendall(struct.pack("!I", len(packet)) + packet)

    def _receive(self):
        def exactly(size):
            data = b""
            while len(data) < size:
                more = self.socket.recv(size - len(data))
                assert more, "charon has closed the connection"
                data += more
            return data

        packet = exactly(*struct.unpack("!I", exactly(4)))
        return packet[0], packet[1:]

    def ask(self, command, message, events):
        if events:
            self._send(self.REGISTER, events)
            assert self._receive()[0] == self.CONFIRM
        self._send(self.REQUEST, command, self._encode(message))
        told = []
        while (got := self._receive())[0] == self.EVENT:
            told.append(self._decode(got[1][1 + got[1][0] :]))
        answer = self._decode(got[1])
        assert got[0] == self.RESPONSE and answer.get("success", "yes") == "yes", f"{command}: {answer}"
        return answer, told


def other_strongswan():
    """The folder in which the other suite's is; skips the test where it cannot be had."""
    return debian.unpacked(OTHER_SUITE, *OTHER_PACKAGES)


def flannels_connection(ours, our_subnet, theirs, their_subnet, start="start", **child):
    """(name, child's name, {load-shared}, {load-conn}) as flannel tells charon of a peer."""
    name, inside = f"{ours}-{our_subnet}-{their_subnet}-{theirs}", f"{our_subnet}-{their_subnet}"
    children = {
        "local_ts": [our_subnet],
        "remote_ts": [their_subnet],
        "esp_proposals": ["aes128gcm16-sha256-prfsha256-ecp256"],
        "mode": "tunnel",
        "reqid": "11",
        "policies": "no",
        "rekey_time": "1h",
        "start_action": start,
        "close_action": "trap" if start == "start" else "none",
        "dpd_action": "restart",
    } | child
    connection = {
        "version": "2",
        "local_addrs": [ours],
        "remote_addrs": [theirs],
        "proposals": ["aes256-sha256-modp4096"],
        "keyingtries": "0",
        "encap": "no",
        "local": {"auth": "psk"},
        "remote": {"auth": "psk"},
        "children": {inside: children},
    }
    return name, inside, {"type": "IKE", "data": PSK, "owners": [ours, theirs]}, {name: connection}


def flannels_policies(ours, our_subnet, theirs, their_subnet):
    """Lines for `ip`."""
    out = f"tmpl src {ours} dst {theirs} proto esp reqid 11 mode tunnel"
    back = f"tmpl src {theirs} dst {ours} proto esp reqid 11 mode tunnel"
    return [
        f"xfrm policy add src {our_subnet} dst {their_subnet} dir out {out}",
        f"xfrm policy add src {their_subnet} dst {our_subnet} dir in {back}",
        f"xfrm policy add src {their_subnet} dst {our_subnet} dir fwd {back}",
    ]


def make_daemon(host, **flags):
    host.run = Run(host)
    daemon = host.make_daemon(**flags)
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


def is_at_rest(host):
    """Nothing is negotiated: of two hosts that began at the same time one may be at a second tunnel still."""
    _, told = host.run.vici("list-sas", events="list-sa")
    return all(sa["state"] == "ESTABLISHED" for one in told for sa in one.values())


def wait_tunnels(*hosts):
    for host in hosts:
        host.daemon.wait_ok(TUNNEL_S)
    wait_for(lambda: all(is_at_rest(host) for host in hosts), TUNNEL_S, "no tunnel is being made")


def policies(host):
    """{(direction, source, destination)} of all."""
    return set(policy_indexes(host))


def policy_indexes(host):
    """The same with the number that the kernel gave each when it was made."""
    found, last = {}, None
    for line in host.namespace.run("ip", "-s", "xfrm", "policy").splitlines():
        words = line.split()
        if line.startswith("src "):
            last = (words[1], words[3])
        elif words[:1] == ["dir"]:
            found[(words[1], *last)] = words[words.index("index") + 1]
    return found


def wanted(host, *others):
    ours, peers = host.daemon.subnet(), [other.daemon.subnet() for other in others]
    return {way for net in peers for way in (("out", ours, net), ("in", net, ours), ("fwd", net, ours))}


def states(host):
    """ESP's, as `ip -s xfrm state` shows them."""
    return host.namespace.run("ip", "-s", "xfrm", "state")


if __name__ == "__main__":  # before a guest is booted
    try:
        other_strongswan()
    except pytest.skip.Exception as skipped:
        print(f"ipsec: {skipped}")
