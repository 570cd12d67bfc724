"""A report that is made an hour later, in a plain function: it runs in a thread."""

from __future__ import annotations

from routeq_mqtt import Job


class MakeReport(Job):
    queue = "reports"
    timeout = 600

    customer: int

    def handle(self) -> None:
        print(f"report for customer {self.customer}", flush=True)
