"""How an image's part of ours is made, weighed and checked; `build_image.py` and `gen_locks.py` call it.

The modules use Python's standard library only, because the Dockerfile runs them in its bare Python; `pins` alone,
which writes the locks, needs the environment of development.
"""
