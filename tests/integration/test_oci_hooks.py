# SPDX-License-Identifier: Apache-2.0
"""docs/integrations/oci-hooks.md with the real runtimes; and what `flannel hook` makes of other states."""

import json
import os
import shutil
import subprocess

import pytest

from cni_support import PLUGIN, Host
from debian import OWN, loaded, unpacked
from fabric import APART, CNI_PLUGIN
from netns import run
from recipes import BUSYBOX, block, machine_root, reservations, write_netns_json

PAGE = "oci-hooks.md"
NEEDS_BUSYBOX = pytest.mark.skipif(not shutil.which(BUSYBOX), reason=f"{BUSYBOX} is not installed")


class Bundle:
    def __init__(self, runtime, host, directory):
        self.host, self.directory, self.runtime = host, directory, runtime
        self.id = f"{host.lab.prefix}-web"
        if shutil.which(runtime):
            self.command = [runtime]
        elif runtime == "runc":
            pytest.skip("runc is not installed")
        else:
            self.command = loaded(unpacked(OWN, "crun", "libyajl2"), "usr/bin/crun")
        (directory / "bundle").mkdir()
        machine_root(directory / "bundle" / "rootfs")
        netns_json = write_netns_json(PAGE, host, directory)
        hooks = "{" + block(PAGE, "In the bundle's `config.json`, whose `linux.namespaces` has `{\"type\": \"network\"}` without a path:") + "}"
        hooks = hooks.replace("/etc/flannel/netns.json", str(netns_json)).replace("/usr/lib/cni/flannel", str(CNI_PLUGIN))
        run(*self.command, "spec", cwd=directory / "bundle")
        self.change(process={"terminal": False, "args": [BUSYBOX, "sleep", "1000"]}, **json.loads(hooks))

    def change(self, process=None, **more):
        path = self.directory / "bundle" / "config.json"
        config = json.loads(path.read_text())
        config["process"] |= process or {}
        config["linux"].pop("resources", None)
        path.write_text(json.dumps(config | more))

    def run(self, line, check=True):
        """A line of the page, with a folder of its own for what the runtime keeps, and without what it needs to be a service."""
        argv = line.replace(" web", f" {self.id}").split()
        options = ["--root", str(self.directory / "state")]
        at_start = ["--no-pivot"] if "run" in argv else []
        if self.runtime == "crun":  # it wants cgroups of one version, and may be told to use none
            options += ["--cgroup-manager=disabled"]
        # A container has the runtime's output, and keeps it open.
        said = self.directory / "said"
        mounts = "mount -t cgroup2 cgroup2 /sys/fs/cgroup && " if self.runtime == "crun" else ""
        command = ("unshare", "-m", "sh", "-c", f'{mounts}exec "$@" >{said} 2>&1', "sh", *self.command, *options, argv[1], *at_start, *argv[2:])
        done = self.host.namespace.run(*command, cwd=self.directory / "bundle", check=False, stdin=subprocess.DEVNULL)
        assert not check or done.returncode == 0, said.read_text()
        return done.returncode, said.read_text()

    def pid(self):
        return json.loads(self.run(f"{self.runtime} state web")[1])["pid"]


@pytest.fixture
def pair(lab):
    lab.start_etcd()
    lab.configure(APART)
    return lab.hosts(2, daemons=True)


@pytest.fixture(params=["runc", "crun"])
def bundle(request, pair, tmp_path):
    bundle = Bundle(request.param, pair[0], tmp_path)
    yield bundle
    bundle.run(f"{bundle.runtime} delete --force web", check=False)


@pytest.fixture
def commands(bundle):
    start, _, delete = block(PAGE, "Then").replace("runc", bundle.runtime).splitlines()
    return start, delete


@NEEDS_BUSYBOX
def test_the_page(bundle, pair, commands, tmp_path):
    """The container has an address of its host's subnet, reaches a container of another host, which sees it, and gives it back."""
    h1, h2 = pair
    other = h2.container()
    start, delete = commands
    bundle.run(start)
    (address,) = reservations(tmp_path)
    inside = "nsenter", f"--net=/proc/{bundle.pid()}/ns/net"
    shown = h1.namespace.run(*inside, "ip", "addr", "show", "eth0")
    mtu = h1.daemon.environment_file()["FLANNEL_MTU"]
    assert f"inet {address}/24 " in shown and f"mtu {mtu} " in shown and h1.daemon.subnet().rpartition(".")[0] in address
    other.namespace.nft(f"table ip seen {{ chain in {{ type filter hook input priority 0; ip saddr {address} counter; }}; }}")
    assert " 0% packet loss" in h1.namespace.run(*inside, "ping", "-c", "3", "-W", "2", other.address)
    assert "packets 3 " in other.namespace.run("nft", "list", "table", "ip", "seen")
    bundle.run(delete)
    assert reservations(tmp_path) == set() and not h1.namespace.run("ip", "link", "show", "group", "26220")
    bundle.run(start)
    assert reservations(tmp_path).isdisjoint({address}), "a released address rests"


@NEEDS_BUSYBOX
def test_without_a_subnet_it_does_not_start(bundle, pair, commands, tmp_path):
    pair[0].daemon.stop()
    pair[0].daemon.subnet_file.unlink()
    log = tmp_path / "hooks.log"
    log.touch()
    if bundle.runtime == "crun":
        bundle.change(annotations={block(PAGE, "crun says only that a hook failed; why is in the file that the bundle's annotation names:").split('"')[1]: str(log)})
    status, said = bundle.run(commands[0], check=False)
    assert status != 0 and "flanneld has not got a subnet yet" in said + log.read_text()
    assert reservations(tmp_path) == set()


class Hook:
    """`flannel hook` on a host, told states by hand."""

    def __init__(self, host):
        self.host = host
        self.file = host.directory / "netns.json"
        self.file.write_text(json.dumps(host.flannel()))

    def __call__(self, state="", *argv, **environment):
        text = state if isinstance(state, str) else json.dumps(state)
        env = {"PATH": os.environ["PATH"]} | environment
        with self.host.ns.entered():
            return subprocess.run([PLUGIN, "hook", *(argv or [self.file])], input=text, env=env, capture_output=True, text=True, check=False)


@pytest.fixture
def hook():
    with Host() as host:
        yield Hook(host)


@pytest.fixture
def sleeper(hook):
    with hook.host.namespace().entered():
        process = subprocess.Popen(["sleep", "1000"])
    yield process.pid
    process.kill()
    process.wait()


@pytest.mark.parametrize(
    "state,said",
    [
        ("", "state on stdin"),
        ("[]", "state on stdin"),
        ({"id": "c1"}, "status is missing"),
        ({"status": "stopped"}, "id is missing"),
        ({"id": "c1", "status": "paused"}, 'status is "paused", must be creating, created, running or stopped'),
        ({"id": "c1", "status": "creating"}, "pid is missing"),
        ({"id": "c1", "status": "creating", "pid": 0}, "pid is 0, must be"),
        ({"id": "c1", "status": "creating", "pid": "7"}, "pid"),
        ({"id": "c1", "status": "creating", "pid": 99999999}, "pid is 99999999, must be"),
        ({"id": "../c1", "status": "stopped"}, 'CNI_CONTAINERID "../c1" is not valid'),
        ({"id": 7, "status": "stopped"}, "id"),
    ],
)
def test_states_that_are_none(hook, state, said):
    done = hook(state)
    assert done.returncode == 1 and said in done.stderr and done.stderr.startswith("flannel: "), done
    assert hook.host.leftovers() == {}


def test_usage_and_files(hook, sleeper):
    state = {"id": "c1", "status": "created", "pid": sleeper, "annotations": {"pid": "1"}}
    assert "usage: flannel hook FILE [INTERFACE]\n" in hook(state, hook.file, "a", "b").stderr
    assert "lxc.hook.version must be 1" in hook("", hook.file, "web", "lxc", "start-host", LXC_NAME="web").stderr
    assert "/nonexistent" in hook(state, "/nonexistent").stderr
    assert "is not valid" in hook(state, hook.file, "a/b").stderr
    hook.file.write_text("{")
    assert "network configuration" in hook(state).stderr
    assert hook.host.leftovers() == {}


def test_an_interface_of_another_name_and_a_second_stop(hook, sleeper):
    state = {"id": "c1", "status": "creating", "pid": sleeper}
    assert hook(state, hook.file, "net1").returncode == 0
    assert hook.host.reservations() == {"10.5.17.2": ("c1", "net1")}
    assert "already" in hook(state, hook.file, "net1").stderr
    for _ in range(2):
        assert hook({"id": "c1", "status": "stopped", "pid": 0}, hook.file, "net1").returncode == 0
        assert hook.host.leftovers() == {}


@pytest.mark.parametrize(
    "environment,said",
    [
        ({"LXC_HOOK_TYPE": "start-host", "LXC_NAME": "web"}, 'LXC_PID is "", must be a process'),
        ({"LXC_HOOK_TYPE": "start-host", "LXC_NAME": "web", "LXC_PID": "7x"}, 'LXC_PID is "7x"'),
        ({"LXC_HOOK_TYPE": "start-host", "LXC_NAME": "web", "LXC_PID": "-1"}, 'LXC_PID is "-1"'),
        ({"LXC_HOOK_TYPE": "start-host", "LXC_PID": "7"}, "LXC_NAME is missing"),
        ({"LXC_HOOK_TYPE": "mount", "LXC_NAME": "web", "LXC_PID": "7"}, 'LXC_HOOK_TYPE is "mount", must be start-host or post-stop'),
    ],
)
def test_what_lxc_does_not_say(hook, environment, said):
    done = hook("", **environment)
    assert done.returncode == 1 and said in done.stderr
