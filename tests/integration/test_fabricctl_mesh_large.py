# SPDX-License-Identifier: Apache-2.0
"""fabricctl mesh of more hosts than a matrix has room for, and of those that were asked for."""

import json
import re

import pytest

from etcd import PREFIX
from fabricctl_support import CONFIG, FOUND, NOT_FOUND, OK, Underlay, fabricctl
from witness import key_of, lease_value

HOSTS = 1500
DEAD = 700  # does not answer, and its own record says that nobody does
DEAF = 20  # the hosts of a rack whose ways to each other are lossy


def subnet(number):
    return f"10.{64 + number // 250}.{number % 250}.0/24"


def name(number):
    return f"rack{number // 100}-h{number}"


def peers_of(number):
    """(subnet, reach, round trip in microseconds, percent lost) of the 64 that answer worst."""
    if number == DEAD:
        return [(subnet(n), "silent", -1, 100) for n in range(64)]
    worst = [(subnet(DEAD), "silent", -1, 100)]
    if number < DEAF:
        worst += [(subnet(n), "ok", 900, 30) for n in range(DEAF) if n != number]
    others = (n for n in range(number + 1, number + 100) if n % HOSTS not in (number, DEAD) and n % HOSTS >= DEAF)
    return (worst + [(subnet(n % HOSTS), "ok", 500 + n, 0) for n in others])[:64]


def record(number):
    peers = peers_of(number)
    silent = HOSTS - 1 if number == DEAD else 1
    return {
        "version": 1, "verdict": "ok", "node": name(number), "nodeID": f"id{number}", "flanneld": "1", "kernel": "6", "backend": "vxlan",
        "subnet": key_of(subnet(number)), "publicIP": f"198.18.{number // 250}.{number % 250 + 1}", "publicIPv6": None, "podMTU": 1450,
        "written": 1, "started": 1, "problems": [], "problemsMore": 0,
        "reach": {"new": 0, "ok": HOSTS - 1 - silent, "tunnel-silent": 0, "silent": silent}, "peers": peers,
    }  # fmt: skip


@pytest.fixture
def many(lab):
    lab.start_etcd()
    lab.configure(CONFIG | {"Network": "10.64.0.0/10", "SubnetMax": "10.127.0.0"})

    def lease(number):
        value = json.loads(lease_value(f"198.18.{number // 250}.{number % 250 + 1}", f"0e:00:00:00:{number >> 8:02x}:{number & 255:02x}"))
        return json.dumps(value | {"Node": {"ID": f"id{number}", "Name": name(number)}})

    numbers = range(HOSTS)
    handle = lab.etcd.grant(3600)
    lab.etcd.put_many(((f"{PREFIX}/subnets/{key_of(subnet(n))}", lease(n)) for n in numbers), handle)
    lab.etcd.put_many(((f"{PREFIX}/health/id{n}", json.dumps(record(n), separators=(",", ":"))) for n in numbers), handle)
    return lab


def mesh(lab, *args, status=FOUND):
    done = fabricctl("mesh", *args, "--etcd-endpoints", lab.etcd.endpoints, "--socket=/nonexistent", "--state-dir=/nonexistent",
                     "--config-file=/dev/null", where=Underlay(lab))  # fmt: skip
    assert done.returncode == status, f"{done.returncode}\n{done.stdout[:2000]}{done.stderr}"
    return done.stdout if status != NOT_FOUND else done.stderr


def bad_ways():
    """By host, there and back."""
    found = dict.fromkeys(range(HOSTS), 0)
    for number in range(HOSTS):
        for net, reach, _, lost in peers_of(number):
            if reach != "ok" or lost >= 10:
                _, second, third, _ = net.split(".")
                found[number] += 1
                found[(int(second) - 64) * 250 + int(third)] += 1
    return found


def test_of_too_many_the_worst_are_shown_and_all_are_counted(many):
    text = mesh(many)
    first, says, _, header, *rows = text.splitlines()
    bad = bad_ways()
    assert first.startswith(f"{HOSTS} hosts, {HOSTS * (HOSTS - 1)} ways: ") and f"{HOSTS - 1 + 64} silent" in first and f"{DEAF * (DEAF - 1)} lossy" in first
    assert says == "shown are the 1024 hosts with the most bad ways; fabricctl mesh NAME... shows others"
    assert header.split() == ["NODE", "SUBNET", "STATE", "BAD", "WAYS"] and len(rows) == 20
    assert rows[0].split() == [name(DEAD), subnet(DEAD), "ok", str(bad[DEAD])] and int(rows[1].split()[3]) == bad[0]
    document = json.loads(mesh(many, "-o", "json"))
    assert document["hostsTotal"] == HOSTS and len(document["hosts"]) == 1024
    assert sum(document["counts"].values()) == HOSTS * (HOSTS - 1) and document["counts"]["silent"] == HOSTS - 1 + 64
    shown = {h["node"]: h["badWays"] for h in document["hosts"]}
    assert shown[name(DEAD)] == bad[DEAD] and {name(n) for n in range(DEAF)} <= set(shown)
    assert min(shown.values()) >= sorted(bad.values())[-1024]
    assert {w["from"] for w in document["items"]} <= set(shown)
    page = mesh(many, "-o", "html")
    assert f'"hostsTotal":{HOSTS}' in page
    assert 'data-hosts="1024"' in mesh(many, "-o", "svg")


def test_those_that_were_asked_for(many):
    """And who is at the other end of a bad way."""
    text = mesh(many, name(DEAD + 1), name(DEAD + 2), subnet(DEAD + 3))
    assert text.startswith("4 hosts, 12 ways: ") and "shown are" not in text and name(DEAD) in text
    document = json.loads(mesh(many, "rack13-*", "-o", "json"))
    assert {h["node"] for h in document["hosts"]} == {name(n) for n in range(1300, 1400)} | {name(DEAD)}
    assert document["hostsTotal"] == 101 and document["counts"]["silent"] == 100
    raw = mesh(many, name(5), "-o", "raw").splitlines()
    assert {line.split("\t")[1] for line in raw if line.split("\t")[2] == "lossy" and line.startswith(f"{name(5)}\t")} == {name(n) for n in range(DEAF) if n != 5}
    assert f"no host of the fabric has the name or subnet rack99-*" in mesh(many, "rack99-*", status=NOT_FOUND)
    # One that has no fault.
    many.etcd.put(f"{PREFIX}/health/id{HOSTS - 1}", json.dumps(record(HOSTS - 1) | {"reach": {"new": 0, "ok": HOSTS - 1, "tunnel-silent": 0, "silent": 0}, "peers": []}))
    text = mesh(many, name(HOSTS - 1), status=OK)
    assert re.fullmatch(r"1 hosts, 0 ways\n\n.*\n.*\n", text), text
