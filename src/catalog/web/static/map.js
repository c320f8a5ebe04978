// Draws a region on the map of the search page: a drag fills the fields, and what is written in them is drawn. Whoever
// has no script, or no pointer, writes into the fields.
"use strict";

(() => {
  const UNITS_PER_DEGREE = 10;
  const EDGES = ["west", "south", "east", "north"];
  // A click that trembles is no drag.
  const DRAG_UNITS_MIN = 20;
  const SVG = "http://www.w3.org/2000/svg";

  const map = document.getElementById("map");
  const region = document.getElementById("region");
  const fields = Object.fromEntries(EDGES.map((edge) => [edge, document.getElementById(edge)]));
  if (map === null || EDGES.some((edge) => fields[edge] === null)) return;

  function rectangle(west, south, east, north) {
    const made = document.createElementNS(SVG, "rect");
    const sides = {
      class: "asked",
      x: west * UNITS_PER_DEGREE,
      y: -north * UNITS_PER_DEGREE,
      width: (east - west) * UNITS_PER_DEGREE,
      height: (north - south) * UNITS_PER_DEGREE,
    };
    for (const [name, value] of Object.entries(sides)) made.setAttribute(name, String(value));
    return made;
  }

  function draw() {
    const [west, south, east, north] = EDGES.map((edge) =>
      fields[edge].value !== "" && fields[edge].validity.valid ? Number(fields[edge].value) : NaN,
    );
    const drawn = [];
    if (south <= north) {
      // West of east it crosses the antimeridian.
      if (west <= east) drawn.push(rectangle(west, south, east, north));
      else if (west > east) drawn.push(rectangle(west, south, 180, north), rectangle(-180, south, east, north));
    }
    region.replaceChildren(...drawn);
  }

  function at(event) {
    const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(map.getScreenCTM().inverse());
    return {
      x: Math.max(-180, Math.min(180, point.x / UNITS_PER_DEGREE)),
      y: Math.max(-90, Math.min(90, -point.y / UNITS_PER_DEGREE)),
    };
  }

  let begun = null;

  function fill(one, other) {
    const told = {
      west: Math.min(one.x, other.x),
      south: Math.min(one.y, other.y),
      east: Math.max(one.x, other.x),
      north: Math.max(one.y, other.y),
    };
    for (const edge of EDGES) fields[edge].value = String(Math.round(told[edge] * 10) / 10);
    draw();
  }

  map.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    event.preventDefault();
    map.setPointerCapture(event.pointerId);
    begun = at(event);
  });
  map.addEventListener("pointermove", (event) => {
    if (begun === null) return;
    const now = at(event);
    const far = Math.max(Math.abs(now.x - begun.x), Math.abs(now.y - begun.y)) * UNITS_PER_DEGREE;
    if (far >= DRAG_UNITS_MIN) fill(begun, now);
  });
  for (const ending of ["pointerup", "pointercancel"]) map.addEventListener(ending, () => (begun = null));
  for (const edge of EDGES) fields[edge].addEventListener("input", draw);
  map.closest("figure").classList.add("drawable");
})();
