# SPDX-License-Identifier: Apache-2.0
"""A real Kubernetes in a lab: API server, controller manager, and what a test asks of them.

    cluster = Cluster(lab, programs)                   # etcd 192.0.2.201, API server https://192.0.2.205:6443
    cluster.start()                                    # the API server alone
    cluster.start_controllers()                        # podCIDRs are assigned, service accounts have tokens
    h1 = cluster.host()                                # a host in the lab and a bare Node of that name
    cluster.deploy()                                   # kubectl apply -k packaging/kubernetes
    cluster.start_daemon(h1)                           # with a token of the service account that was deployed
    cluster.kubectl("get", "nodes")

The API server has a namespace of its own, from which all requests of a test go as well.
"""

import http.client
import json
import os
import ssl
import time

import debian
import kube
from etcd import Certificates
from fabric import CONFIG, ROOT
from netns import NamespaceHTTP, end_process, run, wait_for

ADDRESS = "192.0.2.205"
PORT = 6443
SERVICES = "10.96.0.0/16"
KUBERNETES = "10.96.0.1"  # the service of the API server
ANNOTATIONS = "flannel.alpha.coreos.com/"
MANIFESTS = ROOT / "packaging" / "kubernetes"
NAMESPACE, ACCOUNT = "kube-flannel", "flannel"
# token: (user, group)
TOKENS = {"of-the-admin": ("admin", "system:masters"), "of-nobody": ("nobody", "nobodies")}
ADMIN = "of-the-admin"
STRATEGIC = "application/strategic-merge-patch+json"
CONTROLLERS = "nodeipam,nodelifecycle,serviceaccount,serviceaccount-token,root-ca-cert-publisher,namespace,daemonset,deployment,replicaset,garbagecollector,endpoint"
START_S = 120


class ApiError(OSError):
    def __init__(self, status, text):
        super().__init__(f"HTTP {status}: {text[:1000]}")
        self.status = status


class KubernetesCertificates(Certificates):
    def issue_server(self, ends_in_s=2 * 86400):
        names = f"subjectAltName=IP:{ADDRESS},IP:{KUBERNETES},DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc"
        self.issue("server", self.server_cert, self.server_key, names, "serverAuth", ends_in_s)


class Cluster:
    def __init__(self, lab, programs):
        self.lab = lab
        self.programs = programs
        self.directory = lab.directory / "kubernetes"
        self.directory.mkdir()
        lab.start_etcd()
        self.namespace = lab.plug("api", ADDRESS)
        self.certificates = KubernetesCertificates(self.directory / "tls")
        self.context = ssl.create_default_context(cafile=self.certificates.ca)
        self.account_key = self.directory / "account.key"
        run("openssl", "genrsa", "-out", self.account_key, "2048")
        self.tokens = dict(TOKENS)
        self.net_config = self.directory / "net-conf.json"
        self.configure(CONFIG)
        self.processes = {}
        lab.closers.callback(self.stop)

    @property
    def url(self):
        return f"https://{ADDRESS}:{PORT}"

    def configure(self, config):
        self.net_config.write_text(json.dumps(config))

    # ---- processes

    def popen(self, program, *argv, name=None):
        log = self.directory / f"{name or program}.log"
        with log.open("ab") as file:
            self.processes[name or program] = self.namespace.popen(self.programs / program, *argv, stdout=file, stderr=file)

    def running(self, name):
        return name in self.processes and self.processes[name].poll() is None

    def start(self, *more):
        """The API server; `more` goes before our own flags."""
        tokens = self.directory / "tokens.csv"
        tokens.write_text("".join(f"{token},{user},{user},{group}\n" for token, (user, group) in self.tokens.items()))
        flags = [
            f"--etcd-servers={self.lab.etcd.endpoints}", f"--bind-address={ADDRESS}", f"--secure-port={PORT}",
            f"--tls-cert-file={self.certificates.server_cert}", f"--tls-private-key-file={self.certificates.server_key}",
            f"--client-ca-file={self.certificates.ca}", f"--token-auth-file={tokens}", f"--cert-dir={self.directory}",
            f"--service-account-key-file={self.account_key}", f"--service-account-signing-key-file={self.account_key}",
            "--service-account-issuer=https://kubernetes.default.svc", "--authorization-mode=Node,RBAC",
            f"--service-cluster-ip-range={SERVICES}", "--allow-privileged=true", "--anonymous-auth=true",
        ]  # fmt: skip
        self.popen("kube-apiserver", *flags, *more)
        self.wait_ready()
        return self

    def wait_ready(self):
        def ready():
            if not self.running("kube-apiserver"):
                raise SystemExit(self.log("kube-apiserver"))
            return self.ask("GET", "/readyz")[0] == 200

        wait_for(ready, START_S, "the API server is ready")

    def end(self, name):
        """At once, as a machine that loses its power."""
        if process := self.processes.pop(name, None):
            end_process(process)

    def stop(self):
        for name in list(self.processes):
            self.end(name)

    def log(self, name, size=4000):
        return (self.directory / f"{name}.log").read_text(errors="replace")[-size:]

    def start_controllers(self, *more, config=CONFIG):
        kubeconfig = self.kubeconfig(token=ADMIN)
        cidrs = ",".join(filter(None, (config.get("Network"), config.get("IPv6Network"))))
        self.popen(
            "kube-controller-manager", f"--kubeconfig={kubeconfig}", "--leader-elect=false", f"--controllers={CONTROLLERS}",
            "--allocate-node-cidrs", f"--cluster-cidr={cidrs}", f"--service-cluster-ip-range={SERVICES}", "--port=0", "--secure-port=0",
            f"--service-account-private-key-file={self.account_key}", f"--root-ca-file={self.certificates.ca}",
            "--node-monitor-grace-period=1000s", *more,
        )  # fmt: skip

    def start_scheduler(self):
        self.popen("kube-scheduler", f"--kubeconfig={self.kubeconfig(token=ADMIN)}", "--leader-elect=false", "--port=0", "--secure-port=0")

    # ---- requests

    def ask(self, method, path, body=None, token=ADMIN, content_type="application/json", accept="application/json", timeout_s=20):
        """(status, headers, text)"""
        connection = NamespaceHTTP(self.namespace, ADDRESS, PORT, timeout_s, self.context)
        try:
            headers = {"Accept": accept} | ({"Authorization": f"Bearer {token}"} if token else {})
            if body is not None:
                headers["Content-Type"] = content_type
                body = body if isinstance(body, (str, bytes)) else json.dumps(body)
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.getheaders(), answer.read().decode()
        finally:
            connection.close()

    def watch(self, path, token=ADMIN, timeout_s=10):
        """Lines of a watch as they come, parsed; ends with the watch, or after a time without any."""
        connection = NamespaceHTTP(self.namespace, ADDRESS, PORT, timeout_s, self.context)
        try:
            connection.request("GET", path, headers={"Authorization": f"Bearer {token}"})
            answer = connection.getresponse()
            while line := answer.readline():
                yield json.loads(line)
        except (TimeoutError, http.client.HTTPException):
            return
        finally:
            connection.close()

    def get(self, path):
        return self.change("GET", path)

    def change(self, method, path, body=None, content_type="application/json"):
        status, _, text = self.ask(method, path, body, content_type=content_type)
        if status >= 300:
            raise ApiError(status, text)
        return json.loads(text)

    def node(self, name):
        return self.get(f"/api/v1/nodes/{name}")

    def add_node(self, name, *cidrs, annotations=None):
        """A bare one. Without cidrs it waits for the controller."""
        spec = {"podCIDR": cidrs[0], "podCIDRs": list(cidrs)} if cidrs else {}
        self.change("POST", "/api/v1/nodes", {"metadata": {"name": name, "annotations": annotations or {}}, "spec": spec})

    def delete_node(self, name):
        self.change("DELETE", f"/api/v1/nodes/{name}")

    def annotate(self, name, **values):
        """None takes one away; public_ip_overwrite is public-ip-overwrite."""
        named = {ANNOTATIONS + key.replace("_", "-"): value for key, value in values.items()}
        self.change("PATCH", f"/api/v1/nodes/{name}", {"metadata": {"annotations": named}}, STRATEGIC)

    def heartbeat(self, name, count=1):
        """What a kubelet without leases writes."""
        for n in range(count):
            condition = {"type": "Ready", "status": "True", "reason": f"r{time.monotonic_ns()}-{n}"}
            self.change("PATCH", f"/api/v1/nodes/{name}/status", {"status": {"conditions": [condition]}}, STRATEGIC)

    def annotations(self, name):
        """Flannel's and ours, without the prefix."""
        given = self.node(name)["metadata"].get("annotations", {})
        return {k.removeprefix(ANNOTATIONS): v for k, v in given.items() if k.startswith(ANNOTATIONS)}

    def condition(self, name, kind="NetworkUnavailable"):
        return next((c for c in self.node(name)["status"].get("conditions", []) if c["type"] == kind), None)

    def pod_cidrs(self, name):
        return self.node(name)["spec"].get("podCIDRs", [])

    def leases(self):
        """As etcd would have them: what a host's kernel is compared with."""
        return kube.records(self.get("/api/v1/nodes")["items"])

    # ---- who asks

    def account_token(self, seconds=3600, account=ACCOUNT):
        """Of the service account that is deployed, as a kubelet gets it."""
        asked = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": seconds}}
        return self.change("POST", f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/{account}/token", asked)["status"]["token"]

    def kubeconfig(self, token=None, token_file=None, name=None, server=None):
        path = self.directory / (name or f"kubeconfig-{len(list(self.directory.glob('kubeconfig-*')))}")
        user = f"    token: {token}\n" if token else f"    tokenFile: {token_file}\n"
        path.write_text(
            "apiVersion: v1\nkind: Config\ncurrent-context: here\ncontexts:\n- name: here\n  context: {cluster: c, user: u}\n"
            f"clusters:\n- name: c\n  cluster:\n    server: {server or self.url}\n    certificate-authority: {self.certificates.ca}\n"
            f"users:\n- name: u\n  user:\n{user}"
        )
        return path

    def kubectl(self, *argv, program=None, check=True, **options):
        program = program or debian.program("kubectl", "trixie", "kubectl")
        kubeconfig = self.kubeconfig(token=ADMIN, name="kubeconfig-of-kubectl")
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.directory)}
        return self.namespace.run(program, f"--kubeconfig={kubeconfig}", *argv, check=check, env=environment, timeout=120, **options)

    def kustomization(self, config=None, **more):
        """A folder whose kustomization is ours with another net-conf.json, as an administrator would make one."""
        folder = self.directory / f"kustomize-{len(list(self.directory.glob('kustomize-*')))}"
        folder.mkdir()
        base = os.path.relpath(MANIFESTS, folder)
        text = {"net-conf.json": json.dumps(config or CONFIG)}
        patch = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "kube-flannel-cfg", "namespace": NAMESPACE}, "data": text}
        (folder / "config.json").write_text(json.dumps(patch))
        document = {"resources": [base], "patchesStrategicMerge": ["config.json"]} | more
        (folder / "kustomization.yaml").write_text(json.dumps(document))
        return folder

    def deploy(self, folder=MANIFESTS, program=None):
        return self.kubectl("apply", "-k", folder, program=program)

    # ---- hosts and daemons

    def host(self, *cidrs, node=True):
        host = self.lab.host()
        if node:
            self.add_node(f"h{host.number}", *cidrs)
        return host

    def make_daemon(self, host, **flags):
        """With the service account's token in a file of its own."""
        token = self.directory / f"token-{host.name}"
        token.write_text(self.account_token())
        kubeconfig = self.kubeconfig(token_file=token, name=f"kubeconfig-{host.name}")
        daemon = host.make_daemon(
            **{"kube_subnet_mgr": True, "kubeconfig_file": kubeconfig, "net_config_path": self.net_config} | flags
        )
        name = f"h{host.number}"
        daemon.token_file = token
        daemon.environment = {"NODE_NAME": name}
        daemon.flags["node_name"] = name
        return daemon

    def start_daemon(self, host, ready=True, **flags):
        daemon = self.make_daemon(host, **flags).start()
        return daemon.wait_ready(60) if ready else daemon

    def hosts(self, count, **flags):
        """So many, with nodes whose podCIDRs the controller gives, and ready daemons that have each other for peers."""
        hosts = [self.host() for _ in range(count)]
        for host in hosts:
            self.start_daemon(host, ready=False, **flags)
        for host in hosts:
            host.daemon.wait_ready(60)
            host.daemon.wait_peers(count - 1, 30)
        return hosts


