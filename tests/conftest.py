from driver_world import world
from hypothesis import settings

__all__ = ["world"]

settings.register_profile("long")
"""For hours of searching: tests that look at the profile's name run thousands of examples then, anew each time."""
