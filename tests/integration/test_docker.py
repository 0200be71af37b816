# SPDX-License-Identifier: Apache-2.0
"""docker's networks on the fabric: a real dockerd with the daemon's driver, of each version that Debian has."""

import concurrent.futures
import json

import pytest
from cni_support import Host as Plugin

from docker import IMAGE, SUITES, Docker
from fabric import APART, DUAL
from netns import wait_for

NETWORK = "docker-flannel"  # under which the plugin records what docker asked for
NEWEST = max(SUITES)


def start(lab, version, config=None, docker_flags=(), **flags):
    """(docker, daemon) on the first host of two."""
    lab.start_etcd()
    lab.configure(config or APART)
    here, there = lab.hosts(2)
    docker = Docker(here, version, *docker_flags)
    here.start_daemon(docker_socket=docker.drivers / "flannel.sock", cni_ipam_dir=docker.directory / "networks", **flags)
    there.start_daemon()
    docker.start()
    return docker, here.daemon


def network(docker, daemon, *options, name="fabric"):
    flags = ("--driver", "flannel", "--ipam-driver", "flannel", "--subnet", daemon.subnet(), *options)
    return docker("network", "create", *flags, name).strip()


def run(docker, *options, name="fabric", command=("sleep", "1000")):
    return docker("run", "--detach", "--network", name, *options, IMAGE, *command).strip()


def endpoint(docker, container, name="fabric"):
    return json.loads(docker("inspect", container))[0]["NetworkSettings"]["Networks"][name]


def address(docker, container, name="fabric"):
    return endpoint(docker, container, name)["IPAddress"]


def state(docker, daemon):
    """The plugin's view of the same directories."""
    plugin = Plugin(existing=daemon.host.name, subnet_file=daemon.subnet_file)
    plugin.directory.rmdir()
    plugin.directory = docker.directory / "plugin"
    plugin.directory.mkdir(exist_ok=True)
    plugin.data_dir = docker.directory.parent / daemon.flags["cni_data_dir"]
    plugin.pool_dir = docker.directory / "networks"
    return plugin


@pytest.mark.parametrize("version", SUITES)
def test_life_of_a_network(lab, version):
    docker, daemon = start(lab, version)
    plugin = state(docker, daemon)
    there = lab.all_hosts[1].container()
    for flags, hint in {(): "ipam-driver", ("--ipam-driver", "flannel"): f"--subnet {daemon.subnet()}"}.items():
        assert hint in docker("network", "create", "--driver", "flannel", *flags, "wrong", check=False).stderr
    network(docker, daemon)
    first, second = run(docker), run(docker)
    assert address(docker, first) != address(docker, second)
    for target in (address(docker, second), there.address):
        docker("exec", first, "ping", "-c1", "-W2", target)
    there.namespace.run("ping", "-c1", "-W2", address(docker, second))
    # Packets are as large as the fabric takes, and docker's names work.
    assert f"mtu {daemon.environment_file()['FLANNEL_MTU']} " in docker("exec", first, "ip", "link", "show", "eth0")
    named = run(docker, "--name", "web", command=("httpd", "-f", "-h", "/www"))
    assert "hello" in docker("exec", first, "wget", "-q", "-O-", "http://web/index.html")
    # Out of one network and into another, stopped and started.
    network(docker, daemon, name="other")
    docker("network", "disconnect", "fabric", first)
    docker("network", "connect", "other", first)
    docker("exec", first, "ping", "-c1", "-W2", address(docker, second))
    docker("restart", "--time", "0", second)
    there.namespace.run("ping", "-c1", "-W2", address(docker, second))
    assert len(plugin.reservations(NETWORK)) == 3
    docker("rm", "--force", first, second, named)
    docker("network", "rm", "fabric", "other")
    assert plugin.leftovers(NETWORK) == {}


@pytest.mark.parametrize("version", SUITES)
def test_restarts(lab, version):
    """Of either side, in order and by a kill, with live-restore: containers talk all the time, addresses stay theirs."""
    docker, daemon = start(lab, version, docker_flags=["--live-restore"])
    plugin = state(docker, daemon)
    there = lab.all_hosts[1].container()
    network(docker, daemon)
    container = run(docker)
    before = address(docker, container)

    def works():
        there.namespace.run("ping", "-c1", "-W2", before)
        assert address(docker, container) == before
        new = run(docker)
        assert address(docker, new) != before
        docker("exec", new, "ping", "-c1", "-W2", there.address)
        docker("rm", "--force", new)

    daemon.restart()
    works()
    daemon.kill()
    daemon.start().wait_ready()
    works()
    docker.restart()
    works()
    docker.kill()
    there.namespace.run("ping", "-c1", "-W2", before)
    docker.start()
    works()
    # Without the daemon nothing is attached, and what is attached works.
    daemon.stop()
    there.namespace.run("ping", "-c1", "-W2", before)
    daemon.start().wait_ready()
    works()
    docker("rm", "--force", container)
    assert plugin.leftovers(NETWORK) == {}


@pytest.mark.parametrize("version", SUITES)
def test_dockerd_killed_without_live_restore(lab, version):
    """What it left is taken down at its next start, and a container that is to start again gets an address again."""
    docker, daemon = start(lab, version)
    plugin = state(docker, daemon)
    there = lab.all_hosts[1].container()
    network(docker, daemon)
    always, once = run(docker, "--restart", "always"), run(docker)
    docker.kill()
    docker.start()
    wait_for(lambda: address(docker, always), 20, "the container is started again")
    there.namespace.run("ping", "-c1", "-W2", address(docker, always))
    wait_for(lambda: list(plugin.reservations(NETWORK)) == [address(docker, always)], 20, "the other's address is free")
    docker("start", once)
    there.namespace.run("ping", "-c1", "-W2", address(docker, once))
    docker("rm", "--force", always, once)
    assert plugin.leftovers(NETWORK) == {}


@pytest.mark.parametrize("version", SUITES)
def test_published_ports(lab, version):
    docker, daemon = start(lab, version)
    here, there = (host.namespace for host in lab.all_hosts)
    network(docker, daemon)
    web = ("httpd", "-f", "-h", "/www")
    container = run(docker, "-p", "8080:80", "-p", "127.0.0.1:8081:80", command=web)

    def get(where, place):
        return where.run("curl", "-s", "-m", "3", f"http://{place}/index.html", check=False).stdout

    hello = "hello from the container\n"
    wait_for(lambda: get(here, f"{address(docker, container)}:80") == hello, 10, "the server answers")
    assert get(there, f"{lab.all_hosts[0].address}:8080") == hello
    assert get(here, "127.0.0.1:8080") == hello and get(here, "127.0.0.1:8081") == hello
    assert get(there, f"{lab.all_hosts[0].address}:8081") == ""
    # Taken is taken; after a restart of everything too.
    refused = docker("run", "--rm", "--network", "fabric", "-p", "8080:80", IMAGE, "true", check=False)
    assert refused.returncode and "port 8080/tcp of the host is published" in refused.stderr
    refused = docker("run", "--rm", "--network", "fabric", "-p", "80", IMAGE, "true", check=False)
    assert refused.returncode and "say which port of the host it is" in refused.stderr
    daemon.restart()
    assert get(there, f"{lab.all_hosts[0].address}:8080") == hello
    docker("rm", "--force", container)
    assert get(there, f"{lab.all_hosts[0].address}:8080") == ""
    run(docker, "-p", "8080:80", command=web)
    wait_for(lambda: get(there, f"{lab.all_hosts[0].address}:8080") == hello, 10, "the next one has the port")
    assert len(state(docker, daemon).reservations(NETWORK)) == 1


def test_many_at_once(lab):
    docker, daemon = start(lab, NEWEST)
    plugin = state(docker, daemon)
    network(docker, daemon)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        containers = list(pool.map(lambda _: run(docker), range(16)))
    assert len({address(docker, one) for one in containers}) == 16
    docker("rm", "--force", *containers)
    assert plugin.leftovers(NETWORK) == {}


def test_both_families(lab):
    docker, daemon = start(lab, NEWEST, DUAL)
    there = lab.all_hosts[1].container()
    network(docker, daemon, "--ipv6", "--subnet", daemon.subnet6())
    container = run(docker)
    for target in there.addresses:
        docker("exec", container, "ping", "-c1", "-W2", target)
    there.namespace.run("ping", "-c1", "-W2", endpoint(docker, container)["GlobalIPv6Address"])


def test_wanted_by_the_user(lab):
    docker, daemon = start(lab, NEWEST)
    network(docker, daemon)
    wanted = daemon.subnet().replace(".0/24", ".77")
    mac = "02:00:00:00:00:77"
    container = run(docker, "--ip", wanted, "--mac-address", mac)
    assert address(docker, container) == wanted and endpoint(docker, container)["MacAddress"] == mac
    assert mac in docker("exec", container, "ip", "link", "show", "eth0")
    refused = docker("run", "--rm", "--network", "fabric", "--ip", wanted, IMAGE, "true", check=False)
    assert refused.returncode and "not available" in refused.stderr
