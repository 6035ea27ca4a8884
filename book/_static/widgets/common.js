// What the widgets share: making elements, squares, choices, and starting. Jupyter Book 1 loads every script a second
// time, and on every page: nothing here minds that.
"use strict";

globalThis.widgets ??= {
  // An element with attributes and children; functions among the attributes listen to events.
  make(tag, attributes = {}, ...children) {
    const drawn = ["svg", "path", "rect", "text"].includes(tag);
    const element = drawn ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (typeof value === "function") element.addEventListener(name, value);
      else if (value !== undefined) element.setAttribute(name, value);
    }
    element.append(...children);
    return element;
  },

  // The outline of unit squares at these [column, row] places, as the data of a path.
  squares: (places) => places.map(([x, y]) => `M${x} ${y}h1v1h-1z`).join(""),

  number: (value) => value.toLocaleString("en-US"),
  percent: (value) => `${(100 * value).toFixed(1)} %`,

  // A choice of one of several, as radio buttons in a row.
  choice(label, names, chosen) {
    const group = `choice-${label}`.replaceAll(/\W/g, "-");
    const buttons = names.map((name, index) => {
      const input = widgets.make("input", { type: "radio", name: group, value: index, change: () => chosen(index) });
      input.checked = index === 0;
      return widgets.make("label", {}, input, ` ${name}`);
    });
    return widgets.make("fieldset", {}, widgets.make("legend", {}, label), ...buttons);
  },

  // Build each widget of this name that is on the page, from the data beside it; the still picture is left for print.
  start(name, build) {
    for (const figure of document.querySelectorAll(`[data-widget="${name}"]:not(.started)`)) {
      const data = JSON.parse(figure.querySelector("script").textContent);
      const live = widgets.make("div", { class: "live" });
      figure.append(live);
      build(live, data);
      figure.classList.add("started");
    }
  },
};
