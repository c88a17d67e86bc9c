// Reels: pictures over steps, unpacked when they are first shown. See report/reels.py for how they are packed.

const facts = JSON.parse(document.getElementById("facts").textContent);
const LEFT = 1, ABOVE = 2;
const LEVELS = 224, CENTRE = 111; // indices below are values; of signed ones zero is the centre
const MOST_UNPACKED = 48; // so many reels are kept in memory
const unpacked = new Map(); // promises by number, the one used last at the end
const palettes = facts.colours.map((text) => coloursOf(bytesOf(text)));

function bytesOf(text) {
  const raw = atob(text);
  const bytes = new Uint8Array(raw.length);
  for (let place = 0; place < raw.length; place++) bytes[place] = raw.charCodeAt(place);
  return bytes;
}

/** Colours as a canvas holds them, red in the lowest byte. */
function coloursOf(bytes) {
  const colours = new Uint32Array(bytes.length / 3);
  for (let place = 0; place < colours.length; place++) colours[place] = colour(...bytes.subarray(3 * place, 3 * place + 3));
  return colours;
}

function colour(red, green, blue) {
  return ((255 << 24) | (blue << 16) | (green << 8) | red) >>> 0;
}

async function inflated(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** The reel with, for each pixel, the place of its value, and the values of all steps. */
function unpack(reel) {
  const known = unpacked.get(reel.number);
  unpacked.delete(reel.number);
  unpacked.set(reel.number, known ?? unpackNow(reel));
  if (unpacked.size > MOST_UNPACKED) unpacked.delete(unpacked.keys().next().value);
  return unpacked.get(reel.number);
}

async function unpackNow(reel) {
  const raw = await inflated(bytesOf(document.getElementById(`reel-${reel.number}`).textContent));
  const pixels = reel.width * reel.height, places = new Int32Array(pixels);
  for (let pixel = 0, next = 0; pixel < pixels; pixel++) {
    const how = raw[pixel];
    places[pixel] = how === LEFT ? places[pixel - 1] : how === ABOVE ? places[pixel - reel.width] : next++;
  }
  const size = reel.values * (reel.colours === null ? 3 : 1);
  const values = raw.subarray(pixels);
  for (let place = size; place < values.length; place++) values[place] += values[place - size]; // modulo 256
  return {reel, places, values, size};
}

/** The reel of a film at a step, and which of its pictures: that of the step, or of the last one before it. */
function momentOf(film, step) {
  let found = null;
  for (const reel of film.reels) {
    reel.steps.forEach((known, frame) => {
      const nearer = known <= step ? found === null || found.step > step || known > found.step
        : found === null || (found.step > step && known < found.step);
      if (nearer) found = {reel, frame, step: known};
    });
  }
  return found;
}

/** The colours of one picture of an unpacked reel, as a canvas holds them. */
function coloursAt({reel, places, values, size}, frame) {
  const shown = new Uint32Array(places.length), start = frame * size;
  if (reel.colours === null) {
    const count = reel.values;
    for (let pixel = 0; pixel < shown.length; pixel++) {
      const place = start + places[pixel];
      shown[pixel] = colour(values[place], values[place + count], values[place + 2 * count]);
    }
  } else {
    const palette = palettes[reel.colours];
    for (let pixel = 0; pixel < shown.length; pixel++) shown[pixel] = palette[values[start + places[pixel]]];
  }
  return shown;
}

/** The palette's index of a pixel; null where pixels are colours themselves. */
function indexAt({reel, places, values, size}, frame, x, y) {
  return reel.colours === null ? null : values[frame * size + places[y * reel.width + x]];
}

/**
 * How much two pictures of one size differ: white is not at all, the darkest is the most; how much that is, and
 * whether in levels of the palette or, where anything but values differs, in colours. The title tells the step, and
 * is left out where it differs.
 */
function differences(one, other) {
  const [shown, others] = [one, other].map(({roll, frame}) => coloursAt(roll, frame));
  const [indices, otherIndices] = [one, other].map(({roll, frame}) => indicesAt(roll, frame));
  const begin = facts.title_height * one.roll.reel.width, white = colour(255, 255, 255);
  const isValue = (pixel) => indices !== null && otherIndices !== null && indices[pixel] < LEVELS && otherIndices[pixel] < LEVELS;
  let levels = true;
  for (let pixel = begin; pixel < shown.length && levels; pixel++) levels = shown[pixel] === others[pixel] || isValue(pixel);
  const steps = new Uint8Array(shown.length);
  let most = 0;
  for (let pixel = begin; pixel < shown.length; pixel++) {
    if (levels && isValue(pixel)) steps[pixel] = Math.abs(indices[pixel] - otherIndices[pixel]);
    else if (shown[pixel] !== others[pixel]) steps[pixel] = distance(shown[pixel], others[pixel]);
    else if (levels || !isValue(pixel)) continue; // letters, small pictures: as they are
    most = Math.max(most, steps[pixel]);
    shown[pixel] = white;
  }
  for (let pixel = begin; pixel < shown.length; pixel++) {
    if (!steps[pixel]) continue;
    const share = 0.06 + 0.94 * steps[pixel] / most; // one that is hardly there can be seen
    shown[pixel] = colour(255 - 181 * share, 255 - 255 * share, 255 - 135 * share);
  }
  eraseTitle(shown, others, begin, one.roll.reel.width);
  return {shown, most, levels};
}

function distance(one, other) {
  return Math.max(...[0, 8, 16].map((shift) => Math.abs(((one >> shift) & 255) - ((other >> shift) & 255))));
}

/** White from the first column that differs in any row of the title. */
function eraseTitle(shown, others, end, width) {
  let first = width;
  for (let pixel = 0; pixel < end; pixel++) {
    if (shown[pixel] !== others[pixel]) first = Math.min(first, pixel % width);
  }
  for (let pixel = 0; pixel < end; pixel++) if (pixel % width >= first) shown[pixel] = colour(255, 255, 255);
}

/** The palette's indices of all pixels; null where pixels are colours themselves. */
function indicesAt({reel, places, values, size}, frame) {
  if (reel.colours === null) return null;
  const found = new Uint8Array(places.length), start = frame * size;
  for (let pixel = 0; pixel < found.length; pixel++) found[pixel] = values[start + places[pixel]];
  return found;
}

function putOn(canvas, colours, width, height) {
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, {width, height});
  const pixels = new Uint8ClampedArray(colours.buffer);
  canvas.getContext("2d").putImageData(new ImageData(pixels, width, height), 0, 0);
}
