"""What the lab builds with Go: the modules that are pinned, and the commands.

go.mod and go.sum are the supply chain: the same modules are linked everywhere, whichever proxy they
come through.
"""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from lab.bring import Job
from lab.versions import Executable, numbers

_HERE = Path(__file__).resolve().parent
VARIABLES = {"CGO_ENABLED": "0", "GOWORK": "off"}  # of every call of Go
_PROMETHEUS_VERSION = "3.16.0"  # its module is numbered 0.316.0
_TOXIPROXY_VERSION = "2.12.0"


def _required(module: str) -> str:
    """The version of a module that the control plane's go.mod asks for, without the v."""
    pins = (_HERE / "go/go.mod").read_text()
    found = re.search(rf"^\s{re.escape(module)} v(\S+)", pins, re.MULTILINE)
    assert found, f"{module} is not in lab/go/go.mod"
    return found.group(1)


KUBERNETES_VERSION = _required("k8s.io/kubernetes")
ETCD_VERSION = _required("go.etcd.io/etcd/server/v3")


@dataclass(frozen=True)
class Build:
    """A Go program: the module folder that pins it, the package, and how it is linked."""

    name: str
    version: str
    folder: Path
    package: str
    stamps: tuple[str, ...]  # -X flags of the linker
    tags: str = ""
    remark: str = ""

    @property
    def digest(self) -> str:
        """Changes with each source, each pin and each flag."""
        content = hashlib.sha256(repr((self.package, self.stamps, self.tags)).encode())
        for path in sorted(self.folder.rglob("*")):
            is_source = path.suffix == ".go" and not path.name.endswith("_test.go")
            if is_source or path.name in {"go.mod", "go.sum"}:
                content.update(str(path.relative_to(self.folder)).encode() + b"\0")
                content.update(hashlib.sha256(path.read_bytes()).digest())
        return content.hexdigest()[:12]

    @property
    def program(self) -> str:
        """Where the program lies in its entry of the cache."""
        return self.name

    @property
    def key(self) -> str:
        """Its name in the cache."""
        return f"{self.name}-{self.version}-{self.digest}"

    def command(self, go: Path, into: Path) -> tuple[str, ...]:
        """`go build` into that folder."""
        stamps = (*self.stamps, f"main.sources={self.digest}")
        linked = " ".join(("-s -w", *(f"-X {stamp}" for stamp in stamps)))
        flags = ("-trimpath", "-mod=readonly", "-buildvcs=false", "-tags", self.tags)
        return (str(go), "build", *flags, "-ldflags", linked, "-o", str(into), self.package)

    def job(self, executable: Executable, go: Path) -> Job:
        """Building it, without cgo: no C compiler is needed, and the program runs anywhere."""
        return Job(
            what=f"build {self.name} {self.version}",
            key=self.key,
            command=lambda into: self.command(go, into / self.program),
            check=lambda entry: executable.version(entry / self.program),
            next_step="Run the command again: what was compiled so far is kept by Go. If it cannot"
            " fetch modules, set GOPROXY; if memory ran out, stop other programs first",
            remark=self.remark,
            workdir=self.folder,
            variables=VARIABLES | _root(go),
        )


def _root(go: Path) -> dict[str, str]:
    """GOROOT of that very Go: one in the environment may be of another version."""
    root = go.parent.parent
    return {"GOROOT": str(root)} if (root / "VERSION").is_file() else {}


_VERSION = "k8s.io/component-base/version.git"
_MAJOR, _MINOR, *_ = numbers(KUBERNETES_VERSION)

CONTROL_PLANE = Build(
    "holdfast-lab",
    KUBERNETES_VERSION,
    _HERE / "go",
    ".",
    (
        f"{_VERSION}Version=v{KUBERNETES_VERSION}",
        f"{_VERSION}Major={_MAJOR}",
        f"{_VERSION}Minor={_MINOR}",
    ),
    remark="(6 to 10 minutes the first time)",
)
PROMETHEUS = Build(
    "prometheus",
    _PROMETHEUS_VERSION,
    _HERE / "programs/prometheus",
    "github.com/prometheus/prometheus/cmd/prometheus",
    (f"github.com/prometheus/common/version.Version={_PROMETHEUS_VERSION}",),
    tags="remove_all_sd,enable_kubernetes_sd",
    remark="(4 to 8 minutes the first time)",
)
TOXIPROXY = Build(
    "toxiproxy-server",
    _TOXIPROXY_VERSION,
    _HERE / "programs/toxiproxy",
    "github.com/Shopify/toxiproxy/v2/cmd/server",
    (f"github.com/Shopify/toxiproxy/v2.Version={_TOXIPROXY_VERSION}",),
)
# Not of the lab: benchmarks/load.py compares with it.
VEGETA = Build(
    "vegeta",
    "12.13.0",
    _HERE / "programs/vegeta",
    "github.com/tsenart/vegeta/v12",
    ("main.Version=12.13.0",),
)


def needed_go() -> str:
    """The oldest Go that builds all of it, as the go.mod files say."""
    builds = (CONTROL_PLANE, PROMETHEUS, TOXIPROXY)
    pins = "".join((build.folder / "go.mod").read_text() for build in builds)
    versions: list[str] = re.findall(r"^go (\S+)", pins, re.MULTILINE)
    return max(versions, key=numbers)
