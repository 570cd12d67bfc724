"""Our own benchmark: ``python -m benchmarks``, or ``make bench``."""
