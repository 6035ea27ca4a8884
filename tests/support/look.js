// What a reader would see on the page: run in the page by tests/support/browser.py, whose tests say what is right.
async () => {
  const name = (element) => `${element.tagName.toLowerCase()}.${element.getAttribute("class") ?? ""}`;
  const start = (element) => `${name(element)}: ${element.textContent.trim().slice(0, 60)}`;
  const all = (selector) => [...document.querySelectorAll(selector)];
  const visible = (element) => element.checkVisibility({ visibilityProperty: true });

  const images = all("img");
  await Promise.allSettled(images.map((image) => image.decode()));

  // What sticks out to the right, unless it can be scrolled to inside of something that does not.
  const right = document.documentElement.clientWidth + 1;
  const scrolls = (element) =>
    element && (getComputedStyle(element).overflowX !== "visible" || scrolls(element.parentElement));
  const article = document.querySelector("article") ?? document.body;
  const wide = [...article.querySelectorAll("*")].filter(
    (element) => visible(element) && element.getBoundingClientRect().right > right && !scrolls(element.parentElement),
  );

  // What a reader has to scroll to sideways inside of the page.
  const formula = (element) => Math.max(0, ...[...element.querySelectorAll("svg")].map((e) => e.getBoundingClientRect().width));
  const cut = [...article.querySelectorAll("div.math, pre")]
    .filter(visible)
    .filter((element) => Math.max(element.scrollWidth, formula(element)) > element.clientWidth + 1);

  // The contrast of text with what is behind it, as WCAG 2 defines it.
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const over = (below, color) => {
    canvas.fillStyle = `rgb(${below})`;
    canvas.fillRect(0, 0, 1, 1);
    canvas.fillStyle = color;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const behind = (element) =>
    element ? over(behind(element.parentElement), getComputedStyle(element).backgroundColor) : [255, 255, 255];
  const luminance = (color) => {
    const [r, g, b] = color.map((c) => (c <= 10 ? c / 3294.6 : ((c / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (element) => {
    const below = behind(element);
    const style = getComputedStyle(element);
    const ink = element instanceof SVGElement ? style.fill : style.color;
    const [dark, light] = [luminance(below), luminance(over(below, ink))].sort((a, b) => a - b);
    return (light + 0.05) / (dark + 0.05);
  };
  const text = [...article.querySelectorAll("p, li, dt, dd, td, th, h1, h2, h3, figcaption, code, label, button, output")]
    .filter((element) => visible(element) && [...element.childNodes].some((n) => n.nodeType === 3 && n.data.trim()));

  return {
    title: document.title,
    formulas: all(".math").length,
    unset: all(".math").filter((element) => !element.querySelector("mjx-container svg")).map(start),
    wrong: all("[data-mml-node='merror'], mjx-merror").map(start),
    images: images.length,
    blank: images.filter((image) => !image.naturalWidth).map((image) => image.src),
    undescribed: all("img, article [role='img'], article canvas")
      .filter((image) => !image.closest("[aria-hidden='true'], mjx-container"))
      .filter((image) => (image.getAttribute("alt") ?? image.getAttribute("aria-label") ?? "").length <= 20)
      .map(name),
    width: document.documentElement.scrollWidth,
    wide: wide.map(start),
    cut: cut.map(start),
    // Parts of tables that cover the shadows at the edges, which say that a table scrolls.
    covering: all(".pst-scrollable-table-container :is(table, tr, th, td)")
      .filter((element) => !/, 0(\.\d+)?\)$/.test(getComputedStyle(element).backgroundColor))
      .map(start),
    shadows: all(".pst-scrollable-table-container")
      .filter((element) => getComputedStyle(element).backgroundImage.split("linear-gradient").length === 5).length,
    theme: document.documentElement.dataset.theme,
    faint: text.filter((element) => contrast(element) < 3).map((e) => `${start(e)} (${contrast(e).toFixed(1)})`),
  };
}
