# SPDX-License-Identifier: Apache-2.0
"""What fabricctl loads before it does anything: libcurl only where a store is spoken to over HTTP, libprotobuf-c for gRPC."""

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
        libraries = loaded(*command, "--socket", h1.daemon.socket_path)
        assert "libcurl" not in libraries and "libprotobuf" not in libraries, command
    libraries = loaded("subnets", *NOBODY, "--etcd-transport", "json")
    assert "libcurl" in libraries and "libprotobuf" not in libraries
    assert "libprotobuf-c" in loaded("subnets", *NOBODY, "--etcd-transport", "grpc")


def test_without_libcurl(tmp_path):
    (tmp_path / "libcurl.so.4").write_bytes(b"")
    environment = {"LD_LIBRARY_PATH": str(tmp_path)}
    done = fabricctl("subnets", *NOBODY, env=environment)
    assert done.returncode == FAILED
    assert "the store cannot be used" in done.stderr and "libcurl.so.4: file too short" in done.stderr
    (tmp_path / "libcurl.so.4").unlink()
    (tmp_path / "libprotobuf-c.so.1").write_bytes(b"")
    done = fabricctl("subnets", *NOBODY, "--etcd-transport", "grpc", env=environment)
    assert done.returncode == FAILED and "libprotobuf-c.so.1: file too short" in done.stderr
    # A directory needs none.
    (tmp_path / "store").mkdir()
    done = fabricctl("subnets", *NOBODY, env=environment | {"FLANNELD_STORE": f"file:{tmp_path}/store"})
    assert done.returncode == OK, done.stderr
