// Where one is: which layer, view, step ..., kept in the address.

const MODEL = -1, EVERY = -2; // pages beside those of the layers
const WAYS = ["side by side", "swipe", "difference"];
const lastStep = facts.steps.length - 1;
const state = {layer: MODEL, view: "", step: facts.best ?? lastStep, other: null, way: WAYS[0], sample: -1};

function clampStep(step) {
  return Math.max(0, Math.min(lastStep, step));
}

/** The place, among those that are shown, of a step of the training, or of the nearest before it. */
function placeOfStep(number) {
  let found = 0;
  facts.steps.forEach(({step}, place) => { if (step <= number) found = place; });
  return found;
}

function readAddress() {
  const given = new URLSearchParams(location.hash.slice(1));
  const layer = facts.layers.findIndex(({name}) => name === given.get("layer"));
  if (layer >= 0) state.layer = layer;
  else state.layer = given.get("page") === "layers" ? EVERY : MODEL;
  const step = given.get("step"), other = given.get("compare");
  if (/^\d+$/.test(step ?? "")) state.step = placeOfStep(Number(step));
  state.other = /^\d+$/.test(other ?? "") ? placeOfStep(Number(other)) : null;
  state.view = given.get("view") ?? "";
  state.way = WAYS.includes(given.get("how")) ? given.get("how") : WAYS[0];
  const sample = Number(given.get("sample") ?? 0) - 1;
  state.sample = Number.isInteger(sample) && sample < facts.samples.length ? Math.max(-1, sample) : -1;
}

function addressOf() {
  const told = new URLSearchParams();
  if (state.layer >= 0) told.set("layer", facts.layers[state.layer].name);
  else told.set("page", state.layer === EVERY ? "layers" : "model");
  told.set("step", facts.steps[state.step].step);
  if (state.view) told.set("view", state.view);
  if (state.other !== null) {
    told.set("compare", facts.steps[state.other].step);
    if (state.way !== WAYS[0]) told.set("how", state.way);
  }
  if (state.sample >= 0) told.set("sample", state.sample + 1);
  return `#${told}`;
}

function writeAddress() {
  const address = addressOf();
  if (location.hash !== address) history.replaceState(null, "", address);
}
