"""From what the user has (rows in a file, a list in the manifest) to a stream of items.

Read in this order: files (which files, which format) → opening (bytes, unpacked) → one module a
format (rows) → identity (the ID) → items (the items, what `plan` calls).
"""
