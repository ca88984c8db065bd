"""The command line: each tool parses arguments, calls a package and prints."""
