"""Fetches the browser libraries of the dashboard from npm into `dashboard/static/vendor/`.

You need it only to change a version: the files are in the repository, and
`tests/dashboard/test_files.py` compares them with the checksums that this program writes. npm
checks what it downloads against the registry's own checksums.
"""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import tarfile
import tempfile
from pathlib import Path

VENDOR = Path(__file__).parents[1] / "routeq_mqtt" / "dashboard" / "static" / "vendor"

PACKAGES: list[tuple[str, str, str, dict[str, str]]] = [
    (
        "preact",
        "11.2.0",
        "MIT",
        {"dist/preact.mjs": "preact.js", "hooks/dist/hooks.mjs": "hooks.js"},
    ),
    ("htm", "3.1.1", "Apache-2.0", {"dist/htm.mjs": "htm.js"}),
]
"""Name, version, licence, and which file becomes which."""

CHANGES = {"hooks.js": ('from"preact"', 'from"./preact.js"')}
"""Bare names need an import map, which would have to be inline."""


def main() -> None:
    """Fetch the files, adapt them, and write them with their licences and checksums."""
    VENDOR.mkdir(parents=True, exist_ok=True)
    listed, licences = [], []
    with tempfile.TemporaryDirectory() as folder:
        for name, version, licence, files in PACKAGES:
            subprocess.run(
                ["npm", "pack", "--silent", f"{name}@{version}"],  # noqa: S607
                cwd=folder, check=True,
            )  # fmt: skip
            archive = Path(folder) / f"{name}-{version}.tgz"
            digest = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
            with tarfile.open(archive) as packed:
                made = {new: write(read(packed, old), new) for old, new in files.items()}
                licences.append(f"{name} {version} ({licence})\n\n{read(packed, 'LICENSE')}")
            listed.append(
                {
                    "name": name,
                    "version": version,
                    "licence": licence,
                    "package_integrity": f"sha512-{digest}",
                    "files": made,
                }
            )
    (VENDOR / "LICENCES.txt").write_text("\n\n".join(licences))
    (VENDOR / "versions.json").write_text(json.dumps(listed, indent=2) + "\n")


def read(packed: tarfile.TarFile, name: str) -> str:
    """The text of one file of a package."""
    file = packed.extractfile(f"package/{name}")
    if file is None:
        raise SystemExit(f"{name} is not in the package")
    return file.read().decode()


def write(text: str, name: str) -> str:
    """Write a file without the line that names its source map; return its checksum."""
    lines = [line for line in text.splitlines() if not line.startswith("//# sourceMappingURL=")]
    changed = "\n".join(lines) + "\n"
    if name in CHANGES:
        changed = changed.replace(*CHANGES[name])
    (VENDOR / name).write_text(changed)
    return "sha256-" + hashlib.sha256(changed.encode()).hexdigest()


if __name__ == "__main__":
    main()
