# SPDX-License-Identifier: Apache-2.0
"""mk-docker-opts: what dockerd is told, byte for byte; and the commands of docs/integrations/docker.md."""

import os
import subprocess

import pytest

import netns
from fabric import BUILD, ROOT

PROGRAM = BUILD / "mk-docker-opts"
V4 = "FLANNEL_NETWORK=10.1.0.0/16\nFLANNEL_SUBNET=10.1.74.1/24\n"
V6 = "FLANNEL_IPV6_NETWORK=fd10:5::/48\nFLANNEL_IPV6_SUBNET=fd10:5:0:7::1/64\n"
REST = "FLANNEL_MTU=1472\nFLANNEL_IPMASQ=false\n"
EACH = 'DOCKER_OPT_BIP="--bip=10.1.74.1/24"\nDOCKER_OPT_IPMASQ="--ip-masq=true"\nDOCKER_OPT_MTU="--mtu=1472"\n'
ALL = '" --bip=10.1.74.1/24 --ip-masq=true --mtu=1472"\n'


class Run:
    """One run: where it reads and writes, and what came of it."""

    def __init__(self, directory, *options, env=V4 + REST, inside=None, **environment):
        self.source, self.out = directory / "subnet.env", directory / "opts"
        if env is not None:
            self.source.write_text(env)
        done = (inside.run if inside else netns.run)(
            PROGRAM, "-f", self.source, "-d", self.out, *options, check=False,
            env={"PATH": os.environ["PATH"]} | environment,
        )  # fmt: skip
        self.status, self.said = done.returncode, done.stderr
        assert done.stdout == ""
        self.text = self.out.read_text() if self.out.exists() else None


@pytest.mark.parametrize(
    "options, text",
    [
        ([], EACH + "DOCKER_OPTS=" + ALL),
        (["-i"], EACH),
        (["-c"], "DOCKER_OPTS=" + ALL),
        (["-i", "-c"], EACH + "DOCKER_OPTS=" + ALL),
        (["-c", "-k", "DOCKER_NETWORK_OPTIONS"], "DOCKER_NETWORK_OPTIONS=" + ALL),
        (["-cm"], 'DOCKER_OPTS=" --bip=10.1.74.1/24 --mtu=1472"\n'),
        (["-im"], EACH.replace('DOCKER_OPT_IPMASQ="--ip-masq=true"\n', "")),
    ],
    ids=str,
)
def test_what_is_written(tmp_path, options, text):
    done = Run(tmp_path, *options)
    assert (done.status, done.said, done.text) == (0, "", text)
    assert done.out.stat().st_mode & 0o7777 == 0o644
    assert subprocess.run(["sh", "-c", f". {done.out}"], check=False).returncode == 0


def test_one_of_the_two_masquerades(tmp_path):
    assert "--ip-masq=false" in Run(tmp_path, env=V4 + REST.replace("false", "true")).text


@pytest.mark.parametrize("env, bip", [(V4 + V6 + REST, True), (V6 + REST, False)], ids=["both families", "IPv6 alone"])
def test_ipv6(tmp_path, env, bip):
    done = Run(tmp_path, "-c", env=env)
    assert done.status == 0 and ("--bip=10.1.74.1/24" in done.text) == bip and "--mtu=1472" in done.text


def test_no_subnet_yet(tmp_path):
    done = Run(tmp_path, env=None)
    assert (done.status, done.text) == (0, 'DOCKER_OPTS=""\n')
    assert str(done.source) in done.said


def test_what_stands_in_the_environment_already(tmp_path):
    done = Run(tmp_path, DOCKER_OPTS="-H fd://", DOCKER_OPT_MTU="--mtu=9", DOCKER_OPT_DNS="--dns 192.0.2.3")
    each = EACH.replace("DOCKER_OPT_IPMASQ", 'DOCKER_OPT_DNS="--dns 192.0.2.3"\nDOCKER_OPT_IPMASQ')
    assert done.text == each + 'DOCKER_OPTS="-H fd://  --bip=10.1.74.1/24 --dns 192.0.2.3 --ip-masq=true --mtu=1472"\n'


@pytest.mark.parametrize("value", ['"', "$(id)", "`id`", "\\", "a\nb"])
@pytest.mark.parametrize("name", ["DOCKER_OPTS", "DOCKER_OPT_DNS"])
def test_nothing_that_a_shell_would_run(tmp_path, name, value):
    done = Run(tmp_path, **{name: value})
    assert (done.status, done.text) == (1, None) and name in done.said


@pytest.mark.parametrize(
    "env, said",
    [
        (V4 + REST.replace("false", "maybe"), "FLANNEL_IPMASQ must be true or false"),
        (V4 + REST.replace("1472", "many"), "FLANNEL_MTU"),
        (REST, "FLANNEL_SUBNET"),
        (V4, "missing FLANNEL_MTU, FLANNEL_IPMASQ"),
        (V4.replace("10.1.74.1/24", "$(id)") + REST, "FLANNEL_SUBNET"),
    ],
)
def test_of_no_use(tmp_path, env, said):
    (tmp_path / "opts").write_text("as before\n")
    done = Run(tmp_path, env=env)
    assert (done.status, done.text) == (1, "as before\n")
    assert said in done.said and str(done.source) in done.said and done.said.count("\n") == 1


@pytest.mark.parametrize("options", [["-x"], ["-k"], ["more"], ["-h"]], ids=str)
def test_usage(tmp_path, options):
    done = Run(tmp_path, *options)
    assert (done.status, done.text) == (1, None)
    assert "usage: mk-docker-opts [-f FILE] [-d FILE] [-i] [-c] [-m] [-k NAME]" in done.said


@pytest.mark.parametrize("name", ["", "A B", "A=B", "1A", "A;id"])
def test_the_name_of_a_variable(tmp_path, name):
    done = Run(tmp_path, "-k", name)
    assert (done.status, done.text) == (1, None) and f'"{name}"' in done.said


def test_a_subnet_that_leads_elsewhere(lab, tmp_path):
    """What a former owner has left. Routes to larger networks, and the bridge's own, are none of that."""
    h1 = lab.host()
    h1.namespace.ip_batch(
        ["route add 10.1.0.0/16 via 192.0.2.2", "link add docker0 type bridge", "link set docker0 up", "addr add 10.1.74.1/24 dev docker0"]
    )
    done = Run(tmp_path, inside=h1.namespace)
    assert (done.status, done.said) == (0, "")
    done.out.unlink()
    h1.namespace.ip_do("route add 10.1.74.0/24 via 192.0.2.2 metric 50")
    done = Run(tmp_path, inside=h1.namespace)
    assert done.status == 1 and "10.1.74.0/24" in done.said and done.text == EACH + "DOCKER_OPTS=" + ALL


def test_what_is_no_file_is_written_to(tmp_path):
    """A link is followed, and stays: /dev/stdout is one."""
    (tmp_path / "file").write_text("something longer than what is written\n" * 9)
    (tmp_path / "opts").symlink_to("file")
    assert Run(tmp_path, "-c").text == "DOCKER_OPTS=" + ALL
    assert (tmp_path / "opts").is_symlink() and (tmp_path / "file").read_text() == "DOCKER_OPTS=" + ALL


def test_a_full_disk_is_told(tmp_path):
    done = netns.run(PROGRAM, "-d", "/dev/full", check=False)
    assert done.returncode == 1 and "/dev/full: No space left on device" in done.stderr


def page():
    return (ROOT / "docs" / "integrations" / "docker.md").read_text()


def test_the_page_shows_what_is_written(tmp_path):
    env = "FLANNEL_NETWORK=10.5.0.0/16\nFLANNEL_SUBNET=10.5.34.1/24\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n"
    assert f"    {Run(tmp_path, '-c', env=env).text}" in page()


def test_the_network_that_the_page_makes(tmp_path):
    """Its command, by a shell, with a docker that tells what it was asked."""
    block = page().split("(`ip-masq = true`):\n\n")[1].split("\n\n")[0]
    (tmp_path / "subnet.env").write_text(V4 + REST)
    docker = tmp_path / "docker"
    docker.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    docker.chmod(0o755)
    script = block.replace("/run/flannel/subnet.env", str(tmp_path / "subnet.env"))
    asked = netns.run("sh", "-euc", script, env={"PATH": f"{tmp_path}:{os.environ['PATH']}"}).split("\n")[:-1]
    assert asked[:6] == ["network", "create", "--subnet", "10.1.74.0/24", "--gateway", "10.1.74.1"]
    assert set(asked[7:-1:2]) == {
        "com.docker.network.bridge.enable_ip_masquerade=false",
        "com.docker.network.bridge.gateway_mode_ipv4=nat-unprotected",
        "com.docker.network.driver.mtu=1472",
    }
    assert set(asked[6:-1:2]) == {"--opt"} and asked[-1] == "fabric"
