// A part of a picture, enlarged by a whole factor, with the value under the pointer; a click pins it.

const FACTOR = 4, PART = [64, 52];
const MARKS = {240: "not a number", 241: "infinite", 242: "minus infinite", 243: "the same everywhere"};
const lens = document.getElementById("lens");
const pinBoard = document.getElementById("pins");
let pins = [];

/** What the pixel at a place says, in words. */
function valueAt(film, moment, x, y) {
  const index = indexAt(moment.roll, moment.frame, x, y);
  if (index === null || !film.range) return "";
  if (index >= LEVELS) return MARKS[index] ?? "";
  const {limit, signed} = film.range;
  const value = signed ? (index - CENTRE) / CENTRE * limit : index / (LEVELS - 1) * limit;
  return `${inWords(value)}, in ${signed ? inWords(-limit) : 0} to ${inWords(limit)}`;
}

function showPart(canvas, source, x, y) {
  const [width, height] = PART;
  Object.assign(canvas, {width: width * FACTOR, height: height * FACTOR});
  const context = canvas.getContext("2d");
  context.imageSmoothingEnabled = false;
  const left = Math.max(0, Math.min(source.width - width, x - (width >> 1)));
  const top = Math.max(0, Math.min(source.height - height, y - (height >> 1)));
  context.drawImage(source, left, top, width, height, 0, 0, canvas.width, canvas.height);
  const style = context;
  style.lineWidth = 1;
  for (const [paper, gap] of [["#fff", 0], ["#000", 1]]) {
    style.strokeStyle = paper;
    style.strokeRect((x - left) * FACTOR - 0.5 - gap, (y - top) * FACTOR - 0.5 - gap, FACTOR + 1 + 2 * gap, FACTOR + 1 + 2 * gap);
  }
}

function watchForLens(figure, side, place) {
  const {canvas} = side;
  const at = (event) => {
    const box = canvas.getBoundingClientRect();
    const x = Math.floor((event.clientX - box.left) / box.width * canvas.width);
    const y = Math.floor((event.clientY - box.top) / box.height * canvas.height);
    return [Math.max(0, Math.min(canvas.width - 1, x)), Math.max(0, Math.min(canvas.height - 1, y))];
  };
  canvas.addEventListener("pointermove", (event) => {
    if (event.pointerType === "touch" || !figure.moments) return;
    const [x, y] = at(event);
    showPart(lens.firstElementChild, canvas, x, y);
    lens.lastElementChild.textContent = wordsAt(figure, side, place, x, y) || "Click to pin";
    lens.hidden = false;
    const right = event.clientX + 290 < innerWidth ? event.clientX + 18 : event.clientX - 290;
    lens.style.left = `${Math.max(4, right)}px`;
    lens.style.top = `${Math.max(4, Math.min(innerHeight - 260, event.clientY + 18))}px`;
  });
  canvas.addEventListener("pointerleave", () => { lens.hidden = true; });
  canvas.addEventListener("click", (event) => pin(figure.film, place, side.origin ?? [0, 0], at(event)));
}

function wordsAt(figure, side, place, x, y) {
  if (state.other !== null && state.way === "difference") return "";
  const [left, top] = side.origin ?? [0, 0];
  return valueAt(figure.film, figure.moments[place], left + x, top + y);
}

function pin(film, place, [left, top], [x, y]) {
  const canvas = element("canvas"), words = element("p");
  const close = element("button", {type: "button", textContent: "\u00d7", ariaLabel: "Take off"});
  const made = element("div", {className: "pin"}, canvas, words, close);
  const pinned = {film, place, x: left + x, y: top + y, canvas, words, made};
  close.addEventListener("click", () => takeOff(pinned));
  lens.hidden = true;
  pins.push(pinned);
  if (pins.length > 3) takeOff(pins[0]);
  pinBoard.append(made);
  paintPins();
}

function takeOff(pinned) {
  pins = pins.filter((known) => known !== pinned);
  pinned.made.remove();
}

async function paintPins() {
  await Promise.all(pins.map(async ({film, place, x, y, canvas, words}) => {
    const step = place === 1 && state.other !== null ? state.other : state.step;
    const moment = momentOf(film, step), roll = await unpack(moment.reel);
    const whole = element("canvas");
    putOn(whole, coloursAt(roll, moment.frame), roll.reel.width, roll.reel.height);
    if (x >= whole.width || y >= whole.height) return;
    showPart(canvas, whole, x, y);
    const name = facts.layers[film.layer]?.name ?? film.tag;
    words.textContent = [`${name}, ${facts.steps[moment.step].when}`, valueAt(film, {roll, frame: moment.frame}, x, y)].filter(Boolean).join(": ");
  }));
}
