# SPDX-License-Identifier: Apache-2.0
"""fabricctl against real daemons and a real etcd: every command, every format, every exit status."""

import contextlib
import fcntl
import json
import os
import pty
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import termios
import threading
import time

import pytest

from etcd import PREFIX
from fabric import FABRICCTL, ROOT
from netns import end_process, wait_for

OK, FAILED, USAGE, FOUND, NO_DAEMON, NO_STORE, DENIED, TIMEOUT, NOT_FOUND = range(9)
# Daemons choose at random, but not the subnets from 10.5.200.0 on, of which the leases made up here are.
CONFIG = {"Network": "10.5.0.0/16", "SubnetMax": "10.5.199.0", "Backend": {"Type": "vxlan"}}
COMMANDS = "subnets status peers diff sync lease config store version help completion".split()
HOSTILE = "evil\x1b[31m\u202eeman\x07\n\\"
HOSTILE_SHOWN = "evil\\033[31m\\u202eeman\\007\\n\\\\"
ENVIRONMENT = {
    key: value
    for key, value in os.environ.items()
    if not key.startswith(("FLANNELD_", "LC_", "CLICOLOR")) and key not in ("NO_COLOR", "LANG")
} | {"LC_ALL": "C.UTF-8", "TERM": "xterm"}


def fabricctl(*args, where=None, **options):
    """Runs it to its end, in a host's namespace if one is given: has returncode, stdout, stderr."""
    options["env"] = ENVIRONMENT | options.get("env", {})
    argv = [str(a) for a in (FABRICCTL, *args)]
    return subprocess.run(
        where.namespace.argv(*argv) if where else argv,
        capture_output="stdout" not in options,
        text=True,
        timeout=60,
        check=False,
        **options,
    )


def ask(host, *args, status=OK, **options):
    """One command about the daemon of a host; the exit status must be `status`. Returns what it printed."""
    done = fabricctl(*args, "--socket", host.daemon.socket_path, **options)
    assert done.returncode == status, f"{args}: {done.returncode}\n{done.stdout}{done.stderr}"
    assert bool(done.stderr) == (status not in (OK, FOUND)), done.stderr
    return done.stdout


def ask_store(lab, *args, status=OK, **options):
    """The same without a daemon, from the underlay's namespace, and whatever id the machine itself may have."""
    if "--state-dir" not in args:
        args += ("--state-dir", "/nonexistent")
    done = fabricctl(
        *args, "--store", "--etcd-endpoints", lab.etcd.endpoints, "--config-file", "/dev/null", where=Underlay(lab),
        **options,
    )  # fmt: skip
    assert done.returncode == status, f"{args}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


class Underlay:
    def __init__(self, lab):
        self.namespace = lab.underlay


def lease_text(address, name=None, backend="vxlan"):
    value = {"PublicIP": address, "PublicIPv6": None, "BackendType": backend}
    if backend == "vxlan":
        value["BackendData"] = {"VNI": 1, "VtepMAC": "02:00:00:00:00:%02x" % int(address.split(".")[3])}
    if name is not None:
        value["Node"] = {"ID": "made-up", "Name": name}
    return json.dumps(value)


def put_lease(lab, key, *args, lease=None, **options):
    lab.etcd.put(f"{PREFIX}/subnets/{key}", lease_text(*args, **options), lease)


def items(text):
    return json.loads(text)["items"]


def assert_three_lines(text, what, why, hint):
    lines = text.splitlines()
    assert len(lines) == 3, text
    assert lines[0].startswith("fabricctl: ") and what in lines[0]
    assert lines[1].startswith("  ") and why in lines[1]
    assert lines[2].startswith("  try: ") and hint in lines[2]


class Watch:
    """fabricctl under way; its lines are collected as they come."""

    def __init__(self, *argv, **options):
        self.lines = []
        self.process = subprocess.Popen(
            [str(a) for a in argv], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT, **options
        )
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))

    def wait(self, pattern, deadline_s=5):
        wait_for(lambda: [x for x in self.lines if re.search(pattern, x)], deadline_s, f"a line {pattern!r}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        end_process(self.process)
        self.thread.join(5)
        self.process.stdout.close()
        self.process.stderr.close()


def on_a_terminal(argv, columns=200, until=None, **environment):
    """What a program writes to a terminal: all of it, or the part that ends with `until`."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    process = subprocess.Popen(
        [str(a) for a in argv], stdin=follower, stdout=follower, stderr=follower, env=ENVIRONMENT | environment
    )
    os.close(follower)
    text = ""
    end = time.monotonic() + 10
    try:
        while time.monotonic() < end and not (until and until in text):
            if not select.select([leader], [], [], 0.1)[0]:
                continue
            try:
                data = os.read(leader, 65536)
            except OSError:
                break
            if not data:
                break
            text += data.decode()
        if until:
            assert until in text, text
            process.send_signal(signal.SIGINT)
        process.wait(10)
    finally:
        end_process(process)
        os.close(leader)
    return text


@pytest.fixture
def two(lab):
    """Two hosts with daemons, and a lease that another implementation might have written."""
    lab.start_etcd()
    lab.configure(CONFIG)
    hosts = lab.hosts(2, daemons=True)
    put_lease(lab, "10.5.250.0-24", "192.0.2.250", lease=lab.etcd.grant(5000))
    for host in hosts:
        host.daemon.wait_peers(2)
    return hosts


# ---- subnets


def test_subnets_in_every_format(lab, two):
    h1, h2 = two
    own, peer = h1.daemon.subnet(), h2.daemon.subnet()

    table = ask(h1, "subnets").splitlines()
    assert table[0].split() == "SUBNET NODE PUBLIC IP BACKEND MAC TIME LEFT ROLE KERNEL".split()
    rows = {line.split()[0]: line.split() for line in table[1:]}
    assert rows[own][1:4] == ["h1", "192.0.2.1", "vxlan"] and rows[own][-2:] == ["own", "ok"]
    assert rows[own][4] == h1.vtep_mac()
    assert rows[peer][1:3] == ["h2", "192.0.2.2"] and rows[peer][-2:] == ["peer", "ok"]
    assert rows["10.5.250.0/24"][1] == "-" and rows["10.5.250.0/24"][5].startswith("1h2")

    assert "NODE ID" in ask(h1, "subnets", "-o", "wide").splitlines()[0]

    document = json.loads(ask(h1, "subnets", "-o", "json"))
    assert document["apiVersion"] == "fabric/v1" and document["kind"] == "SubnetList"
    assert document["source"] == "daemon" and document["junk"] == []
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", document["generated"])
    by_subnet = {i["subnet"]: i for i in document["items"]}
    assert len(by_subnet) == 3
    assert by_subnet[own]["own"] is True and by_subnet[own]["kernel"] == "ok"
    assert 4900 <= by_subnet["10.5.250.0/24"]["expiresSeconds"] <= 5000

    lines = [json.loads(line) for line in ask(h1, "subnets", "-o", "jsonl").splitlines()]
    assert {i["subnet"] for i in lines} == set(by_subnet)

    raw = [line.split("\t") for line in ask(h1, "subnets", "-o", "raw").splitlines()]
    assert all(len(fields) == 11 for fields in raw)
    assert {fields[0] for fields in raw} == set(by_subnet)
    assert all(fields[5].isdigit() for fields in raw)

    assert set(ask(h1, "subnets", "-o", "name").split()) == set(by_subnet)


def test_subnets_columns_order_and_filters(lab, two):
    h1, h2 = two
    assert ask(h1, "subnets", "--columns", "node,role", "--no-headers", "--sort=-node").split("\n")[:2] == [
        "h2    peer",
        "h1    own",
    ]
    assert ask(h1, "subnets", "--filter", "node~^h", "--filter", "role!=own", "-o", "name").strip() == h2.daemon.subnet()
    assert "there is no column" in fabricctl("subnets", "--sort", "colour").stderr


def test_subnets_shows_what_the_kernel_does_not_do_and_why(lab, two):
    h1, _ = two
    put_lease(lab, "10.5.251.0-24", "192.0.2.251", backend="host-gw")
    put_lease(lab, "10.5.252.0-24", "192.0.2.252", lease=lab.etcd.grant(5000))
    lab.etcd.put(f"{PREFIX}/subnets/10.5.253.0-24", "this is no lease")
    lab.etcd.put(f"{PREFIX}/subnets/no-subnet", "{}")
    h1.daemon.wait_status(lambda s: s["peersIgnored"] == 2 and s["junkKeys"] == 1)

    wide = ask(h1, "subnets", "-o", "wide")
    rows = {line.split()[0]: line for line in wide.splitlines() if line}
    assert "ignored" in rows["10.5.251.0/24"] and "host-gw" in rows["10.5.251.0/24"]
    assert "reserved" in rows["10.5.251.0/24"] and "never" in rows["10.5.251.0/24"]
    assert "ignored" in rows["10.5.253.0/24"] and "not valid JSON" in rows["10.5.253.0/24"]
    assert " ok " in rows["10.5.252.0/24"]
    assert "ignored keys\n" in wide and f"{PREFIX}/subnets/no-subnet" in rows

    document = json.loads(ask(h1, "subnets", "-o", "json"))
    assert [j["key"] for j in document["junk"]] == [f"{PREFIX}/subnets/no-subnet"]
    assert document["junk"][0]["reason"]
    assert "ignored keys" not in ask(h1, "subnets", "--no-headers")
    assert len(ask(h1, "subnets", "--filter", "kernel=ignored", "-o", "name").split()) == 2


def test_hostile_names_reach_no_terminal(lab, two):
    h1, _ = two
    put_lease(lab, "10.5.254.0-24", "192.0.2.254", name=HOSTILE, lease=lab.etcd.grant(5000))
    lab.etcd.put(f"{PREFIX}/subnets/\x1b[2Jjunk", "x")
    h1.daemon.wait_status(lambda s: s["peers"] == 3 and s["junkKeys"] == 1)
    socket_flag = ("--socket", h1.daemon.socket_path)
    for text in (
        ask(h1, "subnets"),
        ask(h1, "subnets", "-o", "wide"),
        ask(h1, "subnets", "-o", "raw"),
        ask_store(lab, "subnets"),
        on_a_terminal([FABRICCTL, "subnets", "--color=never", *socket_flag]),
    ):
        assert HOSTILE_SHOWN in text
        assert not re.search(r"[\x00-\x08\x0b-\x0c\x0e-\x1f\x7f-\x9f\u202e]", text), repr(text)
    assert not re.search(r"[\x00-\x08\x0b-\x1f]", ask(h1, "subnets", "-o", "json"))
    assert HOSTILE in {i["node"] for i in items(ask(h1, "subnets", "-o", "json"))}
    # On a terminal JSON is ASCII; status repeats log lines, which carry the key.
    assert on_a_terminal([FABRICCTL, "subnets", "-o", "json", *socket_flag]).isascii()
    assert "\x1b[2J" not in ask(h1, "status", status=FOUND)
    # Where the locale has no UTF-8, nothing but ASCII.
    assert ask(h1, "subnets", env={"LC_ALL": "C"}).isascii()


def test_subnets_while_the_store_is_silent(lab, two):
    h1, _ = two
    lab.etcd.members[0].pause()
    try:
        start = time.monotonic()
        text = ask(h1, "subnets")
        assert time.monotonic() - start < 2
        assert h1.daemon.subnet() in text
    finally:
        lab.etcd.members[0].resume()


def test_two_families(lab):
    lab.start_etcd()
    lab.configure(
        {"EnableIPv6": True, "Network": "10.5.0.0/16", "IPv6Network": "fd10:5::/48", "Backend": {"Type": "vxlan"}}
    )
    h1, _ = lab.hosts(2, daemons=True)
    own = next(i for i in items(ask(h1, "subnets", "-o", "json")) if i["own"])
    assert own["subnet"].startswith("10.5.") and own["subnetV6"].startswith("fd10:5:")
    assert f"{own['subnet']},{own['subnetV6']}" in ask(h1, "subnets", "-o", "name").split()
    stored = next(i for i in items(ask_store(lab, "subnets", "-o", "json")) if i["node"] == "h1")
    assert stored["subnetV6"] == own["subnetV6"] and stored["macV6"] == own["macV6"]
    text = ask(h1, "status")
    assert "flannel.1 " in text and "flannel-v6.1 " in text
    assert "ipv6" in ask(h1, "config", "show")


# ---- watching


def watch_changes(lab, watch, first):
    """Makes, changes and removes a lease while `watch` looks."""
    for subnet in first:
        watch.wait(rf"^ADDED +{re.escape(subnet)} ")
    put_lease(lab, "10.5.240.0-24", "192.0.2.240", name="late")
    watch.wait(r"^ADDED +10\.5\.240\.0/24 .*192\.0\.2\.240")
    put_lease(lab, "10.5.240.0-24", "192.0.2.241", name="late")
    watch.wait(r"^MODIFIED +10\.5\.240\.0/24 .*192\.0\.2\.241")
    lab.etcd.delete(f"{PREFIX}/subnets/10.5.240.0-24")
    watch.wait(r"^DELETED +10\.5\.240\.0/24 ")


def test_watch_through_the_daemon(lab, two):
    h1, h2 = two
    with Watch(FABRICCTL, "subnets", "-w", "--socket", h1.daemon.socket_path) as watch:
        watch_changes(lab, watch, [h1.daemon.subnet(), h2.daemon.subnet()])
        # The daemon ends, and with it the watch.
        h1.daemon.stop()
        assert watch.process.wait(10) == NO_DAEMON
        assert_three_lines(watch.process.stderr.read(), "has ended", "stopped", "--store")


def test_watch_through_the_store(lab, two):
    h1, h2 = two
    argv = [FABRICCTL, "subnets", "-w", "--store", "--etcd-endpoints", lab.etcd.endpoints]
    subnets = [h1.daemon.subnet(), h2.daemon.subnet()]
    for host in two:
        host.daemon.kill()
    with Watch(*lab.underlay.argv(*argv)) as watch:
        watch_changes(lab, watch, subnets)
        # A change that happens while the store is away is told afterwards.
        lab.etcd.restart()
        put_lease(lab, "10.5.241.0-24", "192.0.2.240")
        watch.wait(r"^ADDED +10\.5\.241\.0/24", 20)


def test_watch_through_the_store_survives_compaction(lab, two):
    argv = [FABRICCTL, "subnets", "-w", "--store", "--etcd-endpoints", lab.etcd.endpoints]
    with Watch(*lab.underlay.argv(*argv)) as watch:
        watch.wait(r"^ADDED +10\.5\.250\.0/24")
        watch.process.send_signal(signal.SIGSTOP)
        lab.etcd.kill()
        lab.etcd.start()
        for n in range(5):
            put_lease(lab, "10.5.242.0-24", f"192.0.2.{n + 1}")
        lab.etcd.delete(f"{PREFIX}/subnets/10.5.250.0-24")
        lab.etcd.compact()
        watch.process.send_signal(signal.SIGCONT)
        watch.wait(r"^ADDED +10\.5\.242\.0/24 .*192\.0\.2\.5", 20)
        watch.wait(r"^DELETED +10\.5\.250\.0/24", 20)


def test_watch_for_programs(lab, two):
    h1, _ = two
    with Watch(FABRICCTL, "subnets", "-w", "-o", "jsonl", "--socket", h1.daemon.socket_path) as watch:
        wait_for(lambda: len(watch.lines) == 3, 5, "three leases")
        lab.etcd.delete(f"{PREFIX}/subnets/10.5.250.0-24")
        wait_for(lambda: len(watch.lines) == 4, 5, "a change")
        changes = [json.loads(line) for line in watch.lines]
        assert [c["type"] for c in changes] == ["ADDED"] * 3 + ["DELETED"]
        assert changes[3]["object"]["subnet"] == "10.5.250.0/24"


@pytest.mark.parametrize("source", ["daemon", "store"])
def test_watch_ends_with_its_reader(lab, two, source):
    h1, _ = two
    argv = [FABRICCTL, "subnets", "-w"]
    argv += ["--store", "--etcd-endpoints", lab.etcd.endpoints] if source == "store" else []
    argv += ["--socket", h1.daemon.socket_path]
    process = subprocess.Popen(
        lab.underlay.argv(*argv), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT
    )
    try:
        assert process.stdout.readline().startswith("ADDED")
        process.stdout.close()
        # Nothing happens to the leases, and it ends all the same.
        assert process.wait(5) == OK
        assert process.stderr.read() == ""
    finally:
        end_process(process)
        process.stderr.close()


def test_watch_on_a_terminal_draws_again(lab, two):
    h1, _ = two
    argv = [FABRICCTL, "subnets", "-w", "--socket", h1.daemon.socket_path]
    text = on_a_terminal(argv, until="10.5.250.0/24")
    assert "\x1b[H\x1b[J" in text and "3 leases from the daemon" in text and "ADDED" not in text
    assert "\x1b[H" not in on_a_terminal(argv, until="10.5.250.0/24", TERM="dumb")


# ---- the store without a daemon


def test_store_with_the_daemon_dead(lab, two):
    h1, h2 = two
    subnets = {h1.daemon.subnet(), h2.daemon.subnet(), "10.5.250.0/24"}
    before = {i["subnet"]: i for i in items(ask(h1, "subnets", "-o", "json"))}
    for host in two:
        host.daemon.kill()
    document = json.loads(ask_store(lab, "subnets", "-o", "json", "--state-dir", h1.daemon.flags["state_dir"]))
    assert document["kind"] == "SubnetList" and document["source"] == "store"
    after = {i["subnet"]: i for i in document["items"]}
    assert set(after) == subnets
    for subnet, item in after.items():
        assert item["kernel"] is None
        assert set(item) == set(before[subnet])
        for key in set(item) - {"kernel", "expiresSeconds"}:
            assert item[key] == before[subnet][key], key
        assert abs(item["expiresSeconds"] - before[subnet]["expiresSeconds"]) < 30
    assert after[h1.daemon.subnet()]["own"] and not after[h2.daemon.subnet()]["own"]

    table = ask_store(lab, "subnets")
    assert re.search(r"10\.5\.250\.0/24 .* 1h2\dm +- +-$", table, re.M), table
    assert set(ask_store(lab, "subnets", "-o", "name").split()) == subnets


def test_store_takes_the_daemons_settings(lab, two, tmp_path):
    config = tmp_path / "flanneld.conf"
    config.write_text(f"# the daemon's\niface = eth0\netcd-endpoints = {lab.etcd.endpoints}\netcd-prefix = /other\n")
    lab.etcd.put("/other/subnets/10.9.1.0-24", lease_text("192.0.2.9"))
    underlay = Underlay(lab)
    done = fabricctl("subnets", "--store", "-o", "name", "--config-file", config, where=underlay)
    assert done.stdout == "10.9.1.0/24\n"
    environment = {"FLANNELD_CONFIG_FILE": str(config), "FLANNELD_ETCD_PREFIX": PREFIX}
    done = fabricctl("subnets", "--store", "-o", "name", where=underlay, env=environment)
    assert "10.5.250.0/24\n" in done.stdout and "10.9" not in done.stdout
    done = fabricctl("subnets", "--store", "-o", "name", "--etcd-prefix=/other//", where=underlay, env=environment)
    assert done.stdout == "10.9.1.0/24\n"


def test_store_with_certificates(lab):
    certificates = lab.certificates()
    lab.start_etcd(tls=certificates)
    put_lease(lab, "10.5.3.0-24", "192.0.2.3")
    ask_store(lab, "subnets", status=NO_STORE)
    text = ask_store(
        lab, "subnets", "-o", "name", "--etcd-cafile", certificates.ca, "--etcd-certfile", certificates.client_cert,
        "--etcd-keyfile", certificates.client_key,
    )  # fmt: skip
    assert text == "10.5.3.0/24\n"
    ask_store(lab, "subnets", "--etcd-cafile", "/nowhere", status=USAGE)


def test_store_with_a_password(lab, tmp_path):
    lab.start_etcd()
    put_lease(lab, "10.5.3.0-24", "192.0.2.3")
    for args in (
        ["user", "add", "root:secret"],
        ["user", "grant-role", "root", "root"],
        ["auth", "enable"],
    ):
        lab.etcd.etcdctl(*args)
    right, wrong = tmp_path / "right", tmp_path / "wrong"
    right.write_text("secret\n")
    wrong.write_text("guess\n")
    ask_store(lab, "subnets", status=DENIED)
    ask_store(lab, "subnets", "--etcd-username", "root", "--etcd-password-file", wrong, status=DENIED)
    text = ask_store(lab, "subnets", "-o", "name", "--etcd-username", "root", "--etcd-password-file", right)
    assert text == "10.5.3.0/24\n"


def test_store_with_many_leases(lab):
    lab.start_etcd()
    lease = lab.etcd.grant(5000)
    lab.etcd.put_many(
        [(f"{PREFIX}/subnets/10.{n // 250}.{n % 250}.0-24", lease_text("192.0.2.9")) for n in range(1500)], lease
    )
    found = items(ask_store(lab, "subnets", "-o", "json"))
    assert len(found) == 1500 and found[0]["subnet"] == "10.0.0.0/24" and found[-1]["subnet"] == "10.5.249.0/24"
    # So many questions only if asked for.
    assert all(i["expiresSeconds"] is None for i in found)
    found = items(ask_store(lab, "subnets", "-o", "json", "--time-left"))
    assert all(4900 <= i["expiresSeconds"] <= 5000 for i in found)


def test_store_that_cannot_be_reached(lab):
    underlay = Underlay(lab)
    for command in (["subnets"], ["subnets", "-w"], ["config", "show"]):
        done = fabricctl(*command, "--store", "--etcd-endpoints", "http://192.0.2.254:9", where=underlay)
        assert done.returncode == NO_STORE and done.stdout == ""
        assert_three_lines(done.stderr, "cannot reach the store at http://192.0.2.254:9", "", "--etcd-endpoints")
    done = fabricctl("subnets", "--store", "--etcd-endpoints", "ftp://x")
    assert done.returncode == USAGE and "the scheme must be http or https" in done.stderr


# ---- status


def test_status_of_a_host_that_is_well(lab, two):
    h1, _ = two
    h1.daemon.wait_ok()
    text = ask(h1, "status")
    assert re.match(r"\u25cf flanneld \S+  ok  up \d+s\n", text), text
    for part in (
        h1.daemon.subnet(), "192.0.2.1", lab.etcd.endpoints, "watch     live", "vxlan vni 1 port 8472", "flannel.1",
        h1.vtep_mac(), "7 of 7 objects agree", "rules     flannel.1", "peers     2", str(h1.daemon.subnet_file),
    ):  # fmt: skip
        assert part in text, (part, text)
    assert "\x1b" not in text
    assert ask(h1, "status", "--brief") == "ok\n"
    document = json.loads(ask(h1, "status", "-o", "json"))
    assert document["kind"] == "Status" and document["verdict"] == "ok" and document["pid"] == h1.daemon.pid
    assert ask(h1, "status", "--wait", "--brief") == "ok\n"


def test_status_names_every_problem(lab, two):
    h1, _ = two
    lab.etcd.put(f"{PREFIX}/subnets/10.5.253.0-24", "this is no lease")
    lab.etcd.kill()
    h1.daemon.wait_status(lambda s: not s["store"]["watchLive"])
    lab.etcd.start()
    lab.etcd.put(f"{PREFIX}/subnets/no-subnet", "{}")
    h1.daemon.wait_status(lambda s: s["junkKeys"] and s["peersIgnored"], 30)
    text = ask(h1, "status", status=FOUND)
    assert " degraded " in text.splitlines()[0]
    for problem in h1.daemon.status()["problems"]:
        assert re.search(rf"^  {problem['name']} +{re.escape(problem['text'])}$", text, re.M), text
    assert "last warnings\n" in text and re.search(r", \d+ errors?, the last: ", text)
    brief = ask(h1, "status", "--brief", status=FOUND)
    assert brief.startswith("degraded: ") and "junk-keys" in brief and "peers-ignored" in brief
    assert json.loads(ask(h1, "status", "-o", "json", status=FOUND))["verdict"] == "degraded"


def test_status_waits(lab):
    lab.start_etcd()
    h1 = lab.host()
    daemon = h1.make_daemon()
    flags = ("status", "--wait", "--socket", daemon.socket_path)

    done = fabricctl(*flags, "--timeout", "0")
    assert done.returncode == TIMEOUT and "cannot reach flanneld" in done.stderr

    with Watch(FABRICCTL, *flags, "--brief", "--timeout", "30s") as watch:
        daemon.start().wait_listening()
        done = fabricctl(*flags, "--brief", "--timeout", "0")
        assert done.returncode == TIMEOUT and done.stdout.startswith("starting") and "after 0s" in done.stderr
        assert watch.process.poll() is None
        lab.configure()
        assert watch.process.wait(10) == OK
        wait_for(lambda: watch.lines == ["ok"], 5, "the verdict")


# ---- config


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ('{"Network":"10.5.0.0/16"}', "10.5.0.0/16, /24 each, 255 hosts, vxlan vni 1 port 8472"),
        (
            '{"network":"10.0.0.0/8","SubnetLen":20,"SubnetMin":"10.10.0.0","SubnetMax":"10.99.0.0",'
            '"Backend":{"Type":"VXLAN","VNI":7,"Port":4789}}',
            "10.0.0.0/8, /20 each, 1425 hosts, vxlan vni 7 port 4789",
        ),
        (
            '{"EnableIPv4":false,"EnableIPv6":true,"IPv6Network":"fd10::/48"}',
            "fd10::/48, /64 each, 65535 hosts, vxlan vni 1 port 8472",
        ),
    ],
)
def test_config_that_is_valid(tmp_path, document, says):
    path = tmp_path / "net.json"
    path.write_text(document)
    done = fabricctl("config", "check", path)
    assert (done.returncode, done.stdout, done.stderr) == (OK, f"config ok: {says}\n", "")
    done = fabricctl("config", "check", "-", input=document)
    assert (done.returncode, done.stdout) == (OK, f"config ok: {says}\n")
    answer = json.loads(fabricctl("config", "check", path, "-o", "json").stdout)
    assert answer["kind"] == "ConfigCheck" and answer["valid"] is True and answer["error"] is None
    assert answer["summary"] == says and answer["backendType"] == "vxlan"


@pytest.mark.parametrize(
    ("document", "why"),
    [
        ("", "not valid JSON"),
        ("[]", "not a JSON object"),
        ("{}", "Network"),
        ('{"Network":"10.5.0.0/16","SubnetLen":"24"}', "SubnetLen"),
        ('{"Network":"10.5.0.0/16","SubnetMin":"10.6.0.0"}', "SubnetMin"),
        ('{"Network":"10.5.0.0/16","Backend":{"Type":"pigeon"}}', "pigeon"),
        ('{"Network":"10.5.0.0/16","Backend":{"Type":"vxlan","VNI":-1}}', "VNI"),
        ('{"Network":"10.5.0.0/16\x1b[31m"}', "10.5.0.0/16"),
        (" " * 70000, "larger than"),
    ],
)
def test_config_that_is_not_valid(document, why):
    done = fabricctl("config", "check", "-", input=document)
    assert done.returncode == FOUND and done.stdout == ""
    lines = done.stderr.splitlines()
    assert lines[0] == "fabricctl: standard input is no valid network configuration"
    assert why in lines[1] and "\x1b" not in done.stderr
    if len(document) < 70000:
        done = fabricctl("config", "check", "-", "-o", "json", input=document)
        answer = json.loads(done.stdout)
        assert done.returncode == FOUND and done.stderr == ""
        assert answer["valid"] is False and why in answer["error"]


def test_config_file_that_cannot_be_read(tmp_path):
    assert fabricctl("config", "check", tmp_path / "none").returncode == NOT_FOUND
    assert fabricctl("config", "check", tmp_path).returncode == FAILED


def test_config_show(lab, two):
    h1, _ = two
    document = '{ "Network": "10.5.0.0/16",\n\t"Backend": {"Type": "vxlan"} }'
    lab.etcd.set_config(document)
    text = ask(h1, "config", "show")
    assert "10.5.0.0/16, /24 each, from 10.5.1.0 to 10.5.199.0" in text and '{"Type":"vxlan"}' in text
    answer = json.loads(ask(h1, "config", "show", "-o", "json"))
    assert answer["kind"] == "NetworkConfig" and answer["ipv4"]["subnetLen"] == 24

    summary = "config ok: 10.5.0.0/16, /24 each, 255 hosts, vxlan vni 1 port 8472\n"
    text = ask_store(lab, "config", "show")
    assert document.splitlines()[0] in text and text.endswith(summary)
    assert ask_store(lab, "config", "show", "-o", "raw") == document
    answer = json.loads(ask_store(lab, "config", "show", "-o", "json"))
    assert answer["source"] == "store" and answer["document"] == document and answer["valid"] is True
    assert answer["revision"] == str(lab.etcd.get(f"{PREFIX}/config").mod_revision)

    lab.etcd.set_config('{"Network":"\x1b[2J"}')
    text = ask_store(lab, "config", "show", status=FOUND)
    assert "\\033[2J" in text and "\x1b" not in text
    assert json.loads(ask_store(lab, "config", "show", "-o", "json", status=FOUND))["valid"] is False
    lab.etcd.delete(f"{PREFIX}/config")
    ask_store(lab, "config", "show", status=NOT_FOUND)


def test_config_show_before_there_is_one(lab):
    lab.start_etcd()
    h1 = lab.host()
    h1.start_daemon(ready=False).wait_listening()
    ask(h1, "config", "show", status=NOT_FOUND)


# ---- version, help, completion


def test_version(lab, two):
    h1, _ = two
    ours = ask(h1, "version")
    match = re.fullmatch(r"fabricctl (\S+) \(flanneld (\S+), api fabric/v1\)\n", ours)
    assert match and match[2] == h1.daemon.status()["version"]
    assert json.loads(ask(h1, "version", "-o", "json"))["flanneld"] == match[2]
    h1.daemon.stop()
    assert ask(h1, "version") == f"fabricctl {match[1]} (flanneld not running, api fabric/v1)\n"
    answer = json.loads(ask(h1, "version", "-o", "json"))
    assert answer["fabricctl"] == match[1] and answer["flanneld"] is None
    assert ask(h1, "--version").startswith("fabricctl ")


def commands():
    text = fabricctl("help").stdout
    listed = text.split("commands:\n")[1].split("\n\n")[0]
    return [line.split()[0] for line in listed.splitlines()]


def test_help():
    assert commands() == COMMANDS
    assert fabricctl("--help").stdout == fabricctl("help").stdout == fabricctl("-h").stdout
    for command in commands():
        done = fabricctl("help", command)
        assert done.returncode == OK and done.stdout.startswith(f"fabricctl {command}: ")
        assert fabricctl(command, "--help").stdout == done.stdout
        assert max(map(len, done.stdout.splitlines())) <= 120
    done = fabricctl()
    assert done.returncode == USAGE and done.stdout == "" and "commands:" in done.stderr
    assert fabricctl("help", "frobnicate").returncode == USAGE


def test_every_option_and_command_is_in_the_manual_page():
    page = (ROOT / "docs" / "man" / "fabricctl.1").read_text()
    options = set()
    for command in commands():
        options |= set(re.findall(r"^ +(?:-\w, )?--([\w-]+)", fabricctl("help", command).stdout, re.M))
        assert re.search(rf"^\.(It )?Cm {command}\b", page, re.M), command
    assert len(options) > 20
    for option in options:
        assert re.search(rf"^\.It (Fl \w , |Fl )-{option}\b", page, re.M), option
    documented = set(re.findall(r"^\.It .*?Fl -([\w-]+)", page, re.M)) | set(re.findall(r"^\.It Fl \w , -(\S+)", page, re.M))
    assert documented - options == set()
    for status in range(10):
        assert re.search(rf"^\.It {status}$", page, re.M)


def test_manual_page_is_well_formed():
    if not shutil.which("mandoc"):
        pytest.skip("mandoc is not installed")
    done = subprocess.run(
        ["mandoc", "-Tlint", "-Wwarning", ROOT / "docs" / "man" / "fabricctl.1"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout


def test_completion_is_the_shipped_one():
    shipped = (ROOT / "docs" / "completion" / "fabricctl.bash").read_text()
    assert fabricctl("completion", "bash").stdout == shipped
    assert fabricctl("completion", "tcsh").returncode == USAGE


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("fabricctl st", {"status", "store"}),
        ("fabricctl ", set(COMMANDS)),
        ("fabricctl subnets -o ", {"table", "wide", "json", "jsonl", "raw", "name"}),
        ("fabricctl status -o ", {"table", "json"}),
        ("fabricctl subnets --etcd-pa", {"--etcd-password-file"}),
        ("fabricctl status --etcd-pa", set()),
        ("fabricctl config ", {"check", "set", "show"}),
        ("fabricctl lease re", {"renew", "release", "reserve"}),
        ("fabricctl store ", {"ping", "dump"}),
        ("fabricctl --color ", {"auto", "always", "never"}),
        ("fabricctl help con", {"config"}),
        ("fabricctl subnets --sort no", {"node", "node-id"}),
    ],
)
def test_completion_completes(line, expected):
    words = line.split(" ")
    script = (
        f"source {ROOT}/docs/completion/fabricctl.bash; COMP_WORDS=({' '.join(w or chr(39) * 2 for w in words)}); "
        f"COMP_CWORD={len(words) - 1}; _fabricctl; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    )
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == expected and done.stderr == ""


# ---- what can go wrong


def test_daemon_that_is_not_there(tmp_path):
    path = tmp_path / "flanneld.sock"
    for command in (["subnets"], ["subnets", "-w"], ["status"], ["config", "show"]):
        done = fabricctl(*command, "--socket", path)
        assert done.returncode == NO_DAEMON and done.stdout == ""
        assert_three_lines(
            done.stderr, f"cannot reach flanneld at {path}: No such file or directory", "not running", "--store"
        )
    # A socket that a dead daemon left behind.
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as left:
        left.bind(str(path))
    done = fabricctl("status", env={"FLANNELD_SOCKET": str(path)})
    assert done.returncode == NO_DAEMON and "Connection refused" in done.stderr
    assert fabricctl("status", "--socket", "/" + "x" * 200).returncode == NO_DAEMON


def answering(path, answer):
    """Something that is no daemon listens there; `answer` None: it never says anything."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen(16)

    def serve():
        kept = []
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                kept.append(connection)
                if answer is not None:
                    # The first connection only looks whether somebody is there.
                    if connection.recv(65536):
                        connection.sendall(answer)
                    connection.close()

    threading.Thread(target=serve, daemon=True).start()
    return contextlib.closing(listener)


@pytest.mark.parametrize(
    "answer",
    [
        b"\x00\x01garbage\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{x}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        b'HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\n{"apiVersion":"fabric/v9","kind":"Status"}',
        b"HTTP/1.1 503 No\r\nContent-Length: 12\r\n\r\nbad\x1b[31m day",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{",
    ],
)
def test_daemon_that_answers_nonsense(tmp_path, answer):
    with answering(tmp_path / "sock", answer):
        done = fabricctl("status", "--socket", tmp_path / "sock")
    assert done.returncode == NO_DAEMON and done.stdout == ""
    assert "cannot be asked" in done.stderr and "\x1b" not in done.stderr


def test_daemon_that_does_not_answer(tmp_path):
    with answering(tmp_path / "sock", None):
        done = fabricctl("version", "--socket", tmp_path / "sock")
        assert done.returncode == OK and "not running" in done.stdout
        done = fabricctl("status", "--socket", tmp_path / "sock")
    assert done.returncode == NO_DAEMON
    assert_three_lines(done.stderr, "timed out", "does not answer", "")


def test_permission_denied(lab, two):
    h1, _ = two
    nobody = {"user": 65534, "group": 65534, "extra_groups": []}
    os.chmod(lab.directory, 0o755)
    binary = lab.directory / "fabricctl"
    binary.write_bytes(FABRICCTL.read_bytes())
    binary.chmod(0o755)
    done = subprocess.run(
        [binary, "status", "--socket", h1.daemon.socket_path],
        capture_output=True, text=True, check=False, timeout=30, env=ENVIRONMENT, cwd="/", **nobody,
    )  # fmt: skip
    assert done.returncode == DENIED
    assert_three_lines(done.stderr, "Permission denied", "root", "sudo")


@pytest.mark.parametrize(
    "args",
    [
        ["frobnicate"],
        ["subnets", "extra"],
        ["subnets", "--frobnicate"],
        ["subnets", "-o", "yaml"],
        ["subnets", "--filter", "x"],
        ["status", "--wait", "--timeout", "soon"],
        ["status", "--timeout", "5"],
        ["status", "--watch"],
        ["config"],
        ["config", "check"],
        ["config", "show", "it"],
        ["config", "frobnicate"],
        ["config", "set"],
        ["config", "show", "--yes"],
        ["config", "check", "-", "--dry-run"],
        ["store"],
        ["store", "frobnicate"],
        ["store", "dump", "-o", "raw"],
        ["store", "ping", "--store"],
        ["peers", "it"],
        ["diff", "--dry-run"],
        ["sync", "-o", "raw"],
        ["completion"],
        ["version", "--socket"],
        ["--color", "pink", "version"],
    ],
)
def test_bad_usage(args):
    done = fabricctl(*args)
    assert done.returncode == USAGE and done.stdout == ""
    assert done.stderr.startswith("fabricctl: ")


def test_misspelt_command_names_the_nearest():
    assert_three_lines(fabricctl("subnet").stderr, 'no command "subnet"', 'nearest is "subnets"', "fabricctl subnets")


def test_output_that_nobody_reads_or_that_finds_no_room(lab, two):
    h1, _ = two
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as closed:
        for args in (["help"], ["subnets"], ["status"]):
            done = fabricctl(*args, "--socket", h1.daemon.socket_path, stdout=closed, stderr=subprocess.PIPE)
            assert done.returncode == OK and done.stderr == "", args
    with open("/dev/full", "w") as full:
        done = fabricctl("help", stdout=full, stderr=subprocess.PIPE)
        assert done.returncode == FAILED and "No space left on device" in done.stderr


def test_colours(lab, two):
    h1, _ = two
    argv = [FABRICCTL, "subnets", "--socket", h1.daemon.socket_path]
    assert "\x1b[32m" in on_a_terminal(argv)
    assert "\x1b" not in on_a_terminal(argv, NO_COLOR="1")
    assert "\x1b" not in on_a_terminal(argv, TERM="dumb")
    assert "\x1b" not in on_a_terminal([*argv, "--color=never"])
    assert "\x1b[32m" in on_a_terminal([*argv, "--color=always"], NO_COLOR="1")
    assert "\x1b" not in ask(h1, "subnets")
    assert "\x1b[32m" in ask(h1, "subnets", "--color", "always")
    assert "\x1b[32m" in ask(h1, "subnets", env={"CLICOLOR_FORCE": "1"})
    assert "\x1b" not in ask(h1, "subnets", "-o", "raw", "--color", "always")
    assert "\u25cf" not in ask(h1, "status", env={"LC_ALL": "C"})


def test_nothing_is_cut_on_a_pipe(lab, two):
    h1, _ = two
    name = "n" * 200
    put_lease(lab, "10.5.254.0-24", "192.0.2.254", name=name, lease=lab.etcd.grant(5000))
    h1.daemon.wait_peers(3)
    assert name in ask(h1, "subnets", env={"COLUMNS": "60"})
    argv = [FABRICCTL, "subnets", "--socket", h1.daemon.socket_path]
    narrow = on_a_terminal(argv, columns=120)
    assert name not in narrow and "n" * 20 in narrow
    assert all(len(re.sub(r"\x1b\[\d*m", "", line)) <= 120 for line in narrow.split("\r\n"))
    assert name in on_a_terminal([*argv, "-o", "wide"], columns=120)
