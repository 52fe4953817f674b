"""What the type checker has to refuse of the synchronous client. Checked, never run."""

from __future__ import annotations

from pydantic import BaseModel

from flowstate_client import Snapshot
from flowstate_client.sync import FlowStateClient, RunHandle


class Answer(BaseModel):
    text: str = ""
    count: int = 0


class Question(BaseModel):
    text: str


def takes_results_for_something_else(run: RunHandle, client: FlowStateClient) -> object:
    word: str = run.result(int)  # type: ignore[assignment]
    answer: Answer = run.result(Answer | None)  # type: ignore[assignment]
    question: Question = client.flows.call("chat", "say", output=Answer)  # type: ignore[assignment]
    view: Snapshot[Question] = client.sessions.snapshot("s", model=Answer)  # type: ignore[assignment]
    return word, answer, question, view


async def takes_it_for_the_asynchronous_one(run: RunHandle, client: FlowStateClient) -> None:
    await run.get()  # type: ignore[misc]
    async for _ in run.events():  # type: ignore[attr-defined]
        pass
    async with client.state.batch():  # type: ignore[attr-defined]
        pass


def writes_what_is_not_there(client: FlowStateClient) -> None:
    state = client.state.session("s", model=Answer)
    state.patch_state(txet="a")  # type: ignore[flowstate-field]  # of the plugin alone
    with state.batch() as batch:
        batch.inc_state(text=1)  # type: ignore[flowstate-field]  # of the plugin alone
    client.resources.session("s")["r"].upload(5)  # type: ignore[arg-type]
