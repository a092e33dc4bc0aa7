"""The graders that come with the package: bundles in the folder `models/`, which commands find by their names."""

from pathlib import Path

_MODELS = Path(__file__).resolve().parent / "models"


def shipped_graders() -> list[str]:
    """Return the names of the graders that come with the package."""
    return sorted(manifest.parent.name for manifest in _MODELS.glob("*/bundle.json"))


def find_bundle(source: Path | str) -> Path:
    """Return the folder of a bundle, which may be given as the name of a shipped grader.

    Args:
        source: a folder; or, as text, the name of a shipped grader. An existing file or folder of that name comes
            first. A Path, and text with a folder in it such as "./idrid-lite", is never taken for a name.

    Example:
        >>> find_bundle("bundles/idrid")
        PosixPath('bundles/idrid')
        >>> find_bundle("idrid-lite").parent.name
        'models'
    """
    if isinstance(source, str) and source in shipped_graders() and not Path(source).exists():
        return _MODELS / source
    return Path(source)


def is_shipped(folder: Path) -> bool:
    """Whether a folder is that of a shipped grader, into which no command may write."""
    return folder.resolve().parent == _MODELS
