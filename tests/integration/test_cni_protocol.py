# SPDX-License-Identifier: Apache-2.0
"""The protocol as a runtime sees it: environment, stdin, versions, error objects, and namespaces that are refused."""

import json
import os
import re
import subprocess

import pytest
from cni_support import LATEST, PLUGIN, VERSIONS, Host
from netns import wait_for


@pytest.fixture
def host():
    with Host() as h:
        yield h


def test_about_text_has_a_version(host):
    """Nomad starts every plugin without anything, and takes the first word that is a version."""
    result = subprocess.run([PLUGIN], env={}, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert result.returncode == 0
    words = (result.stdout + result.stderr).split()
    semver = re.compile(r"v?\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?")
    first = next(w for w in words if semver.fullmatch(w))
    assert first not in VERSIONS, "the plugin's own version comes before the protocol's"


def test_version_needs_nothing_but_the_command(host):
    for env in ({}, {"CNI_NETNS": "dummy", "CNI_IFNAME": "dummy", "CNI_PATH": "dummy", "CNI_CONTAINERID": ""}):
        result = subprocess.run(
            [PLUGIN], env={"CNI_COMMAND": "VERSION"} | env, capture_output=True, text=True, stdin=subprocess.DEVNULL
        )
        assert result.returncode == 0
        answer = json.loads(result.stdout)
        assert answer == {"cniVersion": LATEST, "supportedVersions": VERSIONS}


def test_missing_variables_are_named_all_at_once(host):
    outcome = host.run("ADD", b"{broken", "", id="", ifname="")
    assert outcome.code == 4
    for name in ("CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"):
        assert name in outcome.message
    assert outcome.json["cniVersion"] == LATEST


@pytest.mark.parametrize("id", ["-a", "a/b", "../x", "a b", "ä", ".hidden"])
def test_bad_container_id_comes_before_stdin(host, id):
    assert host.run("ADD", b"{broken", "/x", id=id).code == 4


@pytest.mark.parametrize("ifname", [".", "..", "a/b", "a:b", "a b", "sixteen-bytes-xx", "tab\there"])
def test_bad_interface_name(host, ifname):
    assert host.run("ADD", b"{broken", "/x", ifname=ifname).code == 4


@pytest.mark.parametrize("verb", ["add", "REMOVE", "VERSION "])
def test_unknown_command(host, verb):
    assert host.run(verb, b"").code == 4


@pytest.mark.parametrize(
    "conf,code",
    [
        (b"", 6),
        (b"[]", 6),
        (b'{"cniVersion":', 6),
        (b"{} trailing", 6),
        (b'{"name":"n","name":"n"}', 6),
        (b'{"name":"n","more":' + b"[" * 16 + b"]" * 16 + b"}", 6),
        (b'{"name":"n","Name":"n"}', 7),
        (b'{"cniVersion":"1.0.0"}', 7),
        (b'{"name":""}', 7),
        (b'{"name":"a/b"}', 7),
        (b'{"name":7}', 7),
        (b'{"name":"n","cniVersion":1}', 6),
        (b'{"name":"n","cniVersion":"1.0.1"}', 1),
        (b'{"name":"n","cniVersion":"1.0"}', 1),
        (b'{"name":"n","cniVersion":"2.0.0"}', 1),
    ],
)
def test_configuration_errors(host, conf, code):
    outcome = host.run("ADD", conf, host.namespace())
    assert outcome.code == code, outcome


@pytest.mark.parametrize("version", VERSIONS)
def test_verbs_by_version(host, version):
    conf = host.flannel(version)
    ns = host.namespace()
    allowed = {"CHECK": version >= "0.4.0", "GC": version >= "1.1.0", "STATUS": version >= "1.1.0"}
    for verb, may in allowed.items():
        outcome = host.run(verb, conf, ns)
        if may:
            assert outcome.code != 1, outcome
        else:
            assert outcome.code == 1 and version in outcome.message, outcome


def test_keys_match_in_any_case(host):
    ns = host.namespace()
    conf = host.flannel(delegate={"ISGATEWAY": True, "Bridge": "other0", "MTU": 1400})
    conf["IPAM"] = conf.pop("ipam")
    result = host.add(conf, ns)
    assert result["interfaces"][0]["name"] == "other0"
    assert ns.link("eth0")["mtu"] == 1400


@pytest.mark.parametrize(
    "delegate",
    [{"mtu": 1400.0}, {"mtu": "1400"}, {"mtu": -1}, {"isGateway": "true"}, {"bridge": "a/b"}, {"ipMasqBackend": "iptables"},
     {"hairpinMode": True, "promiscMode": True}, {"name": "x"}, {"ipam": {}}, {"type": 7}],
)  # fmt: skip
def test_bad_values_are_refused_by_name(host, delegate):
    ns = host.namespace()
    outcome = host.run("ADD", host.flannel(delegate=delegate), ns)
    assert outcome.code == 7 and sorted(delegate)[0] in outcome.message or "delegate" in outcome.message, outcome
    assert host.leftovers() == {}


def test_a_key_twice_is_refused_by_name(host):
    ns = host.namespace()
    text = json.dumps(host.flannel())
    outcome = host.run("ADD", f'{text[:-1]},"x":[{{"y":1,"y":1}}]}}'.encode(), ns)
    assert outcome.code == 6 and '"y" is given twice' in outcome.message, outcome
    outcome = host.run("ADD", host.flannel() | {"runtimeConfig": {"ips": [], "IPs": []}}, ns)
    assert outcome.code == 7 and 'ips is given twice, as "ips" and as "IPs"' in outcome.message, outcome
    assert host.leftovers() == {}


def test_keys_that_are_not_read_may_come_in_two_cases(host):
    """Whatever a runtime or another plugin has put in; and DEL minds nothing that only ADD reads."""
    ns = host.namespace()
    conf = host.flannel() | {"labels": {"a": 1, "A": 2}, "Labels": 1, "args": {"other": {"mac": 1, "MAC": 2}}}
    conf["prevResult"] = host.add(conf, ns) | {"more": {"b": 1, "B": 2}, "More": 1}
    outcome = host.run("CHECK", conf, ns)
    assert outcome.ok, outcome
    outcome = host.run("DEL", conf | {"delegate": {"mtu": 1400, "Mtu": 1400}, "runtimeConfig": {}, "RuntimeConfig": {}}, ns)
    assert outcome.ok, outcome
    assert host.leftovers() == {}


@pytest.mark.parametrize(
    "args,ok",
    [
        ("", True),
        ("IgnoreUnknown=1;K8S_POD_NAME=a=b=c", True),
        ("K8S_POD_NAME=x", True),
        ("IgnoreUnknown=false;K8S_POD_NAME=x", False),
        ("IgnoreUnknown=maybe", False),
        ("IgnoreUnknown=TRUE;", True),
        ("novalue", False),
        ("MAC=02:00:00:00:00:07", True),
        ("MAC=nonsense", False),
        ("IP=10.5.17.9", True),
        ("IP=10.5.17.300", False),
        ("CONSUL_IPTABLES_CONFIG={\"a\":[1,2]};NOMAD_JOB_ID=a=b", True),
    ],
)
def test_cni_args(host, args, ok):
    ns = host.namespace()
    outcome = host.run("ADD", host.flannel(), ns, args=args)
    assert outcome.ok == ok, outcome
    if not ok:
        assert outcome.code == 4
    host.delete(host.flannel(), ns, args=args)
    assert host.leftovers() == {}


def test_no_subnet_file_means_try_again(host):
    host.subnet_file.unlink()
    outcome = host.run("ADD", host.flannel(), host.namespace())
    assert outcome.code == 11 and str(host.subnet_file) in outcome.message
    assert host.run("STATUS", host.flannel()).code == 50


def test_incomplete_subnet_file_names_what_is_missing(host):
    host.subnet_file.write_text("foo=bar\n")
    outcome = host.run("ADD", host.flannel(), host.namespace())
    assert outcome.code == 7
    assert (
        "missing FLANNEL_NETWORK, FLANNEL_IPV6_NETWORK, FLANNEL_SUBNET, FLANNEL_IPV6_SUBNET, FLANNEL_MTU, FLANNEL_IPMASQ"
        in outcome.message
    )
    assert host.run("STATUS", host.flannel()).code == 50


def test_world_writable_subnet_file_is_refused(host):
    for path, mode in ((host.subnet_file, 0o666), (host.directory, 0o777)):
        before = path.stat().st_mode
        path.chmod(mode)
        outcome = host.run("ADD", host.flannel(), host.namespace())
        assert outcome.code == 7 and "anybody" in outcome.message
        path.chmod(before)
    host.directory.chmod(0o1777)
    assert host.run("ADD", host.flannel(), host.namespace()).ok


@pytest.mark.parametrize("how", ["path", "self", "thread-self"])
def test_the_hosts_namespace_is_refused_before_anything_is_touched(host, how):
    path = {"path": host.ns.path, "self": "/proc/self/ns/net", "thread-self": "/proc/thread-self/ns/net"}[how]
    before = host.ns.ip("addr")
    outcome = host.run("ADD", host.flannel(), path)
    assert outcome.code == 8, outcome
    assert host.ns.ip("addr") == before
    assert not host.data_dir.exists() and not host.pool_dir.exists()


def test_the_hosts_namespace_on_purpose(host):
    outcome = host.run("ADD", host.flannel(), host.ns, CNI_NETNS_OVERRIDE="true")
    assert outcome.ok, outcome
    host.delete(host.flannel(), host.ns, CNI_NETNS_OVERRIDE="true")
    assert host.leftovers() == {}


def test_no_namespace_and_no_network_namespace(host):
    assert host.run("ADD", host.flannel(), "/run/netns/does-not-exist").code == 3
    plain = host.directory / "plain"
    plain.write_text("")
    fifo = host.directory / "fifo"
    os.mkfifo(fifo)
    for path in (plain, fifo, "/proc/self/ns/uts", "/dev/null"):
        assert host.run("ADD", host.flannel(), str(path)).code == 8
    assert host.leftovers() == {}


def test_stdin_may_come_slowly(host):
    ns = host.namespace()
    process = host.start("ADD", host.flannel(), ns)
    request = process.request
    process.stdin.write(request[:20])
    process.stdin.flush()
    wait_for(lambda: f"State:\tS" in open(f"/proc/{process.pid}/status").read(), 10, "the plugin waits for more")
    process.request = request[20:]
    assert host.finish(process).ok


def test_closed_standard_streams_do_no_harm(host):
    """A descriptor that is missing must not be taken for a file of ours."""
    ns = host.namespace()
    env = host.environment("ADD", ns)
    read, write = os.pipe()
    os.write(write, json.dumps(host.flannel()).encode())
    os.close(write)
    pid = os.posix_spawn(
        "/usr/bin/nsenter",
        ["nsenter", f"--net={host.ns.path}", str(PLUGIN)],
        env,
        file_actions=[(os.POSIX_SPAWN_DUP2, read, 0), (os.POSIX_SPAWN_CLOSE, 1), (os.POSIX_SPAWN_CLOSE, 2)],
    )
    os.waitpid(pid, 0)
    os.close(read)
    for file in host.data_dir.rglob("*@eth0"):
        json.loads(file.read_text())
