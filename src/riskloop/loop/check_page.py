"""What `riskloop check` found, as one HTML page without a script or a link."""

from riskloop.core.types import Json

_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>{{ name }}: check</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem; color: #1b1f24 }
table { border-collapse: collapse; width: 100% } th, td { text-align: left; padding: .35rem .6rem; vertical-align: top }
th { border-bottom: 2px solid #d0d7de } td { border-bottom: 1px solid #eaeef2 } .n { text-align: right }
.drifted, .severe, .fault { font-weight: 600; color: #a40e26 } pre { white-space: pre-wrap }
h1, p, pre, td { overflow-wrap: anywhere }
@media (max-width: 50rem) {
  table, tbody, tr, td { display: block } tr:first-child, td:empty { display: none }
  tr { border-bottom: 1px solid #d0d7de; padding: .5rem 0 } td, td.n { border: 0; padding: .1rem 0; text-align: left }
  td::before { content: attr(data-label) ": "; color: #59636e } td:first-child { font-weight: 600 }
}
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
{% for c in found.columns %}<tr><td data-label=Column>{{ c.column }}</td><td data-label=Kind>{{ c.kind }}</td>
<td class=n data-label=Refused>{{ c.refused }}</td><td class=n data-label=Missing>{{ c.missing }}</td>
<td class=n data-label=Unseen>{{ c.unseen }}</td>
<td class=n data-label=PSI>{{ "%.3f"|format(c.psi) if c.psi is not none else "" }}</td>
<td data-label=State class="{{ c.severity }}">{{ c.severity }}</td>
<td data-label=Findings>{{ c.findings|join(" ") }}</td></tr>
{% endfor %}</table></html>
"""


def check_page(found: Json, name: str) -> str:
    """The document of `check` as a page; ``name`` is the file's."""
    from jinja2 import Environment

    return Environment(autoescape=True).from_string(_PAGE).render(found=found, name=name)
