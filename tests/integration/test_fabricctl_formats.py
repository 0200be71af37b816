# SPDX-License-Identifier: Apache-2.0
"""The forms of fabricctl's answers that others read: YAML, a shell, graphviz; and the columns of every table by name."""

import json
import shutil
import subprocess

import pytest
import yaml

from fabric import FABRICCTL
from netns import wait_for
from fabricctl_support import NO_DAEMON, USAGE, Underlay, Watch, ask, ask_store, fabricctl, put_lease, two

# Change from one question to the next.
PASSING = {"generated", "uptimeSeconds", "expiresSeconds", "rttSeconds", "lossPercent", "renewedSecondsAgo"}


def lasting(value):
    if isinstance(value, dict):
        return {k: lasting(v) for k, v in value.items() if k not in PASSING and not k.endswith("SecondsAgo")}
    return [lasting(v) for v in value] if isinstance(value, list) else value


@pytest.mark.parametrize("command", ["subnets", "peers", "diff", "config show", "lease show", "version", "ip 192.0.2.1"])
def test_yaml_says_what_json_says(lab, two, command):
    put_lease(lab, "10.5.251.0-24", "192.0.2.251", name="no: *really*\n- 0x10 # \u202e")
    two[0].daemon.wait_peers(3)

    def same():
        as_json, as_yaml = (ask(two[0], *command.split(), "-o", form) for form in ("json", "yaml"))
        return lasting(yaml.safe_load(as_yaml)) == lasting(json.loads(as_json))

    # Between the two a peer may answer for the first time.
    wait_for(same, 10, "the same by both")
    # Texts are texts, however they look.
    as_yaml = ask(two[0], *command.split(), "-o", "yaml")
    assert as_yaml.startswith("---\n") and isinstance(yaml.safe_load(as_yaml)["generated"], str)


def test_yaml_of_what_is_asked_of_the_store(lab, two):
    def both(*command):
        texts = [fabricctl("store", *command, "-o", form, "--etcd-endpoints", lab.etcd.endpoints, "--config-file", "/dev/null", where=Underlay(lab)).stdout for form in ("json", "yaml")]
        return json.loads(texts[0]), yaml.safe_load(texts[1])

    def same_dump():
        as_json, as_yaml = both("dump")
        return len(as_yaml["items"]) > 3 and lasting(as_yaml) == lasting(as_json)

    def same_ping():
        as_json, as_yaml = both("ping")
        assert isinstance(as_yaml["items"][0].pop("latencySeconds"), float)
        as_json["items"][0].pop("latencySeconds")
        return as_yaml["items"] == as_json["items"]

    # Between the two a host may write what it has to tell.
    wait_for(same_dump, 10, "the same by both")
    wait_for(same_ping, 10, "the same by both")


def test_yaml_of_what_goes_on_is_a_stream(lab, two):
    argv = [*("subnets", "-w", "-o", "yaml", "--filter", "public-ip=192.0.2.250"), "--socket", two[0].daemon.socket_path]
    with Watch(FABRICCTL, *argv) as watch:
        watch.wait("^type: .ADDED")
        lab.etcd.delete("/coreos.com/network/subnets/10.5.250.0-24")
        watch.wait("^type: .DELETED")
    documents = list(yaml.safe_load_all("\n".join(watch.lines)))
    assert [(d["type"], d["object"]["subnet"]) for d in documents] == [("ADDED", "10.5.250.0/24"), ("DELETED", "10.5.250.0/24")]
    assert fabricctl("subnets", "-w", "-o", "dot").returncode == USAGE


def sourced(text, *names):
    """What a shell has in these variables once it has read the text."""
    script = "set -eu; eval \"$1\"; shift; for name; do eval \"printf '%s\\n' \\\"\\$$name\\\"\"; done"
    done = subprocess.run(["sh", "-c", script, "sh", text, *names], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout.splitlines()


def test_a_shell_can_read_it(lab, two):
    h1 = two[0]
    status = h1.daemon.status()
    names = ("FABRIC_VERDICT", "FABRIC_NODE_ID", "FABRIC_LEASE_SUBNET", "FABRIC_LEASE_PUBLIC_IP", "FABRIC_PROBLEMS_COUNT", "FABRIC_POD_MTU")
    expected = [status["verdict"], status["nodeID"], status["lease"]["subnet"], "192.0.2.1", str(len(status["problems"])), str(status["podMTU"])]
    assert sourced(ask(h1, "status", "-o", "env"), *names) == expected
    assert sourced(ask(h1, "lease", "show", "-o", "env"), "FABRIC_LEASE_SUBNET") == [status["lease"]["subnet"]]
    assert sourced(ask(h1, "config", "show", "-o", "env"), "FABRIC_BACKEND_TYPE", "FABRIC_IPV4_NETWORK") == ["vxlan", "10.5.0.0/16"]
    # What others wrote is no order, and replaces no variable that is not ours.
    put_lease(lab, "10.5.251.0-24", "192.0.2.251", name="'; touch /tmp/owned; echo '$(id)`id`\nPATH=/")
    h1.daemon.wait_peers(3)
    text = ask(h1, "ip", "10.5.251.7", "-o", "env")
    assert sourced(text, "FABRIC_NODE") == ["'; touch /tmp/owned; echo '$(id)`id`\\nPATH=/"]
    assert all(line.startswith("FABRIC_") for line in text.splitlines())


def test_graphviz_can_read_it(lab, two):
    if not shutil.which("dot"):
        pytest.skip("graphviz is not installed")
    put_lease(lab, "10.5.251.0-24", "192.0.2.251", name='"] ; x -- y [label="\\N')
    h1 = two[0]
    h1.daemon.wait_peers(3)
    for text in (ask(h1, "subnets", "-o", "dot"), ask(h1, "peers", "-o", "dot"), ask_store(lab, "subnets", "-o", "dot")):
        done = subprocess.run(["dot", "-Tjson0"], input=text, capture_output=True, text=True, check=True)
        graph = json.loads(done.stdout)
        names = [n["name"] for n in graph["objects"]]
        assert done.stderr == "" and {"10.5.250.0/24", "10.5.251.0/24"} <= set(names) and len(names) in (4, 5)
        # One way to each of the others.
        assert len(graph["edges"]) == len(names) - 1


@pytest.mark.parametrize(
    ("command", "columns", "expected"),
    [
        ("subnets", "publicIP,subnet", ["192.0.2.250", "10.5.250.0/24"]),
        ("peers", "subnet,routeV6,publicIP,kernel", ["10.5.250.0/24", "-", "192.0.2.250", "ok"]),
        ("ip 10.5.250.1", "owner,public-ip", ["remote", "192.0.2.250"]),
    ],
)
def test_columns_of_every_table(two, command, columns, expected):
    text = ask(two[0], *command.split(), "--columns", columns, "-o", "raw")
    assert expected in [line.split("\t") for line in text.splitlines()]
    heading = ask(two[0], *command.split(), "--columns", columns).splitlines()[0]
    assert len(heading.split("  ")) >= 2
    text = ask(two[0], *command.split(), "--columns", "subnet", "-o", "raw")
    assert "10.5.250.0/24\n" in text
    wrong = fabricctl(*command.split(), "--columns", "nonsense", "--socket", two[0].daemon.socket_path)
    assert wrong.returncode == USAGE and wrong.stdout == ""
    assert 'there is no column "nonsense"; there are ' in wrong.stderr and ", node, " in wrong.stderr


def test_columns_of_events_and_of_what_is_no_table(lab, two):
    lines = ask(two[0], "events", "--columns", "event,level", "-o", "raw").splitlines()
    assert lines and all(len(line.split("\t")) == 2 for line in lines)
    assert "there are time, level, event, text" in fabricctl("events", "--columns", "when").stderr
    assert fabricctl("status", "--columns", "node").returncode == USAGE
    assert fabricctl("store", "dump", "--columns", "key").returncode == USAGE
    endpoints = ("--etcd-endpoints", "http://127.0.0.1:1")
    assert "\n" in fabricctl("store", "ping", "--columns", "endpoint,ok", *endpoints, "--config-file", "/dev/null").stdout
    assert fabricctl("peers", "--columns", "nonsense", "--socket", "/nonexistent").returncode == NO_DAEMON
