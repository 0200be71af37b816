# SPDX-License-Identifier: Apache-2.0
"""Clients of the status server that misbehave: what each may cost has a bound, and the others are served."""
import json
import pathlib
import re
import select
import socket
import time

import pytest

from fabric import APART
from netns import stays, wait_for

MB = 1024


@pytest.fixture
def daemon(lab):
    lab.start_etcd()
    lab.configure(APART)
    (host,) = lab.hosts(1, daemons=True)
    host.daemon.wait_ok()
    return host.daemon


def rss_kb(daemon):
    text = pathlib.Path(f"/proc/{daemon.pid}/status").read_text()
    return int(re.search(r"^VmRSS:\s+(\d+) kB", text, re.M)[1])


def cpu_s(daemon):
    fields = pathlib.Path(f"/proc/{daemon.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / 100


def connect(daemon):
    client = socket.socket(socket.AF_UNIX)
    client.connect(str(daemon.socket_path))  # waits while the listener's queue is full
    client.settimeout(5)
    return client


def flood(daemon, clients, what, seconds, peak_kb):
    """Sends as fast as it is taken, reads nothing; the daemon's memory stays below the peak all the time."""
    for client in clients:
        client.setblocking(False)
    end = time.monotonic() + seconds
    alive = list(clients)
    while time.monotonic() < end and alive:
        for client in select.select([], alive, [], 0.1)[1]:
            try:
                client.send(what)
            except BlockingIOError:
                pass
            except OSError:
                alive.remove(client)
        assert rss_kb(daemon) < peak_kb


def test_pipelining_without_reading(daemon):
    """20 connections that ask for the metrics again and again and never read."""
    clients = [connect(daemon) for _ in range(20)]
    flood(daemon, clients, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 1000, 4, 32 * MB)
    assert daemon.request("/v1/status")[0] == 200
    assert len([c for c in pathlib.Path(f"/proc/{daemon.pid}/fd").iterdir()]) < 60


def test_a_watcher_that_keeps_sending(daemon):
    client = connect(daemon)
    client.sendall(b"GET /v1/subnets?watch=1 HTTP/1.1\r\nHost: x\r\n\r\n")
    assert client.recv(100).startswith(b"HTTP/1.1 200")
    flood(daemon, [client], b"x" * 65536, 4, 32 * MB)
    assert daemon.request("/v1/status")[0] == 200


def test_headers_without_end(daemon):
    flood(daemon, [connect(daemon) for _ in range(4)], b"X-Y: " + b"z" * 60000, 2, 32 * MB)
    assert daemon.request("/healthz")[0] == 200


def test_more_idle_connections_than_descriptors(daemon):
    """Neither the store nor others notice, no CPU is spent, and the log says it in a few lines."""
    clients = [connect(daemon) for _ in range(400)]
    before = cpu_s(daemon)
    start = time.monotonic()
    assert daemon.request("/v1/status")[0] == 200
    assert time.monotonic() - start < 1
    stays(lambda: cpu_s(daemon) - before < 0.3, 1, "no CPU is spent")
    wait_for(lambda: len(list(pathlib.Path(f"/proc/{daemon.pid}/fd").iterdir())) < 60, 5, "they are let go")
    assert len(daemon.log().splitlines()) < 60
    for client in clients:
        client.close()


def test_who_asks_is_served_among_many(daemon):
    """The one that has been silent longest goes, never the one that has just come."""
    old = connect(daemon)
    clients = [connect(daemon) for _ in range(16)]
    assert clients[-1].send(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    assert b"flanneld is running" in clients[-1].recv(1000)
    assert old.recv(10) == b""


def test_watchers_have_a_limit(daemon):
    clients = [connect(daemon) for _ in range(10)]
    answers = []
    for client in clients:
        client.sendall(b"GET /v1/subnets?watch=1 HTTP/1.1\r\nHost: x\r\n\r\n")
        answers.append(client.recv(12))
    assert answers.count(b"HTTP/1.1 200") == 8
    assert answers.count(b"HTTP/1.1 503") == 2
    clients[0].close()

    def admitted():
        with connect(daemon) as client:
            client.sendall(b"GET /v1/subnets?watch=1 HTTP/1.1\r\nHost: x\r\n\r\n")
            return client.recv(12) == b"HTTP/1.1 200"

    wait_for(admitted, 5, "who leaves makes room")


def test_a_slow_watcher_gets_the_newest(lab, daemon):
    """It is sent one list at a time: what changed meanwhile is told once, when it has read."""
    with connect(daemon) as client:
        client.sendall(b"GET /v1/subnets?watch=1 HTTP/1.1\r\nHost: x\r\n\r\n")
        reader = client.makefile("rb")
        while reader.readline() != b"\r\n":
            pass
        lab.etcd.put("/coreos.com/network/subnets/10.5.77.0-24", '{"PublicIP":"192.0.2.77","BackendType":"vxlan",'
                     '"BackendData":{"VNI":1,"VtepMAC":"0e:00:00:00:00:77"}}')

        def told():
            line = reader.readline()
            return line.startswith(b"{") and "10.5.77.0/24" in [i["subnet"] for i in json.loads(line)["items"]]

        wait_for(told, 5, "the change is told")


def test_requests_for_the_time_left_are_counted(lab, daemon):
    (other,) = lab.hosts(1, daemons=True)
    daemon.wait_peers(1)
    assert other and daemon.request("/v1/subnets?timeLeft=1")[0] == 200
    assert daemon.metric('flannel_store_requests_total{op="time-left",result="ok"}') >= 1


@pytest.mark.long
def test_clients_that_leave_before_their_answer_cost_nothing(daemon):
    """Watchers, and who asks for a renewal or for the time left: whoever is gone is forgotten in full."""
    requests = (
        b"GET /v1/subnets?watch=1 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /v1/lease/renew HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /v1/subnets?timeLeft=1 HTTP/1.1\r\nHost: x\r\n\r\n",
    )

    def come_and_go(times):
        for _ in range(times):
            for request in requests:
                with connect(daemon) as client:
                    client.sendall(request)
                    if b"watch" in request:
                        client.recv(4096)

    come_and_go(300)
    before = rss_kb(daemon)
    come_and_go(3000)
    assert rss_kb(daemon) < before + 1.5 * MB
    assert daemon.status()["verdict"] == "ok"
