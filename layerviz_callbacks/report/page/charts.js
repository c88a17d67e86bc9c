// Curves over the steps; a click on one goes to that step.

const SVG = "http://www.w3.org/2000/svg";
const COLOURS = 8; // a chart of more lines has all of them in one colour, and tells only the lowest and the highest
const STRANGE = {nan: "not a number", inf: "infinite", "-inf": "minus infinite"};
const WIDE = 300, HIGH = 100, EDGE = 6;

/** An element with properties and children; text is always text, never HTML. */
function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

function drawn(name, attributes) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

function inWords(value) {
  if (value === null || value === undefined) return "none";
  if (typeof value === "string") return STRANGE[value];
  if (value === 0) return "0";
  return Math.abs(value) >= 1e5 || Math.abs(value) < 1e-3 ? value.toExponential(2) : String(Number(value.toPrecision(3)));
}

function numbersOf(values) {
  return values.filter((value) => typeof value === "number");
}

function pathOf(values, horizontal, vertical) {
  let path = "", pen = "M";
  values.forEach((value, place) => {
    if (value === null) return; // nobody looked: the line goes on
    if (typeof value === "string") { pen = "M"; return; }
    path += `${pen}${horizontal(place).toFixed(2)} ${vertical(value).toFixed(2)}`;
    if (pen === "M") path += "h0.01"; // a single point is a dot
    pen = "L";
  });
  return path;
}

/** The number at a place, or the last before it: what takes long is not measured at every step. */
function lastLooked(values, place) {
  let at = place;
  while (at > 0 && values[at] === null) at -= 1;
  const value = values[at] ?? null;
  return {value, words: value !== null && at < place ? `${inWords(value)} (step ${facts.chart_steps[at]})` : inWords(value)};
}

function sparkline(values) {
  const known = numbersOf(values), most = Math.max(...known, 1e-12);
  const made = drawn("svg", {class: "spark", viewBox: "0 0 52 20", preserveAspectRatio: "none", "aria-hidden": "true"});
  const path = pathOf(values, (place) => 1 + 50 * place / Math.max(1, values.length - 1), (value) => 18.5 - 17 * value / most);
  made.append(drawn("path", {d: path}));
  return made;
}

/** The number that all of a chart's lines have at all steps; null where they have several. */
function constantOf(chart) {
  const known = new Set(chart.lines.flatMap(({values}) => values.filter((value) => value !== null)));
  return known.size === 1 && facts.chart_steps.length > 1 ? [...known][0] : null;
}

/** One chart; `show(place, other)` moves its vertical lines and tells the values there. */
function chartOf(chart, goTo) {
  const steps = facts.chart_steps, first = steps[0], length = Math.max(1, steps.at(-1) - first);
  const known = chart.lines.flatMap(({values}) => numbersOf(values));
  if (!known.length) known.push(0);
  let low = Math.min(...known), high = Math.max(...known);
  if (low > 0 && low < 0.5 * high) low = 0;
  const span = high - low || 1;
  const across = (step) => EDGE + (WIDE - 2 * EDGE) * (step - first) / length;
  const up = (value) => HIGH - EDGE - (HIGH - 2 * EDGE) * (high === low ? 0.5 : (value - low) / span);
  const many = chart.lines.length > COLOURS;
  const picture = drawn("svg", {class: many ? "many" : "", viewBox: `0 0 ${WIDE} ${HIGH}`, preserveAspectRatio: "none", role: "img"});
  picture.setAttribute("aria-label", `${chart.name}: from ${inWords(low)} to ${inWords(high)}`);
  const upright = (name) => drawn("line", {class: name, y1: 0, y2: HIGH, x1: -9, x2: -9});
  const now = upright("now"), then = upright("then"), best = upright("top-step");
  const move = (line, step) => ["x1", "x2"].forEach((end) => line.setAttribute(end, step === null ? -9 : across(step)));
  if (facts.best !== null) move(best, facts.steps[facts.best].step);
  picture.append(best);
  chart.lines.forEach(({name, values, colour}, number) => {
    const path = pathOf(values, (place) => across(steps[place]), up);
    const line = drawn("path", {class: "line", d: path});
    line.style.stroke = `var(--line-${many ? 1 : (colour ?? number) + 1})`;
    line.append(drawn("title", {}));
    line.firstChild.textContent = name;
    picture.append(line);
  });
  picture.append(then, now);
  const told = element("ul"), alone = chart.lines.length === 1 && chart.lines[0].name === chart.name;
  const heading = element("h3", {textContent: chart.name});
  const items = chart.lines.slice(0, many ? 2 : COLOURS).map((line, number) => {
    const item = element("li", {className: many ? "" : "line"});
    item.style.setProperty("--own", `var(--line-${(line.colour ?? number) + 1})`);
    return item;
  });
  if (!alone) told.append(...items);
  const when = element("span", {}, "");
  const tell = (step) => {
    let place = 0;
    steps.forEach((known, number) => { if (known <= step) place = number; });
    const here = chart.lines.map(({name, values}) => ({name, ...lastLooked(values, place)}));
    if (many) {
      const sorted = here.filter(({value}) => typeof value === "number").sort((one, other) => one.value - other.value);
      const words = (one, what) => (one ? `${what} ${one.name} ${inWords(one.value)}` : "");
      items[0].textContent = words(sorted.at(-1), "highest");
      items[1].textContent = words(sorted[0], "lowest");
    } else items.forEach((item, number) => { item.textContent = `${here[number].name} ${here[number].words}`; });
    if (alone) heading.replaceChildren(chart.name, element("span", {className: "value", textContent: here[0].words}));
    when.textContent = `step ${steps[place]}`;
  };
  const stepAt = (event) => {
    const box = picture.getBoundingClientRect();
    const x = (event.clientX - box.left) / box.width * WIDE;
    return first + Math.round((x - EDGE) / (WIDE - 2 * EDGE) * length);
  };
  let current = first;
  picture.addEventListener("pointermove", (event) => tell(stepAt(event)));
  picture.addEventListener("pointerleave", () => tell(current));
  picture.addEventListener("click", (event) => goTo(stepAt(event)));
  const made = element("section", {className: "chart"},
    heading,
    element("div", {className: "plot"}, picture,
      element("span", {className: "end high", textContent: inWords(high)}),
      element("span", {className: "end low", textContent: inWords(low)})),
    element("div", {className: "steps", ariaHidden: "true"},
      element("span", {textContent: `${first}`}), when, element("span", {textContent: `${steps.at(-1)}`})),
    told);
  const show = (step, other) => {
    current = step;
    move(now, step);
    move(then, other);
    tell(step);
  };
  return {made, show};
}
