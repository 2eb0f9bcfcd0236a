"""An experiment, an environment, and small real servers for every system that it names."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import pytest
import yaml

from holdfast import plan
from holdfast.context import packaged
from holdfast.errors import InvalidInput
from tests.fakes import Broken, FakeKubernetes, FakePrometheus, serving
from tests.test_documents import ENVIRONMENT, Json, changed

HOST = "127.10.0.10"
PROXY: Json = {
    "name": "pix-primary",
    "listen": "127.10.0.11:9101",
    "upstream": "127.10.0.12:8101",
    "enabled": True,
    "toxics": [],
}


class FakePlatform:
    """Toxiproxy, entrance, ledger and bank side behind one port: they answer well."""

    def __init__(self) -> None:
        self.proxies: dict[str, Json] = {"pix-primary": PROXY}
        self.asked: list[str] = []

    def answer(self, method: str, target: str, _body: Any) -> tuple[int, Json]:
        """One request."""
        self.asked.append(f"{method} {target}")
        if target == "/version":
            return 200, {"version": "2.12.0"}
        if target == "/proxies":
            return 200, self.proxies
        return 404, {}


class Record(Broken):
    """A ledger that holds nothing since then."""

    ANSWERS: ClassVar[dict[str, bytes]] = {"": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"}


@dataclass
class Here:
    """An experiment and an environment in a folder, and every system behind them."""

    folder: Path
    kubernetes: FakeKubernetes
    platform: FakePlatform
    document: Json
    experiment: Json = field(default_factory=dict)

    @property
    def environment(self) -> Path:
        """The environment file."""
        path = self.folder / "environment.yaml"
        path.write_text(yaml.safe_dump(self.document))
        return path

    def make(self, name: str = "slow-gateway") -> plan.Plan:
        """Make the plan of an experiment that ships, or of the changed one."""
        return plan.make(self.path(name), self.environment)

    def read(self, name: str = "slow-gateway") -> plan.Plan:
        """Check the files only."""
        return plan.read(self.path(name), self.environment)

    def path(self, name: str) -> Path:
        """Where the experiment lies."""
        path = self.folder / f"{name}.yaml"
        if self.experiment:
            path.write_text(yaml.safe_dump(self.experiment))
        elif not path.exists():
            shutil.copy(packaged(f"{name}.yaml"), path)
        return path

    def write(self, name: str, document: Json) -> None:
        """A file beside the experiment."""
        (self.folder / name).write_text(yaml.safe_dump(document))

    def change(self, place: str, value: Any, name: str = "slow-gateway") -> None:
        """Change the experiment."""
        before = self.experiment or yaml.safe_load(packaged(f"{name}.yaml").read_text())
        self.experiment = changed(before, place, value)

    def refused(self, name: str = "slow-gateway") -> str:
        """Why the files alone are refused."""
        with pytest.raises(InvalidInput) as caught:
            self.read(name)
        assert "\n" not in str(caught.value)
        return str(caught.value)


@contextmanager
def everything(
    kubernetes: FakeKubernetes, prometheus: FakePrometheus, folder: Path
) -> Iterator[Here]:
    """Every system answers well until the block ends."""
    platform = FakePlatform()
    with serving(HOST, platform.answer) as url, Record("", HOST) as record:
        document = changed(ENVIRONMENT, "prometheus.url", prometheus.url)
        document = changed(document, "toxiproxy", [{"url": url}])
        document = changed(document, "customers.url", url)
        records = dict.fromkeys(("transfers", "settlements"), f"{record.url}/since")
        document = changed(document, "ledger", records)
        document = changed(document, "policy.proxies", ["pix-primary"])
        kubernetes.kubeconfig(folder)
        yield Here(folder, kubernetes, platform, document)
