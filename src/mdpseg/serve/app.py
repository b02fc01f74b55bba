"""The HTTP interface, and the page's files."""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files
from typing import Annotated, Any, Literal, TypeVar

from anyio import CapacityLimiter, to_thread
from fastapi import FastAPI, File, Form, Header, Request, Response, UploadFile
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartParser

import mdpseg
from mdpseg.errors import UserError
from mdpseg.pages.document import asset
from mdpseg.serve.guard import LARGEST_BODY, MOST_AT_ONCE
from mdpseg.serve.images import MOST_PIXELS, MOST_PIXELS_SEEN, RefusedError
from mdpseg.serve.service import Service

_KINDS = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_MOST_EXAMPLES = 16
_LIMITS = {
    "bytes": LARGEST_BODY,
    "pixels": MOST_PIXELS,
    "pixels_seen": MOST_PIXELS_SEEN,
    "at_once": MOST_AT_ONCE,
    "examples": _MOST_EXAMPLES,
}
_T = TypeVar("_T")

Image = Annotated[UploadFile, File(description="A JPEG, PNG or WebP file.")]
Session = Annotated[
    str | None, Header(alias="X-Mdpseg-Session", description="What adding a class gave, to see your own classes.")
]
Taxonomy = Annotated[
    str,
    Form(description="A dataset of the pretraining, or several joined by +; empty: all, or what it is fine-tuned on."),
]


def make_app(service: Service, weights: bool) -> FastAPI:
    """The application, without its guard.

    Args:
        service: does the work.
        weights: whether the network may be downloaded.
    """
    MultiPartParser.spool_max_size = LARGEST_BODY  # uploads stay in memory: nothing is written to the disk
    app = FastAPI(
        title="mdpseg",
        version=mdpseg.__version__,
        description=f"Segments images with {service.name}.",
        docs_url=None,  # FastAPI's own pages load from elsewhere; /docs is ours
        redoc_url=None,
        responses={
            status: {"description": what, "content": {"application/json": {"example": {"detail": "What is wrong."}}}}
            for status, what in _STATUSES.items()
        },
    )
    _add_pages(app)
    _add_errors(app)
    one_at_a_time = CapacityLimiter(1)

    async def run(work: Callable[[], _T]) -> _T:
        return await to_thread.run_sync(work, limiter=one_at_a_time)

    @app.get("/api/health", summary="Whether the server is there, and how busy")
    async def health() -> dict[str, Any]:
        waiting = one_at_a_time.statistics().tasks_waiting + int(one_at_a_time.borrowed_tokens)
        return {"status": "ok", "version": mdpseg.__version__, "run": service.name, "waiting": waiting}

    def about(session: str | None) -> dict[str, Any]:
        return {**service.describe(session), "can_download_weights": weights, "limits": _LIMITS}

    @app.get("/api/classes", summary="The taxonomies, their classes and colours, and the limits")
    async def classes(session: Session = None) -> dict[str, Any]:
        return await run(lambda: about(session))

    @app.post(
        "/api/segment",
        summary="Segment an image",
        response_class=Response,
        responses={200: {"content": {"image/png": {}, "application/json": {}}}},
    )
    async def segment(
        image: Image,
        taxonomy: Taxonomy = "",
        format: Annotated[
            Literal["png", "overlay", "json"],
            Form(description="png: a palette PNG of class ids; overlay: the image under its colours; json: both masks"),
        ] = "png",
        opacity: Annotated[float, Form(ge=0, le=1, description="Of the colours in the overlay.")] = 0.5,
        session: Session = None,
    ) -> Response:
        content = await image.read()

        def work() -> Response:
            seen = service.segment(content, taxonomy, session)
            if format == "json":
                return JSONResponse(seen.json())
            return Response(seen.png() if format == "png" else seen.overlay(opacity), media_type="image/png")

        return await run(work)

    @app.post("/api/nearest", summary="The classes of every dataset that are nearest to a pixel")
    async def nearest(
        image: Image,
        row: Annotated[int, Form(description="Of the pixel, from the top, from 0.")],
        column: Annotated[int, Form(description="Of the pixel, from the left, from 0.")],
        session: Session = None,
    ) -> list[dict[str, Any]]:
        content = await image.read()
        return await run(lambda: service.nearest(content, row, column, session))

    @app.post("/api/classes", summary="Add a class of your own from marked regions")
    async def add_class(
        name: Annotated[str, Form(description="Of the class. The name of one of yours takes more examples.")],
        images: Annotated[list[UploadFile], File(description="Images that show it.")],
        regions: Annotated[
            list[UploadFile],
            File(description="For each image a PNG of its size, black or transparent where the class is not."),
        ],
        taxonomy: Annotated[str, Form(description="In whose terms it is to win in its regions; empty: in all.")] = "",
        session: Session = None,
    ) -> dict[str, Any]:
        if len(images) != len(regions) or len(images) > _MOST_EXAMPLES:
            raise RefusedError(
                422,
                f"There are {len(images)} images and {len(regions)} regions; as many of each are expected, at most "
                f"{_MOST_EXAMPLES}.",
            )
        examples = [(await i.read(), await r.read()) for i, r in zip(images, regions, strict=True)]

        def work() -> dict[str, Any]:
            token = service.add_class(name, examples, taxonomy, session)
            return {"session": token, **about(token)}

        return await run(work)

    @app.delete("/api/classes", summary="Forget your own classes", status_code=204, response_model=None)
    async def forget(session: Session = None) -> None:
        await run(lambda: service.forget(session or ""))

    @app.get("/api/weights", summary="The network with your own classes, as a weights file", response_class=Response)
    async def download(session: Session = None) -> Response:
        if not weights:
            raise RefusedError(
                403, "The network is given away only where the server listens on this machine alone, without --allow."
            )
        content = await run(lambda: service.weights(session or ""))
        return Response(
            content,
            media_type="application/octet-stream",
            headers={"Content-Disposition": 'attachment; filename="weights.safetensors"'},
        )

    return app


_STATUSES = {
    413: "The image, or the request, is too large.",
    415: "It is no JPEG, PNG or WebP image.",
    422: "A field is missing or wrong, or the image is damaged.",
    503: "Too many requests at once.",
}


def _add_pages(app: FastAPI) -> None:
    """The page's files: read once, so that no address is ever made a path."""
    folder = files("mdpseg.serve") / "page"
    contents = {
        entry.name: entry.read_bytes() for entry in folder.iterdir() if entry.name[entry.name.rfind(".") :] in _KINDS
    }
    contents["page.css"] = asset("page.css").encode()
    addresses = {"/": "index.html", "/docs": "docs.html"}
    addresses |= {f"/page/{name}": name for name in contents if not name.endswith(".html")}

    def answer(name: str) -> Callable[[], Any]:
        async def give() -> Response:
            return Response(contents[name], media_type=_KINDS[name[name.rfind(".") :]])

        return give

    for address, name in addresses.items():
        app.add_api_route(address, answer(name), include_in_schema=False)


def _add_errors(app: FastAPI) -> None:
    """Every error is JSON with one message for a user in ``detail``."""

    @app.exception_handler(UserError)
    async def user_error(request: Request, error: UserError) -> JSONResponse:
        return JSONResponse({"detail": str(error)}, error.status if isinstance(error, RefusedError) else 422)

    @app.exception_handler(RequestValidationError)
    async def wrong_fields(request: Request, error: RequestValidationError) -> JSONResponse:
        faults = [f"{fault['loc'][-1]}: {fault['msg']}" for fault in error.errors()]
        return JSONResponse({"detail": f"{'; '.join(faults)}. A multipart form is expected; see /docs."}, 422)

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> JSONResponse:
        return JSONResponse({"detail": error.detail}, error.status_code, error.headers)

    @app.exception_handler(Exception)
    async def our_fault(request: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"detail": "Something went wrong here; the server's terminal shows what."}, 500)
