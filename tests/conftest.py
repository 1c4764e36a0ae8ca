from driver_world import world

__all__ = ["world"]
