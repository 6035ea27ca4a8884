// Sliders for stride, dilation and padding: which inputs an output reads, and what it sums.
"use strict";

globalThis.widgets?.start("relation", (live, data) => {
  const { make } = widgets;
  const { extent, values, weights, layers, most } = data;
  const taps = weights.length;
  const INPUTS = 4.6; // the row of the picture in which the inputs stand; the outputs are in row 0.6

  const slider = (name, title, low, high, value) => {
    const id = `relation-${name}`;
    const input = make("input", { type: "range", min: low, max: high, step: 1, value, id, input: show });
    const reading = make("output", { for: id });
    const label = make("label", { for: id }, title, " ", make("i", {}, name), " = ", reading);
    return { input, reading, label, box: make("div", { class: "slider" }, label, input) };
  };
  const sliders = {
    s: slider("s", "stride", 1, most.s, 1),
    d: slider("d", "dilation", 1, most.d, 1),
    p: slider("p", "padding", 0, most.p, 1),
    u: slider("u", "output", 0, extent - 1, 2),
  };

  const picture = make("svg", { viewBox: `-0.1 0 ${data.widest + 0.2} 5.8`, role: "img" });
  const equation = make("p", { class: "equation" });
  const body = make("tbody");
  const heads = ["t", "x", "fx", "Wt", "product"].map((name) =>
    make("th", { scope: "col" }, ...(name.length === 2 ? [make("i", {}, name[0]), make("sub", {}, name[1])] : [name])),
  );
  const table = make("table", { class: "taps" }, make("thead", {}, make("tr", {}, ...heads)), body);
  const status = make("p", { class: "status", role: "status" });

  const text = (x, y, words, kind = "") => make("text", { x, y, class: kind }, words);
  const cell = (place, row, words, kind) => [
    make("rect", { x: place, y: row - 0.45, width: 0.92, height: 0.9, class: kind }),
    text(place + 0.46, row + 0.02, words, `number ${kind}`),
  ];

  function show() {
    const { s, d, p } = Object.fromEntries(Object.entries(sliders).map(([name, one]) => [name, Number(one.input.value)]));
    const layer = layers[`${s},${d},${p}`];
    sliders.u.input.max = layer.size - 1;
    const u = Number(sliders.u.input.value);
    Object.entries({ s, d, p, u }).forEach(([name, value]) => (sliders[name].reading.textContent = value));
    const sums = new Map(layer.outputs);
    const submanifold = s === 1 && 2 * p === d * (taps - 1);

    const shift = (data.widest - extent) / 2; // both rows are centred
    const shiftOut = (data.widest - layer.size) / 2;
    const parts = [];
    for (let t = 0; t < taps; t++) {
      const x = s * u + d * t - p;
      const kind = x < 0 || x >= extent ? "outside" : values[x] ? "read" : "empty";
      const [from, to] = [shift + x + 0.46, shiftOut + u + 0.46];
      parts.push(make("path", { class: `line ${kind}`, d: `M${from} ${INPUTS - 0.5}L${to} 1.15` }));
      if (kind !== "outside") parts.push(text(0.85 * from + 0.15 * to, 0.85 * (INPUTS - 0.5) + 0.15 * 1.15, weights[t], "weight"));
    }
    for (let place = 0; place < layer.size; place++) {
      const kept = submanifold && values[place] ? " kept" : "";
      const kind = `output${sums.has(place) ? " active" : ""}${place === u ? " chosen" : ""}${kept}`;
      parts.push(...cell(shiftOut + place, 0.6, sums.get(place) ?? "", kind));
    }
    for (let x = 0; x < extent; x++) {
      parts.push(...cell(shift + x, INPUTS, values[x] || "", `input${values[x] ? " active" : ""}`));
      parts.push(text(shift + x + 0.46, INPUTS + 0.8, x, "place"));
    }
    picture.replaceChildren(...parts);

    equation.textContent = `x = ${s}·u + ${d}·t − ${p}`;
    const rows = weights.map((weight, t) => {
      const x = s * u + d * t - p;
      const value = x < 0 || x >= extent ? "outside" : values[x] || "empty";
      const sum = `${s}·${u} + ${d}·${t} − ${p} = ${x}`.replace("= -", "= −");
      const cells = [t, sum, value, weight, Number.isInteger(value) ? value * weight : "–"];
      return make("tr", {}, ...cells.map((one, column) => make("td", column === 1 ? { class: "sum" } : {}, String(one))));
    });
    body.replaceChildren(...rows);
    const said = sums.has(u) ? `Output ${u} is ${sums.get(u)}.` : `Output ${u} is inactive: no active input reaches it.`;
    const same = submanifold
      ? " The thick frames mark the outputs that a submanifold layer keeps."
      : s === 1
        ? ` With dilation ${d}, a submanifold layer has padding ${(d * (taps - 1)) / 2}.`
        : "";
    status.textContent = `${said} In all, ${sums.size} of ${layer.size} outputs are active, from ${values.filter(Boolean).length} active inputs.${same}`;
    picture.setAttribute("aria-label", `${extent} inputs below, ${layer.size} outputs above, with lines from output ${u} to the inputs it reads`);
  }

  const controls = make("div", { class: "controls sliders" }, ...Object.values(sliders).map((one) => one.box));
  live.append(controls, equation, picture, table, status);
  show();
});
