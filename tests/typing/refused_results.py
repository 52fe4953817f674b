"""What the type checker has to refuse of what the client reads as a type. Checked, never run."""

from __future__ import annotations

from pydantic import BaseModel

from flowstate_client import (
    EventsWithView,
    FlowStateClient,
    ResourceHandle,
    ResourceRecord,
    RunHandle,
    Snapshot,
    SnapshotWatch,
    StateRecord,
)


class Answer(BaseModel):
    text: str


class Question(BaseModel):
    text: str


def length(text: str) -> int:
    return len(text)


async def takes_results_for_something_else(run: RunHandle, client: FlowStateClient) -> object:
    word: str = await run.result(int)  # type: ignore[assignment]
    words: list[str] = await run.result(list[int])  # type: ignore[assignment]
    question: Question = await client.flows.call("chat", "say", output=Answer)  # type: ignore[assignment]
    length(await run.result(int))  # type: ignore[arg-type]
    answer: Answer = await run.result(Answer | None)  # type: ignore[assignment]
    return word, words, question, answer


async def takes_views_for_something_else(
    run: RunHandle, client: FlowStateClient, resource: ResourceHandle[Answer]
) -> object:
    view: Snapshot[Question] = await client.sessions.snapshot("s", model=Answer)  # type: ignore[assignment]
    views: SnapshotWatch[Question] = client.sessions.watch("s", model=Answer)  # type: ignore[assignment]
    events: EventsWithView[Question] = run.events().with_view(Answer)  # type: ignore[assignment]
    record: StateRecord[Question] = await client.state.user("u").get(model=Answer)  # type: ignore[assignment]
    plan: ResourceRecord[Question] = await resource.get(model=Answer)  # type: ignore[assignment]
    return view, views, events, record, plan
