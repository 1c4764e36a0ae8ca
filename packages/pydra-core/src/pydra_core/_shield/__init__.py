"""Keeps a vendor's library in a process of its own, so that its crash is one call's error."""
