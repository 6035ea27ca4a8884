"""The page around a plotly figure of an event: panels side by side, or stacked on a phone."""

from __future__ import annotations

import json
from typing import Any

from markupsafe import Markup

from sscn_triton.common.page import template


def interactive_page(figure: Any) -> str:
    """A complete page that opens without a network."""
    name = figure.layout.title.text
    setting = {"axes": _axes(figure), "bars": _bars(figure)}
    drawn = figure.to_html(
        full_html=False,
        include_plotlyjs=True,
        include_mathjax=False,
        div_id="event",
        post_script=_FIT.replace("SETTING", json.dumps(setting)),
    )
    return template(_PAGE).render(title=f"Event {name}" if name else "Event", body=Markup(drawn))


def _axes(figure: Any) -> list[list[str]]:
    """The names of each panel's axes in the layout, from left to right."""
    layout = figure.to_dict()["layout"]
    scenes = [name for name in layout if name.startswith("scene")]
    planes = [name for name in layout if name.startswith("xaxis")]
    numbered = sorted(scenes or planes, key=lambda name: int("".join(filter(str.isdigit, name)) or 1))
    return [[name] if scenes else [name, name.replace("x", "y", 1)] for name in numbered]


def _bars(figure: Any) -> list[int]:
    """The numbers of the traces with a scale of colours."""
    return [number for number, trace in enumerate(figure.data) if trace.marker.colorbar.title.text]


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}</title><style>
body { margin: 0; background: #fff; }
@media (max-width: 600px) { .modebar-container { display: none; } }
</style></head><body>
{{ body }}
</body></html>
"""

_FIT = """
const plot = document.getElementById("{plot_id}"), setting = SETTING;
const count = setting.axes.length, { data, layout } = plot, above = 70, heading = 30;
const below = 110 + (setting.bars.length ? 80 : 0);
const wide = JSON.parse(JSON.stringify(layout));
const upright = setting.bars.map((number) => ({ ...data[number].marker.colorbar }));
const extent = (axis) => wide[axis].range[1] - wide[axis].range[0];
const tall = (width) => {  // height of a stacked panel
  const [across, along] = setting.axes[0];
  return along ? 0.83 * width * extent(along) / extent(across) + 60 : width;
};
const far = (scene, ratio) => {  // plotly fits a scene into its height
  for (const axis of "xyz") scene.camera.eye[axis] *= 1.15 * Math.max(1, ratio);
};
let stacked;
const fit = () => {
  const width = document.documentElement.clientWidth, stack = width < Math.max(600, 340 * count);
  const inside = count * (tall(width) + heading);  // pixels for the panels and their headings
  const size = { width, height: stack ? inside + above + below : Math.max(320, window.innerHeight) };
  if (stack === stacked) { Plotly.relayout(plot, size); return; }
  stacked = stack;
  const made = { ...JSON.parse(JSON.stringify(wide)), ...size };
  if (stack) {
    made.margin = { ...made.margin, t: above, b: below };
    made.legend = { ...made.legend, orientation: "h", x: 0.5, xanchor: "center", y: -60 / inside, yanchor: "top" };
    setting.axes.forEach(([across, along], place) => {
      const rows = [1 - (place + 1) / count, 1 - place / count - heading / inside];
      if (along) {
        made[across].domain = [0.14, 0.97];
        made[along].domain = [rows[0] + 60 / inside, rows[1]];
      } else {
        made[across].domain = { x: [0, 1], y: rows };
        far(made[across], 1);
      }
      if (made.annotations?.[place]) Object.assign(made.annotations[place], { x: 0.5, y: rows[1] });
    });
  }
  if (!stack && setting.axes[0].length === 1) {
    setting.axes.forEach(([scene]) => far(made[scene], (size.height - above) * count / (width - 110)));
  }
  const lying = { orientation: "h", len: 0.8, thickness: 14, x: 0.5, xanchor: "center", yanchor: "top" };
  setting.bars.forEach((number, place) => {
    data[number].marker.colorbar = { ...upright[place], ...(stack ? { ...lying, y: -110 / inside } : {}) };
  });
  Plotly.newPlot(plot, data, made);
};
window.addEventListener("resize", fit);
fit();
"""
