"""What an HTTP API answered: the output of one item, or of each of several.

Pure: a `Response` in, outputs and failures out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jmespath
from jmespath.exceptions import JMESPathError

from penstock import jsons
from penstock.errors import InputError
from penstock.work import failures
from penstock.work.processors.transport import Response
from penstock.work.types import Failure, Output


class Answers:
    """Reads answers. response_path: JMESPath of the output (of several: of their list). id_path:
    JMESPath of the ID in each element; without it the order counts. InputError when either does
    not parse. where: of the processor in the manifest."""

    def __init__(self, response_path: str | None, id_path: str | None, where: str) -> None:
        self._path_text = response_path
        self._path = _compile(response_path, f"{where}.responsePath")
        self._id_path = _compile(id_path, f"{where}.idPath")

    def of_one(self, response: Response) -> Output | Failure:
        """The output of a request for one item. An empty answer is null."""
        if not response.body.strip() and self._path is None:
            return Output(None)
        return self._found(response)

    def of_several(
        self, response: Response, ids: Sequence[str]
    ) -> list[Output | Failure] | Failure:
        """An output or failure for each of these item IDs, or what is wrong with the whole."""
        if not response.body.strip() and self._path is None and self._id_path is None:
            return [Output(None) for _ in ids]
        found = self._found(response)
        if isinstance(found, Failure):
            return found
        elements = found.value
        if not isinstance(elements, list):
            hint = "" if self._path else "; responsePath says where the list is"
            return failures.invalid(failures.UNEXPECTED, f"not a list{hint}")
        if self._id_path is not None:
            return self._by_id(elements, ids)
        if len(elements) != len(ids):
            message = f"{len(elements)} answers for {len(ids)} items; idPath would map them"
            return failures.invalid(failures.UNEXPECTED, message)
        return [Output(element) for element in elements]

    def _found(self, response: Response) -> Output | Failure:
        value = self._parsed(response)
        if self._path is None or isinstance(value, Failure):
            return value
        try:
            found = self._path.search(value.value)
        except (JMESPathError, TypeError, ValueError) as error:
            return failures.invalid(failures.UNEXPECTED, failures.clean(str(error)))
        if found is None:
            return failures.invalid(f"no {self._path_text} in the answer")
        return Output(found)

    def _parsed(self, response: Response) -> Output | Failure:
        kind = response.headers.get("content-type", "")
        is_text = kind.startswith("text/") and self._path is None
        if is_text and not response.body.lstrip().startswith((b"{", b"[")):
            return Output(_text(response))
        try:
            return Output(jsons.loads(response.body))
        except (ValueError, RecursionError) as error:
            if is_text:
                return Output(_text(response))
            start = response.body[:200].decode("utf-8", "replace")
            return failures.invalid(failures.NOT_JSON, failures.clean(f"{error}: {start}"))

    def _by_id(self, elements: list[Any], ids: Sequence[str]) -> list[Output | Failure]:
        found: dict[str, Any] = {}
        for element in elements:
            try:
                found.setdefault(_as_text(self._id_path.search(element)), element)
            except (JMESPathError, TypeError, ValueError):
                continue  # an element of another shape is nobody's
        missing = failures.invalid(failures.MISSING)
        return [Output(found[one]) if one in found else missing for one in ids]


def _compile(path: str | None, where: str) -> Any:
    try:
        return None if path is None else jmespath.compile(path)
    except JMESPathError as error:
        first = str(error).splitlines()[0]
        raise InputError.at(where, f"not a JMESPath: {first}") from None


def _as_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return jsons.dumps(value)


def _text(response: Response) -> str:
    """The body as text, in the encoding that its type names; what does not fit is replaced."""
    _, _, charset = response.headers.get("content-type", "").lower().partition("charset=")
    try:
        return response.body.decode(charset.split(";")[0].strip(" \"'") or "utf-8", "replace")
    except LookupError:
        return response.body.decode("utf-8", "replace")
