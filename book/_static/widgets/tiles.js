// Tiles of rows and the taps that each of them computes, before and after the rows are sorted.
"use strict";

globalThis.widgets?.start("tiles", (live, data) => {
  const { make, number, percent } = widgets;
  const { masks, taps } = data;

  // The place of a mask in a Gray code, in which neighbours differ by one bit.
  const rank = (mask) => [1, 2, 4, 8, 16].reduce((r, shift) => r ^ (r >> shift), mask);
  const sorted = (key) => masks.map((mask) => [key(mask), mask]).sort((a, b) => a[0] - b[0]).map((pair) => pair[1]);
  const orders = [
    ["in the original order", masks],
    ["sorted by mask", sorted((mask) => mask)],
    ["in a Gray code's order", sorted(rank)],
  ];
  let order = 0;
  let size = data.sizes[0];
  let counts; // [tile][tap]: rows of the tile that have the tap

  const picture = make("canvas", { role: "img", click: (event) => choose(event) });
  const slider = make("input", { type: "range", min: 0, value: 0, id: "tiles-tile", input: detail });
  const reading = make("output", { for: "tiles-tile" });
  const facts = make("p", { class: "facts", role: "status" });
  const zoom = make("svg", { class: "zoom", role: "img" });
  const about = make("p", { class: "status", role: "status" });

  const bit = (mask, tap) => (mask >> tap) & 1;
  const summed = (tile) => Array.from({ length: taps }, (_, tap) => tile.reduce((sum, mask) => sum + bit(mask, tap), 0));
  const rowsOf = (tile) => orders[order][1].slice(tile * size, (tile + 1) * size);
  const wasted = (tiles) => {
    const all = tiles.flat().filter(Boolean);
    return 1 - all.reduce((a, b) => a + b, 0) / (all.length * size);
  };

  function show() {
    const tiles = Math.ceil(masks.length / size);
    counts = Array.from({ length: tiles }, (_, tile) => summed(rowsOf(tile)));
    picture.width = tiles;
    picture.height = taps;
    const style = getComputedStyle(live);
    const context = picture.getContext("2d");
    counts.forEach((tile, x) =>
      tile.forEach((count, tap) => {
        if (!count) return;
        context.fillStyle = style.getPropertyValue(`--fill-${Math.ceil((4 * count) / size)}`);
        context.fillRect(x, tap, 1, 1);
      }),
    );
    const computed = counts.flat().filter(Boolean).length;
    facts.textContent = `${number(tiles)} tiles of ${size} rows, ${orders[order][0]}: ${number(computed)} of ${number(tiles * taps)} tile–tap products are computed; ${percent(wasted(counts))} of their rows are empty.`;
    picture.setAttribute("aria-label", `Tiles from left to right, taps from top to bottom. ${facts.textContent}`);
    slider.max = tiles - 1;
    detail();
  }

  function detail() {
    const tile = Number(slider.value);
    reading.textContent = tile;
    const rows = Array.from({ length: size, ...rowsOf(tile) }, (mask) => mask ?? 0); // the last tile is filled up
    const used = counts[tile];
    const cells = (wanted) => rows.flatMap((mask, row) => used.flatMap((count, tap) => (count && bit(mask, tap) === wanted ? [[row, tap]] : [])));
    zoom.setAttribute("viewBox", `0 0 ${size} ${taps}`);
    zoom.style.aspectRatio = size / taps;
    zoom.replaceChildren(make("path", { class: "rules", d: widgets.squares(cells(1)) }), make("path", { class: "waste", d: widgets.squares(cells(0)) }));
    const skipped = used.filter((count) => !count).length;
    about.textContent = `Tile ${tile}: ${taps - skipped} of ${taps} taps computed, ${skipped} skipped; ${percent(wasted([used]))} of its rows are empty.`;
    zoom.setAttribute("aria-label", `Rows of the tile from left to right, taps from top to bottom. ${about.textContent}`);
    slider.setAttribute("aria-valuetext", about.textContent);
    live.style.setProperty("--at", (tile + 0.5) / counts.length);
  }

  function choose(event) {
    const box = picture.getBoundingClientRect();
    slider.value = Math.floor(((event.clientX - box.left) / box.width) * counts.length);
    detail();
  }

  const names = orders.map(([name]) => name);
  const byOrder = widgets.choice("Rows", names, (index) => ((order = index), show()));
  const bySize = widgets.choice("Rows in a tile", data.sizes, (index) => ((size = data.sizes[index]), show()));
  const scale = [1, 2, 3, 4].map((part) => make("span", { class: `fill-${part}` }, `${25 * part - 25}–${25 * part} %`));
  const legend = make("p", { class: "legend" }, "rows of a tile that have the tap: ", make("span", { class: "fill-0" }, "none: skipped"), ...scale);
  const zoomLegend = make("p", { class: "legend" }, make("span", { class: "rules" }, "a rule"), make("span", { class: "waste" }, "computed, empty"), make("span", { class: "fill-0" }, "skipped"));
  live.append(
    make("div", { class: "controls" }, byOrder, bySize),
    facts,
    make("div", { class: "overview" }, picture, make("div", { class: "marker" })),
    legend,
    make("div", { class: "controls" }, make("label", { for: "tiles-tile" }, "Zoom in on tile: ", reading), slider),
    about,
    zoom,
    zoomLegend,
  );
  new MutationObserver(show).observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
  show();
});
