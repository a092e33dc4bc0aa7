"""`python cli.py COMMAND`: the command line in a clone; see keras_dr/commands/app.py."""

from keras_dr.commands.app import app, main

__all__ = ["app", "main"]

if __name__ == "__main__":
    main()
