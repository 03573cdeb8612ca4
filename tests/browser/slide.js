// What a hall sees of the current slide of a deck, all fragments shown: a list of faults in words.
() => {
  const slide = Reveal.getCurrentSlide(), faults = [];
  const stage = { left: 0, top: 0, right: innerWidth, bottom: innerHeight - 30 }; // below: number of the slide
  const words = (text) => text.trim().replace(/\s+/g, " ").slice(0, 40);
  const shown = (element) =>
    !element.closest("aside.notes") && element.checkVisibility({ visibilityProperty: true });
  const inside = (box, room) =>
    box.left >= room.left - 1 && box.top >= room.top - 1 &&
    box.right <= room.right + 1 && box.bottom <= room.bottom + 1;

  // Text: where it stands, how large it is, how it stands out
  const channels = (color) => color.match(/[\d.]+/g).map(Number);
  const luminance = (color) => channels(color).slice(0, 3)
    .map((c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = (element) => {
    for (; element; element = element.parentElement) {
      const color = getComputedStyle(element).backgroundColor;
      if ((channels(color)[3] ?? 1) > 0) return color;
    }
    return "rgb(255, 255, 255)";
  };
  const texts = document.createTreeWalker(slide, NodeFilter.SHOW_TEXT);
  let letters = 0;
  while (texts.nextNode()) {
    const text = texts.currentNode, element = text.parentElement;
    if (!text.data.trim() || !shown(element)) continue;
    letters += text.data.trim().length;
    const range = document.createRange();
    range.selectNodeContents(text);
    for (const box of range.getClientRects())
      if (!inside(box, stage)) { faults.push(`cut off: ${words(text.data)}`); break; }
    const style = getComputedStyle(element), size = parseFloat(style.fontSize);
    const smallest = element.closest("pre, code") ? 20 : 24;
    if (!element.closest("math") && size < smallest) faults.push(`${size}px: ${words(text.data)}`);
    const [dark, light] = [style.color, ground(element)].map(luminance).sort((a, b) => a - b);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    if ((light + 0.05) / (dark + 0.05) < (large ? 3 : 4.5))
      faults.push(`contrast: ${words(text.data)} (${style.color})`);
  }

  // Pictures: no smaller than in the notebook, where their letters are 18 pixels
  const pictures = [...slide.querySelectorAll("img")].filter(shown);
  for (const img of pictures) {
    const box = img.getBoundingClientRect();
    const scale = 1.5 * Math.min(box.width / img.naturalWidth, box.height / img.naturalHeight);
    if (!inside(box, stage)) faults.push(`cut off: picture ${words(img.alt)}`);
    if (scale < 0.9) faults.push(`small (${scale.toFixed(2)}): picture ${words(img.alt)}`);
  }
  if (!letters && !pictures.length) faults.push("empty");

  // Boxes: none over another, none that hides a part of itself
  const boxes = [...slide.querySelectorAll("h1,h2,h3,h4,p,li,pre,table,summary,img,math[display=block]")]
    .filter((e) => shown(e) && e.getBoundingClientRect().height > 0);
  boxes.forEach((a, i) => boxes.slice(i + 1).forEach((b) => {
    if (a.contains(b) || b.contains(a)) return;
    const p = a.getBoundingClientRect(), q = b.getBoundingClientRect();
    const width = Math.min(p.right, q.right) - Math.max(p.left, q.left);
    const height = Math.min(p.bottom, q.bottom) - Math.max(p.top, q.top);
    if (width > 2 && height > 2)
      faults.push(`overlap: ${words(a.innerText || a.alt)} | ${words(b.innerText || b.alt)}`);
  }));
  for (const e of slide.querySelectorAll("*"))
    if (shown(e) && getComputedStyle(e).overflow !== "visible" && !e.closest("math")
        && (e.scrollWidth > e.clientWidth + 1 || e.scrollHeight > e.clientHeight + 1))
      faults.push(`hides a part: ${words(e.innerText)}`);

  // Answers: shut at first; open, they leave free what shuts them
  for (const details of slide.querySelectorAll("details")) {
    if (details.open) faults.push("open answer");
    details.open = true;
    const box = details.querySelector(".answer").getBoundingClientRect();
    const handle = details.querySelector("summary").getBoundingClientRect();
    if (!inside(box, stage) || box.top < handle.bottom)
      faults.push(`answer in the way: ${words(details.innerText)}`);
    details.open = false;
  }

  // Formulas: drawn, with no TeX left in them
  for (const math of slide.querySelectorAll("math")) {
    if (/[\\&]|\$/.test(math.textContent) || math.querySelector("merror"))
      faults.push(`formula: ${words(math.textContent)}`);
    else if (shown(math) && math.getBoundingClientRect().width < 4)
      faults.push(`formula not drawn: ${words(math.textContent)}`);
  }
  const markdown = [...slide.querySelectorAll(".jp-RenderedHTMLCommon")].map((e) => {
    const copy = e.cloneNode(true);
    copy.querySelectorAll("code, pre").forEach((c) => c.remove());
    return copy.textContent;
  }).join(" ");
  if (/\$[^$]*\$|\\[a-z]{2,}/.test(markdown)) faults.push("formula not rendered");
  return faults;
}
