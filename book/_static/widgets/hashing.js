// A hash table with open addressing, one look at a slot for each press of a button: sscn_ref.HashTable by hand.
"use strict";

globalThis.widgets?.start("hashing", (live, data) => {
  const { make, number } = widgets;
  const bits = BigInt(Math.log2(data.capacity));
  const multiplier = BigInt(data.multiplier);
  const largest = 2n ** 63n - 1n;
  let slots, next, search; // [key, row] or null; the row that comes next; the search that is under way

  // The multiplier is 2^64 over the golden ratio; what is past 64 bits is lost, and the top bits of the rest count.
  const product = (key) => BigInt.asUintN(64, key * multiplier);
  const home = (key) => Number(product(key) >> (64n - bits));
  const filled = () => slots.filter(Boolean).length;
  const looks = (key, slot) => ((slot - home(key) + data.capacity) % data.capacity) + 1;

  const field = make("input", { type: "text", inputmode: "numeric", id: "hashing-key", size: 8, value: data.keys[data.started] });
  const button = (text, click) => make("button", { type: "button", click }, text);
  const insert = button("Insert", () => begin("insert"));
  const lookup = button("Look up", () => begin("lookup"));
  const step = button("Step", look);
  const finish = button("To the end", () => {
    while (search) look();
  });
  const reset = button("Start over", restart);
  const keys = data.keys.map((key, row) =>
    make("button", { type: "button", class: "key", click: () => (field.value = key) }, `${key} of (${data.sites[row].join(", ")})`),
  );
  const sum = make("p", { class: "sum" });
  const status = make("p", { class: "status", role: "status" });
  const facts = make("p", { class: "facts" });
  const table = make("ol", { class: "slots", start: 0, "aria-label": "Slots of the table" });

  function read() {
    const text = field.value.trim();
    if (!/^\d+$/.test(text) || BigInt(text) > largest) {
      status.textContent = `A key is a whole number from 0 to ${largest}, not “${text}”.`;
      return null;
    }
    return BigInt(text);
  }

  function begin(what) {
    const key = read();
    if (key === null) return;
    search = { what, key, slot: home(key), seen: [] };
    const top = product(key).toString(2).padStart(64, "0");
    const head = make("mark", {}, top.slice(0, Number(bits)));
    sum.replaceChildren(`${key} · ${multiplier} mod 2⁶⁴ = `, make("code", {}, head, `${top.slice(Number(bits), 12)}…`), ` in binary: home is slot ${search.slot}.`);
    status.textContent = `${what === "insert" ? "Insert" : "Look up"} ${key}: probe slot ${search.slot} first. Press Step.`;
    draw();
  }

  function look() {
    const { what, key, slot, seen } = search;
    const occupant = slots[slot];
    seen.push(slot);
    const count = `after ${seen.length} ${seen.length === 1 ? "probe" : "probes"}`;
    if (occupant && occupant[0] !== key && seen.length < data.capacity) {
      search.slot = (slot + 1) % data.capacity;
      status.textContent = `Slot ${slot} holds ${occupant[0]}, not ${key}: a collision. On to slot ${search.slot}.`;
    } else {
      search = null;
      if (occupant && occupant[0] === key) status.textContent = `Slot ${slot} holds ${key}: row ${occupant[1]}, ${count}.`;
      else if (occupant) status.textContent = `All ${data.capacity} slots are full and none holds ${key}, ${count}.`;
      else if (what === "lookup") status.textContent = `Slot ${slot} is empty: ${key} is not in the table, ${count}.`;
      else {
        slots[slot] = [key, next];
        status.textContent = `Slot ${slot} is empty: ${key} goes there with row ${next}, ${count}.`;
        next += 1;
      }
    }
    draw(seen, slot);
  }

  function draw(seen = search?.seen ?? [], last = null) {
    table.replaceChildren(
      ...slots.map((slot, index) => {
        const state = index === search?.slot ? "next" : index === last ? "last" : seen.includes(index) ? "seen" : "";
        const away = slot ? looks(slot[0], index) - 1 : 0;
        const note = slot ? `row ${slot[1]}${away ? `, ${away} past home` : ""}` : "";
        const words = { next: "next probe", last: "last probe", seen: "probed", "": "" }[state];
        return make("li", { class: `${slot ? "full" : ""} ${state}`, "data-slot": index }, make("b", {}, slot ? `${slot[0]}` : "empty"), make("small", {}, note), make("i", {}, words));
      }),
    );
    const present = slots.flatMap((slot, index) => (slot ? [looks(slot[0], index)] : []));
    const mean = present.length ? present.reduce((a, b) => a + b, 0) / present.length : 0;
    facts.textContent = `Load ${filled()}/${data.capacity} = ${filled() / data.capacity}; finding a key in the table takes ${mean.toFixed(2)} probes on average, ${number(Math.max(0, ...present))} at most.`;
    const stranded = !search && (document.activeElement === step || document.activeElement === finish);
    step.disabled = finish.disabled = !search;
    if (stranded) field.focus({ preventScroll: true }); // a disabled button would lose the keyboard's focus
  }

  function restart() {
    slots = data.slots.map((slot) => slot && [BigInt(slot[0]), slot[1]]);
    next = data.started;
    search = null;
    field.value = data.keys[data.started];
    sum.textContent = "";
    status.textContent = `Choose a key, insert it or look it up, then press Step.`;
    draw();
  }

  const enter = (event) => {
    event.preventDefault();
    search ? look() : begin("lookup");
  };
  const form = make("form", { class: "controls", submit: enter }, make("label", { for: "hashing-key" }, "Key "), field, insert, lookup, step, finish, reset);
  live.append(form, make("p", { class: "keys" }, "Keys of sites: ", ...keys.flatMap((key) => [key, " "])), sum, status, table, facts);
  restart();
});
