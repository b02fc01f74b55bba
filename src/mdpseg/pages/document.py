"""A self-contained HTML document: style, script, data and pictures are inside it."""

from __future__ import annotations

import json
from html import escape
from importlib.resources import files
from typing import Any

# The browser itself refuses whatever would be loaded from elsewhere.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"

# Okabe and Ito's colours, which people with any colour vision tell apart; the lightest are left out.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f7f7f", "#8c564b")


def document(title: str, body: str, script: str = "", data: Any = None) -> str:
    """The page.

    Args:
        title: plain text.
        body: HTML; what comes from outside must be escaped in it.
        script: JavaScript of this package.
        data: what the script finds as JSON in the element ``data``.
    """
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(title)}</title><style>{asset('page.css')}</style></head><body>",
        body,
    ]
    if data is not None:
        parts.append(f'<script type="application/json" id="data">{script_json(data)}</script>')
    if script:
        parts.append(f"<script>{script}</script>")
    return "\n".join([*parts, "</body></html>", ""])


def script_json(data: Any) -> str:
    """JSON that may stand inside a script element: no ``</script>`` or ``<!--`` in a name can end it."""
    text = json.dumps(data, ensure_ascii=True, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def asset(name: str) -> str:
    """A style sheet or script of this package."""
    return (files("mdpseg.pages") / name).read_text(encoding="utf-8")
