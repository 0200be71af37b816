# SPDX-License-Identifier: Apache-2.0
"""docs/integrations/terraform.md with the real program, and nothing from outside."""

import json
import os
import shutil

import pytest

from fabric import APART, FABRICCTL
from recipes import block

PAGE = "terraform.md"
pytestmark = pytest.mark.skipif(not shutil.which("terraform"), reason="terraform is not installed")


@pytest.fixture
def terraform(lab, tmp_path):
    """run(line): of the page, in the folder of main.tf, in the underlay."""
    lab.start_etcd()
    (tmp_path / "main.tf").write_text(block(PAGE, "`main.tf`:"))
    (tmp_path / "terraform.rc").touch()
    variables = {"store": lab.etcd.endpoints, "network": APART}
    (tmp_path / "terraform.tfvars.json").write_text(json.dumps(variables))
    environment = os.environ | {"PATH": f"{FABRICCTL.parent}:{os.environ['PATH']}", "CHECKPOINT_DISABLE": "1", "TF_CLI_CONFIG_FILE": str(tmp_path / "terraform.rc"), "TF_IN_AUTOMATION": "1"}

    def run(line):
        line = line.replace("--store", f"--store --etcd-endpoints={lab.etcd.endpoints} --config-file=/dev/null")
        return lab.underlay.run("sh", "-ec", line, cwd=tmp_path, env=environment)

    run.variables = variables
    run.folder = tmp_path
    return run


def test_the_page(lab, terraform):
    """The configuration gets into the store, daemons take it, and their addresses come out; a second apply writes nothing, another network does."""
    init, apply, hosts, again = block(PAGE, "Then").splitlines()
    terraform(init)
    assert "1 added" in terraform(apply) and lab.etcd.get("/coreos.com/network/config").json == APART
    started = lab.hosts(3, daemons=True)
    terraform(hosts)
    revision = lab.etcd.get("/coreos.com/network/config").mod_revision
    assert "0 added, 0 changed, 0 destroyed" in terraform(again)
    assert json.loads(terraform("terraform output -json public_addresses")) == [f"{h.address}/32" for h in started]
    assert json.loads(terraform("terraform output -json subnet_of_node")) == {f"h{h.number}": h.daemon.subnet() for h in started}
    assert lab.etcd.get("/coreos.com/network/config").mod_revision == revision
    other = APART | {"SubnetLen": 25}
    (terraform.folder / "terraform.tfvars.json").write_text(json.dumps(terraform.variables | {"network": other}))
    assert "1 added" in terraform(again) and lab.etcd.get("/coreos.com/network/config").json == other


def test_a_network_that_is_none(lab, terraform):
    init, apply, *_ = block(PAGE, "Then").splitlines()
    (terraform.folder / "terraform.tfvars.json").write_text(json.dumps(terraform.variables | {"network": {"Network": "10.5.0.0/33"}}))
    terraform(init)
    with pytest.raises(AssertionError, match="10.5.0.0/33"):
        terraform(apply)
    assert lab.etcd.get("/coreos.com/network/config") is None
