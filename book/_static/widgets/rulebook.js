// Click a site or a tap: its rules light up in the rulebook, and the sites that they join. Choices can be undone.
"use strict";

globalThis.widgets?.start("rulebook", (live, data) => {
  const { make } = widgets;
  const board = make("div", { class: "board" });
  const status = make("p", { class: "status", role: "status" });
  let parts; // of the book that is shown: buttons and rules
  let now = { index: 0 }; // the book that is shown, and the kind and row of the choice, if any
  const past = [];

  const place = (site) => `(${site.join(", ")})`;
  const many = (count, word) => `${count} ${word}${count === 1 ? "" : "s"}`;

  function grid(title, extent, sites, kind) {
    const cells = make("div", { class: `grid ${kind}`, style: `--extent: ${extent}`, role: "group", "aria-label": title });
    const buttons = [];
    for (let x = 0; x < extent; x++)
      for (let y = 0; y < extent; y++) {
        const row = sites.findIndex((site) => site[0] === x && site[1] === y);
        if (row < 0) {
          cells.append(make("span"));
          continue;
        }
        const label = kind === "taps" ? `tap ${row} at ${place([x, y])}` : `${kind} row ${row} at ${place([x, y])}`;
        buttons[row] = make("button", { type: "button", "aria-label": label, "aria-pressed": "false", click: () => go({ index: now.index, kind, row }) });
        buttons[row].textContent = row;
        cells.append(buttons[row]);
      }
    return { buttons, box: make("div", {}, make("p", { class: "title" }, title), cells) };
  }

  function open(index) {
    const book = data.books[index];
    const inputs = grid("Inputs", data.extent, book.inputs, "input");
    const taps = grid("Taps", book.kernel, book.taps, "taps");
    const outputs = grid("Outputs", book.extent, book.outputs, "output");
    const rules = [];
    const lines = book.rules.map((pairs, tap) => {
      const chips = pairs.map(([from, to]) => {
        const chip = make("span", { class: "rule" }, `${from}→${to}`);
        rules.push({ tap, input: from, output: to, chip });
        return chip;
      });
      return make("tr", {}, make("th", { scope: "row" }, `${tap} ${place(book.taps[tap])}`), make("td", {}, ...chips.flatMap((c) => [c, " "])));
    });
    const heading = make("tr", {}, ...["tap", "rules: input row→output row"].map((t) => make("th", { scope: "col" }, t)));
    const table = make("table", {}, make("thead", {}, heading), make("tbody", {}, ...lines));
    parts = { book, rules, input: inputs.buttons, taps: taps.buttons, output: outputs.buttons };
    board.replaceChildren(make("div", { class: "grids" }, inputs.box, taps.box, outputs.box), table);
    status.textContent = `${many(rules.length, "rule")}, ${book.inputs.length} inputs, ${book.outputs.length} outputs. Choose an input, a tap or an output.`;
  }

  function light(kind, row) {
    const { book, rules } = parts;
    const key = kind === "taps" ? "tap" : kind;
    const found = rules.filter((rule) => rule[key] === row);
    rules.forEach((rule) => rule.chip.classList.toggle("lit", found.includes(rule)));
    for (const [other, name] of [["input", "input"], ["taps", "tap"], ["output", "output"]])
      parts[other].forEach((button, index) => {
        const chosen = other === kind && index === row;
        button.setAttribute("aria-pressed", chosen);
        button.classList.toggle("lit", !chosen && found.some((rule) => rule[name] === index));
      });
    const list = (name) => found.map((rule) => rule[name]).join(", ") || "none";
    const count = many(found.length, "rule");
    status.textContent = {
      taps: () => `Tap ${row} at ${place(book.taps[row])}: ${count}; it multiplies input rows ${list("input")} by its weight and adds them to output rows ${list("output")}.`,
      input: () => `Input row ${row} at ${place(book.inputs[row])}: ${count}; taps ${list("tap")} carry it to output rows ${list("output")}.`,
      output: () => `Output row ${row} at ${place(book.outputs[row])}: ${count}; taps ${list("tap")} bring input rows ${list("input")}.`,
    }[kind]();
  }

  function show(state) {
    if (!parts || state.index !== now.index || state.kind === undefined) open(state.index);
    now = state;
    if (state.kind !== undefined) light(state.kind, state.row);
    undo.setAttribute("aria-disabled", past.length === 0); // not disabled, which would take the keyboard's focus away
  }

  function go(state) {
    past.push(now);
    show(state);
  }

  function back() {
    if (!past.length) return void (status.textContent = "There is no choice to undo.");
    show(past.pop());
    books.querySelectorAll("input")[now.index].checked = true;
  }

  const books = widgets.choice("Convolution", data.books.map((book) => book.name), (index) => go({ index }));
  const undo = make("button", { type: "button", click: back }, "Undo");
  live.append(make("div", { class: "controls" }, books, undo), status, board);
  show(now);
});
