"""``python -m tests.cli.without_rich``: routeq-mqtt where rich is not installed."""

from __future__ import annotations

import sys

from tests.cluster.process import ENTRY

ENV = {ENTRY: "tests.cli.without_rich"}
"""For a bed whose commands run like this."""

if __name__ == "__main__":
    sys.modules["rich"] = None  # type: ignore[assignment]  # as if it were not there
    from routeq_mqtt.cli import main

    main()
