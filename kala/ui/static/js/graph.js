// Draws the list of the page as a picture: dagre finds the places, and the picture is made of links, as the list is.
import { Graph, layout } from "../vendor/dagre.esm.js";

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 216, HEIGHT = 48, PADDING = 10, ICON = 16;
const SMALLEST = 0.2, LARGEST = 3, STEP = 1.25;
// At first the names can be read, even if not all of the picture is seen then.
const LEGIBLE = 0.8;
// What a file of its own needs, as it has no style sheet.
const STYLES = ["fill", "stroke", "stroke-width", "font-family", "font-size", "font-weight", "color"];

const picture = document.getElementById("picture");
const canvas = picture.querySelector(".canvas");
let places = null;
let shape = "";
let scale = 0;

function make(name, attributes, ...children) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

// The jobs and edges of the list.
function read() {
  const lines = [...document.querySelectorAll("#list li[data-job]")];
  return {
    jobs: lines.filter((line) => line.id),
    edges: lines.filter((line) => line.dataset.from).map((line) => line.dataset),
  };
}

function place({ jobs, edges }) {
  const graph = new Graph();
  graph.setGraph({ rankdir: "LR", nodesep: 16, ranksep: 56, marginx: 12, marginy: 12 });
  graph.setDefaultEdgeLabel(() => ({}));
  for (const line of jobs) graph.setNode(line.dataset.job, { width: WIDTH, height: HEIGHT });
  // A job can be both the child and the on-failure job of another; one line is enough for dagre.
  for (const edge of edges) graph.setEdge(edge.from, edge.job);
  layout(graph);
  return graph;
}

// A curve from the right side of one job to the left side of the other. Between the columns of jobs it goes up or down,
// and where it passes a column it is level, in the gap that dagre left for it.
function path(from, to, points) {
  const columns = new Set(places.nodes().map((job) => Math.round(places.node(job).x)));
  const passed = points.slice(1, -1).filter(({ x }) => columns.has(Math.round(x)));
  let { x, y } = from, text = "";
  for (const next of [...passed, to]) {
    const left = next.x - WIDTH / 2, middle = (x + WIDTH / 2 + left) / 2;
    text += `${text ? "H" : "M"}${x + WIDTH / 2}${text ? "" : ` ${y}`}C${middle} ${y} ${middle} ${next.y} ${left} ${next.y}`;
    ({ x, y } = next);
  }
  return text;
}

const measure = document.createElement("canvas").getContext("2d");

// The beginning of a name, as much of it as fits. A letter with its accents, or an emoji, is never cut.
function cut(name, width) {
  const font = getComputedStyle(document.body).fontFamily;
  measure.font = `600 13px ${font}`;
  if (measure.measureText(name).width <= width) return name;
  const letters = [...new Intl.Segmenter().segment(name)].map((part) => part.segment);
  let [least, most] = [0, letters.length];
  while (least < most) {
    const half = Math.ceil((least + most) / 2);
    if (measure.measureText(`${letters.slice(0, half).join("")}…`).width <= width) least = half;
    else most = half - 1;
  }
  return `${letters.slice(0, least).join("")}…`;
}

function states(line, x, y) {
  let at = x;
  return [...line.querySelectorAll(":scope > .state")].map((state) => {
    const word = state.textContent.trim();
    // With a shape of its own instead of a reference to that of the page, so that the picture is whole as a file.
    const shape = document.querySelector(state.querySelector("use").getAttribute("href"));
    const icon = make("svg", { class: "icon", x: at, y, width: ICON, height: ICON, viewBox: shape.getAttribute("viewBox") },
      ...[...shape.childNodes].map((part) => part.cloneNode(true)));
    measure.font = `600 12px ${getComputedStyle(document.body).fontFamily}`;
    const text = make("text", { x: at + ICON + 6, y: y + 12 }, word);
    at += ICON + 14 + measure.measureText(word).width;
    return make("g", { class: state.className }, icon, text);
  });
}

function node(line, { x, y }) {
  const link = line.querySelector("a.name"), name = link.textContent;
  const words = [...line.querySelectorAll(":scope > .state")].map((state) => state.textContent.trim());
  const [left, top] = [x - WIDTH / 2, y - HEIGHT / 2];
  const kinds = [...line.querySelectorAll(":scope > .state")].map((state) => state.classList[1]);
  const classes = ["node", ...kinds, ...(kinds.includes("disabled") ? ["off"] : []),
    ...(line.querySelector(":scope > .focus") ? [] : ["here"])];
  return make("a", { href: link.href, class: classes.join(" "), "data-job": line.dataset.job,
    "aria-label": `${name}, ${words.join(", ")}` },
    make("title", {}, name),
    make("rect", { x: left, y: top, width: WIDTH, height: HEIGHT, rx: 6 }),
    make("text", { class: "name", x: left + PADDING, y: top + 19, "font-weight": 600 }, cut(name, WIDTH - 2 * PADDING)),
    ...states(line, left + PADDING, top + 27));
}

function line(edge) {
  const { points } = places.edge(edge.from, edge.job);
  const attributes = { class: "edge", "marker-end": "url(#tip)",
    d: path(places.node(edge.from), places.node(edge.job), points) };
  return make("path", edge.kind === "failure" ? { ...attributes, "stroke-dasharray": "5 4" } : attributes);
}

function draw() {
  const found = read();
  const now = JSON.stringify([found.jobs.map(({ dataset }) => dataset.job), found.edges.map((edge) => [edge.from, edge.job])]);
  if (now !== shape) {
    places = place(found);
    shape = now;
  }
  const { width, height } = places.graph();
  const tip = make("marker", { id: "tip", viewBox: "0 0 8 8", refX: 8, refY: 4, markerWidth: 7, markerHeight: 7, orient: "auto" },
    make("path", { class: "tip", d: "M0 0 8 4 0 8z" }));
  const at = (job) => places.node(job.dataset.job);
  // As one reads: column by column, from the top, which is the order for the Tab key, too.
  const inOrder = [...found.jobs].sort((a, b) => at(a).x - at(b).x || at(a).y - at(b).y);
  const svg = make("svg", { viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": `Graph of ${found.jobs.length} jobs` },
    make("defs", {}, tip), ...found.edges.map(line), ...inOrder.map((job) => node(job, at(job))));
  const focused = canvas.contains(document.activeElement) ? document.activeElement.dataset.job : null;
  canvas.replaceChildren(svg);
  if (scale) zoom(scale);
  else begin();
  if (focused) canvas.querySelector(`[data-job="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
}

function zoom(to) {
  scale = Math.min(LARGEST, Math.max(SMALLEST, to));
  const svg = canvas.firstElementChild, { width, height } = places.graph();
  svg.setAttribute("width", Math.round(width * scale));
  svg.setAttribute("height", Math.round(height * scale));
}

function fit() {
  const { width, height } = places.graph();
  zoom(Math.min(1, (canvas.clientWidth - 2) / width, (innerHeight * 0.7 - 2) / height));
}

function begin() {
  fit();
  if (scale >= LEGIBLE) return;
  zoom(LEGIBLE);
  const { x, y } = places.node(canvas.querySelector(".here").dataset.job);
  canvas.scrollTo(x * scale - canvas.clientWidth / 2, y * scale - canvas.clientHeight / 2);
}

// The picture as a file: with the styles that the page gives it, and whole links.
function download(name) {
  const svg = canvas.firstElementChild, copy = svg.cloneNode(true);
  const [shown, copied] = [svg, copy].map((root) => root.querySelectorAll("*"));
  shown.forEach((element, i) => {
    const style = getComputedStyle(element);
    for (const property of STYLES) copied[i].setAttribute(property, style.getPropertyValue(property));
  });
  for (const stroke of copy.querySelectorAll("[stroke=Canvas]")) stroke.setAttribute("stroke", "white");
  const { width, height } = places.graph();
  copy.setAttribute("width", width);
  copy.setAttribute("height", height);
  for (const link of copy.querySelectorAll("a")) link.setAttribute("href", new URL(link.getAttribute("href"), location.href));
  const text = new XMLSerializer().serializeToString(copy);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "image/svg+xml" }));
  link.download = `${name}.svg`;
  link.click();
  URL.revokeObjectURL(link.href);
}

function press(button) {
  const { zoom: way, download: name } = button.dataset;
  if (way === "in") zoom(scale * STEP);
  else if (way === "out") zoom(scale / STEP);
  else if (way === "fit") fit();
  else download(name);
}

if ("draw" in picture.dataset) {
  picture.hidden = false;
  draw();
  // The list says the same in another way; it opens again for who prefers it.
  document.getElementById("outline").open = false;
  picture.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button) press(button);
  });
  document.addEventListener("kala:shown", draw);
}
