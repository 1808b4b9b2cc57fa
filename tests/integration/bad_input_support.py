"""How the mistakes in bad_manifests.py and bad_data.py are written down.

Each starts from a job that works (`MANIFEST`, `ITEMS`) and spoils one thing in it. The lines that
messages name are those of `MANIFEST`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

MANIFEST = """\
apiVersion: penstock.dev/v1alpha1
kind: BatchJob
metadata: {name: products}
spec:
  source:
    file: {path: items.jsonl}
    idField: id
  processor:
    http:
      url: URL/products
      body: {text: "{{ item.text }}"}
  retry: {maxElapsed: 10m}
"""
ITEMS = '{"id": "a", "text": "one"}\n{"id": "b", "text": "two"}\n'

JSON_LINES = "items.jsonl"
FILE = "file: {path: items.jsonl}"
HTTP = 'http:\n      url: URL/products\n      body: {text: "{{ item.text }}"}'


@dataclass(frozen=True)
class Case:
    """One mistake.

    says: what the message has to have in it. edits: what is replaced in the manifest, by what; or
    `manifest`: all of it. files: data files in place of the good one, None for a folder. options:
    more of the command line. run_only: `validate` has nothing to say of it.
    """

    name: str
    says: tuple[str, ...]
    edits: tuple[tuple[str, str], ...] = ()
    manifest: bytes | None = None
    files: dict[str, bytes | None] = field(default_factory=lambda: {JSON_LINES: ITEMS.encode()})
    options: tuple[str, ...] = ()
    run_only: bool = False

    def text(self, url: str) -> bytes:
        """The manifest, with the provider's address in it."""
        if self.manifest is not None:
            return self.manifest
        text = MANIFEST
        for old, new in self.edits:
            assert text.count(old) == 1, f"{self.name}: {old!r} is not there once"
            text = text.replace(old, new)
        return text.replace("URL/", f"{url}/").encode()


def edit(name: str, old: str, new: str, *says: str, run_only: bool = False) -> Case:
    """A manifest with one thing replaced."""
    return Case(name, says, ((old, new),), run_only=run_only)


def source(name: str, new: str, *says: str) -> Case:
    """Another source."""
    return edit(name, f"{FILE}\n    idField: id", new, *says)


def option_of_source(name: str, new: str, *says: str) -> Case:
    """One more field of the source; it stands in line 8."""
    return edit(name, "idField: id", f"idField: id\n    {new}", *says)


def processor(name: str, new: str, *says: str, run_only: bool = False) -> Case:
    """Another processor."""
    return edit(name, HTTP, new, *says, run_only=run_only)


def option_of_http(name: str, new: str, *says: str, run_only: bool = False) -> Case:
    """One more field of the processor; it stands in line 10."""
    return edit(name, "url: URL", f"{new}\n      url: URL", *says, run_only=run_only)


def spec(name: str, new: str, *says: str) -> Case:
    """Another last line of the spec, line 12."""
    return edit(name, "retry: {maxElapsed: 10m}", new, *says)


def whole(name: str, manifest: str | bytes, *says: str) -> Case:
    """Another manifest altogether."""
    raw = manifest.encode() if isinstance(manifest, str) else manifest
    return Case(name, says, manifest=raw)


def data(name: str, file: str, content: str | bytes | None, *says: str, extra: str = "") -> Case:
    """A bad data file. extra: one more field of the source; it stands in line 7."""
    raw = content.encode() if isinstance(content, str) else content
    new = FILE.replace(JSON_LINES, file) + (f"\n    {extra}" if extra else "")
    return Case(name, says, ((FILE, new),), files={file: raw})


def options(name: str, given: str, *says: str, validated: bool = False) -> Case:
    """A good job with bad options. validated: `validate` has the same option."""
    return Case(name, says, options=tuple(given.split()), run_only=not validated)
