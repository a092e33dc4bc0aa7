"""Writes a bundle as a static site that grades photographs in a browser. It needs no network and no Node.

The page's scripts and the runtime are built beforehand (`make web`) and ship with the package.
"""

import gzip
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from edge_demo.bundle import Bundle, ModelFile, verified
from keras_dr.core.errors import KerasDrError
from keras_dr.core.folders import growing_folder, sha256_of, write_bytes, write_json, write_manifest
from keras_dr.core.outputs import check_apart

VARIANTS = ("float32", "int8", "float16", "dynamic")  # that the page's runtime can run
_UNLISTED = ("site.json", "files.js", "sw.js")  # they hold the list of files, or are never kept for offline use


def assets_folder() -> Path:
    """Return the folder of the page's built files: `web/dist` of a clone, or `edge_demo/web` of an installed package.

    Raises:
        KerasDrError: the files are not there.
    """
    here = Path(__file__).resolve().parent
    for folder in (here / "web", here.parent / "web" / "dist"):
        if (folder / "worker.js").is_file():
            return folder
    message = f"The files of the web page are missing: neither {here / 'web'} nor {here.parent / 'web/dist'} has them."
    raise KerasDrError(message, "Install the package again, or build them in a clone: make web")


def export_web(
    bundle: Bundle | Path | str, site: Path | str, variants: Sequence[str] | None = None, overwrite: bool = False
) -> Path:
    """Write a static site that grades photographs in a browser with the models of a bundle.

    Args:
        bundle: a Bundle, its folder, or the name of a shipped grader such as "idrid-lite".
        site: the folder to write.
        variants: names of the models to include; by default float32 and int8, as far as the bundle has them and they
            passed the comparison at export.
        overwrite: whether an existing site is replaced.

    Returns:
        The folder. Any static server can serve it over HTTPS; `python -m edge_demo serve SITE` does so on this machine.

    Raises:
        KerasDrError: the bundle cannot be read, has been altered, or has a variant that a browser cannot run; or the
            folder exists.

    Example:
        >>> dr.export_web("idrid-lite", "site")
        PosixPath('site')
    """
    source = Bundle.load(bundle)
    target = Path(site)
    check_apart(target, [source.folder])
    names = _chosen(source, variants)
    models = {name: source.models[name] for name in names}
    assets = assets_folder()
    plan = {"bundle": sha256_of(source.folder / "bundle.json"), "variants": names}
    with growing_folder(target, "site", plan, overwrite) as folder:
        _copy_assets(assets, folder)
        _write_bundle(source, models, folder / "bundle")
        files = {
            file.relative_to(folder).as_posix(): sha256_of(file)
            for file in sorted(folder.rglob("*"))
            if file.is_file() and file.name not in _UNLISTED
        }
        version = hashlib.sha256(json.dumps([files, sha256_of(folder / "sw.js")]).encode()).hexdigest()[:16]
        content = json.dumps({"version": version, "files": files}, indent=1)
        write_bytes(folder / "files.js", f"self.SITE = {content};\n".encode())
        write_manifest(folder, "site", version=version, files=files)
    return target


def _chosen(bundle: Bundle, variants: Sequence[str] | None) -> list[str]:
    """Return the variants to include, after a check."""
    if variants is None:
        found: list[str] = [name for name in ("float32", "int8") if name in bundle.models and name not in bundle.failed]
        if found:
            return found
        message = f"The bundle {bundle.folder} has neither float32 nor int8 as a model that passed its comparison."
        raise KerasDrError(message, f"Export one of them, or name a variant: {', '.join(bundle.models)}.")
    for name in variants:
        if name not in bundle.models or name not in VARIANTS:
            possible = [known for known in VARIANTS if known in bundle.models]
            message = f"The variant {name!r} is not one that the bundle has and a browser can run: {possible}."
            raise KerasDrError(message, "Choose one of these.")
    return list(dict.fromkeys(variants))


def _copy_assets(assets: Path, folder: Path) -> None:
    """Copy the page's files; the runtime is stored compressed and written as it was."""
    for file in sorted(assets.rglob("*")):
        if not file.is_file() or file.suffix in (".py", ".pyc"):
            continue
        place = folder / file.relative_to(assets)
        place.parent.mkdir(parents=True, exist_ok=True)
        content = file.read_bytes()
        if file.suffix == ".gz":
            place = place.with_suffix("")
            content = gzip.decompress(content)
        write_bytes(place, content)


def _write_bundle(bundle: Bundle, models: dict[str, ModelFile], folder: Path) -> None:
    """Write the manifest with the chosen models, the models themselves, the operating points in words, and the card."""
    folder.mkdir(exist_ok=True)
    manifest = json.loads((bundle.folder / "bundle.json").read_text("utf-8"))
    manifest["models"] = {name: manifest["models"][name] for name in models}
    write_json(folder / "bundle.json", manifest)
    words = {name: point.in_words(bundle.condition) for name, point in bundle.points.items()}
    write_json(folder / "points.json", words if bundle.referable else {})
    for model in models.values():
        write_bytes(folder / model.file, verified(bundle.folder, model).read_bytes())
    card = bundle.folder / "MODEL_CARD.md"
    if card.is_file():
        write_bytes(folder / card.name, card.read_bytes())
