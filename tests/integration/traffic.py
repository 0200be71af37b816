# SPDX-License-Identifier: Apache-2.0
"""What tests of the traffic rules need: datagrams and whom they seem to come from, forged tunnel packets."""

import contextlib
import ipaddress
import pathlib
import select
import socket
import struct
import threading
import time

from netns import wait_for

PORT = 8472
TRIES = 20
PATIENCE_S = 0.1  # for one datagram; negative answers take TRIES times that at most


def family_of(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def seen(sender, destination, receiver, source=None, port=7000, tries=TRIES, multicast_device=None):
    """Sends datagrams from one namespace to an address; the address that the receiver sees them from, None if never.

    `source`: the address to send from. `multicast_device`: index of the device for a multicast destination.
    """
    family = family_of(destination)
    with receiver.socket(family, socket.SOCK_DGRAM) as inbox, sender.socket(family, socket.SOCK_DGRAM) as outbox:
        inbox.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        inbox.bind(("", port))
        if source:
            outbox.bind((source, 0))
        if multicast_device:
            outbox.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, struct.pack("=4s4si", b"", b"", multicast_device))
        for _ in range(tries):
            with contextlib.suppress(OSError):
                outbox.sendto(b"hello", (destination, port))
            if select.select([inbox], [], [], PATIENCE_S)[0]:
                return inbox.recvfrom(64)[1][0]
    return None


# ---- packets by hand


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def mac_bytes(text):
    return bytes.fromhex(text.replace(":", ""))


def udp(source, destination, port, payload):
    """An IP packet with a datagram in it, of either family."""
    src, dst = ipaddress.ip_address(source), ipaddress.ip_address(destination)
    length = 8 + len(payload)
    datagram = struct.pack("!HHHH", 4000, port, length, 0) + payload
    pseudo = src.packed + dst.packed + struct.pack("!IHBB", length, 0, 0, 17)
    if src.version == 4:
        pseudo = src.packed + dst.packed + struct.pack("!BBH", 0, 17, length)
    datagram = datagram[:6] + struct.pack("!H", checksum(pseudo + datagram) or 0xFFFF) + datagram[8:]
    if src.version == 6:
        return struct.pack("!IHBB", 6 << 28, length, 17, 64) + src.packed + dst.packed + datagram
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + length, 1, 0, 64, 17, 0) + src.packed + dst.packed
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + datagram


def vxlan(mac, packet, vni=1):
    """The packet in an Ethernet frame to `mac`, as VXLAN carries it."""
    kind = b"\x08\x00" if packet[0] >> 4 == 4 else b"\x86\xdd"
    return struct.pack("!II", 1 << 27, vni << 8) + mac_bytes(mac) + mac_bytes("02:00:00:00:00:99") + kind + packet


def send_tunnel(sender, destination, frame, forged_source=None, port=PORT):
    """Sends a VXLAN packet; with a forged source as a raw packet."""
    if not forged_source:
        with sender.socket(family_of(destination), socket.SOCK_DGRAM) as s:
            s.sendto(frame, (destination, port))
        return
    with sender.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as s:
        s.sendto(udp(forged_source, destination, port, frame), (destination, 0))


class Inbox:
    """A UDP socket in a namespace: what it has received, so far."""

    def __init__(self, namespace, port, family=socket.AF_INET):
        self.socket = namespace.socket(family, socket.SOCK_DGRAM)
        self.socket.bind(("", port))
        self.socket.setblocking(False)
        self.received = []

    def payloads(self):
        with contextlib.suppress(BlockingIOError):
            while True:
                self.received.append(self.socket.recv(2048))
        return self.received

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()


class Echo:
    """A TCP server in a namespace that tells each client its address, and a connection to it that is kept."""

    def __init__(self, server, client, address, port=7001):
        with server.entered():
            self.listener = socket.create_server((address, port), family=family_of(address))
        self.client = client.connect(address, port)
        self.server, self.peer = self.listener.accept()

    def works(self):
        self.client.settimeout(5)
        self.server.settimeout(5)
        self.client.sendall(b"ping")
        assert self.server.recv(4) == b"ping"
        self.server.sendall(b"pong")
        answer = self.client.recv(4)
        # No acknowledgement may come late: one that leaves while rules are away has the wrong source, and is answered by a
        # reset. What is due is sent by this; earlier it would mean nothing, since data that is sent ends it.
        self.client.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        return answer == b"pong"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for s in (self.client, self.server, self.listener):
            s.close()


def wait_addresses(namespace):
    """Until no IPv6 address is tentative: until then the kernel asks for no neighbour."""
    wait_for(lambda: not namespace.ip("-6", "addr", "show", "tentative"), 10, "addresses are usable")


def ruleset(host):
    return host.namespace.run("nft", "list", "ruleset")


def set_elements(host, name, table="flannel.1"):
    """Elements of a set of the daemon's table, as text."""
    text = host.namespace.run("nft", "list", "set", "inet", table, name)
    return set(text.split("elements = {")[1].split("}")[0].replace(",", " ").split()) if "elements" in text else set()


def counters(host, table="flannel.1"):
    """(guard, spoofed): packets dropped."""
    text = host.namespace.run("nft", "list", "counters", "table", "inet", table)
    values = [int(line.split()[1]) for line in text.splitlines() if line.strip().startswith("packets")]
    names = [line.split()[1] for line in text.splitlines() if line.strip().startswith("counter")]
    found = dict(zip(names, values))
    return found["guard-dropped"], found["spoofed-dropped"]


def wait_dropped(host, before, index=0, deadline_s=5):
    """Until the host's counter has risen: the packet came and was dropped."""
    wait_for(lambda: counters(host)[index] > before[index], deadline_s, f"{host.name} counts a dropped packet")


def elapsed(action):
    start = time.monotonic()
    action()
    return time.monotonic() - start


class Stream:
    """A TCP connection between two containers on which data goes one way all the time."""

    def __init__(self, sender, receiver):
        self.namespaces = [sender.namespace, receiver.namespace]
        with receiver.namespace.entered():
            listener = socket.create_server((receiver.address, 7300))
        self.client = sender.namespace.connect(receiver.address, 7300)
        self.server, _ = listener.accept()
        listener.close()
        self.received = 0
        self.ending = threading.Event()
        self.threads = [threading.Thread(target=one, daemon=True) for one in (self._send, self._receive)]
        for thread in self.threads:
            thread.start()

    def _send(self):
        data = bytes(16384)
        with contextlib.suppress(OSError):
            while not self.ending.wait(0.002):
                self.client.sendall(data)
            self.client.shutdown(socket.SHUT_WR)

    def _receive(self):
        while data := self.server.recv(1 << 16):
            self.received += len(data)

    def timeouts(self):
        """Retransmissions because a timer ran out, in both namespaces."""
        total = 0
        for namespace in self.namespaces:
            with namespace.entered():
                lines = pathlib.Path("/proc/thread-self/net/netstat").read_text(encoding="ascii").splitlines()
            names, values = (line.split() for line in lines if line.startswith("TcpExt:"))
            total += int(values[names.index("TCPTimeouts")])
        return total

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.ending.set()
        for thread in self.threads:
            thread.join(60)
        self.client.close()
        self.server.close()
