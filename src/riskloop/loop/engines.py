"""What bulk engines ask of the loop: who decides now, and what profiles the decisions for monitoring.

`python -m riskloop.loop.engines` is a process of the local engine; `batch.pool` starts it.
"""

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from riskloop.batch.local import Champion
    from riskloop.core.types import Promotion
    from riskloop.loop.champion import ReferenceModel


def deciding(promotion: "Promotion", loaded: "ReferenceModel") -> "Champion":
    """The champion as an engine takes it."""
    from riskloop.batch.local import Champion

    return Champion(promotion, loaded.model, loaded.reference.profiler)


class WithoutPandas:
    """Hides pandas, which Arrow would import where it finds it: half of the time that a process needs to start."""

    def find_spec(self, name: str, *_: object) -> None:
        """Not found."""
        if name == "pandas":
            raise ModuleNotFoundError("pandas is not needed here", name=name)


def main() -> None:
    """Be a process of the local engine."""
    sys.meta_path.insert(0, WithoutPandas())
    from riskloop.batch.pool import run_child
    from riskloop.monitor.profile import Profiler

    run_child(Profiler.from_bytes)


if __name__ == "__main__":
    main()
