// Draws the figures that a page carries as JSON, in the style sheet's colours.
"use strict";

(() => {
  const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  // "var(--now)" → "#1d5fae", anywhere in a figure.
  const painted = (value) => {
    if (typeof value === "string") {
      const name = /^var\((--[a-z-]+)\)$/.exec(value);
      return name ? color(name[1]) : value;
    }
    if (Array.isArray(value)) return value.map(painted);
    if (value && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, painted(item)]));
    }
    return value;
  };

  const axis = {
    gridcolor: "var(--line)", linecolor: "var(--line)", zerolinecolor: "var(--muted)",
    zeroline: false, automargin: true, fixedrange: true, ticks: "outside", ticklen: 6, tickcolor: "rgba(0,0,0,0)",
  };
  const frame = {
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    margin: { l: 52, r: 12, t: 8, b: 40 },
    hovermode: "closest",
    legend: { orientation: "h", x: 0, y: 1.03, xanchor: "left", yanchor: "bottom" },
    hoverlabel: { bgcolor: "var(--surface)", bordercolor: "var(--line)", font: { color: "var(--text)" } },
  };

  const draw = () => {
    const family = getComputedStyle(document.body).fontFamily;
    const scripts = [...document.querySelectorAll("script.figure")];
    const targets = scripts.map((script) => document.getElementById(script.dataset.for));
    const paper = matchMedia("print").matches;
    const sizes = targets.map((target) => paper ? { width: target.clientWidth, height: target.clientHeight } : {});
    document.body.style.zoom = paper ? "1" : "";  // a chart measures its own words, and paper's zoom would deceive it
    for (const [place, script] of scripts.entries()) {
      const target = targets[place];
      const figure = JSON.parse(script.textContent);
      const layout = { ...frame, ...figure.layout, ...sizes[place], font: { family, size: 12.5, color: "var(--muted)" } };
      const axes = ["xaxis", ...Object.keys(layout).filter((name) => /^yaxis\d*$/.test(name))];
      for (const name of axes) layout[name] = { ...axis, showgrid: name !== "xaxis", ...figure.layout[name] };
      for (const name of axes) {
        layout[name].title = { standoff: 10, font: { size: 12.5 }, ...layout[name].title };
      }
      if (layout.xaxis.type === "category" && layout.xaxis.tickangle === undefined) {
        layout.xaxis = { tickangle: 0, nticks: Math.max(2, Math.floor(target.clientWidth / 85)), ...layout.xaxis };
      }
      target.replaceChildren();
      Plotly.newPlot(target, painted(figure.data), painted(layout), { displayModeBar: false, responsive: true });
      target.dataset.drawn = "yes";
    }
    document.body.style.zoom = "";
  };

  draw();
  document.addEventListener("riskloop:fresh", draw);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  matchMedia("print").addEventListener("change", draw);  // paper has light colours and another width
})();
