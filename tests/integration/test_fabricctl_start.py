# SPDX-License-Identifier: Apache-2.0
"""What fabricctl loads before it does anything: libcurl only where a store is spoken to over HTTP."""

from fabricctl_support import CONFIG, FAILED, OK, fabricctl

NOBODY = ("--store", "--etcd-endpoints", "http://127.0.0.1:1", "--config-file", "/dev/null")


def loaded(*args):
    done = fabricctl(*args, env={"LD_DEBUG": "files"})
    assert "libjansson" in done.stderr
    return done.stderr


def test_libcurl_is_loaded_for_etcd_only(lab):
    lab.start_etcd()
    lab.configure(CONFIG)
    (h1,) = lab.hosts(1, daemons=True)
    for command in (["version"], ["help"], ["completion", "bash"], ["subnets"], ["status"], ["peers"], ["diff"], ["lease"]):
        assert "libcurl" not in loaded(*command, "--socket", h1.daemon.socket_path), command
    assert "libcurl" in loaded("subnets", *NOBODY)


def test_without_libcurl(tmp_path):
    (tmp_path / "libcurl.so.4").write_bytes(b"")
    environment = {"LD_LIBRARY_PATH": str(tmp_path)}
    done = fabricctl("subnets", *NOBODY, env=environment)
    assert done.returncode == FAILED
    assert "the store cannot be used" in done.stderr and "libcurl.so.4: file too short" in done.stderr
    # A directory needs none.
    (tmp_path / "store").mkdir()
    done = fabricctl("subnets", *NOBODY, env=environment | {"FLANNELD_STORE": f"file:{tmp_path}/store"})
    assert done.returncode == OK, done.stderr
