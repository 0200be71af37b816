# SPDX-License-Identifier: Apache-2.0
"""fabricctl store and config set against a real etcd: one member, three, with users, and with none that answers."""

import base64
import json
import re
import subprocess

import pytest

from etcd import PREFIX
from fabric import CONFIG
from netns import wait_for
from fabricctl_support import (
    DENIED,
    FAILED,
    FOUND,
    NO_STORE,
    NOT_FOUND,
    OK,
    USAGE,
    Underlay,
    ask,
    assert_three_lines,
    fabricctl,
    put_lease,
)
from faults import ALL_BY_BOTH
from test_fabricctl_lease import CONFLICT, at_a_terminal

pytestmark = ALL_BY_BOTH
CONFIG_KEY = f"{PREFIX}/config"


def run(lab, *args, endpoints=None, status=OK, **options):
    flags = ["--etcd-endpoints", endpoints or lab.etcd.endpoints, "--config-file", "/dev/null"]
    if "input" not in options:
        options["stdin"] = subprocess.DEVNULL
    done = fabricctl(*args, *flags, where=Underlay(lab), **options)
    assert done.returncode == status, f"{args}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done


def rows(text):
    return [re.split(" {2,}", line) for line in text.splitlines()]


# ---- ping


def test_ping_one_member(lab, transport):
    lab.start_etcd()
    lab.configure()
    done = run(lab, "store", "ping")
    assert done.stderr == ""
    header, row = rows(done.stdout)
    assert " ".join(header).split() == "ENDPOINT STATE BY ROLE VERSION REVISION DB SIZE LATENCY REASON".split()
    assert row[:4] == ["http://192.0.2.201:2379", "ok", transport, "leader"]
    assert re.fullmatch(r"3\.\d+\.\d+", row[4]) and int(row[5]) == lab.etcd.revision()
    assert row[6].endswith(" MiB") and float(row[7].removesuffix(" ms")) < 5000 and row[8] == "-"
    document = json.loads(run(lab, "store", "ping", "-o", "json").stdout)
    assert document["kind"] == "StorePing"
    (item,) = document["items"]
    assert item["ok"] is True and item["dbSizeBytes"] > 0 and 0 < item["latencySeconds"] < 5
    assert run(lab, "store", "ping", "-o", "raw").stdout.count("\t") == 8


def test_ping_three_members(lab):
    lab.start_etcd(members=3)
    lab.configure()
    items = json.loads(run(lab, "store", "ping", "-o", "json").stdout)["items"]
    assert sorted(i["role"] for i in items) == ["follower", "follower", "leader"]
    assert len({i["memberID"] for i in items}) == 3 and all(i["ok"] for i in items)
    lab.etcd.members[1].kill()

    def two_left():
        states = {row[0]: row for row in rows(run(lab, "store", "ping", status=FOUND).stdout)[1:]}
        assert states["http://192.0.2.202:2379"][1:3] == ["failed", "-"]
        assert "192.0.2.202" in states["http://192.0.2.202:2379"][-1]
        assert states["http://192.0.2.201:2379"][1] == states["http://192.0.2.203:2379"][1] == "ok"
        return True

    wait_for(two_left, 30, "two members answer")
    # One that is left alone answers, but not for the cluster.
    lab.etcd.members[2].kill()
    alone = lab.etcd.members[0]
    wait_for(lambda: not lab.etcd.api("/v3/maintenance/status", {}, member=alone).get("leader"), 30, "it knows no leader")
    done = run(lab, "store", "ping", status=NO_STORE)
    row = next(row for row in rows(done.stdout) if row[0] == "http://192.0.2.201:2379")
    assert row[1] == "failed" and row[4].startswith("3.")


def test_ping_nobody(lab):
    done = run(lab, "store", "ping", endpoints="http://192.0.2.254:1,192.0.2.254:2", status=NO_STORE)
    assert [row[1] for row in rows(done.stdout)[1:]] == ["failed"] * 2
    assert_three_lines(done.stderr, "cannot reach the store", "192.0.2.254:1", "--etcd-endpoints")


def test_with_users(lab, tmp_path):
    lab.start_etcd()
    lab.configure()
    for command in (
        ("user", "add", "root:sesame"), ("role", "add", "root"), ("user", "grant-role", "root", "root"), ("auth", "enable"),
    ):  # fmt: skip
        lab.etcd.etcdctl(*command)
    password = tmp_path / "password"
    password.write_text("sesame\n")
    flags = ["--etcd-username", "root", "--etcd-password-file", password]
    for verb in ("ping", "dump"):
        assert run(lab, "store", verb, *flags).stderr == ""
        done = run(lab, "store", verb, status=DENIED)
        assert "refuses us" in done.stderr and "sesame" not in done.stdout + done.stderr
    password.write_text("wrong\n")
    assert "refuses us" in run(lab, "store", "dump", *flags, status=DENIED).stderr


# ---- dump


def test_dump(lab):
    lab.start_etcd()
    secret = {**CONFIG, "Backend": {"Type": "wireguard", "PSK": "do-not-tell", "Nested": [{"password": "nor-this"}]}}
    lab.configure(secret)
    handle = lab.etcd.grant(5000)
    put_lease(lab, "10.5.250.0-24", "192.0.2.250", name="n\x1b", lease=handle)
    lab.etcd.put(f"{PREFIX}/subnets/text", "no \x1b[31m JSON")
    lab.etcd.put(f"{PREFIX}/subnets/bytes", b"\xff\x00\x01")
    lab.etcd.put("/coreos.com/networks", "a neighbour")
    done = run(lab, "store", "dump")
    assert not re.search(r"do-not-tell|nor-this|\x1b|neighbour", done.stdout) and done.stderr == ""
    items = {i["key"]: i for i in map(json.loads, done.stdout.splitlines())}
    assert list(items) == sorted(items) and len(items) == 4
    config = items[CONFIG_KEY]
    assert config["value"]["Network"] == "10.5.0.0/16" and config["value"]["Backend"]["PSK"] == "(left out)"
    assert config["lease"] is None and config["createRevision"] == config["modRevision"] == "2"
    lease = items[f"{PREFIX}/subnets/10.5.250.0-24"]
    assert lease["value"]["PublicIP"] == "192.0.2.250" and int(lease["lease"], 16) == handle
    assert items[f"{PREFIX}/subnets/text"]["value"] == "no \x1b[31m JSON"
    assert base64.b64decode(items[f"{PREFIX}/subnets/bytes"]["valueBase64"]) == b"\xff\x00\x01"
    document = json.loads(run(lab, "store", "dump", "-o", "json").stdout)
    assert document["kind"] == "StoreDump" and {i["key"]: i for i in document["items"]} == items
    assert run(lab, "store", "dump", "--etcd-prefix", "/nothing/here").stdout == ""


def test_dump_of_many(lab):
    lab.start_etcd()
    lab.etcd.put_many([(f"{PREFIX}/subnets/10.{n // 256}.{n % 256}.0-24", "{}") for n in range(1234)])
    assert len(set(run(lab, "store", "dump").stdout.splitlines())) == 1234


def test_dump_of_nobody(lab):
    done = run(lab, "store", "dump", endpoints="http://192.0.2.254:1", status=NO_STORE)
    assert done.stdout == ""
    assert_three_lines(done.stderr, "cannot reach the store", "192.0.2.254", "--etcd-endpoints")


# ---- config set


def written(lab):
    record = lab.etcd.get(CONFIG_KEY)
    return record and record.value


def test_config_set(lab, tmp_path):
    lab.start_etcd()
    file = tmp_path / "network.json"
    first = json.dumps({"Network": "10.5.0.0/16", "Backend": {"Type": "vxlan"}}, indent=1)
    file.write_text(first)
    # The first one breaks nothing: nobody is asked.
    assert "would set: 10.5.0.0/16, /24 each" in run(lab, "config", "set", file, "--dry-run").stdout
    assert written(lab) is None
    text = run(lab, "config", "set", file).stdout
    assert '+ Network: "10.5.0.0/16"\n' in text and re.search(r"^config set: 10\.5\.0\.0/16, .*revision \d+", text, re.M)
    assert written(lab) == first
    revision = lab.etcd.get(CONFIG_KEY).mod_revision

    # The same, written otherwise, is the same.
    again = json.dumps({"Backend": {"Type": "vxlan"}, "Network": "10.5.0.0/16"})
    assert "nothing to do" in run(lab, "config", "set", "-", input=again).stdout
    assert json.loads(run(lab, "config", "set", "-", "-o", "json", input=again).stdout)["changed"] is False
    assert lab.etcd.get(CONFIG_KEY).mod_revision == revision

    # Another one is asked for.
    put_lease(lab, "10.5.250.0-24", "192.0.2.250", name="far")
    put_lease(lab, "10.5.7.0-24", "192.0.2.7", name="near")
    second = json.dumps({"Network": "10.5.0.0/17", "Backend": {"Type": "vxlan", "VNI": 7}})
    file.write_text(second)
    done = run(lab, "config", "set", file, "--dry-run")
    assert '- Network: "10.5.0.0/16"\n+ Network: "10.5.0.0/17"\n' in done.stdout and "+ Backend.VNI: 7\n" in done.stdout
    assert "1 of 2 leases do not fit" in done.stdout
    assert_three_lines(run(lab, "config", "set", file, status=USAGE).stderr, "needs --yes", "no terminal", "--dry-run")
    assert written(lab) == first
    document = json.loads(run(lab, "config", "set", file, "--yes", "-o", "json").stdout)
    assert document["kind"] == "ConfigChange" and document["changed"] is True and document["leasesOutside"] == 1
    assert {c["key"]: (c["before"], c["after"]) for c in document["changes"]} == {
        "Network": ("10.5.0.0/16", "10.5.0.0/17"),
        "Backend.VNI": (None, 7),
    }
    assert written(lab) == second and int(document["revision"]) == lab.etcd.get(CONFIG_KEY).mod_revision
    assert "nothing to do" in run(lab, "config", "set", file, "--yes").stdout


def test_config_set_asks(lab, tmp_path):
    lab.start_etcd()
    lab.configure()
    before = written(lab)
    file = tmp_path / "network.json"
    file.write_text('{"Network": "10.6.0.0/16"}')
    argv = ["config", "set", file, "--etcd-endpoints", lab.etcd.endpoints, "--config-file", "/dev/null"]
    status, question, out, err = at_a_terminal(lab, "", *argv)
    assert status == FAILED and "replace the network configuration" in question and "nothing was changed" in err
    assert written(lab) == before and "+ Network" in out
    status, _, out, err = at_a_terminal(lab, "y", *argv)
    assert status == OK and "config set" in out and err == ""
    assert written(lab) == file.read_text()


@pytest.mark.parametrize("change", ["changed", "deleted"])
def test_config_set_that_somebody_was_quicker_than(lab, tmp_path, change):
    lab.start_etcd()
    lab.configure()
    file = tmp_path / "network.json"
    file.write_text('{"Network": "10.6.0.0/16"}')
    other = '{"Network": "10.7.0.0/16"}'

    def meanwhile():
        lab.etcd.delete(CONFIG_KEY)
        if change == "changed":
            lab.etcd.put(CONFIG_KEY, other)
        return "y"

    status, _, out, err = at_a_terminal(
        lab, meanwhile, "config", "set", file, "--etcd-endpoints", lab.etcd.endpoints, "--config-file", "/dev/null"
    )
    assert status == CONFLICT and "config set" not in out
    assert_three_lines(err, "somebody else changed", "nothing was written", "again")
    assert written(lab) == (other if change == "changed" else None)


def test_config_set_replaces_what_cannot_be_read(lab):
    lab.start_etcd()
    lab.etcd.put(CONFIG_KEY, "no JSON \x1b[31m")
    text = run(lab, "config", "set", "-", "--yes", input='{"Network": "10.6.0.0/16"}').stdout
    assert "- what cannot be read" in text and "\x1b" not in text and '+ Network: "10.6.0.0/16"' in text


@pytest.mark.parametrize("text", ["", "{", '{"Network": "10.6.0.0/33"}', '{"Network": "10.6.0.0/16", "Backend": {"Type": "x"}}'])
def test_config_set_of_nonsense(lab, text):
    lab.start_etcd()
    done = run(lab, "config", "set", "-", "--yes", input=text, status=FOUND)
    assert done.stdout == "" and "no valid network configuration" in done.stderr
    assert written(lab) is None
    assert run(lab, "config", "set", "/nonexistent", status=NOT_FOUND).stdout == ""


def test_daemons_notice_another_configuration(lab):
    lab.start_etcd()
    run(lab, "config", "set", "-", input=json.dumps(CONFIG))
    (host,) = lab.hosts(1, daemons=True)
    assert "restart" not in ask(host, "config", "show")
    run(lab, "config", "set", "-", "--yes", input='{"Network": "10.6.0.0/16"}')
    wait_for(lambda: "restart flanneld to use it" in ask(host, "config", "show"), 10, "the daemon has heard of it")


def test_config_set_without_a_store(lab):
    done = run(
        lab, "config", "set", "-", "--yes", endpoints="http://192.0.2.254:1", input='{"Network": "10.6.0.0/16"}',
        status=NO_STORE,
    )  # fmt: skip
    assert_three_lines(done.stderr, "cannot reach the store", "192.0.2.254", "--etcd-endpoints")


# ---- a store that is a directory


def test_a_directory(tmp_path):
    environment = {"FLANNELD_STORE": f"file:{tmp_path / 'store'}"}

    def ctl(*args, status=OK, **options):
        done = fabricctl(*args, "--config-file", "/dev/null", env=environment, **options)
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout if status == OK else done.stderr

    assert "config set" in ctl("config", "set", "-", input='{"Network": "10.5.0.0/16"}')
    assert (tmp_path / "store" / "config").read_text() == '{"Network": "10.5.0.0/16"}'
    assert "10.5.0.0/16, /24 each" in ctl("config", "show", "--store")
    assert "reserved 10.5.3.0/24 for x" in ctl("lease", "reserve", "10.5.3.0/24", "--node", "x")
    assert ctl("subnets", "--store", "-o", "name") == "10.5.3.0/24\n"
    assert "1 of 1 leases" in ctl("config", "set", "-", "--yes", input='{"Network": "10.6.0.0/16"}')
    assert (tmp_path / "store" / "config").read_text() == '{"Network": "10.6.0.0/16"}'
    assert "all can be read" in ctl("store", "repair")
    journal = tmp_path / "store" / "journal"
    good = journal.read_text().splitlines(keepends=True)
    journal.write_text("".join([*good[:-1], "\x1b[31mjunk\n", good[-1]]))
    assert "journal: line" in ctl("subnets", "--store", status=NO_STORE)
    done = fabricctl("store", "repair", "--config-file", "/dev/null", env=environment)
    assert done.returncode == FOUND and f"line {len(good)}, at byte" in done.stdout and "\x1b" not in done.stdout
    assert f"mv {journal}.repaired {journal}\n" in done.stdout
    (tmp_path / "store" / "journal.repaired").rename(journal)
    assert "all can be read" in ctl("store", "repair")
    assert ctl("subnets", "--store", "-o", "name") == "10.5.3.0/24\n"
    assert_three_lines(ctl("store", "ping", status=USAGE), "the store is file:", "only etcd", "fabricctl subnets --store")


def test_the_daemons_configuration_file(tmp_path):
    """Of its lines those count that say where the store is; half of one, as a crash may leave it, is named."""
    store, conf = tmp_path / "store", tmp_path / "flanneld.conf"
    store.mkdir()
    conf.write_text(f"# a line\nno flag of anybody\nvni = x\n  store = file:{store}  \n")
    done = fabricctl("config", "show", "--store", "--config-file", str(conf))
    assert "there is no key config" in done.stderr, "it is that store, and empty"
    conf.write_bytes(f"store = file:{store}\n".encode() + bytes(7) + b"\n")
    done = fabricctl("config", "show", "--store", "--config-file", str(conf))
    assert done.returncode != OK and f"{conf}: there is a zero byte at offset" in done.stderr
