// Search in the output: all lines in memory, of which only some are in the page.
import { plain } from "./ansi.js";
import * as keys from "./keys.js";

const DELAY = 150;
// How long to search before the page may do something else.
const SLICE = 20;
const canHighlight = typeof Highlight === "function" && CSS.highlights !== undefined;

const input = document.getElementById("log-search");
const found = document.getElementById("log-found");

export class Search {
  constructor(log) {
    this.log = log;
    this.wanted = "";
    // The lines that match, in their order, and which of them is shown.
    this.matches = [];
    this.current = -1;
    this.round = 0;
  }

  setUp() {
    let timer = 0;
    input.addEventListener("input", () => {
      clearTimeout(timer);
      timer = setTimeout(() => this.start(), DELAY);
    });
    input.addEventListener("keydown", (event) => this.onKey(event));
    keys.add("n", "Next match in the output", () => this.move(1));
    keys.add("N", "Previous match in the output", () => this.move(-1));
  }

  onKey(event) {
    if (event.key === "Enter") {
      event.preventDefault();
      if (this.wanted === input.value.toLowerCase()) this.move(event.shiftKey ? -1 : 1);
      else this.start();
    } else if (event.key === "Escape") {
      input.value = "";
      this.start();
      document.getElementById("log").focus();
    }
  }

  async start() {
    this.wanted = input.value.toLowerCase();
    this.matches = [];
    this.current = -1;
    this.done = null;
    await this.run();
    // The last one first: what failed is at the end.
    if (this.matches.length) this.move(-1);
    else this.say();
  }

  // Look at the lines that have come since, also those before.
  update() {
    if (!this.wanted) return;
    const first = this.log.lines.blocks[0].first;
    if (this.done && first < this.done.first) this.restart();
    else this.run().then(() => this.say());
  }

  async restart() {
    const current = this.matches[this.current];
    this.matches = [];
    this.done = null;
    await this.run();
    this.current = this.matches.findIndex((one) => current && one.block === current.block && one.index === current.index);
    this.say();
  }

  async run() {
    this.round += 1;
    const round = this.round, wanted = this.wanted;
    if (!wanted) return;
    const lines = this.log.lines;
    this.done ??= { first: lines.blocks[0].first, next: lines.blocks[0].first };
    let begin = performance.now();
    for (const block of [...lines.blocks]) {
      for (let index = Math.max(0, this.done.next - block.first); index < block.lines.length; index += 1) {
        if (plain(block.lines[index]).toLowerCase().includes(wanted)) this.matches.push({ block, index });
        this.done.next = block.first + index + 1;
      }
      if (performance.now() - begin > SLICE) {
        await new Promise((resolve) => { setTimeout(resolve); });
        if (round !== this.round) return;
        begin = performance.now();
      }
    }
  }

  move(by) {
    const count = this.matches.length;
    if (!count) return;
    this.current = this.current < 0 ? (by > 0 ? 0 : count - 1) : (this.current + by + count) % count;
    const { block, index } = this.matches[this.current];
    if (!this.log.lines.blocks.includes(block)) {
      // Memory is bounded, and the line is no longer there.
      this.restart();
      return;
    }
    this.log.goTo(block, index);
    this.say();
  }

  say() {
    const count = this.matches.length, part = this.log.lines.start ? " in the lines loaded" : "";
    if (!this.wanted) found.textContent = "";
    else if (!count) found.textContent = `not found${part}`;
    else found.textContent = `${(this.current + 1).toLocaleString("en-US")} of ${count.toLocaleString("en-US")}${part}`;
    this.highlight();
  }

  highlight() {
    if (!canHighlight) return;
    const ranges = [], here = [];
    const shown = new Set(this.log.shown);
    if (this.wanted) {
      this.matches.forEach(({ block, index }, at) => {
        const line = shown.has(block) && block.element?.children[index];
        if (line) (at === this.current ? here : ranges).push(...rangesIn(line, this.wanted));
      });
    }
    CSS.highlights.set("found", new Highlight(...ranges));
    CSS.highlights.set("found-here", new Highlight(...here));
  }
}

// Where a text stands in a line, whose nodes it can span.
function rangesIn(line, wanted) {
  const walker = document.createTreeWalker(line, NodeFilter.SHOW_TEXT), nodes = [];
  let text = "";
  while (walker.nextNode()) {
    nodes.push({ node: walker.currentNode, start: text.length });
    text += walker.currentNode.data;
  }
  const place = (at) => nodes.findLast(({ start }) => start <= at);
  const ranges = [], lower = text.toLowerCase();
  for (let at = lower.indexOf(wanted); at >= 0; at = lower.indexOf(wanted, at + wanted.length)) {
    const range = new Range(), begin = place(at), end = place(at + wanted.length - 1);
    range.setStart(begin.node, Math.min(at - begin.start, begin.node.length));
    range.setEnd(end.node, Math.min(at + wanted.length - end.start, end.node.length));
    ranges.push(range);
  }
  return ranges;
}
