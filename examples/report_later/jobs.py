"""A report that is generated an hour later by a plain function, which runs in a thread."""

from __future__ import annotations

from routeq_mqtt import Job


class MakeReport(Job):
    queue = "reports"
    timeout = 600

    customer: int

    def handle(self) -> None:
        print(f"report for customer {self.customer}", flush=True)
