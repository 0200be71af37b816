# SPDX-License-Identifier: Apache-2.0
"""fabricctl events: what the daemon's log has, and what comes."""

import json
import subprocess

import pytest

from etcd import PREFIX
from fabric import APART, FABRICCTL
from fabricctl_support import ENVIRONMENT, NO_DAEMON, OK, USAGE, fabricctl
from netns import end_process, wait_for
from witness import made_up_lease


@pytest.fixture
def host(lab):
    lab.start_etcd()
    lab.configure(APART)
    host = lab.host()
    host.start_daemon()
    return host


def events(host, *args):
    done = fabricctl("events", *args, f"--socket={host.daemon.socket_path}", "--config-file=/dev/null")
    assert done.returncode == OK, done.stderr
    return done.stdout


@pytest.fixture
def follow(host):
    """Starts `fabricctl events -w` and returns (what it has printed so far)."""
    processes = []

    def start(*args):
        out = host.lab.directory / f"followed-{len(processes)}"
        argv = [FABRICCTL, "events", "-w", *args, f"--socket={host.daemon.socket_path}", "--config-file=/dev/null"]
        with out.open("wb") as file:
            processes.append(subprocess.Popen(argv, stdout=file, stderr=file, env=ENVIRONMENT))
        return out.read_text

    yield start
    for process in processes:
        end_process(process)


def put_peer(host, number):
    key, value = made_up_lease(number)
    host.lab.etcd.put(PREFIX + key, value)
    return key.split("/")[-1].replace("-", "/")


def test_what_has_happened(host):
    lines = events(host).splitlines()
    assert " starting " in lines[0] and any(" ready " in line for line in lines)
    assert [line.split()[0] for line in lines] == sorted(line.split()[0] for line in lines)
    document = json.loads(events(host, "-o", "json"))
    assert document["kind"] == "EventList" and document["items"][0]["event"] == "starting"
    assert [json.loads(line) for line in events(host, "-o", "jsonl").splitlines()] == document["items"]
    assert all(len(line.split("\t")) == 4 for line in events(host, "-o", "raw").splitlines())
    assert events(host, "--since", "1h").splitlines() == lines


def test_what_comes(host, follow):
    shown, as_json = follow(), follow("-o", "jsonl", "--since", "1h")
    for printed in shown, as_json:
        wait_for(lambda printed=printed: "ready" in printed(), 5, "what was before is shown")
    subnet = put_peer(host, 7)
    for printed in shown, as_json:
        wait_for(lambda printed=printed: subnet in printed(), 5, "the peer that joined is told")
    assert len(shown().splitlines()) <= 11  # ten from before
    assert any(e["event"] == "peer-joined" and subnet in e["text"] for e in map(json.loads, as_json().splitlines()))
    # Each once, in their order.
    times = [json.loads(line)["time"] for line in as_json().splitlines()]
    assert times == sorted(times)
    assert shown().count(subnet) == 1
    host.daemon.stop()
    wait_for(lambda: "has ended" in shown(), 5, "its end is told")


def test_nobody_there_and_bad_times(host):
    host.daemon.stop()
    done = fabricctl("events", f"--socket={host.daemon.socket_path}", "--config-file=/dev/null")
    assert done.returncode == NO_DAEMON and "journalctl -u flanneld" in done.stderr
    done = fabricctl("events", "--since", "yesterday")
    assert done.returncode == USAGE and "--since" in done.stderr and "yesterday" in done.stderr
