# SPDX-License-Identifier: Apache-2.0
"""Clients of one status server that misbehave until they are ended: clients.py SOCKET SEED.

Some pipeline requests and never read, some read a byte now and then, some watch and stall, some send rubbish or leave
before their answer. Each is dropped or refused by the daemon again and again, and comes again.
"""

import contextlib
import random
import select
import socket
import sys
import time

PIPELINED = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 50
WATCH = b"GET /v1/subnets?watch=1 HTTP/1.1\r\nHost: x\r\n\r\n"
REQUESTS = (PIPELINED, WATCH, b"POST /v1/sync HTTP/1.1\r\nHost: x\r\nContent-Length: 9999\r\n\r\n", b"X: " + b"y" * 9000)
REQUESTS += (b"GET /v1/subnets?timeLeft=1 HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00" * 30, b"GET /v1/status")
CLIENTS = 24
STEP_S = 0.2


class Client:
    def __init__(self, path, dice):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.setblocking(False)
        self.socket.connect(path)
        self.request = dice.choice(REQUESTS)
        self.reads = dice.choice((0, 0, 1, 4096))
        self.ends = time.monotonic() + dice.uniform(0.1, 20)

    def step(self):
        """False once it is over for this one."""
        readable, writable, _ = select.select([self.socket], [self.socket], [], 0)
        if writable:
            self.socket.send(self.request)
        if readable and self.reads:
            return bool(self.socket.recv(self.reads)) and time.monotonic() < self.ends
        return time.monotonic() < self.ends

    def close(self):
        self.socket.close()


def main(path, seed):
    dice = random.Random(seed)
    clients = []
    while True:
        if len(clients) < CLIENTS:
            with contextlib.suppress(OSError):  # the daemon is away, or its queue is full
                clients.append(Client(path, dice))
        for client in list(clients):
            try:
                alive = client.step()
            except OSError:
                alive = False
            if not alive:
                client.close()
                clients.remove(client)
        time.sleep(STEP_S / CLIENTS)  # how fast they misbehave: nothing is waited for


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
