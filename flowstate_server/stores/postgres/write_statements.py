"""The statements that write a group's changes, all of them parts of one."""

from __future__ import annotations

from flowstate_server.stores.postgres.statements import RowsWrite, WriteTexts


def _insert(table: str, columns: str, *, ordered: bool = False) -> RowsWrite:
    names = ", ".join(column.split()[0] for column in columns.split(", "))
    after = " {after} RETURNING 1" if ordered else ""
    text = f"INSERT INTO flowstate.{table} ({names}) SELECT {names} FROM {{rows}}{after}"
    return RowsWrite(f"new_{table}", text, columns)


def _update(table: str, key: str, columns: str) -> RowsWrite:
    names = [column.split()[0] for column in columns.split(", ")]
    values = ", ".join(f"{name} = new.{name}" for name in names if name != key)
    text = f"UPDATE flowstate.{table} old SET {values} FROM {{rows}} WHERE old.{key} = new.{key}"
    return RowsWrite(f"changed_{table}", text, columns)


_BINDING = (
    "log bigint, replaced boolean, tenant text, session_id text, log_id text, ephemeral boolean, flow_kind text,"
    " user_id text, org_id text, create_time bigint, "
)
_METADATA = (
    "update_time bigint, delete_time bigint, version bigint, title bytea, description bytea, tags bytea,"
    " metadata bytea"
)
_SESSION_HEAD = "log bigint, sequence bigint, turns bigint, activity_time bigint"
_REQUEST_HEAD = (
    "request bigint, status smallint, process text, cancel_reason bytea, sequence bigint, turn bigint,"
    " end_time bigint, unswept boolean"
)
_STATE = (
    "version bigint, incarnation text, present boolean, create_time bigint, update_time bigint, text bytea"
)

WRITES = (
    # Those that may meet another process's, in the order in which all processes go about them, each by key.
    RowsWrite(
        "replaced_sessions",
        "UPDATE flowstate.sessions old SET replaced = true FROM {rows} WHERE old.tenant = new.tenant"
        " AND old.session_id = new.session_id AND NOT old.replaced {after} RETURNING 1",
        "tenant text, session_id text",
    ),
    _insert("sessions", _BINDING + _METADATA, ordered=True),
    _insert(
        "requests",
        "request bigint, tenant text, request_id text, log_id text, user_id text, org_id text, fingerprint bytea,"
        " flow_kind text, action text, create_time bigint, scopes bytea, input bytea",
        ordered=True,
    ),
    _insert("states", f"kind smallint, tenant text, id text, flow_kind text, {_STATE}", ordered=True),
    _insert("processes", "process text, lease bigint, renew_time bigint, fenced boolean", ordered=True),
    _insert(
        "idempotency_keys",
        "tenant text, principal text, method text, key text, fingerprint bytea, reply bytea, expire_time bigint",
        ordered=True,
    ),
    # Those of rows that are locked, or that only this group knows of.
    _update("sessions", "log", f"log bigint, {_METADATA}"),
    _insert("session_heads", _SESSION_HEAD),
    _update("session_heads", "log", _SESSION_HEAD),
    _insert("request_heads", f"{_REQUEST_HEAD}, log bigint"),
    RowsWrite(
        "changed_request_heads",
        "UPDATE flowstate.request_heads old SET status = new.status, process = new.process,"
        " cancel_reason = new.cancel_reason, sequence = new.sequence, turn = new.turn, end_time = new.end_time,"
        " unswept = old.unswept OR new.unswept FROM {rows} WHERE old.request = new.request",
        _REQUEST_HEAD,
    ),
    _insert("outcomes", "request bigint, output bytea, failure bytea"),
    _update("states", "state", f"state bigint, {_STATE}"),
    RowsWrite(
        "removed_states",
        "DELETE FROM flowstate.states old USING {rows} WHERE old.state = new.state",
        "state bigint",
    ),
    _insert(
        "events",
        "log bigint, session_sequence bigint, request bigint, sequence bigint, time bigint, type smallint,"
        " audiences smallint, transient boolean, block_path bytea, payload bytea",
    ),
    _insert(
        "items",
        "log bigint, session_sequence bigint, request bigint, time bigint, item_index bigint, kind smallint,"
        " audiences smallint, item_id bytea, role bytea, name bytea, content bytea",
    ),
    _update("processes", "process", "process text, lease bigint, renew_time bigint, fenced boolean"),
    _update(
        "idempotency_keys",
        "number",
        "number bigint, fingerprint bytea, reply bytea, expire_time bigint",
    ),
    RowsWrite(
        "new_commits",
        "INSERT INTO flowstate.commits (token, time, topics) SELECT token, time, topics FROM {rows} RETURNING id",
        "token bigint, time bigint, topics bytea",
    ),
)

TEXTS = WriteTexts(WRITES, "SELECT (SELECT id FROM new_commits), pg_current_xact_id()::text::bigint")
PLACES = {write.name: place for place, write in enumerate(WRITES)}
WIDTHS = [write.columns.count(",") + 1 for write in WRITES]
