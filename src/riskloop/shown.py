"""What a notebook shows of an answer, as HTML."""

from html import escape
from typing import TYPE_CHECKING, Final

from riskloop.core.types import Json

if TYPE_CHECKING:
    import pandas as pd

SHOWN: Final = 30  # rows of a table


def rows_table(sentence: str | None, rows: "pd.DataFrame") -> str:
    """A sentence over a table, of which the middle is left out when it is long."""
    said = "" if sentence is None else f"<p>{escape(sentence)}</p>"
    return said + rows.to_html(max_rows=SHOWN, index=False, escape=True, na_rep="")


def status_table(status: Json) -> str:
    """Champion, how it does, what is open and what to do, as an HTML table."""
    champion = status["champion"]
    rows = [("decisions", f"{status['decisions']:,}")]
    if champion is None:
        rows.insert(0, ("champion", "none yet"))
    else:
        serves = f"version {champion['version']} ({champion['learner']}) since {str(champion['since'])[:10]}"
        rows.insert(0, ("champion", f"{serves}, AUC {champion['auc']:.3f} at training"))
    if status["realised"] is not None:
        rows.append(("realised", status["realised"]["sentence"]))
    if status["last_window"] is not None:
        rows.append((status["last_window"]["name"], status["last_window"]["sentence"]))
    trouble = (status["loop"]["problem"], status["trust"]["problem"], (status["quarantine"] or {}).get("sentence"))
    rows += [("look", sentence) for sentence in (*trouble, status["outcomes"]["late"]) if sentence]
    rows += [(f"case {case['id']}, {case['state']}", case["sentence"]) for case in status["open_cases"]]
    rows += [(f"case {case['id']}, unresolved", case["sentence"]) for case in status["unresolved"]]
    rows += [] if status["open_cases"] else [("cases", "none is open")]
    rows += [("next", f"{step['command']} ({step['why']})") for step in status["next"][:1]]
    cells = "".join(
        f'<tr><th style="text-align:left">{escape(name)}</th><td style="text-align:left">{escape(text)}</td></tr>'
        for name, text in rows
    )
    return f"<table><caption>{escape(status['portfolio'])}</caption><tbody>{cells}</tbody></table>"
