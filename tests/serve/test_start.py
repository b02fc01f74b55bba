"""Starting and ending the server, as a user does."""

import re
import signal
import socket
import subprocess
import sys

import httpx
import pytest

from mdpseg.serve.images import RefusedError
from mdpseg.serve.sessions import MOST_SESSIONS, Sessions
from mdpseg.serve.start import _url
from tests.serving import served


@pytest.mark.parametrize(
    "address, url",
    [
        ("127.0.0.1", "http://127.0.0.1:80/"),
        ("0.0.0.0", "http://127.0.0.1:80/"),
        ("::1", "http://[::1]:80/"),
        ("::", "http://[::1]:80/"),  # which takes no IPv4
    ],
)
def test_the_address_that_is_printed_can_be_opened(address, url):
    assert _url(address, 80) == url


@pytest.mark.slow
def test_port_0_prints_the_address_and_ctrl_c_ends_it(pretrained):
    command = [sys.executable, "-m", "mdpseg", "serve", pretrained, "--port", "0", "--device", "cpu"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    first = process.stdout.readline()
    address = re.search(r"http://127\.0\.0\.1:\d+/", first)
    assert address, first
    assert "20 classes of coarse, fine" in first
    assert httpx.get(address[0]).status_code == 200
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (0, "stopped\n", "")


@pytest.mark.slow
def test_an_open_door_is_warned_of_and_does_not_give_the_network_away(pretrained, tmp_path):
    with served(pretrained, tmp_path, "--host", "0.0.0.0", "--allow", "seg.example") as server:
        assert "no password" in server.stderr.read_text()
        assert server.http.get("/api/classes").json()["can_download_weights"] is False
        refused = server.http.get("/api/weights")
        assert refused.status_code == 403
        for name, status in (("seg.example", 200), (socket.gethostname(), 200), ("evil.example", 421)):
            assert server.http.get("/", headers={"Host": name}).status_code == status


@pytest.mark.slow
def test_behind_a_proxy_the_network_is_not_given_away(pretrained, tmp_path):
    with served(pretrained, tmp_path, "--allow", "seg.example") as server:
        assert server.http.get("/api/classes").json()["can_download_weights"] is False
        refused = server.http.get("/api/weights")
        assert refused.status_code == 403
        assert "--allow" in refused.json()["detail"]


def test_a_taken_port_and_what_is_no_run(pretrained, tmp_path, mdpseg_command):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        code, _, err = mdpseg_command("serve", pretrained, "--port", port)
    assert code == 2
    assert f"port {port}" in err
    assert "--port" in err
    code, _, err = mdpseg_command("serve", tmp_path, "--port", 0)
    assert code == 2
    assert "weights.safetensors" in err
    code, _, err = mdpseg_command("serve", pretrained, "--port", 70000)
    assert code == 2
    for host in ("no.such.host.invalid", "a..b", "x" * 300, "\udcff"):
        code, _, err = mdpseg_command("serve", pretrained, "--host", host)
        assert code == 2
        assert "--host" in err


@pytest.mark.parametrize("package", ["uvicorn", "fastapi", "python_multipart"])
def test_a_missing_package_is_one_message(package, pretrained, mdpseg_command, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(sys.modules, "mdpseg.serve.app", raising=False)
    code, _, err = mdpseg_command("serve", pretrained)
    assert code == 2
    assert 'pip install "mdpseg[serve]"' in err


def test_sessions_are_limited():
    sessions = Sessions()
    tokens = [sessions.put(None, object()) for _ in range(MOST_SESSIONS)]
    assert len(set(tokens)) == MOST_SESSIONS
    sessions.get(tokens[0])  # used just now
    sessions.put(None, object())
    assert sessions.get(tokens[0])
    with pytest.raises(RefusedError, match="gone"):
        sessions.get(tokens[1])
