"""How work tells how far it is, where nobody listens."""


def silent(*_: object) -> None:
    """Hear of progress and say nothing."""
