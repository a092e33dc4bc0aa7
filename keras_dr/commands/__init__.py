"""The commands of the command line, which `app` assembles."""
