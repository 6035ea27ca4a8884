// A slider: what is active after n ordinary convolutions, and after n submanifold ones.
"use strict";

globalThis.widgets?.start("dilation", (live, data) => {
  const { make, number } = widgets;
  const steps = data.sites.length - 1;

  const slider = make("input", { type: "range", min: 0, max: steps, step: 1, value: 1, id: "dilation-steps", input: show });
  const reading = make("output", { for: "dilation-steps" });

  const panel = (title, pixels) => {
    const layers = pixels.map((places, step) =>
      make("path", { class: `step-${step}`, d: widgets.squares(places.map(([x, y]) => [x, data.extent - 1 - y])) }),
    );
    const picture = make("svg", { viewBox: `0 0 ${data.extent} ${data.extent}`, role: "img" }, ...layers);
    const caption = make("figcaption");
    return { title, layers, picture, caption, box: make("figure", {}, picture, caption) };
  };
  const ordinary = panel("Ordinary", data.pixels);
  const fixed = panel("Submanifold", data.pixels.slice(0, 1));

  const cells = {};
  const row = (key, title) => {
    cells[key] = [make("td"), make("td")];
    return make("tr", {}, make("th", { scope: "row" }, title), ...cells[key]);
  };
  const table = make(
    "table",
    {},
    make("thead", {}, make("tr", {}, make("td"), ...["ordinary", "submanifold"].map((n) => make("th", { scope: "col" }, n)))),
    make(
      "tbody",
      {},
      row("sites", "active pixels"),
      row("growth", "relative to the start"),
      row("rules", "rules of the last layer"),
      row("event", "active voxels of the whole event, in 3D"),
    ),
  );

  function describe({ title, layers, picture, caption }, n, sites) {
    layers.forEach((layer, step) => layer.classList.toggle("off", step > n));
    caption.textContent = `${title}: ${number(sites)} of ${number(data.extent ** 2)} pixels active`;
    picture.setAttribute("aria-label", `${caption.textContent} after ${n} convolutions`);
  }

  function show() {
    const n = Number(slider.value);
    reading.textContent = n;
    slider.setAttribute("aria-valuetext", `${n} convolutions, ${number(data.sites[n])} pixels active`);
    describe(ordinary, n, data.sites[n]);
    describe(fixed, n, data.fixed.sites);
    const write = (key, ...values) => values.forEach((value, column) => (cells[key][column].textContent = value));
    write("sites", number(data.sites[n]), number(data.fixed.sites));
    write("growth", (data.sites[n] / data.sites[0]).toFixed(1), "1.0");
    write("rules", n ? number(data.rules[n - 1]) : "–", n ? number(data.fixed.rules) : "–");
    write("event", number(data.event[n]), number(data.event[0]));
  }

  const label = make("label", { for: "dilation-steps" }, "Convolutions, 3 × 3: ", reading);
  live.append(make("div", { class: "controls" }, label, slider), make("div", { class: "panels" }, ordinary.box, fixed.box), table);
  show();
});
