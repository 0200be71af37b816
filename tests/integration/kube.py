# SPDX-License-Identifier: Apache-2.0
"""An API server of Kubernetes by script: nodes, pods, and every oddity that real ones were seen to have.

    kube = ApiServer(lab)                      # http://192.0.2.205:8080 in the underlay
    kube.add_node("h1", "10.5.1.0/24")
    h1 = lab.host(); kube.start_daemon(h1)     # NODE_NAME=h1

What it does not do it is told to: `kube.too_many = 3` answers three requests with 429, and so on, see __init__. Its refusals
are those that a real one was heard to give (kube_said.py).
A replica listens on the same address and has the same nodes: `kube.stop()` cuts all connections.
"""

import base64
import contextlib
import copy
import functools
import http.server
import json
import pathlib
import re
import socket
import ssl
import threading
import urllib.parse

import kube_said
from etcd import PREFIX, Certificates, Record
from fabric import CONFIG

ADDRESS = "192.0.2.205"
ANNOTATIONS = "flannel.alpha.coreos.com/"
PATCH_TYPE = "application/strategic-merge-patch+json"
ALLOWED = {("get", "nodes"), ("list", "nodes"), ("watch", "nodes"), ("patch", "nodes/status")}


def records(nodes):
    """Nodes as etcd would have them as leases: what a host's kernel is compared with."""
    found = []
    for node in nodes:
        a = {k.removeprefix(ANNOTATIONS): v for k, v in node["metadata"].get("annotations", {}).items()}
        if a.get("kube-subnet-manager") != "true" or "podCIDR" not in node["spec"]:
            continue
        key = "&".join(c.replace("/", "-") for c in node["spec"]["podCIDRs"])
        value = {
            "PublicIP": a.get("public-ip"), "PublicIPv6": a.get("public-ipv6"), "BackendType": a["backend-type"],
            "BackendData": json.loads(a["backend-data"]),
        }  # fmt: skip
        found.append(Record(key=f"{PREFIX}/subnets/{key}", value=json.dumps(value)))
    return found


class Answer(Exception):
    """An HTTP answer that is no success: one that a real server has given, see kube_said.py."""

    def __init__(self, name, retry_after=None, changed=()):
        super().__init__(name)
        said = kube_said.load(name)
        self.code, self.headers, self.body = said.status, dict(said.headers), said.body
        if retry_after is not None:
            self.headers["Retry-After"] = str(retry_after)
        for old, new in changed:
            self.body = self.body.replace(old, new)


def bookmark(revision):
    """As a real server writes it."""
    line = next(one for one in kube_said.objects(kube_said.load("watch")) if one["type"] == "BOOKMARK")
    line["object"]["metadata"]["resourceVersion"] = str(revision)
    return line["object"]


@functools.cache
def _real_node():
    """A node as a real server has it in a list."""
    (page,) = kube_said.objects(kube_said.load("list-page"))
    return json.dumps(page["items"][0])


class ApiServer:
    def __init__(self, lab, tls=False, address=ADDRESS):
        self.lab = lab
        self.address = address
        self.port = 6443 if tls else 8080
        self.lock = threading.Condition()
        self.revision = 1000
        self.oldest = 1000  # events before it are gone
        self.nodes = {}
        self.pods = {}  # (namespace, name) -> node
        self.history = []  # (revision, type, node)
        self.snapshots = {}  # of lists in pages
        self.seen = []  # (verb, resource), without what was refused
        self.requests = []  # "GET /path?query"
        self.epoch = 0  # another: watches end
        # What it is told to do.
        self.tokens = None  # these and no others; None: anybody
        self.allowed = set(ALLOWED)
        self.too_many = 0  # so many requests more get 429
        self.retry_after = 1
        self.gone_by_http = False  # 410 as an HTTP status, not as an event
        self.silent_future = False  # a watch from the future waits instead of being refused
        self.expire_pages = 0  # so many next pages are gone
        self.replay = {}  # of the next request of a kind (list, page, watch, get, patch) the answer, by its name
        self.frozen = None  # what a server that lags behind believes to be the newest revision, for watches
        self.clients = set()
        self.server = None
        self.context = None
        self.net_config = lab.directory / "net-conf.json"
        self.configure()
        if tls:
            self.certificates = KubeCertificates(lab.directory / "kube-tls", address)
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(self.certificates.server_cert, self.certificates.server_key)
        lab.underlay.ip_batch([f"addr add {address}/24 dev br0"])
        lab.closers.callback(self.stop)
        self.start()

    @property
    def url(self):
        return f"{'https' if self.context else 'http'}://{self.address}:{self.port}"

    def configure(self, config=None):
        """As a kubelet does it: a link is renamed over the one that is there."""
        self.net_config.parent.mkdir(exist_ok=True)
        new = self.net_config.with_suffix(".new")
        new.write_text(json.dumps(config or CONFIG))
        new.rename(self.net_config)

    # ---- life

    def start(self):
        outer = self

        class Handler(_Handler):
            kube = outer

        listener = self.lab.underlay.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((self.address, self.port))
        listener.listen(64)
        self.server = _Server(listener, Handler, self)
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self):
        """No new connection, and the open ones are cut."""
        if not self.server:
            return
        server, self.server = self.server, None
        self.end_watches()
        server.shutdown()
        server.server_close()
        with self.lock:
            clients, self.clients = self.clients, set()
        for client in clients:
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)

    def end_watches(self):
        """In an orderly way, as servers do after some minutes."""
        with self.lock:
            self.epoch += 1
            self.lock.notify_all()

    # ---- what others do

    def _write(self, kind, node):
        self.revision += 1
        node["metadata"]["resourceVersion"] = str(self.revision)
        self.history.append((self.revision, kind, copy.deepcopy(node)))
        self.lock.notify_all()

    def add_node(self, name, *cidrs, annotations=None):
        with self.lock:
            spec = {"podCIDR": cidrs[0], "podCIDRs": list(cidrs)} if cidrs else {}
            created = f"2026-01-01T00:00:{len(self.history) % 60:02d}Z"
            node = json.loads(_real_node())
            node["metadata"] |= {"name": name, "uid": f"uid-{self.revision}", "creationTimestamp": created, "annotations": dict(annotations or {})}
            node["spec"] = {key: value for key, value in node["spec"].items() if not key.startswith("podCIDR")} | spec
            node["status"]["conditions"] = [{"type": "Ready", "status": "True"}]
            node["status"]["images"] = [{"names": [f"example.org/{'x' * 60}:{n}"], "sizeBytes": n} for n in range(20)]
            self.nodes[name] = node
            self._write("ADDED", node)

    def delete_node(self, name):
        with self.lock:
            self._write("DELETED", self.nodes.pop(name))

    def change_node(self, name, change):
        with self.lock:
            change(self.nodes[name])
            self._write("MODIFIED", self.nodes[name])

    def assign(self, name, *cidrs):
        self.change_node(name, lambda n: n["spec"].update(podCIDR=cidrs[0], podCIDRs=list(cidrs)))

    def annotate(self, name, **values):
        """None takes one away; node_public_ip is node-public-ip."""

        def change(node):
            for key, value in values.items():
                key = ANNOTATIONS + key.replace("_", "-")
                if value is None:
                    node["metadata"]["annotations"].pop(key, None)
                else:
                    node["metadata"]["annotations"][key] = value

        self.change_node(name, change)

    def heartbeat(self, name, count=1):
        for n in range(count):
            self.change_node(name, lambda node: node["status"].update(heartbeat=f"{self.revision}-{n}"))

    def bookmark(self):
        with self.lock:
            self.history.append((self.revision, "BOOKMARK", None))
            self.lock.notify_all()

    def compact(self):
        """What has happened so far cannot be told any more."""
        with self.lock:
            self.oldest = self.revision
            self.history = []
            self.snapshots = {}

    def restore(self, revision, nodes):
        """A backup of etcd: nodes and revision of before."""
        with self.lock:
            self.revision, self.nodes = revision, copy.deepcopy(nodes)
            self.oldest, self.history, self.snapshots = revision, [], {}
            self.epoch += 1
            self.lock.notify_all()

    # ---- what stands there

    def annotations(self, name):
        """Flannel's and ours, without the prefix."""
        with self.lock:
            given = dict(self.nodes[name]["metadata"]["annotations"])
        return {k.removeprefix(ANNOTATIONS): v for k, v in given.items() if k.startswith(ANNOTATIONS)}

    def condition(self, name, kind="NetworkUnavailable"):
        with self.lock:
            return next((c for c in self.nodes[name]["status"]["conditions"] if c["type"] == kind), None)

    def leases(self):
        """As etcd would have them: what a host's kernel is compared with."""
        with self.lock:
            nodes = copy.deepcopy(list(self.nodes.values()))
        return records(nodes)

    def count(self, pattern):
        """Requests so far whose line matches."""
        with self.lock:
            return sum(1 for line in self.requests if re.search(pattern, line))

    # ---- daemons

    def flags(self, **more):
        return {"kube_subnet_mgr": True, "kube_api_url": self.url, "net_config_path": self.net_config} | more

    def make_daemon(self, host, node=None, **flags):
        daemon = host.make_daemon(**self.flags(**flags))
        name = node or f"h{host.number}"
        daemon.environment = {"NODE_NAME": name}
        daemon.flags["node_name"] = name
        return daemon

    def start_daemon(self, host, node=None, ready=True, **flags):
        daemon = self.make_daemon(host, node, **flags).start()
        return daemon.wait_ready() if ready else daemon

    def hosts(self, count, **flags):
        """So many hosts, each with a node, a podCIDR 10.5.N.0/24 and a daemon; all peers programmed."""
        hosts = []
        for _ in range(count):
            host = self.lab.host()
            self.add_node(f"h{host.number}", f"10.5.{host.number}.0/24")
            self.start_daemon(host, ready=False, **flags)
            hosts.append(host)
        for host in hosts:
            host.daemon.wait_ready()
            host.daemon.wait_peers(count - 1)
        return hosts

    def kubeconfig(self, inline=True, token=None, token_file=None):
        """A file that leads here; inline: the certificates stand in it."""

        def pem(name, path):
            data = base64.b64encode(pathlib.Path(path).read_bytes()).decode()
            return f"    {name}-data: {data}\n" if inline else f"    {name}: {path}\n"

        user = f"    token: {token}\n" if token else f"    tokenFile: {token_file}\n" if token_file else ""
        if self.context and not user:
            user = pem("client-certificate", self.certificates.client_cert) + pem("client-key", self.certificates.client_key)
        path = self.lab.directory / f"kubeconfig-{len(list(self.lab.directory.glob('kubeconfig-*')))}"
        path.write_text(
            "apiVersion: v1\nkind: Config\ncurrent-context: here\ncontexts:\n- name: here\n"
            "  context: {cluster: c, user: u}\n"
            f"clusters:\n- name: c\n  cluster:\n    server: {self.url}\n"
            + (pem("certificate-authority", self.certificates.ca) if self.context else "")
            + f"users:\n- name: u\n  user:\n{user}"
        )
        return path


class KubeCertificates(Certificates):
    def __init__(self, directory, address):
        self.address = address
        super().__init__(directory)

    def issue_server(self, ends_in_s=2 * 86400):
        names = f"subjectAltName=IP:{self.address}"
        self.issue("server", self.server_cert, self.server_key, names, "serverAuth", ends_in_s)


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, listener, handler, kube):
        socketserver_init = super(http.server.HTTPServer, self).__init__
        socketserver_init(listener.getsockname(), handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener
        self.kube = kube

    def finish_request(self, request, client_address):
        with self.kube.lock:
            self.kube.clients.add(request)
        with contextlib.suppress(OSError, ValueError):
            if self.kube.context:
                request = self.kube.context.wrap_socket(request, server_side=True)
                with self.kube.lock:
                    self.kube.clients.add(request)
            super().finish_request(request, client_address)

    def handle_error(self, request, client_address):
        pass  # who hangs up


def _merge(node, patch):
    """What a strategic merge patch of a node's status does: maps are merged, null removes, conditions have a key."""
    bare = not node["metadata"]["annotations"]
    for key, value in patch.get("metadata", {}).get("annotations", {}).items():
        if value is None and bare:
            node["metadata"]["annotations"][key] = ""  # a real one does so where there is no map yet
        elif value is None:
            node["metadata"]["annotations"].pop(key, None)
        else:
            assert isinstance(value, str)
            node["metadata"]["annotations"][key] = value
    for condition in patch.get("status", {}).get("conditions", []):
        conditions = node["status"].setdefault("conditions", [])
        for old in conditions:
            if old["type"] == condition["type"]:
                old.update(condition)
                break
        else:
            conditions.append(condition)
    assert set(patch) <= {"metadata", "status"}, patch


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    kube = None

    def log_message(self, format, *args):  # noqa: A002
        pass

    def do_GET(self):
        self._serve("get")

    def do_PATCH(self):
        self._serve("patch")

    def do_PUT(self):
        self._serve("update")

    def do_POST(self):
        self._serve("create")

    def do_DELETE(self):
        self._serve("delete")

    def _send(self, code, document):
        self._send_text(code, json.dumps(document), {"Content-Type": "application/json"})

    def _send_text(self, code, text, headers):
        body = text.encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _serve(self, verb):
        url = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(url.query))
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        with self.kube.lock:
            self.kube.requests.append(f"{self.command} {self.path}")
        kind = verb if len(url.path.split("/")) != 4 or verb != "get" else "watch" if "watch" in query else "page" if "continue" in query else "list"
        try:
            with self.kube.lock:
                name = self.kube.replay.pop(kind, None)
            if name:
                raise Answer(name)
            self._refuse_some()
            self._route(verb, url.path, query, body)
        except Answer as answer:
            self._send_text(answer.code, answer.body, answer.headers)

    def _refuse_some(self):
        kube = self.kube
        with kube.lock:
            if kube.tokens is not None:
                given = self.headers.get("Authorization", "")
                if given.removeprefix("Bearer ") not in kube.tokens or not given.startswith("Bearer "):
                    raise Answer("stranger")
            if kube.too_many > 0:
                kube.too_many -= 1
                raise Answer("too-many" if kube.too_many % 2 else "too-many-by-priority", kube.retry_after)

    def _allow(self, verb, resource):
        with self.kube.lock:
            if (verb, resource) not in self.kube.allowed:
                raise Answer("denied-list", changed=[("cannot list", f"cannot {verb}"), ('\\"nodes\\"', f'\\"{resource}\\"')])
            self.kube.seen.append((verb, resource))

    def _route(self, verb, path, query, body):
        parts = path.strip("/").split("/")
        if parts == ["api", "v1", "nodes"] and verb == "create":
            self._allow(verb, "nodes")
            node = json.loads(body)
            self.kube.add_node(node["metadata"]["name"], *node["spec"].get("podCIDRs", []))
            self._send(201, self._node(node["metadata"]["name"]))
        elif parts[:3] == ["api", "v1", "nodes"] and len(parts) == 3 and verb == "get":
            if "watch" in query:
                self._allow("watch", "nodes")
                self._watch(int(query["resourceVersion"]), query)
            else:
                self._allow("list", "nodes")
                self._send(200, self._list(query))
        elif parts[:3] == ["api", "v1", "nodes"] and len(parts) == 4:
            self._allow(verb, "nodes")
            found = self._node(parts[3])
            if verb == "delete":
                self.kube.delete_node(parts[3])
            self._send(200, found)
        elif parts[:3] == ["api", "v1", "nodes"] and parts[4:] == ["status"] and verb == "patch":
            self._allow("patch", "nodes/status")
            self._patch(parts[3], body)
        elif parts[:3] == ["api", "v1", "namespaces"] and parts[4:5] == ["pods"] and len(parts) == 6:
            self._allow(verb, "pods")
            self._pod(parts[3], parts[5])
        else:
            raise Answer("absent", changed=[("n2", path)])

    def _node(self, name):
        with self.kube.lock:
            if name not in self.kube.nodes:
                raise Answer("absent", changed=[("n2", name)])
            return copy.deepcopy(self.kube.nodes[name])

    def _pod(self, namespace, name):
        with self.kube.lock:
            if (namespace, name) not in self.kube.pods:
                raise Answer("absent", changed=[("nodes", "pods"), ("n2", name)])
            node = self.kube.pods[namespace, name]
        self._send(200, {"kind": "Pod", "metadata": {"name": name}, "spec": {"nodeName": node} if node else {}})

    def _patch(self, name, body):
        if self.headers["Content-Type"] != PATCH_TYPE:
            raise AssertionError(self.headers["Content-Type"])
        with self.kube.lock:
            node = self.kube.nodes.get(name)
            if node is None:
                raise Answer("absent", changed=[("n2", name)])
            before = json.dumps(node)
            _merge(node, json.loads(body))
            # What changes nothing has no event.
            if json.dumps(node) != before:
                self.kube._write("MODIFIED", node)
            after = copy.deepcopy(node)
        self._send(200, after)

    def _list(self, query):
        kube = self.kube
        limit = int(query.get("limit", 0)) or 1 << 30
        with kube.lock:
            if "continue" in query:
                key, start = json.loads(base64.b64decode(query["continue"]))
                if kube.expire_pages > 0:
                    kube.expire_pages -= 1
                    kube.snapshots = {}
                if key not in kube.snapshots:
                    raise Answer("list-expired")
            else:
                key, start = f"{kube.revision}", 0
                kube.snapshots[key] = copy.deepcopy([kube.nodes[name] for name in sorted(kube.nodes)])
            nodes = kube.snapshots[key]
        metadata = {"resourceVersion": key}
        if start + limit < len(nodes):
            metadata["continue"] = base64.b64encode(json.dumps([key, start + limit]).encode()).decode()
            metadata["remainingItemCount"] = len(nodes) - start - limit
        return {"kind": "NodeList", "apiVersion": "v1", "metadata": metadata, "items": nodes[start : start + limit]}

    def _event(self, kind, thing):
        line = json.dumps({"type": kind, "object": thing}).encode() + b"\n"
        self.wfile.write(f"{len(line):x}\r\n".encode() + line + b"\r\n")

    def _watch(self, asked, query):
        kube = self.kube
        with kube.lock:
            epoch = kube.epoch
            newest = kube.revision if kube.frozen is None else kube.frozen
            old = asked < kube.oldest
            if old and kube.gone_by_http:
                raise Answer("list-expired")
            if asked > newest and not kube.silent_future:
                raise Answer("list-ahead", changed=[("999999999", str(asked)), ("203", str(newest))])
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        if old:
            self._event("ERROR", kube_said.objects(kube_said.load("watch-expired"))[0]["object"])
        told = 0
        while not old:
            with kube.lock:
                while told >= len(kube.history) and kube.epoch == epoch:
                    kube.lock.wait(10)
                if kube.epoch != epoch:
                    break
                todo, told = kube.history[told:], len(kube.history)
            for revision, kind, node in todo:
                if kind == "BOOKMARK" and "allowWatchBookmarks" in query and revision >= asked:
                    self._event(kind, bookmark(revision))
                elif kind != "BOOKMARK" and revision > asked:
                    self._event(kind, node)
        self.wfile.write(b"0\r\n\r\n")
        self.close_connection = kube.server is None
