"""The rungs of the ladder: each makes what a tenant has for itself, and holds everybody to the limits."""
