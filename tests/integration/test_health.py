# SPDX-License-Identifier: Apache-2.0
"""What is wrong: shown with a severity and a since, logged once when it begins and once when it is over."""
import json
import re
from datetime import datetime, timedelta, timezone

import pytest

from etcd import PREFIX
from fabric import APART
from netns import run, stays, wait_for
from witness import lease_value


@pytest.fixture
def h1(lab):
    lab.start_etcd()
    lab.configure(APART)
    (host,) = lab.hosts(1, daemons=True)
    host.daemon.wait_ok()
    return host


def lines(daemon, name):
    """Level and text of the log's lines about this problem."""
    return [m.groups() for m in re.finditer(rf"^\S+ (\w+) +{name}: (.*)$", daemon.log(), re.M)]


def test_begin_since_and_end(h1):
    before = datetime.now(timezone.utc) - timedelta(seconds=1)
    h1.namespace.ip("addr", "flush", "dev", "eth0")
    status = h1.daemon.wait_status(lambda s: "underlay-lost" in {p["name"] for p in s["problems"]}, 5, "the loss is shown")
    problem = next(p for p in status["problems"] if p["name"] == "underlay-lost")
    assert problem["severity"] == "error" and status["verdict"] == "degraded"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", problem["since"])
    assert before < datetime.fromisoformat(problem["since"].replace("Z", "+00:00")) < datetime.now(timezone.utc)
    assert h1.daemon.metric('flannel_problem{name="underlay-lost",severity="error"}') == 1
    stays(lambda: len(lines(h1.daemon, "underlay-lost")) == 1, 2, "one line, however often it is found")
    again = next(p for p in h1.daemon.status()["problems"] if p["name"] == "underlay-lost")
    assert again["since"] == problem["since"]
    h1.fill_eth0()
    h1.daemon.wait_ok()
    wait_for(lambda: len(lines(h1.daemon, "underlay-lost")) == 2, 5, "its end is logged")
    (level, text), (level_end, text_end) = lines(h1.daemon, "underlay-lost")
    assert level == "error" and "everything stays as it is" in text
    assert level_end == "info" and re.fullmatch(r"over after \d+\.\d{3} s", text_end)
    assert 'flannel_problem{name="underlay-lost",severity="error"}' not in h1.daemon.metrics()


def test_a_start_in_peace_tells_of_no_problem(h1):
    names = {name for name in re.findall(r"^\S+ (?:error|warn) +([^:]+):", h1.daemon.log(), re.M)}
    assert names == set(), h1.daemon.log()


def test_the_start_time_is_a_constant(h1):
    first = h1.daemon.metric("process_start_time_seconds")
    stays(lambda: h1.daemon.metric("process_start_time_seconds") == first, 1, "it does not follow the clock")


@pytest.mark.parametrize("deed", ["rm {}", "echo FLANNEL_MTU=1 >> {}", "mv {} {}.old", "rm -r $(dirname {})"])
def test_subnet_env_is_kept(h1, deed):
    file = h1.daemon.directory / "run" / "subnet.env"
    h1.daemon.stop()
    h1.daemon.flags["subnet_file"] = file
    h1.daemon.start().wait_ready()
    kept = file.read_bytes()
    run("sh", "-c", deed.format(file, file))
    wait_for(lambda: file.exists() and file.read_bytes() == kept, 2, "it is written again")
    wait_for(lambda: lines(h1.daemon, "subnet-file-healed"), 2, "it is said")
    assert len(lines(h1.daemon, "subnet-file-healed")) <= 2


def test_a_fight_over_subnet_env(h1):
    """Who deletes it all the time is answered more and more slowly, and named."""
    file = h1.daemon.subnet_file
    writes = 0

    def delete():
        nonlocal writes
        if file.exists():
            file.unlink()
            writes += 1
        return "fighting" in h1.daemon.problems()

    wait_for(delete, 10, "the fight is a problem")
    problem = next(p for p in h1.daemon.status()["problems"] if p["name"] == "fighting")
    assert str(file) in problem["text"] and problem["severity"] == "warning"
    before = writes
    stays(lambda: delete() or True, 3, "it goes on")
    assert writes - before <= 8


def test_reservations_are_no_live_peers(lab, h1):
    lab.etcd.put(f"{PREFIX}/subnets/10.5.77.0-24", lease_value("192.0.2.77", "0e:00:00:00:00:77"))
    wait_for(lambda: h1.daemon.metric('flannel_peers{state="reserved"}') == 1, 5, "it is one")
    assert h1.daemon.metric('flannel_peers{state="used"}') == 0
    assert h1.daemon.status()["peersReserved"] == 1


def test_a_third_host_sees_one_address_twice(lab, h1):
    """Both are used, as far as that goes; who is neither says that only one of them can be reached."""
    lease = lab.etcd.grant(60)
    for n in (77, 78):
        value = json.loads(lease_value("192.0.2.77", f"0e:00:00:00:00:{n}"))
        value["Node"] = {"ID": f"id{n}", "Name": f"h{n}"}
        lab.etcd.put(f"{PREFIX}/subnets/10.5.{n}.0-24", json.dumps(value), lease)
    name = "public-address-twice"
    status = h1.daemon.wait_status(lambda s: name in {p["name"] for p in s["problems"]})
    problem = next(p for p in status["problems"] if p["name"] == name)
    assert problem["severity"] == "warning"
    assert "10.5.77.0/24, the lease of h77, and 10.5.78.0/24, the lease of h78" in problem["text"]
    assert "192.0.2.77" in problem["text"] and status["verdict"] == "degraded"
    assert h1.daemon.metric('flannel_problem{name="public-address-twice",severity="warning"}') == 1
    lab.etcd.delete(f"{PREFIX}/subnets/10.5.77.0-24")
    h1.daemon.wait_ok()
    wait_for(lambda: len(lines(h1.daemon, name)) == 2, 5, "its end is logged")
    assert [level for level, _ in lines(h1.daemon, name)] == ["warn", "info"]


def test_the_start_of_the_process_stays(h1):
    """A step of the clock is no restart, nor is anything else but one."""
    before = h1.daemon.metric("process_start_time_seconds")
    stays(lambda: h1.daemon.metric("process_start_time_seconds") == before, 1.2, "the same")
    h1.daemon.restart()
    assert h1.daemon.metric("process_start_time_seconds") > before


def test_every_peer_has_a_line(lab, h1):
    key = f"{PREFIX}/subnets/10.5.77.0-24"
    lab.etcd.put(key, lease_value("192.0.2.77", "0e:00:00:00:00:77"))
    h1.daemon.wait_log(r"info +peer-joined: 10.5.77.0/24: .* at 192.0.2.77")
    lab.etcd.put(key, lease_value("192.0.2.78", "0e:00:00:00:00:77"))
    h1.daemon.wait_log(r"peer-changed: 10.5.77.0/24: public address 192.0.2.77 -> 192.0.2.78")
    lab.etcd.delete(key)
    h1.daemon.wait_log(r"peer-left: 10.5.77.0/24: .* at 192.0.2.78")
    events = [e["event"] for e in h1.daemon.json("/v1/events")["items"]]
    assert [e for e in events if e.startswith("peer-")] == ["peer-left", "peer-changed", "peer-joined"]


def begun(daemon, since):
    """Names of the events after `since` of them, oldest first."""
    items = daemon.json("/v1/events")["items"]
    return [e["event"] for e in reversed(items[: len(items) - since])]


def test_causes_are_told_before_what_follows(lab, h1):
    """The underlay's interface is taken away, and the kernel takes the tunnel's device with it."""
    lab.etcd.put(f"{PREFIX}/subnets/10.5.77.0-24", lease_value("192.0.2.77", "0e:00:00:00:00:77"))
    h1.daemon.wait_peers(1)
    since = len(h1.daemon.json("/v1/events")["items"])
    h1.namespace.ip_batch(["link del eth0"])
    h1.daemon.wait_status(lambda s: {"underlay-lost", "device-failed"} <= {p["name"] for p in s["problems"]})
    # Nothing was put back: there is nothing to put it on.
    assert begun(h1.daemon, since) == ["underlay-lost", "device-gone", "device-failed"]


def test_a_deleted_device_is_told_before_its_repair(lab, h1):
    lab.etcd.put(f"{PREFIX}/subnets/10.5.77.0-24", lease_value("192.0.2.77", "0e:00:00:00:00:77"))
    h1.daemon.wait_peers(1)
    since = len(h1.daemon.json("/v1/events")["items"])
    h1.namespace.ip_batch(["link del flannel.1"])
    h1.daemon.wait_log("device-repaired")
    h1.daemon.wait_ok()
    assert begun(h1.daemon, since)[:2] == ["device-gone", "device-repaired"]
    assert "drift-healed" not in begun(h1.daemon, since)


@pytest.mark.parametrize("what", ["route", "neighbour", "fdb", "element"])
def test_what_was_put_back_is_named_with_its_peer(lab, h1, what):
    lab.etcd.put(f"{PREFIX}/subnets/10.5.77.0-24", lease_value("192.0.2.77", "0e:00:00:00:00:77"))
    h1.daemon.wait_peers(1)
    if what == "element":
        h1.namespace.nft("delete element inet flannel.1 fabric-peers { 192.0.2.77 }")
    elif what == "fdb":
        h1.namespace.run("bridge", "fdb", "del", "0e:00:00:00:00:77", "dev", "flannel.1")
    else:
        kind = {"route": "route del 10.5.77.0/24", "neighbour": "neigh del 10.5.77.0 dev flannel.1"}[what]
        h1.namespace.ip_batch([kind])
    h1.daemon.wait_log(rf"drift-healed: {what} .*of peer 10\.5\.77\.0/24 is missing or altered, put back")
    assert len(re.findall("drift-healed", h1.daemon.log())) == 1


def test_who_replaced_a_route_is_told(lab, h1):
    """A route of ours is taken back; the line says what stood there, by its protocol, and whose hand it was."""
    lab.etcd.put(f"{PREFIX}/subnets/10.5.77.0-24", lease_value("192.0.2.77", "0e:00:00:00:00:77"))
    h1.daemon.wait_peers(1)
    eth0 = h1.link("eth0")["ifindex"]
    h1.namespace.ip_batch(["route replace 10.5.77.0/24 dev eth0 proto static"])
    h1.daemon.wait_log(
        rf"drift-healed: route 10\.5\.77\.0/24 via .* of peer 10\.5\.77\.0/24 is missing or altered, put back; "
        rf"in its place stood route 10\.5\.77\.0/24 dev {eth0} proto 4, by (ip|a process that has ended) \(port id \d+\)"
    )
    lab.wait_equal()


def test_debug_says_what_is_sent_by_grpc(lab):
    lab.start_etcd()
    lab.configure(APART)
    daemon = lab.host().start_daemon(log_level="debug", etcd_transport="grpc")
    where = r"debug etcd-call: POST http://192\.0\.2\.201:2379/etcdserverpb\.KV/Txn"
    assert daemon.logged(rf"{where} {daemon.key()}, \d+ bytes: HTTP 200, grpc-status 0, \d+ bytes, \d+ ms")
    stream = r"debug etcd-stream: http://192\.0\.2\.201:2379/etcdserverpb\.Watch/Watch: "
    assert daemon.logged(rf"{stream}\d+ bytes, created, 0 events, revision \d+, \d+ ms")
    revision = lab.etcd.put(f"{PREFIX}/subnets/10.5.77.0-24", lease_value("192.0.2.77", "0e:00:00:00:00:77"))
    daemon.wait_log(rf"{stream}\d+ bytes, 1 events, revision {revision}, \d+ ms")
    lab.etcd.kill()
    daemon.wait_log(rf"{stream}ended: .+, \d+ ms")


def test_debug_says_what_is_sent(lab):
    lab.start_etcd()
    lab.configure(APART)
    host = lab.host()
    host.start_daemon(log_level="debug", etcd_transport="json")
    lab.etcd.put(f"{PREFIX}/subnets/10.5.77.0-24", lease_value("192.0.2.77", "0e:00:00:00:00:77"))
    host.daemon.wait_log(r"debug kernel-write: put route 10.5.77.0/24")
    subnet, daemon = host.daemon.subnet(), host.daemon
    assert daemon.logged(rf"debug store-request: create {subnet}")
    assert daemon.logged(r"debug store-reply: create: ok in \d+\.\d ms, revision \d+")
    # To the store: method, key, bytes, status, bytes, time. No value: it may be a secret.
    call = r"debug etcd-call: POST http://192\.0\.2\.201:2379/v3/{} {}, \d+ bytes: HTTP 200, \d+ bytes, \d+ ms"
    assert daemon.logged(call.format("kv/txn", daemon.key())) and daemon.logged(call.format("kv/range", f"{PREFIX}/config"))
    assert daemon.logged(call.format("lease/grant", "lease [0-9a-f]+"))
    assert daemon.logged(r"debug store-event: put 10\.5\.77\.0/24, revision \d+")
    # What is decided, and why.
    assert daemon.logged("debug interface-chosen: IPv4: eth0, by the default route")
    assert daemon.logged(rf"debug subnet-chosen: {subnet}: a free one, drawn at random")
    assert daemon.logged("info +rules-mode: nftables: ")
    daemon.stop()
    daemon.flags |= {"iface": "eth0"}
    daemon.start().wait_ready()
    assert daemon.logged(rf"debug subnet-chosen: {subnet}: the store has it under this host's node id")
    assert daemon.logged("debug interface-chosen: IPv4: eth0, by iface\n")
    daemon.stop()
    lab.etcd.delete(daemon.key())
    daemon.start().wait_ready()
    assert daemon.logged(rf"debug subnet-chosen: {subnet}: free, and that of the last run")
