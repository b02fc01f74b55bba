"""The atlas as one HTML page. Names are put into it by the script, as text and never as markup."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from mdpseg.pages.document import COLOURS, asset, document

_BODY = """\
<a class="skip" href="#relations-title">Skip the map</a>
<header><h1>Class atlas: {run}</h1>
<p class="soft">{count} classes of {datasets} in the embedding of one network. {images} labelled images were looked at.
Open from anywhere: this file loads nothing.</p></header>
<noscript><p>This page draws itself with JavaScript; the same content stands in atlas.json and the CSV files beside it.
</p></noscript>
<main>
<div class="controls" role="search">
<label>Search <input type="search" id="search" placeholder="class name" autocomplete="off"></label>
<fieldset id="datasets"><legend>Datasets</legend></fieldset>
<fieldset id="kinds"><legend>Relations</legend></fieldset>
<label>Score from <input type="range" id="least" min="0" max="1" step="0.05" value="0">
<output id="least-shown">0</output></label>
<span id="found" role="status" class="soft"></span></div>
<div class="two">
<section aria-labelledby="map-title"><h2 id="map-title">Map</h2>
<div class="map"><svg id="map" role="group" tabindex="0"
 aria-label="Map of classes. Arrow keys move it, plus and minus zoom, 0 shows all."></svg>
<div class="zoom"><button id="zoom-in" aria-label="Zoom in">+</button>
<button id="zoom-out" aria-label="Zoom out">−</button><button id="zoom-all">All</button></div></div>
<p class="soft">Classes that the network takes for alike lie together; the pictures are each class's most typical region,
framed in its dataset's colour; lines are proposed relations. {kept:.0%} of each class's five nearest classes are among
its five nearest on the map, too: trust the lists where both differ.</p></section>
<section id="panel" class="card" tabindex="0" aria-label="The chosen class"></section></div>
<section aria-labelledby="relations-title"><h2 id="relations-title">Proposed relations</h2>
<p class="soft">There: share of the first class's pixels that the network puts under the second in the other dataset's
terms, as a part of what it finds of the second's own. Back: the other way round. Catch-alls (background) compete for pixels, but are never proposed.</p>
<div class="scroll" tabindex="0" role="region" aria-labelledby="relations-title">
<table class="relations"><thead><tr><th>first</th><th>relation</th><th>second</th><th class="n">score</th>
<th class="n">there</th><th class="n">back</th><th class="n">similarity</th></tr></thead>
<tbody id="relations"></tbody></table></div>
<div id="unmatched"></div></section>
<section aria-labelledby="matrix-title"><h2 id="matrix-title">Similarity of prototypes</h2>
<p class="soft">Cosine, in the order of the tree on the left (average linkage). <span id="cell" role="status">Point at a
cell, or focus the matrix and use the arrow keys.</span></p>
<div class="scroll" tabindex="0" role="region" aria-labelledby="matrix-title"><div class="matrix" id="matrix"></div></div>
</section>
<section aria-labelledby="all-title"><h2 id="all-title">All classes</h2><ul class="plain" id="all"></ul></section>
</main>"""


def atlas_page(content: dict[str, Any], pictures: Sequence[Sequence[dict[str, str]]]) -> str:
    """The page.

    Args:
        content: what atlas.json holds.
        pictures: for each class its examples: ``uri`` and ``image``.
    """
    body = _BODY.format(
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
