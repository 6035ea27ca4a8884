// Five pixels with values and a kernel with weights, all of which the reader can change: one tap of the layer at a time,
// and the results of submanifold, dense and masked layers, or of a strided layer and its inverse.
"use strict";

globalThis.widgets?.start("numbers", (live, data) => {
  const { make } = widgets;
  const { most, pixels, everywhere } = data;
  const place = (site) => `(${site.join(", ")})`;
  const key = (site) => site.join(" ");
  const row = new Map(pixels.map((site, index) => [key(site), index]));
  const active = everywhere.map((site) => row.has(key(site)));
  const status = make("p", { class: "status", role: "status" });
  let choice = 0; // 0: kernel 3, stride 1; 1: kernel 2, stride 2

  // The layer: for each tap, gather the rows, multiply them by the weight, add the products to the output rows.
  function convolve(f, weight, rules, outputs, taps = rules.length) {
    const h = Array(outputs).fill(0);
    for (let t = 0; t < taps; t++) for (const [i, j] of rules[t]) h[j] += f[i] * weight[t];
    return h;
  }

  const numbers = (title, start) => {
    const fields = start.map((value, index) =>
      make("input", { type: "number", min: -most, max: most, step: 1, value, "aria-label": title(index), input: show }),
    );
    const kept = [...start];
    const read = () =>
      fields.forEach((field, index) => {
        const good = field.value !== "" && Number.isInteger(Number(field.value)) && Math.abs(field.value) <= most;
        field.setAttribute("aria-invalid", !good);
        if (good) kept[index] = Number(field.value);
      });
    const reset = () => fields.forEach((field, index) => (field.value = start[index]));
    return { fields, kept, read, reset };
  };
  const values = numbers((i) => `value of pixel ${i} at ${place(pixels[i])}`, data.values);
  const weights = data.kernels.map(({ taps }) =>
    numbers((t) => `weight of tap ${t} at ${place(taps[t])}`, taps.map((_, t) => t + 1)),
  );

  // A grid [X, Y] with something in each cell; the first axis points down.
  function grid(title, [height, width], sites, cells) {
    const at = new Map(sites.map((site, index) => [key(site), cells[index]]));
    const box = make("div", { class: "grid", style: `--extent: ${width}`, role: "group", "aria-label": title });
    for (let x = 0; x < height; x++) for (let y = 0; y < width; y++) box.append(at.get(key([x, y])) ?? make("span"));
    return make("div", {}, make("p", { class: "title" }, title), box);
  }
  const shown = (title, shape, sites, results, kind = () => "") =>
    grid(title, shape, sites, results.map((number, index) => make("b", { class: kind(index) }, String(number).replace("-", "−"))));

  const input = grid("Inputs f", data.shape, pixels, values.fields);
  const kernels = data.kernels.map(({ taps, size }, index) =>
    grid("Weights W", [size, size], taps, weights[index].fields),
  );
  const sums = make("div", { class: "sums" });
  const tap = make("input", { type: "range", min: 0, step: 1, value: 8, id: "numbers-tap", input: show });
  const reading = make("output", { for: "numbers-tap" });
  const label = make("label", { for: "numbers-tap" }, "tap ", make("i", {}, "t"), " = ", reading);
  const body = make("tbody");
  const heads = ["rule", "gather", "multiply", "scatter"].map((name) => make("th", { scope: "col" }, name));
  const table = make("table", {}, make("thead", {}, make("tr", {}, ...heads)), body);
  const results = make("div", { class: "results" });

  function show() {
    [values, ...weights].forEach((one) => one.read());
    const kernel = data.kernels[choice];
    const weight = weights[choice].kept;
    const f = values.kept;
    kernels.forEach((box, index) => (box.hidden = index !== choice));
    tap.max = kernel.taps.length - 1;
    const t = Number(tap.value);
    reading.textContent = `${t} at ${place(kernel.taps[t])}`;

    const rules = kernel.rules[t];
    const before = convolve(f, weight, kernel.rules, kernel.outputs.length, t);
    const after = convolve(f, weight, kernel.rules, kernel.outputs.length, t + 1);
    const written = rules.map(([, j]) => j);
    values.fields.forEach((field, i) => field.classList.toggle("lit", rules.some(([from]) => from === i)));
    weights[choice].fields.forEach((field, index) => field.classList.toggle("lit", index === t));
    const title = t ? `Sums h after taps 0 to ${t}` : "Sums h after tap 0";
    sums.replaceChildren(shown(title, kernel.shape, kernel.outputs, after, (j) => (written.includes(j) ? "lit" : "")));
    const sign = (number) => (number < 0 ? `(−${-number})` : String(number));
    const lines = rules.map(([i, j]) => [
      `${i}→${j}`,
      `f${i} = ${f[i]}`,
      `${f[i]} · ${sign(weight[t])} = ${f[i] * weight[t]}`,
      `h${j} = ${before[j]} + ${sign(f[i] * weight[t])} = ${after[j]}`,
    ]);
    const cells = (line) => line.map((text) => make("td", {}, text.replaceAll("-", "−")));
    const none = make("tr", {}, make("td", { colspan: 4 }, "This tap has no rule: there is nothing to compute."));
    body.replaceChildren(...(lines.length ? lines.map((line) => make("tr", {}, ...cells(line))) : [none]));

    status.textContent = [stride1, strided][choice](f, weight, kernel);
    if (live.querySelector('[aria-invalid="true"]'))
      status.textContent = `Values and weights are whole numbers from −${most} to ${most}. The figure keeps the last one.`;
  }

  function stride1(f, weight, kernel) {
    const sparse = (input) => convolve(input, weight, kernel.rules, pixels.length);
    const dense = (input) => convolve(input, weight, kernel.everywhere, everywhere.length);
    const image = everywhere.map((site) => f[row.get(key(site))] ?? 0);
    const masked = (input) => dense(input).map((number, index) => (active[index] ? number : 0));
    const once = [sparse(f), dense(image), masked(image)];
    const twice = [sparse(once[0]), dense(once[1]), masked(once[2])];
    const at = everywhere.map((site) => row.get(key(site)));
    const differs = (own, result) => at.map((index, cell) => index !== undefined && result[cell] !== own[index]);
    const panels = (own, [, full, mask], count) => {
      const kind = (result) => (cell) => `${active[cell] ? "active" : ""}${differs(own, result)[cell] ? " wrong" : ""}`;
      return make("div", { class: "grids" },
        shown(`${count}, submanifold`, data.shape, pixels, own, () => "active"),
        shown(`${count}, dense`, data.shape, everywhere, full, kind(full)),
        shown(`${count}, dense with mask`, data.shape, everywhere, mask, kind(mask)),
      );
    };
    results.replaceChildren(panels(once[0], once, "One layer"), panels(twice[0], twice, "Two layers"));
    const count = (own, result) => differs(own, result).filter(Boolean).length;
    return (
      `At the five pixels, the dense result differs from the submanifold one at ${count(once[0], once[1])} pixels after one layer ` +
      `and at ${count(twice[0], twice[1])} after two; with the mask, at ${count(twice[0], twice[2])}.`
    );
  }

  function strided(f, weight, kernel) {
    const below = convolve(f, weight, kernel.rules, kernel.outputs.length);
    const back = kernel.rules.map((pairs) => pairs.map(([i, j]) => [j, i]));
    const restored = convolve(below, weight, back, pixels.length);
    const panels = [
      shown("Strided", kernel.shape, kernel.outputs, below, () => "active"),
      shown("Inverse of it", data.shape, pixels, restored, () => "active"),
    ];
    results.replaceChildren(make("div", { class: "grids" }, ...panels));
    return "Each pixel belongs to one tap of one coarse pixel. The inverse layer returns to the five pixels, but not to their values.";
  }

  const choose = (index) => {
    choice = index;
    tap.value = data.kernels[index].taps.length - 1;
    show();
  };
  const again = () => {
    [values, ...weights].forEach((one) => one.reset());
    show();
  };
  live.append(
    make("div", { class: "controls" },
      widgets.choice("Layer", data.kernels.map(({ name }) => name), choose),
      make("button", { type: "button", click: again }, "Start over"),
    ),
    make("div", { class: "grids" }, input, ...kernels, sums),
    make("div", { class: "controls" }, label, tap),
    table,
    status,
    results,
  );
  show();
});
