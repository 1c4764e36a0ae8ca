"""The bare partner of `shield.py`: sends every frame back. `shield_echo.py IN_FD OUT_FD`."""

from __future__ import annotations

import os
import sys

_in, _out = int(sys.argv[1]), int(sys.argv[2])
while data := os.read(_in, 1 << 16):
    os.write(_out, data)
