"""The API reference, read from source text: nothing is imported, so every Python writes the same pages."""
