"""FastAPI, Flask and Django views: what they dispatch is checked like everything else."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Annotated, assert_type

from fastapi import Depends, FastAPI
from flask import Flask

from routeq_mqtt import Bus, JobHandle, Scheduler, SyncBus, Worker, default_bus, dispatch
from routeq_mqtt.django import dispatch_on_commit, sync_bus
from tests.api.programs.functions import send_email
from tests.api.programs.jobs import SendEmail


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
    async with default_bus() as bus, Scheduler(bus, db="x.db"), Worker(bus, queues=["mail"]):
        yield


async def get_bus() -> Bus:
    return default_bus()


api = FastAPI(lifespan=lifespan)
web = Flask(__name__)


@api.post("/mails")
async def post(to: str, bus: Annotated[Bus, Depends(get_bus)]) -> dict[str, str]:
    handle = await bus.dispatch(SendEmail(to=to))
    assert_type(handle, JobHandle[int])
    return {"id": handle.id}


@web.post("/mails/<to>")
def post_plain(to: str) -> dict[str, int]:
    return {"length": sync_bus().dispatch(send_email.job(to)).result(5)}


def django_view(bus: SyncBus) -> None:
    assert_type(sync_bus(), SyncBus)
    dispatch_on_commit(SendEmail(to="a"), using="other", delay=3)
    dispatch_on_commit(send_email.job("a"), queue="slow", confirm="stored")


async def wrong(bus: Bus) -> None:
    dispatch_on_commit(SendEmail(to="a"), dely=3)  # mypy: call-arg; pyright: reportCallIssue
    dispatch_on_commit(SendEmail(to="a"), delay="3")  # mypy: arg-type; pyright: reportArgumentType
    dispatch_on_commit(send_email.job(3))  # mypy: arg-type; pyright: reportArgumentType
    dispatch_on_commit("SendEmail")  # mypy: arg-type; pyright: reportArgumentType
    await dispatch(send_email("a"))  # mypy: call-overload; pyright: reportCallIssue, reportArgumentType
    await sync_bus().dispatch(SendEmail(to="a"))  # mypy: misc; pyright: reportGeneralTypeIssues
    Worker(bus, queues="mail", concurency=3)  # mypy: call-arg; pyright: reportCallIssue
    Scheduler(bus, db=3)  # mypy: arg-type; pyright: reportArgumentType
