"""Builds the web page's test programs and runs them in Node."""

import json
import shutil
import subprocess
import threading
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_demo.serve import make_server
from keras_dr.core.preprocessing import Preprocessing

WEB = Path(__file__).resolve().parents[2] / "web"
EXAMPLES = WEB.parent / "edge_demo" / "examples"


@lru_cache(maxsize=1)
def build_programs() -> Path:
    """Return the folder of the test programs after building them; packages of npm are installed if they are missing."""
    if shutil.which("node") is None:
        pytest.fail("The tests of the web page need Node 20 or later: install nodejs and npm.")
    if not (WEB / "node_modules" / "esbuild").is_dir():
        run(["npm", "ci", "--no-audit", "--no-fund"], WEB)
    run(["node", "build.mjs", "tests"], WEB)
    return WEB / "build"


def run(command: list[str], folder: Path | None = None, seconds: int = 600) -> str:
    """Run a program and return what it prints; a failure shows its messages."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=seconds)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr[-3000:]}{done.stdout[-1000:]}"
    return done.stdout


def prepare_in_node(
    photographs: Mapping[str, tuple[bytes, Preprocessing]], folder: Path
) -> dict[str, tuple[dict[str, Any], np.ndarray | None, np.ndarray | None]]:
    """Prepare photographs by the page's code.

    Returns:
        name -> its answer, the prepared image uint8 RGB (S, S, 3) and the decoded one; if the answer is an error, None
        for both.
    """
    folder.mkdir()
    jobs = []
    for number, (data, spec) in enumerate(photographs.values()):
        file = folder / f"{number}.photograph"
        file.write_bytes(data)
        jobs.append({"file": str(file), "spec": spec.to_dict()})
    (folder / "jobs.json").write_text(json.dumps(jobs))
    program = build_programs() / "prepare.mjs"
    run(["node", str(program), str(folder / "jobs.json"), str(folder), str(WEB / "dist" / "jpeg.wasm")])
    answers = json.loads((folder / "answers.json").read_text())
    results = {}
    for number, (name, (_, spec)) in enumerate(photographs.items()):
        answer = answers[number]
        image = None
        decoded = None
        if "error" not in answer:
            image = np.fromfile(folder / f"{number}.rgb", np.uint8).reshape(spec.size, spec.size, 3)
            decoded = np.fromfile(folder / f"{number}.decoded", np.uint8).reshape(*answer["decoded"], 3)
        results[name] = (answer, image, decoded)
    return results


def write_small_bundle(folder: Path) -> Path:
    """Write a bundle whose models are no models: enough for a site that is not opened."""
    from edge_fixtures import write_bundle

    return write_bundle(folder, {"float32": b"not a model", "int8": b"no model either"})


def chromium() -> str:
    """Return the path of Chromium."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        pytest.fail("The tests of the web page need Chromium: apt-get install chromium")
    return found


def use_page(site: Path, folder: Path, steps: list[list[Any]], **settings: Any) -> dict[str, Any]:
    """Serve a site, take steps on its page in Chromium (see `web/test/browser.mjs`), and return what happened."""
    build_programs()
    with make_server(site, 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://localhost:{server.server_address[1]}/"
        about = {"address": address, "chromium": chromium(), "steps": steps, **settings}
        (folder / "settings.json").write_text(json.dumps(about))
        program = WEB / "test" / "browser.mjs"
        run(["node", str(program), str(folder / "settings.json"), str(folder / "result.json")])
        server.shutdown()
    result: dict[str, Any] = json.loads((folder / "result.json").read_text())
    assert "error" not in result, result["error"]
    elsewhere = [url for url in result["requests"] if not url.startswith((address, f"blob:{address}"))]
    assert not elsewhere, f"requests leave the page's origin: {elsewhere}"
    return result
