"""The command line: one small module for each group of commands, and what becomes of errors."""
