# SPDX-License-Identifier: Apache-2.0
"""Real clients: podman, and ctr of containerd, with the configuration that is installed, on a container made of busybox.

Everything that they keep lies in the test's directory, and they run in the test's host namespace. Where a client is not
installed, or cannot run a container even without a network on this machine, that is a skip with the reason.
"""

import concurrent.futures
import hashlib
import io
import json
import os
import pathlib
import platform
import re
import shutil
import signal
import subprocess
import tarfile

import pytest
from cni_support import PLUGIN, REFERENCE, ROOT, Host
from debian import unpacked
from netns import wait_for

IMAGE = "localhost/busybox:test"
APPLETS = ["sh", "ip", "ping", "sleep", "httpd", "wget", "cat", "nc", "true", "echo"]
CLIENT_TIMEOUT_S = 120


def find_busybox():
    for path in ("/bin/busybox", "/usr/bin/busybox"):
        if os.path.exists(path):
            if subprocess.run(["ldd", path], capture_output=True).returncode:
                return path
            pytest.skip(f"{path} is not a static program (package busybox-static)")
    pytest.skip("busybox is not installed (package busybox-static)")


def add_file(tar, name, data, mode=0o644):
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(data), mode
    tar.addfile(info, io.BytesIO(data))


def make_image(path, image=IMAGE, command=("/bin/sh",)):
    """An image of one layer with busybox in it, as `docker save` would write it."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        for name in ("bin", "proc", "sys", "dev", "etc", "tmp", "run", "www"):
            info = tarfile.TarInfo(name)
            info.type, info.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(info)
        add_file(tar, "bin/busybox", pathlib.Path(find_busybox()).read_bytes(), 0o755)
        add_file(tar, "www/index.html", b"hello from the container\n")
        for applet in APPLETS:
            info = tarfile.TarInfo(f"bin/{applet}")
            info.type, info.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(info)
    data = layer.getvalue()
    architecture = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    config = json.dumps(
        {
            "architecture": architecture,
            "os": "linux",
            "config": {"Cmd": list(command), "Env": ["PATH=/bin"]},
            "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(data).hexdigest()]},
        }
    ).encode()
    name = hashlib.sha256(config).hexdigest() + ".json"
    with tarfile.open(path, "w") as tar:
        add_file(tar, name, config)
        add_file(tar, "layer.tar", data)
        add_file(tar, "manifest.json", json.dumps([{"Config": name, "RepoTags": [image], "Layers": ["layer.tar"]}]).encode())


def require(*programs):
    for program in programs:
        if not shutil.which(program, path="/usr/sbin:/usr/bin:/sbin:/bin"):
            pytest.skip(f"{program} is not installed")


def write_conflist(host, directory, reference=REFERENCE, without=()):
    """The list that is installed, with the test's directories; `without` some of its cniVersions, as docs/cni.md has it."""
    conflist = json.loads((ROOT / "cni-plugin" / "10-flannel.conflist").read_text())
    conflist["plugins"][0] |= {
        "subnetFile": str(host.subnet_file),
        "dataDir": str(host.data_dir),
        "ipam": {"dataDir": str(host.pool_dir)},
    }
    conflist["cniVersions"] = [v for v in conflist["cniVersions"] if v not in without]
    if not (reference / "portmap").exists():
        conflist["plugins"] = conflist["plugins"][:1]
    directory.mkdir()
    (directory / "10-flannel.conflist").write_text(json.dumps(conflist))
    return conflist["name"]


class Podman:
    def __init__(self, host):
        self.host = host
        d = self.directory = host.directory
        (d / "plugins").mkdir()
        shutil.copy(PLUGIN, d / "plugins" / "flannel")
        self.network = write_conflist(host, d / "net.d")
        (d / "containers.conf").write_text(f"""
[network]
network_backend = "cni"
cni_plugin_dirs = ["{d}/plugins", "{REFERENCE}"]
network_config_dir = "{d}/net.d"
default_network = "{self.network}"
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1000:1000"]
""")
        make_image(d / "image.tar")

    def run(self, *argv, check=True, timeout_s=CLIENT_TIMEOUT_S):
        d = self.directory
        result = subprocess.run(
            ["nsenter", f"--net={self.host.ns.path}", "podman", "--root", f"{d}/root", "--runroot", f"{d}/run",
             "--tmpdir", f"{d}/tmp", "--storage-driver", "vfs", *argv],
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "CONTAINERS_CONF": f"{d}/containers.conf", "HOME": str(d)},
            capture_output=True, text=True, timeout=timeout_s,
        )  # fmt: skip
        assert not check or result.returncode == 0, result.stderr
        return result.stdout if check else result

    def start(self, name, *options, command=("sleep", "600")):
        self.run("run", "-d", "--name", name, "--network", self.network, *options, IMAGE, *command)

    def address(self, name):
        return json.loads(self.run("inspect", name))[0]["NetworkSettings"]["Networks"][self.network]["IPAddress"]

    def end(self):
        self.run("rm", "-f", "-a", "-t", "0", check=False)
        self.run("umount", "-a", check=False)


@pytest.fixture
def podman():
    require("podman", "runc")
    with Host() as host:
        client = Podman(host)
        try:
            asked = client.run("info", check=False)
            if "cni support is not enabled" in asked.stderr:
                pytest.skip("this podman is built without CNI, it has netavark only: test_podman5.py")
            client.run("load", "-i", str(host.directory / "image.tar"))
            plain = client.run("run", "--rm", "--network", "none", IMAGE, "true", check=False)
            if plain.returncode:
                pytest.skip(f"podman cannot run containers on this machine: {plain.stderr.strip()[-300:]}")
            yield client
        finally:
            client.end()


def nothing_left(host, network):
    wait_for(lambda: host.leftovers(network) == {}, 10, f"everything is undone: {host.leftovers(network)}")


def test_podman_run(podman):
    out = podman.run("run", "--rm", "--network", podman.network, IMAGE, "ip", "-4", "addr", "show", "eth0")
    assert "inet 10.5.17.2/24" in out and "mtu 1450" in out
    nothing_left(podman.host, podman.network)


@pytest.mark.long
def test_podman_exec_and_two_containers(podman):
    podman.start("one")
    podman.start("two")
    other = podman.address("two")
    assert "1 packets received" in podman.run("exec", "one", "ping", "-c", "1", "-W", "2", other)
    assert "1 packets received" in podman.run("exec", "one", "ping", "-c", "1", "-W", "2", "10.5.17.1")
    podman.run("rm", "-f", "-t", "0", "one", "two")
    nothing_left(podman.host, podman.network)


@pytest.mark.long
def test_podman_publish(podman):
    if not (REFERENCE / "portmap").exists():
        pytest.skip(f"{REFERENCE / 'portmap'} is not installed")
    podman.host.ns.run("ip", "addr", "add", "192.0.2.1/32", "dev", "lo")
    podman.start("web", "-p", "8080:80", command=("httpd", "-f", "-p", "80", "-h", "/www"))
    fetch = "import urllib.request; print(urllib.request.urlopen('http://192.0.2.1:8080/', timeout=5).read())"
    wait_for(lambda: "hello" in podman.host.ns.run("/usr/bin/python3", "-c", fetch, check=False), 10, "the server answers")
    podman.run("rm", "-f", "-t", "0", "web")
    nothing_left(podman.host, podman.network)


@pytest.mark.long
def test_podman_fixed_address_and_mac(podman):
    podman.start("fixed", "--ip", "10.5.17.77", "--mac-address", "02:11:22:33:44:55")
    out = podman.run("exec", "fixed", "ip", "addr", "show", "eth0")
    assert "inet 10.5.17.77/24" in out and "02:11:22:33:44:55" in out
    taken = podman.run("run", "--rm", "--network", podman.network, "--ip", "10.5.17.77", IMAGE, "true", check=False)
    assert taken.returncode and "10.5.17.77 is not available" in taken.stderr
    podman.run("rm", "-f", "-t", "0", "fixed")
    nothing_left(podman.host, podman.network)


@pytest.mark.long
def test_podman_stop_and_start(podman):
    podman.start("again")
    first = podman.address("again")
    for _ in range(2):
        podman.run("stop", "-t", "0", "again")
        nothing_left(podman.host, podman.network)
        podman.run("start", "again")
        assert "1 packets received" in podman.run("exec", "again", "ping", "-c", "1", "-W", "2", "10.5.17.1")
    assert podman.address("again") != first, "a released address rests"
    podman.run("kill", "again")
    nothing_left(podman.host, podman.network)


@pytest.mark.long
def test_podman_five_at_once(podman):
    with concurrent.futures.ThreadPoolExecutor(5) as pool:
        list(pool.map(lambda i: podman.start(f"many{i}"), range(5)))
    addresses = {podman.address(f"many{i}") for i in range(5)}
    assert len(addresses) == 5
    with concurrent.futures.ThreadPoolExecutor(5) as pool:
        list(pool.map(lambda i: podman.run("rm", "-f", "-t", "0", f"many{i}"), range(5)))
    nothing_left(podman.host, podman.network)


CTR_PLUGINS = "/opt/cni/bin", "/usr/lib/cni"


def ctr_places(configuration, plugins):
    """The shell's lines that put both where ctr looks, in a mount namespace of the test's own."""
    if not os.path.isdir("/etc/cni/net.d"):
        pytest.skip("/etc/cni/net.d does not exist, and the test makes nothing there")
    lines = [f"mount --bind {configuration} /etc/cni/net.d", "mount -t tmpfs tmpfs /opt"]
    lines += [f"mkdir -p {p} && mount --bind {plugins} {p}" for p in CTR_PLUGINS if p.startswith("/opt/") or os.path.isdir(p)]
    return " && ".join(lines)


def containerd(which):
    """(PATH for it, the chained plugins, what of cniVersions they do not know)"""
    require("runc", "unshare")
    path = "/usr/sbin:/usr/bin:/sbin:/bin"
    if which == "installed":
        require("containerd", "ctr")
        return path, REFERENCE, ()
    suite, _, old_plugins = which.partition("-")
    path = f"{unpacked(suite, 'containerd') / 'usr' / 'bin'}:{path}"
    if suite == "sid" and not old_plugins:
        return path, unpacked("sid", "containernetworking-plugins") / "usr" / "lib" / "cni", ()
    return path, REFERENCE, ("1.1.0",) if old_plugins else ()


def write_containerd(host, reference, without):
    """Its files and the image, in the host's directory. (the network's name, the folder of plugins)"""
    d = host.directory
    network = write_conflist(host, d / "net.d", reference, without)
    plugins = d / "plugins"
    plugins.mkdir()
    if reference.exists():
        shutil.copytree(reference, plugins, dirs_exist_ok=True)
    shutil.copy(PLUGIN, plugins / "flannel")
    make_image(d / "image.tar")
    (d / "config.toml").write_text(f"""
version = 2
root = "{d}/root"
state = "{d}/state"
oom_score = 0
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.cri.v1.runtime", "io.containerd.cri.v1.images"]
[grpc]
address = "{d}/sock"
""")
    return network, plugins


@pytest.fixture(params=["installed", "trixie", "sid", "sid-old-plugins"])
def ctr(request):
    """containerd in the host namespace. ctr itself looks only in /etc/cni/net.d: in a mount namespace that is ours."""
    path, reference, without = containerd(request.param)
    with Host() as host:
        d = host.directory
        network, plugins = write_containerd(host, reference, without)
        binds = ctr_places(d / "net.d", plugins)
        env = {"PATH": path}
        keeper = subprocess.Popen(
            ["unshare", "-m", "--propagation", "slave", "nsenter", f"--net={host.ns.path}", "sh", "-c",
             f"{binds} && exec containerd --config {d}/config.toml"],
            env=env, stdout=open(d / "log", "w"), stderr=subprocess.STDOUT,
        )  # fmt: skip

        def run(*argv, check=True):
            result = subprocess.run(
                ["nsenter", "-t", str(keeper.pid), "-m", "-n", "ctr", "-a", f"{d}/sock", *argv],
                env=env, capture_output=True, text=True, timeout=CLIENT_TIMEOUT_S,
            )  # fmt: skip
            assert not check or result.returncode == 0, result.stderr
            return result.stdout if check else result

        try:
            wait_for(lambda: keeper.poll() is not None or run("version", check=False).returncode == 0, 30, "containerd answers")
            if keeper.poll() is not None:
                pytest.skip(f"containerd does not run on this machine: {(d / 'log').read_text()[-300:]}")
            # From 2 on the daemon would do it, and with its own snapshotter alone.
            locally = ["--local"] if request.param.startswith("sid") else []
            imported = run("images", "import", *locally, "--snapshotter", "native", str(d / "image.tar"), check=False)
            if imported.returncode:
                pytest.skip(f"containerd cannot import images on this machine: {imported.stderr.strip()[-300:]}")
            run.host, run.network = host, network
            plain = run("run", "--rm", "--snapshotter", "native", IMAGE, "plain", "true", check=False)
            if plain.returncode:
                pytest.skip(f"ctr cannot run containers on this machine: {plain.stderr.strip()[-300:]}")
            yield run
        finally:
            keeper.send_signal(signal.SIGTERM)
            try:
                keeper.wait(20)
            except subprocess.TimeoutExpired:
                keeper.kill()
                keeper.wait()
            for mount in reversed(re.findall(rf"^\S+ ({re.escape(str(d))}\S*) ", pathlib.Path("/proc/mounts").read_text(), re.M)):
                subprocess.run(["umount", "-l", mount], capture_output=True)


@pytest.mark.long(after=1)
def test_ctr_run(ctr):
    """ctr sends DEL with an empty CNI_NETNS, after the process is gone."""
    out = ctr("run", "--rm", "--cni", "--snapshotter", "native", IMAGE, "c1", "ip", "-4", "addr", "show", "eth0")
    assert "inet 10.5.17.2/24" in out
    nothing_left(ctr.host, ctr.network)


@pytest.mark.long
def test_ctr_reaches_the_gateway_several_times(ctr):
    ctr.host.write_fabric(ipmasq=False)
    for i in range(3):
        out = ctr("run", "--rm", "--cni", "--snapshotter", "native", IMAGE, f"c{i}", "ping", "-c", "1", "-W", "2", "10.5.17.1")
        assert "1 packets received" in out
        nothing_left(ctr.host, ctr.network)
