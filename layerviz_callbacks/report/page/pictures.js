// The pictures of a page: figures that are painted when they come into sight, and again at each step.

const pictures = document.getElementById("pictures");
const MOST_AT_ONCE = 24; // on a page of no more figures, those out of sight are painted, too: for printing
const MOST_ENLARGED = 2; // times, a sample that is cut out
const PAUSE = 600; // milliseconds at one step, before that
let figures = [];
let resting = null;
const sight = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    const figure = figures.find(({made}) => made === entry.target);
    if (!figure) continue;
    figure.seen = entry.isIntersecting;
    if (figure.seen) paint(figure);
  }
}, {rootMargin: "200px"});

/** Where the chosen sample stands in a film's picture of a step: [left, top, width, height]; null: all of it. */
function cutOf(film, step) {
  return state.sample < 0 ? null : film.samples[film.samples_of[step]]?.[state.sample] ?? null;
}

/** A group of pictures as it is called here; TensorBoard sorts some to the front with a digit. */
function nameOf(family) {
  return family.replace(/^\d+ /, "");
}

/** What a picture of the whole model is called. */
function headingOf(tag) {
  const [family, ...rest] = tag.split("/");
  return ["input", "output"].includes(rest.join("/")) ? family : rest.join("/") || family;
}

function figureOf(film, {titled}) {
  const layer = facts.layers[film.layer];
  const heading = element("h3", {textContent: titled && layer ? layer.name : film.layer < 0 ? headingOf(film.tag) : nameOf(film.family)});
  const range = element("span", {className: "range"});
  if (film.range) {
    const {limit, signed} = film.range;
    range.textContent = `${signed ? inWords(-limit) : 0} to ${inWords(limit)} at every step`;
  }
  const comparing = state.other !== null && film.reels.reduce((sum, {steps}) => sum + steps.length, 0) > 1;
  const count = comparing && state.way !== "difference" ? 2 : 1;
  const sides = Array.from({length: count}, () => {
    const canvas = element("canvas", {role: "img"}), words = element("p");
    words.hidden = !comparing;
    return {canvas, words, made: element("div", {className: "side"}, words, canvas)};
  });
  const stage = element("div", {className: `stage ${comparing ? state.way.replaceAll(" ", "-") : ""}`}, ...sides.map(({made}) => made));
  stage.classList.toggle("beside", comparing && state.way === WAYS[0]);
  const made = element("figure", {}, element("figcaption", {}, heading, range), stage);
  made.dataset.tag = film.tag;
  const figure = {film, made, sides, comparing, seen: false, painted: ""};
  sides.forEach((side, place) => watchForLens(figure, side, place));
  return figure;
}

function showFilms(films, options) {
  sight.disconnect();
  figures = films.map((film) => figureOf(film, options));
  pictures.replaceChildren(...figures.map(({made}) => made));
  pictures.className = state.other !== null ? "comparing" : options.titled ? "small" : "columns";
  figures.forEach(({made}) => sight.observe(made));
}

/** Paint every figure in sight; done when all of them show the step. */
async function paintAll() {
  for (const {made, seen} of figures) if (!seen) delete made.dataset.painted;
  clearTimeout(resting);
  if (figures.length <= MOST_AT_ONCE) resting = setTimeout(() => figures.filter(({seen}) => !seen).forEach(paint), PAUSE);
  await Promise.all(figures.filter(({seen}) => seen).map(paint));
  await paintPins();
}

async function paint(figure) {
  const {film, sides, comparing} = figure;
  const steps = comparing ? [state.step, state.other] : [state.step];
  const wanted = `${steps} ${state.way} ${state.sample}`;
  figure.wanted = wanted;
  const moments = await Promise.all(steps.map(async (step) => {
    const moment = momentOf(film, step);
    return {...moment, roll: await unpack(moment.reel)};
  }));
  if (figure.wanted !== wanted) return; // another step was asked for meanwhile
  figure.moments = moments;
  if (comparing && state.way === "difference") paintDifference(figure, sides[0], moments);
  else moments.forEach((moment, place) => paintSide(figure, sides[place], moment));
  figure.painted = wanted;
  figure.made.dataset.painted = steps.map((step) => facts.steps[step].step).join(" ");
}

function paintSide({film}, side, {roll, frame, step}) {
  const {width, height} = roll.reel, cut = cutOf(film, step);
  side.origin = cut ? [cut[0], cut[1]] : [0, 0];
  if (cut) {
    const whole = element("canvas");
    putOn(whole, coloursAt(roll, frame), width, height);
    enlarge(side.canvas, whole, cut);
  } else {
    side.factor = 1;
    putOn(side.canvas, coloursAt(roll, frame), width, height);
  }
  side.made.classList.toggle("cut", Boolean(cut));
  side.canvas.style.maxWidth = cut ? `${MOST_ENLARGED * cut[2]}px` : "";
  side.words.textContent = state.other !== null && state.way === "swipe"
    ? `${facts.steps[state.step].when} at the left, ${facts.steps[state.other].when} at the right` : facts.steps[step].when;
  side.canvas.setAttribute("aria-label", film.captions[film.caption_of[step]] ?? film.tag);
}

/** A part of a picture, its pixels as they are. */
function enlarge(canvas, whole, [left, top, width, height]) {
  Object.assign(canvas, {width, height});
  canvas.getContext("2d").drawImage(whole, left, top, width, height, 0, 0, width, height);
}

function paintDifference({film}, side, [one, other]) {
  const {width, height} = one.roll.reel;
  const same = other.roll.reel.width === width && other.roll.reel.height === height;
  side.origin = [0, 0];
  side.canvas.hidden = !same;
  const words = `${facts.steps[one.step].when} and ${facts.steps[other.step].when}`;
  if (same) {
    const {shown, most, levels} = differences(one, other);
    putOn(side.canvas, shown, width, height);
    const value = film.range && levels ? most / (film.range.signed ? CENTRE : LEVELS - 1) * film.range.limit : null;
    const largest = value === null ? "the largest difference of colours" : inWords(value);
    side.words.textContent = most ? `Between ${words}: white is no difference, the darkest is ${largest}.` : `No difference between ${words}.`;
  } else {
    side.words.textContent = `The pictures of ${words} have other sizes; see them side by side.`;
  }
  side.canvas.setAttribute("aria-label", `${film.tag}: ${side.words.textContent}`);
}
