# SPDX-License-Identifier: Apache-2.0
"""Continuous pings that count exactly: each echo request has a number, and each without a reply is lost by name."""

import os
import select
import socket
import struct
import threading
import time

from netns import SLOWNESS

ECHO_REQUEST, ECHO_REPLY = {4: 8, 6: 128}, {4: 0, 6: 129}
REPLY_WAIT_S = 2.0 * SLOWNESS
FLOOD_WINDOW = 4  # unanswered pings of a flow; more would overflow the queues of the kernel
FLOOD_PATIENCE_S = 0.001  # then the next is sent all the same
FIRST_REPLY_WAIT_S = 10.0 * SLOWNESS


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


class Flow:
    """Pings from one namespace to one address."""

    def __init__(self, namespace, address, label):
        self.address = address
        self.label = label
        self.family = 6 if ":" in address else 4
        if self.family == 4:
            self.socket = namespace.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
        else:
            self.socket = namespace.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
        self.socket.setblocking(False)
        self.id = int.from_bytes(os.urandom(2), "big")
        self.sent = {}  # number -> time of sending, or the error
        self.answered = {}  # number -> seconds
        self.next = 0
        self.last = 0.0

    def send(self):
        number, self.next = self.next, self.next + 1
        body = struct.pack("!HHQ", self.id, number & 0xFFFF, number)
        kind = ECHO_REQUEST[self.family]
        packet = struct.pack("!BBH", kind, 0, checksum(struct.pack("!BBH", kind, 0, 0) + body)) + body
        self.sent[number] = self.last = time.monotonic()
        try:
            self.socket.sendto(packet, (self.address, 0))
        except OSError:
            pass  # not sent is lost, and counted as that

    def receive(self):
        while True:
            try:
                data = self.socket.recv(2048)
            except OSError:
                return
            if self.family == 4:
                data = data[(data[0] & 15) * 4 :]
            if len(data) >= 16 and data[0] == ECHO_REPLY[self.family]:
                ident, _, number = struct.unpack("!HHQ", data[4:16])
                if ident == self.id and number in self.sent and number not in self.answered:
                    self.answered[number] = time.monotonic() - self.sent[number]

    def lost(self):
        return sorted(set(self.sent) - set(self.answered))


class Pinger:
    """Pings over any number of flows until stopped.

        with Pinger([(container_a.namespace, container_b.address), ...]) as pinger:
            ...
        assert pinger.lost == 0, pinger.report()

    Counting begins when every flow had a reply in the same round, so that address resolution is over. Without a rate it
    is a flood: each flow sends its next as soon as one is answered, or a millisecond later.
    """

    def __init__(self, flows, rate=100):
        self.flows = [Flow(namespace, address, f"{namespace.name} to {address}") for namespace, address in flows]
        self.interval_s = 1 / rate if rate else None
        self.ending = threading.Event()
        self.began = None
        self.thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._warm_up()
        self.began = time.monotonic()
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def _receive(self, seconds):
        ready, _, _ = select.select([f.socket for f in self.flows], [], [], max(seconds, 0))
        for flow in self.flows:
            if flow.socket in ready:
                flow.receive()

    def _warm_up(self):
        """Until everybody answered everybody in one round: IPv6 may lose a packet while neighbours are looked for."""
        end = time.monotonic() + FIRST_REPLY_WAIT_S
        while True:
            assert time.monotonic() < end, "no first reply: " + ", ".join(f.label for f in self.flows if not f.answered)
            for flow in self.flows:
                flow.sent.clear()
                flow.answered.clear()
                flow.send()
            round_end = min(end, time.monotonic() + 0.2)
            while any(f.lost() for f in self.flows) and time.monotonic() < round_end:
                self._receive(0.02)
            if not any(f.lost() for f in self.flows):
                break
        for flow in self.flows:
            flow.sent.clear()
            flow.answered.clear()

    def _send_by_rate(self):
        due = time.monotonic()
        while not self.ending.is_set():
            for flow in self.flows:
                flow.send()
            # A test machine that was busy for a while is not made up for by a burst.
            due = max(due + self.interval_s, time.monotonic())
            while (left := due - time.monotonic()) > 0:
                self._receive(left)

    def _flood(self):
        while not self.ending.is_set():
            now = time.monotonic()
            for flow in self.flows:
                if len(flow.sent) - len(flow.answered) < FLOOD_WINDOW or now - flow.last > FLOOD_PATIENCE_S:
                    flow.send()
            self._receive(FLOOD_PATIENCE_S / 2)

    def _run(self):
        if self.interval_s:
            self._send_by_rate()
        else:
            self._flood()
        end = time.monotonic() + REPLY_WAIT_S
        while any(f.lost() for f in self.flows) and time.monotonic() < end:
            self._receive(0.05)

    def stop(self):
        if self.thread.is_alive():
            self.ending.set()
            self.thread.join()
        for flow in self.flows:
            flow.socket.close()

    @property
    def sent(self):
        return sum(len(f.sent) for f in self.flows)

    @property
    def lost(self):
        assert not self.thread.is_alive(), "stop the pinger first"
        return sum(len(f.lost()) for f in self.flows)

    def report(self):
        lines = []
        for flow in self.flows:
            lost = flow.lost()
            if lost:
                first = flow.sent[lost[0]] - self.began
                last = flow.sent[lost[-1]] - self.began
                lines.append(f"{flow.label}: {len(lost)} of {len(flow.sent)} lost, from {first:.2f} s to {last:.2f} s")
        return "; ".join(lines) or f"{self.sent} sent, none lost"
