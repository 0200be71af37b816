# SPDX-License-Identifier: Apache-2.0
"""What is shipped for Prometheus: a real one finds all hosts by any of them, scrapes them, and raises the alerts."""

import collections
import http.server
import json
import pathlib
import re
import shutil
import subprocess
import threading
import urllib.parse

import pytest
import yaml

import debian
from fabric import APART, FABRICCTL
from fabricctl_support import FAILED, USAGE, ask, fabricctl, put_lease
from netns import NamespaceHTTP, end_process, wait_for
from recipes import block

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
RULES = ROOT / "packaging" / "prometheus" / "flannel.rules.yml"
DASHBOARD = ROOT / "packaging" / "grafana" / "flannel.json"
PORT = 8050
PAGE = "prometheus.md"
# Those that a daemon has only at times, or the rules' own.
AT_TIMES = {"flannel_lease_expiry_timestamp_seconds", "flannel_problem", "flannel_store_requests_total"}
NEEDS_PROMTOOL = pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is not installed")


@pytest.fixture
def hosts(lab):
    lab.start_etcd()
    lab.configure(APART)
    hosts = lab.hosts(3)
    for host in hosts:
        host.namespace.sysctl("net.ipv4.ping_group_range", "0 0")
        host.start_daemon(healthz_ip="0.0.0.0", healthz_port=PORT)
    put_lease(lab, "10.5.240.0-24", "192.0.2.240")  # of flannel
    for host in hosts:
        host.daemon.wait_peers(3)
    return hosts


def expressions():
    """Of the dashboard, as Prometheus would be asked them."""
    panels = json.loads(DASHBOARD.read_text())["panels"]
    for panel in panels:
        for target in panel["targets"]:
            yield target["expr"].replace("$__rate_interval", "5m").replace("$instance", ".*")


def names(text):
    return {re.sub(r"_(bucket|sum|count)$", "", name) for name in re.findall(r"\b(?<!:)flannel_[a-z0-9_]+\b(?!:)", text)}


@NEEDS_PROMTOOL
def test_the_rules_raise_what_they_should_and_nothing_else():
    checked = subprocess.run(["promtool", "test", "rules", ROOT / "tests" / "prometheus" / "flannel_test.yml"], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr


@NEEDS_PROMTOOL
def test_the_dashboard_can_be_asked(tmp_path):
    rules = [{"record": f"x:{i}", "expr": expr} for i, expr in enumerate(expressions())]
    assert len(rules) > 15
    (tmp_path / "rules.yml").write_text(json.dumps({"groups": [{"name": "x", "rules": rules}]}))
    checked = subprocess.run(["promtool", "check", "rules", tmp_path / "rules.yml"], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    panels = json.loads(DASHBOARD.read_text())["panels"]
    assert len({p["id"] for p in panels}) == len(panels) and all(p["title"] for p in panels)
    places = [(p["gridPos"]["x"] + dx, p["gridPos"]["y"] + dy) for p in panels for dx in range(p["gridPos"]["w"]) for dy in range(p["gridPos"]["h"])]
    assert len(set(places)) == len(places), "no panel covers another"


def test_all_that_is_asked_for_there_is(hosts):
    there = {re.split(r"[{ ]", line)[0] for line in hosts[0].daemon.request("/metrics")[1].splitlines() if not line.startswith("#")}
    asked = names(RULES.read_text()) | names(" ".join(expressions()))
    assert asked - {re.sub(r"_(bucket|sum|count)$", "", name) for name in there} - AT_TIMES == set()


def test_every_host_names_all(hosts):
    h1 = hosts[0]
    want = {f"{h.address}:{PORT}": {"node": f"h{h.number}", "subnet": h.daemon.subnet(), "backend": "vxlan"} for h in hosts}
    status, text = h1.daemon.request_tcp(h1.address, PORT, "/sd")
    assert status == 200
    for items in (json.loads(text), json.loads(ask(h1, "subnets", "-o", "prom-sd"))):
        assert {item["targets"][0]: item["labels"] for item in items} == want and len(items) == 3


def test_without_a_port_it_says_so(lab):
    lab.start_etcd()
    lab.configure(APART)
    host = lab.host()
    host.start_daemon()
    done = fabricctl("subnets", "-o", "prom-sd", "--socket", host.daemon.socket_path)
    assert done.returncode == FAILED and "healthz-port is 0: metrics are served on no port\n" in done.stderr and not done.stdout
    for other in ("--store", "--watch"):
        assert fabricctl("subnets", "-o", "prom-sd", other).returncode == USAGE


class Receiver:
    """Whom Alertmanager tells: {path: {(alert, instance) that fires}} of all that it was told."""

    def __init__(self, lab, namespace, port):
        self.firing, self.resolved = collections.defaultdict(set), collections.defaultdict(set)
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                for alert in json.loads(self.rfile.read(int(self.headers["Content-Length"])))["alerts"]:
                    told = receiver.firing if alert["status"] == "firing" else receiver.resolved
                    told[self.path].add((alert["labels"]["alertname"], alert["labels"].get("instance")))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_):
                pass

        with namespace.entered():
            server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        lab.closers.callback(server.server_close)
        lab.closers.callback(server.shutdown)


class Server:
    """A real Prometheus in the underlay, with the page's files; and Alertmanager beside it."""

    def __init__(self, lab, directory, discovery):
        self.namespace = lab.plug("prometheus", "192.0.2.90")
        self.lab, self.directory = lab, directory
        text = block(PAGE, "`/etc/prometheus/prometheus.yml`, with any host in `url`:")
        configuration = yaml.safe_load(text.replace("/etc/prometheus", str(directory)).replace("192.0.2.1:8050", f"{lab.all_hosts[0].address}:{PORT}"))
        configuration["global"] = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
        (job,) = configuration["scrape_configs"]
        if discovery == "file_sd":
            del job["http_sd_configs"]
            job |= yaml.safe_load(block(PAGE, "or, where a file is preferred, the last line as").replace("/etc/prometheus", str(directory)))
        else:
            job["http_sd_configs"][0]["refresh_interval"] = "1s"
        # The same alerts, in more of a hurry.
        (directory / "flannel.rules.yml").write_text(re.sub(r"for: \d+m", "for: 1s", RULES.read_text()))
        (directory / "prometheus.yml").write_text(json.dumps(configuration))
        self.start("prometheus", "prometheus", f"--config.file={directory / 'prometheus.yml'}", f"--storage.tsdb.path={directory / 'data'}", "--web.listen-address=127.0.0.1:9090")

    def start(self, name, *argv):
        with (self.directory / f"{name}.log").open("wb") as log:
            process = self.namespace.popen(*argv, stdout=log, stderr=log)
        self.lab.closers.callback(end_process, process)

    def start_alertmanager(self):
        command = [shutil.which("prometheus-alertmanager")]
        if not command[0]:  # its templates are read where the package has them
            root = debian.unpacked(debian.OWN, "prometheus-alertmanager")
            templates = "/usr/share/prometheus"
            command = ["unshare", "-m", "sh", "-c", f'mount --bind {root}{templates} {templates} && exec "$@"', "sh", root / "usr/bin/prometheus-alertmanager"]
        configuration = yaml.safe_load(block(PAGE, "one, `page` or `ticket`. `/etc/prometheus/alertmanager.yml`:"))
        configuration["route"] |= {"group_wait": "1s", "group_interval": "1s"}
        (self.directory / "alertmanager.yml").write_text(json.dumps(configuration))
        self.start("alertmanager", *command, f"--config.file={self.directory / 'alertmanager.yml'}", f"--storage.path={self.directory / 'alerts'}",
                   "--web.listen-address=127.0.0.1:9093", "--cluster.listen-address=")  # fmt: skip
        return Receiver(self.lab, self.namespace, 9095)

    def ask(self, path):
        connection = NamespaceHTTP(self.namespace, "127.0.0.1", 9090)
        try:
            connection.request("GET", f"/api/v1/{path}")
            response = connection.getresponse()
            return json.loads(response.read())["data"] if response.status == 200 else {}
        except OSError:  # it does not listen yet
            return {}
        finally:
            connection.close()

    def query(self, expression):
        return {r["metric"].get("instance"): float(r["value"][1]) for r in self.ask("query?query=" + urllib.parse.quote(expression)).get("result", [])}

    def firing(self):
        return {(a["labels"]["alertname"], a["labels"].get("instance")) for a in self.ask("alerts").get("alerts", []) if a["state"] == "firing"}


@pytest.mark.slow
@pytest.mark.parametrize("discovery", ["http_sd", "file_sd"])
def test_a_real_one(lab, hosts, tmp_path, discovery):
    if not shutil.which("prometheus"):
        pytest.skip("prometheus is not installed")
    h1, _, h3 = hosts
    server = Server(lab, tmp_path, discovery)
    told = server.start_alertmanager()
    if discovery == "file_sd":
        write = block(PAGE, "and, by a timer, on a host that runs flanneld:").replace("/etc/prometheus", str(tmp_path))
        h1.namespace.run("sh", "-ec", write.replace("fabricctl subnets", f"{FABRICCTL} subnets --socket={h1.daemon.socket_path}"))
    instances = {f"{h.address}:{PORT}" for h in hosts}
    wait_for(lambda: server.query("flannel_ready == 1").keys() == instances, 20, "all hosts are scraped")
    assert server.firing() == set()
    lab.etcd.kill()
    away = {("FlannelStoreAway", i) for i in instances}
    wait_for(lambda: away <= server.firing(), 20, "the store's alert is raised")
    assert {name for name, _ in server.firing()} <= {"FlannelStoreAway", "FlannelProblem"}
    wait_for(lambda: away <= told.firing["/ticket"], 20, "it is a ticket")
    assert not told.firing["/page"]
    h3.daemon.stop()
    h3.daemon.flags |= {"state_dir": tmp_path / "state"}
    h3.daemon.start()
    cannot = ("FlannelNotReady", f"{h3.address}:{PORT}")
    wait_for(lambda: cannot in told.firing["/page"], 20, "a host that cannot serve containers is a page")
    assert cannot not in told.firing["/ticket"]
    lab.etcd.start()
    wait_for(lambda: server.firing() == set(), 30, "it is over")
    wait_for(lambda: away <= told.resolved["/ticket"] and cannot in told.resolved["/page"], 30, "both receivers hear of that")
