// Lines with colours. ansi_up reads the escape sequences; nodes are made here, without HTML and without styles, which
// the page's policy forbids.
import { AnsiUp } from "../vendor/ansi_up.js";

const STATE = ["fg", "bg", "bold", "faint", "italic", "underline"];
const PLAIN = { fg: null, bg: null, bold: false, faint: false, italic: false, underline: false };
const ESCAPES = /\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]{0,2000}(?:\x07|\x1b\\)|[ -/]*[0-Z\\^-~])/g;

// A line without escape sequences.
export function plain(line) {
  return line.includes("\x1b") ? line.replace(ESCAPES, "") : line;
}

class Painter extends AnsiUp {
  constructor() {
    super();
    this.nodes = [];
  }

  transform_to_html(fragment) {
    this.nodes.push(fragment.text ? painted(fragment, this.ansi_colors.flat()) : "");
    return "";
  }

  // A link that a program prints is text: it could lead anywhere.
  process_hyperlink(packet) {
    return this.transform_to_html(this.with_state(packet));
  }

  // Return the nodes of a line that begins in a state, and the state at its end.
  paint(line, state) {
    Object.assign(this, state);
    this.nodes = [];
    this.ansi_to_html(line);
    this._buffer = "";
    return [this.nodes, Object.fromEntries(STATE.map((name) => [name, this[name]]))];
  }
}

function painted(fragment, colours) {
  const classes = ["bold", "faint", "italic", "underline"].filter((name) => fragment[name]).map((name) => `ansi-${name}`);
  if (fragment.fg) classes.push(`${nearest(fragment.fg, colours)}-fg`);
  if (fragment.bg) classes.push(`${nearest(fragment.bg, colours)}-bg`);
  if (!classes.length) return fragment.text;
  const span = document.createElement("span");
  span.className = classes.join(" ");
  span.textContent = fragment.text;
  return span;
}

// One of the sixteen colours, which are legible in the light and in the dark.
function nearest(colour, colours) {
  if (colour.class_name !== "truecolor") return colour.class_name;
  const distance = (one) => one.rgb.reduce((sum, value, at) => sum + (value - colour.rgb[at]) ** 2, 0);
  return colours.reduce((best, one) => (distance(one) < distance(best) ? one : best)).class_name;
}

const painter = new Painter();

// Return the nodes and strings of a line, and the state in which the next line begins.
export function paint(line, state = PLAIN) {
  if (state === PLAIN && !line.includes("\x1b")) return [[line], PLAIN];
  const [nodes, after] = painter.paint(line, state);
  return [nodes, STATE.every((name) => after[name] === PLAIN[name]) ? PLAIN : after];
}
