"""Write bytecode for the files named on standard input; a program of its own, because of the hash seed.

Called by `bytecode.py`. A line holds, separated by tabs, the source, where the bytecode goes, and the path that
tracebacks show. The order of a set's items in bytecode depends on the seed of hashes, which a process gets at its
start. Bytecode is never compared with its source again: nobody edits an image.

Exit codes: 0 fine, 1 a file is not Python.
"""

import py_compile
import sys

for line in sys.stdin.read().splitlines():
    source, target, shown = line.split("\t")
    try:
        mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
        py_compile.compile(source, target, shown, doraise=True, invalidation_mode=mode)
    except py_compile.PyCompileError as error:
        sys.exit(f"{shown}: {error.msg}")
