"""The subcommands. Each module imports what it needs inside its functions, so that ``spark --help`` stays quick."""
