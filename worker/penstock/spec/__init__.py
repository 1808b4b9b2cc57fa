"""The BatchJob manifest: model, loading, mistakes, templates, fingerprints. No client in here."""
