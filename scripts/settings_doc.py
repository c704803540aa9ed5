"""Writes docs/settings.md from the one settings table; a test fails when the two differ.

Run: python scripts/settings_doc.py
"""

from datetime import timedelta
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from riskloop.core.settings import FeatureSettings, LearnerSettings, PrepareSettings, Settings, duration_text

HEAD = """# Settings

Every setting of `riskloop.toml`, with its default. This page is written by `python scripts/settings_doc.py` from the
table in `src/riskloop/core/settings.py`; an unknown key is refused with its name. Durations are a number and a unit:
`30m`, `12h`, `30d`, `4w`. Relative paths start at the folder of `riskloop.toml`.
"""


def page() -> str:
    """The whole page as Markdown."""
    parts = [HEAD]
    for name, field in Settings.model_fields.items():
        kind: Any = field.annotation
        if name == "features":
            parts.append(_section("features.COLUMN", FeatureSettings))
        elif name == "learners":
            parts.append(_section("learners.NAME", LearnerSettings))
        elif name == "prepare":
            parts.append(_section("prepare.NAME", PrepareSettings))
        else:
            parts.append(_section(name, kind))
    return "\n".join(parts)


def _section(title: str, model: type[BaseModel]) -> str:
    rows = [f"| `{name}` | {_default(field)} | {field.description} |" for name, field in model.model_fields.items()]
    head = [
        "",
        f"## [{title}]",
        "",
        f"{(model.__doc__ or '').strip()}",
        "",
        "| setting | default | meaning |",
        "|---|---|---|",
    ]
    return "\n".join([*head, *rows])


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if value is None:
        return "none"
    if isinstance(value, timedelta):
        return f'`"{duration_text(value)}"`'
    if isinstance(value, tuple):
        return f"`{[*value]}`".replace("'", '"')
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f'`"{value}"`' if isinstance(value, str) else f"`{value}`"


if __name__ == "__main__":
    (Path(__file__).parent.parent / "docs" / "settings.md").write_text(page() + "\n", encoding="utf-8")
