"""Starts the server, and ends it."""

from __future__ import annotations

import socket
import sys
from collections.abc import Collection
from ipaddress import ip_address
from pathlib import Path

from mdpseg.engine.runtime import Device
from mdpseg.errors import UserError

_LONGEST_END = 5  # seconds that running requests are waited for


def serve(
    run: Path, host: str = "127.0.0.1", port: int = 8000, device: Device = "auto", allow: Collection[str] = ()
) -> None:
    """Serves a run until Ctrl-C.

    Args:
        run: folder of a finished run, or a weights file.
        host: address to listen on; others than this machine's own let everyone in who can reach it.
        port: 0 takes any free one.
        device: where the network runs.
        allow: further host names that the server answers to; with any, the network is not given away.

    Raises:
        UserError: the extra ``serve`` is not installed, the run cannot be opened, or the address is taken.
    """
    try:
        import python_multipart  # noqa: F401 (FastAPI reads forms with it)
        import uvicorn

        from mdpseg.serve.app import make_app
    except ImportError as error:
        raise UserError(f'Serving needs {error.name}, which is not installed: pip install "mdpseg[serve]"') from None
    from mdpseg.model import SegmentationModel
    from mdpseg.serve.guard import Guard
    from mdpseg.serve.service import Service

    listener = _listen(host, port)
    address, port = listener.getsockname()[:2]
    alone = ip_address(address).is_loopback
    with listener:
        model = SegmentationModel.from_run(run, device)
        service = Service(model, run.resolve().parent.name if run.is_file() else run.resolve().name)
        names = {"localhost", socket.gethostname(), host, *allow}
        # Another name means a proxy: who comes through it is not on this machine.
        app = Guard(make_app(service, weights=alone and not allow), names)
        what = f"{len(model.classes)} classes of {', '.join(model.taxonomies) or service.name}"
        print(f"{service.name} ({what}) is served at {_url(address, port)} — Ctrl-C ends it.", flush=True)
        if not alone:
            print(
                f"mdpseg: warning: everyone who can reach {address} port {port} can use it; there is no password and "
                "no encryption. --host 127.0.0.1 (the default) serves this machine alone.",
                file=sys.stderr,
                flush=True,
            )
        config = uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            ws="none",
            timeout_graceful_shutdown=_LONGEST_END,
        )
        try:
            uvicorn.Server(config).run(sockets=[listener])
        except KeyboardInterrupt:  # uvicorn raises it once more, after it ended in order
            print("stopped", flush=True)


def _listen(host: str, port: int) -> socket.socket:
    if not 0 <= port <= 65535:
        raise UserError(f"--port {port} is no port; expected 0 (any free one) to 65535.")
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family)
    except UnicodeError:
        raise UserError(
            f"--host {host!r:.80} is no host name; expected an address of this machine or its name, such as 127.0.0.1."
        ) from None
    except OSError as error:
        raise UserError(
            f"Cannot listen on {host}, port {port} ({error.strerror}); choose another with --port (0 takes any free "
            "one) or --host."
        ) from None


def _url(address: str, port: int) -> str:
    if ip_address(address).is_unspecified:  # all of this machine's addresses
        address = "::1" if ":" in address else "127.0.0.1"
    return f"http://{f'[{address}]' if ':' in address else address}:{port}/"
