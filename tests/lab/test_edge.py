"""The edge's own tests, which are written in Go: compiling them takes the lab's toolchain."""

import os
import subprocess

from lab import golang
from lab.cache import Cache
from lab.programs import Sources, wanted_go
from lab.progress import Progress


def test_the_edge() -> None:
    """It repeats nothing, counts every request once, keeps its series, and lets go of pods."""
    with Progress() as progress:
        go = Sources(Cache.of_user(), progress).obtain([wanted_go()], wanted_go())["go"].path
    for command in (("vet", "-trimpath", "./edge"), ("test", "-trimpath", "-count=1", "./edge")):
        done = subprocess.run(
            (go, *command),
            cwd=golang.CONTROL_PLANE.folder,
            env={**os.environ, **golang.VARIABLES},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
