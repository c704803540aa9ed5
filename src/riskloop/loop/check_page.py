"""What `riskloop check` found, as one HTML page without a script or a link."""

from riskloop.core.types import Json

_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{{ name }}: check</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem; color: #1b1f24 }
table { border-collapse: collapse; width: 100% } th, td { text-align: left; padding: .35rem .6rem; vertical-align: top }
th { border-bottom: 2px solid #d0d7de } td { border-bottom: 1px solid #eaeef2 } .n { text-align: right }
.drifted, .severe, .fault { font-weight: 600; color: #a40e26 } pre { white-space: pre-wrap }
</style>
<h1>{{ name }}</h1>
<p>{{ "{:,}".format(found.rows) }} rows, {{ "{:,}".format(found.refused) }} of them would be refused.
{{ found.sentence }}</p>
{% for note in found.notes %}<p>{{ note }}</p>
{% endfor %}{% if found.reasons %}<h2>Refused</h2><pre>{% for reason in found.reasons %}{{ reason }}
{% endfor %}</pre>{% endif %}
<h2>Columns</h2>
<table><tr><th>Column<th>Kind<th class=n>Refused<th class=n>Missing<th class=n>Unseen<th class=n>PSI
<th>State<th>Findings
{% for c in found.columns %}<tr><td>{{ c.column }}<td>{{ c.kind }}<td class=n>{{ c.refused }}<td class=n>{{ c.missing }}
<td class=n>{{ c.unseen }}<td class=n>{{ "%.3f"|format(c.psi) if c.psi is not none else "" }}
<td class="{{ c.severity }}">{{ c.severity }}<td>{{ c.findings|join(" ") }}
{% endfor %}</table></html>
"""


def check_page(found: Json, name: str) -> str:
    """The document of `check` as a page; ``name`` is the file's."""
    from jinja2 import Environment

    return Environment(autoescape=True).from_string(_PAGE).render(found=found, name=name)
