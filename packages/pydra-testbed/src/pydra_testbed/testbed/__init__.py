"""A testbed that stays: started in the background, asked how it is, stopped. `pydra testbed up|status|down` call it.

There is one for each user and runtime directory. `place` is where it leaves word of itself, `serving` is its own
process, `background` starts and stops that process, `status` asks it.
"""
