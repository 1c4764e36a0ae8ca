"""Waiting for what a driver publishes."""

from __future__ import annotations


async def until(world, wanted):
    """Watch the slices until `wanted(slices by name)` holds; returns them."""
    slices = await world.slices()
    if wanted(slices):
        return slices
    async for _ in world.api.watch("resourceslices"):
        slices = await world.slices()
        if wanted(slices):
            return slices
    raise AssertionError("the watch ended")


async def published(world, driver):
    """Register the driver and wait for its first slice."""
    await driver.registered()
    return await until(world, len)
