# SPDX-License-Identifier: Apache-2.0
"""fabricctl peers, diff and sync: what the kernel has against what the leases want, with real daemons."""

import json
import os
import re
import signal
import subprocess

import pytest

from fabric import DUAL, FABRICCTL
from netns import wait_for
from fabricctl_support import (
    CONFIG,
    DENIED,
    ENVIRONMENT,
    FAILED,
    FOUND,
    NO_DAEMON,
    OK,
    ask,
    assert_three_lines,
    fabricctl,
    lease_text,
    put_lease,
)

KINDS = {"element", "route", "neighbour", "fdb"}


@pytest.fixture
def two(lab):
    lab.start_etcd()
    lab.configure(CONFIG)
    return lab.hosts(2, daemons=True)


def while_stopped(daemon, change, *args):
    """What a command prints to whom the daemon, stopped meanwhile, tells of a change made behind its back."""
    daemon.signal(signal.SIGSTOP)
    argv = [str(a) for a in (FABRICCTL, *args, "--socket", daemon.socket_path)]
    try:
        change()
        process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT)
        wait_for(lambda: waiting(daemon) == 1, 5, "the request waits")
    finally:
        daemon.signal(signal.SIGCONT)
    out, err = process.communicate(timeout=20)
    assert err == ""
    return process.returncode, out


def waiting(daemon):
    """Connections to the daemon's socket that were not accepted yet."""
    for line in daemon.host.namespace.run("ss", "-xlH").splitlines():
        fields = line.split()
        if fields[4] == str(daemon.socket_path):
            return int(fields[2])
    return 0


def test_peers_in_every_format(lab, two):
    h1, h2 = two
    put_lease(lab, "10.5.251.0-24", "192.0.2.251", backend="host-gw")
    h1.daemon.wait_status(lambda s: s["peersIgnored"] == 1)
    peer = h2.daemon.subnet()

    table = ask(h1, "peers").splitlines()
    assert table[0].split() == "SUBNET NODE PUBLIC IP ROUTE NEIGHBOUR FDB KERNEL REASON".split()
    rows = {line.split()[0]: line.split() for line in table[1:]}
    assert set(rows) == {peer, "10.5.251.0/24"}
    assert rows[peer][1:] == ["h2", "192.0.2.2", "ok", "ok", "ok", "ok", "-"]
    assert rows["10.5.251.0/24"][3:7] == ["-", "-", "-", "ignored"] and "host-gw" in " ".join(rows["10.5.251.0/24"])
    # Words: libsmartcols pads to the width of a hidden header before 2.41, and not from then on.
    bare = ask(h1, "peers", "--no-headers").splitlines()
    assert [line.split() for line in bare] == [line.split() for line in table[1:]]
    assert f"lladdr {h2.vtep_mac()}" in ask(h1, "peers", "-o", "wide") or h2.vtep_mac() in ask(h1, "peers", "-o", "wide")

    document = json.loads(ask(h1, "peers", "-o", "json"))
    assert document["apiVersion"] == "fabric/v1" and document["kind"] == "PeerList"
    item = next(i for i in document["items"] if i["subnet"] == peer)
    assert not item["own"] and item["kernel"] == "ok"
    assert {o["kind"] for o in item["objects"]} == KINDS
    for o in item["objects"]:
        assert o["family"] == "ipv4" and o["settled"] is True and o["error"] is None and o["object"].startswith(o["kind"])
    assert next(i for i in document["items"] if i["subnet"] != peer)["objects"] == []

    raw = [line.split("\t") for line in ask(h1, "peers", "-o", "raw").splitlines()]
    assert all(len(fields) == 12 for fields in raw) and {fields[0] for fields in raw} == set(rows)
    assert len(ask(h1, "peers", "-o", "jsonl").splitlines()) == 2
    assert set(ask(h1, "peers", "-o", "name").split()) == set(rows)


def test_members_of_items_that_somebody_wants(two):
    """The rest is neither built nor sent; items are arrays of their values, and what there is not is null."""
    h1, h2 = two
    h1.daemon.wait_peers(1)
    answer = h1.daemon.json("/v1/peers?fields=subnet,route,fdbV6,no-such,route")
    assert answer["fields"] == ["subnet", "route", "fdbV6", "no-such", "route"]
    assert answer["items"] == [[h2.daemon.subnet(), "ok", None, None, None]]
    for query in ("?fields=node,expiresSeconds", "?fields=node,expiresSeconds&timeLeft=1"):
        left = dict(h1.daemon.json("/v1/subnets" + query)["items"])
        assert left["h1"] > 0
        assert left["h2"] is None if "timeLeft" not in query else left["h2"] > 0
    assert h1.daemon.json("/v1/mtu?fields=verdict")["items"] in ([], [["ok"]], [["unknown"]])


def test_peers_of_two_families(lab):
    lab.start_etcd()
    lab.configure(DUAL)
    h1, _ = lab.hosts(2, daemons=True)
    header, row = ask(h1, "peers").splitlines()
    assert "ROUTE  NEIGHBOUR  FDB  ROUTE V6  NEIGH V6  FDB V6" in re.sub(" {2,}", "  ", header)
    assert row.split()[3:10] == ["ok"] * 7
    objects = json.loads(ask(h1, "peers", "-o", "json"))["items"][0]["objects"]
    assert {(o["kind"], o["family"]) for o in objects} == {(k, f) for k in KINDS for f in ("ipv4", "ipv6")}


def test_peers_names_what_the_kernel_refuses(lab, two):
    """A route of somebody else stands in the slot of the peer's, and it is not the daemon's to change."""
    h1, h2 = two
    subnet = h2.daemon.subnet()
    h1.daemon.stop()
    h1.namespace.ip_batch([f"route delete {subnet} dev flannel.1", f"route add {subnet} dev lo proto static"])
    h1.daemon.start()
    h1.daemon.wait_status(lambda s: s["kernel"]["failed"] == 1)
    assert ask(h1, "peers", "--no-headers").split()[3:7] == ["failed", "ok", "ok", "failed"]
    item = json.loads(ask(h1, "peers", "-o", "json"))["items"][0]
    route = next(o for o in item["objects"] if o["kind"] == "route")
    assert route["settled"] is False and "not ours" in route["error"]
    assert [x for x in ask(h1, "diff", status=FOUND).splitlines() if x.startswith("+ route ") and subnet in x]


def test_diff_and_sync(lab, two):
    h1, h2 = two
    assert ask(h1, "diff") == ""
    assert json.loads(ask(h1, "diff", "-o", "json"))["items"] == []
    assert ask(h1, "sync") == "nothing to do: the kernel is as the leases want it\n"

    mac = h2.vtep_mac()
    subnet = h2.daemon.subnet()
    route = f"route delete {subnet} dev flannel.1"
    foreign = "neigh add 10.5.7.7 lladdr 02:00:00:00:00:77 dev flannel.1 nud permanent"

    def vandalise():
        h1.namespace.ip_batch([route, foreign])
        h1.namespace.run("bridge", "fdb", "replace", mac, "dev", "flannel.1", "dst", "192.0.2.99", "self")

    def seen():
        status, text = while_stopped(h1.daemon, vandalise, "diff")
        assert status == FOUND, text
        lines = text.splitlines()
        assert [x for x in lines if x.startswith("+ route ") and subnet in x], text
        assert [x for x in lines if x.startswith("- neighbour ") and "10.5.7.7" in x], text
        assert [x for x in lines if x.startswith("~ fdb ") and mac in x and "192.0.2.2" in x], text
        return True

    # The daemon hears of it by itself, too, some milliseconds later.
    wait_for(lambda: healed(h1, seen), 20, "a difference is shown")
    lab.wait_equal()
    assert ask(h1, "sync", "--dry-run") == ""

    # Another one each time: what is undone again and again is a fight, and put back later.
    strays = (f"neigh add 10.5.8.{n} lladdr 02:00:00:00:00:77 dev flannel.1 nud permanent" for n in range(1, 200))

    def applied():
        status, text = while_stopped(h1.daemon, lambda: h1.namespace.ip_batch([next(strays)]), "sync")
        assert status == OK and re.fullmatch(r"applied 1 change in \d+\.\d ms\n", text), text
        return True

    wait_for(lambda: healed(h1, applied), 20, "a change is applied")
    lab.wait_equal()
    assert json.loads(ask(h1, "sync", "-o", "json"))["writes"] == 0


def test_diff_and_sync_of_traffic_rules(lab, two):
    h1, _ = two
    table = ("inet", "flannel.1")
    changes = [
        (("add", "table", *table, "{ flags dormant; }"), "~ table flannel.1: table flannel.1 is dormant"),
        (("flush", "chain", *table, "fabric-guard"), "fabric-guard"),
        (("flush", "set", *table, "fabric-peers"), "+ element 192.0.2.2"),
        (("delete", "table", *table), "table flannel.1 is missing"),
    ]

    def change(*argv):
        # What is undone again and again is put back later and later: it may be gone already.
        return lambda: h1.namespace.run("nft", *argv, check=False)

    def applied():
        status, text = while_stopped(h1.daemon, change("flush", "chain", *table, "fabric-tunnel"), "sync")
        assert status == OK and re.fullmatch(r"applied \d+ changes in \d+\.\d ms\n", text), text
        return True

    wait_for(applied, 20, "the rules are put back at once")

    for argv, says in changes:
        def shown():
            status, text = while_stopped(h1.daemon, change(*argv), "diff")
            assert status == FOUND, text
            assert says in text, text
            return True

        wait_for(shown, 20, f"{argv} is shown")
        wait_for(lambda: ask(h1, "diff") == "", 20, "the rules are put back")
    assert ask(h1, "diff") == ""


def healed(host, check):
    host.lab.wait_equal()
    return check()


def test_only_root_syncs(lab, two):
    h1, _ = two
    os.chmod(lab.directory, 0o755)
    os.chmod(h1.daemon.directory, 0o755)
    os.chmod(h1.daemon.socket_path, 0o666)
    binary = lab.directory / "fabricctl"
    binary.write_bytes(FABRICCTL.read_bytes())
    binary.chmod(0o755)

    def as_nobody(*args):
        return subprocess.run(
            [binary, *args, "--socket", h1.daemon.socket_path], capture_output=True, text=True, check=False, timeout=30,
            env=ENVIRONMENT, cwd="/", user=65534, group=65534, extra_groups=[],
        )  # fmt: skip

    assert as_nobody("diff").returncode == OK
    assert as_nobody("sync", "--dry-run").returncode == OK
    done = as_nobody("sync")
    assert done.returncode == DENIED and done.stdout == ""
    assert_three_lines(done.stderr, "refuses", "only root", "sudo")


def test_before_there_is_a_lease(lab):
    lab.start_etcd()
    host = lab.host()
    host.start_daemon(ready=False).wait_listening()
    assert ask(host, "peers", "-o", "name") == ""
    done = fabricctl("diff", "--socket", host.daemon.socket_path)
    assert done.returncode == FAILED
    assert_three_lines(done.stderr, "cannot do this now", "no lease yet", "fabricctl status")


@pytest.mark.parametrize("command", ["peers", "diff", "sync"])
def test_without_a_daemon(tmp_path, command):
    done = fabricctl(command, "--socket", tmp_path / "flanneld.sock")
    assert done.returncode == NO_DAEMON and done.stdout == ""
    assert_three_lines(done.stderr, "cannot reach flanneld", "not running", "fabricctl ")


def test_hostile_names(lab, two):
    h1, _ = two
    lab.etcd.put(
        "/coreos.com/network/subnets/10.5.254.0-24", lease_text("192.0.2.254", name="evil\x1b[31m"), lab.etcd.grant(5000)
    )
    h1.daemon.wait_peers(2)
    assert "evil\\033[31m" in ask(h1, "peers") and "\x1b" not in ask(h1, "peers")
