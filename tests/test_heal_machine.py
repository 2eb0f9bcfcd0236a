"""Faults, crashes, failing systems and other people, in any order: what must hold after each step.

The invariants are those of the study of reliability: I1 an undo is written down before its fault;
I2 nothing of others is written to; I4 nothing that others changed is overwritten; I5 an undo that
reports success has left nothing; I6 what was acknowledged in the log stays; I8 every step ends in
time. I3 (the lock) and I7 (secrets) have tests of their own. HYPOTHESIS_PROFILE=long looks longer.
"""

import os
import tempfile
from contextlib import ExitStack, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from holdfast import heal, marks
from holdfast.clock import SECOND, now_ns, utc_now
from holdfast.documents import Environment, recorded
from holdfast.errors import Conflict, HoldfastError
from holdfast.marks import of_toxic
from holdfast.store import Run
from holdfast.toxiproxy import Toxic, Toxiproxy
from tests.fakes import serving

pytestmark = pytest.mark.integration

PROXY = "pix-primary"
LONGEST_S = 15.0
LONG = os.environ.get("HYPOTHESIS_PROFILE") == "long"
ATTRIBUTES = {"latency": 500, "jitter": 0}


class Crash(BaseException):
    """The process is gone, here and now."""


class FakeToxiproxy:
    """One proxy. The next calls may fail, or be carried out and not answered well, or come late."""

    def __init__(self) -> None:
        self.enabled = True
        self.toxics: dict[str, dict[str, Any]] = {}
        self.faults: list[str] = []  # of the next calls: `lost` or `unanswered`
        self.late: list[tuple[str, str, Any]] = []  # sent; arrives right after anybody's next call
        self.written: list[str] = []
        self.crash_at = ""

    def answer(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        fault = self.faults.pop(0) if self.faults else ""
        if fault == "lost":
            return 503, {"error": "busy"}
        code, answer = self.act(method, path, body)
        late, self.late = self.late, []
        for one in late:
            self.act(*one)
        return (503, {"error": "after the fact"}) if fault == "unanswered" else (code, answer)

    def act(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        if method == "GET":
            return 200, {PROXY: self.whole()}
        self.written.append(f"{method} {path}")
        name = path.rpartition("/")[2]
        if method == "DELETE":
            return (204, {}) if self.toxics.pop(name, None) else (404, {"error": "no"})
        if path.endswith("/toxics"):
            if body["name"] in self.toxics:
                return 409, {"error": "there"}
            self.toxics[body["name"]] = body
            return 200, body
        self.enabled = bool(body["enabled"])
        return 200, self.whole()

    def whole(self) -> dict[str, Any]:
        listed = [dict(one) for one in self.toxics.values()]
        place = {"name": PROXY, "listen": "127.10.0.11:1", "upstream": "127.10.0.12:1"}
        return {**place, "enabled": self.enabled, "toxics": listed}


class Healing(RuleBasedStateMachine):
    """A run that breaks a proxy, and everything that can get in its way."""

    @initialize()
    def begin(self) -> None:
        self.open = ExitStack()
        folder = Path(self.open.enter_context(tempfile.TemporaryDirectory()))
        self.fake = FakeToxiproxy()
        self.url = self.open.enter_context(serving("127.10.0.11", self.fake.answer))
        document = {
            "name": "unit",
            "kind": "laboratory",
            "kubernetes": {"kubeconfig": "none", "cluster_uid": "cluster-1"},
            "prometheus": {"url": "http://127.10.0.13:9"},
            "toxiproxy": [{"url": self.url}],
            "customers": {"url": "http://127.10.0.10:9", "values": {}},
            "workload": {"namespace": "wallet", "selector": "app=wallet-api"},
            "breakers": {PROXY: {"failures": 10, "call_limit": 2.0}},
            "policy": {"namespaces": ["wallet"], "proxies": [PROXY]},
        }
        self.environment = recorded(Environment, document, "environment")
        self.run = Run.create(folder, "machine")
        self.run.write_json("plan.json", {})
        self.run.append("events.jsonl", {"event": "anchor"})
        self.theirs: dict[str, dict[str, Any]] = {}
        self.edited: dict[str, dict[str, Any]] = {}
        self.acknowledged = b""
        self.step = timedelta(0)
        self.slowest = 0.0

    def teardown(self) -> None:
        if not hasattr(self, "open"):
            return
        self.fake.faults.clear()
        with self.open:
            failures = heal.undo_all(self.run, self.environment, by="person", retry_s=2.0)
            assert all(isinstance(one.why, Conflict) for one in failures), failures
            assert set(self.ours()) == set(self.edited), "a fault is left"
            assert self.fake.enabled

    def ours(self) -> list[str]:
        return [name for name in self.fake.toxics if of_toxic(name)]

    def clean(self) -> bool:
        return not self.ours() and not heal.pending(self.run) and not self.fake.late

    @precondition(lambda self: self.clean() and not self.fake.faults)
    @rule(
        kind=st.sampled_from(["slow", "cut"]),
        crash=st.sampled_from(["never", "intent", "late", "act"]),
        fault=st.sampled_from(["", "", "lost", "unanswered"]),
    )
    def inject(self, kind: str, crash: str, fault: str) -> None:
        """A fault; the process may die after the intent, with the call under way, or after it."""
        began = now_ns()
        number = len(self.run.sound("heals.jsonl")[0])
        word = kind + "abcdefghij"[number % 10] * (number // 10 + 1)
        name = marks.toxic(self.run.id, word, utc_now() + self.step)
        toxic = Toxic(name, "latency", ATTRIBUTES, toxicity=1.0 if kind == "slow" else 0.0)
        undo = {"url": self.url, "proxy": PROXY}
        undo |= {"toxic": name} if kind == "slow" else {"marker": name}
        more = {"attributes": ATTRIBUTES} if kind == "slow" else {}
        operation = "remove_toxic" if kind == "slow" else "enable_proxy"
        intent = heal.intend(self.run, operation, {**undo, **more})
        if crash == "intent":
            return
        with suppress(Crash, HoldfastError), heal.injecting(self.run, self.environment, [intent]):
            self.act(kind, crash, toxic, fault)
        self.slowest = (now_ns() - began) / SECOND

    def act(self, kind: str, crash: str, toxic: Toxic, fault: str) -> None:
        client = Toxiproxy(self.url)
        if crash == "late" and kind == "slow":
            body = {"type": "latency", "stream": "downstream", "toxicity": 1.0}
            whole = {"name": toxic.name, "attributes": dict(ATTRIBUTES), **body}
            self.fake.late.append(("POST", f"/proxies/{PROXY}/toxics", whole))
            raise Crash
        if kind == "slow" and crash == "never":
            self.fake.faults = [fault] if fault == "unanswered" else []
        client.add_toxic(PROXY, toxic)
        if kind == "cut" and crash == "late":
            self.fake.late.append(("POST", f"/proxies/{PROXY}", {"enabled": False}))
            raise Crash
        if kind == "cut":
            client.set_enabled(PROXY, False)
        if crash == "act":
            raise Crash

    @rule(by=st.sampled_from(["runner", "watchdog", "person"]), again=st.booleans())
    def undo(self, by: str, again: bool) -> None:
        """Somebody undoes, knowing nothing but the folder; perhaps twice."""
        began = now_ns()
        for _ in range(1 + again):
            run = Run(self.run.folder)
            failures = heal.undo_all(run, self.environment, by=by, retry_s=0.1)
            if not failures:
                assert set(self.ours()) == set(self.edited), "I5: told as undone, and is there"
                assert self.fake.enabled, "I5: told as undone, and is closed"
                assert heal.pending(run) == []
        self.slowest = (now_ns() - began) / SECOND

    @precondition(lambda self: not self.fake.late)
    @rule(faults=st.lists(st.sampled_from(["lost", "unanswered"]), max_size=4))
    def systems_fail(self, faults: list[str]) -> None:
        """The next calls are not carried out, or are and are not answered."""
        self.fake.faults = faults

    @rule(hours=st.sampled_from([-48, -1, 1, 48]))
    def the_clock_steps(self, hours: int) -> None:
        """Marks are out of date, or far from it, and no undo asks: no timestamp is believed."""
        self.step = timedelta(hours=hours)

    @rule()
    def somebody_adds_a_toxic(self) -> None:
        name = f"theirs-{len(self.theirs)}"
        body = {"type": "latency", "stream": "downstream", "toxicity": 1.0}
        self.theirs[name] = {"name": name, "attributes": {"latency": 1, "jitter": 0}, **body}
        self.fake.toxics[name] = dict(self.theirs[name])

    @precondition(lambda self: any("-slow" in one for one in self.ours()))
    @rule(new=st.integers(min_value=501, max_value=900))
    def somebody_edits_ours(self, new: int) -> None:
        name = next(one for one in self.ours() if "-slow" in one)
        self.fake.toxics[name] = {
            **self.fake.toxics[name],
            "attributes": {"latency": new, "jitter": 0},
        }
        self.edited[name] = self.fake.toxics[name]

    @precondition(lambda self: bool(self.ours()) and self.fake.enabled and not self.fake.late)
    @rule()
    def somebody_removes_ours(self) -> None:
        """Not while a call is under way: what arrives then is nobody's, and named as a conflict."""
        name = self.ours()[0]
        del self.fake.toxics[name]
        self.edited.pop(name, None)

    @invariant()
    def a_fault_was_written_down_before(self) -> None:
        intents = {
            str(one["arguments"].get("toxic") or one["arguments"].get("marker"))
            for one in self.run.records("heals.jsonl")
        }
        assert set(self.ours()) <= intents, "I1"
        assert self.fake.enabled or self.ours(), "I1: closed without a mark"

    @invariant()
    def nothing_of_others_is_touched(self) -> None:
        theirs = {name: self.fake.toxics.get(name) for name in self.theirs}
        assert theirs == self.theirs, "I2"
        for name, body in self.edited.items():
            assert self.fake.toxics.get(name) == body, "I4"
        for one in self.fake.written:
            assert one.startswith((f"POST /proxies/{PROXY}", f"DELETE /proxies/{PROXY}/toxics/"))
            assert "theirs" not in one, "I2"

    @invariant()
    def the_log_only_grows(self) -> None:
        path = self.run.path("heals.jsonl")
        content = path.read_bytes() if path.exists() else b""
        assert content.startswith(self.acknowledged), "I6"
        self.acknowledged = content

    @invariant()
    def every_step_ended_in_time(self) -> None:
        assert self.slowest < LONGEST_S, "I8"


Healing.TestCase.settings = settings(
    max_examples=400 if LONG else 12, stateful_step_count=30 if LONG else 10
)
TestHealing = Healing.TestCase
