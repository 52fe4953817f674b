"""What the type checker has to refuse of resources, as in ``refused.py``. Checked, never run."""

from __future__ import annotations

from pydantic import BaseModel

from flowstate_client import FlowStateClient
from flowstate_server.flows import Context, ResourceView, handler, resource, resources


class Artifact(BaseModel):
    title: str = ""
    revision: int = 0


artifact = resource("artifact", state=Artifact)
files = resources("files/*", state=Artifact)

resource("artifact", state=dict)  # type: ignore[type-var]
resource("artifact", state=Artifact, scope="request")  # type: ignore[call-overload]
resource("artifact", state=Artifact, max_instances=3)  # type: ignore[call-overload]
resources("files/*", state=Artifact, evict="newest")  # type: ignore[call-overload]
ResourceView(["title"])  # type: ignore[call-arg]


@handler(resources=[artifact, files])
async def write(value: None, ctx: Context) -> None:
    it = ctx.resource(artifact)
    repr(it.state.titel)  # type: ignore[attr-defined]
    it.state = Artifact()  # type: ignore[misc]
    await it.patch_state(titel="Plan")  # type: ignore[flowstate-field]
    await it.inc_state(title=1)  # type: ignore[flowstate-field]
    await it.at(1).patch_state(revision="a")  # type: ignore[arg-type]  # of the plugin alone
    await it.write(5)  # type: ignore[arg-type]
    await it.create("a")  # type: ignore[attr-defined]
    async with it.batch() as batch:
        batch.patch_state(titel="Plan")  # type: ignore[flowstate-field]
    them = ctx.resource(files)
    await them.patch_state(title="Plan")  # type: ignore[attr-defined]
    ctx.resource("artifact")  # type: ignore[call-overload]


@handler(resources=["artifact"])  # type: ignore[list-item]
async def by_name(value: None, ctx: Context) -> None: ...


async def outside(client: FlowStateClient) -> None:
    it = client.resources.session("s").named("artifact", model=Artifact)
    await it.patch_state(titel="Plan")  # type: ignore[flowstate-field]
    await it.upload(5)  # type: ignore[arg-type]
