"""The classes that visitors added: in memory, each visitor's own, the longest unused ones forgotten first."""

from __future__ import annotations

import secrets
from collections import OrderedDict

from mdpseg.model import SegmentationModel
from mdpseg.serve.images import RefusedError

MOST_SESSIONS = 32
MOST_CLASSES = 50


class Sessions:
    """Models with added classes, by an unguessable token. They share the network's weights."""

    def __init__(self) -> None:
        self._models: OrderedDict[str, SegmentationModel] = OrderedDict()

    def get(self, token: str) -> SegmentationModel:
        """The session's model.

        Raises:
            RefusedError: there is no such session, or no longer.
        """
        if token not in self._models:
            raise RefusedError(
                410, "The classes you had added are gone: the server was restarted, or others needed room."
            )
        self._models.move_to_end(token)
        return self._models[token]

    def put(self, token: str | None, model: SegmentationModel) -> str:
        """Keeps a session's model.

        Args:
            token: of the session; None opens one.
            model: with the added classes.

        Returns:
            the token.
        """
        token = token or secrets.token_urlsafe(24)
        self._models[token] = model
        self._models.move_to_end(token)
        while len(self._models) > MOST_SESSIONS:
            self._models.popitem(last=False)
        return token

    def forget(self, token: str) -> None:
        """Ends a session, if there is one."""
        self._models.pop(token, None)
