# SPDX-License-Identifier: Apache-2.0
"""docs/integrations/lxc.md: its files and its commands, with the real program."""

import json
import os
import re
import shutil

import pytest

from debian import OWN, loaded, unpacked
from fabric import APART, CNI_PLUGIN
from fabricctl_support import fabricctl
from netns import wait_for
from recipes import BUSYBOX, CGROUP2, block, machine_root, remove_cgroups, reservations, write_netns_json

PAGE = "lxc.md"
LIBRARIES = "libapparmor1", "libc6", "libcap2", "libdbus-1-3", "libgcc-s1", "libpcre2-8-0", "libseccomp2", "libselinux1", "libsystemd0"
SUITES = {"bookworm": ["liblxc1"], "trixie": ["liblxc1t64", *LIBRARIES], "sid": ["liblxc1t64", *LIBRARIES]}
pytestmark = pytest.mark.skipif(not shutil.which(BUSYBOX), reason=f"{BUSYBOX} is not installed")


class Lxc:
    """A host with flanneld, and one container of LXC's on it, configured as the page has it."""

    def __init__(self, host, directory, suite):
        self.host, self.directory = host, directory
        self.name = f"{host.lab.prefix}-web"
        self.root = unpacked(suite, "lxc", "liblxc-common", *SUITES[suite]) if suite else None
        netns_json = write_netns_json(PAGE, host, directory)
        included = directory / "flannel.conf"
        text = block(PAGE, "`/etc/lxc/flannel.conf`:")
        included.write_text(text.replace("/etc/flannel/netns.json", str(netns_json)).replace("/usr/lib/cni/flannel", str(CNI_PLUGIN)))
        include = block(PAGE, "and in the container's own configuration, in place of its lines that begin with `lxc.net`:")
        container = directory / "lxc" / self.name
        container.mkdir(parents=True)
        (directory / "mnt").mkdir()
        machine = machine_root(directory / "root")
        # LXC names a container's root, console and rights: the page is about its network.
        (container / "config").write_text(
            include.replace("/etc/lxc/flannel.conf", str(included))
            + f"lxc.rootfs.path = dir:{machine}\nlxc.rootfs.mount = {directory / 'mnt'}\nlxc.uts.name = web\n"
            + "lxc.apparmor.profile = unconfined\nlxc.mount.auto = proc:mixed\n"
            + f"lxc.init.cmd = {BUSYBOX} sleep 1000\n"
        )

    def run(self, command, *more, check=True):
        """A line of the page, with this container's name and LXC's folder in the test's."""
        program, *argv = command.replace("=web", f"={self.name}").split()
        found = loaded(self.root, f"usr/bin/{program}") if self.root else [program]
        return self.host.namespace.run("unshare", "-m", "sh", "-c", CGROUP2, "sh", *found, *argv, f"--lxcpath={self.directory / 'lxc'}", *more, check=check)

    def info(self, key):
        """PID or STATE, or None."""
        found = re.search(rf"^{key}: *(\S+)$", self.run("lxc-info --name=web", check=False).stdout, re.M | re.I)
        return found and found[1]

    def inside(self, *argv):
        return self.host.namespace.run("nsenter", f"--net=/proc/{self.info('pid')}/ns/net", *argv)

    def log(self):
        return (self.directory / "lxc.log").read_text()

    def pods(self):
        daemon = self.host.daemon
        done = fabricctl("pods", "-o", "json", "--socket", daemon.socket_path, f"--cni-plugin={CNI_PLUGIN}",
                         f"--cni-data-dir={daemon.flags['cni_data_dir']}", f"--cni-cache-dir={self.directory}", where=self.host)  # fmt: skip
        return {i["containerID"]: (i["addresses"], i["state"]) for i in json.loads(done.stdout)["items"]}


@pytest.fixture
def pair(lab):
    lab.start_etcd()
    lab.configure(APART)
    return lab.hosts(2, daemons=True)


def suites():
    """The machine's LXC, or that of its Debian; and of the others that have one."""
    own = None if shutil.which("lxc-start") else OWN if OWN in SUITES else "bookworm"
    return [own, *(suite for suite in SUITES if suite != OWN)]


@pytest.fixture(params=suites(), ids=lambda suite: suite or "installed")
def lxc(request, pair, tmp_path):
    container = Lxc(pair[0], tmp_path, request.param)
    yield container
    container.run("lxc-stop --name=web", "--kill", check=False)
    remove_cgroups(container.name)


@pytest.fixture
def commands():
    return block(PAGE, "Then").splitlines()


@pytest.mark.long(after=1)
def test_the_page(lxc, pair, commands, tmp_path):
    """The container has an address of its host's subnet, reaches a container of another host, which sees it, and gives it back."""
    h1, h2 = pair
    other = h2.container()
    start, _, stop = commands
    lxc.run(start, f"--logfile={tmp_path / 'lxc.log'}", "--logpriority=DEBUG")
    addresses, state = lxc.pods()[lxc.name]
    assert state == "ok" and reservations(tmp_path) == set(addresses)
    shown = lxc.inside("ip", "addr", "show")
    mtu = h1.daemon.environment_file()["FLANNEL_MTU"]
    assert f"inet {addresses[0]}/24 " in shown and f"mtu {mtu} " in shown
    assert h1.daemon.subnet().split(".")[:3] == addresses[0].split(".")[:3]
    other.namespace.nft(f"table ip seen {{ chain in {{ type filter hook input priority 0; ip saddr {addresses[0]} counter; }}; }}")
    assert " 0% packet loss" in lxc.inside("ping", "-c", "3", "-W", "2", other.address)
    assert "packets 3 " in other.namespace.run("nft", "list", "table", "ip", "seen")
    lxc.run(stop, "--kill")
    wait_for(lambda: lxc.info("state") == "STOPPED" and reservations(tmp_path) == set(), 10, "its address is given back")
    assert lxc.pods() == {} and not h1.namespace.run("ip", "link", "show", "group", "26220")
    lxc.run(start)
    assert lxc.pods()[lxc.name][0] != addresses, "a released address rests"


@pytest.mark.long(after=1)
def test_without_a_subnet_it_does_not_start(lxc, pair, commands, tmp_path):
    """No container without its network: and the log says why."""
    pair[0].daemon.stop()
    pair[0].daemon.subnet_file.unlink()
    failed = lxc.run(commands[0], f"--logfile={tmp_path / 'lxc.log'}", "--logpriority=DEBUG", check=False)
    assert failed.returncode != 0 and "flanneld has not got a subnet yet" in lxc.log()
    assert reservations(tmp_path) == set()


@pytest.mark.long(after=1)
def test_killed_with_its_monitor(lxc, pair, commands, tmp_path):
    """There is no post-stop hook then. GC gives the address back, as the page has it, and leaves one that lives."""
    lxc.run(commands[0])
    pid = int(lxc.info("pid"))
    monitor = int(re.search(r"^PPid:\t(\d+)$", open(f"/proc/{pid}/status").read(), re.M)[1])
    gc = block(PAGE, "monitor there is no post-stop hook: its address is given back when the host has no other left, or by")
    conf = json.loads((tmp_path / "netns.json").read_text()) | {"cniVersion": "1.1.0"}
    (tmp_path / "gc.json").write_text(json.dumps(conf))

    def collect():
        pair[0].namespace.run("sh", "-c", gc.replace("/usr/lib/cni", str(CNI_PLUGIN.parent)).replace("gc.json", str(tmp_path / "gc.json")))
        return reservations(tmp_path)

    taken = reservations(tmp_path)
    assert len(taken) == 1 and collect() == taken
    os.kill(monitor, 9)
    os.kill(pid, 9)
    wait_for(lambda: not os.path.exists(f"/proc/{pid}"), 10, "the container is gone")
    wait_for(lambda: not collect(), 10, "its address is given back")


@pytest.mark.long(after=1)
def test_other_hooks_and_other_versions_are_refused(lxc, commands, tmp_path):
    text = (tmp_path / "flannel.conf").read_text()
    (tmp_path / "flannel.conf").write_text(text.replace("hook.version = 1", "hook.version = 0"))
    log = f"--logfile={tmp_path / 'lxc.log'}", "--logpriority=DEBUG"
    assert lxc.run(commands[0], *log, check=False).returncode != 0 and "lxc.hook.version must be 1" in lxc.log()
    (tmp_path / "flannel.conf").write_text(text.replace("start-host", "start"))
    assert lxc.run(commands[0], *log, check=False).returncode != 0
