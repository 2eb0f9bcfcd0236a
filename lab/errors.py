"""The one error of the lab."""


class LabError(Exception):
    """Something of the lab is missing or broken: names the thing, the reason and the next step."""

    def __init__(self, thing: str, reason: str, next_step: str) -> None:
        super().__init__(f"{thing}: {reason}. {next_step}")
        self.thing = thing
        self.reason = reason
        self.next_step = next_step
