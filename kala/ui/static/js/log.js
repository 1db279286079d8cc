// The output of a run: live, with colours, search, and links to lines.
import { paint, plain } from "./ansi.js";
import { Feed, readPart } from "./feed.js";
import { copy } from "./forms.js";
import * as keys from "./keys.js";
import { Lines, overwritten } from "./lines.js";
import { Search } from "./log-search.js";
import * as state from "./run-state.js";

// At most 5,000 lines are in the page.
const BLOCKS = 10;
const EARLIER_BLOCKS = 4;
const EARLIER_BYTES = 256 * 1024;
// An output that is not larger is read as a whole; it is the default of Kala's output_limit.
const AT_ONCE_BYTES = 1024 * 1024;
// A longer line is shown up to here, until the person wants all of it.
const LONG_LINE = 20_000;
const LINE_PIXELS = 20;
// What is in memory, in characters; what is beyond can be read again.
const MOST_CHARACTERS = 64 * 1024 * 1024;
const LEAST_PAUSE = 50;
const BOTTOM_PIXELS = 8;

const section = document.getElementById("output");
const log = document.getElementById("log");
const byId = (name) => document.getElementById(name);

class Log {
  constructor() {
    this.path = section.dataset.path;
    this.lines = new Lines(Number(section.dataset.offset));
    // The blocks that are in the page: a part of those in memory.
    this.shown = [];
    this.isFollowing = !location.hash.startsWith("#L");
    this.seen = 0;
    this.timer = 0;
    this.pause = LEAST_PAUSE;
    this.isFresh = true;
    this.lastTop = 0;
    this.reading = Promise.resolve();
    this.search = new Search(this);
    this.isLive = document.getElementById("run").dataset.ended === undefined;
    this.setUp();
    this.feed = new Feed(this.path, this.lines.end, this);
  }

  setUp() {
    byId("log-tools").hidden = false;
    byId("log-note").hidden = true;
    byId("follow").hidden = !this.isLive;
    byId("follow").addEventListener("click", () => this.toggleFollow());
    byId("wrap").addEventListener("click", () => this.toggleWrap());
    byId("log-new").addEventListener("click", () => this.follow());
    byId("log-earlier").addEventListener("click", () => this.showEarlier());
    byId("log-copy").addEventListener("click", () => this.copy());
    log.addEventListener("scroll", () => this.onScroll());
    log.addEventListener("click", (event) => this.onClick(event));
    window.addEventListener("hashchange", () => this.goToHash());
    if (localStorage.getItem("kala-wrap") === "off") this.toggleWrap();
    keys.add("f", "Follow the output", () => this.toggleFollow());
    keys.add("w", "Wrap long lines of the output", () => this.toggleWrap());
    this.search.setUp();
  }

  // What the feed tells.

  add(bytes) {
    this.lines.add(bytes);
    this.schedule();
  }

  skip(count) {
    this.lines.skip(count);
    this.schedule();
  }

  // Kala has less than was sent; what is shown stays.
  moved(offset) {
    this.lines.end = offset;
  }

  connected(isConnected) {
    byId("log-lost").hidden = isConnected;
  }

  ended() {
    this.isLive = false;
    clearTimeout(this.timer);
    this.timer = 0;
    this.draw();
    state.outputEnded();
  }

  // Drawing.

  schedule() {
    if (this.timer) return;
    this.timer = setTimeout(() => {
      this.timer = 0;
      const begin = performance.now();
      this.draw();
      // A run that prints very much gets a part of the time only, so that the page stays usable.
      this.pause = Math.max(LEAST_PAUSE, 3 * (performance.now() - begin));
    }, this.isFresh ? 0 : this.pause);
  }

  draw() {
    if (this.isFresh) {
      if (!this.lines.count && !this.lines.rest && this.isLive) return;
      this.begin();
    }
    const blocks = this.lines.blocks;
    if (this.isFollowing) this.showFrom(Math.max(0, blocks.length - BLOCKS));
    else this.extend();
    this.forget();
    this.drawNumbers();
    if (this.isFollowing) this.scrollToEnd();
    this.showTools();
    this.search.update();
  }

  // Replace what the server has put into the page.
  begin() {
    this.isFresh = false;
    state.outputBegan();
    log.replaceChildren();
    log.classList.add("scripted");
    const isEmpty = !this.lines.count && !this.lines.rest;
    log.hidden = isEmpty;
    byId("log-empty").hidden = !isEmpty;
    if (location.hash.startsWith("#L")) this.goToHash();
    // So that lines have their numbers, and search finds all.
    else if (this.lines.start <= AT_ONCE_BYTES) this.readAll();
  }

  // Show the blocks from one on, as many as may be in the page.
  showFrom(start) {
    const wanted = this.lines.blocks.slice(start, start + BLOCKS);
    for (const block of this.shown) if (!wanted.includes(block)) this.hide(block);
    let before = null;
    for (const block of wanted) {
      this.show(block, before);
      before = block.element;
    }
    this.shown = wanted;
    if (this.isAtEnd) this.drawRest();
  }

  // New lines belong below those that are shown, as long as there is room; nothing that is read moves.
  extend() {
    const blocks = this.lines.blocks, start = this.shown.length ? blocks.indexOf(this.shown[0]) : 0;
    this.showFrom(Math.max(0, start));
  }

  get isAtEnd() {
    return this.shown.at(-1) === this.lines.last;
  }

  show(block, before) {
    if (block.isStale) {
      this.hide(block);
      block.isStale = false;
    }
    const element = block.element ??= newBlock();
    if (!element.isConnected) {
      if (before) before.after(element);
      else log.prepend(element);
    }
    const drawn = block.drawn ?? 0;
    if (drawn < block.lines.length) {
      this.removeRest();
      const all = document.createDocumentFragment();
      for (let index = drawn; index < block.lines.length; index += 1) {
        const [nodes, after] = paint(cut(block.lines[index]), block.state ?? this.stateBefore(block));
        block.state = after;
        all.append(this.newLine(block, index, nodes, block.lines[index]));
      }
      element.append(all);
      block.drawn = block.lines.length;
      element.style.containIntrinsicBlockSize = `auto ${block.drawn * LINE_PIXELS}px`;
    }
  }

  // Colours stay on from line to line.
  stateBefore(block) {
    return this.lines.blocks[this.lines.blocks.indexOf(block) - 1]?.state;
  }

  hide(block) {
    block.element?.remove();
    block.element = null;
    block.drawn = 0;
    block.state = undefined;
  }

  newLine(block, index, nodes, text) {
    const line = document.createElement("span");
    line.className = "line";
    const number = document.createElement("a");
    number.className = "no";
    number.tabIndex = -1;
    number.setAttribute("aria-hidden", "true");
    line.append(number, ...nodes);
    if (text.length > LONG_LINE) line.append(moreOf(text));
    line.append("\n");
    this.number(line, this.lines.numberOf(block, index));
    return line;
  }

  number(line, number) {
    if (number === null) return;
    line.id = `L${number}`;
    line.firstChild.dataset.n = number;
    line.firstChild.href = `#L${number}`;
  }

  // The numbers of lines that were drawn before the beginning of the output was known.
  drawNumbers() {
    log.classList.toggle("unnumbered", this.lines.origin === null);
    if (this.lines.origin === null || this.isNumbered) return;
    this.isNumbered = true;
    for (const block of this.shown) {
      [...block.element.children].forEach((line, index) => this.number(line, this.lines.numberOf(block, index)));
    }
  }

  // The line that is not complete yet.
  drawRest() {
    this.removeRest();
    if (!this.lines.rest) return;
    const text = overwritten(this.lines.rest), block = this.lines.last;
    const [nodes] = paint(cut(text), block.state ?? this.stateBefore(block));
    this.rest = this.newLine(block, block.lines.length, nodes, text);
    this.rest.lastChild.remove();
    block.element.append(this.rest);
  }

  removeRest() {
    this.rest?.remove();
    this.rest = null;
  }

  // Keep memory bounded: what is far above can be read again.
  forget() {
    while (this.lines.size > MOST_CHARACTERS && this.shown[0] !== this.lines.blocks[0]) this.lines.drop();
  }

  // Where the person is.

  scrollToEnd() {
    log.scrollTop = log.scrollHeight;
    this.lastTop = log.scrollTop;
    this.seen = this.lines.count;
  }

  onScroll() {
    const isBottom = log.scrollHeight - log.scrollTop - log.clientHeight < BOTTOM_PIXELS;
    if (log.scrollTop < this.lastTop - 1 && !isBottom) this.setFollowing(false);
    this.lastTop = log.scrollTop;
    if (!isBottom) return;
    if (this.isAtEnd) this.setFollowing(true);
    else this.showLater();
  }

  setFollowing(isFollowing) {
    if (this.isFollowing === isFollowing) return;
    this.isFollowing = isFollowing;
    this.seen = this.lines.count;
    this.showTools();
  }

  toggleFollow() {
    if (this.isFollowing) this.setFollowing(false);
    else this.follow();
  }

  follow() {
    this.setFollowing(true);
    this.draw();
  }

  toggleWrap() {
    const isOff = log.classList.toggle("unwrapped");
    byId("wrap").setAttribute("aria-pressed", String(!isOff));
    localStorage.setItem("kala-wrap", isOff ? "off" : "on");
    if (this.isFollowing) this.scrollToEnd();
  }

  showTools() {
    byId("follow").setAttribute("aria-pressed", String(this.isFollowing));
    byId("follow").hidden = !this.isLive;
    const fresh = this.lines.count - this.seen;
    const note = byId("log-new");
    note.hidden = this.isFollowing || !fresh;
    note.textContent = `↓ ${fresh.toLocaleString("en-US")} new line${fresh === 1 ? "" : "s"}`;
    byId("log-earlier").hidden = this.isFresh
      || (this.shown[0] === this.lines.blocks[0] && this.lines.start === 0);
  }

  // Change what is shown, and keep the line of the person in place. `block` is shown before and after.
  keepPlace(block, change) {
    const top = block.element.getBoundingClientRect().top;
    // Some browsers would do the same, and others not.
    log.style.overflowAnchor = "none";
    change();
    log.scrollTop += block.element.getBoundingClientRect().top - top;
    this.lastTop = log.scrollTop;
    requestAnimationFrame(() => { log.style.overflowAnchor = ""; });
  }

  async showEarlier() {
    const [first] = this.shown;
    this.setFollowing(false);
    if (first === this.lines.blocks[0]) await this.readEarlier(EARLIER_BYTES);
    const start = Math.max(0, this.lines.blocks.indexOf(first) - EARLIER_BLOCKS);
    // To the last lines of what comes before.
    this.keepPlace(first, () => this.showFrom(start));
    log.scrollTop -= log.clientHeight / 2;
    this.drawNumbers();
    this.showTools();
    this.search.update();
  }

  showLater() {
    const blocks = this.lines.blocks, last = this.shown.at(-1);
    const end = Math.min(blocks.length, blocks.indexOf(last) + 1 + EARLIER_BLOCKS);
    this.keepPlace(last, () => this.showFrom(Math.max(0, end - BLOCKS)));
    this.showTools();
  }

  // Read what was printed before, at least one line of it. Return whether that was possible. One at a time.
  readEarlier(size) {
    this.reading = this.reading.then(async () => {
      try {
        await this.readBefore(size);
        return true;
      } catch (error) {
        if (!(error instanceof TypeError)) throw error;
        // The network: whoever asked can ask again.
        this.connected(false);
        return false;
      }
    });
    return this.reading;
  }

  async readBefore(size) {
    for (let more = size; this.lines.start > 0; more *= 2) {
      const to = this.lines.start, from = Math.max(0, to - more);
      const earlier = new Lines(from, { isPartial: from > 0 });
      await readPart(this.path, earlier, to);
      this.connected(true);
      this.lines.prepend(earlier);
      if (earlier.count) break;
    }
  }

  async readAll() {
    while (this.lines.start > 0 && this.lines.size < MOST_CHARACTERS && await this.readEarlier(16 * EARLIER_BYTES));
    this.drawNumbers();
    this.showTools();
    this.search.update();
  }

  // Links to lines.

  onClick(event) {
    const more = event.target.closest("button.rest-of-line");
    if (more) more.replaceWith(more.dataset.text);
  }

  async goToHash() {
    const number = Number(/^#L(\d+)$/.exec(location.hash)?.[1]);
    if (!number) return;
    this.setFollowing(false);
    if (this.lines.origin === null) await this.readAll();
    const found = this.lines.find(number);
    if (found) this.goTo(found.block, found.index);
  }

  // Show a line in the middle, and mark it.
  goTo(block, index) {
    this.setFollowing(false);
    if (this.shown.includes(block)) this.extend();
    else this.showFrom(Math.max(0, this.lines.blocks.indexOf(block) - EARLIER_BLOCKS));
    this.drawNumbers();
    for (const line of log.querySelectorAll(".line.at")) line.classList.remove("at");
    const line = block.element.children[index];
    line.classList.add("at");
    const middle = line.getBoundingClientRect().top - log.getBoundingClientRect().top - log.clientHeight / 2;
    log.scrollTop += middle;
    this.lastTop = log.scrollTop;
    this.showTools();
  }

  copy() {
    const lines = this.lines.count.toLocaleString("en-US");
    copy(plain(this.lines.text()), byId("log-copy"), this.lines.start ? `Copied the last ${lines} lines` : "Copied");
  }
}

function newBlock() {
  const element = document.createElement("div");
  element.className = "block";
  return element;
}

function cut(text) {
  return text.length > LONG_LINE ? text.slice(0, LONG_LINE) : text;
}

function moreOf(text) {
  const more = document.createElement("button");
  more.type = "button";
  more.className = "small rest-of-line";
  more.dataset.text = plain(text.slice(LONG_LINE));
  more.textContent = `Show ${(text.length - LONG_LINE).toLocaleString("en-US")} more characters`;
  return more;
}

state.setUp();
new Log();
