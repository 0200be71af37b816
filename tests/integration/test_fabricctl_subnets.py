# SPDX-License-Identifier: Apache-2.0
"""fabricctl subnets against real daemons and a real etcd: every format, filters, watching, the store alone."""

import json
import re
import signal
import subprocess
import time

import pytest

from etcd import PREFIX
from fabric import DUAL, FABRICCTL
from fabricctl_support import (
    DENIED,
    ENVIRONMENT,
    FOUND,
    HOSTILE,
    HOSTILE_SHOWN,
    NO_DAEMON,
    NO_STORE,
    OK,
    USAGE,
    Underlay,
    Watch,
    ask,
    ask_store,
    assert_three_lines,
    fabricctl,
    items,
    lease_text,
    on_a_terminal,
    put_lease,
    two,
)
from faults import ALL_BY_BOTH
from netns import end_process, wait_for

pytestmark = ALL_BY_BOTH

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
    assert all(len(fields) == 13 for fields in raw)
    assert {fields[0] for fields in raw} == set(by_subnet)
    assert all(fields[5].isdigit() for fields in raw)

    assert set(ask(h1, "subnets", "-o", "name").split()) == set(by_subnet)


def test_subnets_columns_order_and_filters(lab, two):
    h1, h2 = two
    lines = ask(h1, "subnets", "--columns", "node,role", "--no-headers", "--sort=-node").splitlines()
    assert [line.split() for line in lines[:2]] == [["h2", "peer"], ["h1", "own"]]
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


def test_the_time_left_of_many_leases_costs_few_connections(lab):
    """Two or three questions are under way at a time, and what several ask for is asked once."""
    lab.start_etcd()
    lab.configure()
    proxy = lab.proxy()
    for i in range(250):
        put_lease(lab, f"10.5.{i}.0-24", "192.0.2.250", lease=lab.etcd.grant(5000))
    h1 = lab.host()
    h1.start_daemon(etcd_endpoints=proxy.endpoint)
    before = proxy.accepted
    argv = [FABRICCTL, "subnets", "--time-left", "-o", "json", "--socket", h1.daemon.socket_path]
    asking = [subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT) for _ in range(5)]
    for process in asking:
        text = process.communicate(timeout=30)[0]
        assert process.returncode == OK
        assert sum(4000 < (i["expiresSeconds"] or 0) <= 5000 for i in items(text)) == 250
    assert proxy.accepted - before <= 4

    before = proxy.accepted
    done = fabricctl(
        "subnets", "--time-left", "-o", "json", "--store", "--etcd-endpoints", proxy.endpoint, "--config-file",
        "/dev/null", "--state-dir", "/nonexistent", where=Underlay(lab),
    )  # fmt: skip
    assert sum(4000 < (i["expiresSeconds"] or 0) <= 5000 for i in items(done.stdout)) == 250
    assert proxy.accepted - before <= 4


def test_the_time_left_is_waited_for(lab):
    """A store that is slow for longer than a list is worth waiting: only who has asked for it waits."""
    lab.start_etcd()
    lab.configure()
    proxy = lab.proxy()
    put_lease(lab, "10.5.250.0-24", "192.0.2.250", lease=lab.etcd.grant(5000))
    h1 = lab.host()
    h1.start_daemon(etcd_endpoints=proxy.endpoint).wait_peers(1)
    proxy.delay_s = 2.4  # the daemon answers others after two seconds
    proxy.set("slow")
    text = ask(h1, "subnets", "--time-left", "-o", "json")
    assert all(4000 < i["expiresSeconds"] <= 5000 for i in items(text) if not i["own"])


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
    lab.configure(DUAL)
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


def change_while_stopped(lab, process):
    """Many changes of one lease while whoever tells them is stopped: they come together."""
    process.send_signal(signal.SIGSTOP)
    try:
        for n in range(3):
            put_lease(lab, "10.5.240.0-24", f"192.0.2.{100 + n}", name="late")
        lab.etcd.delete(f"{PREFIX}/subnets/10.5.240.0-24")
        put_lease(lab, "10.5.240.0-24", "192.0.2.103", name="late")
    finally:
        process.send_signal(signal.SIGCONT)


def addresses(watch):
    """What was told of that lease: the address each time."""
    return [re.search(r"192\.0\.2\.\d+", line)[0] for line in watch.lines if "10.5.240.0/24" in line]


@pytest.mark.parametrize("source", ["daemon", "store"])
def test_every_change_is_told(lab, two, source):
    """Also those that come faster than they can be told, one after the other."""
    h1, h2 = two
    argv = [FABRICCTL, "subnets", "-w"]
    where = ["--socket", h1.daemon.socket_path]
    if source == "store":
        where = ["--store", "--etcd-endpoints", lab.etcd.endpoints]
        argv = lab.underlay.argv(*argv)
    with Watch(*argv, *where) as watch:
        watch.wait(rf"^ADDED +{re.escape(h2.daemon.subnet())} ")
        change_while_stopped(lab, h1.daemon.process if source == "daemon" else watch.process)
        watch.wait(r"^(ADDED|MODIFIED) +10\.5\.240\.0/24 .*192\.0\.2\.103")
        told = addresses(watch)
        assert list(dict.fromkeys(told)) == [f"192.0.2.{100 + n}" for n in range(4)], told
        lab.etcd.delete(f"{PREFIX}/subnets/10.5.240.0-24")
        watch.wait(r"^DELETED +10\.5\.240\.0/24 ")


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


def test_the_list_is_the_same_however_it_is_asked_for(lab, two):
    """It is written item by item, or built as one document where more is added to it."""
    daemon = two[0].daemon
    lab.etcd.put(f"{PREFIX}/subnets/junk", "x")
    wait_for(lambda: daemon.json("/v1/subnets")["junk"], 5, "the junk is seen")
    plain, document = daemon.json("/v1/subnets"), daemon.json("/v1/subnets?timeLeft=1")
    for item in document["items"]:
        item.pop("expiresSeconds", None)
    for item in plain["items"]:
        item.pop("expiresSeconds", None)
    assert len(plain["items"]) == 3
    assert plain | {"generated": ""} == document | {"generated": ""}


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
