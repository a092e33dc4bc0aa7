"""`keras-dr`, also `python -m keras_dr`: the workstation's command line, or how to install what it needs."""

import sys


def main() -> None:
    """Run the command line; without the packages of the workstation, say how to install them and exit with 1."""
    try:
        import typer  # noqa: F401
    except ImportError:
        sys.exit(
            "Error: keras-dr needs the packages of a workstation: pip install 'keras_dr[train]', or '.[train]' in a "
            "clone. To grade photographs on a device, keras-dr-edge needs nothing more."
        )
    from keras_dr.commands.app import main as run

    run()


if __name__ == "__main__":
    main()
