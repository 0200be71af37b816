# SPDX-License-Identifier: Apache-2.0
"""Random packets: made, sent as frames, and caught where they arrive, to compare two ways that they may have gone.

Most are well-formed TCP and UDP between containers, each with some one thing that is out of the ordinary or wrong.
Every packet has a number in it, by which it is known again.
"""

import ipaddress
import select
import socket
import struct
import threading

from traffic import checksum, mac_bytes

ETH_P_ALL = 3
SO_RCVBUFFORCE = 33
PACKET_OUTGOING = 4
MAGIC = b"fAsT"
QUIET_S = 0.03  # so long nothing has come: all of a batch is there,
LAST_QUIET_S = 0.5  # and all of the last one
BATCH = 400


def transport(random, number, protocol, pseudo, data_size):
    """A TCP segment or a datagram with the number in its data; sometimes with a wrong checksum, or none."""
    data = MAGIC + struct.pack("!I", number) + random.randbytes(data_size)
    sport, dport = random.randrange(1024, 65536), random.choice([53, 80, 443, 8080, random.randrange(1, 65536)])
    if protocol == 17:
        if random.random() < 0.01:
            dport = 8472
        if random.random() < 0.01:
            sport = random.choice([67, 547])
        head = struct.pack("!HHHH", sport, dport, 8 + len(data), 0)
        at = 6
    else:
        flags = random.choice([0x02, 0x10, 0x18, 0x11, 0x04, 0x12])
        options = b"\1" * (4 * random.choice([0, 0, 3]))
        doff = 5 + len(options) // 4
        head = struct.pack(
            "!HHIIBBHHH", sport, dport, random.getrandbits(32), random.getrandbits(32), doff << 4, flags, 65535, 0, 0
        )
        head += options
        at = 16
    total = checksum(pseudo + struct.pack("!I", len(head) + len(data)) + struct.pack("!I", protocol) + head + data)
    if random.random() < 0.02:
        total ^= 0x5555
    return head[:at] + struct.pack("!H", total or 0xFFFF) + head[at + 2 :] + data


def packet4(random, number, source, destination, limit):
    src, dst = ipaddress.ip_address(source).packed, ipaddress.ip_address(destination).packed
    protocol = random.choice([6, 17, 17, 17]) if random.random() < 0.97 else random.choice([1, 47, 132, 50])
    size = random.choice([0, 10, 18, 100, 1000, 1300, 1360, limit - 68])
    body = transport(random, number, protocol if protocol in (6, 17) else 17, src + dst, size)
    tos = random.choice([0, 0, 1, 2, 3, 0x10, 0x28, 0xB8, random.randrange(256)])
    ttl = random.choice([64, 64, 64, 255, 128, 3, 2, 1, 0])
    fragment = random.choice([0, 0, 0x4000, 0x4000, 0x4000] if random.random() < 0.95 else [0x2000, 0x0001, 0x20B9, 0x8000])
    options = b"" if random.random() < 0.97 else random.choice([b"\1\1\1\0", b"\x94\4\0\0", b"\7\7\4\0\0\0\0\0"])
    version = 0x40 if random.random() < 0.995 else 0x50
    length = 20 + len(options) + len(body)
    stated = length if random.random() < 0.98 else max(0, min(0xFFFF, length + random.choice([-60, -1, 1, 60])))
    head = struct.pack(
        "!BBHHHBBH", version | 5 + len(options) // 4, tos, stated, random.getrandbits(16), fragment, ttl, protocol, 0
    )
    head += src + dst + options
    total = checksum(head)
    if random.random() < 0.02:
        total ^= 1 << random.randrange(16)
    return head[:10] + struct.pack("!H", total) + head[12:] + body


def packet6(random, number, source, destination, limit):
    src, dst = ipaddress.ip_address(source).packed, ipaddress.ip_address(destination).packed
    protocol = random.choice([6, 17, 17, 17])
    body = transport(random, number, protocol, src + dst, random.choice([0, 10, 18, 100, 1000, 1280, 1340, limit - 88]))
    next_header = protocol
    kind = random.random()
    if kind < 0.02:  # hop-by-hop, destination options, with padding alone
        next_header = random.choice([0, 60])
        body = struct.pack("!BBBBI", protocol, 0, 1, 4, 0) + body
    elif kind < 0.04:  # the only fragment
        next_header = 44
        body = struct.pack("!BBHI", protocol, 0, 0, random.getrandbits(32)) + body
    elif kind < 0.05:
        next_header = random.choice([58, 59, 132])
    hops = random.choice([64, 64, 64, 255, 3, 2, 1, 0])
    length = len(body) if random.random() < 0.98 else max(0, len(body) + random.choice([-40, -1, 1, 40]))
    version = 6 if random.random() < 0.995 else 5
    word = version << 28 | random.choice([0, 0, 0x2E0, random.getrandbits(8)]) << 20 | random.getrandbits(20)
    return struct.pack("!IHBB", word, length, next_header, hops) + src + dst + body


class End:
    """A container's interface: what is sent from there, and all that arrives, in a thread of its own."""

    def __init__(self, container):
        self.namespace = container.namespace
        self.container = container
        link = next(link for link in self.namespace.ip("link", "show") if link["ifname"] == "eth0")
        self.mac, self.mtu = link["address"], link["mtu"]
        self.socket = self.namespace.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        self.socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 64 << 20)
        self.socket.bind(("eth0", ETH_P_ALL))
        self.arrived = []
        self.came = None  # told of each frame
        self.stopping = False
        self.thread = threading.Thread(target=self.catch, daemon=True)
        self.thread.start()

    def catch(self):
        while not self.stopping:
            if not select.select([self.socket], [], [], 0.1)[0]:
                continue
            frame, address = self.socket.recvfrom(65536)
            # Of what the other programs in here send nothing is counted.
            if address[2] != PACKET_OUTGOING and MAGIC in frame:
                self.arrived.append(frame)
                if self.came:
                    self.came.set()

    def send(self, frame):
        self.socket.send(frame)

    def close(self):
        self.stopping = True
        self.thread.join()
        self.socket.close()


def frames(random, count, ends, gateway_mac, destinations):
    """(end, frame) to send: from each end, to the gateway or straight to another container of the same bridge."""
    made = []
    for number in range(count):
        end = random.choice(ends)
        version = random.choice([4, 4, 6])
        at = {4: lambda c: c.address, 6: lambda c: c.address6}[version]
        source = at(end.container)
        if random.random() < 0.02:  # somebody else's
            source = random.choice([at(c.container) for c in ends] + destinations[version])
        peer = random.choice([e for e in ends if e is not end])
        destination = at(peer.container)
        if random.random() < 0.05:
            destination = random.choice(destinations[version])
        local = peer.container.host is end.container.host
        mac = peer.mac if local and random.random() < 0.9 else gateway_mac
        if random.random() < 0.01:
            mac = "ff:ff:ff:ff:ff:ff"
        sender = end.mac if random.random() < 0.99 else "02:00:00:00:00:77"
        packet = (packet4 if version == 4 else packet6)(random, number, source, destination, end.mtu)
        kind = b"\x08\x00" if version == 4 else b"\x86\xdd"
        made.append((end, mac_bytes(mac) + mac_bytes(sender) + kind + packet))
    return made


def normal(frame):
    """What must be equal: all of a packet; of an error message and a fragment not its number and what follows from it.

    None: a redirect, of which a host sends only some, and the end of the wait for other fragments, half a minute later.
    """
    if frame[12:14] == b"\x08\x00" and frame[23] == 1:
        kind, code = frame[14 + (frame[14] & 15) * 4 :][:2]
        if (kind, code) == (11, 1):
            return None
        if kind in (3, 11, 12):
            return frame[:18] + frame[20:24] + frame[26:]
        return None if kind == 5 else frame
    if frame[12:14] == b"\x86\xdd" and frame[20] == 44:  # put together on the way, and cut again
        return frame[:58] + frame[62:]
    if frame[12:14] == b"\x86\xdd" and frame[20] == 58 and (frame[54] == 137 or frame[54:56] == b"\3\1"):
        return None
    return frame


def wait_quiet(ends, seconds):
    """Until no frame has come for so long."""
    came = threading.Event()
    for end in ends:
        end.came = came
    while came.wait(seconds):
        came.clear()


def send_all(made, ends):
    """Sends them in batches and returns what arrived at each end, in the order of its bytes."""
    for end in ends:
        end.arrived.clear()
    for start in range(0, len(made), BATCH):
        for end, frame in made[start : start + BATCH]:
            end.send(frame)
        wait_quiet(ends, QUIET_S)
    wait_quiet(ends, LAST_QUIET_S)
    return [sorted(f for f in map(normal, end.arrived) if f) for end in ends]
