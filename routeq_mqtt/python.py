"""How this library starts another Python that runs its own code: with the same `sys.path`.

The path travels as an argument, not as PYTHONPATH: what that process starts in turn may be another
Python, which must not find our modules in place of its own.
"""

from __future__ import annotations

import json
import os
import sys

_BOOT = (
    "import json,sys;"
    "sys.path[:]=json.loads(sys.argv.pop(1));"
    "import runpy;"
    "runpy.run_module(sys.argv.pop(1),run_name='__main__',alter_sys=True)"
)


def python(module: str, *arguments: str) -> list[str]:
    """The command that runs a module of ours as a program.

    Args:
        module: as in ``python -m``; found also where this program is a zip file.
        arguments: its own.
    """
    path = [os.path.abspath(entry or ".") for entry in sys.path]  # noqa: PTH100 - also a zip file
    return [sys.executable, "-c", _BOOT, json.dumps(path), module, *arguments]
