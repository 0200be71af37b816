# SPDX-License-Identifier: Apache-2.0
"""docs/integrations/incus.md: its files and its commands, with incus of other Debian suites and LXD, which it comes from."""

import io
import json
import re
import shutil
import signal
import tarfile

import pytest

import debian
from fabric import APART, CNI_PLUGIN
from fabricctl_support import fabricctl
from netns import end_process, wait_for
from recipes import BUSYBOX, block, remove_cgroups
from suite_root import NEEDED, SUBNET_FILE, SuiteRoot

PAGE = "incus.md"
BESIDE = ("dash", "coreutils", "mount", "util-linux", "iproute2", "nftables", "tar", "libjansson4")
# Packages, client, daemon, and how to wait for it.
INCUS = ("incus-base",), "incus", "/usr/libexec/incus/incusd", "incus admin waitready"
LXD = ("lxd", "lxd-client"), "lxc", "lxd --group root", "lxd waitready"
SUITES = {"trixie": INCUS, "sid": INCUS, "bookworm": LXD}
START_S = 60
METADATA = b"architecture: x86_64\ncreation_date: 1700000000\nproperties: {os: busybox}\n"
pytestmark = [pytest.mark.long] + [
    pytest.mark.skipif(not shutil.which(program), reason=f"{program} is not installed") for program in (*NEEDED, BUSYBOX)
]


def write_image(path):
    """A container of busybox, whose init only waits."""
    with tarfile.open(path, "w") as tar:
        for name, data in (("metadata.yaml", METADATA), ("rootfs/etc/inittab", b"::sysinit:/bin/true\n")):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        for name in ("proc", "sys", "dev", "run", "tmp", "root", "var", "sbin"):
            info = tarfile.TarInfo(f"rootfs/{name}")
            info.type, info.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(info)
        tar.add(BUSYBOX, "rootfs/bin/busybox")
        for applet in ("bin/sh", "bin/ip", "bin/ping", "bin/true", "sbin/init"):
            info = tarfile.TarInfo(f"rootfs/{applet}")
            info.type, info.linkname = tarfile.SYMTYPE, "/bin/busybox"
            tar.addfile(info)


class Incus(SuiteRoot):
    """incusd on one of the laboratory's hosts, with the page's profile."""

    def __init__(self, host, suite, directory):
        self.host = host
        # Cgroups are the machine's, and called after the container.
        self.name = f"{host.lab.prefix}-web"
        self.daemon = None
        packages, self.client, self.program, self.waiting = SUITES[suite]
        tree = debian.unpacked(suite, *packages, *BESIDE, dependencies=True)
        super().__init__(host.namespace.path, directory, tree, "/usr/lib/cni")
        for owner in ("subuid", "subgid"):
            (self.inside / "etc" / owner).write_text("root:1000000:1000000000\n")
        (self.inside / "etc/flannel").mkdir()
        for file in ("netns.json", "incus.conf"):
            (self.inside / "etc/flannel" / file).write_text(block(PAGE, f"`/etc/flannel/{file}`:"))
        shutil.copy(host.daemon.subnet_file, self.inside / SUBNET_FILE)
        write_image(self.directory / "image.tar")

    def start(self):
        log = (self.directory / "log").open("ab")
        with log:
            self.daemon = self.popen(f"exec {self.program}", stdout=log, stderr=log)
        wait_for(
            lambda: self.daemon.poll() is not None or self.sh(f"{self.waiting} --timeout=1", check=False).returncode == 0,
            START_S, "incusd answers",
        )  # fmt: skip
        if self.daemon.poll() is not None:
            pytest.skip(f"incus does not run on this machine: {(self.directory / 'log').read_text()[-300:]}")

    def prepare(self):
        self.sh("incus storage create default dir && incus profile device add default root disk path=/ pool=default")
        # What most have: a network of incus's own.
        self.sh("incus profile device add default eth0 nic nictype=p2p name=eth0")
        self.sh("incus image import /shared/image.tar --alias busybox")
        plain = self.sh(f"incus launch busybox {self.name} && incus delete --force {self.name}", check=False)
        if plain.returncode:
            pytest.skip(f"incus cannot run containers on this machine: {plain.stderr.strip()[-300:]}")
        self.sh(block(PAGE, "A profile for all containers of the fabric, once:"))

    def sh(self, command, check=True):
        return super().sh(re.sub(r"\bincus (?!admin)", f"{self.client} ", command), check)

    def page(self, command, check=True):
        return self.sh(command.replace("web", self.name).replace("IMAGE", "busybox"), check)

    def exec(self, *argv):
        return self.sh(f"incus exec {self.name} -- {' '.join(argv)}")

    def state(self):
        """(RUNNING or STOPPED, address or None)"""
        state, addresses = self.sh(f"incus list -f csv -c s4 ^{self.name}$").strip().split(",")
        return state, addresses.removesuffix(" (eth0)") or None

    def reserved(self):
        return {file.name for file in (self.inside / "var/lib/cni/networks/incus").glob("[0-9]*")}

    def pods(self):
        cni = self.inside / "var/lib/cni"
        done = fabricctl("pods", "-o", "json", "--socket", self.host.daemon.socket_path, f"--cni-plugin={CNI_PLUGIN}",
                         f"--cni-data-dir={cni / 'flannel'}", f"--cni-cache-dir={cni / 'results'}", where=self.host)  # fmt: skip
        return {i["containerID"]: (i["addresses"], i["state"]) for i in json.loads(done.stdout)["items"]}

    def end(self):
        if self.daemon:
            if self.daemon.poll() is None:
                self.sh(f"incus delete --force {self.name}", check=False)
                end_process(self.daemon)
            remove_cgroups(self.name)
        super().end()


@pytest.fixture
def pair(lab):
    lab.start_etcd()
    lab.configure(APART)
    return lab.hosts(2, daemons=True)


@pytest.fixture(params=list(SUITES))
def incus(request, pair, tmp_path):
    container = Incus(pair[0], request.param, tmp_path)
    try:
        container.start()
        container.prepare()
        yield container
    finally:
        container.end()


@pytest.fixture
def commands():
    return block(PAGE, "Then").splitlines()


def test_the_page(incus, pair, commands):
    """The container has an address of its host's subnet, reaches a container of another host, which sees it, and gives it back."""
    h1, h2 = pair
    other = h2.container()
    launch, show, stop = commands
    incus.page(launch)
    state, address = incus.state()
    assert state == "RUNNING" and address in incus.page(show)
    assert incus.pods() == {incus.name: ([address], "ok")} and incus.reserved() == {address}
    assert address.split(".")[:3] == h1.daemon.subnet().split(".")[:3]
    assert f"mtu {h1.daemon.environment_file()['FLANNEL_MTU']} " in incus.exec("ip", "link", "show", "eth0")
    other.namespace.nft(f"table ip seen {{ chain in {{ type filter hook input priority 0; ip saddr {address} counter; }}; }}")
    assert " 0% packet loss" in incus.exec("ping", "-c", "3", "-W", "2", other.address)
    assert "packets 3 " in other.namespace.run("nft", "list", "table", "ip", "seen")
    incus.page("incus restart web --force")
    again = incus.state()[1]
    assert again != address and incus.reserved() == {again} and " 0% packet loss" in incus.exec("ping", "-c", "1", "-W", "2", other.address)
    incus.page(stop)
    assert incus.state() == ("STOPPED", None) and incus.reserved() == set() and incus.pods() == {}
    assert not h1.namespace.run("ip", "link", "show", "group", "26220")


def test_incusd_is_killed(incus, pair, commands):
    """Containers go on meanwhile; the next incusd stops them, and their addresses come back."""
    launch, _, stop = commands
    other = pair[1].container()
    incus.page(launch)
    address = incus.state()[1]
    incus.daemon.send_signal(signal.SIGKILL)
    incus.daemon.wait()
    assert " 1 received" in other.namespace.run("ping", "-c", "1", "-W", "2", address)
    incus.start()
    assert incus.state() == ("RUNNING", address)
    incus.page(stop)
    wait_for(lambda: incus.reserved() == set(), 10, "its address is given back")


def test_without_a_subnet_it_does_not_start(incus, commands):
    """No container without its network: and the log says why."""
    (incus.inside / SUBNET_FILE).unlink()
    assert incus.page(commands[0], check=False).returncode
    # For a moment after it incus 6 has no answer.
    wait_for(lambda: "flanneld has not got a subnet yet" in incus.page("incus info --show-log web"), 10, "the log says why")
    assert incus.reserved() == set()
