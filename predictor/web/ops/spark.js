// Small pictures of a series: a line up to now, with a mark for each swap.

const SVG = "http://www.w3.org/2000/svg";
const [WIDTH, HEIGHT, TOP] = [300, 56, 4];
const GAP_MS = 20_000; // no line across a longer silence

function shape(tag, attributes, ...children) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

// `points` are {at, value}; `label` is read by screen readers.
export function spark(points, { now, span, swaps, label, least }) {
  const x = (at) => WIDTH - ((now - at) / span) * WIDTH;
  const highest = Math.max(least, ...points.map(({ value }) => value ?? 0));
  const y = (value) => HEIGHT - 1 - (value / highest) * (HEIGHT - TOP - 1);
  const marks = swaps.filter((at) => at > now - span && at <= now).map((at) => shape("path", { class: "spark-swap", d: `M${x(at).toFixed(1)} 0V${HEIGHT}` }));
  const pieces = runs(points).map((run) => run.map(({ at, value }) => `${x(at).toFixed(1)} ${y(value).toFixed(1)}`));
  const areas = pieces.map((run) => shape("path", { class: "spark-area", d: `M${run[0].split(" ")[0]} ${HEIGHT}L${run.join("L")}L${run.at(-1).split(" ")[0]} ${HEIGHT}Z` }));
  // A single point is drawn as a dot by its round end.
  const lines = pieces.map((run) => shape("path", { class: "spark-line", d: `M${run.join("L")}${run.length === 1 ? "h0.01" : ""}` }));
  return shape(
    "svg",
    { class: "spark", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": label },
    shape("path", { class: "spark-ground", d: `M0 ${HEIGHT - 0.5}H${WIDTH}` }),
    ...marks,
    ...areas,
    ...lines,
  );
}

// The pieces of a series without gaps.
function runs(points) {
  const found = [];
  let before = null;
  for (const point of points) {
    if (point.value === null) before = null;
    else {
      if (before === null || point.at - before.at > GAP_MS) found.push([]);
      found.at(-1).push(point);
      before = point;
    }
  }
  return found;
}
