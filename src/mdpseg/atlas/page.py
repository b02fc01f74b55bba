"""The atlas as one HTML page. Names are put into it by the script, as text and never as markup."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from mdpseg.pages.document import COLOURS, asset, document


def atlas_page(content: dict[str, Any], pictures: Sequence[Sequence[dict[str, str]]]) -> str:
    """The page.

    Args:
        content: what atlas.json holds.
        pictures: for each class its examples: ``uri`` and ``image``.
    """
    body = asset("atlas.html").format(
        run=escape(content["run"]),
        count=len(content["classes"]),
        datasets=escape(", ".join(content["datasets"])),
        images=content["images"],
        kept=content["neighbours_kept"],
    )
    colours = [COLOURS[i % len(COLOURS)] for i in range(len(content["datasets"]))]
    data = {**content, "pictures": pictures, "colours": colours}
    script = "".join(asset(name) for name in ("atlas.js", "atlas_map.js", "atlas_matrix.js", "atlas_start.js"))
    return document(f"Class atlas: {content['run']}", body, f"'use strict';\n{{\n{script}}}", data)
