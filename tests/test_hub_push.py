"""Pushes to a small stand-in hub on this machine, and gets back what it keeps.

It answers what huggingface_hub asks of the real one: making a repository, how a file is to be uploaded (inside the
commit, always), the commit, and files with their ETag and commit.
"""

import base64
import hashlib
import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch
from safetensors.torch import load_file

from mdpseg import weights
from mdpseg.hub import HubNetwork

COMMIT = "a" * 40

# huggingface_hub reads its settings on import: all is done in one other process, which tells what came of it.
SCRIPT = """
import json, sys
import torch
from mdpseg.errors import UserError
from mdpseg.hub import HubNetwork

run, out = sys.argv[1:]
told = {}

def attempt(name, do):
    try:
        told[name] = do()
    except UserError as error:
        told[name] = f"UserError: {error}"

network = HubNetwork.from_run(run)
attempt("push", lambda: network.push_to_hub("me/things"))
for name in ("other/things", "me/locked", "me/silent", "no//name"):
    attempt(name, lambda: network.push_to_hub(name))
again = HubNetwork.from_pretrained("me/things")
again.save_pretrained(out)
with torch.no_grad():
    torch.save(again.network.logits(torch.load(f"{out}/../images.pt")), f"{out}/../logits.pt")
attempt("no card", lambda: HubNetwork.from_pretrained("me/bare").card)
attempt("no repository", lambda: HubNetwork.from_pretrained("me/none"))
attempt("no name", lambda: HubNetwork.from_pretrained("no//name"))
print(json.dumps(told))
"""


class Hub(ThreadingHTTPServer):
    """Attributes: files: repository -> file -> content; asked: method, path and token of each request."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Answers)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.files, self.asked = {}, []

    def handle_error(self, request, client_address):
        """A client that was hung up on."""


class Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked.append(("POST", self.path, self.headers.get("Authorization")))
        parts = self.path.strip("/").split("/")
        if self.path == "/api/repos/create":
            asked = json.loads(body)
            if asked["organization"] == "other":
                self.say(403, {"error": "You don't have the rights to create a model under the namespace other"})
            elif asked["name"] == "silent":
                self.close_connection = True
            else:
                self.say(200, {"url": f"{self.server.url}/{asked['organization']}/{asked['name']}"})
        elif self.path == "/api/validate-yaml":
            self.say(200, {"errors": [], "warnings": []})
        elif parts[4:5] == ["preupload"]:
            files = [
                {"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in json.loads(body)["files"]
            ]
            self.say(200, {"files": files})
        elif parts[4:5] == ["commit"] and parts[3] == "locked":
            self.say(403, {"error": "This repository is locked"})
        elif parts[4:5] == ["commit"]:
            lines = [json.loads(line) for line in body.splitlines()]
            kept = self.server.files.setdefault("/".join(parts[2:4]), {})
            for value in (line["value"] for line in lines if line["key"] == "file"):
                kept[value["path"]] = base64.b64decode(value["content"])
            self.say(
                200,
                {
                    "commitUrl": f"{self.server.url}/{'/'.join(parts[2:4])}/commit/{COMMIT}",
                    "commitOid": COMMIT,
                    "success": True,
                },
            )
        else:
            self.say(404, {"error": "no such address"})

    def do_GET(self):
        self.server.asked.append((self.command, self.path, self.headers.get("Authorization")))
        if self.path.endswith("?expand=xetEnabled"):  # huggingface_hub before 1.0 asks it of a commit
            self.say(200, {"id": "/".join(self.path.split("/")[3:5]), "xetEnabled": False})
            return
        repository, found, file = self.path.strip("/").partition("/resolve/")
        kept = self.server.files.get(repository) if found else None
        content = (kept or {}).get(file.partition("/")[2])
        if content is None:
            code = "RepoNotFound" if kept is None else "EntryNotFound"
            self.say(404, {"error": "not found"}, {"X-Error-Code": code})
        else:
            etag = f'"{hashlib.sha1(content).hexdigest()}"'
            self.send(200, content, {"ETag": etag, "X-Repo-Commit": COMMIT})

    do_HEAD = do_GET

    def say(self, status, answer, headers=None):
        self.send(status, json.dumps(answer).encode(), {"Content-Type": "application/json", **(headers or {})})

    def send(self, status, body, headers):
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


@pytest.fixture(scope="module")
def pushed(finetuned, tmp_path_factory):
    """The hub after the script, what the script told, and the folder with what it wrote."""
    folder = tmp_path_factory.mktemp("hub")
    source = torch.Generator().manual_seed(0)
    torch.save(torch.randint(0, 256, (1, 3, 50, 70), dtype=torch.uint8, generator=source), folder / "images.pt")
    hub = Hub()
    hub.files["me/bare"] = {"weights.safetensors": (finetuned / "weights.safetensors").read_bytes()}
    threading.Thread(target=hub.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    settings = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
    settings |= {"HF_ENDPOINT": hub.url, "HF_HOME": str(folder / "home"), "HF_TOKEN": "hf_of_the_test"}
    settings |= {"HF_HUB_DISABLE_TELEMETRY": "1"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, finetuned, folder / "back"],
        env=settings,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    hub.shutdown()
    hub.server_close()
    assert done.returncode == 0, done.stderr
    return hub, json.loads(done.stdout.splitlines()[-1]), folder


@pytest.mark.slow
def test_what_arrives_is_what_is_saved(pushed, finetuned, tmp_path):
    hub, told, _ = pushed
    HubNetwork.from_run(finetuned).save_pretrained(tmp_path)
    arrived = hub.files["me/things"]
    assert arrived.keys() == {"README.md", "config.json", "weights.safetensors"}
    for name in ("README.md", "config.json"):
        assert arrived[name] == (tmp_path / name).read_bytes()
    (tmp_path / "arrived.safetensors").write_bytes(arrived["weights.safetensors"])
    sent, kept = (weights.load(tmp_path / name) for name in ("weights.safetensors", "arrived.safetensors"))
    assert all(torch.equal(kept.state[name], tensor) for name, tensor in sent.state.items())
    assert (kept.network, kept.label_space, kept.head, kept.history) == (
        *(sent.network, sent.label_space, sent.head),
        sent.history,
    )
    ends = f"/me/things/commit/{COMMIT}", "/me/things/tree/main/"  # the second: huggingface_hub before 1.0
    assert told["push"].startswith(hub.url)
    assert told["push"].endswith(ends)
    assert {token for method, _, token in hub.asked if method == "POST"} == {"Bearer hf_of_the_test"}


@pytest.mark.slow
def test_what_comes_back_is_what_was_pushed(pushed, finetuned):
    _, _, folder = pushed
    sent, back = (load_file(path / "weights.safetensors") for path in (finetuned, folder / "back"))
    assert sent.keys() == back.keys()
    assert all(torch.equal(back[name], tensor) for name, tensor in sent.items())
    network = HubNetwork.from_run(finetuned)
    with torch.no_grad():
        assert torch.equal(torch.load(folder / "logits.pt"), network.network.logits(torch.load(folder / "images.pt")))
    assert network.card in (folder / "back" / "README.md").read_text()  # the card came with it


@pytest.mark.slow
def test_without_a_card_the_weights_tell_what_they_learned_from(pushed):
    hub, told, folder = pushed
    assert told["no card"] == ""
    (folder / "bare").mkdir()
    (folder / "bare" / "weights.safetensors").write_bytes(hub.files["me/bare"]["weights.safetensors"])
    card = HubNetwork.from_pretrained(folder / "bare").generate_model_card().text
    assert "| 1. pretraining | coarse | toy | train |" in card
    assert "| 2. fine-tuning | things | toy | train |" in card


@pytest.mark.slow
@pytest.mark.parametrize(
    "name, reason",
    [("other/things", "403"), ("me/locked", "403"), ("me/silent", "disconnected"), ("no//name", "no//name")],
)
def test_a_refused_push_is_one_message(name, reason, pushed):
    hub, told, _ = pushed
    assert told[name].startswith(f"UserError: {name} could not be pushed to the Hugging Face hub: ")
    assert reason in told[name].lower()
    assert "hf auth login" in told[name]
    assert "\n" not in told[name]
    assert name not in hub.files


def test_what_the_hub_does_not_have_is_one_message(pushed):
    _, told, _ = pushed
    assert told["no repository"].startswith("UserError: me/none is no folder, and not to be had from the Hugging Face")
    assert told["no name"].startswith("UserError: no//name is no folder, and not to be had from the Hugging Face hub")
