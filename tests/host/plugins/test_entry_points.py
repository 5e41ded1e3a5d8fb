"""Entry points are read from their files as the library would read them, and through it where they are no files."""

from __future__ import annotations

import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import importlib_metadata
import pytest

from trunnion.plugins import entry_points as module
from trunnion.plugins.entry_points import EntryPoint, entry_points

TEXT = """
# a comment
[acme.plugins]
one = acme.one
  two=acme.two : Thing.made [extra]

[acme.pluginsmore]
three = acme.three
[console_scripts]
acme = acme:main
"""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def distribution(site: Path, folder: str, text: str | bytes, metadata: str | None = None) -> Path:
    info = site / folder
    info.mkdir()
    (info / "entry_points.txt").write_bytes(text.encode() if isinstance(text, str) else text)
    if metadata is not None:
        (info / ("PKG-INFO" if folder.endswith("egg-info") else "METADATA")).write_text(metadata)
    return info


def found(prefix: str) -> list[EntryPoint]:
    return [entry for entries in entry_points(prefix) for entry in entries]


def by_library(prefix: str) -> list[EntryPoint]:
    return [
        EntryPoint(str(dist.metadata["Name"]), str(dist.version), entry.group, entry.name, entry.value)
        for dist in importlib_metadata.distributions()
        for entry in dist.entry_points
        if entry.group.startswith(prefix)
    ]


def test_what_is_installed_is_read_as_the_library_reads_it(site: Path) -> None:
    distribution(site, "acme-1.0.dist-info", TEXT, "Metadata-Version: 2.1\nName: Acme\nVersion: 1.0\n\nVersion: 9\n")
    distribution(site, "acme_old.egg-info", TEXT, "Name: acme-old\nVersion: 0.1\n")
    assert len(found("acme.")) == 6
    assert found("") == by_library("")


@pytest.mark.parametrize("text", [b"[acme.plugins]\none = \xff\n", "[acme.plugins]\none\n"])
def test_one_distribution_that_cannot_be_read_does_not_hide_others(site: Path, text: str | bytes) -> None:
    distribution(site, "acme_bad-1.0.dist-info", text)
    distribution(site, "acme_good-1.0.dist-info", "[acme.plugins]\ngood = acme", "Name: good\nVersion: 1\n")
    assert found("acme.") == [EntryPoint("good", "1", "acme.plugins", "good", "acme")]


def test_without_metadata_the_folder_says_name_and_version(site: Path) -> None:
    distribution(site, "acme_bare-2.1.dist-info", "[acme.plugins]\nbare = acme")
    assert [(e.distribution, e.version) for e in found("acme.")] == [("acme_bare", "2.1")]


def test_what_lies_in_an_archive_is_found_through_the_library(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = site / "packed.whl"
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr("acme-3.0.dist-info/METADATA", "Name: acme\nVersion: 3.0\n")
        packed.writestr("acme-3.0.dist-info/entry_points.txt", "[acme.plugins]\nin_archive = acme")
    assert found("acme.") == []
    monkeypatch.syspath_prepend(archive)
    assert [e.name for e in found("acme.")] == ["in_archive"]


def test_a_finder_of_somebody_else_is_asked_through_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    class Given(importlib_metadata.Distribution):
        def read_text(self, filename: str) -> str | None:
            texts = {"METADATA": "Name: given\nVersion: 4\n", "entry_points.txt": "[acme.plugins]\ngiven = acme"}
            return texts.get(filename)

        def locate_file(self, path: object) -> Path:
            raise FileNotFoundError(path)

    class Finder(importlib_metadata.DistributionFinder):
        def find_distributions(self, context: object = None) -> Iterator[importlib_metadata.Distribution]:
            yield Given()

        def find_spec(self, *_: object) -> None:
            return None

    assert found("acme.") == []
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, Finder()])
    assert found("acme.") == [EntryPoint("given", "4", "acme.plugins", "given", "acme")]


@pytest.mark.parametrize(
    ("value", "loaded"),
    [("sys", sys), ("os.path:join", __import__("os").path.join), ("pathlib : Path.cwd [extra, more]", Path.cwd)],
)
def test_a_value_is_loaded(value: str, loaded: object) -> None:
    assert EntryPoint("", "", "", "", value).load() == loaded


@pytest.mark.parametrize("value", ["no-name", "", "a:b:c", "sys:path extra"])
def test_a_value_that_refers_to_nothing_is_an_error(value: str) -> None:
    with pytest.raises(ValueError, match="no reference to an object"):
        EntryPoint("", "", "", "", value).load()


def test_plain_folders_do_not_need_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_prefix: str) -> None:
        raise AssertionError("the library was asked")

    monkeypatch.setattr(module, "_through_library", refuse)
    assert isinstance(found("trunnion."), list)
