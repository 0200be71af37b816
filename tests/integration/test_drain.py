# SPDX-License-Identifier: Apache-2.0
"""A host is taken out of use and into use again: fabricctl drain and resume, the daemon, the CNI plugin."""

import json
import subprocess

import pytest
from cni_support import Host

from etcd import PREFIX
from fabric import APART, CNI_PLUGIN, FABRICCTL
from fabricctl_support import ENVIRONMENT, FAILED, NO_STORE, OK, TIMEOUT, fabricctl
from netns import wait_for

NOT_AVAILABLE = 50


class World:
    def __init__(self, lab, machine, host):
        self.lab, self.machine, self.daemon, self.host = lab, machine, machine.daemon, host
        self.conf = host.flannel(delegate={"isDefaultGateway": True})

    def argv(self, command, *args):
        return [
            command, *args, f"--socket={self.daemon.socket_path}", f"--state-dir={self.daemon.flags['state_dir']}",
            f"--cni-plugin={CNI_PLUGIN}", f"--cni-data-dir={self.host.data_dir}", "--config-file=/dev/null",
            f"--etcd-endpoints={self.lab.etcd.endpoints}",
        ]  # fmt: skip

    def drain(self, *args, status=OK):
        done = fabricctl(*self.argv("drain", *args), where=self.machine, stdin=subprocess.DEVNULL)
        assert done.returncode == status, f"{done.returncode}\n{done.stdout}{done.stderr}"
        return done

    def resume(self):
        done = fabricctl("resume", f"--socket={self.daemon.socket_path}", where=self.machine)
        assert done.returncode == OK, done.stderr
        return done.stdout

    def problems(self):
        return {p["name"]: (p["severity"], p["text"]) for p in self.daemon.status()["problems"]}


@pytest.fixture
def world(lab):
    lab.start_etcd()
    lab.configure(APART)
    machine = lab.host()
    daemon = machine.start_daemon()
    with Host(existing=machine.name, subnet_file=daemon.subnet_file) as host:
        yield World(lab, machine, host)


def drained(world):
    return "FLANNEL_DRAINED=true\n" in world.daemon.subnet_file.read_text()


def test_drained_and_resumed(world):
    world.host.add(world.conf, world.host.namespace(), id="c1")
    done = world.drain("--yes", "--timeout=1s", status=TIMEOUT)
    assert "draining: 1 attachment left\n" in done.stdout and "1 attachment is left" in done.stderr
    assert drained(world)
    refused = world.host.run("ADD", world.conf, world.host.namespace(), id="c2")
    assert refused.code == NOT_AVAILABLE and "fabricctl resume" in refused.message
    assert world.host.run("STATUS", world.conf).code == NOT_AVAILABLE
    assert world.problems()["drained"][0] == "info" and world.daemon.status()["verdict"] == "ok"
    # A restart changes nothing, and what runs goes on.
    world.daemon.restart()
    world.daemon.wait_ready()
    wait_for(lambda: drained(world) and "drained" in world.problems(), 5, "it is drained still")
    assert world.host.run("ADD", world.conf, world.host.namespace(), id="c2").code == NOT_AVAILABLE
    assert world.resume() == "resumed: containers are attached again\n" and world.resume()
    wait_for(lambda: not drained(world), 5, "subnet.env says no more of it")
    world.host.add(world.conf, world.host.namespace(), id="c2")
    assert "drained" not in world.problems() and not (world.daemon.flags["state_dir"] / "drained").exists()


def test_waits_for_the_last_one(world):
    ns = world.host.namespace()
    result = world.host.add(world.conf, ns, id="c1")
    with world.machine.namespace.entered():
        process = subprocess.Popen([FABRICCTL, *world.argv("drain", "--yes")], stdout=subprocess.PIPE, text=True, env=ENVIRONMENT)
    assert process.stdout.readline() == "draining: 1 attachment left\n"
    world.host.delete(world.conf, ns, prev=result, id="c1")
    assert process.communicate(timeout=20)[0] == "drained: 0 attachments left\n" and process.returncode == OK


def test_given_back(world):
    """In order: nothing new, none left, the daemon lets go, the subnet is free; until it is resumed none is claimed."""
    subnet = world.daemon.subnet()
    assert "would attach no more" in world.drain("--release", "--dry-run").stdout and not drained(world)
    done = world.drain("--release", "--yes")
    assert f"released {subnet}" in done.stdout
    assert world.daemon.wait_exit() == 0 and world.lab.etcd.leases() == []
    world.daemon.start().wait_listening()
    wait_for(lambda: "drained" in world.problems(), 10, "it says why it has no subnet")
    status = world.daemon.status()
    assert not status["ready"] and "resume" in status["readyReason"] and world.lab.etcd.leases() == []
    world.resume()
    world.daemon.wait_ready()
    assert len(world.lab.etcd.leases()) == 1 and not drained(world)


def test_it_is_asked_before(world):
    done = fabricctl(*world.argv("drain"), where=world.machine, stdin=subprocess.DEVNULL)
    assert done.returncode not in (OK, TIMEOUT) and "--yes" in done.stderr and not drained(world)
    assert json.loads(world.drain("--yes", "-o", "json").stdout)["state"] == "drained"
    # The daemon takes it from root alone, by POST alone, and no other word.
    assert world.daemon.request("/v1/drain?state=off")[0] == 405
    assert world.daemon.request("/v1/drain?state=on", "POST")[0] == 400
    world.resume()
    assert world.daemon.request("/v1/drain?state=released", "POST")[0] == 503, "what was never drained"


def test_what_is_not_given_back(world):
    """Not under containers that the plugin has no records of, and not before the store is known to answer."""
    leases = [record.key for record in world.lab.etcd.leases()]
    world.host.add(world.conf, world.host.namespace(), id="c1")
    elsewhere = [a if not a.startswith("--cni-data-dir=") else "--cni-data-dir=/nonexistent" for a in world.argv("drain", "--release", "--yes")]
    done = fabricctl(*elsewhere, where=world.machine)
    assert done.returncode == FAILED and "1 link is of containers" in done.stderr, done.stderr
    world.host.delete(world.conf, world.host.namespace(), id="c1")
    away = [a if not a.startswith("--etcd-endpoints=") else "--etcd-endpoints=http://192.0.2.250:1" for a in world.argv("drain", "--release", "--yes")]
    assert fabricctl(*away, where=world.machine).returncode == NO_STORE
    assert world.daemon.running and [record.key for record in world.lab.etcd.leases()] == leases and drained(world)


def test_released_stays_released(world):
    world.drain("--release", "--yes")
    world.daemon.wait_exit()
    world.daemon.start().wait_listening()
    wait_for(lambda: world.problems().keys() == {"drained"}, 10, "and nothing else is wrong")
    world.drain("--yes")
    world.daemon.stop()
    world.daemon.start().wait_listening()
    wait_for(lambda: world.problems().keys() == {"drained"}, 10, "it claims none")
    assert world.lab.etcd.leases() == []
    # Where no daemon runs resume does what it would do.
    world.daemon.stop()
    done = fabricctl("resume", f"--socket={world.daemon.socket_path}", f"--state-dir={world.daemon.flags['state_dir']}", "--config-file=/dev/null")
    assert done.returncode == OK
    world.daemon.start().wait_ready()
    assert len(world.lab.etcd.leases()) == 1


def test_resumed_before_there_is_a_network(world):
    """Of what is not known yet nothing is published; it is as soon as it comes."""
    world.drain("--release", "--yes")
    world.daemon.wait_exit()
    world.lab.etcd.delete(f"{PREFIX}/config")
    (world.daemon.flags["state_dir"] / "last-known.json").unlink(missing_ok=True)
    world.daemon.start().wait_listening()
    world.resume()
    wait_for(lambda: "drained" not in world.problems(), 5, "it is in use")
    assert world.daemon.running and not world.daemon.status()["ready"]
    world.lab.configure(APART)
    world.daemon.wait_ready()
    assert len(world.lab.etcd.leases()) == 1
