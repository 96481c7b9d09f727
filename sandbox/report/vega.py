"""Interactive charts in a page without a network: Altair's specifications, and Vega's JavaScript in the file."""

import functools
import json
from collections.abc import Mapping

import altair as alt
import vl_convert
from markupsafe import Markup

_OPTIONS = {"renderer": "svg", "actions": {"export": True, "source": False, "compiled": False, "editor": False}}
_DRAW = """
window.charts = {};
for (const [id, spec] of Object.entries(JSON.parse(document.getElementById("chart-data").textContent))) {
  window.charts[id] = vegaEmbed("#" + id, spec, OPTIONS).then((drawn) => drawn.view);
}
"""


def chart_scripts(charts: Mapping[str, alt.TopLevelMixin]) -> Markup:
    """The scripts that draw each chart into the element with its name as id; they belong at the end of a page.

    `window.charts` has a promise of each chart's Vega view, for scripts that read or set its parameters.
    """
    specifications = {name: chart.to_dict() for name, chart in charts.items()}
    texts = json.dumps(specifications).replace("<", "\\u003c")  # nothing in them ends the script
    data = f'<script type="application/json" id="chart-data">{texts}</script>'
    draw = _DRAW.replace("OPTIONS", json.dumps(_OPTIONS))
    return Markup(f"{data}\n<script>{_javascript()}</script>\n<script>{draw}</script>")


@functools.cache
def _javascript() -> str:
    """Vega, Vega-Lite and vega-embed in one script, about 0.9 MB, as `window.vegaEmbed`."""
    return vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;").replace("</script", "<\\/script")
