# SPDX-License-Identifier: Apache-2.0
"""fabricctl status and config: what is well, what is wrong, which configuration is valid and in use."""

import json
import re
import socket

import pytest

from etcd import PREFIX
from fabric import FABRICCTL
from fabricctl_support import (
    FAILED,
    FOUND,
    NOT_FOUND,
    OK,
    TIMEOUT,
    Watch,
    ask,
    ask_store,
    fabricctl,
    two,
)
from netns import wait_for


# ---- status


def test_status_of_a_host_that_is_well(lab, two):
    h1, _ = two
    h1.daemon.wait_ok()
    text = ask(h1, "status")
    assert re.match(r"\u25cf flanneld \S+  ok  up \d+s\n", text), text
    for part in (
        h1.daemon.subnet(), "192.0.2.1", lab.etcd.endpoints, "watch     live", "vxlan vni 1 port 8472", "flannel.1",
        h1.vtep_mac(), "9 of 9 objects agree", "2 element", "rules     flannel.1", "peers     2", str(h1.daemon.subnet_file),
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
        line = rf"^  {problem['severity']} +\d\S+  {problem['name']} +{re.escape(problem['text'])}$"
        assert re.search(line, text, re.M), (line, text)
    severities = re.findall(r"^  (error|warning|info) ", text, re.M)
    assert severities == sorted(severities, key=["error", "warning", "info"].index), text
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


def test_config_from_a_socket():
    """As under systemd: it has no name that could be opened."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b'{"Network": "10.5.0.0/16"}')
        theirs.shutdown(socket.SHUT_WR)
        done = fabricctl("config", "check", "-", stdin=ours)
    assert (done.returncode, done.stderr) == (OK, "") and done.stdout.startswith("config ok: 10.5.0.0/16")


@pytest.mark.parametrize(
    ("document", "warnings"),
    [
        ('{"Network":"10.5.0.0/16","Bakend":{"Type":"host-gw"}}', ["Bakend means nothing; did you mean Backend?"]),
        ('{"Network":"10.5.0.0/16","SubnetLenn":26}', ["SubnetLenn means nothing; did you mean SubnetLen?"]),
        ('{"Network":"10.5.0.0/16","Type":"host-gw"}', ["Type means nothing there: it belongs into Backend"]),
        (
            '{"Network":"10.5.0.0/16","Backend":{"Type":"vxlan","Prot":8473,"mtuu":1300,"SubnetLen":25}}',
            [
                "Backend.Prot means nothing; did you mean Backend.Port?",
                "Backend.mtuu means nothing; did you mean Backend.MTU?",
                "Backend.SubnetLen means nothing there: it belongs beside Backend",
            ],
        ),
        ('{"network":"10.5.0.0/16","comment":"x","backend":{"type":"vxlan","port":1,"PSK":"x","Name":"y"}}', []),
    ],
)
def test_keys_that_were_mistyped(document, warnings):
    """What looks like a key and is none does nothing, and nobody would notice."""
    done = fabricctl("config", "check", "-", input=document)
    assert done.returncode == OK and done.stdout.startswith("config ok: ")
    assert done.stderr.splitlines() == [f"warning: {w}" for w in warnings]
    answer = json.loads(fabricctl("config", "check", "-", "-o", "json", input=document).stdout)
    assert answer["valid"] is True and answer["warnings"] == warnings


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
    assert "10.5.0.0/16, /24 each, from 10.5.100.0 to 10.5.199.0" in text and '{"Type":"vxlan"}' in text
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
