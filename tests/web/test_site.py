"""A bundle becomes a static site, without Node and without a network, and is served with the right headers."""

import hashlib
import json
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from web_page import write_small_bundle

import keras_dr as dr
from edge_demo import __main__ as command
from edge_demo import site as site_module
from edge_demo.serve import make_server
from keras_dr.core.errors import KerasDrError


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return write_small_bundle(tmp_path / "bundle")


@pytest.fixture
def served(bundle: Path, tmp_path: Path) -> Iterator[str]:
    with make_server(dr.export_web(bundle, tmp_path / "site"), 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://localhost:{server.server_address[1]}/"
        server.shutdown()


def test_every_file_is_listed_with_its_hash(bundle: Path, tmp_path: Path) -> None:
    site = dr.export_web(bundle, tmp_path / "site")
    listed = json.loads((site / "site.json").read_text())["files"]
    written = {file.relative_to(site).as_posix() for file in site.rglob("*") if file.is_file()}
    assert written == {*listed, "site.json", "files.js", "sw.js"}
    for name, digest in listed.items():
        assert hashlib.sha256((site / name).read_bytes()).hexdigest() == digest
    assert json.loads((site / "files.js").read_text()[len("self.SITE = ") : -2])["files"] == listed


def test_the_runtime_is_written_as_the_npm_package_has_it(bundle: Path, tmp_path: Path) -> None:
    """The hashes are those in web/build.mjs, which compares them with the package."""
    site = dr.export_web(bundle, tmp_path / "site")
    build = (Path(__file__).parents[2] / "web" / "build.mjs").read_text()
    for name in ("litert_wasm_internal.wasm", "litert_wasm_compat_internal.wasm", "litert_wasm_internal.js"):
        assert hashlib.sha256((site / "litert" / name).read_bytes()).hexdigest() in build


def test_a_changed_file_makes_another_version(bundle: Path, tmp_path: Path) -> None:
    versions = []
    for text in ("one", "two", "two"):
        (bundle / "MODEL_CARD.md").write_text(text)
        site = dr.export_web(bundle, tmp_path / "site", overwrite=True)
        versions.append(json.loads((site / "site.json").read_text())["version"])
    assert versions[0] != versions[1] == versions[2]


def test_only_the_chosen_models_are_written(bundle: Path, tmp_path: Path) -> None:
    site = dr.export_web(bundle, tmp_path / "site", variants=["int8"])
    assert [file.name for file in (site / "bundle").glob("*.tflite")] == ["int8.tflite"]
    assert list(json.loads((site / "bundle" / "bundle.json").read_text())["models"]) == ["int8"]


def test_what_cannot_be_written_is_refused_and_leaves_nothing(bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(KerasDrError, match="'onnx' is not one"):
        dr.export_web(bundle, tmp_path / "site", variants=["onnx"])
    (bundle / "int8.tflite").write_bytes(b"altered")
    with pytest.raises(KerasDrError, match="SHA-256"):
        dr.export_web(bundle, tmp_path / "site")
    assert not (tmp_path / "site").exists()


def test_another_folder_is_never_overwritten(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "photographs").mkdir()
    (tmp_path / "photographs" / "eye.jpg").write_bytes(b"")
    with pytest.raises(KerasDrError, match="not an older site"):
        dr.export_web(bundle, tmp_path / "photographs", overwrite=True)
    with pytest.raises(KerasDrError):
        dr.export_web(bundle, bundle, overwrite=True)


def test_missing_assets_are_reported(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site_module, "__file__", str(tmp_path / "package" / "site.py"))
    with pytest.raises(KerasDrError, match="make web"):
        dr.export_web(bundle, tmp_path / "site")


def test_headers(served: str) -> None:
    with urlopen(f"{served}litert/litert_wasm_internal.wasm") as answer:
        assert answer.headers["Content-Type"] == "application/wasm"
        assert answer.headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert answer.headers["Cross-Origin-Embedder-Policy"] == "require-corp"
        assert "connect-src 'self'" in answer.headers["Content-Security-Policy"]


def test_folders_are_not_listed_and_nothing_outside_is_served(served: str) -> None:
    for place in ("bundle/", "../../../etc/passwd", "%2e%2e/%2e%2e/%2e%2e/etc/passwd", "..%2fbundle%2fnothing"):
        with pytest.raises(HTTPError, match="404"):
            urlopen(served + place)


def test_a_name_that_no_file_can_have_is_not_found(served: str, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("%00", "a%00/", "%ED%A0%80.js", "a" * 5000):
        for method in ("GET", "HEAD"):
            with pytest.raises(HTTPError, match="404"):
                urlopen(Request(served + name, method=method))
    assert not capsys.readouterr().err


def test_a_browser_that_leaves_while_a_file_loads_prints_nothing(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site = dr.export_web(bundle, tmp_path / "site")
    (site / "large.wasm").write_bytes(bytes(2**24))
    with make_server(site, 0) as server:
        server.daemon_threads = False  # so that the end of the block waits for the thread of the request
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with socket.create_connection(server.server_address[:2]) as browser:
            browser.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # reset, not ended
            browser.sendall(b"GET /large.wasm HTTP/1.0\r\n\r\n")
            assert browser.recv(8) == b"HTTP/1.0"
        server.shutdown()
    assert not capsys.readouterr().err


def test_serve_refuses_another_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["serve", str(tmp_path)]) == 1
    assert "not a site folder" in capsys.readouterr().err
