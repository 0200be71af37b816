# SPDX-License-Identifier: Apache-2.0
"""A TCP proxy in front of etcd that can be told to misbehave, in the middle of a connection too."""

import select
import socket
import threading

RUBBISH = bytes(range(256)) * 64
# In a question for all leases: by JSON, and by gRPC, where the end of the range stands as it is.
LIST = b"range_end", b"/subnets0"
# HTTP/2: no more requests on this connection; those with lower numbers than the highest that there is go on.
GOAWAY = bytes([0, 0, 8, 7, 0, 0, 0, 0, 0, 0x7F, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0])


class Proxy:
    """Listens on its own address in the underlay and passes everything on to one address.

    `mode` may be changed at any time and holds for open and for new connections:

        pass       as if it were not there
        slow       every piece of an answer comes `delay_s` late
        stall      of each answer one byte more, then nothing: the connection stays open
        rubbish    answers are replaced by bytes that are not HTTP
        nonsense   answers are HTTP 200 with JSON that means nothing
        endless    answers are HTTP 200 with one line that does not end, `endless_bytes` long
        hold       who asks for a list waits until the mode is another, with all that comes on the same connection
        refuse     new connections are closed at once, open ones cut
        http1      as a load balancer of HTTP/1.1: what begins with HTTP/2 is answered with 400, all else passes
        goodbye    as etcd 3.5.30 and 3.6 after SIGTERM: open connections of HTTP/2 hear GOAWAY and no more, nobody listens
    """

    def __init__(self, namespace, address, target, port=2379):
        self.namespace = namespace
        self.address = address
        self.port = port
        self.target = target
        self.mode = "pass"
        self.delay_s = 2.0
        self.endless_bytes = 80 << 20
        self.ending = False
        self.accepted = 0  # connections
        self.open = set()
        self.clients = set()
        self.lock = threading.Lock()
        self.changed = threading.Condition()  # mode or ending
        namespace.ip_batch([f"addr add {address}/24 dev br0"])
        self.listener = namespace.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind((address, port))
        self.listener.listen(64)
        self.listener.settimeout(0.2)
        self.threads = [self._start(self._accept)]

    @property
    def endpoint(self):
        return f"http://{self.address}:{self.port}"

    def _start(self, function, *args):
        thread = threading.Thread(target=function, args=args, daemon=True)
        thread.start()
        return thread

    def _accept(self):
        while not self.ending and self.mode != "goodbye":
            try:
                client, _ = self.listener.accept()
            except OSError:
                continue
            self.accepted += 1
            if self.mode == "refuse":
                client.close()
                continue
            self.threads.append(self._start(self._serve, client))

    def _serve(self, client):
        try:
            server = self.namespace.connect(self.target, self.port, 3)
        except OSError:
            client.close()
            return
        with self.lock:
            self.open |= {client, server}
            self.clients |= {client}
        try:
            self._pump(client, server)
        except (OSError, ValueError):
            pass
        finally:
            with self.lock:
                self.open -= {client, server}
                self.clients -= {client}
            client.close()
            server.close()

    def _wait_while(self, condition, at_most_s=None):
        with self.changed:
            self.changed.wait_for(lambda: self.ending or not condition(), at_most_s)

    def _pump(self, client, server):
        stalled = False
        while not self.ending:
            ready, _, _ = select.select([client, server], [], [], 0.1)
            if client in ready:
                data = client.recv(1 << 16)
                if not data:
                    return
                if self.mode == "http1" and data.startswith(b"PRI * HTTP/2.0"):
                    client.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                    return
                if any(words in data for words in LIST):
                    self._wait_while(lambda: self.mode == "hold")
                server.sendall(data)
            if server in ready:
                data = server.recv(1 << 16)
                if not data:
                    return
                mode = self.mode
                if mode == "goodbye":
                    continue
                if mode == "slow":
                    self._wait_while(lambda: True, self.delay_s)
                    client.sendall(data)
                elif mode == "stall":
                    if not stalled:
                        client.sendall(data[:1])
                    stalled = True
                elif mode == "rubbish":
                    client.sendall(RUBBISH)
                elif mode == "nonsense":
                    body = b'{"result":{"events":"many"},"kvs":7,"header":[]}\n{"a":'
                    client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
                elif mode == "endless":
                    client.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
                    for _ in range(self.endless_bytes >> 16):
                        client.sendall(b"x" * (1 << 16))
                    return
                else:
                    client.sendall(data)

    def cut(self):
        """All open connections end with a reset, as when a middlebox forgets them."""
        with self.lock:
            for one in self.open:
                try:
                    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
                    one.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def set(self, mode):
        with self.changed:
            self.mode = mode
            self.changed.notify_all()
        if mode == "refuse":
            self.cut()
        if mode == "goodbye":
            self.listener.shutdown(socket.SHUT_RDWR)
            with self.lock:
                for client in self.clients:
                    client.sendall(GOAWAY)

    def close(self):
        with self.changed:
            self.ending = True
            self.changed.notify_all()
        self.cut()
        self.listener.close()
        for thread in self.threads:
            thread.join(5)
