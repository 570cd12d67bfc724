"""What runs in the cloud for a site."""

from routeq_mqtt import Job


class TakeOrder(Job):
    """An order placed at a site."""

    site: str
    number: int

    async def handle(self) -> None:
        print(f"order {self.number} of {self.site}")
