// The page: its lists and buttons, and what happens when they are used.

const byId = (id) => document.getElementById(id);
const root = document.documentElement;
let charts = [];
let timer = null;
const MOST_FINDINGS = 5; // the others after a click
const DISTANCE = "distance from start";

const familiesOf = (films) => [...new Set(films.map(({family}) => family))];
const layersWithFilms = new Set(facts.films.map(({layer}) => layer));
const shownLayers = facts.layers.map((layer, place) => place).filter((place) => layersWithFilms.has(place) || chartsOf(place).length);
const order = [MODEL, EVERY, ...shownLayers];
const watched = facts.findings.length > 0 || facts.charts.some(({layer, group, name}) => layer >= 0 && group === "health" && name !== DISTANCE);

function chartsOf(layer) {
  return facts.charts.filter((chart) => chart.layer === layer);
}

function filmsOfPage() {
  if (state.layer === EVERY) return facts.films.filter(({layer}) => layer >= 0);
  return facts.films.filter(({layer}) => layer === state.layer);
}

function count(number, noun) {
  return `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;
}

function shape(sizes) {
  return sizes.join(" \u00d7 ");
}

// ---- what does not change

function fillHeader() {
  byId("title").textContent = facts.title;
  byId("summary").textContent = [
    count(facts.layers.length, "layer"), count(facts.parameters, "parameter"),
    `${facts.steps[0].when} to ${facts.steps.at(-1).when}`, count(facts.samples.length, "probe sample"),
  ].join(", ");
  const notes = [
    "Each picture has one range of values, which holds at every step: what grows is seen to grow.",
    "\u2605 and the dotted line in curves are the best step.",
    "The small curve beside a layer is how far its kernel is from where it was at first, each on a scale of its own.",
    ...facts.notes, byId("summary").textContent,
  ];
  byId("notes").replaceChildren(element("ul", {}, ...notes.map((words) => element("li", {textContent: words}))));
}

function fillLayers() {
  const entries = order.map((place) => {
    if (place < 0) return {place, name: place === MODEL ? "The model" : "All layers", kind: place === MODEL ? "input, answers, curves" : "one picture of each"};
    const layer = facts.layers[place];
    return {place, name: layer.name, kind: layer.kind};
  });
  byId("layers").classList.toggle("flagged", facts.findings.some(({layer, until}) => layer >= 0 && until === null));
  byId("layers").replaceChildren(...entries.map(({place, name, kind}) => {
    const signs = element("span", {className: "signs"});
    const distances = facts.distances[place];
    if (distances) signs.append(sparkline(distances));
    const found = facts.findings.filter((one) => one.layer === place && one.until === null && place >= 0);
    if (found.length) {
      const bad = found.some(({severity}) => severity >= 0.5);
      signs.append(element("span", {className: bad ? "badge bad" : "badge", textContent: String(found.length), title: found.map(({words}) => words).join("; ")},
        element("span", {className: "aside", textContent: found.length === 1 ? " finding" : " findings"})));
    }
    const button = element("button", {type: "button"}, element("span", {className: "name", textContent: name}), signs, element("span", {className: "kind", textContent: kind}));
    button.dataset.place = place;
    button.addEventListener("click", () => go({layer: place}));
    const item = element("li", {}, button);
    if (place === EVERY) item.append(element("hr"));
    return item;
  }));
  byId("layer-choice").replaceChildren(...entries.map(({place, name, kind}) => element("option", {value: place, textContent: place < 0 ? name : `${name} (${kind})`})));
  byId("layer-choice").addEventListener("change", (event) => go({layer: Number(event.target.value)}));
  byId("search").hidden = shownLayers.length < 8;
  byId("search").addEventListener("input", filterLayers);
}

function filterLayers() {
  const wanted = byId("search").value.trim().toLowerCase();
  let any = false;
  for (const button of byId("layers").querySelectorAll("button")) {
    const place = Number(button.dataset.place), layer = facts.layers[place];
    const fits = !wanted || (layer && `${layer.name} ${layer.kind}`.toLowerCase().includes(wanted));
    button.parentElement.hidden = !fits;
    any ||= fits;
  }
  byId("nothing").hidden = any;
}

function fillTimeline() {
  for (const id of ["step", "other"]) byId(id).max = lastStep;
  if (facts.best !== null) {
    byId("marks").append(markAt(facts.best, "\u2605", `Best: ${facts.steps[facts.best].when}`));
  }
  byId("best").hidden = facts.best === null;
  if (!lastStep) document.querySelector(".timeline").hidden = true;
  byId("compare").disabled = !lastStep;
  byId("step").addEventListener("input", (event) => { stop(); go({step: Number(event.target.value)}); });
  byId("other").addEventListener("input", (event) => go({other: Number(event.target.value)}));
}

// ---- what changes with the page

function showAbout() {
  const layer = facts.layers[state.layer];
  byId("name").textContent = layer ? layer.name : state.layer === EVERY ? "All layers" : "The model";
  const words = !layer ? [] : [
    layer.kind, layer.kernel && `kernel ${shape(layer.kernel)}`, layer.output && `output ${shape(layer.output)}`,
    layer.attention && `attention ${shape(layer.attention)}`, layer.parameters && count(layer.parameters, "parameter"), layer.refusal,
  ];
  byId("kind").textContent = words.filter(Boolean).join(", ");
}

/** A number in large letters, with what it is above it and what belongs to it below. */
function card(label, value, words, className = "") {
  const made = element("li", {className}, element("span", {className: "label", textContent: label}), value);
  if (words) made.append(element("span", {className: "more", textContent: words}));
  return made;
}

/** The training in short: its best step, what it reported there and at the end, and how the layers are. */
function showHeadline() {
  byId("headline").hidden = state.layer !== MODEL;
  if (state.layer !== MODEL) return;
  const best = facts.best ?? lastStep, {step, when} = facts.steps[best];
  const button = element("button", {type: "button", textContent: facts.best === null ? when : `\u2605 ${when}`, title: "Go there"});
  button.addEventListener("click", () => jump(best));
  const cards = [card(facts.best === null ? "Last step" : "Best step", button, facts.best === null || !facts.monitor ? "" : `by ${facts.monitor}`)];
  const lines = facts.charts.filter(({group}) => group === "metrics").flatMap(({lines}) => lines);
  const place = facts.chart_steps.indexOf(step);
  const told = lines.filter(({values}) => typeof values[place] === "number").sort((one, other) => (other.name === facts.monitor) - (one.name === facts.monitor));
  for (const {name, values} of told.slice(0, 3)) {
    const end = values.at(-1), words = best === lastStep || end === null ? "" : `${inWords(end)} at the end`;
    cards.push(card(name, element("strong", {textContent: inWords(values[place])}), words));
  }
  if (watched) {
    const now = facts.findings.filter(({until}) => until === null), gone = facts.findings.length - now.length;
    const bad = now.some(({severity}) => severity >= 0.5);
    cards.push(card("Health of the layers", element("strong", {textContent: now.length ? count(now.length, "verdict") : "nothing wrong"}),
      now.length ? "at the end, the worst first:" : gone ? `at the end; ${gone} before` : "as far as was looked", now.length ? (bad ? "bad" : "mild") : "well"));
  }
  byId("headline").replaceChildren(...cards);
}

function showFindings() {
  const found = state.layer >= 0 ? facts.findings.filter(({layer}) => layer === state.layer) : state.layer === MODEL ? facts.findings : [];
  const items = found.map((one) => {
    const film = facts.films.find(({tag}) => tag === one.tag);
    const button = element("button", {type: "button", textContent: `${one.name || "model"}: ${one.words}`, title: "Go to this layer and the step at which it began"});
    button.addEventListener("click", () => go({
      layer: one.layer >= 0 ? one.layer : MODEL, step: placeOfStep(one.since), view: film && film.layer === one.layer ? film.family : "",
    }));
    const until = one.until === null ? "" : `, gone at ${(facts.steps.find(({step}) => step === one.until) ?? {when: `step ${one.until}`}).when}`;
    const item = element("li", {className: one.until !== null ? "gone" : one.severity >= 0.5 ? "bad" : ""}, button, ` since ${one.when}${until}`);
    if (one.advice) item.append(element("p", {textContent: one.advice}));
    return item;
  });
  markFindings(found);
  byId("findings").replaceChildren(...items);
  if (items.length > MOST_FINDINGS + 1) {
    const hidden = items.slice(MOST_FINDINGS), more = element("button", {type: "button", textContent: `${hidden.length} more`});
    const last = element("li", {className: "more"}, more);
    hidden.forEach((item) => { item.hidden = true; });
    more.addEventListener("click", () => { hidden.forEach((item) => { item.hidden = false; }); last.remove(); });
    byId("findings").append(last);
  }
  byId("findings").hidden = !items.length;
}

/** Where the timeline tells that something began. */
function markFindings(found) {
  for (const mark of byId("marks").querySelectorAll(".began")) mark.remove();
  for (const one of found) byId("marks").append(markAt(placeOfStep(one.since), "\u25cf", `${one.name || "model"}: ${one.words}`, `began${one.severity >= 0.5 ? " bad" : ""}`));
}

function markAt(place, textContent, title, className = "") {
  const mark = element("span", {textContent, title, className});
  mark.style.left = `calc(8px + (100% - 16px) * ${lastStep ? place / lastStep : 0})`;
  return mark;
}

function segment(words, pressed, action) {
  const button = element("button", {type: "button", textContent: words, ariaPressed: String(pressed)});
  button.addEventListener("click", action);
  return button;
}

function showChoices(films) {
  const families = familiesOf(films), every = state.layer === EVERY;
  const shown = every || families.length > 1 ? families : [];
  const all = shown.length && !every ? [segment("all", !state.view, () => go({view: ""}))] : [];
  byId("views").replaceChildren(...all, ...shown.map((family) => segment(nameOf(family), state.view === family, () => go({view: family}))));
  const cut = films.some(({samples}) => samples.some((standing) => standing.length)) && facts.samples.length > 1;
  byId("sample-label").hidden = !cut;
  byId("sample").value = String(state.sample);
  byId("ways").hidden = state.other === null;
  byId("ways").replaceChildren(...WAYS.map((way) => segment(way, state.way === way, () => go({way}))));
  byId("swipe-label").hidden = state.other === null || state.way !== "swipe";
}

function showPage() {
  const films = filmsOfPage(), families = familiesOf(films);
  if (state.layer === EVERY) state.view = families.includes(state.view) ? state.view : families.includes("feature maps") ? "feature maps" : families[0] ?? "";
  else if (!families.includes(state.view)) state.view = "";
  for (const button of byId("layers").querySelectorAll("button")) {
    const current = Number(button.dataset.place) === state.layer;
    button.setAttribute("aria-current", String(current));
    if (current) button.scrollIntoView({block: "nearest"});
  }
  byId("layer-choice").value = String(state.layer);
  showAbout();
  showHeadline();
  showFindings();
  showChoices(films);
  const chosen = films.filter(({family}) => !state.view || family === state.view);
  showFilms(chosen, {titled: state.layer === EVERY});
  byId("missing").hidden = chosen.length > 0;
  byId("missing").textContent = "Nothing of this was kept that can be pictured.";
  showCharts();
}

/** For each measure of health the layers as lines of one chart. */
function measuresOfAllLayers() {
  const found = new Map(), known = [...new Set(facts.charts.filter(({layer, group}) => layer >= 0 && group === "health").map(({layer}) => layer))];
  for (const {name, layer, group, lines} of facts.charts) {
    if (layer < 0 || group !== "health" || lines.length !== 1) continue;
    if (!found.has(name)) found.set(name, {name, lines: []});
    found.get(name).lines.push({
      name: facts.layers[layer].name, values: lines[0].values, colour: known.length > COLOURS ? null : known.indexOf(layer), // in all charts
    });
  }
  return [...found.values()].filter(({lines}) => lines.length > 1);
}

function showCharts() {
  const own = chartsOf(state.layer), ofModel = state.layer === MODEL;
  const reported = own.filter(({group}) => group === "metrics"), others = own.filter(({group}) => group !== "metrics");
  charts = [];
  fillCharts(byId("metrics"), reported);
  fillCharts(byId("charts"), ofModel ? [...measuresOfAllLayers(), ...others] : others);
  const title = byId("charts-title");
  title.hidden = !byId("charts").children.length;
  title.textContent = ofModel ? "The layers in numbers" : "In numbers";
}

function fillCharts(board, given) {
  const still = given.filter((chart) => constantOf(chart) !== null);
  const goTo = (step) => { stop(); go({step: placeOfStep(step)}); };
  const made = given.filter((chart) => !still.includes(chart)).map((chart) => chartOf(chart, goTo));
  const words = still.map((chart) => `${chart.name} ${inWords(constantOf(chart))}`).join(", ");
  const told = words ? [element("p", {className: "still", textContent: `The same at every step: ${words}.`})] : [];
  board.replaceChildren(...made.map(({made: one}) => one), ...told);
  charts.push(...made);
}

function showStep() {
  const {when} = facts.steps[state.step], best = state.step === facts.best;
  byId("step").value = String(state.step);
  byId("step").setAttribute("aria-valuetext", when);
  byId("moment").textContent = best ? `${when} \u2605` : when;
  byId("now").textContent = state.other === null ? when : `${when}, and ${facts.steps[state.other].when}`; // on paper
  byId("first").disabled = byId("back").disabled = state.step === 0;
  byId("last").disabled = byId("forward").disabled = state.step === lastStep;
  byId("other-row").hidden = state.other === null;
  byId("compare").setAttribute("aria-pressed", String(state.other !== null));
  if (state.other !== null) {
    byId("other").value = String(state.other);
    byId("other").setAttribute("aria-valuetext", facts.steps[state.other].when);
    byId("other-moment").textContent = facts.steps[state.other].when;
  }
  const other = state.other === null ? null : facts.steps[state.other].step;
  charts.forEach(({show}) => show(facts.steps[state.step].step, other));
}

/** Change the state, and all that depends on it; done when the pictures are painted. */
async function go(change) {
  const before = {...state};
  Object.assign(state, change);
  state.step = clampStep(state.step);
  const built = ["layer", "view", "way", "sample"].some((key) => state[key] !== before[key]) || (state.other === null) !== (before.other === null);
  if (built) showPage();
  if (state.layer !== before.layer) scrollTo(0, 0);
  showStep();
  writeAddress();
  await paintAll();
}

// ---- playing

function play() {
  if (!lastStep) return;
  if (state.step === lastStep) go({step: 0});
  const next = async () => {
    await go({step: state.step + 1});
    if (timer === null) return;
    if (state.step === lastStep) stop();
    else timer = setTimeout(next, 1000 / Number(byId("speed").value));
  };
  timer = setTimeout(next, 1000 / Number(byId("speed").value));
  showPlaying();
}

function stop() {
  clearTimeout(timer);
  timer = null;
  showPlaying();
}

function showPlaying() {
  const button = byId("play"), playing = timer !== null;
  button.setAttribute("aria-pressed", String(playing));
  button.setAttribute("aria-label", playing ? "Pause" : "Play");
  button.querySelector("path").setAttribute("d", playing ? "M4 2h3v12H4zM9 2h3v12H9z" : "M4 2v12l9-6z");
}

function compare() {
  if (!lastStep) return;
  go({other: state.other !== null ? null : state.step === 0 ? lastStep : 0});
}

function darken(dark) {
  root.dataset.theme = dark ? "dark" : "light";
  byId("dark").setAttribute("aria-pressed", String(dark));
}

const jump = (step) => { stop(); go({step}); };
const toggle = () => (timer === null ? play() : stop());
const nextLayer = (by) => go({layer: order[Math.max(0, Math.min(order.length - 1, order.indexOf(state.layer) + by))]});
const openHelp = () => byId("helping").showModal();

const KEYS = {
  ArrowLeft: () => jump(state.step - 1), ArrowRight: () => jump(state.step + 1),
  ArrowUp: () => nextLayer(-1), ArrowDown: () => nextLayer(1),
  Home: () => jump(0), End: () => jump(lastStep),
  " ": toggle, c: compare, d: () => darken(root.dataset.theme !== "dark"), "?": openHelp,
  b: () => facts.best !== null && jump(facts.best),
  "/": () => byId("search").focus(), Escape: () => [...pins].forEach(takeOff),
};

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || byId("helping").open) return;
  const at = event.target, typing = at.matches("input[type=search], select, textarea");
  if (at.matches("input[type=search]") && event.key === "Escape") { at.value = ""; filterLayers(); at.blur(); }
  if (typing || (event.key === " " && at.matches("button"))) return;
  if (at.matches("#other, #swipe") && event.key.startsWith("Arrow")) return;
  const action = KEYS[event.key];
  if (!action) return;
  event.preventDefault();
  action();
}

// ---- begin

function begin() {
  darken(matchMedia("(prefers-color-scheme: dark)").matches);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", ({matches}) => darken(matches));
  fillHeader();
  fillLayers();
  fillTimeline();
  byId("sample").replaceChildren(...["all", ...facts.samples].map((name, place) => element("option", {value: place - 1, textContent: name})));
  byId("sample").addEventListener("change", (event) => go({sample: Number(event.target.value)}));
  byId("swipe").addEventListener("input", (event) => pictures.style.setProperty("--border", `${event.target.value}%`));
  pictures.style.setProperty("--border", "50%");
  const actions = {
    first: () => jump(0), back: () => jump(state.step - 1), play: toggle, forward: () => jump(state.step + 1),
    last: () => jump(lastStep), best: KEYS.b, compare, dark: KEYS.d, help: openHelp,
  };
  for (const [id, action] of Object.entries(actions)) byId(id).addEventListener("click", action);
  document.addEventListener("keydown", onKey);
  addEventListener("hashchange", () => { if (location.hash !== addressOf()) restart(); });
  restart();
}

function restart() {
  readAddress();
  showPage();
  showStep();
  writeAddress();
  paintAll();
}

begin();
