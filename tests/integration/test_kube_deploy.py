# SPDX-License-Identifier: Apache-2.0
"""What is deployed into Kubernetes: the manifests, the image, and both together as a kubelet would run them."""

import io
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile

import pytest

import fabric
from cni_support import Host
from kube import ALLOWED, ApiServer
from netns import end_process, run, wait_for
from test_cni_clients import containerd

yaml = pytest.importorskip("yaml", reason="python3-yaml is not installed")
MANIFESTS = fabric.ROOT / "packaging" / "kubernetes"
EPOCH = "1700000000"
NAME = "localhost/flannel:1.2.3-x"
CAP_NET_ADMIN = 12
# Runs a program in a root with these volumes and capabilities: their numbers, and it may not write there, or "all".
CONTAINER = r"""
import ctypes, os, subprocess, sys
root, volumes, capabilities, argv = sys.argv[1], sys.argv[2].split(","), sys.argv[3], sys.argv[4:]
def mount(*args): subprocess.run(["mount", *args], check=True)
mount("--make-rprivate", "/")
mount("--bind", root, root)
for volume in volumes:
    source, target = volume.split("=")
    mount("--rbind", source, root + target)
os.makedirs(root + "/proc", exist_ok=True)
mount("-t", "proc", "proc", root + "/proc")
if capabilities != "all":
    mount("-o", "bind,ro", "/proc/sys", root + "/proc/sys")
    mount("-o", "remount,bind,ro", root)
os.chroot(root)
os.chdir("/")
libc = ctypes.CDLL(None)
for capability in range(64):
    if capabilities != "all" and str(capability) not in capabilities.split(","):
        libc.prctl(24, capability, 0, 0, 0)
os.execv(argv[0], argv)
"""


def in_container(root, mounts, capabilities):
    return ["unshare", "-m", sys.executable, "-c", CONTAINER, str(root), ",".join(mounts), str(capabilities)]


def documents():
    return [d for path in sorted(MANIFESTS.glob("*.yaml")) for d in yaml.safe_load_all(path.read_text()) if d]


def document(kind):
    (found,) = [d for d in documents() if d["kind"] == kind]
    return found


def pod():
    return document("DaemonSet")["spec"]["template"]["spec"]


def test_manifests():
    """Names, keys and labels are flannel's; flags are ours; the rights are those that the API server of the tests saw used."""
    listed = document("Kustomization")["resources"]
    assert sorted(listed) == sorted(p.name for p in MANIFESTS.glob("*.yaml") if p.name != "kustomization.yaml")
    config = document("ConfigMap")
    assert config["metadata"]["name"] == "kube-flannel-cfg" and config["metadata"]["namespace"] == "kube-flannel"
    assert set(config["data"]) == {"cni-conf.json", "net-conf.json"}
    assert [p["type"] for p in json.loads(config["data"]["cni-conf.json"])["plugins"]] == ["flannel", "portmap"]
    checked = subprocess.run(
        [fabric.FABRICCTL, "config", "check", "/dev/stdin"], input=config["data"]["net-conf.json"], text=True,
        capture_output=True, check=False,
    )  # fmt: skip
    assert checked.returncode == 0, checked.stderr
    rules = {(verb, resource) for r in document("ClusterRole")["rules"] for verb in r["verbs"] for resource in r["resources"]}
    assert rules == ALLOWED
    daemon_set = document("DaemonSet")
    assert daemon_set["metadata"]["name"] == "kube-flannel-ds"
    assert daemon_set["spec"]["updateStrategy"]["rollingUpdate"] == {"maxUnavailable": 1}
    assert daemon_set["spec"]["selector"]["matchLabels"].items() <= daemon_set["spec"]["template"]["metadata"]["labels"].items()
    spec = pod()
    assert spec["hostNetwork"] and spec["priorityClassName"] == "system-node-critical"
    (main,) = spec["containers"]
    known = set(re.findall(r"^  --([\w-]+)", run(fabric.FLANNELD, "--help"), re.M))
    assert {arg.lstrip("-").split("=")[0] for arg in main["args"]} <= known
    volumes = {v["name"] for v in spec["volumes"]}
    for container in [main, *spec["initContainers"]]:
        assert container["securityContext"]["readOnlyRootFilesystem"]
        assert container["securityContext"]["capabilities"]["drop"] == ["ALL"]
        assert {m["name"] for m in container["volumeMounts"]} <= volumes
    assert main["securityContext"]["capabilities"]["add"] == ["NET_ADMIN"]
    assert main["livenessProbe"]["httpGet"]["path"] == "/livez" and main["readinessProbe"]["httpGet"]["path"] == "/readyz"


def test_kustomize_renders_them():
    if not shutil.which("kubectl"):
        pytest.skip("kubectl is not installed")
    rendered = list(yaml.safe_load_all(run("kubectl", "kustomize", MANIFESTS)))
    assert sorted(d["kind"] for d in rendered) == sorted(d["kind"] for d in documents() if d["kind"] != "Kustomization")


@pytest.fixture(scope="module")
def image():
    """The archive's bytes."""
    if not shutil.which("objdump"):
        pytest.skip("objdump is not installed")
    if fabric.SANITIZED:
        pytest.skip("what a sanitizer needs is in no image")
    command = ["/usr/bin/python3", fabric.ROOT / "packaging" / "image.py", "1.2.3+x", fabric.BUILD]
    environment = os.environ | {"SOURCE_DATE_EPOCH": EPOCH, "PYTHONDONTWRITEBYTECODE": "1"}
    both = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) for _ in range(2)]
    first, again = (process.communicate()[0] for process in both)
    assert first and first == again
    return first


def blob(archive, descriptor):
    return archive.extractfile(f"blobs/sha256/{descriptor['digest'].removeprefix('sha256:')}").read()


def unpacked(image, directory):
    with tarfile.open(fileobj=io.BytesIO(image)) as archive:
        (entry,) = json.loads(archive.extractfile("index.json").read())["manifests"]
        manifest = json.loads(blob(archive, entry))
        config = json.loads(blob(archive, manifest["config"]))
        (layer,) = manifest["layers"]
        with tarfile.open(fileobj=io.BytesIO(blob(archive, layer))) as files:
            assert {(f.mtime, f.uid, f.gid) for f in files} == {(int(EPOCH), 0, 0)}
            files.extractall(directory)
    return config


@pytest.fixture
def podman():
    """Its command, with a storage of its own. The path of that must be short."""
    if not shutil.which("podman"):
        pytest.skip("podman is not installed")
    with tempfile.TemporaryDirectory(prefix="oci-", dir="/tmp") as directory:
        yield ["podman", "--root", f"{directory}/root", "--runroot", f"{directory}/run", "--storage-driver", "vfs"]


@pytest.mark.long
def test_image_is_loaded_by_podman(image, podman, tmp_path):
    (tmp_path / "image.tar").write_bytes(image)
    said = run(*podman, "load", "-i", tmp_path / "image.tar", check=False)
    if said.returncode and re.search("not permitted|cannot|unsupported", said.stderr):
        pytest.skip(f"podman cannot work on this machine: {said.stderr.strip()[-200:]}")
    assert said.returncode == 0 and NAME in said.stdout, said.stderr
    labels = json.loads(run(*podman, "image", "inspect", NAME))[0]["Labels"]
    assert labels["org.opencontainers.image.version"] == "1.2.3+x"
    run(*podman, "rmi", "-f", NAME)


@pytest.mark.long(after=1)
@pytest.mark.parametrize("which", ["installed", "trixie", "sid"])
def test_image_is_imported_by_containerd(image, which, tmp_path_factory):
    """As on each node: into the namespace that a kubelet's containers are of. Unpacked it is what runs."""
    path, _, _ = containerd(which)
    with tempfile.TemporaryDirectory(prefix="ctr-", dir="/tmp") as directory:
        d = pathlib.Path(directory)
        (d / "image.tar").write_bytes(image)
        (d / "config.toml").write_text(
            f'version = 2\nroot = "{d}/root"\nstate = "{d}/state"\noom_score = 0\n'
            'disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.cri.v1.runtime", "io.containerd.cri.v1.images"]\n'
            f'[grpc]\naddress = "{d}/sock"\n'
        )

        def ctr(*argv, check=True):
            return run("ctr", "-a", d / "sock", "-n", "k8s.io", *argv, check=check, env={"PATH": path})

        with (d / "log").open("w") as log:
            daemon = subprocess.Popen(["containerd", "--config", d / "config.toml"], env={"PATH": path}, stdout=log, stderr=log)
        try:
            wait_for(lambda: daemon.poll() is not None or ctr("version", check=False).returncode == 0, 30, "containerd answers")
            if daemon.poll() is not None:
                pytest.skip(f"containerd does not run on this machine: {(d / 'log').read_text()[-300:]}")
            # From 2 on the daemon would do it, and with its own snapshotter alone.
            locally = ["--local"] if which == "sid" else []
            ctr("images", "import", *locally, "--snapshotter", "native", d / "image.tar")
            assert f"{NAME} " in ctr("images", "list")
            label = json.loads(ctr("content", "get", re.search(rf"^{NAME} \S+ +(sha256:\w+)", ctr("images", "list"), re.M)[1]))
            assert label["annotations"]["org.opencontainers.image.version"] == "1.2.3+x"
            (d / "seen").mkdir()
            ctr("images", "mount", "--snapshotter", "native", NAME, d / "seen")
            try:
                assert sorted(os.listdir(d / "seen/opt/bin")) == ["fabricctl", "flanneld", "install-conf"]
            finally:
                run("umount", d / "seen")
        finally:
            end_process(daemon, signal.SIGTERM, 20)


def test_plugin_on_a_host_without_libraries(image, tmp_path):
    """What the init container puts there runs where nothing else is: a root of one program."""
    root = tmp_path / "image"
    unpacked(image, root)
    (init,) = pod()["initContainers"]
    (root / "etc/kube-flannel/cni-conf.json").write_text(document("ConfigMap")["data"]["cni-conf.json"])
    mounts = []
    for target in ("/host/opt/cni/bin", "/host/etc/cni/net.d"):
        (root / target[1:]).mkdir(parents=True)
        (tmp_path / target[6:]).mkdir(parents=True)
        mounts.append(f"{tmp_path / target[6:]}={target}")
    run(*in_container(root, mounts, ""), *init["command"], *init["args"])
    with Host() as host:
        bare, ns = tmp_path / "bare", host.namespace()
        (tmp_path / "var").mkdir()
        sources = {"/opt/cni/bin": tmp_path / "opt/cni/bin", "/run/flannel": host.directory, "/run/netns": "/run/netns", "/var": tmp_path / "var"}
        for target in sources:
            (bare / target[1:]).mkdir(parents=True)
        (bare / "proc").mkdir()
        binds = [f"{source}={target}" for target, source in sources.items()]
        conf = json.loads((tmp_path / "etc/cni/net.d/10-flannel.conflist").read_text())
        plugin = conf["plugins"][0] | {"name": conf["name"], "cniVersion": conf["cniVersion"]}
        nsenter = ["nsenter", f"--net={host.ns.path}"]

        def call(verb, **more):
            environment = host.environment(verb, more.pop("netns", ""), path="/opt/cni/bin")
            return run(*nsenter, *in_container(bare, binds, "all"), "/opt/cni/bin/flannel", env=environment, input=json.dumps(plugin | more))

        assert "0.3.1" in call("VERSION")
        result = json.loads(call("ADD", netns=f"/run/netns/{ns.name}"))
        assert ns.addresses("eth0") == [result["ips"][0]["address"]] == ["10.5.17.2/24"]
        ns.ping("10.5.17.1")
        assert call("DEL", netns=f"/run/netns/{ns.name}", prevResult=result) == "" == call("DEL")
        assert not ns.addresses("eth0")


def test_pods_of_the_manifest(lab, image):
    """Two nodes whose daemons come out of the image, with the arguments of the manifest and a service account."""
    kube = ApiServer(lab, tls=True)
    kube.tokens = {"of-the-service-account"}
    kube.net_config.unlink()
    spec, volumes = pod(), {}
    data = document("ConfigMap")["data"]
    data["net-conf.json"] = json.dumps(fabric.CONFIG)
    hosts = []
    for n in (1, 2):
        host = lab.host()
        kube.add_node(f"h{n}", f"10.5.{n}.0/24")
        root = host.lab.directory / f"root{n}"
        root.mkdir()
        unpacked(image, root)
        account = root / "var/run/secrets/kubernetes.io/serviceaccount"
        account.mkdir(parents=True)
        (account / "token").write_text("of-the-service-account")
        shutil.copy(kube.certificates.ca, account / "ca.crt")
        for name in [v["name"] for v in spec["volumes"]]:
            volumes[name] = host.lab.directory / f"volume{n}-{name}"
            volumes[name].mkdir()
        for name, text in data.items():
            (volumes["flannel-cfg"] / name).write_text(text)

        def command(container, root=root):
            mounts = []
            for m in container["volumeMounts"]:
                (root / m["mountPath"].lstrip("/")).mkdir(parents=True, exist_ok=True)
                mounts.append(f"{volumes[m['name']]}={m['mountPath']}")
            return [*in_container(root, mounts, CAP_NET_ADMIN), *container["command"]]

        for init in spec["initContainers"]:
            for _ in range(2):
                host.namespace.run(*command(init), *init["args"])
        assert (volumes["cni-plugin"] / "flannel").stat().st_mode & 0o111
        assert (volumes["cni"] / "10-flannel.conflist").read_text() == data["cni-conf.json"]
        daemon = host.make_daemon(subnet_file=volumes["run"] / "subnet.env", socket=volumes["run"] / "flanneld.sock")
        (main,) = spec["containers"]
        argv = command(main) + main["args"]
        daemon.argv = lambda argv=argv: argv
        daemon.environment = {
            "NODE_NAME": f"h{n}", "KUBERNETES_SERVICE_HOST": kube.address, "KUBERNETES_SERVICE_PORT": str(kube.port),
        }  # fmt: skip
        daemon.start()
        hosts.append(host)
    for host in hosts:
        host.daemon.wait_ready()
        host.daemon.wait_peers(1)
        host.container()
        assert host.daemon.request_tcp("127.0.0.1", 8081, "/readyz")[0] == 200
        status = next(line for line in open(f"/proc/{host.daemon.pid}/status") if line.startswith("CapEff"))
        assert int(status.split()[1], 16) == 1 << CAP_NET_ADMIN
    with lab.pinger(*(host.containers[0] for host in hosts)) as pinger:
        fabric.wait_for(lambda: pinger.sent >= 50, 10, "pings")
        hosts[0].daemon.restart()
    assert pinger.lost == 0, pinger.report()
    assert set(kube.seen) == ALLOWED
